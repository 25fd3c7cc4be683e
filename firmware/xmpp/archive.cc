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

Result<void> Archive::Load(ArchiveLog& log, const RowName& name, std::span<const uint8_t> value) {
  if (name.number == 0 || value.empty()) {
    return kBadRow;
  }
  bytes_ += value.size();
  if (name.part != 0) {
    return Ok();
  }
  ++entries_;
  log.first = log.first == log.next ? name.number : std::min(log.first, name.number);
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
  while (bytes_ + size > config_.bytes_max && log.first != log.next) {
    RemoveOldest(log);
  }
  const uint64_t commit =
      bytes_ + size > config_.bytes_max ? 0 : Write(log, log.next, unix_seconds, with, stanza);
  if (commit == 0) {
    ++refused_;
    return 0;
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
  ++log.first;
}

// No more than a few at a time: an archive that was made smaller shrinks as it is written to.
void Archive::Trim(ArchiveLog& log, int64_t now) {
  for (uint32_t i = 0; i < 4 && log.next - log.first >= config_.entries_max; ++i) {
    RemoveOldest(log);
  }
  const int64_t oldest = now - config_.days * 86400;
  for (uint32_t i = 0; i < 4 && config_.days > 0 && log.first != log.next; ++i) {
    uint8_t bytes[kRowMax];
    const size_t size = keeper_.Read(RowKey(log.kind, log.id, log.first, 0), bytes);
    ByteReader reader(std::span<const uint8_t>(bytes, size));
    reader.Skip(1);
    if (static_cast<int64_t>(reader.U64Be()) >= oldest && size > 0) {
      return;
    }
    RemoveOldest(log);
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
