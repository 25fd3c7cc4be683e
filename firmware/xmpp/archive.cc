// An entry is one row or several: u8 how many, u64 time, u16 size and the other side, the stanza;
// the parts behind the first are stanza alone, behind the same u8.
#include "firmware/xmpp/archive.h"

#include <algorithm>

namespace gh::xmpp {
namespace {

constexpr uint32_t kPartMax = kRowMax - 1;
constexpr uint32_t kPartsMax = (kOutputMax + kAddressMax + 16) / kPartMax + 1;
constexpr Error kBadRow{ErrorCode::kCorrupt, "an archived message is not readable"};

// Of its rows.
uint64_t SizeOf(std::string_view with, std::string_view stanza) {
  const uint64_t size = 10 + with.size() + stanza.size();
  return size + (size + kPartMax - 1) / kPartMax;
}

}  // namespace

void WriteArchiveId(uint64_t number, ByteWriter& out) { out.Hex(number, kNumberDigits); }

bool ReadArchiveId(std::string_view text, uint64_t& number) {
  return text.size() == kNumberDigits && ReadHex(text, number) && number != 0;
}

Archive::Archive(Arena& arena, Keeper& keeper, uint32_t log_max)
    : keeper_(keeper), by_age_(arena.NewArray<ArchiveLog*>(log_max)) {}

uint64_t Archive::byte_max() const {
  return std::min(config_.bytes_max, keeper_.room().capacity / 100 * kArchiveSharePercent);
}

Result<void> Archive::Load(ArchiveLog& log, const RowName& name, std::span<const uint8_t> value) {
  if (name.number == 0 || value.empty()) {
    return kBadRow;
  }
  bytes_ += value.size();
  if (name.part != 0) {
    return Ok();
  }
  ++entries_;
  if (log.first == log.next) {
    log.first = name.number;
    log.oldest = static_cast<int64_t>(ByteReader(value.subspan(1)).U64Be());
    Enlist(log);
  }
  log.next = std::max(log.next, name.number + 1);
  return Ok();
}

uint64_t Archive::Write(const ArchiveLog& log, uint64_t number, int64_t unix_seconds,
                        std::string_view with, std::span<const uint8_t> stanza) {
  uint8_t head_bytes[kAddressMax + 16];
  ByteWriter head(head_bytes);
  head.U64Be(static_cast<uint64_t>(unix_seconds));
  head.U16Be(static_cast<uint16_t>(with.size()));
  head.Text(with);
  const size_t size = head.size() + stanza.size();
  const size_t parts = (size + kPartMax - 1) / kPartMax;
  if (!head.ok() || parts > kPartsMax) {
    return 0;
  }
  uint64_t commit = 0;
  for (uint32_t part = 0; part < parts; ++part) {
    uint8_t bytes[kRowMax];
    ByteWriter row(bytes);
    row.U8(static_cast<uint8_t>(parts));
    if (part == 0) {
      row.Bytes(head.written());
    }
    const size_t take = std::min(row.room(), stanza.size());
    row.Bytes(stanza.first(take));
    stanza = stanza.subspan(take);
    commit = keeper_.Put(RowKey(log.kind, log.id, number, part), row.written());
    if (commit == 0) {
      for (uint32_t done = 0; done < part; ++done) {
        (void)keeper_.Remove(RowKey(log.kind, log.id, number, done));
      }
      return 0;
    }
  }
  return commit;
}

uint64_t Archive::Append(ArchiveLog& log, int64_t unix_seconds, std::string_view with,
                         std::span<const uint8_t> stanza) {
  if (!config_.enabled || config_.entries_max == 0) {
    return 0;
  }
  Trim(log, unix_seconds);
  const uint64_t size = SizeOf(with, AsText(stanza));
  const uint64_t commit = MakeRoom(size) ? Write(log, log.next, unix_seconds, with, stanza) : 0;
  if (commit == 0) {
    ++refused_;
    return 0;
  }
  if (log.first == log.next) {
    log.oldest = unix_seconds;
    Enlist(log);
  }
  log.commit = commit;
  bytes_ += size;
  ++entries_;
  return log.next++;
}

bool Archive::Replace(ArchiveLog& log, const ArchiveEntry& entry) {
  RemoveRows(log, entry.number);
  const uint64_t commit =
      Write(log, entry.number, entry.unix_seconds, entry.with, AsBytes(entry.stanza));
  bytes_ += commit != 0 ? SizeOf(entry.with, entry.stanza) : 0;
  log.commit = std::max(log.commit, commit);
  return commit != 0;
}

bool Archive::Read(const ArchiveLog& log, uint64_t number, std::span<uint8_t> out,
                   ArchiveEntry& entry) {
  size_t used = 0;
  uint32_t parts = 1;
  for (uint32_t part = 0; part < parts; ++part) {
    uint8_t bytes[kRowMax];
    const size_t size = keeper_.Read(RowKey(log.kind, log.id, number, part), bytes);
    if (size < 2 || size - 1 > out.size() - used) {
      return false;
    }
    parts = part == 0 ? bytes[0] : parts;
    std::copy_n(bytes + 1, size - 1, out.begin() + static_cast<std::ptrdiff_t>(used));
    used += size - 1;
  }
  ByteReader reader(out.first(used));
  entry.number = number;
  entry.unix_seconds = static_cast<int64_t>(reader.U64Be());
  entry.with = AsText(reader.Take(reader.U16Be()));
  entry.stanza = AsText(reader.Rest());
  return reader.ok() && !entry.stanza.empty();
}

void Archive::RemoveRows(const ArchiveLog& log, uint64_t number) {
  uint8_t bytes[kRowMax];
  uint32_t parts = 1;
  for (uint32_t part = 0; part < parts; ++part) {
    const RowKey key(log.kind, log.id, number, part);
    const size_t size = keeper_.Read(key, bytes);
    if (size == 0) {
      break;
    }
    parts = part == 0 ? bytes[0] : parts;
    bytes_ -= std::min<uint64_t>(bytes_, size);
    (void)keeper_.Remove(key);
  }
}

void Archive::RemoveOldest(ArchiveLog& log) {
  RemoveRows(log, log.first);
  entries_ -= std::min<uint64_t>(entries_, 1);
  if (++log.first == log.next) {
    Delist(log);
  }
}

int64_t Archive::TimeOfFirst(const ArchiveLog& log) {
  uint8_t bytes[kRowMax];
  const size_t size = keeper_.Read(RowKey(log.kind, log.id, log.first, 0), bytes);
  ByteReader reader(std::span<const uint8_t>(bytes, size));
  reader.Skip(1);
  return static_cast<int64_t>(reader.U64Be());  // not readable: as old as may be
}

// No more than a few at a time: an archive that was made smaller shrinks as it is written to.
void Archive::Trim(ArchiveLog& log, int64_t now) {
  for (uint32_t i = 0; i < 4 && log.next - log.first >= config_.entries_max; ++i) {
    RemoveOldest(log);
  }
  const int64_t oldest = now - config_.days * 86400;
  for (uint32_t i = 0; i < 4 && config_.days > 0 && log.first != log.next; ++i) {
    if (TimeOfFirst(log) >= oldest) {
      return;
    }
    RemoveOldest(log);
  }
}

// False: it is too much whatever goes. Where the store itself runs short twice the size goes: rows
// that are gone leave room in their pages, not always pages.
bool Archive::MakeRoom(uint64_t size) {
  const uint64_t limit = byte_max();
  if (size > limit) {
    return false;
  }
  const KeeperRoom room = keeper_.room();
  const bool is_short = room.used > room.capacity / 100 * kArchiveStorePercent;
  const uint64_t wanted = is_short ? bytes_ - std::min(bytes_, 2 * size) : limit - size;
  for (uint32_t i = 0; i < kArchivePruneMax && bytes_ > wanted && log_count_ > 0; ++i) {
    PruneOldest();
  }
  return bytes_ + size <= limit;
}

// What the heap knows of an archive's age is a bound: it is looked up when it matters.
void Archive::PruneOldest() {
  for (uint32_t i = 0; i < kArchiveLooksMax; ++i) {
    ArchiveLog& log = *by_age_[0];
    const int64_t oldest = TimeOfFirst(log);
    if (oldest <= log.oldest) {
      break;
    }
    log.oldest = oldest;
    Settle(0);
    if (by_age_[0] == &log) {
      break;
    }
  }
  ++pruned_;
  RemoveOldest(*by_age_[0]);
}

void Archive::PutAt(uint32_t place, ArchiveLog* log) {
  by_age_[place] = log;
  log->place = place;
}

// Of the one at `place` alone it is not known that it stands right.
void Archive::Settle(uint32_t place) {
  ArchiveLog* log = by_age_[place];
  for (; place > 0 && log->oldest < by_age_[(place - 1) / 2]->oldest; place = (place - 1) / 2) {
    PutAt(place, by_age_[(place - 1) / 2]);
  }
  for (uint32_t child = 2 * place + 1; child < log_count_; child = 2 * place + 1) {
    if (child + 1 < log_count_ && by_age_[child + 1]->oldest < by_age_[child]->oldest) {
      ++child;
    }
    if (by_age_[child]->oldest >= log->oldest) {
      break;
    }
    PutAt(place, by_age_[child]);
    place = child;
  }
  PutAt(place, log);
}

void Archive::Enlist(ArchiveLog& log) {
  GH_ASSERT_LT(log_count_, by_age_.size());
  PutAt(log_count_++, &log);
  Settle(log.place);
}

void Archive::Delist(ArchiveLog& log) {
  const uint32_t place = log.place;
  GH_ASSERT(place < log_count_ && by_age_[place] == &log);
  log.place = UINT32_MAX;
  ArchiveLog* last = by_age_[--log_count_];
  if (last != &log) {
    PutAt(place, last);
    Settle(place);
  }
}

void Archive::Clear(ArchiveLog& log) {
  while (log.first != log.next) {
    RemoveOldest(log);
  }
}

uint64_t Archive::FirstSince(const ArchiveLog& log, int64_t unix_seconds,
                             std::span<uint8_t> scratch) {
  uint64_t low = log.first;
  uint64_t high = log.next;
  while (low < high) {  // times only grow, but for a clock that was set
    const uint64_t middle = low + (high - low) / 2;
    ArchiveEntry entry;
    if (Read(log, middle, scratch, entry) && entry.unix_seconds >= unix_seconds) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

}  // namespace gh::xmpp
