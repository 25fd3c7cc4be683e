// What is known of users' presence: the event state compositor of RFC 3903. A user (presentity) has
// publications, each of one device or other source, found again by its entity tag; and watchers,
// who are told when something changes. Nothing here knows of PUBLISH or SUBSCRIBE: a gateway to
// another protocol publishes and watches as phones do.
//
// A presentity exists as long as somebody publishes for it or watches it. Tags are random: who has
// not been told one cannot change a publication.
#pragma once

#include <string_view>

#include "firmware/presence/pidf.h"
#include "firmware/sip/core.h"
#include "firmware/sip/table.h"
#include "hal/rt/pool.h"

namespace gh::sip {

struct Presentity;
class PresenceStore;

// Whoever is to be told, at the earliest `after` now, so that many are not told at once.
struct Watcher {
  Watcher* next = nullptr;
  Presentity* presentity = nullptr;
  void (*changed)(Watcher& watcher, Duration after) = nullptr;
};

struct PublicationOverflow {
  char text[presence::kPartsBytesMax];
};

struct Publication {
  Timer expiry;
  Publication* next = nullptr;  // of the same user, the latest first
  Presentity* presentity = nullptr;
  PublicationOverflow* overflow = nullptr;
  uint64_t tag = 0;
  uint32_t number = 0;  // in the ids of its tuples
  uint16_t tuples_size = 0;
  uint16_t notes_size = 0;
  uint16_t others_size = 0;
  bool is_open = false;
  char text[presence::kPartsBytesInline];

  presence::Parts parts() const;
};

struct Presentity {
  TableNode<Presentity> node;
  PresenceStore* store = nullptr;
  Publication* first = nullptr;
  Watcher* watchers = nullptr;
  uint32_t publication_count = 0;
  uint32_t watcher_count = 0;
  FixedText<kPresentityBytesMax> name;  // user@host
};

// One line of a list.
struct PresentityInfo {
  std::string_view user;
  uint32_t publications = 0;
  uint32_t watchers = 0;
  bool is_open = false;  // by its publications
};

class PresenceStore {
 public:
  PresenceStore(Core& core, Arena& arena);

  Presentity* Find(std::string_view name) const;
  // Null: there is no room for another. Settle() ends one that nobody needs any more.
  Presentity* Open(std::string_view name);
  void Settle(Presentity& presentity);

  static Publication* FindPublication(const Presentity& presentity, uint64_t tag);
  // What the ids of the next new publication begin with.
  uint32_t next_number() const { return next_number_; }
  // A new one (`publication` null) or another state of an old one; it gets a new tag. Null: there
  // is no room, and what was there stays.
  Publication* Put(Presentity& presentity, Publication* publication, const presence::Parts& parts,
                   Duration expiry);
  void Refresh(Publication& publication, Duration expiry);
  void Remove(Publication& publication, std::string_view why);

  void Watch(Presentity& presentity, Watcher& watcher);
  void Unwatch(Watcher& watcher);
  void Changed(Presentity& presentity);

  // All publications in one document; without any, `is_registered` decides.
  void Compose(const Presentity& presentity, bool is_registered, ByteWriter& out) const;
  // What a user looks like who is not to be seen.
  static void ComposeClosed(std::string_view name, ByteWriter& out);

  bool Next(uint32_t& cursor, PresentityInfo& out);
  Presentity* At(uint32_t index) { return presentities_.At(index); }
  uint32_t capacity() const { return presentities_.capacity(); }
  uint32_t count() const { return presentities_.used_count(); }
  uint32_t publication_count() const { return publications_.used_count(); }
  static constexpr uint64_t bytes_per_presentity() {
    return Pool<Presentity>::bytes_per_item() + 2 * sizeof(void*);
  }
  static constexpr uint64_t bytes_per_publication() { return Pool<Publication>::bytes_per_item(); }

 private:
  uint64_t HashOf(std::string_view name) const;
  bool SetParts(Publication& publication, const presence::Parts& parts);
  void OnExpiry(Publication& publication);

  Core& core_;
  Pool<Presentity> presentities_;
  Pool<Publication> publications_;
  Pool<PublicationOverflow> overflows_;
  Table<Presentity, &Presentity::node> table_;
  uint32_t next_number_ = 1;
};

}  // namespace gh::sip
