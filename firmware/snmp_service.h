// SNMP in the appliance: the agent's socket, what it serves (system, interfaces, our own objects in
// firmware/snmp/GATEHOUSE-MIB.txt), users' keys, and alarms as notifications.
//
// A password's key takes a megabyte of hashing: it is made in pieces between turns, and the user is
// unknown until then. Engine boots (RFC 3414 section 2.2.1) are counted in the store.
#pragma once

#include <array>
#include <cstdint>

#include "firmware/admin/status.h"
#include "firmware/appliance.h"
#include "firmware/config/settings.h"
#include "firmware/log/events.gen.h"
#include "firmware/snmp/agent.h"
#include "hal/rt/event_loop.h"
#include "net/datagram.h"
#include "net/token_bucket.h"

namespace gh {

class SnmpService final : private net::DatagramHandler, private snmp::Source {
 public:
  explicit SnmpService(Appliance::Rooms& rooms);
  SnmpService(const SnmpService&) = delete;
  SnmpService& operator=(const SnmpService&) = delete;

  // After configuration and network, before the seal.
  void Build();
  void ApplySettings();
  // Tells receivers of alarms raised and lowered since the last call.
  void Watch();
  void AddTo(admin::StatusTree& status);

 private:
  void OnDatagram(const net::DatagramInfo& info, std::span<uint8_t> data) override;
  bool Read(uint16_t id, uint32_t row, snmp::Value& out) const override;
  uint32_t NextRow(uint16_t id, uint32_t row) const override;
  bool ReadSystem(uint16_t id, snmp::Value& out) const;
  bool ReadInterface(uint16_t id, uint32_t row, snmp::Value& out) const;
  bool ReadOwn(uint16_t id, snmp::Value& out) const;
  bool ReadAlarm(uint16_t id, uint32_t row, snmp::Value& out) const;

  uint32_t CountStart();
  void OpenSockets(bool wanted);
  void ApplyUsers();
  void MakeKeys();
  void SendTraps(uint32_t alarm, bool raised);
  bool NextLine(uint64_t& cursor, ByteWriter& out);

  Appliance::Rooms& rooms_;
  snmp::Mib* mib_ = nullptr;
  snmp::Agent* agent_ = nullptr;
  std::array<net::SocketId, 2> sockets_;  // IPv4, IPv6
  net::TokenBucket bucket_{snmp::kRequestsPerSecond, snmp::kRequestsPerSecond};
  uint64_t limited_count_ = 0;

  std::array<config::SnmpUser, snmp::kUserMax> users_ = {};  // whose keys are made or being made
  snmp::KeyMaker maker_;
  uint32_t job_ = 0;  // user * 2, and 1 for the privacy key
  bool job_runs_ = false;
  Task task_;

  struct Told {
    uint32_t raise_count = 0;
    bool raised = false;
  };
  std::array<Told, log::kAlarmCount> told_ = {};
  std::array<uint8_t, snmp::kMessageMax> out_ = {};
};

}  // namespace gh
