// What the XMPP engine wants kept, in the store: changes are gathered and committed together, some
// milliseconds after the first of them. A message that was kept and delivered in between never
// touches the disk. Nobody waits for the disk: while one batch of changes is on its way there, the
// next is gathered, and the engine hears when what it has to acknowledge is durable. What a commit
// costs here, without the disk, may take no more than a quarter of the time.
//
// Changes lie in a table by their keys; what they say, one behind the other in a buffer that is
// emptied when the batch is durable. A full table or buffer waits for the disk.
//
// Fault model: when a commit fails, or the disk under it, its batch is kept and tried again,
// removals alone first when the store is full; when there is no room for more, here or in XMPP's
// share of the store, the engine hears it and refuses what it cannot promise to keep.
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

class XmppKeeper final : public xmpp::Keeper, public Pollable {
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
  uint64_t gathering() const override { return durable_ + (flight_ != nullptr ? 2 : 1); }
  void Flush() override;
  size_t Read(std::string_view key, std::span<uint8_t> out) override;
  xmpp::KeeperRoom room() const override;

  // Tells the engine what has become durable.
  bool Poll(Instant now) override;

  uint32_t pending_count() const;
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
  struct Batch {
    explicit Batch(Arena& arena);
    HashTable<Change, &Change::by_key, ChangeByKey> by_key;
    List<Change, &Change::order> order;
    std::span<uint8_t> values;
    uint32_t used = 0;  // of values
  };
  Change* Make(std::string_view key);
  bool Reserve(Change& change, uint32_t size);
  void Forget(Batch& batch, Change& change);
  bool MakeRoom();
  bool Commit();
  bool Send();
  bool Land();
  void Tell();
  Result<store::LateCommit> CommitRows(bool removals_alone);
  void OnFault(const char* reason);
  void OnGathered();
  void OnRetry();

  EventLoop& loop_;
  hal::Clock& clock_;
  store::Store& store_;
  log::Log& log_;
  alarm::Alarms& alarms_;
  xmpp::Engine* engine_ = nullptr;
  Pool<Change> changes_;
  std::array<Batch, 2> batches_;
  Batch* gathered_ = &batches_[0];
  Batch* flight_ = nullptr;  // on its way to the disk, or to be sent again
  bool sent_ = false;
  store::LateCommit sent_as_;
  uint64_t durable_ = 0;
  uint64_t told_ = 0;  // what the engine knows of durable_
  Duration gather_;    // from the first change to its commit
  uint64_t commits_ = 0;
  uint64_t saved_ = 0;
  uint64_t refused_ = 0;
  store::StoreStatus stored_;  // after the last commit
  Timer gather_timer_;
  Timer retry_timer_;
};

}  // namespace gh
