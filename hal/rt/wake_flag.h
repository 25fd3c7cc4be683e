// WakeFlag: how one core tells another that there is work, without a system call or an interrupt
// while the other is awake, and without a lost wake-up.
//
//   waker:   ring.Push(...);  if (flag.Post()) { ring the bell }   // eventfd, an interrupt
//   sleeper: if (flag.BeginSleep()) { wait for the bell }
//            flag.EndSleep();  look at the ring
//
// Each side writes its word and then reads the other's, in one order for both: either the waker
// sees the sleeper sleep, or the sleeper sees the work.
#pragma once

#include <atomic>

namespace gh {

class WakeFlag {
 public:
  // True: the other sleeps, or is about to.
  bool Post() {
    pending_.store(true, std::memory_order_seq_cst);
    return sleeping_.load(std::memory_order_seq_cst);
  }
  // False: there is work already.
  bool BeginSleep() {
    sleeping_.store(true, std::memory_order_seq_cst);
    return !pending_.load(std::memory_order_seq_cst);
  }
  // What was pushed before a Post() that this takes back is seen from here on.
  void EndSleep() {
    sleeping_.store(false, std::memory_order_relaxed);
    pending_.exchange(false, std::memory_order_seq_cst);
  }
  bool is_pending() const { return pending_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> pending_ = false;
  std::atomic<bool> sleeping_ = false;
};

// Between two looks at a word that another core is about to write.
inline void SpinPause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace gh
