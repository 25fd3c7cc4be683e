#include "firmware/sip/presence_store.h"

namespace gh::sip {
namespace {

std::string_view EntityOf(std::string_view name, ByteWriter& text) {
  text.Text("sip:");
  text.Text(name);
  return text.text();
}
constexpr size_t kEntityBytesMax = kPresentityBytesMax + 8;

}  // namespace

presence::Parts Publication::parts() const {
  const char* at = overflow != nullptr ? overflow->text : text;
  return {{at, tuples_size},
          {at + tuples_size, notes_size},
          {at + tuples_size + notes_size, others_size},
          is_open};
}

PresenceStore::PresenceStore(Core& core, Arena& arena)
    : core_(core),
      presentities_(arena, core.capacity.presentities),
      publications_(arena, core.capacity.publications),
      overflows_(arena, core.capacity.publication_overflows),
      table_(arena, core.capacity.presentities) {}

uint64_t PresenceStore::HashOf(std::string_view name) const {
  return core_.Hash(kHashPresentity).Add(name).Value();
}

Presentity* PresenceStore::Find(std::string_view name) const {
  return table_.Find(HashOf(name), [&](const Presentity& p) { return p.name.view() == name; });
}

Presentity* PresenceStore::Open(std::string_view name) {
  Presentity* found = Find(name);
  if (found != nullptr) {
    return found;
  }
  found = presentities_.Allocate();
  if (found != nullptr) {
    const bool fits = found->name.Set(name);
    GH_ASSERT(fits);
    found->store = this;
    table_.Insert(*found, HashOf(name));
  }
  return found;
}

void PresenceStore::Settle(Presentity& presentity) {
  if (presentity.first == nullptr && presentity.watchers == nullptr) {
    table_.Remove(presentity);
    presentities_.Release(&presentity);
  }
}

// --- Publications --------------------------------------------------------------------------------

Publication* PresenceStore::FindPublication(const Presentity& presentity, uint64_t tag) {
  Publication* found = presentity.first;
  while (found != nullptr && found->tag != tag) {
    found = found->next;
  }
  return found;
}

bool PresenceStore::SetParts(Publication& publication, const presence::Parts& parts) {
  const std::string_view text = parts.text();
  GH_ASSERT(text.size() <= presence::kPartsBytesMax);
  const bool is_long = text.size() > presence::kPartsBytesInline;
  if (is_long && publication.overflow == nullptr) {
    publication.overflow = overflows_.Allocate();
    if (publication.overflow == nullptr) {
      return false;
    }
  } else if (!is_long && publication.overflow != nullptr) {
    overflows_.Release(publication.overflow);
    publication.overflow = nullptr;
  }
  char* at = is_long ? publication.overflow->text : publication.text;
  if (!text.empty()) {
    std::memcpy(at, text.data(), text.size());
  }
  publication.tuples_size = static_cast<uint16_t>(parts.tuples.size());
  publication.notes_size = static_cast<uint16_t>(parts.notes.size());
  publication.others_size = static_cast<uint16_t>(parts.others.size());
  publication.is_open = parts.is_open;
  return true;
}

Publication* PresenceStore::Put(Presentity& presentity, Publication* publication,
                                const presence::Parts& parts, Duration expiry) {
  const bool is_new = publication == nullptr;
  if (is_new) {
    publication = publications_.Allocate();
    if (publication == nullptr) {
      return nullptr;
    }
  }
  if (!SetParts(*publication, parts)) {
    if (is_new) {
      publications_.Release(publication);
    }
    return nullptr;
  }
  if (is_new) {
    publication->presentity = &presentity;
    publication->number = next_number_++;
    publication->next = presentity.first;
    presentity.first = publication;
    ++presentity.publication_count;
    publication->expiry.Set(
        [](Timer&, void* context) {
          auto* self = static_cast<Publication*>(context);
          self->presentity->store->OnExpiry(*self);
        },
        publication);
  }
  Refresh(*publication, expiry);
  Changed(presentity);
  return publication;
}

void PresenceStore::Refresh(Publication& publication, Duration expiry) {
  publication.tag = core_.random.U64() | 1;
  core_.timers.Arm(publication.expiry, expiry);
}

void PresenceStore::Remove(Publication& publication, std::string_view why) {
  Presentity& presentity = *publication.presentity;
  core_.observer.OnPublicationEnded({.user = presentity.name.view(), .source = {}, .why = why});
  Publication** place = &presentity.first;
  while (*place != &publication) {
    GH_ASSERT(*place != nullptr);
    place = &(*place)->next;
  }
  *place = publication.next;
  --presentity.publication_count;
  core_.timers.Cancel(publication.expiry);
  if (publication.overflow != nullptr) {
    overflows_.Release(publication.overflow);
  }
  publications_.Release(&publication);
  Changed(presentity);
}

void PresenceStore::OnExpiry(Publication& publication) {
  Presentity& presentity = *publication.presentity;
  Remove(publication, "expired");
  Settle(presentity);
}

// --- Watchers ------------------------------------------------------------------------------------

void PresenceStore::Watch(Presentity& presentity, Watcher& watcher) {
  GH_ASSERT(watcher.presentity == nullptr);
  watcher.presentity = &presentity;
  watcher.next = presentity.watchers;
  presentity.watchers = &watcher;
  ++presentity.watcher_count;
}

void PresenceStore::Unwatch(Watcher& watcher) {
  Presentity& presentity = *watcher.presentity;
  Watcher** place = &presentity.watchers;
  while (*place != &watcher) {
    GH_ASSERT(*place != nullptr);
    place = &(*place)->next;
  }
  *place = watcher.next;
  watcher.presentity = nullptr;
  --presentity.watcher_count;
}

void PresenceStore::Changed(Presentity& presentity) {
  uint32_t count = 0;
  for (Watcher* watcher = presentity.watchers; watcher != nullptr; watcher = watcher->next) {
    watcher->changed(*watcher, Duration::Milliseconds(count++ / kNotifyPerMillisecond));
  }
}

// --- Documents -----------------------------------------------------------------------------------

void PresenceStore::Compose(const Presentity& presentity, bool is_registered,
                            ByteWriter& out) const {
  uint8_t bytes[kEntityBytesMax];
  ByteWriter text(bytes);
  const std::string_view entity = EntityOf(presentity.name.view(), text);
  presence::BeginPidf(out, entity);
  if (presentity.first == nullptr) {
    presence::WriteBasic(out, is_registered, entity);
  }
  for (const Publication* p = presentity.first; p != nullptr; p = p->next) {
    out.Text(p->parts().tuples);
  }
  for (const Publication* p = presentity.first; p != nullptr; p = p->next) {
    out.Text(p->parts().notes);
  }
  for (const Publication* p = presentity.first; p != nullptr; p = p->next) {
    out.Text(p->parts().others);
  }
  presence::EndPidf(out);
}

void PresenceStore::ComposeClosed(std::string_view name, ByteWriter& out) {
  uint8_t bytes[kEntityBytesMax];
  ByteWriter text(bytes);
  const std::string_view entity = EntityOf(name, text);
  presence::BeginPidf(out, entity);
  presence::WriteBasic(out, false, entity);
  presence::EndPidf(out);
}

bool PresenceStore::Next(uint32_t& cursor, PresentityInfo& out) {
  for (; cursor < presentities_.capacity(); ++cursor) {
    const Presentity* found = presentities_.At(cursor);
    if (found == nullptr) {
      continue;
    }
    out = {found->name.view(), found->publication_count, found->watcher_count, false};
    for (const Publication* p = found->first; p != nullptr; p = p->next) {
      out.is_open = out.is_open || p->is_open;
    }
    ++cursor;
    return true;
  }
  return false;
}

}  // namespace gh::sip
