// Allocate and Refresh (RFC 8656 7 and 8), reservations, mobility (RFC 8016), and how it all ends.
#include <algorithm>

#include "firmware/turn/engine.h"

namespace gh::turn {
namespace {

constexpr uint8_t kUdp = 17;
constexpr uint8_t kTcp = 6;
// ADDITIONAL-ADDRESS-FAMILY by the number of a draft, which coturn's clients still use.
constexpr uint16_t kAdditionalAddressFamilyDraft = 0x8032;
constexpr uint8_t kFamilyIpv4 = 1;
constexpr uint8_t kFamilyIpv6 = 2;
// Holds a reserved port in RelayPorts: no allocation has this index.
constexpr uint32_t kReservedOwner = UINT32_MAX - 1;
static_assert(kReservedOwner != RelayPorts::kNobody);
constexpr size_t kTicketSize = 24;  // index, generation, 16 secret bytes

}  // namespace

struct Engine::Wanted {
  std::array<bool, kFamilyCount> family = {};
  bool is_additional = false;  // the IPv6 one is a wish, not a demand
  bool is_even = false;
  bool reserves_next = false;
  std::span<const uint8_t> token;  // of a reservation
  bool is_mobile = false;
  bool is_tcp = false;
  uint16_t additional_error = 0;
  std::array<uint8_t, 8> reserved_token = {};
  bool has_reserved = false;
};

net::Endpoint Engine::Bound(uint32_t family, uint16_t port) const {
  return {config_.relay[family], port};
}

net::Endpoint Engine::Shown(uint32_t family, uint16_t port) const {
  const net::IpAddress& shown = config_.shown[family];
  return {shown.is_none() ? config_.relay[family] : shown, port};
}

// Never beyond the end of the token that let the client in.
uint32_t Engine::LifetimeOf(const Request& request) const {
  const auto wanted = request.message.U32(kLifetime);
  const uint32_t granted = !wanted.ok() ? config_.lifetime_default_s
                                        : std::min(std::max(*wanted, config_.lifetime_default_s),
                                                   config_.lifetime_max_s);
  return std::min(granted, request.identity.lifetime_max_s);
}

// 0, or the code of the refusal.
uint16_t Engine::ReadWanted(const Request& request, Wanted& wanted) {
  const Message& message = request.message;
  const auto transport = message.Value(kRequestedTransport);
  if (transport.size() != 4) {
    return 400;
  }
  wanted.is_tcp = transport[0] == kTcp && config_.allows_tcp;
  if (transport[0] != kUdp && !wanted.is_tcp) {
    return 442;
  }
  // RFC 6062 5.1
  if (wanted.is_tcp &&
      (request.path.transport != ClientTransport::kStream || message.Has(kDontFragment) ||
       message.Has(kEvenPort) || message.Has(kReservationToken))) {
    return 400;
  }
  const auto requested = message.Value(kRequestedAddressFamily);
  const uint16_t additional_type = message.Has(kAdditionalAddressFamilyDraft)
                                       ? kAdditionalAddressFamilyDraft
                                       : uint16_t{kAdditionalAddressFamily};
  const auto additional = message.Value(additional_type);
  const auto even = message.Value(kEvenPort);
  wanted.token = message.Value(kReservationToken);
  const bool has_token = message.Has(kReservationToken);
  wanted.is_even = message.Has(kEvenPort);
  wanted.reserves_next = wanted.is_even && !even.empty() && (even[0] & 0x80) != 0;
  wanted.is_additional = message.Has(additional_type);
  const bool has_requested = message.Has(kRequestedAddressFamily);
  if ((has_token &&
       (wanted.token.size() != 8 || wanted.is_even || has_requested || wanted.is_additional)) ||
      (wanted.is_even && even.size() != 1) ||
      (wanted.is_additional && (has_requested || wanted.reserves_next || additional.size() != 4 ||
                                additional[0] != kFamilyIpv6)) ||
      (has_requested && requested.size() != 4)) {
    return 400;
  }
  const uint8_t family = has_requested ? requested[0] : kFamilyIpv4;
  if (family != kFamilyIpv4 && family != kFamilyIpv6) {
    return 440;
  }
  wanted.family[kIpv4Index] = family == kFamilyIpv4;
  wanted.family[kIpv6Index] = family == kFamilyIpv6 || wanted.is_additional;
  wanted.is_mobile = message.Has(kMobilityTicket);
  if (wanted.is_mobile && !config_.allows_mobility) {
    return 405;
  }
  const uint32_t first = wanted.family[kIpv4Index] ? kIpv4Index : kIpv6Index;
  return !has_token && config_.relay[first].is_none() ? 440 : 0;
}

void Engine::OnAllocate(const Request& request) {
  if (request.allocation != nullptr) {
    if (request.allocation->transaction == request.message.transaction() &&
        IsOwner(request.identity, *request.allocation)) {
      AnswerAllocate(request, *request.allocation, nullptr);  // our answer was lost
      return;
    }
    Refuse(request, 437);
    return;
  }
  Wanted wanted;
  if (const uint16_t code = ReadWanted(request, wanted); code != 0) {
    Refuse(request, code);
    return;
  }
  if (config_.alternate.port != 0) {
    Refuse(request, 300);
    return;
  }
  if (IsOverQuota(request.identity)) {
    Refuse(request, 486);
    return;
  }
  UserAccount* user = AccountOf(request.identity);
  if (user == nullptr) {
    Refuse(request, 508);
    return;
  }
  uint16_t code = 0;
  Allocation* allocation = Make(request, wanted, *user, code);
  if (allocation == nullptr) {
    ReleaseUser(*user);
    Refuse(request, code);
    return;
  }
  ++counters_.allocated;
  ports_.observer.OnAllocated(InfoOf(*allocation));
  AnswerAllocate(request, *allocation, &wanted);
}

bool Engine::IsOverQuota(const Identity& identity) {
  const Realm realm = config_.RealmAt(identity.realm);
  if ((config_.allocations_total != 0 && allocation_count() >= config_.allocations_total) ||
      (realm.allocations_total != 0 &&
       realms_[realm.number - 1].allocation_count >= realm.allocations_total)) {
    return true;
  }
  // Whom tokens let in have one account together: theirs is for the token's server to count.
  const UserAccount* user = by_user_.Find(AccountKey(identity).view());
  return realm.allocations_per_user != 0 && identity.token_key_size == 0 && user != nullptr &&
         user->allocation_count >= realm.allocations_per_user;
}

// Null: there is no room, `code` says how that is told; nothing is held then.
Allocation* Engine::Make(const Request& request, Wanted& wanted, UserAccount& user,
                         uint16_t& code) {
  Allocation* allocation = allocations_.Allocate();
  code = 508;
  if (allocation == nullptr) {
    return nullptr;
  }
  allocation->key = request.path.Key();
  allocation->is_tcp = wanted.is_tcp;
  code = TakePorts(wanted, *allocation);
  if (code == 0 && wanted.is_tcp && !OpenRelays(*allocation)) {
    code = 508;
  }
  if (code == 0 && by_path_.Insert(*allocation) != HashInsert::kInserted) {
    code = 508;
  }
  if (code != 0) {
    for (uint32_t i = 0; i < kFamilyCount; ++i) {
      if (allocation->relay_port[i] != 0) {
        if (wanted.is_tcp) {
          ports_.streams.CloseRelay(Bound(i, allocation->relay_port[i]));
        }
        relay_ports_[i]->Give(now(), allocation->relay_port[i]);
      }
    }
    allocations_.Release(allocation);
    return nullptr;
  }
  allocation->engine = this;
  allocation->path = request.path;
  allocation->transaction = request.message.transaction();
  allocation->user = &user;
  ++user.allocation_count;
  if (user.realm() != 0) {
    ++realms_[user.realm() - 1].allocation_count;
  }
  allocation->created_at = now();
  allocation->expires_at = now() + Duration::Seconds(int64_t{LifetimeOf(request)});
  for (media::Meter* meter : {&allocation->up, &allocation->down}) {
    meter->parent = &user.meter;
    meter->SetLimit(config_.allocation_bytes_per_s);
  }
  allocation->is_mobile = wanted.is_mobile && !wanted.is_tcp;
  if (allocation->is_mobile) {
    ports_.random.Fill(allocation->ticket);
  }
  allocation->timer.Set(
      [](Timer&, void* context) {
        auto& self = *static_cast<Allocation*>(context);
        self.engine->OnTimer(self);
      },
      allocation);
  KeepToken(request, *allocation);
  ArmTimer(*allocation);
  return allocation;
}

// Peers may connect to all of its relay addresses, or it is none.
bool Engine::OpenRelays(const Allocation& allocation) {
  for (uint32_t i = 0; i < kFamilyCount; ++i) {
    if (allocation.relay_port[i] != 0 &&
        !ports_.streams.OpenRelay(Bound(i, allocation.relay_port[i])).ok()) {
      return false;
    }
  }
  return true;
}

uint16_t Engine::TakeReserved(const Wanted& wanted, Allocation& allocation) {
  for (Reservation& reservation : reservations_) {
    if (reservation.port != 0 && ConstantTimeEqual(reservation.token, wanted.token)) {
      relay_ports_[reservation.family]->SetOwner(reservation.port,
                                                 allocations_.IndexOf(allocation));
      allocation.relay_port[reservation.family] = reservation.port;
      reservation = {};
      --reservation_count_;
      return 0;
    }
  }
  return 508;
}

uint16_t Engine::TakePorts(Wanted& wanted, Allocation& allocation) {
  ExpireReservations();
  if (!wanted.token.empty()) {
    return TakeReserved(wanted, allocation);
  }
  Reservation* reservation = nullptr;
  if (wanted.reserves_next) {
    const auto free = std::find_if(reservations_.begin(), reservations_.end(),
                                   [](const Reservation& r) { return r.port == 0; });
    if (free == reservations_.end()) {
      return 508;
    }
    reservation = &*free;
  }
  const uint32_t owner = allocations_.IndexOf(allocation);
  for (uint32_t i = 0; i < kFamilyCount; ++i) {
    if (!wanted.family[i]) {
      continue;
    }
    const bool is_wish = wanted.is_additional && i == kIpv6Index;
    const auto port = config_.relay[i].is_none() ? Result<uint16_t>(ErrorCode::kUnsupported)
                      : wanted.is_even
                          ? relay_ports_[i]->TakeEven(now(), owner, wanted.reserves_next)
                          : relay_ports_[i]->Take(now(), owner);
    if (port.ok()) {
      allocation.relay_port[i] = *port;
    } else if (is_wish) {
      wanted.additional_error = port.code() == ErrorCode::kUnsupported ? 440 : 508;
    } else {
      return 508;
    }
  }
  if (reservation != nullptr) {
    const uint32_t i = wanted.family[kIpv4Index] ? kIpv4Index : kIpv6Index;
    reservation->port = static_cast<uint16_t>(allocation.relay_port[i] + 1);
    reservation->family = static_cast<uint8_t>(i);
    reservation->expires_at = now() + Duration::Seconds(int64_t{kReservationSeconds});
    ports_.random.Fill(reservation->token);
    relay_ports_[i]->SetOwner(reservation->port, kReservedOwner);
    wanted.reserved_token = reservation->token;
    wanted.has_reserved = true;
    ++reservation_count_;
  }
  return 0;
}

void Engine::ExpireReservations() {
  for (Reservation& reservation : reservations_) {
    if (reservation.port != 0 && reservation.expires_at <= now()) {
      relay_ports_[reservation.family]->Give(now(), reservation.port);
      reservation = {};
      --reservation_count_;
    }
  }
}

FixedString<kUserNameMax + 1> Engine::AccountKey(const Identity& identity) {
  FixedString<kUserNameMax + 1> key;
  key.Append(static_cast<char>(identity.realm));
  key.Append(identity.user.view());
  return key;
}

UserAccount* Engine::AccountOf(const Identity& identity) {
  const FixedString<kUserNameMax + 1> key = AccountKey(identity);
  if (UserAccount* user = by_user_.Find(key.view()); user != nullptr) {
    return user;
  }
  UserAccount* user = users_.Allocate();
  if (user == nullptr) {
    return nullptr;
  }
  const Realm realm = config_.RealmAt(identity.realm);
  user->key = key;
  user->meter.parent = realm.number != 0 ? &realms_[realm.number - 1].meter : &total_;
  user->meter.SetLimit(realm.user_bytes_per_s);
  if (by_user_.Insert(*user) != HashInsert::kInserted) {
    users_.Release(user);
    return nullptr;
  }
  return user;
}

void Engine::ReleaseUser(UserAccount& user) {
  if (user.allocation_count == 0) {
    by_user_.Remove(user);
    users_.Release(&user);
  }
}

// `wanted` is null for a repeated answer: what was granted besides is not told twice.
void Engine::AnswerAllocate(const Request& request, const Allocation& allocation,
                            const Wanted* wanted) {
  Builder builder = Reply(request);
  for (uint32_t i = 0; i < kFamilyCount; ++i) {
    if (allocation.relay_port[i] != 0) {
      builder.XorAddress(kXorRelayedAddress, Shown(i, allocation.relay_port[i]));
    }
  }
  builder.U32(kLifetime,
              static_cast<uint32_t>(((allocation.expires_at - now()).milliseconds() + 500) / 1000));
  builder.XorAddress(kXorMappedAddress, request.path.remote);
  if (wanted != nullptr && wanted->has_reserved) {
    builder.Bytes(kReservationToken, wanted->reserved_token);
  }
  if (wanted != nullptr && wanted->additional_error != 0) {
    const uint16_t code = wanted->additional_error;
    builder.U32(kAddressErrorCode,
                uint32_t{kFamilyIpv6} << 24 | static_cast<uint32_t>(code / 100) << 8 | code % 100);
  }
  if (allocation.is_mobile) {
    const Handle handle = allocations_.HandleOf(allocation);
    uint8_t bytes[kTicketSize];
    ByteWriter ticket(bytes);
    ticket.U32Be(handle.index);
    ticket.U32Be(handle.generation);
    ticket.Bytes(allocation.ticket);
    builder.Bytes(kMobilityTicket, bytes);
  }
  SendReply(request, builder);
}

// The key of a token, for the requests that come without one; a later token takes its place.
void Engine::KeepToken(const Request& request, Allocation& allocation) {
  const Identity& identity = request.identity;
  if (identity.token_key_size > 0) {
    allocation.token_key.key.Set(identity.key.Expose());
    allocation.token_key.key_size = identity.token_key_size;
    allocation.token_key.until = now() + Duration::Seconds(int64_t{identity.lifetime_max_s});
  }
}

void Engine::OnRefresh(const Request& request) {
  Allocation& allocation = *request.allocation;
  const auto family = request.message.Value(kRequestedAddressFamily);
  if (request.message.Has(kRequestedAddressFamily)) {
    const uint32_t i = !family.empty() && family[0] == kFamilyIpv6 ? kIpv6Index : kIpv4Index;
    if (family.size() != 4 || (family[0] != kFamilyIpv4 && family[0] != kFamilyIpv6)) {
      Refuse(request, 400);
      return;
    }
    if (allocation.relay_port[i] == 0) {
      Refuse(request, 443);
      return;
    }
  }
  const auto wanted = request.message.U32(kLifetime);
  const bool ends = wanted.ok() && *wanted == 0;
  Builder builder = Reply(request);
  if (ends) {
    builder.U32(kLifetime, 0);
    SendReply(request, builder);
    Release(allocation, EndReason::kByClient);
    return;
  }
  KeepToken(request, allocation);
  const uint32_t lifetime = LifetimeOf(request);
  allocation.expires_at = now() + Duration::Seconds(int64_t{lifetime});
  ArmTimer(allocation);
  builder.U32(kLifetime, lifetime);
  SendReply(request, builder);
}

// The client has another address: its ticket proves which allocation is its own (RFC 8016 3.2).
void Engine::OnMobileRefresh(const Request& request) {
  const auto value = request.message.Value(kMobilityTicket);
  if (!config_.allows_mobility) {
    Refuse(request, 405);
    return;
  }
  ByteReader ticket(value);
  const Handle handle{ticket.U32Be(), ticket.U32Be()};
  Allocation* allocation = value.size() == kTicketSize ? allocations_.Resolve(handle) : nullptr;
  if (allocation == nullptr || !allocation->is_mobile ||
      !ConstantTimeEqual(allocation->ticket, ticket.Rest()) ||
      !IsOwner(request.identity, *allocation) || !Move(request, *allocation)) {
    Refuse(request, 437);
    return;
  }
  const auto wanted = request.message.U32(kLifetime);
  if (wanted.ok() && *wanted == 0) {
    const Request moved{request.path, request.message, request.identity, allocation};
    OnRefresh(moved);
    return;
  }
  allocation->expires_at = now() + Duration::Seconds(int64_t{LifetimeOf(request)});
  ports_.random.Fill(allocation->ticket);
  ArmTimer(*allocation);
  AnswerAllocate(request, *allocation, nullptr);
}

bool Engine::Move(const Request& request, Allocation& allocation) {
  const media::FlowKey old_key = allocation.key;
  by_path_.Remove(allocation);
  allocation.key = request.path.Key();
  if (by_path_.Insert(allocation) != HashInsert::kInserted) {
    allocation.key = old_key;
    const bool back = by_path_.Insert(allocation) == HashInsert::kInserted;
    GH_ASSERT(back);
    return false;
  }
  const ClientPath old_path = allocation.path;
  allocation.path = request.path;
  for (Channel* c = allocation.channels; c != nullptr; c = c->next) {
    RemoveFlows(*c);
  }
  SyncFlows(allocation);
  if (old_path.transport == ClientTransport::kStream) {
    ports_.streams.CloseClient(old_path.stream);
  }
  return true;
}

// --- Ends ---------------------------------------------------------------------------------------

void Engine::Release(Allocation& allocation, EndReason reason) {
  ports_.observer.OnEnded(InfoOf(allocation), reason);
  ReleasePeers(allocation);
  ReleaseLinks(allocation);
  ports_.timers.Cancel(allocation.timer);
  for (uint32_t i = 0; i < kFamilyCount; ++i) {
    if (allocation.relay_port[i] != 0) {
      if (allocation.is_tcp) {
        ports_.streams.CloseRelay(Bound(i, allocation.relay_port[i]));
      }
      relay_ports_[i]->Give(now(), allocation.relay_port[i]);
    }
  }
  by_path_.Remove(allocation);
  UserAccount& user = *allocation.user;
  GH_ASSERT_GT(user.allocation_count, 0u);
  --user.allocation_count;
  if (user.realm() != 0) {
    --realms_[user.realm() - 1].allocation_count;
  }
  ReleaseUser(user);
  allocations_.Release(&allocation);
  ExpireReservations();
}

void Engine::OnTimer(Allocation& allocation) {
  if (allocation.expires_at <= now()) {
    Release(allocation, EndReason::kExpired);
    return;
  }
  DropExpired(allocation);
  ArmTimer(allocation);
}

// One timer for the allocation and all it holds.
void Engine::ArmTimer(Allocation& allocation) {
  Instant next = allocation.expires_at;
  for (const Permission* p = allocation.permissions; p != nullptr; p = p->next) {
    next = std::min(next, p->expires_at);
  }
  for (const Channel* c = allocation.channels; c != nullptr; c = c->next) {
    next = std::min(next, c->expires_at);
  }
  ports_.timers.Arm(allocation.timer, next);
}

}  // namespace gh::turn
