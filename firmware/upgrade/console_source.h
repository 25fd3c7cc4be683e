// An update from the serial console: while it arrives, the terminal belongs to YMODEM
// (image/ymodem.h), the sender waits for the disk, and learns of a refusal at once.
#pragma once

#include <array>
#include <optional>

#include "firmware/admin/terminal.h"
#include "firmware/upgrade/intake.h"
#include "firmware/upgrade/upgrade.h"
#include "image/ymodem.h"

namespace gh::upgrade {

class ConsoleSource final : public admin::TerminalGuest {
 public:
  ConsoleSource(Upgrade& upgrade, Intake& intake) : upgrade_(upgrade), intake_(intake) {}
  ConsoleSource(const ConsoleSource&) = delete;
  ConsoleSource& operator=(const ConsoleSource&) = delete;

  void Enter(Instant now) override;
  bool Serve(admin::Terminal& terminal, Instant now) override;
  void Leave(ByteWriter& out) override;

 private:
  static constexpr uint32_t kInputBytes = 2048;
  static constexpr uint32_t kStepsPerTurn = 16;
  static constexpr Duration kSettle = Duration::Milliseconds(700);  // the sender's last words

  bool Step(admin::Terminal& terminal, Instant now);
  void HandleEvent(Instant now);
  void HandleData(Instant now);
  bool FlushReply(admin::Terminal& terminal);
  void Refuse();

  Upgrade& upgrade_;
  Intake& intake_;
  std::optional<image::YmodemReceiver> engine_;  // anew for each transfer
  std::array<uint8_t, kInputBytes> input_ = {};
  uint32_t input_begin_ = 0;
  uint32_t input_end_ = 0;
  size_t offered_ = 0;  // bytes of the engine's data that the upgrade has taken
  uint32_t replied_ = 0;
  bool had_file_ = false;
  bool is_over_ = false;
  Instant over_at_;
  const char* failure_ = "";
  Instant now_;
};

}  // namespace gh::upgrade
