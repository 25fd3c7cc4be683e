#include "firmware/snmp_service.h"

#include <algorithm>

#include "firmware/rooms.h"
#include "version.h"

namespace gh {
namespace {

using snmp::Object;
using snmp::Oid;
using namespace gh::log::event;

constexpr uint16_t kSnmpPort = 161;
constexpr std::string_view kBootsKey = "@snmp boots";
// RFC 5612's number for documentation; a maker puts his own here and into the MIB file.
constexpr uint32_t kEnterprise = 32473;
constexpr Oid kGatehouse = {1, 3, 6, 1, 4, 1, kEnterprise, 1};
constexpr Oid kAlarmRaisedTrap = {1, 3, 6, 1, 4, 1, kEnterprise, 1, 0, 1};
constexpr Oid kAlarmLoweredTrap = {1, 3, 6, 1, 4, 1, kEnterprise, 1, 0, 2};
constexpr int64_t kEthernetCsmacd = 6;
constexpr uint64_t kBitRate = 1'000'000'000;

enum Id : uint16_t {
  kSysDescr = 1,
  kSysObjectId,
  kSysUpTime,
  kSysContact,
  kSysName,
  kSysLocation,
  kSysServices,
  kIfNumber,
  kIfIndex,
  kIfDescr,
  kIfType,
  kIfMtu,
  kIfSpeed,
  kIfPhysAddress,
  kIfAdminStatus,
  kIfOperStatus,
  kIfInOctets,
  kIfInPackets,
  kIfInDiscards,
  kIfOutOctets,
  kIfOutPackets,
  kIfOutDiscards,
  kIfName,
  kIfHcInOctets,
  kIfHcInPackets,
  kIfHcOutOctets,
  kIfHcOutPackets,
  kVersionText,
  kBoard,
  kSlot,
  kSipRegistrations,
  kSipCalls,
  kSipMessagesIn,
  kSipMessagesOut,
  kSipRefused,
  kFramesUsed,
  kFramesMax,
  kConnectionsUsed,
  kConnectionsMax,
  kFirewallDrops,
  kAlarmCount,
  kAlarmTitle,
  kAlarmSeverity,
  kAlarmDetail,
  kAlarmRaises,
};

constexpr Object kObjects[] = {
    {{1, 3, 6, 1, 2, 1, 1, 1}, kSysDescr, false},
    {{1, 3, 6, 1, 2, 1, 1, 2}, kSysObjectId, false},
    {{1, 3, 6, 1, 2, 1, 1, 3}, kSysUpTime, false},
    {{1, 3, 6, 1, 2, 1, 1, 4}, kSysContact, false},
    {{1, 3, 6, 1, 2, 1, 1, 5}, kSysName, false},
    {{1, 3, 6, 1, 2, 1, 1, 6}, kSysLocation, false},
    {{1, 3, 6, 1, 2, 1, 1, 7}, kSysServices, false},
    {{1, 3, 6, 1, 2, 1, 2, 1}, kIfNumber, false},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 1}, kIfIndex, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 2}, kIfDescr, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 3}, kIfType, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 4}, kIfMtu, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 5}, kIfSpeed, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 6}, kIfPhysAddress, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 7}, kIfAdminStatus, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 8}, kIfOperStatus, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 10}, kIfInOctets, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 11}, kIfInPackets, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 13}, kIfInDiscards, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 16}, kIfOutOctets, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 17}, kIfOutPackets, true},
    {{1, 3, 6, 1, 2, 1, 2, 2, 1, 19}, kIfOutDiscards, true},
    {{1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 1}, kIfName, true},
    {{1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6}, kIfHcInOctets, true},
    {{1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 7}, kIfHcInPackets, true},
    {{1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 10}, kIfHcOutOctets, true},
    {{1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 11}, kIfHcOutPackets, true},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 1, 1}, kVersionText, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 1, 2}, kBoard, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 1, 3}, kSlot, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 2, 1}, kSipRegistrations, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 2, 2}, kSipCalls, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 2, 3}, kSipMessagesIn, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 2, 4}, kSipMessagesOut, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 2, 5}, kSipRefused, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 3, 1}, kFramesUsed, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 3, 2}, kFramesMax, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 3, 3}, kConnectionsUsed, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 3, 4}, kConnectionsMax, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 4, 1}, kFirewallDrops, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 5, 1}, kAlarmCount, false},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 5, 2, 1, 2}, kAlarmTitle, true},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 5, 2, 1, 3}, kAlarmSeverity, true},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 5, 2, 1, 4}, kAlarmDetail, true},
    {{1, 3, 6, 1, 4, 1, kEnterprise, 1, 5, 2, 1, 5}, kAlarmRaises, true},
};

bool IsInterface(uint16_t id) { return id >= kIfIndex && id <= kIfHcOutPackets; }

class BootsReader final : public store::EntryVisitor {
 public:
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    if (key == kBootsKey && value.size() == 4) {
      ByteReader in(value);
      boots = in.U32Be();
    }
  }
  uint32_t boots = 0;
};

}  // namespace

SnmpService::SnmpService(Appliance::Rooms& rooms)
    : rooms_(rooms), task_([](void* self) { static_cast<SnmpService*>(self)->MakeKeys(); }, this) {}

void SnmpService::Build() {
  Arena& arena = rooms_.machine.arena;
  arena.OpenAccount("firmware/snmp");
  mib_ = arena.New<snmp::Mib>(kObjects, static_cast<const snmp::Source&>(*this));
  agent_ = arena.New<snmp::Agent>(*mib_);
  // RFC 3411 section 5: the enterprise with its first bit set, then a MAC address.
  uint8_t bytes[11];
  ByteWriter out(bytes);
  out.U32Be(0x80000000u | kEnterprise);
  out.U8(3);
  const hal::EthernetPort* port = rooms_.machine.ports[0];
  out.Bytes(port != nullptr ? port->mac() : hal::MacAddress{});
  agent_->SetEngine(out.written(), CountStart(), rooms_.started_at);
}

// A store in factory state stays empty: that is what makes it one.
uint32_t SnmpService::CountStart() {
  BootsReader reader;
  store::Store& store = *rooms_.store;
  if (rooms_.configuration->is_factory() || rooms_.store_damaged || !store.ForEach(reader).ok()) {
    return 1;
  }
  const uint32_t boots = reader.boots < INT32_MAX ? reader.boots + 1 : INT32_MAX;
  uint8_t bytes[4];
  ByteWriter out(bytes);
  out.U32Be(boots);
  if (!store.Begin().ok()) {
    return boots;
  }
  if (!store.Put(kBootsKey, out.written()).ok()) {
    store.Rollback();
  } else if (const auto kept = store.Commit(); !kept.ok()) {
    rooms_.log.Emit(ServiceFailed{.service = "SNMP engine boots", .reason = kept.error().what});
  }
  return boots;
}

void SnmpService::OpenSockets(bool wanted) {
  net::DatagramService& datagrams = rooms_.stack->datagrams();
  for (uint32_t i = 0; i < sockets_.size(); ++i) {
    if (wanted == sockets_[i].valid()) {
      continue;
    }
    if (!wanted) {
      datagrams.CloseDatagram(sockets_[i]);
      sockets_[i] = {};
      continue;
    }
    net::IpAddress any;
    any.family = i == 0 ? net::IpFamily::kIpv4 : net::IpFamily::kIpv6;
    const auto socket = datagrams.OpenDatagram({any, kSnmpPort}, *this);
    if (!socket.ok()) {
      rooms_.log.Emit(ServiceFailed{.service = "SNMP", .reason = socket.error().what});
      continue;
    }
    sockets_[i] = *socket;
  }
}

void SnmpService::ApplySettings() {
  const config::Snmp& settings = rooms_.configuration->active().snmp();
  const bool wanted = settings.mode == config::OnOff::kOn && !rooms_.configuration->is_factory();
  OpenSockets(wanted);
  rooms_.services.Open(ServiceId::kSnmp, wanted ? kSnmpPort : uint16_t{0});
  agent_->SetCommunity(settings.community.view());
  ApplyUsers();
}

void SnmpService::ApplyUsers() {
  const auto users = rooms_.configuration->active().snmp_user();
  for (uint32_t i = 0; i < snmp::kUserMax; ++i) {
    if (std::memcmp(&users_[i], &users[i], sizeof(users_[i])) == 0) {
      continue;
    }
    users_[i] = users[i];
    snmp::User& user = agent_->users()[i];
    user.ready = false;
    user.name.Assign(users[i].authentication_password.empty() ? std::string_view()
                                                              : users[i].name.view());
    user.protocol = users[i].authentication == config::SnmpAuthentication::kSha1
                        ? snmp::AuthProtocol::kSha1
                        : snmp::AuthProtocol::kSha256;
    user.has_privacy = !users[i].privacy_password.empty();
  }
  job_ = 0;
  job_runs_ = false;
  rooms_.loop.Defer(task_);
}

// One piece of the next key that is missing.
void SnmpService::MakeKeys() {
  while (!job_runs_ && job_ < 2 * snmp::kUserMax) {
    const snmp::User& user = agent_->users()[job_ / 2];
    const bool is_privacy = job_ % 2 == 1;
    if (user.name.empty() || user.ready || (is_privacy && !user.has_privacy)) {
      agent_->users()[job_ / 2].ready = !user.name.empty() && (is_privacy || user.ready);
      ++job_;
      continue;
    }
    const config::SnmpUser& settings = users_[job_ / 2];
    maker_.Start(user.protocol, is_privacy ? settings.privacy_password.view()
                                           : settings.authentication_password.view());
    job_runs_ = true;
  }
  if (!job_runs_) {
    return;
  }
  if (maker_.Work()) {
    snmp::User& user = agent_->users()[job_ / 2];
    const bool is_privacy = job_ % 2 == 1;
    maker_.Localise(agent_->engine_id(), is_privacy ? user.privacy_key : user.auth_key);
    user.ready = is_privacy;
    job_runs_ = false;
    ++job_;
  }
  rooms_.loop.Defer(task_);
}

void SnmpService::OnDatagram(const net::DatagramInfo& info, std::span<uint8_t> data) {
  if (!bucket_.Take(rooms_.loop.now())) {
    ++limited_count_;
    return;
  }
  const snmp::AgentCounters before = agent_->counters();
  const auto answer = agent_->Handle(data, out_, rooms_.loop.now());
  if (!answer.empty()) {
    rooms_.stack->datagrams()
        .SendDatagram(info.socket, info.remote, answer, info.local.address)
        .ignore("the client asks again");
  }
  const snmp::AgentCounters& after = agent_->counters();
  if (after.bad_community != before.bad_community || after.unknown_user != before.unknown_user ||
      after.wrong_digest != before.wrong_digest ||
      after.unsupported_level != before.unsupported_level) {
    rooms_.log.Emit(
        SnmpRefused{.source = net::ToText(info.remote).view(), .reason = agent_->last_refusal()});
  }
}

// --- Notifications ------------------------------------------------------------------------------

void SnmpService::Watch() {
  for (uint32_t i = 0; i < log::kAlarmCount; ++i) {
    const alarm::AlarmState& state = rooms_.alarms.state(i);
    Told& told = told_[i];
    // One that came and went between two looks is told as both.
    if (state.raise_count != told.raise_count) {
      if (told.raised) {
        SendTraps(i, false);
      }
      SendTraps(i, true);
      told.raised = true;
    }
    if (told.raised && !state.raised) {
      SendTraps(i, false);
    }
    told = {state.raise_count, state.raised};
  }
}

void SnmpService::SendTraps(uint32_t alarm, bool raised) {
  std::array<snmp::VarBind, 3> binds;
  const uint16_t ids[] = {kAlarmTitle, kAlarmSeverity, kAlarmDetail};
  for (uint32_t i = 0; i < binds.size(); ++i) {
    binds[i].name = kGatehouse;
    for (const uint32_t id :
         {uint32_t{5}, uint32_t{2}, uint32_t{1}, i + 2, log::kAlarms[alarm].id}) {
      binds[i].name.Append(id);
    }
    (void)ReadAlarm(ids[i], log::kAlarms[alarm].id, binds[i].value);
  }
  for (const config::SnmpReceiver& receiver : rooms_.configuration->active().snmp_receiver()) {
    const net::SocketId socket = sockets_[receiver.address.is_v6() ? 1 : 0];
    if (receiver.address.is_none() || !socket.valid()) {
      continue;
    }
    const auto trap = agent_->Notify(raised ? kAlarmRaisedTrap : kAlarmLoweredTrap, binds,
                                     receiver.user - 1, out_, rooms_.loop.now());
    if (!trap.empty()) {
      rooms_.stack->datagrams()
          .SendDatagram(socket, {receiver.address, static_cast<uint16_t>(receiver.port)}, trap)
          .ignore("notifications are not acknowledged either");
    }
  }
}

// --- What is served -----------------------------------------------------------------------------

uint32_t SnmpService::NextRow(uint16_t id, uint32_t row) const {
  if (IsInterface(id)) {
    for (uint32_t i = row; i < net::kPortMax; ++i) {
      if (rooms_.machine.ports[i] != nullptr) {
        return i + 1;
      }
    }
    return 0;
  }
  uint32_t next = 0;
  for (uint32_t i = 0; i < log::kAlarmCount; ++i) {
    const uint32_t number = log::kAlarms[i].id;
    if (number > row && rooms_.alarms.state(i).raised && (next == 0 || number < next)) {
      next = number;
    }
  }
  return next;
}

bool SnmpService::Read(uint16_t id, uint32_t row, snmp::Value& out) const {
  if (id <= kIfNumber) {
    return ReadSystem(id, out);
  }
  if (IsInterface(id)) {
    return ReadInterface(id, row, out);
  }
  if (id <= kAlarmCount) {
    return ReadOwn(id, out);
  }
  const auto* begin = log::kAlarms;
  const auto* found = std::find_if(begin, begin + log::kAlarmCount,
                                   [&](const log::AlarmInfo& info) { return info.id == row; });
  return found != begin + log::kAlarmCount &&
         rooms_.alarms.state(static_cast<uint32_t>(found - begin)).raised &&
         ReadAlarm(id, row, out);
}

bool SnmpService::ReadSystem(uint16_t id, snmp::Value& out) const {
  const config::Settings& settings = rooms_.configuration->active();
  FixedString<200> text;
  switch (id) {
    case kSysDescr:
      text.Assign("Gatehouse ");
      text.Append(kVersion);
      text.Append(" on ");
      text.Append(rooms_.machine.board);
      out.SetText(text.view());
      return true;
    case kSysObjectId:
      out.tag = snmp::kObjectId;
      out.oid = kGatehouse;
      return true;
    case kSysUpTime:
      out.SetCount(snmp::kTimeTicks,
                   static_cast<uint64_t>((rooms_.loop.now() - rooms_.started_at).ns / 10'000'000));
      return true;
    case kSysContact:
      out.SetText(settings.snmp().contact.view());
      return true;
    case kSysName:
      out.SetText(settings.system().name.view());
      return true;
    case kSysLocation:
      out.SetText(settings.snmp().location.view());
      return true;
    case kSysServices:
      out.SetInteger(72);  // end-to-end and applications
      return true;
    default:
      out.SetInteger(std::count_if(rooms_.machine.ports.begin(), rooms_.machine.ports.end(),
                                   [](const auto* port) { return port != nullptr; }));
      return true;
  }
}

bool SnmpService::ReadInterface(uint16_t id, uint32_t row, snmp::Value& out) const {
  if (row == 0 || row > net::kPortMax || rooms_.machine.ports[row - 1] == nullptr) {
    return false;
  }
  const net::PortStatus port = rooms_.stack->port_status(static_cast<uint8_t>(row - 1));
  const hal::EthernetCounters& counters = port.counters;
  switch (id) {
    case kIfIndex:
      out.SetInteger(row);
      break;
    case kIfDescr:
    case kIfName:
      out.SetText(PortName(static_cast<uint8_t>(row - 1)));
      break;
    case kIfType:
      out.SetInteger(kEthernetCsmacd);
      break;
    case kIfMtu:
      out.SetInteger(port.mtu);
      break;
    case kIfSpeed:
      out.SetCount(snmp::kGauge32, kBitRate);
      break;
    case kIfPhysAddress:
      out.SetText({reinterpret_cast<const char*>(port.mac.data()), port.mac.size()});
      break;
    case kIfAdminStatus:
      out.SetInteger(port.address_count > 0 ? 1 : 2);
      break;
    case kIfOperStatus:
      out.SetInteger(port.link_up ? 1 : 2);
      break;
    case kIfInOctets:
    case kIfHcInOctets:
      out.SetCount(id == kIfInOctets ? snmp::kCounter32 : snmp::kCounter64, counters.rx_bytes);
      break;
    case kIfInPackets:
    case kIfHcInPackets:
      out.SetCount(id == kIfInPackets ? snmp::kCounter32 : snmp::kCounter64, counters.rx_frames);
      break;
    case kIfOutOctets:
    case kIfHcOutOctets:
      out.SetCount(id == kIfOutOctets ? snmp::kCounter32 : snmp::kCounter64, counters.tx_bytes);
      break;
    case kIfOutPackets:
    case kIfHcOutPackets:
      out.SetCount(id == kIfOutPackets ? snmp::kCounter32 : snmp::kCounter64, counters.tx_frames);
      break;
    case kIfInDiscards:
      out.SetCount(snmp::kCounter32, counters.rx_dropped);
      break;
    default:
      out.SetCount(snmp::kCounter32, counters.tx_dropped);
  }
  return true;
}

bool SnmpService::ReadOwn(uint16_t id, snmp::Value& out) const {
  const hal::BootReport& report = rooms_.machine.boot.report();
  const auto& counters = rooms_.sip->statistics();
  const net::StackStatus stack = rooms_.stack->status();
  const hal::FramePool& frames = rooms_.machine.frames;
  uint64_t drops = 0;
  switch (id) {
    case kVersionText:
      out.SetText(kVersion);
      break;
    case kBoard:
      out.SetText(rooms_.machine.board);
      break;
    case kSlot:
      out.SetText(std::string_view(&report.slot, 1));
      break;
    case kSipRegistrations:
      out.SetCount(snmp::kGauge32, rooms_.sip->registration_count());
      break;
    case kSipCalls:
      out.SetCount(snmp::kGauge32, rooms_.sip->call_count());
      break;
    case kSipMessagesIn:
      out.SetCount(snmp::kCounter64, counters.messages_in);
      break;
    case kSipMessagesOut:
      out.SetCount(snmp::kCounter64, counters.messages_out);
      break;
    case kSipRefused:
      out.SetCount(snmp::kCounter64, counters.refused);
      break;
    case kFramesUsed:
      out.SetCount(snmp::kGauge32, frames.frame_count() - frames.free_count());
      break;
    case kFramesMax:
      out.SetCount(snmp::kGauge32, frames.frame_count());
      break;
    case kConnectionsUsed:
      out.SetCount(snmp::kGauge32, stack.connection_count);
      break;
    case kConnectionsMax:
      out.SetCount(snmp::kGauge32, stack.connection_max);
      break;
    case kFirewallDrops:
      for (uint32_t i = 0; i < static_cast<uint32_t>(net::DropReason::kCount); ++i) {
        drops += rooms_.stack->firewall().drops(static_cast<net::DropReason>(i));
      }
      out.SetCount(snmp::kCounter64, drops);
      break;
    default:
      out.SetCount(snmp::kGauge32, rooms_.alarms.raised_count());
  }
  return true;
}

bool SnmpService::ReadAlarm(uint16_t id, uint32_t row, snmp::Value& out) const {
  for (uint32_t i = 0; i < log::kAlarmCount; ++i) {
    const log::AlarmInfo& info = log::kAlarms[i];
    if (info.id != row) {
      continue;
    }
    const alarm::AlarmState& state = rooms_.alarms.state(i);
    if (id == kAlarmTitle) {
      out.SetText(info.title);
    } else if (id == kAlarmSeverity) {
      out.SetInteger(static_cast<int64_t>(info.level));
    } else if (id == kAlarmDetail) {
      out.SetText(state.detail.view());
    } else {
      out.SetCount(snmp::kCounter32, state.raise_count);
    }
    return true;
  }
  return false;
}

// --- Status -------------------------------------------------------------------------------------

void SnmpService::AddTo(admin::StatusTree& status) {
  status.AddMember<&SnmpService::NextLine>("SNMP", "The SNMP agent", this);
}

bool SnmpService::NextLine(uint64_t& cursor, ByteWriter& out) {
  const snmp::AgentCounters& c = agent_->counters();
  const struct {
    const char* name;
    uint64_t value;
  } kLines[] = {{"Received", c.in_packets},
                {"Sent", c.out_packets},
                {"Traps", c.traps},
                {"Malformed", c.malformed},
                {"BadVersion", c.bad_version},
                {"BadCommunity", c.bad_community},
                {"UnknownUser", c.unknown_user},
                {"WrongDigest", c.wrong_digest},
                {"NotInTimeWindow", c.not_in_window},
                {"UnsupportedLevel", c.unsupported_level},
                {"DecryptionError", c.decryption_error},
                {"RateLimited", limited_count_},
                {"EngineBoots", agent_->boots()}};
  const uint64_t at = cursor++;
  if (at == 0) {
    out.Text("SNMP Mode: ");
    out.Text(sockets_[0].valid() ? "On" : "Off");
    return true;
  }
  if (at == 1) {
    out.Text("SNMP EngineId: ");
    out.HexBytes(agent_->engine_id());
    return true;
  }
  if (at - 2 >= std::size(kLines)) {
    return false;
  }
  out.Text("SNMP ");
  out.Text(kLines[at - 2].name);
  out.Text(": ");
  out.Decimal(kLines[at - 2].value);
  return true;
}

}  // namespace gh
