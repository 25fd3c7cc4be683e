// Work that takes tens of milliseconds of the processor (Argon2id), waiting for a moment when no
// engine has any: the appliance runs one piece between turns, never inside one.
#pragma once

#include "hal/rt/assert.h"
#include "hal/rt/list.h"
#include "hal/rt/time.h"

namespace gh::admin {

class DeferredWork {
 public:
  bool is_deferred() const { return deferred_node.linked(); }
  ListNode deferred_node;
  Instant deferred_since;  // not run before

  // Runs it: tens of milliseconds. It is out of the queue by then and may be put there again.
  virtual void RunDeferred(Instant now) = 0;

 protected:
  ~DeferredWork() = default;
};

class DeferredQueue {
 public:
  // Runs not before `since`. Work that is queued already stays where it is.
  void Add(DeferredWork& work, Instant since) {
    if (!work.is_deferred()) {
      work.deferred_since = since;
      queue_.PushBack(work);
    }
  }
  void Remove(DeferredWork& work) {
    if (work.is_deferred()) {
      queue_.Remove(work);
    }
  }
  bool empty() const { return queue_.empty(); }
  // The work that has been due longest; null when none is.
  DeferredWork* FindDue(Instant now) {
    DeferredWork* best = nullptr;
    for (DeferredWork& work : queue_) {
      if (work.deferred_since <= now &&
          (best == nullptr || work.deferred_since < best->deferred_since)) {
        best = &work;
      }
    }
    return best;
  }
  void Run(DeferredWork& work, Instant now) {
    GH_ASSERT(work.is_deferred());
    queue_.Remove(work);
    work.RunDeferred(now);
  }
  Duration longest() const { return longest_; }
  void Note(Duration took) { longest_ = took > longest_ ? took : longest_; }

 private:
  List<DeferredWork, &DeferredWork::deferred_node> queue_;
  Duration longest_;
};

}  // namespace gh::admin
