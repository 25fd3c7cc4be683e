#include "firmware/status.h"

#include "firmware/admin/status_text.h"
#include "firmware/log/render.h"
#include "firmware/rooms.h"
#include "version.h"

namespace gh {
namespace {

const Appliance::Rooms& RoomsOf(const void* rooms) {
  return *static_cast<const Appliance::Rooms*>(rooms);
}

// "<path>: <value>" pieces of one line.
void Say(ByteWriter& out, std::string_view path, std::string_view text) {
  out.Text(path);
  out.Text(": ");
  out.Text(text);
}
void Say(ByteWriter& out, std::string_view path, uint64_t number, std::string_view unit = {}) {
  out.Text(path);
  out.Text(": ");
  out.Decimal(number);
  out.Text(unit.empty() ? "" : " ");
  out.Text(unit);
}
// " name=number"

constexpr const char* kCauseNames[] = {"power-on", "restart", "watchdog", "panic", "unknown"};

}  // namespace

void StatusPages::AddTo(admin::StatusTree& tree, const void* rooms) {
  rooms_ = rooms;
  tree.AddMember<&StatusPages::NextSystem>("System", "Version, uptime, clock", this);
  tree.AddMember<&StatusPages::NextMemory>("Memory", "The arena, by account", this);
  tree.AddMember<&StatusPages::NextPool>("Pool", "Pools: used and capacity", this);
  tree.AddMember<&StatusPages::NextLoop>("Loop", "The control plane's turns", this);
  tree.AddMember<&StatusPages::NextStore>("Store", "Where configuration is kept", this);
  tree.AddMember<&StatusPages::NextAlarm>("Alarm", "Raised alarms", this);
  tree.AddMember<&StatusPages::NextCrashRecord>("CrashRecord", "What crashes left", this);
  tree.AddMember<&StatusPages::NextPort>("Network Port", "LAN ports and addresses", this);
  tree.AddMember<&StatusPages::NextNetwork>("Network Stack", "Connections and buffers", this);
  tree.AddMember<&StatusPages::NextFirewall>("Network Firewall", "Open services, drops", this);
  tree.AddMember<&StatusPages::NextSip>("SIP Statistics", "Counters of the SIP engine", this);
  tree.AddMember<&StatusPages::NextRegistration>("SIP Registration", "Registered contacts", this);
  tree.AddMember<&StatusPages::NextPresence>("SIP Presence User",
                                             "Users whose presence is published or watched", this);
  tree.AddMember<&StatusPages::NextWatch>("SIP Presence Watcher", "Who watches whom", this);
  tree.AddMember<&StatusPages::NextCall>("SIP Call", "Calls in progress", this);
  tree.AddMember<&StatusPages::NextSyslog>("Syslog Server", "Remote syslog servers", this);
  tree.AddMember<&StatusPages::NextLog>("Log", "Events, the latest first", this, true);
}

bool StatusPages::NextSystem(uint64_t& cursor, ByteWriter& out) {
  const auto& rooms = RoomsOf(rooms_);
  const hal::Machine& machine = rooms.machine;
  const hal::BootReport& report = machine.boot.report();
  const Instant now = rooms.loop.now();
  switch (cursor++) {
    case 0:
      Say(out, "System Name", rooms.configuration->active().system().name.view());
      return true;
    case 1:
      Say(out, "System Version", kVersion);
      return true;
    case 2:
      Say(out, "System Commit", kCommit);
      return true;
    case 3:
      Say(out, "System Build", kBuildId);
      return true;
    case 4:
      Say(out, "System Image", report.is_development ? "development" : "release");
      return true;
    case 5:
      Say(out, "System Board", machine.board);
      return true;
    case 6:
      Say(out, "System Machine", machine.description);
      return true;
    case 7:
      Say(out, "System Slot", std::string_view(&report.slot, 1));
      return true;
    case 8:
      Say(out, "System Profile", rooms.capacity.profile);
      return true;
    case 9:
      Say(out, "System Uptime", static_cast<uint64_t>((now - rooms.started_at).seconds()), "s");
      return true;
    case 10:
      Say(out, "System BootTime", static_cast<uint64_t>(rooms.boot_time.milliseconds()), "ms");
      return true;
    case 11:
      Say(out, "System ResetCause", kCauseNames[static_cast<uint8_t>(report.cause)]);
      return true;
    case 12:
      out.Text("System Time: ");
      log::FormatTimestamp(rooms.machine.clock.Wall(), out);
      return true;
    case 13:
      Say(out, "System Entropy", rooms.random.source());
      return true;
    case 14:
      Say(out, "System Watchdog", machine.watchdog.name());
      return true;
    case 15:
      Say(out, "System RestartNeeded", rooms.configuration->restart_needed() ? "Yes" : "No");
      return true;
    default:
      return false;
  }
}

bool StatusPages::NextMemory(uint64_t& cursor, ByteWriter& out) {
  const Arena& arena = RoomsOf(rooms_).machine.arena;
  const uint64_t at = cursor++;
  if (at == 0) {
    Say(out, "Memory Size", arena.size(), "bytes");
  } else if (at == 1) {
    Say(out, "Memory Used", arena.used(), "bytes");
  } else if (at - 2 < arena.accounts().size()) {
    const ArenaAccount& account = arena.accounts()[at - 2];
    out.Text("Memory Account ");
    Say(out, account.name, account.bytes, "bytes");
    if (account.items > 0) {
      Tell(out, "items", account.items);
    }
  } else {
    return false;
  }
  return true;
}

bool StatusPages::NextPool(uint64_t& cursor, ByteWriter& out) {
  const auto& rooms = RoomsOf(rooms_);
  const uint64_t at = cursor++;
  if (at == 0) {
    const hal::FramePool& frames = rooms.machine.frames;
    out.Text("Pool frames:");
    Tell(out, "used", frames.frame_count() - frames.free_count());
    Tell(out, "capacity", frames.frame_count());
    Tell(out, "used_max", frames.frame_count() - frames.free_count_min());
    return true;
  }
  const auto pools = rooms.sip->Pools();
  if (at - 1 >= pools.size()) {
    return false;
  }
  const sip::PoolStatus& pool = pools[at - 1];
  out.Text("Pool ");
  out.Text(pool.name);
  out.Char(':');
  Tell(out, "used", pool.used);
  Tell(out, "capacity", pool.capacity);
  Tell(out, "bytes_each", pool.bytes_per_item);
  return true;
}

bool StatusPages::NextLoop(uint64_t& cursor, ByteWriter& out) {
  const auto& rooms = RoomsOf(rooms_);
  switch (cursor++) {
    case 0:
      Say(out, "Loop Turns", rooms.loop.turn_count());
      return true;
    case 1:
      Say(out, "Loop LongestTurn", static_cast<uint64_t>(rooms.loop.turn_max().microseconds()),
          "us");
      return true;
    case 2:
      Say(out, "Loop LongestPasswordCheck",
          static_cast<uint64_t>(rooms.deferred.longest().microseconds()), "us");
      return true;
    case 3:
      Say(out, "Loop NetworkBusy", rooms.stack->poll_busy_ns / 1000, "us");
      return true;
    case 4:
      Say(out, "Loop SyslogBusy", rooms.syslog->poll_busy_ns / 1000, "us");
      return true;
    case 5:
      Say(out, "Loop ConsoleBusy", rooms.sessions->poll_busy_ns / 1000, "us");
      return true;
    default:
      return false;
  }
}

bool StatusPages::NextStore(uint64_t& cursor, ByteWriter& out) {
  const auto& rooms = RoomsOf(rooms_);
  const store::StoreStatus status = rooms.store->status();
  switch (cursor++) {
    case 0:
      Say(out, "Store Kind", status.kind);
      return true;
    case 1:
      Say(out, "Store Persistent", status.persistent ? "Yes" : "No");
      return true;
    case 2:
      Say(out, "Store Damaged", rooms.store_damaged ? "Yes" : "No");
      return true;
    case 3:
      out.Text("Store Space:");
      Tell(out, "used", status.bytes_used);
      Tell(out, "capacity", status.bytes_capacity);
      return true;
    case 4:
      out.Text("Store Heap:");
      Tell(out, "used", status.heap_used);
      Tell(out, "capacity", status.heap_capacity);
      Tell(out, "used_max", status.heap_max);
      return true;
    case 5:
      out.Text("Store Seal:");
      Tell(out, "cipher", status.sealed[0] != '\0' ? "XChaCha20-Poly1305" : "none");
      Tell(out, "key_wrapped_by", status.sealed[0] != '\0' ? status.sealed : "-");
      return true;
    case 6: {
      const store::CopyHeader* copy =
          rooms.sqlite_store != nullptr ? rooms.sqlite_store->good_copy() : nullptr;
      out.Text("Store GoodCopy:");
      Tell(out, "rows", copy != nullptr ? copy->rows : 0);
      out.Text(" time=");
      log::FormatTimestamp(copy != nullptr ? copy->wall : WallTime{}, out);
      return true;
    }
    case 7:
      out.Text("Store Commits:");
      Tell(out, "count", status.commit_count);
      Tell(out, "longest_us", static_cast<uint64_t>(status.commit_ns_max / 1000));
      return true;
    default:
      return false;
  }
}

bool StatusPages::NextAlarm(uint64_t& cursor, ByteWriter& out) {
  const auto& rooms = RoomsOf(rooms_);
  while (cursor < log::kAlarmCount) {
    const uint64_t at = cursor++;
    const alarm::AlarmState& state = rooms.alarms.state(static_cast<uint32_t>(at));
    if (!state.raised) {
      continue;
    }
    const log::AlarmInfo& info = log::kAlarms[at];
    out.Text("Alarm ");
    out.Decimal(info.id);
    out.Text(": ");
    out.Text(info.title);
    out.Text(" (");
    out.Text(log::SeverityName(info.level));
    out.Text(")");
    out.Text(state.detail.empty() ? "" : ": ");
    out.Text(state.detail.view());
    out.Text(". ");
    out.Text(info.action);
    out.Text(" [since ");
    log::FormatLocalTime(state.raised_wall, rooms.event_log.zone(), out);
    Tell(out, "raised", state.raise_count);
    Tell(out, "acknowledged", state.acknowledged ? state.acknowledged_by.view() : "no");
    out.Char(']');
    return true;
  }
  return false;
}

bool StatusPages::NextCrashRecord(uint64_t& cursor, ByteWriter& out) {
  return RoomsOf(rooms_).crashes->NextStatus(cursor, out);
}

// Lines 0..kPerPort-1 are port 0's, and so on; what a port does not have is passed over.
bool StatusPages::NextPort(uint64_t& cursor, ByteWriter& out) {
  const auto& rooms = RoomsOf(rooms_);
  constexpr uint64_t kPerPort = 4 + net::kPortAddressMax;
  for (; cursor < kPerPort * net::kPortMax; ++cursor) {
    const auto port = static_cast<uint8_t>(cursor / kPerPort);
    const uint64_t line = cursor % kPerPort;
    const net::PortStatus status = rooms.stack->port_status(port);
    if (!status.present || (line >= 4 && line - 4 >= status.address_count)) {
      continue;
    }
    out.Text("Network Port ");
    out.Decimal(port + 1u);
    out.Char(' ');
    if (line == 0) {
      Say(out, "Link", status.link_up ? "Up" : "Down");
    } else if (line == 1) {
      out.Text("MAC: ");
      for (size_t i = 0; i < status.mac.size(); ++i) {
        out.Text(i == 0 ? "" : ":");
        out.Hex(status.mac[i], 2);
      }
      Tell(out, "driver", status.driver);
      Tell(out, "mtu", status.mtu);
      Tell(out, "vlan", rooms.vlans[port]);
    } else if (line == 2) {
      out.Text("Received:");
      Tell(out, "frames", status.counters.rx_frames);
      Tell(out, "bytes", status.counters.rx_bytes);
      Tell(out, "dropped", status.counters.rx_dropped);
    } else if (line == 3) {
      out.Text("Sent:");
      Tell(out, "frames", status.counters.tx_frames);
      Tell(out, "bytes", status.counters.tx_bytes);
      Tell(out, "dropped", status.counters.tx_dropped);
    } else {
      const net::PortAddress& address = status.addresses[line - 4];
      Say(out, "Address", net::ToText(address.address).view());
      out.Char('/');
      out.Decimal(address.prefix_length);
    }
    ++cursor;
    return true;
  }
  return false;
}

bool StatusPages::NextNetwork(uint64_t& cursor, ByteWriter& out) {
  const auto& rooms = RoomsOf(rooms_);
  const net::StackStatus status = rooms.stack->status();
  switch (cursor++) {
    case 0:
      out.Text("Network Stack Connections:");
      Tell(out, "open", status.connection_count);
      Tell(out, "max", status.connection_max);
      Tell(out, "half_open", status.half_open_count);
      Tell(out, "time_wait", status.time_wait_count);
      return true;
    case 1:
      out.Text("Network Stack Cookies:");
      Tell(out, "sent", status.cookie_sent_count);
      Tell(out, "accepted", status.cookie_accepted_count);
      return true;
    case 2:
      out.Text("Network Stack Datagrams:");
      Tell(out, "received", status.received_datagrams);
      Tell(out, "sent", status.sent_datagrams);
      return true;
    case 3:
      out.Text("Network Stack Neighbours:");
      Tell(out, "arp", status.arp_count);
      Tell(out, "nd", status.neighbor_count);
      return true;
    case 4:
      out.Text("Network Stack Buffers:");
      Tell(out, "used", status.buffer_bytes_used);
      Tell(out, "capacity", status.buffer_bytes_capacity);
      Tell(out, "used_max", status.buffer_bytes_max);
      return true;
    case 5: {
      const net::SntpStatus sntp = rooms.sntp->status();
      out.Text("Network Stack Time:");
      Tell(out, "synchronised", sntp.synchronised ? "Yes" : "No");
      Tell(out, "server", net::ToText(sntp.server).view());
      Tell(out, "stratum", sntp.stratum);
      Tell(out, "rejected", sntp.rejected_count);
      return true;
    }
    default:
      return false;
  }
}

bool StatusPages::NextFirewall(uint64_t& cursor, ByteWriter& out) {
  const net::Firewall& firewall = RoomsOf(rooms_).stack->firewall();
  const auto rules = firewall.rules();
  constexpr auto kReasons = static_cast<uint64_t>(net::DropReason::kCount);
  for (; cursor < rules.size() + kReasons; ++cursor) {
    if (cursor < rules.size()) {
      const net::FirewallRule& rule = rules[cursor];
      out.Text("Network Firewall Open: ");
      out.Text(rule.transport == net::Transport::kUdp ? "udp " : "tcp ");
      out.Decimal(rule.first);
      if (rule.last != rule.first) {
        out.Char('-');
        out.Decimal(rule.last);
      }
      ++cursor;
      return true;
    }
    const auto reason = static_cast<net::DropReason>(cursor - rules.size());
    if (firewall.drops(reason) > 0) {
      out.Text("Network Firewall Dropped ");
      Say(out, net::DropReasonName(reason), firewall.drops(reason));
      ++cursor;
      return true;
    }
  }
  return false;
}

bool StatusPages::NextSip(uint64_t& cursor, ByteWriter& out) {
  const auto& rooms = RoomsOf(rooms_);
  const sip::Statistics& counters = rooms.sip->statistics();
  switch (cursor++) {
    case 0:
      out.Text("SIP Statistics Now:");
      Tell(out, "registrations", rooms.sip->registration_count());
      Tell(out, "calls", rooms.sip->call_count());
      Tell(out, "streams", rooms.sip->stream_count());
      Tell(out, "listeners", rooms.sip_listeners);
      return true;
    case 1:
      out.Text("SIP Statistics Messages:");
      Tell(out, "in", counters.messages_in);
      Tell(out, "out", counters.messages_out);
      Tell(out, "requests", counters.requests_in);
      Tell(out, "responses", counters.responses_in);
      Tell(out, "keep_alives", counters.keep_alives);
      return true;
    case 2:
      out.Text("SIP Statistics Refused:");
      Tell(out, "answered", counters.refused);
      Tell(out, "malformed", counters.dropped_malformed);
      Tell(out, "stray", counters.dropped_stray);
      Tell(out, "rate_limited", counters.rate_limited);
      Tell(out, "overload", counters.overload);
      Tell(out, "send_failed", counters.send_failed);
      return true;
    case 3:
      out.Text("SIP Statistics Users:");
      Tell(out, "registers", counters.registers);
      Tell(out, "known_ways", counters.known_ways);
      Tell(out, "challenges", counters.challenges);
      Tell(out, "auth_failures", counters.auth_failures);
      return true;
    case 4:
      out.Text("SIP Statistics Calls:");
      Tell(out, "started", counters.calls_started);
      Tell(out, "failed", counters.calls_failed);
      Tell(out, "unkept", counters.calls_unkept);
      return true;
    case 5:
      out.Text("SIP Statistics Load:");
      Tell(out, "occupancy_permille", rooms.sip->overload().occupancy());
      Tell(out, "taken_permille", rooms.sip->overload().share());
      Tell(out, "refused", counters.load_refused);
      Tell(out, "unanswered", counters.load_silent);
      return true;
    case 6:
      out.Text("SIP Statistics Presence:");
      Tell(out, "publications", counters.publications);
      Tell(out, "subscriptions", counters.subscriptions);
      Tell(out, "notifications", counters.notifications);
      return true;
    default:
      return false;
  }
}

bool StatusPages::NextRegistration(uint64_t& cursor, ByteWriter& out) {
  sip::RegistrationInfo info;
  auto at = static_cast<uint32_t>(cursor);
  if (!RoomsOf(rooms_).sip->NextRegistration(at, info)) {
    return false;
  }
  cursor = at;
  out.Text("SIP Registration ");
  out.Text(info.user);
  out.Char('@');
  out.Text(info.domain);
  out.Text(": ");
  out.Text(info.contact.substr(0, 200));
  Tell(out, "source", net::ToText(info.source).view());
  Tell(out, "transport", sip::TransportName(info.transport));
  Tell(out, "expires_s", info.remaining_s);
  return true;
}

bool StatusPages::NextPresence(uint64_t& cursor, ByteWriter& out) {
  sip::PresentityInfo info;
  auto at = static_cast<uint32_t>(cursor);
  if (!RoomsOf(rooms_).sip->presence().NextPresentity(at, info)) {
    return false;
  }
  cursor = at;
  out.Text("SIP Presence User ");
  out.Text(info.user);
  out.Char(':');
  Tell(out, "published", info.publications == 0 ? "nothing" : info.is_open ? "open" : "closed");
  Tell(out, "publications", info.publications);
  Tell(out, "watchers", info.watchers);
  return true;
}

bool StatusPages::NextWatch(uint64_t& cursor, ByteWriter& out) {
  sip::WatchInfo info;
  auto at = static_cast<uint32_t>(cursor);
  if (!RoomsOf(rooms_).sip->presence().NextWatch(at, info)) {
    return false;
  }
  cursor = at;
  out.Text("SIP Presence Watcher ");
  out.Text(info.watcher);
  out.Text(": ");
  out.Text(info.user);
  Tell(out, "policy", info.is_polite ? "polite-block" : "allowed");
  Tell(out, "source", net::ToText(info.source).view());
  Tell(out, "transport", sip::TransportName(info.transport));
  Tell(out, "expires_s", info.remaining_s);
  return true;
}

bool StatusPages::NextCall(uint64_t& cursor, ByteWriter& out) {
  sip::CallInfo info;
  auto at = static_cast<uint32_t>(cursor);
  if (!RoomsOf(rooms_).sip->NextCall(at, info)) {
    return false;
  }
  cursor = at;
  out.Text("SIP Call ");
  out.Decimal(info.id);
  out.Text(": ");
  out.Text(info.caller.substr(0, 200));
  out.Text(" -> ");
  out.Text(info.callee.substr(0, 200));
  Tell(out, "duration_s", static_cast<uint64_t>(info.duration.seconds()));
  Tell(out, "caller", net::ToText(info.caller_address).view());
  Tell(out, "callee", net::ToText(info.callee_address).view());
  Tell(out, "setup_ms", static_cast<uint64_t>(info.setup.milliseconds()));
  if (info.session_s != 0) {
    Tell(out, "session_s", info.session_s);
  }
  if (info.kbps != 0) {
    Tell(out, "kbps", info.kbps);
  }
  Tell(out, "call_id", info.call_id);
  return true;
}

bool StatusPages::NextSyslog(uint64_t& cursor, ByteWriter& out) {
  const auto& rooms = RoomsOf(rooms_);
  for (; cursor < log::kSyslogServerMax; ++cursor) {
    const log::SyslogServerStatus status = rooms.syslog->status(static_cast<uint32_t>(cursor));
    if (status.state == log::SyslogState::kOff) {
      continue;
    }
    out.Text("Syslog Server ");
    out.Decimal(++cursor);
    out.Text(": ");
    out.Text(log::SyslogStateName(status.state));
    Tell(out, "to", net::ToText(status.endpoint).view());
    Tell(out, "sent", status.sent);
    Tell(out, "waiting", status.waiting);
    Tell(out, "dropped", status.dropped);
    if (status.last_error[0] != '\0') {
      out.Text(" last_error=\"");
      out.Text(status.last_error);
      out.Char('"');
    }
    return true;
  }
  return false;
}

// The cursor is the sequence number of the event shown last; events that come meanwhile are newer.
bool StatusPages::NextLog(uint64_t& cursor, ByteWriter& out) {
  const log::Log& log = RoomsOf(rooms_).log;
  const uint64_t sequence = (cursor == 0 ? log.next_sequence() : cursor) - 1;
  const log::Record* record = log.Find(sequence);
  if (record == nullptr) {
    return false;
  }
  cursor = sequence;
  out.Text("Log ");
  out.Decimal(sequence);
  out.Text(": ");
  log::FormatLocalTime(record->wall, RoomsOf(rooms_).event_log.zone(), out);
  out.Char(' ');
  const log::EventInfo& info = log::kEvents[record->event];
  out.Text(log::SeverityName(info.severity));
  out.Char(' ');
  out.Text(info.name);
  out.Char(' ');
  log::FormatText(*record, out);
  return true;
}

}  // namespace gh
