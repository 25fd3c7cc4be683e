// A tree of files in memory with a disk that is sometimes busy, for the fuzzers of SFTP and SCP.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "firmware/admin/file_service.h"
#include "hal/clock.h"
#include "tests/unit/rt/memory.h"

namespace gh::admin {

class FileScene {
 public:
  FileScene() : memory_(4u << 20), arena_(memory_) {
    files.Add("upgrade", folder_);
    user.identity.user.Assign("admin");
    user.identity.role = config::Role::kAdministrator;
  }
  // Feeds everything in pieces; a server that takes nothing for many turns is left.
  void Drive(FileEngine& engine, std::span<const uint8_t> bytes, size_t piece) {
    uint32_t idle = 0;
    while (!bytes.empty() && idle < 100) {
      const size_t taken = engine.Feed(bytes.first(std::min(piece, bytes.size())));
      GH_ASSERT_LE(taken, bytes.size());
      bytes = bytes.subspan(taken);
      idle = taken == 0 ? idle + 1 : 0;
      engine.Poll();
      engine.Consume(std::min<size_t>(engine.Output().size(), 1 + piece * 7));
    }
  }

 private:
  class StillClock final : public hal::Clock {
   public:
    Instant Now() override { return {}; }
    WallTime Wall() override { return {}; }
    void SetWall(int64_t) override {}
  };
  class Folder final : public FileProvider {
   public:
    bool takes_files() const override { return true; }
    bool List(uint32_t index, FileInfo& out) override {
      out = {};
      out.name.Assign("file");
      out.size = 100'000;
      return index == 0;
    }
    Result<void> OpenRead(std::string_view, FileReading&) override { return Ok(); }
    Result<size_t> Read(std::string_view, FileReading& reading, std::span<uint8_t> out) override {
      const uint64_t left = 100'000 - std::min<uint64_t>(reading.offset, 100'000);
      const size_t count = std::min<uint64_t>(out.size(), left);
      std::fill_n(out.begin(), count, uint8_t{'f'});
      return count;
    }
    Result<void> OpenWrite(std::string_view, uint64_t, Instant) override { return Ok(); }
    Result<size_t> Write(std::span<const uint8_t> bytes, Instant) override {
      return ++turn_ % 3 == 0 ? size_t{0} : std::min<size_t>(bytes.size(), 777);
    }
    Result<void> FinishWrite(Instant) override {
      return ++turn_ % 2 == 0 ? Result<void>(Error{ErrorCode::kWouldBlock, ""}) : Ok();
    }
    Result<void> Remove(std::string_view) override { return Ok(); }

   private:
    uint32_t turn_ = 0;
  };
  gh::test::Memory memory_;
  Arena arena_;
  StillClock clock_;
  log::Log log_{arena_, clock_, 16};
  Folder folder_;

 public:
  FileService files{log_, clock_};
  FileUser user;
};

}  // namespace gh::admin
