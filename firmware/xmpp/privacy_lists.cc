#include "firmware/xmpp/privacy_lists.h"

#include <algorithm>

namespace gh::xmpp {
namespace {

constexpr uint8_t kRowVersion = 1;
constexpr uint8_t kDenies = 0x10;
constexpr uint32_t kHead = 3;  // of a list in the chain: its number, u16 size
constexpr Error kBadRow{ErrorCode::kCorrupt, "a privacy list is not readable"};
constexpr Error kFull{ErrorCode::kExhausted, "no room for the privacy list"};

// The forms an address may have in an item: whole, without resource, a domain with a resource, a
// domain, which has its subdomains in it.
bool IsAbout(std::string_view value, const Address& peer) {
  const std::string_view domain = peer.domain();
  if (value == peer.full() || value == peer.bare() || value == domain) {
    return true;
  }
  if (peer.has_resource() && value.size() == domain.size() + 1 + peer.resource().size() &&
      value.starts_with(domain) && value[domain.size()] == '/' &&
      value.ends_with(peer.resource())) {
    return true;
  }
  return domain.size() > value.size() && domain.ends_with(value) &&
         domain[domain.size() - value.size() - 1] == '.';
}

bool IsAbout(const PrivacyItem& item, const PrivacyPeer& peer) {
  switch (item.by) {
    case PrivacyBy::kAddress:
      return IsAbout(item.value, peer.address);
    case PrivacyBy::kGroup:
      return (peer.state & kInRoster) != 0 && HasGroup(peer.details, item.value);
    case PrivacyBy::kSubscription:
      return item.value == PrivacySubscriptionOf(peer.state);
    default:
      return true;
  }
}

}  // namespace

std::string_view PrivacySubscriptionOf(uint8_t state) {
  switch ((state & kInRoster) != 0 ? state & (kTo | kFrom) : 0) {
    case kTo:
      return "to";
    case kFrom:
      return "from";
    case kTo | kFrom:
      return "both";
    default:
      return "none";
  }
}

bool HasGroup(std::span<const uint8_t> details, std::string_view group) {
  ByteReader reader(details);
  reader.Skip(reader.U16Be());  // the name
  while (reader.ok() && !reader.at_end()) {
    if (AsText(reader.Take(reader.U16Be())) == group) {
      return reader.ok();
    }
  }
  return false;
}

bool PrivacyItem::Read(ByteReader& in, PrivacyItem& out) {
  const uint8_t head = in.U8();
  out.by = static_cast<PrivacyBy>(head & 3);
  out.denies = (head & kDenies) != 0;
  out.kinds = in.U8();
  out.order = in.U32Be();
  out.value = AsText(in.Take(in.U16Be()));
  return in.ok() && (head & ~(kDenies | 3)) == 0 && out.kinds != 0 && out.kinds <= kPrivacyAll &&
         out.value.empty() == (out.by == PrivacyBy::kAnybody);
}

void PrivacyItem::Write(ByteWriter& out) const {
  out.U8(static_cast<uint8_t>(static_cast<uint32_t>(by) | (denies ? kDenies : 0u)));
  out.U8(kinds);
  out.U32Be(order);
  out.U16Be(static_cast<uint16_t>(value.size()));
  out.Text(value);
}

bool PrivacyList::Read(std::span<const uint8_t> bytes, PrivacyList& out) {
  ByteReader reader(bytes);
  const uint8_t version = reader.U8();
  out.name = AsText(reader.Take(reader.U8()));
  out.items = reader.Rest();
  uint32_t count = 0;
  ByteReader items(out.items);
  for (PrivacyItem item; !items.at_end(); ++count) {
    if (!PrivacyItem::Read(items, item)) {
      return false;
    }
  }
  return reader.ok() && version == kRowVersion && !out.name.empty() && count <= kPrivacyItemsMax &&
         bytes.size() <= kPrivacyListBytesMax;
}

// The first item that is about it decides (section 2.2).
bool PrivacyList::Denies(const PrivacyPeer& peer, uint8_t kind) const {
  ByteReader reader(items);
  for (PrivacyItem item; !reader.at_end() && PrivacyItem::Read(reader, item);) {
    if ((item.kinds & kind) != 0 && (!peer.is_service || item.by == PrivacyBy::kAddress) &&
        IsAbout(item, peer)) {
      return item.denies;
    }
  }
  return false;
}

// --- Places --------------------------------------------------------------------------------------

bool PrivacyLists::At(const Account& account, uint32_t from, Place& out) const {
  uint8_t head[kHead];
  if (chains_.Copy(account.privacy, from, head) < kHead) {
    return false;
  }
  ByteReader reader(head);
  out.number = reader.U8();
  out.size = reader.U16Be();
  out.from = from + kHead;
  return true;
}

bool PrivacyLists::FindPlace(const Account& account, uint8_t number, Place& out) const {
  for (uint32_t from = 0; number != 0 && At(account, from, out); from = out.from + out.size) {
    if (out.number == number) {
      return true;
    }
  }
  return false;
}

uint8_t PrivacyLists::Next(const Account& account, uint8_t number) const {
  Place place;
  if (number != 0 && !FindPlace(account, number, place)) {
    return 0;
  }
  return At(account, place.from + place.size, place) ? place.number : uint8_t{0};
}

PrivacyList PrivacyLists::Read(const Account& account, uint8_t number, PrivacyBytes& out) const {
  Place place;
  PrivacyList list;
  if (FindPlace(account, number, place)) {
    const auto bytes = std::span(out).first(place.size);
    (void)chains_.Copy(account.privacy, place.from, bytes);
    const bool is_list = PrivacyList::Read(bytes, list);
    GH_ASSERT(is_list);
  }
  return list;
}

uint8_t PrivacyLists::Find(const Account& account, std::string_view name) const {
  Place place;
  for (uint32_t from = 0; At(account, from, place); from = place.from + place.size) {
    uint8_t bytes[2 + kPrivacyNameMax];
    (void)chains_.Copy(account.privacy, place.from, bytes);
    if (bytes[1] == name.size() && AsText(std::span(bytes).subspan(2, bytes[1])) == name) {
      return place.number;
    }
  }
  return 0;
}

uint32_t PrivacyLists::CountOf(const Account& account) const {
  uint32_t count = 0;
  for (uint8_t number = 0; (number = Next(account, number)) != 0;) {
    ++count;
  }
  return count;
}

// --- Changes -------------------------------------------------------------------------------------

bool PrivacyLists::Build(const Account& account, const Place& place, uint8_t number,
                         std::span<const uint8_t> list, Chain& fresh) {
  const auto copy = [&](uint32_t from, uint32_t end) {
    while (from < end) {
      uint8_t bytes[ChainPool::kBlockBytes];
      const auto some = std::span(bytes).first(std::min<size_t>(sizeof(bytes), end - from));
      (void)chains_.Copy(account.privacy, from, some);
      if (!chains_.Append(fresh, some)) {
        return false;
      }
      from += static_cast<uint32_t>(some.size());
    }
    return true;
  };
  const uint32_t start = place.number != 0 ? place.from - kHead : account.privacy.size;
  const uint32_t rest = place.number != 0 ? place.from + place.size : account.privacy.size;
  uint8_t bytes[kHead];
  ByteWriter head(bytes);
  head.U8(number);
  head.U16Be(static_cast<uint16_t>(list.size()));
  if (!copy(0, start) ||
      (!list.empty() && (!chains_.Append(fresh, bytes) || !chains_.Append(fresh, list))) ||
      !copy(rest, account.privacy.size)) {
    chains_.Free(fresh);
    return false;
  }
  return true;
}

void PrivacyLists::Take(Account& account, Chain fresh) {
  chains_.Free(account.privacy);
  account.privacy = fresh;
}

Result<void> PrivacyLists::Put(Account& account, std::span<const uint8_t> bytes) {
  PrivacyList list;
  const bool is_list = PrivacyList::Read(bytes, list);
  GH_ASSERT(is_list);
  Place place;
  uint8_t number = Find(account, list.name);
  if (!FindPlace(account, number, place)) {
    for (number = 1; FindPlace(account, number, place);) {
      ++number;
    }
    place = Place();
  }
  const uint32_t before = place.number != 0 ? kHead + place.size : 0;
  const size_t size = account.privacy.size - before + kHead + bytes.size();
  Chain fresh;
  if (number > kPrivacyListsMax || size > kPrivacyBytesMax ||
      !Build(account, place, number, bytes, fresh)) {
    return kFull;
  }
  if (keeper_.Put(RowKey('q', account.id, number), bytes) == 0) {
    chains_.Free(fresh);
    return kFull;
  }
  Take(account, fresh);
  return Ok();
}

bool PrivacyLists::Remove(Account& account, uint8_t number) {
  Place place;
  Chain fresh;
  if (!FindPlace(account, number, place) || !Build(account, place, 0, {}, fresh)) {
    return false;
  }
  if ((account.privacy_default == number && !SetDefault(account, 0)) ||
      keeper_.Remove(RowKey('q', account.id, number)) == 0) {
    chains_.Free(fresh);
    return false;
  }
  Take(account, fresh);
  return true;
}

bool PrivacyLists::SetDefault(Account& account, uint8_t number) {
  const RowKey key('q', account.id);
  if ((number != 0 ? keeper_.Put(key, std::span(&number, 1)) : keeper_.Remove(key)) == 0) {
    return false;
  }
  account.privacy_default = number;
  return true;
}

void PrivacyLists::RemoveAll(Account& account) {
  for (uint8_t number = 0; (number = Next(account, number)) != 0;) {
    (void)keeper_.Remove(RowKey('q', account.id, number));
  }
  if (account.privacy_default != 0) {
    (void)SetDefault(account, 0);
  }
  chains_.Free(account.privacy);
}

// The default's number comes before the lists: it has the shorter key.
Result<void> PrivacyLists::Load(Account& account, const RowName& name,
                                std::span<const uint8_t> value) {
  if (name.number == 0) {
    account.privacy_default = value.size() == 1 ? value[0] : uint8_t{0};
    return value.size() == 1 && value[0] <= kPrivacyListsMax ? Ok() : Result<void>(kBadRow);
  }
  PrivacyList list;
  if (name.number > kPrivacyListsMax || !PrivacyList::Read(value, list) ||
      Find(account, list.name) != 0) {
    return kBadRow;
  }
  Chain fresh;
  if (!Build(account, Place(), static_cast<uint8_t>(name.number), value, fresh)) {
    return kFull;
  }
  Take(account, fresh);
  return Ok();
}

}  // namespace gh::xmpp
