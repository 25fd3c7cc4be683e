#include "firmware/messaging/xmpp_keeper.h"

#include <algorithm>
#include <cstring>

#include "firmware/messaging/limits.h"
#include "firmware/store/row_taker.h"
#include "firmware/store/transaction.h"

namespace gh {
namespace {

constexpr uint32_t kValueBytesMax = 1u << 20;
static_assert(kValueBytesMax >= xmpp::kMessagePartsMax * xmpp::kRowMax);
constexpr Duration kGather = Duration::Milliseconds(20);
constexpr Duration kGatherMax = Duration::Milliseconds(300);
constexpr int64_t kRestPerCommit = 3;  // of a commit's own time
constexpr Duration kRetry = Duration::Seconds(1);

}  // namespace

XmppKeeper::Batch::Batch(Arena& arena)
    : by_key(arena, kXmppChangeMax, SipKey{}),  // keys are ours, not the wire's
      values(arena.NewArray<uint8_t>(kValueBytesMax)) {}

XmppKeeper::XmppKeeper(Arena& arena, EventLoop& loop, hal::Clock& clock, store::Store& store,
                       log::Log& log, alarm::Alarms& alarms)
    : loop_(loop),
      clock_(clock),
      store_(store),
      log_(log),
      alarms_(alarms),
      changes_(arena, 2 * kXmppChangeMax),
      batches_{Batch(arena), Batch(arena)},
      gather_(kGather) {
  gather_timer_.Bind<&XmppKeeper::OnGathered>(this);
  retry_timer_.Bind<&XmppKeeper::OnRetry>(this);
  loop_.Add(*this);
}

uint64_t XmppKeeper::ArenaBytes() {
  const uint64_t batch =
      kXmppChangeMax * Pool<Change>::bytes_per_item() +
      HashTable<Change, &Change::by_key, ChangeByKey>::bytes_for(kXmppChangeMax) + kValueBytesMax;
  return 2 * batch + sizeof(XmppKeeper) + 256;
}

xmpp::KeeperRoom XmppKeeper::room() const {
  const bool is_bounded = stored_.persistent && stored_.bytes_capacity > 0;
  const uint64_t unsent = flight_ != nullptr && !sent_ ? flight_->used : 0;
  return {stored_.bytes_used + unsent + gathered_->used,
          is_bounded ? stored_.bytes_capacity : UINT64_MAX};
}

uint32_t XmppKeeper::pending_count() const {
  return batches_[0].by_key.size() + batches_[1].by_key.size();
}

void XmppKeeper::Load() {
  class Loader final : public store::EntryVisitor {
   public:
    Loader(xmpp::Engine& engine) : engine_(engine) {}
    void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
      if (auto loaded = engine_.Load(key, value); !loaded.ok()) {
        ++refused;
        reason = loaded.error().what;
      }
    }
    uint32_t refused = 0;
    const char* reason = "";

   private:
    xmpp::Engine& engine_;
  };
  Loader loader(*engine_);
  const auto read = store_.ForEachIn(store::Table::kXmpp, "", UINT32_MAX, loader);
  stored_ = store_.status();
  if (!read.ok() || loader.refused > 0) {
    log_.Emit(log::event::XmppStoreFailed{.reason = read.ok() ? loader.reason : read.error().what});
  }
  if (read.ok()) {  // else it may be there
    engine_->KeepSecret();
  }
  const xmpp::Adoption adoption = engine_->AdoptDomains();
  if (adoption.taken + adoption.left > 0) {
    log_.Emit(log::event::XmppContactsChanged{.by = "system",
                                              .job = "addresses out of the form that DNS has",
                                              .done = adoption.taken,
                                              .ignored = adoption.left});
  }
}

// Null: there is no room, and what is there cannot be committed.
XmppKeeper::Change* XmppKeeper::Make(std::string_view key) {
  if (Change* change = gathered_->by_key.Find(key)) {
    return change;
  }
  if (gathered_->by_key.size() == kXmppChangeMax && !MakeRoom()) {
    return nullptr;
  }
  Change* change = changes_.Allocate();
  GH_ASSERT(change != nullptr);
  change->key.Assign(key);
  if (gathered_->by_key.Insert(*change) != HashInsert::kInserted) {
    changes_.Release(change);
    return nullptr;
  }
  if (gathered_->order.empty() && !gather_timer_.armed()) {
    loop_.timers().Arm(gather_timer_, gather_);
  }
  gathered_->order.PushBack(*change);
  return change;
}

// Bytes of the buffer for a value; false: nothing has changed.
bool XmppKeeper::Reserve(Change& change, uint32_t size) {
  if (size <= change.room) {
    return true;
  }
  Batch& batch = *gathered_;
  const bool is_last = change.at + change.room == batch.used;
  const uint32_t from = is_last ? change.at : batch.used;
  if (size > batch.values.size() - from) {
    return false;
  }
  change.at = from;
  change.room = size;
  batch.used = from + size;
  return true;
}

void XmppKeeper::Forget(Batch& batch, Change& change) {
  std::memset(batch.values.data() + change.at, 0, change.room);  // what people wrote
  if (change.at + change.room == batch.used) {
    batch.used -= change.room;
  }
  batch.by_key.Remove(change);
  batch.order.Remove(change);
  changes_.Release(&change);
  if (batch.order.empty()) {
    batch.used = 0;
  }
}

uint64_t XmppKeeper::Put(std::string_view key, std::span<const uint8_t> value) {
  GH_ASSERT_LE(value.size(), xmpp::kRowMax);
  const bool is_message = key[0] == 'm' || key[0] == 't' || key[0] == 'u';
  const xmpp::KeeperRoom room = this->room();
  if (room.used >
      room.capacity / 100 * (is_message ? xmpp::kMessageStorePercent : xmpp::kRowStorePercent)) {
    ++refused_;
    return 0;
  }
  const auto size = static_cast<uint32_t>(value.size());
  Change* change = Make(key);
  if (change != nullptr && !Reserve(*change, size)) {
    // The change as it was goes with the others.
    const bool is_new = change->room == 0 && !change->removes;
    if (is_new) {
      Forget(*gathered_, *change);
    }
    change = MakeRoom() ? Make(key) : nullptr;
    if (change != nullptr && !Reserve(*change, size)) {
      Forget(*gathered_, *change);
      return 0;
    }
  }
  if (change == nullptr) {
    return 0;
  }
  change->removes = false;
  change->size = size;
  std::ranges::copy(value, gathered_->values.begin() + change->at);
  return gathering();
}

uint64_t XmppKeeper::Remove(std::string_view key) {
  // A message has a number of its own: one that is still here was never in the store.
  if (Change* change = gathered_->by_key.Find(key);
      change != nullptr && !change->removes && !key.empty() && key[0] == 'm') {
    Forget(*gathered_, *change);
    saved_ += 2;
    return gathering();
  }
  Change* change = Make(key);
  if (change == nullptr) {
    return 0;
  }
  change->removes = true;
  change->size = 0;
  return gathering();
}

// --- To the disk ---------------------------------------------------------------------------------

Result<store::LateCommit> XmppKeeper::CommitRows(bool removals_alone) {
  return store::InLateTransaction(store_, [&]() -> Result<void> {
    for (const Change& change : flight_->order) {
      if (change.removes) {
        GH_TRY(store_.RemoveIn(store::Table::kXmpp, change.key.view()));
      } else if (!removals_alone) {
        GH_TRY(store_.PutIn(store::Table::kXmpp, change.key.view(),
                            flight_->values.subspan(change.at, change.size)));
      }
    }
    return Ok();
  });
}

// What is gathered is on its way from now on; false: the store did not take it yet.
bool XmppKeeper::Commit() {
  GH_ASSERT(flight_ == nullptr);
  flight_ = gathered_;
  gathered_ = flight_ == &batches_[0] ? &batches_[1] : &batches_[0];
  loop_.timers().Cancel(gather_timer_);
  return Send();
}

bool XmppKeeper::Send() {
  const Instant begin = clock_.Now();
  auto committed = CommitRows(false);
  if (committed.code() == ErrorCode::kNoSpace && CommitRows(true).ok()) {
    committed = CommitRows(false);  // there is room now
  }
  gather_ = std::clamp(Duration{(clock_.Now() - begin).ns * kRestPerCommit}, kGather, kGatherMax);
  stored_ = store_.status();
  sent_ = committed.ok();
  if (!sent_) {
    OnFault(committed.error().what);
    return false;
  }
  sent_as_ = *committed;
  return true;
}

void XmppKeeper::OnFault(const char* reason) {
  sent_ = false;
  alarms_.Set(log::AlarmId::kXmppStore, true, "");
  log_.Emit(log::event::XmppStoreFailed{.reason = reason});
  loop_.timers().Arm(retry_timer_, kRetry);
}

// True: nothing is on its way any more.
bool XmppKeeper::Land() {
  const auto state = sent_ ? store_.StateOf(sent_as_) : store::CommitState::kUnderWay;
  if (flight_ == nullptr) {
    return true;
  }
  if (state == store::CommitState::kLost) {
    OnFault("the disk failed");
  }
  if (state != store::CommitState::kDurable) {
    return false;
  }
  while (Change* change = flight_->order.front()) {
    Forget(*flight_, *change);
  }
  flight_ = nullptr;
  sent_ = false;
  ++commits_;
  ++durable_;
  alarms_.Set(log::AlarmId::kXmppStore, false, "");
  return true;
}

// For the rare moment that cannot go on without: the disk is waited for.
bool XmppKeeper::MakeRoom() {
  if (flight_ != nullptr && !sent_ && !Send()) {
    return false;
  }
  store_.Drain();
  if (!Land()) {
    return false;
  }
  (void)Commit();  // tried again, if need be: the other batch is empty
  return true;
}

void XmppKeeper::Flush() {
  for (int turn = 0; turn < 2 && (flight_ != nullptr || !gathered_->order.empty()); ++turn) {
    const bool is_sent = flight_ == nullptr ? Commit() : sent_ || Send();
    if (!is_sent) {
      return;
    }
    store_.Drain();
    (void)Land();
  }
  durable_ += flight_ == nullptr && gathered_->order.empty() ? 1 : 0;
}

// --- Time ----------------------------------------------------------------------------------------

void XmppKeeper::OnGathered() {
  if (!Land()) {
    loop_.timers().Arm(gather_timer_, kGather);  // the disk still has the last one
    return;
  }
  if (gathered_->order.empty()) {
    ++durable_;  // what was to be in this commit has no need of it any more
  } else if (Commit()) {
    (void)Land();
  }
  Tell();
}

void XmppKeeper::OnRetry() {
  if (flight_ != nullptr && !sent_ && Send()) {
    (void)Land();
    Tell();
  }
}

bool XmppKeeper::Poll(Instant) {
  if (flight_ != nullptr) {
    (void)Land();
  }
  Tell();
  return false;
}

// Never from inside one of the engine's calls.
void XmppKeeper::Tell() {
  if (told_ != durable_ && engine_ != nullptr) {
    told_ = durable_;
    engine_->OnDurable();
  }
}

size_t XmppKeeper::Read(std::string_view key, std::span<uint8_t> out) {
  for (const Batch* batch : {gathered_, flight_}) {
    const Change* change = batch != nullptr ? batch->by_key.Find(key) : nullptr;
    if (change != nullptr) {
      const size_t size = std::min<size_t>(change->size, out.size());
      std::copy_n(batch->values.begin() + change->at, size, out.begin());
      return change->removes ? 0 : size;
    }
  }
  // Behind the greatest key before it: the same with a smaller last character.
  FixedString<32> before(key.substr(0, key.size() - 1));
  before.Append(static_cast<char>(key.back() - 1));
  before.Append('\x7f');
  store::RowTaker one(key, out);
  const auto read = store_.ForEachIn(store::Table::kXmpp, before.view(), 1, one);
  return read.ok() ? one.size : 0;
}

}  // namespace gh
