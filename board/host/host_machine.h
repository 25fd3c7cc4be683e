// The machine of this board, put together in the arena: what main.cc hands to the appliance.
#pragma once

#include "board/host/boot_control.h"
#include "board/host/clock.h"
#include "board/host/console.h"
#include "board/host/file_block_device.h"
#include "board/host/hardware.h"
#include "board/host/idle.h"
#include "board/host/media_thread.h"
#include "board/host/memory.h"
#include "board/host/options.h"
#include "board/host/packet_port.h"
#include "board/host/tap_port.h"
#include "board/host/token_module.h"
#include "board/host/token_socket.h"
#include "board/host/watchdog.h"
#include "hal/machine.h"

namespace gh::board {

class HostMachine {
 public:
  HostMachine(Arena& arena, const Options& options, Hardware& hardware, hal::ResetCause cause,
              Instant process_start);
  HostMachine(const HostMachine&) = delete;
  HostMachine& operator=(const HostMachine&) = delete;

  // Starts ports and disks; says on stderr what failed.
  Result<void> Start(const Options& options, const Hardware& hardware);
  // Waits for the disks and gives the terminal back. Called on every orderly end.
  void Stop();

  hal::Machine& machine() { return machine_; }
  TokenModule* token_module() { return token_module_; }  // null: none
  HostIdle& idle() { return idle_; }
  void Describe(const MemoryReport& memory);

 private:
  Result<void> StartPort(const Options& options, const Hardware& hardware, uint8_t index);
  void AddWaking(PollSource& port);
  Result<void> StartDisk(const char* name, int fd, const Options& options, FileBlockDevice*& disk);

  Arena& arena_;
  const Hardware& hardware_;
  HostClock clock_;
  HostEntropy entropy_;
  HostIdle idle_;
  HostConsole console_;
  HostWatchdog watchdog_;
  HostBootControl boot_;
  HostResetButton reset_button_;
  hal::FramePool frames_;
  FileBlockDevice* store_ = nullptr;
  FileBlockDevice* log_ = nullptr;
  TokenSocket* token_ = nullptr;
  TokenModule* token_module_ = nullptr;
  MediaThread* media_ = nullptr;
  char description_[160] = {};
  hal::Machine machine_;
};

}  // namespace gh::board
