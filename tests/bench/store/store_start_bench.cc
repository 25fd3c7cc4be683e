// How long a start takes with a large store: opening it (every page is read, opened and compared
// with what was last written) and XMPP's reading of all rows, by the size of the database.
//
//   store_start_bench [MIB...]     of archived messages; 64, 256 and 1024 if none is named
//
// The partition is a file of 16 GiB with holes, its pages in the kernel's cache: what a disk itself
// takes comes on top, at its own rate for 256 KiB at a time, twice the size of the database. Times
// are those of one processor.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "firmware/store/sqlite_store.h"
#include "firmware/xmpp/row_key.h"
#include "tests/bench/bench.h"
#include "tests/unit/xmpp/world.h"

namespace gh {
namespace {

constexpr uint64_t kPartitionBytes = uint64_t{16} << 30;
constexpr uint32_t kUsers = 1000;
constexpr uint32_t kStanzaBytes = 400;
constexpr uint32_t kRowsPerCommit = 20'000;

[[noreturn]] void Die(const char* why) {
  std::perror(why);
  std::exit(1);
}

class FileDisk final : public hal::BlockDevice {
 public:
  FileDisk() {
    char name[] = "/var/tmp/store_start_bench.XXXXXX";
    fd_ = mkstemp(name);
    if (fd_ < 0 || unlink(name) != 0 || ftruncate(fd_, kPartitionBytes) != 0) {
      Die("a file for the partition");
    }
  }
  FileDisk(const FileDisk&) = delete;
  FileDisk& operator=(const FileDisk&) = delete;
  ~FileDisk() { close(fd_); }
  uint32_t block_size() const override { return store::kSectorSize; }
  uint64_t block_count() const override { return kPartitionBytes / store::kSectorSize; }
  const char* name() const override { return "file"; }
  Result<void> Submit(hal::BlockRequest& request) override {
    queue_.push_back(&request);
    return Ok();
  }
  uint32_t Poll() override {
    const auto ready = std::exchange(queue_, {});
    for (hal::BlockRequest* request : ready) {
      const size_t size = size_t{request->block_count} * store::kSectorSize;
      const auto at = static_cast<off_t>(request->block * store::kSectorSize);
      const ssize_t done = request->op == hal::BlockOp::kRead ? pread(fd_, request->data, size, at)
                           : request->op == hal::BlockOp::kWrite
                               ? pwrite(fd_, request->data, size, at)
                               : static_cast<ssize_t>(size);
      if (done != static_cast<ssize_t>(size)) {
        Die("the partition");
      }
      request->status = ErrorCode::kOk;
      request->done(*request);
    }
    return static_cast<uint32_t>(ready.size());
  }

 private:
  int fd_ = -1;
  std::vector<hal::BlockRequest*> queue_;
};

struct Machine {
  explicit Machine(FileDisk& disk)
      : memory((16u << 20) + store::BytesBeyondUsual(kPartitionBytes)), arena(memory) {
    store = std::make_unique<store::SqliteStore>(arena, disk, clock, store::kHeapBytesMax,
                                                 store::Sealing{random, wrapper});
    if (!store->Open().ok()) {
      Die("the store does not open");
    }
  }
  std::vector<uint8_t> memory;
  Arena arena;
  net::test::FakeClock clock;
  net::test::SeededEntropy entropy{1};
  crypto::Random random{entropy};
  store::NoWrapper wrapper;
  std::unique_ptr<store::SqliteStore> store;
};

// Messages of all users in turn, as they come; returns how many there are.
uint64_t Fill(Machine& machine, uint64_t bytes, uint64_t count) {
  std::vector<uint8_t> value(11 + kStanzaBytes, 'x');
  value[0] = 1;  // of one part; its time, whom it is with, the stanza (firmware/xmpp/archive.cc)
  ByteWriter head(std::span<uint8_t>(value).subspan(1));
  head.U64Be(1'790'000'000);
  head.U16Be(0);
  while (machine.store->status().bytes_used < bytes) {
    bool good = machine.store->Begin().ok();
    for (uint32_t i = 0; i < kRowsPerCommit; ++i, ++count) {
      const xmpp::RowKey key('t', static_cast<uint32_t>(count % kUsers) + 1, count / kUsers + 1, 0);
      good = good && machine.store->PutIn(store::Table::kXmpp, key, value).ok();
    }
    if (!good || !machine.store->Commit().ok()) {
      Die("the store takes no more");
    }
  }
  return count;
}

// Seconds of the engine's reading.
double Load(store::SqliteStore& store, uint64_t rows) {
  class Loader final : public store::EntryVisitor {
   public:
    explicit Loader(xmpp::Engine& engine) : engine_(engine) {}
    void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
      good += engine_.Load(key, value).ok() ? 1 : 0;
    }
    uint64_t good = 0;

   private:
    xmpp::Engine& engine_;
  };
  xmpp::test::World world(kUsers, kUsers);
  for (uint32_t user = 0; user < kUsers; ++user) {
    world.AddUser("u" + std::to_string(user));
  }
  Loader loader(world.engine());
  const double begun = CpuNanoseconds();
  const auto read = store.ForEachIn(store::Table::kXmpp, "", UINT32_MAX, loader);
  if (!read.ok() || loader.good != rows) {
    Die("not all rows are read");
  }
  return (CpuNanoseconds() - begun) / 1e9;
}

int Run(const std::vector<uint64_t>& sizes) {
  FileDisk disk;
  uint64_t rows = 0;
  for (const uint64_t mib : sizes) {
    {
      Machine machine(disk);
      rows = Fill(machine, mib << 20, rows);
    }
    const double begun = CpuNanoseconds();
    Machine machine(disk);
    const double opened = (CpuNanoseconds() - begun) / 1e9;
    const double loaded = Load(*machine.store, rows);
    std::printf("%5llu MiB, %8llu messages: opened in %6.2f s, read in %6.2f s, %5.2f s a GiB\n",
                static_cast<unsigned long long>(mib), static_cast<unsigned long long>(rows), opened,
                loaded, (opened + loaded) * 1024 / static_cast<double>(mib));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace gh

int main(int argc, char** argv) {
  std::vector<uint64_t> sizes;
  for (int i = 1; i < argc; ++i) {
    sizes.push_back(static_cast<uint64_t>(std::atoi(argv[i])));
  }
  return gh::Run(sizes.empty() ? std::vector<uint64_t>{64, 256, 1024} : sizes);
}
