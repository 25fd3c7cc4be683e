// QEMU's fw_cfg: named files that the host gives the guest. Only looked for under a hypervisor.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/result.h"

namespace gh::pc {

class FwCfg {
 public:
  // kNoDevice: this is not QEMU.
  Result<void> Initialise();
  bool present() const { return present_; }
  bool Has(std::string_view name) const;
  // The whole file into `out`; returns its size. kNotFound, kTooLarge.
  Result<uint32_t> Read(std::string_view name, std::span<uint8_t> out) const;

 private:
  struct Entry {
    uint32_t size = 0;
    uint16_t selector = 0;
  };
  Result<Entry> Find(std::string_view name) const;

  bool present_ = false;
};

}  // namespace gh::pc
