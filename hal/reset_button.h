// The factory-reset button (GPIO; fw_cfg in QEMU; a flag on host).
#pragma once

namespace gh::hal {

class ResetButton {
 public:
  virtual bool held_at_power_on() const = 0;

 protected:
  ~ResetButton() = default;
};

}  // namespace gh::hal
