// Everything a machine offers, built by its board and handed to the appliance: never looked up.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/block_device.h"
#include "hal/boot_control.h"
#include "hal/clock.h"
#include "hal/entropy.h"
#include "hal/ethernet_port.h"
#include "hal/idle.h"
#include "hal/media_processor.h"
#include "hal/reset_button.h"
#include "hal/rt/arena.h"
#include "hal/serial_port.h"
#include "hal/token_link.h"
#include "hal/tpm.h"
#include "hal/watchdog.h"

namespace gh::hal {

inline constexpr uint32_t kEthernetPortMax = 3;  // LAN1, LAN2, LAN3

struct Machine {
  const char* board = "";        // "pc", "host", "sim"
  const char* description = "";  // CPU and firmware, for status
  Arena& arena;                  // all memory the appliance will ever use
  Clock& clock;
  Entropy& entropy;
  Idle& idle;
  SerialPort& console;
  Watchdog& watchdog;
  BootControl& boot;
  ResetButton& reset_button;
  FramePool& frames;
  std::array<EthernetPort*, kEthernetPortMax> ports = {};  // null: no such port
  BlockDevice* store = nullptr;  // the `store` partition; null: nothing persists
  BlockDevice* log = nullptr;    // the `log` partition
  // What the loader starts and decides by; null where a board has none. The slot that runs is never
  // written, nor is `factory`.
  BlockDevice* boot_state = nullptr;
  std::array<BlockDevice*, 2> slots = {};  // a, b
  BlockDevice* factory = nullptr;
  TokenLink* token = nullptr;       // a local HSM
  Tpm* tpm = nullptr;               // a TPM 2.0
  MediaProcessor* media = nullptr;  // a second processor; null: one runs both planes in turn
};

}  // namespace gh::hal
