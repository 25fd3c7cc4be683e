#include "board/host/inject.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "hal/rt/assert.h"

namespace gh::board {

void Inject(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return;
    case Fault::kMalloc: {
      void* volatile taken = std::malloc(1);
      std::free(taken);
      return;
    }
    case Fault::kNew: {
      int* volatile taken = new int(1);
      delete taken;
      return;
    }
    case Fault::kPanic:
    case Fault::kMediaPanic:
      GH_ASSERT_EQ(2 + 2, 5);
      return;
    case Fault::kSegv:
    case Fault::kMediaSegv: {
      volatile int* volatile nowhere = reinterpret_cast<volatile int*>(uintptr_t{16});
      *nowhere = 1;
      return;
    }
    case Fault::kHang:
    case Fault::kMediaHang:
      for (volatile bool forever = true; forever;) {
      }
      return;
    case Fault::kSyscall:
      (void)syscall(SYS_socket, 2, 1, 0);
      return;
  }
}

bool IsMediaFault(Fault fault) {
  return fault == Fault::kMediaPanic || fault == Fault::kMediaSegv || fault == Fault::kMediaHang;
}

}  // namespace gh::board
