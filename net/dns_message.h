// DNS messages (RFC 1035, 2782, 3403, 6891): building a question, taking an answer apart.
//
// Pure functions over bytes. Names are followed through compression pointers that only go
// backwards, so a loop cannot exist; every count is bounded. Names come out as text, lower-cased,
// without the final dot; a label with a dot, a NUL or anything outside printable ASCII makes its
// record invalid.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/result.h"
#include "net/resolver.h"

namespace gh::net {

inline constexpr uint16_t kDnsPort = 53;
inline constexpr size_t kDnsQuerySizeMax = 12 + 255 + 4 + 11;
inline constexpr uint16_t kDnsUdpSize = 1232;  // EDNS: no fragments anywhere
inline constexpr uint32_t kDnsRecordWalkMax = 128;
inline constexpr uint32_t kDnsChainMax = 8;  // CNAMEs
inline constexpr size_t kDnsTextMax = 2048;  // all names and strings of one answer
inline constexpr uint32_t kDnsTtlMax_s = 86'400;

enum class DnsCode : uint8_t {  // RCODE
  kNoError = 0,
  kFormat = 1,
  kServerFailure = 2,
  kNameError = 3,
  kNotImplemented = 4,
  kRefused = 5,
};

struct DnsName {
  std::array<char, kDnsNameMax + 1> text = {};
  uint8_t size = 0;
  std::string_view view() const { return {text.data(), size}; }
};

// kMalformed unless `name` is a host or service name: labels of 1 to 63 printable characters, 253
// in all; one final dot is allowed and dropped. Lower-cases.
Result<void> NormalizeDnsName(std::string_view name, DnsName& out);

struct DnsAnswer {
  DnsCode code = DnsCode::kNoError;
  bool truncated = false;
  uint32_t record_count = 0;
  std::array<DnsRecord, kDnsRecordMax> records = {};  // text points into `text`
  uint32_t negative_ttl_s = 0;  // with no records: how long that may be believed
  uint32_t ttl_s = 0;           // with records: the least along the chain
  DnsName chain_end;            // the name the last CNAME points to, when its records are not here
  bool chain_open = false;
  std::array<char, kDnsTextMax> text = {};
  uint32_t text_size = 0;
};

// The question for `name` in wire form. `case_bits` flips letters' case (0x20): bit i of the stream
// for the i-th character; the answer must repeat them. Returns the size, 0 when it does not fit.
size_t BuildDnsQuery(std::span<uint8_t> out, uint16_t id, std::string_view name, DnsType type,
                     std::span<const uint8_t, 32> case_bits, bool edns);

// `query` is what BuildDnsQuery made. kUnauthentic: not an answer to it; kMalformed: does not
// parse.
Result<void> ParseDnsResponse(std::span<const uint8_t> message, std::span<const uint8_t> query,
                              DnsType type, DnsAnswer& answer);

}  // namespace gh::net
