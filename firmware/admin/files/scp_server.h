// The protocol of "scp -O" (rcp's): one file a run, either way. Bytes in, bytes out; see
// FileEngine.
//
//   scp -t /upgrade/x   the client sends: "C0644 <size> <name>\n", the bytes, a zero; each answered
//   scp -f /backup/x    the client fetches: the same from here, each step asked for by a zero
//
// Fault model: the client sends anything, and vanishes at any point. A fault ends the run with a
// line that the client shows (\1 or \2 and text).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "firmware/admin/file_service.h"

namespace gh::admin {

struct ScpCommand {
  bool sends = false;      // -f: from here to the client
  bool is_folder = false;  // -d: the target is to be a folder
  FixedString<kFilePathMax> path;
};

class ScpServer final : public FileEngine {
 public:
  explicit ScpServer(FileService& files) : files_(files) {}
  ScpServer(const ScpServer&) = delete;
  ScpServer& operator=(const ScpServer&) = delete;

  // "scp -t /upgrade/image", as an SSH client asks for it; nothing if it is another command line.
  // A path that is too long, or -r, gives a command that Start() refuses with words.
  static std::optional<ScpCommand> Parse(std::string_view command_line);

  void Start(const ScpCommand& command, const FileUser& user);

  size_t Feed(std::span<const uint8_t> bytes) override;
  void FeedEnd() override;
  std::span<const uint8_t> Output() const override {
    return std::span(out_).subspan(out_begin_, out_end_ - out_begin_);
  }
  void Consume(size_t count) override;
  void Poll() override;
  bool is_done() const override { return state_ == State::kDone; }
  uint32_t exit_status() const override { return failed_ ? 1 : 0; }
  void Close() override;

 private:
  enum class State : uint8_t {
    kDone,
    kLine,         // receiving: a line is awaited
    kData,         // its bytes
    kDataEnd,      // the zero behind them
    kClosing,      // the disk is still at work
    kStartAsked,   // sending: the client's first zero is awaited
    kOpening,      // the file is being made ready
    kHeaderAsked,  // the zero that answers the header
    kSending,      // bytes
    kEndAsked,     // the last zero
  };
  size_t FeedLine(std::span<const uint8_t> bytes);
  size_t FeedData(std::span<const uint8_t> bytes);
  size_t FeedAnswer(std::span<const uint8_t> bytes);
  void HandleLine();
  void HandleFileLine(std::string_view rest);
  void OpenForReading();
  void ContinueSending();
  void ContinueClosing();
  void Acknowledge();
  void Fail(std::string_view why);
  void Put(std::string_view text);
  void Reset();

  FileService& files_;
  FileUser user_;
  ScpCommand command_;
  State state_ = State::kDone;
  bool failed_ = false;
  FileId file_;
  FixedString<200> refusal_;  // of the file that is being received
  uint64_t size_ = 0;
  uint64_t done_ = 0;
  bool stalled_ = false;  // the disk took nothing: wait for a turn
  FixedString<kScpLineMax> line_;
  std::array<uint8_t, kScpBufferBytes> out_ = {};
  size_t out_begin_ = 0;
  size_t out_end_ = 0;
};

}  // namespace gh::admin
