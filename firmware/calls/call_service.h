// Calls as the operator meets them: those that are over, a call's messages, ending one. What runs
// is xStatus SIP Call (status.h).
#pragma once

#include "firmware/admin/commands.h"
#include "firmware/admin/status.h"
#include "firmware/log/log.h"
#include "firmware/sip/engine.h"
#include "hal/clock.h"

namespace gh {

class CallService {
 public:
  CallService(sip::Engine& engine, log::Log& log, hal::Clock& clock)
      : engine_(engine), log_(log), clock_(clock) {}
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);

 private:
  bool NextRecord(uint64_t& cursor, ByteWriter& out);
  bool NextMessage(uint64_t& cursor, ByteWriter& out);
  Result<void> ShowLadder(std::string_view value);
  Result<void> Disconnect(std::string_view value, std::string_view by, ByteWriter& out);
  bool LadderOfCall(uint64_t id, uint64_t& ladder);

  sip::Engine& engine_;
  log::Log& log_;
  hal::Clock& clock_;
  uint64_t ladder_ = 0;  // of the call that was asked for last
  Instant ladder_start_;
};

}  // namespace gh
