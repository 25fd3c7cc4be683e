// Administration in the appliance: the gate, the pool of sessions, and what xStatus and xCommand
// say of them.
#include <charconv>

#include "firmware/config/line.h"
#include "firmware/log/render.h"
#include "firmware/rooms.h"

namespace gh {
namespace {

using namespace gh::log::event;

// "in 42 s"
void WriteUntil(Instant until, Instant now, ByteWriter& out) {
  out.Text("in ");
  out.Decimal(static_cast<uint64_t>((until - now).seconds() + 1));
  out.Text(" s");
}

Appliance::Rooms& RoomsOf(void* context) { return *static_cast<Appliance::Rooms*>(context); }

Result<void> EndSession(void* context, std::string_view, std::string_view value, ByteWriter& out) {
  uint32_t number = 0;
  const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || stop != value.data() + value.size()) {
    return Error{ErrorCode::kInvalidArgument, "expected the number of a session (xStatus Session)"};
  }
  if (!RoomsOf(context).sessions->End(number, "ended by an administrator")) {
    return Error{ErrorCode::kNotFound, "there is no such session (xStatus Session)"};
  }
  out.Text("Ended.");
  return Ok();
}

Result<void> UnlockAccount(void* context, std::string_view, std::string_view value,
                           ByteWriter& out) {
  if (!RoomsOf(context).accounts->Unlock(value)) {
    return Error{ErrorCode::kNotFound, "that account is not locked (xStatus Account)"};
  }
  out.Text("Unlocked.");
  return Ok();
}

Result<void> UnblockAddress(void* context, std::string_view by, std::string_view value,
                            ByteWriter& out) {
  Appliance::Rooms& rooms = RoomsOf(context);
  admin::Intrusion& intrusion = rooms.accounts->intrusion();
  admin::Intrusion& sip = rooms.sip_guard->intrusion();
  admin::Intrusion& xmpp = rooms.xmpp->guard().intrusion();
  const Instant now = rooms.machine.clock.Now();
  if (config::EqualsIgnoreCase(value, "all")) {
    const uint32_t count = intrusion.UnblockAll(now) + sip.UnblockAll(now) + xmpp.UnblockAll(now);
    rooms.log.Emit(AddressUnblocked{.source = "all addresses", .by = by});
    out.Decimal(count);
    out.Text(count == 1 ? " address is free again." : " addresses are free again.");
    return Ok();
  }
  const auto address = net::IpAddress::Parse(value);
  if (!address.ok()) {
    return Error{ErrorCode::kInvalidArgument, "expected an IP address, or all"};
  }
  bool was_blocked = false;
  for (admin::Intrusion* each : {&intrusion, &sip, &xmpp}) {
    was_blocked = each->Unblock(*address, now) || was_blocked;
  }
  if (!was_blocked) {
    return Error{ErrorCode::kNotFound, "that address is not blocked (xStatus IntrusionProtection)"};
  }
  rooms.log.Emit(AddressUnblocked{.source = net::ToText(*address).view(), .by = by});
  out.Text("It is free again.");
  return Ok();
}

Result<void> BlockAddress(void* context, std::string_view by, std::string_view value,
                          ByteWriter& out) {
  Appliance::Rooms& rooms = RoomsOf(context);
  const auto address = net::IpAddress::Parse(value);
  if (!address.ok()) {
    return Error{ErrorCode::kInvalidArgument, "expected an IP address"};
  }
  const Instant now = rooms.machine.clock.Now();
  const int32_t seconds = rooms.configuration->active().intrusion_protection().block_time;
  rooms.accounts->intrusion().Block(admin::Intrusion::SourceOf(*address),
                                    now + Duration::Seconds(seconds), now);
  rooms.log.Emit(AddressBlocked{.source = net::ToText(*address).view(),
                                .service = by,
                                .seconds = static_cast<uint64_t>(seconds)});
  out.Text("Blocked for ");
  out.SignedDecimal(seconds);
  out.Text(" s.");
  return Ok();
}

}  // namespace

void Appliance::Rooms::BuildAdministration() {
  accounts = machine.arena.New<admin::Accounts>(
      admin::Accounts::Parts{*configuration, log, *hasher, machine.clock, deferred});
  sessions = machine.arena.New<admin::Sessions>(
      machine.arena,
      admin::SessionParts{*configuration, log, status, commands, *accounts, deferred, actor},
      console, capacity.sessions);
  loop.Add(*sessions);
  status.AddMember<&Rooms::NextSessionLine>("Session", "Who is logged in", this);
  status.AddMember<&Rooms::NextAccountLine>("Account", "Administrators: last log-in, lock", this);
  status.AddMember<&Rooms::NextIntrusionLine>("IntrusionProtection",
                                              "Addresses with failed log-ins, blocked ones", this);
  AddAdministrationCommands();
  machine.arena.OpenAccount("firmware/files");
  folders = machine.arena.New<Folders>(*this);
  files = &folders->service();
  files->Add("compliance", xmpp->compliance_folder());
  BuildXmppLists();
}

void Appliance::Rooms::AddAdministrationCommands() {
  admin::Command end = {"Session End", "Ends a session"};
  end.value_help = "its number in xStatus Session";
  end.run_value = EndSession;
  admin::Command unlock = {"Account Unlock", "Ends the lock of an account"};
  unlock.value_help = "name of the account";
  unlock.run_value = UnlockAccount;
  admin::Command unblock = {"IntrusionProtection Unblock", "Lifts the block of an address"};
  unblock.value_help = "an IP address, or all";
  unblock.run_value = UnblockAddress;
  admin::Command block = {"IntrusionProtection Block", "Blocks an address for a while"};
  block.value_help = "an IP address";
  block.run_value = BlockAddress;
  for (admin::Command* command : {&end, &unlock, &unblock, &block}) {
    command->context = this;
    command->administrator_only = true;
    commands.Add(*command);
  }
}

// Session Limit: 8 ...; then one line each.
bool Appliance::Rooms::NextSessionLine(uint64_t& cursor, ByteWriter& out) {
  if (cursor == 0) {
    ++cursor;
    out.Text("Session Count: ");
    out.Decimal(sessions->open_count());
    out.Text(" of ");
    out.Decimal(sessions->limit());
    out.Text(" over the network, ");
    out.Decimal(sessions->refused_count());
    out.Text(" refused");
    return true;
  }
  for (; cursor <= sessions->size(); ++cursor) {
    const admin::Session& one = sessions->at(static_cast<uint32_t>(cursor - 1));
    if (!one.is_open() || !one.identity().is_known()) {
      continue;
    }
    out.Text("Session ");
    out.Decimal(cursor - 1);
    out.Text(": user=\"");
    out.Text(one.identity().user.view());
    out.Text("\" from=\"");
    out.Text(one.origin().text().view());
    out.Text("\" since_s=");
    out.Decimal(static_cast<uint64_t>((loop.now() - one.opened_at()).seconds()));
    out.Text(" idle_s=");
    out.Decimal(static_cast<uint64_t>((loop.now() - one.last_input()).seconds()));
    ++cursor;
    return true;
  }
  return false;
}

bool Appliance::Rooms::NextAccountLine(uint64_t& cursor, ByteWriter& out) {
  const auto list = configuration->active().administrator();
  for (; cursor < list.size(); ++cursor) {
    const config::Administrator& one = list[cursor];
    if (one.name.empty()) {
      continue;
    }
    out.Text("Account ");
    out.Text(one.name.view());
    out.Text(":");
    const Instant now = machine.clock.Now();
    if (accounts->IsLocked(one.name.view())) {
      out.Text(" locked to the network, free ");
      WriteUntil(accounts->LockedUntil(one.name.view()), now, out);
      out.Text(";");
    }
    const admin::LastLogin* last = accounts->FindLastLogin(one.name.view());
    if (last != nullptr && last->is_known) {
      out.Text(" last log-in ");
      log::FormatTimestamp(last->when, out);
      out.Text(" from ");
      out.Text(last->from.view());
    } else {
      out.Text(" no log-in since the start");
    }
    out.Text(", failures since then ");
    out.Decimal(last != nullptr ? last->failures_since : 0);
    ++cursor;
    return true;
  }
  return false;
}

bool Appliance::Rooms::NextIntrusionLine(uint64_t& cursor, ByteWriter& out) {
  const admin::Intrusion& intrusion = accounts->intrusion();
  const Instant now = machine.clock.Now();
  if (cursor == 0) {
    ++cursor;
    out.Text("IntrusionProtection Blocked: ");
    out.Decimal(intrusion.BlockedCount(now));
    out.Text(" now, ");
    out.Decimal(intrusion.blocks());
    out.Text(" since the start; log-ins refused ");
    out.Decimal(accounts->refused_count());
    return true;
  }
  const auto entries = intrusion.entries();
  for (; cursor <= entries.size(); ++cursor) {
    const admin::IntrusionEntry& entry = entries[cursor - 1];
    if (!entry.is_used()) {
      continue;
    }
    out.Text("IntrusionProtection Source ");
    entry.source.address.Format(out);
    if (entry.source.address.is_v6()) {
      out.Text("/64");
    }
    out.Text(":");
    if (entry.blocked_until > now) {
      out.Text(" blocked, free ");
      WriteUntil(entry.blocked_until, now, out);
      out.Text(",");
    }
    out.Text(" failures ");
    out.Decimal(entry.failures);
    out.Text(", blocks ");
    out.Decimal(entry.block_count);
    out.Text(", connections refused ");
    out.Decimal(entry.refused);
    ++cursor;
    return true;
  }
  // Behind it the tables of the guards, each as long as this one and a line.
  const uint64_t lines = entries.size() + 1;
  for (uint64_t first = lines; const GuessGuard* guard : {sip_guard, &xmpp->guard()}) {
    uint64_t own = cursor - first;
    if (cursor < first + lines && guard->NextLine(own, out)) {
      cursor = first + own;
      return true;
    }
    first += lines;
    cursor = std::max(cursor, first);
  }
  return false;
}

}  // namespace gh
