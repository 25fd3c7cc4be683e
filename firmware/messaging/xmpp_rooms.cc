// Rooms and archives of XMPP for the operator: their settings as the engine's rules, status and
// commands.
#include "firmware/admin/status_text.h"
#include "firmware/messaging/xmpp_service.h"

namespace gh {
namespace {

xmpp::Role RoleOf(config::XmppRole role) {
  return role == config::XmppRole::kModerator     ? xmpp::Role::kModerator
         : role == config::XmppRole::kParticipant ? xmpp::Role::kParticipant
                                                  : xmpp::Role::kVisitor;
}

void AddHost(std::string_view name, xmpp::RoomRules& out) {
  FixedString<xmpp::kDomainMax> prepared;
  if (!name.empty() && out.host_count < out.hosts.size() &&
      xmpp::PrepareDomain(name, prepared).ok() && prepared.size() <= 127) {
    out.hosts[out.host_count++].Assign(prepared.view());
  }
}

void ReadDefaults(const config::XmppRoom& from, xmpp::RoomRules& out) {
  using config::OnOff;
  namespace room = xmpp::room;
  const struct {
    uint32_t flag;
    OnOff value;
    OnOff change;
  } switches[] = {
      {room::kMembersOnly, from.members_only, from.members_only_change},
      {room::kModeratorsInvite, from.moderators_invite, from.moderators_invite_change},
      {room::kSelfRegister, from.self_register, from.self_register_change},
      {room::kShowAbsent, from.show_absent, from.show_absent_change},
      {room::kGroupchat1, from.groupchat1, from.groupchat1_change},
      {room::kAnonymous, from.anonymous, from.anonymous_change},
      {room::kStripXhtml, from.strip_xhtml, from.strip_xhtml_change},
      {room::kModerated, from.moderated, from.moderated_change},
      {room::kInviteRole, OnOff::kOff, from.invite_role_change},
      {room::kPrivateRole, OnOff::kOff, from.private_role_change},
      {room::kSubjectRole, OnOff::kOff, from.subject_role_change},
      {room::kOccupancy, OnOff::kOff, from.occupancy_change},
      {room::kHistory, OnOff::kOff, from.history_change},
      {room::kListed, from.listed, OnOff::kOn},
      {room::kArchived, from.archive, OnOff::kOn},
  };
  out.defaults.flags = 0;
  out.owners_change = room::kAlwaysFree;
  for (const auto& each : switches) {
    out.defaults.flags |= each.value == OnOff::kOn ? each.flag : 0;
    out.owners_change |= each.change == OnOff::kOn ? each.flag : 0;
  }
  out.defaults.invite_role = RoleOf(from.invite_role);
  out.defaults.private_role = RoleOf(from.private_role);
  out.defaults.subject_role = std::max(RoleOf(from.subject_role), xmpp::Role::kParticipant);
  out.defaults.occupant_max = static_cast<uint16_t>(std::min(from.occupancy, from.occupant_max));
  out.defaults.history = static_cast<uint16_t>(std::min(from.history, from.history_max));
}

}  // namespace

void XmppService::ReadRoomRules(const config::Settings& settings, xmpp::Config& out) const {
  using config::OnOff;
  const config::XmppRoom& from = settings.xmpp_room();
  const bool is_kept = parts_.store.status().persistent;
  xmpp::RoomRules& rules = out.rooms;
  // Where persistent rooms are wanted and nothing is there at the start to keep them, there are
  // none at all (MUC-02); a store that fails later stops new ones alone (MUC-03).
  rules.enabled =
      out.enabled && from.mode == OnOff::kOn && (is_kept || from.persistent == OnOff::kOff);
  rules.persistent = is_kept && from.persistent == OnOff::kOn;
  rules.administrators_alone = from.administrators_alone == OnOff::kOn;
  rules.archive = is_kept && from.archive == OnOff::kOn;
  rules.archive_joins = is_kept && from.archive_joins == OnOff::kOn;
  rules.room_max = static_cast<uint32_t>(from.room_max);
  rules.persistent_max = static_cast<uint32_t>(from.persistent_max);
  rules.occupant_max = static_cast<uint32_t>(from.occupant_max);
  rules.hidden_max = static_cast<uint32_t>(from.hidden_max);
  rules.history_max = static_cast<uint32_t>(from.history_max);
  rules.idle_minutes = static_cast<uint32_t>(from.idle_min);
  ReadDefaults(from, rules);
  for (uint32_t i = 0; from.system_alias == OnOff::kOn && i < out.domain_count; ++i) {
    FixedString<200> host(from.system_alias_name.view());
    host.Append('.');
    host.Append(out.domains[i].view());
    AddHost(host.view(), rules);
  }
  for (const config::XmppRoomAlias& alias : settings.xmpp_room_alias()) {
    bool is_domain = false;
    for (const auto& domain : out.domains) {
      is_domain = is_domain || domain == alias.name.view();
    }
    if (!is_domain) {
      AddHost(alias.name.view(), rules);
    }
  }
  for (const config::XmppRoomAdministrator& each : settings.xmpp_room_administrator()) {
    const auto address = xmpp::Address::Parse(each.address.view());
    if (from.administrators == OnOff::kOn && address.ok() && !address->local().empty() &&
        rules.administrator_count < rules.administrators.size()) {
      rules.administrators[rules.administrator_count++].Assign(address->bare());
    }
  }
  const config::XmppArchive& archive = settings.xmpp_archive();
  out.archive.enabled = is_kept && archive.mode == OnOff::kOn;
  out.archive.entries_max = static_cast<uint32_t>(archive.entries_max);
  out.archive.days = archive.days;
  out.archive.bytes_max = static_cast<uint64_t>(archive.size_mib) << 20;
}

// --- Their share of the store --------------------------------------------------------------------

void XmppService::WatchStorage() {
  const xmpp::Archive& archive = engine_->archive();
  const xmpp::KeeperRoom room = keeper_->room();
  const bool is_near = room.used > room.capacity / 100 * xmpp::kShareAlarmPercent ||
                       archive.byte_count() > archive.byte_max() / 10 * 9;
  parts_.alarms.Set(log::AlarmId::kXmppShareFull, engine_->config().enabled && is_near, "");
  if (archive.pruned_count() != pruned_told_) {
    parts_.log.Emit(log::event::XmppArchivePruned{
        .count = archive.pruned_count() - pruned_told_,
        .reason = "the share of all archives in the store is used up"});
    pruned_told_ = archive.pruned_count();
  }
}

void XmppService::TellStorage(ByteWriter& out) const {
  const xmpp::KeeperRoom room = keeper_->room();
  const bool is_bounded = room.capacity != UINT64_MAX;
  out.Text("XMPP Storage:");
  Tell(out, "used", room.used);
  Tell(out, "capacity", is_bounded ? room.capacity : 0);
  Tell(out, "used_percent", is_bounded ? room.used * 100 / room.capacity : 0);
  Tell(out, "archives_pruned", engine_->archive().pruned_count());
  Tell(out, "refused", keeper_->refused_count());
}

void XmppService::OnRoom(std::string_view room, std::string_view by, const char* what) {
  parts_.log.Emit(log::event::XmppRoomChanged{.room = room, .change = what, .by = by});
}

// --- Status --------------------------------------------------------------------------------------

void XmppService::AddRoomsTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&XmppService::NextRoomStatus>("XMPP Rooms", "Rooms and archives in sum", this);
  status.AddMember<&XmppService::NextRoom>("XMPP Room", "Rooms for many users", this);
  admin::Command destroy;
  destroy.path = "XMPP Room Destroy";
  destroy.help = "Destroys a room with what was said in it";
  destroy.value_help = "room@host";
  destroy.question = "The room, its members and its archive will be lost.";
  AddCommand<&XmppService::DestroyRoom>(commands, destroy);
  admin::Command purge;
  purge.path = "XMPP Room Purge";
  purge.help = "Forgets what was said in a room";
  purge.value_help = "room@host";
  purge.question = "The room's archive will be lost.";
  AddCommand<&XmppService::PurgeRoom>(commands, purge);
}

bool XmppService::NextRoomStatus(uint64_t& cursor, ByteWriter& out) {
  const xmpp::RoomCounters& counters = engine_->rooms().counters();
  switch (cursor++) {
    case 0:
      out.Text("XMPP Rooms:");
      Tell(out, "rooms", engine_->rooms().room_count());
      Tell(out, "rooms_max", engine_->rooms().room_capacity());
      Tell(out, "persistent", engine_->rooms().persistent_count());
      Tell(out, "occupants", engine_->rooms().occupant_count());
      Tell(out, "made", counters.created);
      Tell(out, "destroyed", counters.destroyed);
      Tell(out, "joins", counters.joins);
      Tell(out, "refused", counters.refused);
      Tell(out, "messages", counters.messages);
      Tell(out, "deliveries", counters.deliveries);
      Tell(out, "mode", engine_->config().rooms.enabled ? "on" : "off");
      return true;
    case 1:
      out.Text("XMPP Archives:");
      Tell(out, "mode", engine_->archive().enabled() ? "on" : "off");
      Tell(out, "messages", engine_->archive().entry_count());
      Tell(out, "bytes", engine_->archive().byte_count());
      Tell(out, "bytes_max", engine_->archive().byte_max());
      Tell(out, "refused", engine_->archive().refused_count());
      return true;
    default:
      return NextRoomAdministrator(cursor, out);
  }
}

// Administrators of rooms, as they are set (MUC-25): instance n at the cursor n + 2.
bool XmppService::NextRoomAdministrator(uint64_t& cursor, ByteWriter& out) {
  const config::Settings& settings = parts_.configuration.active();
  const auto all = settings.xmpp_room_administrator();
  for (; cursor - 3 < all.size(); ++cursor) {
    const config::XmppRoomAdministrator& each = all[cursor - 3];
    if (each.address.empty()) {
      continue;
    }
    const bool is_on = settings.xmpp_room().administrators == config::OnOff::kOn;
    out.Text("XMPP RoomAdministrator ");
    out.Decimal(cursor - 2);
    out.Text(": ");
    out.Text(each.address.view());
    Tell(out, "mode", is_on ? "on" : "off");
    Tell(out, "nickname", each.nickname.view());
    Tell(out, "description", each.description.view());
    return true;
  }
  return false;
}

bool XmppService::NextRoom(uint64_t& cursor, ByteWriter& out) {
  auto at = static_cast<uint32_t>(cursor);
  xmpp::RoomInfo info;
  if (!engine_->rooms().NextRoom(at, info)) {
    return false;
  }
  cursor = at;
  out.Text("XMPP Room ");
  out.Decimal(at);
  out.Text(": ");
  out.Text(info.name);
  Tell(out, "occupants", info.occupants);
  Tell(out, "hidden", info.hidden);
  Tell(out, "affiliations", info.affiliates);
  Tell(out, "persistent", info.persistent ? "yes" : "no");
  Tell(out, "configured", info.locked ? "no" : "yes");
  Tell(out, "archived", info.archived);
  return true;
}

// --- Commands ------------------------------------------------------------------------------------

Result<void> XmppService::DestroyRoom(std::string_view by, std::string_view value,
                                      ByteWriter& out) {
  GH_TRY_ASSIGN(const xmpp::Address room, UserOf(value));
  GH_TRY(engine_->DestroyRoom(room.full(), "destroyed by an administrator"));
  keeper_->Flush();
  parts_.log.Emit(
      log::event::XmppUserChanged{.by = by, .user = room.full(), .change = "(room) was destroyed"});
  out.Text(room.full());
  out.Text(" destroyed.");
  return Ok();
}

Result<void> XmppService::PurgeRoom(std::string_view by, std::string_view value, ByteWriter& out) {
  GH_TRY_ASSIGN(const xmpp::Address room, UserOf(value));
  GH_TRY(engine_->rooms().Purge(room.full()));
  keeper_->Flush();
  parts_.log.Emit(
      log::event::XmppUserChanged{.by = by, .user = room.full(), .change = "(room) was purged"});
  out.Text(room.full());
  out.Text(" purged.");
  return Ok();
}

}  // namespace gh
