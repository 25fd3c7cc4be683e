// What the XMPP engine wants kept, in the store: changes are gathered and committed together, some
// milliseconds after the first of them. A message that was kept and delivered in between never
// touches the disk. A commit holds the control plane for the disk's flush: a slow disk is given
// fewer of them, so that it holds no more than a quarter of the time.
//
// Changes lie in a table by their keys; what they say, one behind the other in a buffer that is
// emptied by the commit. A full table or buffer is committed at once.
//
// Fault model: when a commit fails the changes are kept and tried again, removals alone first when
// the store is full; when there is no room for more, here or in XMPP's share of the store, the
// engine hears it and refuses what it cannot promise to keep.
#pragma once

#include <array>
#include <span>

#include "firmware/alarm/alarms.h"
#include "firmware/log/log.h"
#include "firmware/store/store.h"
#include "firmware/xmpp/engine.h"
#include "hal/clock.h"
#include "hal/rt/arena.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/hash_table.h"
#include "hal/rt/pool.h"

namespace gh {

class XmppKeeper final : public xmpp::Keeper {
 public:
  XmppKeeper(Arena& arena, EventLoop& loop, hal::Clock& clock, store::Store& store, log::Log& log,
             alarm::Alarms& alarms);
  static uint64_t ArenaBytes();
  void SetEngine(xmpp::Engine& engine) { engine_ = &engine; }
  // Gives the engine every row there is. Before anything is put.
  void Load();

  uint64_t Put(std::string_view key, std::span<const uint8_t> value) override;
  uint64_t Remove(std::string_view key) override;
  uint64_t durable() const override { return durable_; }
  void Flush() override;
  size_t Read(std::string_view key, std::span<uint8_t> out) override;
  xmpp::KeeperRoom room() const override;

  uint32_t pending_count() const { return by_key_.size(); }
  uint64_t commit_count() const { return commits_; }
  uint64_t saved_count() const { return saved_; }  // changes that needed no commit after all
  uint64_t refused_count() const { return refused_; }
  Duration gather() const { return gather_; }

 private:
  struct Change {
    FixedString<32> key;
    HashNode by_key;
    ListNode order;
    bool removes = false;
    uint32_t at = 0;  // in the buffer
    uint32_t size = 0;
    uint32_t room = 0;  // bytes of the buffer that are its own
  };
  struct ChangeByKey {
    using Key = std::string_view;
    static Key KeyOf(const Change& change) { return change.key.view(); }
  };
  Change* Make(std::string_view key);
  bool Reserve(Change& change, uint32_t size);
  void Forget(Change& change);
  bool Commit();
  Result<void> CommitRows(bool removals_alone);
  void ForgetCommitted(bool removals_alone);
  void OnTimer();

  EventLoop& loop_;
  hal::Clock& clock_;
  store::Store& store_;
  log::Log& log_;
  alarm::Alarms& alarms_;
  xmpp::Engine* engine_ = nullptr;
  Pool<Change> changes_;
  HashTable<Change, &Change::by_key, ChangeByKey> by_key_;
  List<Change, &Change::order> order_;
  std::span<uint8_t> values_;
  uint32_t used_ = 0;  // of values_
  uint64_t durable_ = 0;
  Duration gather_;  // from the first change to its commit
  uint64_t commits_ = 0;
  uint64_t saved_ = 0;
  uint64_t refused_ = 0;
  store::StoreStatus stored_;  // after the last commit
  Timer timer_;
};

}  // namespace gh
