#include "firmware/upgrade/snapshots.h"

#include "firmware/config/migrations.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::upgrade {
namespace {

constexpr uint32_t kBuildMax = 64;
constexpr uint32_t kPrefixSize = 3;  // "@A/"
using Key = FixedString<store::kKeyMax>;

char LetterOf(uint32_t slot) { return slot == 0 ? 'A' : 'B'; }

Key PrefixOf(uint32_t slot) {
  Key prefix("@");
  prefix.Append(LetterOf(slot));
  prefix.Append('/');
  return prefix;
}

// Of a row that a snapshot holds: settings, and the note of their schema.
bool IsConfiguration(std::string_view key) {
  return !key.starts_with('@') || key == config::kMarkerKey;
}

// A row's value as text; "" when there is none.
template <uint32_t N>
Result<void> ReadText(store::Store& store, std::string_view key, FixedString<N>& out) {
  Key before(key.substr(0, key.size() - 1));  // the largest prefix of it: behind that it comes
  store::Entry entry;
  out.Clear();
  for (;;) {
    GH_TRY_ASSIGN(const bool found, store.Next(before.view(), entry));
    if (!found || entry.key.view() > key) {
      return Ok();
    }
    if (entry.key == key) {
      out.Assign(AsText(entry.bytes()));
      return Ok();
    }
    before = entry.key;
  }
}

// Removes the rows from `prefix` on, as long as they begin with it.
Result<void> RemovePrefix(store::Store& store, std::string_view prefix) {
  store::Entry entry;
  entry.key.Assign(prefix);
  for (;;) {
    GH_TRY_ASSIGN(const bool found, store.Next(entry.key.view(), entry));
    if (!found || !entry.key.view().starts_with(prefix)) {
      return Ok();
    }
    GH_TRY(store.Remove(entry.key.view()));
  }
}

// Moves the configuration under `prefix`; how many rows.
Result<uint32_t> PutAside(store::Store& store, std::string_view prefix, bool keeps) {
  uint32_t rows = 0;
  store::Entry entry;
  for (;;) {
    GH_TRY_ASSIGN(const bool found, store.Next(entry.key.view(), entry));
    if (!found) {
      return rows;
    }
    if (!IsConfiguration(entry.key.view())) {
      continue;
    }
    if (entry.key.size() + kPrefixSize > store::kKeyMax) {
      return Error(ErrorCode::kTooLarge, "a setting's name is too long to be put aside");
    }
    Key aside(prefix);
    aside.Append(entry.key.view());
    GH_TRY(store.Put(aside.view(), entry.bytes()));
    if (!keeps) {
      GH_TRY(store.Remove(entry.key.view()));
    }
    ++rows;
  }
}

Result<uint32_t> BringBack(store::Store& store, std::string_view prefix) {
  uint32_t rows = 0;
  store::Entry entry;
  entry.key.Assign(prefix);
  for (;;) {
    GH_TRY_ASSIGN(const bool found, store.Next(entry.key.view(), entry));
    if (!found || !entry.key.view().starts_with(prefix)) {
      return rows;
    }
    const std::string_view key = entry.key.view().substr(kPrefixSize);
    if (IsConfiguration(key)) {
      GH_TRY(store.Put(key, entry.bytes()));
      ++rows;
    }
    GH_TRY(store.Remove(entry.key.view()));
  }
}

}  // namespace

void Snapshots::AtStart(store::Store& store, uint32_t slot, std::string_view build) {
  Owner mine;
  mine.Append(LetterOf(slot));
  mine.Append(' ');
  mine.Append(build.substr(0, kBuildMax));
  Owner before;
  FixedString<1> marker;
  if (!ReadText(store, kImageKey, before).ok() || before == mine.view() ||
      !ReadText(store, config::kMarkerKey, marker).ok() || marker.empty()) {
    return;  // our own, or no configuration
  }
  const bool is_slot = before.size() > 2 && (before.view()[0] == 'A' || before.view()[0] == 'B');
  const char other = is_slot ? before.view()[0] : LetterOf(slot);
  taken_ = restored_ = 0;
  const auto run = [&](Result<void> done) {
    if (!done.ok()) {
      store.Rollback();
      return done;
    }
    return store.Commit();
  };
  auto done = store.Begin();
  done = done.ok() && is_slot ? run(Switch({store, slot, mine, before}))
         : done.ok()          ? run(Claim(store, mine))
                              : done;
  if (!done.ok()) {
    observer_.OnSnapshotFailed(other, done.error().what);
    if (done.code() == ErrorCode::kNoSpace && store.Begin().ok()) {
      (void)run(Claim(store, mine)).ok();  // goes on with what is there
    }
    return;
  }
  if (taken_ > 0) {
    observer_.OnSnapshotTaken(other, taken_);
  }
  if (restored_ > 0) {
    observer_.OnSnapshotRestored(LetterOf(slot), restored_);
  }
}

// The other's rows aside, ours back if there are some of this very build.
Result<void> Snapshots::Switch(const Change& change) {
  store::Store& store = change.store;
  const uint32_t other = change.before.view()[0] == 'A' ? 0 : 1;
  const Key aside = PrefixOf(other);
  const Key ours = PrefixOf(change.slot);
  Key our_image = ours;
  our_image.Append(kImageKey);
  Owner kept;
  GH_TRY(ReadText(store, our_image.view(), kept));
  const bool restores = kept == change.mine.view();
  if (other == change.slot) {  // another build in the same slot: nothing to go back to
    GH_TRY(RemovePrefix(store, ours.view()));
    return Claim(store, change.mine);
  }
  GH_TRY(RemovePrefix(store, aside.view()));
  GH_TRY_ASSIGN(taken_, PutAside(store, aside.view(), !restores));
  Key other_image = aside;
  other_image.Append(kImageKey);
  GH_TRY(store.Put(other_image.view(), AsBytes(change.before.view())));
  if (restores) {
    GH_TRY_ASSIGN(restored_, BringBack(store, ours.view()));
  }
  GH_TRY(RemovePrefix(store, ours.view()));
  return Claim(store, change.mine);
}

Result<void> Snapshots::Claim(store::Store& store, const Owner& mine) {
  return store.Put(kImageKey, AsBytes(mine.view()));
}

Result<void> Snapshots::Forget(store::Store& store, uint32_t slot) {
  const Key prefix = PrefixOf(slot);
  store::Entry entry;
  GH_TRY_ASSIGN(const bool found, store.Next(prefix.view(), entry));
  if (!found || !entry.key.view().starts_with(prefix.view())) {
    return Ok();
  }
  GH_TRY(store.Begin());
  if (auto removed = RemovePrefix(store, prefix.view()); !removed.ok()) {
    store.Rollback();
    return removed;
  }
  return store.Commit();
}

}  // namespace gh::upgrade
