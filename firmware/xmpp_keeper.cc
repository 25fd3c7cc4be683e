#include "firmware/xmpp_keeper.h"

#include <algorithm>
#include <cstring>

#include "firmware/events.h"
#include "firmware/store/row_taker.h"
#include "firmware/store/transaction.h"

namespace gh {
namespace {

constexpr uint32_t kChangeMax = 2048;
constexpr uint32_t kValueBytesMax = 1u << 20;
static_assert(kValueBytesMax >= xmpp::kMessagePartsMax * xmpp::kRowMax);
constexpr Duration kGather = Duration::Milliseconds(20);
constexpr Duration kGatherMax = Duration::Milliseconds(300);
constexpr int64_t kRestPerCommit = 3;  // of a commit's own time
constexpr Duration kRetry = Duration::Seconds(1);

}  // namespace

XmppKeeper::XmppKeeper(Arena& arena, EventLoop& loop, hal::Clock& clock, store::Store& store,
                       log::Log& log, alarm::Alarms& alarms)
    : loop_(loop),
      clock_(clock),
      store_(store),
      log_(log),
      alarms_(alarms),
      changes_(arena, kChangeMax),
      by_key_(arena, kChangeMax, SipKey{}),  // keys are ours, not the wire's
      values_(arena.NewArray<uint8_t>(kValueBytesMax)),
      gather_(kGather) {
  timer_.Bind<&XmppKeeper::OnTimer>(this);
}

uint64_t XmppKeeper::ArenaBytes() {
  return kChangeMax * Pool<Change>::bytes_per_item() + decltype(by_key_)::bytes_for(kChangeMax) +
         kValueBytesMax + sizeof(XmppKeeper) + 256;
}

xmpp::KeeperRoom XmppKeeper::room() const {
  const bool is_bounded = stored_.persistent && stored_.bytes_capacity > 0;
  return {stored_.bytes_used + used_, is_bounded ? stored_.bytes_capacity : UINT64_MAX};
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
}

// Null: there is no room, and what is there cannot be committed.
XmppKeeper::Change* XmppKeeper::Make(std::string_view key) {
  if (Change* change = by_key_.Find(key)) {
    return change;
  }
  Change* change = changes_.Allocate();
  if (change == nullptr) {
    change = Commit() ? changes_.Allocate() : nullptr;
  }
  if (change == nullptr) {
    return nullptr;
  }
  change->key.Assign(key);
  if (by_key_.Insert(*change) != HashInsert::kInserted) {
    changes_.Release(change);
    return nullptr;
  }
  if (order_.empty()) {
    loop_.timers().Arm(timer_, gather_);
  }
  order_.PushBack(*change);
  return change;
}

// Bytes of the buffer for a value; false: nothing has changed.
bool XmppKeeper::Reserve(Change& change, uint32_t size) {
  if (size <= change.room) {
    return true;
  }
  const bool is_last = change.at + change.room == used_;
  const uint32_t from = is_last ? change.at : used_;
  if (size > values_.size() - from) {
    return false;
  }
  change.at = from;
  change.room = size;
  used_ = from + size;
  return true;
}

void XmppKeeper::Forget(Change& change) {
  std::memset(values_.data() + change.at, 0, change.room);  // what people wrote
  if (change.at + change.room == used_) {
    used_ -= change.room;
  }
  by_key_.Remove(change);
  order_.Remove(change);
  changes_.Release(&change);
  if (order_.empty()) {
    used_ = 0;
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
      Forget(*change);
    }
    change = Commit() ? Make(key) : nullptr;
    if (change != nullptr && !Reserve(*change, size)) {
      Forget(*change);
      return 0;
    }
  }
  if (change == nullptr) {
    return 0;
  }
  change->removes = false;
  change->size = size;
  std::ranges::copy(value, values_.begin() + change->at);
  return durable_ + 1;
}

uint64_t XmppKeeper::Remove(std::string_view key) {
  // A message has a number of its own: one that is still here was never in the store.
  if (Change* change = by_key_.Find(key);
      change != nullptr && !change->removes && !key.empty() && key[0] == 'm') {
    Forget(*change);
    saved_ += 2;
    return durable_ + 1;
  }
  Change* change = Make(key);
  if (change == nullptr) {
    return 0;
  }
  change->removes = true;
  change->size = 0;
  return durable_ + 1;
}

// What the engine waits for is told by the timer, never from inside one of its calls.
void XmppKeeper::Flush() { (void)Commit(); }

Result<void> XmppKeeper::CommitRows(bool removals_alone) {
  return store::InTransaction(store_, [&]() -> Result<void> {
    for (const Change& change : order_) {
      if (change.removes) {
        GH_TRY(store_.RemoveIn(store::Table::kXmpp, change.key.view()));
      } else if (!removals_alone) {
        GH_TRY(store_.PutIn(store::Table::kXmpp, change.key.view(),
                            values_.subspan(change.at, change.size)));
      }
    }
    return Ok();
  });
}

void XmppKeeper::ForgetCommitted(bool removals_alone) {
  for (Change* change = order_.front(); change != nullptr;) {
    Change* const next = order_.Next(*change);
    if (change->removes || !removals_alone) {
      Forget(*change);
    }
    change = next;
  }
}

bool XmppKeeper::Commit() {
  const Instant begin = clock_.Now();
  auto committed = CommitRows(false);
  if (committed.code() == ErrorCode::kNoSpace && CommitRows(true).ok()) {
    ForgetCommitted(true);  // room for the others, and for what others of the store have to keep
    committed = CommitRows(false);
  }
  gather_ = std::clamp(Duration{(clock_.Now() - begin).ns * kRestPerCommit}, kGather, kGatherMax);
  stored_ = store_.status();
  alarms_.Set(log::AlarmId::kXmppStore, !committed.ok(), "");
  if (!committed.ok()) {
    log_.Emit(log::event::XmppStoreFailed{.reason = committed.error().what});
    loop_.timers().Arm(timer_, kRetry);
    return false;
  }
  ++commits_;
  ++durable_;
  ForgetCommitted(false);
  loop_.timers().Arm(timer_, Duration());
  return true;
}

void XmppKeeper::OnTimer() {
  if (!order_.empty()) {
    if (!Commit()) {
      return;
    }
    loop_.timers().Cancel(timer_);
  } else {
    ++durable_;  // what was to be in this commit has no need of it any more
  }
  engine_->OnDurable();
}

size_t XmppKeeper::Read(std::string_view key, std::span<uint8_t> out) {
  if (const Change* change = by_key_.Find(key)) {
    const size_t size = std::min<size_t>(change->size, out.size());
    std::copy_n(values_.begin() + change->at, size, out.begin());
    return change->removes ? 0 : size;
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
