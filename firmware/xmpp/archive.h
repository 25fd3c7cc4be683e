// Archives of messages (XEP-0313): of an account, and of a room. An archive is a run of numbers;
// its entries are rows of the keeper, and memory holds the run's ends alone.
//
// Bounded thrice: so many entries an archive, of which the oldest go; so many bytes in all, and a
// share of the store's room, for which the oldest of all archives go. An entry counts as archived
// when the keeper's commit is durable, and nobody is told of it before. Fault model: a keeper that
// takes nothing makes Append fail; an entry that cannot be read is passed over.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/xmpp/directory.h"

namespace gh::xmpp {

struct ArchiveConfig {
  bool enabled = true;
  uint32_t entries_max = 1000;               // of one archive
  uint64_t bytes_max = uint64_t{256} << 20;  // of all
  int64_t days = 0;                          // 0: no limit
};

struct ArchiveEntry {
  uint64_t number = 0;
  int64_t unix_seconds = 0;
  std::string_view with;    // the other side, bare; of a room: the nick
  std::string_view stanza;  // with the name space of clients
};

class Archive {
 public:
  // `log_max`: of users and rooms.
  Archive(Arena& arena, Keeper& keeper, uint32_t log_max);
  static constexpr uint64_t ArenaBytes(uint32_t log_max) { return log_max * sizeof(ArchiveLog*); }
  void Apply(const ArchiveConfig& config) { config_ = config; }
  bool enabled() const { return config_.enabled; }
  uint64_t byte_count() const { return bytes_; }
  uint64_t entry_count() const { return entries_; }
  uint64_t refused_count() const { return refused_; }
  // Entries that went for others' sake.
  uint64_t pruned_count() const { return pruned_; }
  // Bytes there may be of all.
  uint64_t byte_max() const;

  // A row as it was kept.
  Result<void> Load(ArchiveLog& log, const RowName& name, std::span<const uint8_t> value);
  // The number it got, 0: it is not kept.
  uint64_t Append(ArchiveLog& log, int64_t unix_seconds, std::string_view with,
                  std::span<const uint8_t> stanza);
  // Another stanza in an entry's place (XEP-0425).
  bool Replace(ArchiveLog& log, const ArchiveEntry& entry);
  // What it holds points into `out`.
  bool Read(const ArchiveLog& log, uint64_t number, std::span<uint8_t> out, ArchiveEntry& entry);
  void Clear(ArchiveLog& log);
  // The first number at or behind `from` whose time is at least `unix_seconds`.
  uint64_t FirstSince(const ArchiveLog& log, int64_t unix_seconds, std::span<uint8_t> scratch);

 private:
  uint64_t Write(const ArchiveLog& log, uint64_t number, int64_t unix_seconds,
                 std::string_view with, std::span<const uint8_t> stanza);
  void RemoveRows(const ArchiveLog& log, uint64_t number);
  void RemoveOldest(ArchiveLog& log);
  void Trim(ArchiveLog& log, int64_t now);
  int64_t TimeOfFirst(const ArchiveLog& log);
  bool MakeRoom(uint64_t size);
  void PruneOldest();
  // The heap of archives that are not empty, the oldest first.
  void Enlist(ArchiveLog& log);
  void Delist(ArchiveLog& log);
  void Settle(uint32_t place);
  void PutAt(uint32_t place, ArchiveLog* log);

  Keeper& keeper_;
  ArchiveConfig config_;
  uint64_t bytes_ = 0;
  uint64_t entries_ = 0;
  uint64_t refused_ = 0;
  uint64_t pruned_ = 0;
  std::span<ArchiveLog*> by_age_;
  uint32_t log_count_ = 0;
};

// An archive's entry is named by its number.
void WriteArchiveId(uint64_t number, ByteWriter& out);
bool ReadArchiveId(std::string_view text, uint64_t& number);

}  // namespace gh::xmpp
