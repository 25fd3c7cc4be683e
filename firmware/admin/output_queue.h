// Text on its way to a terminal: bounded, never blocking. What does not fit is dropped and counted.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/limits.h"
#include "firmware/admin/terminal.h"
#include "hal/rt/arena.h"

namespace gh::admin {

// Where text is drawn.
class TextSink {
 public:
  virtual void Put(std::string_view text) = 0;

 protected:
  ~TextSink() = default;
};

enum class LineEnd : uint8_t { kCarriageReturn, kPlain };  // "\r\n" for terminals, "\n" for pipes

class OutputQueue final : public TextSink {
 public:
  explicit OutputQueue(Arena& arena) : ring_(arena.NewArray<uint8_t>(kOutputBytes)) {}
  OutputQueue(Arena& arena, Terminal& terminal) : OutputQueue(arena) { Bind(&terminal); }
  OutputQueue(const OutputQueue&) = delete;
  OutputQueue& operator=(const OutputQueue&) = delete;

  // From here on for this terminal (null: for nobody). What the one before had not taken is gone.
  void Bind(Terminal* terminal, LineEnd line_end = LineEnd::kCarriageReturn);

  void Put(std::string_view text) override;
  void PutLine(std::string_view text);
  // Lines that end in '\n'; the terminal gets its own line ends.
  void Print(std::string_view text);
  // Hands the terminal what it takes now; true when some is left.
  bool Pump();

  size_t room() const { return ring_.size() - used_; }
  uint64_t dropped_bytes() const { return dropped_; }
  Terminal* terminal() { return terminal_; }

 private:
  Terminal* terminal_ = nullptr;
  LineEnd line_end_ = LineEnd::kCarriageReturn;
  std::span<uint8_t> ring_;
  size_t first_ = 0;
  size_t used_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace gh::admin
