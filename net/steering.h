// The steering seam: who sees a frame before the control plane's stack does.
#pragma once

#include "hal/frame.h"

namespace gh::net {

// Taps are asked in the order they were registered, the media plane first.
class FrameTap {
 public:
  // True: the frame is the tap's from now on (it transmits or releases it). False: untouched.
  virtual bool OnFrame(hal::Frame* frame) = 0;

 protected:
  ~FrameTap() = default;
};

}  // namespace gh::net
