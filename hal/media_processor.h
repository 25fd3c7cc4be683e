// A second processor that runs the media plane, where a machine has one.
#pragma once

#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::hal {

// What a processor runs: a turn, to completion. Returns when to be called next, at the latest.
class ProcessorBody {
 public:
  virtual Instant RunOnce() = 0;

 protected:
  ~ProcessorBody() = default;
};

class MediaProcessor {
 public:
  // Runs `body` from now on, for ever; what comes in by the Ethernet ports then wakes the media
  // plane, no longer the control plane. Called once, by the control plane.
  virtual Result<void> Start(ProcessorBody& body) = 0;
  // The other side has work, and is woken if it waits. What was written before is seen by it.
  virtual void WakeMedia() = 0;    // called by the control plane
  virtual void WakeControl() = 0;  // called by the media plane
  virtual const char* name() const = 0;

 protected:
  ~MediaProcessor() = default;
};

}  // namespace gh::hal
