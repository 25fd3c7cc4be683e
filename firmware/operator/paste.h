// Text pasted at a terminal, for commands that take more than a line: gathered until whoever takes
// it is content, a lone dot, or a second of silence behind an END line; Control-C gives up.
#pragma once

#include <span>
#include <string_view>

#include "firmware/admin/terminal.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"
#include "hal/rt/secret.h"

namespace gh {

class PasteTaker {
 public:
  // Says on `out` what came of it.
  virtual Result<void> OnPasted(std::span<const uint8_t> bytes, ByteWriter& out) = 0;

 protected:
  ~PasteTaker() = default;
};

class Paste final : public admin::TerminalGuest {
 public:
  // The memory is wiped after use: keys are pasted too.
  Paste(std::span<uint8_t> memory, PasteTaker& taker) : memory_(memory), taker_(taker) {}

  void Enter(Instant now) override;
  bool Serve(admin::Terminal& terminal, Instant now) override;
  void Leave(ByteWriter& out) override;

 private:
  bool TakeByte(uint8_t byte);
  bool LineIs(std::string_view text) const;

  std::span<uint8_t> memory_;
  PasteTaker& taker_;
  size_t size_ = 0;
  size_t line_start_ = 0;
  bool is_done_ = false;
  bool is_given_up_ = false;
  bool is_too_long_ = false;
  bool has_end_ = false;  // the last full line was an END line
  Instant deadline_;
};

}  // namespace gh
