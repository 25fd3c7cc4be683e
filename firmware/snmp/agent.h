// An SNMP agent for reading: SNMPv2c by community, SNMPv3 by user (RFC 3412, 3414, 3416), and
// notifications. An engine without I/O: a datagram in, the answer out.
//
// Ours and not lwIP's, because lwIP's keeps its state in globals, allocates while it answers, and
// knows SHA-1 and DES only; what we serve is small. GET, GETNEXT and GETBULK are answered, SET with
// notWritable. A v3 user reads with authentication, and only encrypted when he has a privacy
// password. Reports answer what RFC 3414 says they do; everything else that is wrong is dropped
// and counted.
//
// Fault model: any bytes come from anybody. Sizes, counts and depths are bounded (limits.h); tags
// and communities are compared in constant time; requests beyond kRequestsPerSecond are dropped.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/snmp/ber.h"
#include "firmware/snmp/mib.h"
#include "firmware/snmp/usm.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::snmp {

struct User {
  FixedString<kNameMax> name;  // empty: none
  AuthProtocol protocol = AuthProtocol::kSha256;
  bool has_privacy = false;
  bool ready = false;  // the keys are made
  Key auth_key;
  Key privacy_key;
};

struct AgentCounters {
  uint64_t in_packets = 0;
  uint64_t out_packets = 0;
  uint64_t malformed = 0;
  uint64_t bad_version = 0;
  uint64_t bad_community = 0;
  uint64_t unknown_user = 0;
  uint64_t wrong_digest = 0;
  uint64_t not_in_window = 0;
  uint64_t unknown_engine = 0;
  uint64_t decryption_error = 0;
  uint64_t unsupported_level = 0;
  uint64_t traps = 0;
};

struct VarBind {
  Oid name;
  Value value;
};

class Agent {
 public:
  explicit Agent(const Mib& mib) : mib_(mib) {}
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // snmpEngineBoots counts starts (RFC 3414 section 2.2); both before the first message.
  void SetEngine(std::span<const uint8_t> engine_id, uint32_t boots, Instant started);
  std::span<const uint8_t> engine_id() const { return engine_id_span(); }
  uint32_t boots() const { return boots_; }
  // Empty: SNMPv2c is refused.
  void SetCommunity(std::string_view community) { community_.Assign(community); }
  std::array<User, kUserMax>& users() { return users_; }

  // The answer's size within `out` (it lies at its end); 0: there is none. `in` is changed.
  std::span<const uint8_t> Handle(std::span<uint8_t> in, std::span<uint8_t> out, Instant now);
  // An SNMPv2 notification: with the community, or as `user` (an index). Empty: it cannot be made.
  std::span<const uint8_t> Notify(const Oid& what, std::span<const VarBind> binds, int user,
                                  std::span<uint8_t> out, Instant now);

  const AgentCounters& counters() const { return counters_; }
  const char* last_refusal() const { return last_refusal_; }

 private:
  struct Header {  // of a v3 message
    int32_t message_id = 0;
    int32_t size_max = 0;
    uint8_t flags = 0;
    std::span<const uint8_t> engine_id;
    uint32_t boots = 0;
    uint32_t time = 0;
    std::span<const uint8_t> user;
    std::span<const uint8_t> tag;
    std::span<const uint8_t> salt;
  };
  struct Pdu {
    uint8_t type = 0;
    int32_t request_id = 0;
    int32_t second = 0;  // error-status or non-repeaters
    int32_t third = 0;   // error-index or max-repetitions
    std::span<const uint8_t> binds;
  };

  std::span<const uint8_t> engine_id_span() const {
    return std::span(engine_id_).first(engine_id_size_);
  }
  uint32_t TimeOf(Instant now) const;
  static bool ReadPdu(BerReader& in, Pdu& pdu);
  std::span<const uint8_t> HandleV2(BerReader& in, std::span<uint8_t> out);
  std::span<const uint8_t> HandleV3(std::span<uint8_t> whole, BerReader& in, std::span<uint8_t> out,
                                    Instant now);
  bool ReadHeader(BerReader& in, Header& header);
  User* FindUser(std::span<const uint8_t> name);
  std::span<const uint8_t> Report(const Header& header, uint32_t which, const User* user,
                                  std::span<uint8_t> out, Instant now);
  static bool CheckTag(std::span<uint8_t> whole, const Header& header, const User& user);
  // 0: the message may be used; else which report answers it.
  uint32_t CheckSecurity(std::span<uint8_t> whole, const Header& header, const User* user,
                         Instant now);
  bool ReadScope(BerReader& in, Pdu& pdu);
  std::span<const uint8_t> Refuse(const char* why, uint64_t& counter);

  // Writes the response PDU to `request`, with variables of at most `size_max` bytes; false: none
  // can be made.
  bool Respond(const Pdu& request, size_t size_max, BerWriter& out);
  bool ReadNames(std::span<const uint8_t> binds, uint32_t& count);
  // Adds to the variables of the answer; false: there is no room.
  bool AppendBind(const Oid& name, const Value& value, size_t size_max);
  bool AppendNext(Oid& name, size_t size_max, bool& at_end);
  void AnswerBulk(const Pdu& request, uint32_t name_count, size_t size_max);
  static void WritePdu(uint8_t type, int32_t request_id, int32_t status, int32_t index,
                       std::span<const uint8_t> binds, BerWriter& out);
  // Wraps the scoped PDU that `writer` holds into a v3 message of this security level.
  std::span<const uint8_t> Seal(BerWriter& writer, int32_t message_id, const User* user,
                                uint8_t flags, Instant now);
  void WriteScope(BerWriter& writer);

  const Mib& mib_;
  std::array<uint8_t, kEngineIdMax> engine_id_ = {};
  uint32_t engine_id_size_ = 0;
  uint32_t boots_ = 0;
  Instant started_;
  FixedString<kNameMax> community_;
  std::array<User, kUserMax> users_;
  uint64_t salt_ = 0;
  int32_t notification_id_ = 0;
  AgentCounters counters_;
  const char* last_refusal_ = "";
  // Scratch: names of one request, variables of its answer.
  std::array<Oid, kVarBindMax> names_ = {};
  std::array<uint8_t, kMessageMax> binds_ = {};
  size_t binds_size_ = 0;
};

}  // namespace gh::snmp
