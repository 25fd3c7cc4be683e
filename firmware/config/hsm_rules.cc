#include "firmware/config/hsm_rules.h"

#include "firmware/config/line.h"

namespace gh::config {

Result<void> CheckHsm(const Settings& settings, Message& expected) {
  const auto modules = settings.hsm_module();
  bool has_module = false;
  for (size_t i = 0; i < modules.size(); ++i) {
    has_module = has_module || modules[i].transport != HsmTransport::kNone;
    if (modules[i].transport == HsmTransport::kNetwork && modules[i].address.is_none()) {
      MessageWriter(expected)
          .Add("expected HSM Module ")
          .Add(static_cast<int64_t>(i + 1))
          .Add(" Address: Transport is Network");
      return Error{ErrorCode::kInvalidArgument, "HSM module without an address"};
    }
  }
  if (settings.hsm().mode == OnOff::kOn && !has_module) {
    MessageWriter(expected).Add(
        "expected HSM Mode: Off, or a module: HSM Mode is not On without one, and the last one is "
        "not deleted while it is");
    return Error{ErrorCode::kInvalidArgument, "HSM mode without a module"};
  }
  return Ok();
}

}  // namespace gh::config
