#include "board/host/memory.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace gh::board {
namespace {

constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;

}  // namespace

Result<std::span<uint8_t>> MapMemory(uint64_t bytes, MemoryReport& report) {
  const uint64_t huge_bytes = (bytes + kHugePageBytes - 1) & ~(kHugePageBytes - 1);
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  void* memory = mmap(nullptr, huge_bytes, kProtection, kFlags | MAP_HUGETLB, -1, 0);
  report.huge_pages = memory != MAP_FAILED;
  if (memory == MAP_FAILED) {
    // No reserved huge pages: ordinary ones, transparent huge where the kernel has them. The advice
    // must precede the faults, so populate by hand.
    memory = mmap(nullptr, huge_bytes, kProtection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      return Error(ErrorCode::kExhausted, "cannot map the arena");
    }
    (void)madvise(memory, huge_bytes, MADV_HUGEPAGE);
    if (madvise(memory, huge_bytes, MADV_POPULATE_WRITE) != 0) {
      std::memset(memory, 0, huge_bytes);
    }
  }
  (void)madvise(memory, huge_bytes, MADV_DONTDUMP);  // keys live here
  return std::span<uint8_t>(static_cast<uint8_t*>(memory), bytes);
}

Result<void> LockMemory(uint64_t arena_bytes, MemoryReport& report) {
  if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0) {
    report.locked = true;
    return Ok();
  }
  rlimit limit = {};
  (void)getrlimit(RLIMIT_MEMLOCK, &limit);
  std::fprintf(stderr,
               "gatehouse: cannot lock memory (%s): RLIMIT_MEMLOCK is %llu KiB and about %llu KiB "
               "are needed.\n  Raise it (`ulimit -l unlimited`, LimitMEMLOCK=infinity), give "
               "CAP_IPC_LOCK, or for development go on with --no-mlock.\n",
               std::strerror(errno), static_cast<unsigned long long>(limit.rlim_cur >> 10),
               (static_cast<unsigned long long>(arena_bytes) >> 10) + 16384);
  return Error(ErrorCode::kPermissionDenied, "memory cannot be locked");
}

}  // namespace gh::board
