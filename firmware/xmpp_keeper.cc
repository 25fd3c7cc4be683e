#include "firmware/xmpp_keeper.h"

#include <algorithm>
#include <cstring>

#include "firmware/events.h"
#include "firmware/store/row_taker.h"
#include "firmware/store/transaction.h"

namespace gh {
namespace {

constexpr uint32_t kChangeMax = 256;
constexpr Duration kGather = Duration::Milliseconds(20);
constexpr Duration kRetry = Duration::Seconds(1);

}  // namespace

XmppKeeper::XmppKeeper(Arena& arena, EventLoop& loop, store::Store& store, log::Log& log,
                       alarm::Alarms& alarms)
    : loop_(loop),
      store_(store),
      log_(log),
      alarms_(alarms),
      changes_(arena.NewArray<Change>(kChangeMax)) {
  timer_.Bind<&XmppKeeper::OnTimer>(this);
}

uint64_t XmppKeeper::ArenaBytes() { return kChangeMax * sizeof(Change) + sizeof(XmppKeeper); }

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
  if (!read.ok() || loader.refused > 0) {
    log_.Emit(log::event::XmppStoreFailed{.reason = read.ok() ? loader.reason : read.error().what});
  }
}

XmppKeeper::Change* XmppKeeper::Find(std::string_view key) {
  const auto used = changes_.first(count_);
  const auto found = std::ranges::find_if(used, [&](const Change& c) { return c.key == key; });
  return found != used.end() ? &*found : nullptr;
}

XmppKeeper::Change* XmppKeeper::Make(std::string_view key) {
  Change* change = Find(key);
  if (change == nullptr) {
    if (count_ == changes_.size() && !Commit()) {
      return nullptr;
    }
    if (count_ == 0) {
      loop_.timers().Arm(timer_, kGather);
    }
    change = &changes_[count_++];
    change->key.Assign(key);
  }
  return change;
}

uint64_t XmppKeeper::Put(std::string_view key, std::span<const uint8_t> value) {
  GH_ASSERT_LE(value.size(), xmpp::kRowMax);
  Change* change = Make(key);
  if (change == nullptr) {
    return 0;
  }
  change->removes = false;
  change->size = static_cast<uint32_t>(value.size());
  std::ranges::copy(value, change->value.begin());
  return durable_ + 1;
}

uint64_t XmppKeeper::Remove(std::string_view key) {
  // A message has a number of its own: one that is still here was never in the store.
  if (Change* change = Find(key);
      change != nullptr && !change->removes && !key.empty() && key[0] == 'm') {
    Change& last = changes_[--count_];
    if (change != &last) {
      *change = last;
    }
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

bool XmppKeeper::Commit() {
  const auto committed = store::InTransaction(store_, [&]() -> Result<void> {
    for (const Change& change : changes_.first(count_)) {
      if (change.removes) {
        GH_TRY(store_.RemoveIn(store::Table::kXmpp, change.key.view()));
      } else {
        GH_TRY(store_.PutIn(store::Table::kXmpp, change.key.view(),
                            std::span(change.value).first(change.size)));
      }
    }
    return Ok();
  });
  alarms_.Set(log::AlarmId::kXmppStore, !committed.ok(), "");
  if (!committed.ok()) {
    log_.Emit(log::event::XmppStoreFailed{.reason = committed.error().what});
    loop_.timers().Arm(timer_, kRetry);
    return false;
  }
  ++commits_;
  ++durable_;
  for (Change& change : changes_.first(count_)) {  // what people wrote
    std::memset(change.value.data(), 0, change.size);
  }
  count_ = 0;
  loop_.timers().Arm(timer_, Duration());
  return true;
}

void XmppKeeper::OnTimer() {
  if (count_ > 0) {
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
  if (const Change* change = Find(key)) {
    const size_t size = std::min<size_t>(change->size, out.size());
    std::copy_n(change->value.begin(), size, out.begin());
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
