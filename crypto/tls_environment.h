// What mbedTLS stands on: a bounded heap, the appliance's random generator and its clock.
//
// mbedTLS reaches for memory, randomness and time through process-wide functions; several
// appliances share a process in simulation. So every call into it happens inside a TlsScope, which
// says whose they are. Outside of any scope it gets no memory and the call fails.
#pragma once

#include "crypto/random.h"
#include "hal/clock.h"
#include "hal/rt/heap.h"

namespace gh::crypto {

struct TlsEnvironment {
  TlsEnvironment(Heap& heap_in, Random& random_in, hal::Clock& clock_in)
      : heap(heap_in), random(random_in), clock(clock_in) {}
  Heap& heap;
  Random& random;
  hal::Clock& clock;
};

// Scopes nest. Single-threaded, like everything that calls mbedTLS here.
class TlsScope {
 public:
  explicit TlsScope(TlsEnvironment& environment);
  TlsScope(const TlsScope&) = delete;
  TlsScope& operator=(const TlsScope&) = delete;
  ~TlsScope();

 private:
  TlsEnvironment* previous_;
};

}  // namespace gh::crypto
