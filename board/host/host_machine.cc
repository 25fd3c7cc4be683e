#include "board/host/host_machine.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace gh::board {

HostMachine::HostMachine(Arena& arena, const Options& options, Hardware& hardware,
                         hal::ResetCause cause, Instant process_start)
    : arena_(arena),
      hardware_(hardware),
      idle_(clock_, options.busy_poll_us, options.moderation_us),
      console_(hardware.console),
      watchdog_(options.watchdog),
      boot_(process_start, cause, hardware.crash_fd),
      reset_button_(options.reset_button && cause == hal::ResetCause::kPowerOn),
      frames_(arena, options.frame_count),
      machine_{.board = "host",
               .description = description_,
               .arena = arena,
               .clock = clock_,
               .entropy = entropy_,
               .idle = idle_,
               .console = console_,
               .watchdog = watchdog_,
               .boot = boot_,
               .reset_button = reset_button_,
               .frames = frames_} {
  boot_.SetProvisioning({hardware.provision, hardware.provision_size}, options.provision_path);
  boot_.SetBeforeEnd([](void* self) { static_cast<HostMachine*>(self)->Stop(); }, this);
  idle_.Add(console_);
  idle_.Add(console_.output_source());
}

Result<void> HostMachine::Start(const Options& options, const Hardware& hardware) {
  arena_.OpenAccount("board/devices");
  std::array<uint16_t, 2> cpus;
  if (options.cores == 2 || (options.cores == 0 && UsableCpus(cpus) == 2)) {
    media_ = arena_.New<MediaThread>(clock_, idle_, options);
    GH_TRY(media_->Open());
    machine_.media = media_;
  } else {
    idle_.SetModeration(std::min(options.moderation_us, options.media_moderation_us));
  }
  for (uint8_t i = 0; i < options.port_count; ++i) {
    GH_TRY(StartPort(options, hardware, i));
  }
  GH_TRY(StartDisk("store", hardware.store_fd, options, store_));
  GH_TRY(StartDisk("log", hardware.log_fd, options, log_));
  machine_.store = store_;
  machine_.log = log_;
  if (hardware.token_listener >= 0) {
    token_ = arena_.New<TokenSocket>(hardware.token_listener);
    machine_.token = token_;
    idle_.Add(*token_);
  }
  if (hardware.token_module.calls >= 0) {
    token_module_ = arena_.New<TokenModule>(hardware.token_module);
    idle_.Add(*token_module_);
  }
  return Ok();
}

Result<void> HostMachine::StartPort(const Options& options, const Hardware& hardware,
                                    uint8_t index) {
  const PortOptions& port = options.ports[index];
  const int fd = hardware.port_fds[index];
  Result<void> started = Ok();
  if (port.kind == PortKind::kTap) {
    auto* tap = arena_.New<TapPort>(fd, index, frames_);
    started = tap->Start(port, clock_);
    machine_.ports[index] = tap;
    AddWaking(*tap);
  } else {
    auto* packet = arena_.New<PacketPort>(fd, index, frames_, arena_);
    started = packet->Start(port, clock_);
    machine_.ports[index] = packet;
    AddWaking(*packet);
  }
  if (!started.ok()) {
    std::fprintf(stderr, "gatehouse: interface %s: %s\n", port.interface, started.error().what);
  }
  return started;
}

void HostMachine::AddWaking(PollSource& port) {
  idle_.Add(port);
  if (media_ != nullptr) {
    media_->AddPort(port);
  }
}

Result<void> HostMachine::StartDisk(const char* name, int fd, const Options& options,
                                    FileBlockDevice*& disk) {
  if (fd < 0) {
    return Ok();
  }
  disk = arena_.New<FileBlockDevice>(name, fd, options.block_size);
  disk->SlowDown(options.flush_ms);
  auto started = disk->Start();
  if (!started.ok()) {
    std::fprintf(stderr, "gatehouse: %s: %s\n", name, started.error().what);
    return started;
  }
  idle_.Add(*disk);
  return Ok();
}

void HostMachine::Stop() {
  watchdog_.Disarm();
  for (FileBlockDevice* disk : {store_, log_}) {
    if (disk != nullptr) {
      disk->Drain();
    }
  }
  RestoreTerminal(hardware_.console);
}

void HostMachine::Describe(const MemoryReport& memory) {
  utsname system = {};
  (void)uname(&system);
  std::snprintf(description_, sizeof(description_), "%.24s %.60s %.20s, %s%s", system.sysname,
                system.release, system.machine, memory.locked ? "locked memory" : "NOT locked",
                memory.huge_pages ? ", huge pages" : "");
}

}  // namespace gh::board
