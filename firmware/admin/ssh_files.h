// SFTP and SCP over SSH channels: each program is a file engine (file_service.h) between a
// channel's bytes and the tree of files.
//
// Programs come from a pool of their own, since each holds its protocol's buffers. They are polled
// every turn: the disk behind them answers later.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "firmware/admin/file_service.h"
#include "firmware/admin/files/scp_server.h"
#include "firmware/admin/files/sftp_server.h"
#include "firmware/admin/ssh/ports.h"
#include "hal/rt/arena.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/pool.h"

namespace gh::admin {

inline constexpr uint32_t kFileProgramMax = 6;  // transfers at a time, all connections

class SshFiles final : public Pollable {
 public:
  SshFiles(Arena& arena, FileService& files);
  SshFiles(const SshFiles&) = delete;
  SshFiles& operator=(const SshFiles&) = delete;

  // kExhausted: as many transfers as there may be.
  Result<ssh::ChannelSession*> OpenSftp(const FileUser& user, ssh::ChannelPort& channel);
  Result<ssh::ChannelSession*> OpenScp(const ScpCommand& command, const FileUser& user,
                                       ssh::ChannelPort& channel);
  bool Poll(Instant now) override;
  uint32_t open_count() const { return programs_.used_count(); }
  static uint64_t ArenaBytes();

 private:
  class Program final : public ssh::ChannelSession {
   public:
    Program(SshFiles& owner, ssh::ChannelPort& channel)
        : owner_(owner), channel_(channel), sftp_(owner.files_), scp_(owner.files_) {}
    void StartSftp(const FileUser& user);
    void StartScp(const ScpCommand& command, const FileUser& user);
    // Moves what can be moved. True: it had to stop before it was through. May end this object.
    bool Move();

    void OnInput() override {}  // polled in this same turn
    void OnRoom() override {}
    void OnResize(uint32_t, uint32_t) override {}
    void OnSignal(std::string_view) override {}
    void OnClosed() override;

   private:
    bool SendOutput();
    void SayNotice();
    SshFiles& owner_;
    ssh::ChannelPort& channel_;
    SftpServer sftp_;
    ScpServer scp_;
    FileEngine* engine_ = nullptr;
    bool told_end_ = false;
  };

  FileService& files_;
  Pool<Program> programs_;
};

}  // namespace gh::admin
