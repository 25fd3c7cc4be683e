#include "net/dns_message.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/ascii.h"
#include "hal/rt/bytes.h"

namespace gh::net {
namespace {

constexpr size_t kHeaderSize = 12;
constexpr uint16_t kFlagResponse = 0x8000;
constexpr uint16_t kFlagTruncated = 0x0200;
constexpr uint16_t kFlagRecursionDesired = 0x0100;
constexpr uint16_t kOpcodeMask = 0x7800;
constexpr uint16_t kClassIn = 1;
constexpr uint16_t kTypeSoa = 6;
constexpr uint16_t kTypeOpt = 41;
constexpr size_t kLabelMax = 63;

uint16_t U16At(std::span<const uint8_t> m, size_t at) {
  return static_cast<uint16_t>(m[at] << 8 | m[at + 1]);
}

bool AppendLabel(std::span<const uint8_t> label, DnsName& name) {
  if (name.size + label.size() + (name.size > 0 ? 1 : 0) > kDnsNameMax) {
    return false;
  }
  if (name.size > 0) {
    name.text[name.size++] = '.';
  }
  for (uint8_t c : label) {
    if (c <= ' ' || c >= 0x7f || c == '.') {
      return false;
    }
    name.text[name.size++] = AsciiLower(static_cast<char>(c));
  }
  return true;
}

// Reads the name at `at` and moves `at` behind it. A pointer must point before the name it is part
// of, and each one before the last: the walk ends.
bool ReadName(std::span<const uint8_t> m, size_t& at, DnsName& name) {
  name.size = 0;
  size_t position = at;
  size_t limit = at;  // pointers must go below this
  bool jumped = false;
  while (position < m.size()) {
    const uint8_t size = m[position];
    if (size == 0) {
      at = jumped ? at : position + 1;
      return true;
    }
    if ((size & 0xc0) == 0xc0) {
      if (m.size() - position < 2) {
        return false;
      }
      const size_t target = U16At(m, position) & 0x3fff;
      if (target >= limit) {
        return false;
      }
      at = jumped ? at : position + 2;
      jumped = true;
      position = limit = target;
      continue;
    }
    if (size > kLabelMax || m.size() - position <= size ||
        !AppendLabel(m.subspan(position + 1, size), name)) {
      return false;
    }
    position += size + size_t{1};
  }
  return false;
}

struct RawRecord {
  DnsName owner;
  uint16_t type = 0;
  uint16_t record_class = 0;
  uint32_t ttl_s = 0;
  size_t data = 0;
  size_t data_size = 0;
};

bool ReadRecord(std::span<const uint8_t> m, size_t& at, RawRecord& record) {
  if (!ReadName(m, at, record.owner) || m.size() - at < 10) {
    return false;
  }
  record.type = U16At(m, at);
  record.record_class = U16At(m, at + 2);
  record.ttl_s = static_cast<uint32_t>(U16At(m, at + 4)) << 16 | U16At(m, at + 6);
  record.ttl_s = record.ttl_s > INT32_MAX ? 0 : std::min(record.ttl_s, kDnsTtlMax_s);
  record.data_size = U16At(m, at + 8);
  record.data = at + 10;
  if (m.size() - record.data < record.data_size) {
    return false;
  }
  at = record.data + record.data_size;
  return true;
}

std::string_view Keep(DnsAnswer& answer, std::string_view text) {
  if (text.size() > answer.text.size() - answer.text_size) {
    return {};
  }
  char* place = answer.text.data() + answer.text_size;
  std::memcpy(place, text.data(), text.size());
  answer.text_size += static_cast<uint32_t>(text.size());
  return {place, text.size()};
}

// A character string; false when it does not fit the record.
bool ReadString(std::span<const uint8_t> m, size_t& at, size_t end, std::string_view& out) {
  if (at >= end || m[at] > end - at - 1) {
    return false;
  }
  out = AsText(m.subspan(at + 1, m[at]));
  at += m[at] + size_t{1};
  return true;
}

bool ReadSrv(std::span<const uint8_t> m, const RawRecord& raw, DnsRecord& record,
             DnsAnswer& answer) {
  DnsName target;
  size_t at = raw.data + 6;
  if (raw.data_size < 7 || !ReadName(m, at, target) || at != raw.data + raw.data_size) {
    return false;
  }
  record.priority = U16At(m, raw.data);
  record.weight = U16At(m, raw.data + 2);
  record.port = U16At(m, raw.data + 4);
  record.target = Keep(answer, target.view());
  return record.target.size() == target.size;
}

bool ReadNaptr(std::span<const uint8_t> m, const RawRecord& raw, DnsRecord& record,
               DnsAnswer& answer) {
  const size_t end = raw.data + raw.data_size;
  size_t at = raw.data + 4;
  std::string_view flags;
  std::string_view service;
  std::string_view expression;
  DnsName replacement;
  if (raw.data_size < 8 || !ReadString(m, at, end, flags) || !ReadString(m, at, end, service) ||
      !ReadString(m, at, end, expression) || !ReadName(m, at, replacement) || at != end) {
    return false;
  }
  record.priority = U16At(m, raw.data);
  record.weight = U16At(m, raw.data + 2);
  record.flags = Keep(answer, flags);
  record.service = Keep(answer, service);
  record.target = Keep(answer, replacement.view());
  return record.flags.size() == flags.size() && record.service.size() == service.size() &&
         record.target.size() == replacement.size;
}

bool ReadData(std::span<const uint8_t> m, const RawRecord& raw, DnsRecord& record,
              DnsAnswer& answer) {
  record.ttl_s = raw.ttl_s;
  record.type = static_cast<DnsType>(raw.type);
  switch (record.type) {
    case DnsType::kA:
      if (raw.data_size != 4) {
        return false;
      }
      record.address = IpAddress::V4FromBytes(m.subspan(raw.data).first<4>());
      return true;
    case DnsType::kAaaa:
      if (raw.data_size != 16) {
        return false;
      }
      record.address = IpAddress::V6FromBytes(m.subspan(raw.data).first<16>());
      return true;
    case DnsType::kSrv:
      return ReadSrv(m, raw, record, answer);
    case DnsType::kNaptr:
      return ReadNaptr(m, raw, record, answer);
    default:
      return false;
  }
}

bool NamesEqual(const DnsName& a, const DnsName& b) { return a.view() == b.view(); }

// The answer section's records, walked once per step of the CNAME chain.
struct Section {
  std::span<const uint8_t> message;
  size_t start = 0;
  uint32_t count = 0;

  template <typename Visit>
  bool ForEach(Visit&& visit) const {
    size_t at = start;
    for (uint32_t i = 0; i < count; ++i) {
      RawRecord raw;
      if (!ReadRecord(message, at, raw)) {
        return false;
      }
      visit(raw);
    }
    return true;
  }
};

// Follows CNAMEs from `name`; moves it to the end of the chain. Returns how many there were.
uint32_t FollowChain(const Section& answers, DnsName& name, uint32_t& ttl_s) {
  uint32_t steps = 0;
  for (bool moved = true; moved && steps < kDnsChainMax;) {
    moved = false;
    DnsName next;
    answers.ForEach([&](const RawRecord& raw) {
      size_t at = raw.data;
      DnsName target;
      if (!moved && raw.type == static_cast<uint16_t>(DnsType::kCname) &&
          raw.record_class == kClassIn && NamesEqual(raw.owner, name) &&
          ReadName(answers.message, at, target) && at == raw.data + raw.data_size) {
        moved = true;
        next = target;
        ttl_s = std::min(ttl_s, raw.ttl_s);
      }
    });
    if (moved) {
      name = next;
      ++steps;
    }
  }
  return steps;
}

// RFC 2308: the lesser of the SOA's TTL and its MINIMUM field.
uint32_t NegativeTtl(const Section& authority) {
  uint32_t ttl_s = 0;
  authority.ForEach([&](const RawRecord& raw) {
    if (raw.type == kTypeSoa && raw.data_size >= 4) {
      const size_t at = raw.data + raw.data_size - 4;
      const uint32_t minimum = static_cast<uint32_t>(U16At(authority.message, at)) << 16 |
                               U16At(authority.message, at + 2);
      ttl_s = std::min(raw.ttl_s, minimum);
    }
  });
  return ttl_s;
}

}  // namespace

Result<void> NormalizeDnsName(std::string_view name, DnsName& out) {
  out.size = 0;
  if (!name.empty() && name.back() == '.') {
    name.remove_suffix(1);
  }
  if (name.empty() || name.size() > kDnsNameMax) {
    return ErrorCode::kMalformed;
  }
  while (true) {
    const size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    if (label.empty() || label.size() > kLabelMax || !AppendLabel(AsBytes(label), out)) {
      return ErrorCode::kMalformed;
    }
    if (dot == std::string_view::npos) {
      return Ok();
    }
    name.remove_prefix(dot + 1);
  }
}

size_t BuildDnsQuery(std::span<uint8_t> out, uint16_t id, std::string_view name, DnsType type,
                     std::span<const uint8_t, 32> case_bits, bool edns) {
  ByteWriter w(out);
  w.U16Be(id);
  w.U16Be(kFlagRecursionDesired);
  w.U16Be(1);
  w.U16Be(0);
  w.U16Be(0);
  w.U16Be(edns ? 1 : 0);
  size_t position = 0;
  while (position <= name.size()) {
    const size_t dot = std::min(name.find('.', position), name.size());
    w.U8(static_cast<uint8_t>(dot - position));
    for (; position < dot; ++position) {
      const auto c = static_cast<uint8_t>(name[position]);
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      const bool flip = (case_bits[position / 8 % 32] >> (position % 8) & 1) != 0;
      w.U8(letter && flip ? c ^ 0x20 : c);
    }
    ++position;
  }
  w.U8(0);
  w.U16Be(static_cast<uint16_t>(type));
  w.U16Be(kClassIn);
  if (edns) {  // RFC 6891: root name, OPT, our size, no flags, no options
    w.U8(0);
    w.U16Be(kTypeOpt);
    w.U16Be(kDnsUdpSize);
    w.U32Be(0);
    w.U16Be(0);
  }
  return w.ok() ? w.size() : 0;
}

Result<void> ParseDnsResponse(std::span<const uint8_t> message, std::span<const uint8_t> query,
                              DnsType type, DnsAnswer& answer) {
  answer.record_count = answer.text_size = answer.negative_ttl_s = answer.ttl_s = 0;
  answer.chain_open = false;
  if (message.size() < kHeaderSize || query.size() < kHeaderSize) {
    return ErrorCode::kMalformed;
  }
  const uint16_t flags = U16At(message, 2);
  if (U16At(message, 0) != U16At(query, 0) || (flags & kFlagResponse) == 0 ||
      (flags & kOpcodeMask) != 0) {
    return ErrorCode::kUnauthentic;
  }
  answer.code = static_cast<DnsCode>(flags & 0xf);
  answer.truncated = (flags & kFlagTruncated) != 0;
  // The question must come back byte by byte, the random case of its letters included.
  DnsName name;
  size_t question_end = kHeaderSize;
  if (!ReadName(query, question_end, name)) {
    return ErrorCode::kMalformed;
  }
  question_end += 4;
  const bool has_question = U16At(message, 4) == 1 && message.size() >= question_end &&
                            query.size() >= question_end &&
                            std::memcmp(message.data() + kHeaderSize, query.data() + kHeaderSize,
                                        question_end - kHeaderSize) == 0;
  if (!has_question) {
    // Some servers repeat nothing when they cannot read the question.
    return U16At(message, 4) == 0 && answer.code == DnsCode::kFormat ? Ok()
                                                                     : ErrorCode::kUnauthentic;
  }
  const uint32_t answer_count = U16At(message, 6);
  const uint32_t authority_count = U16At(message, 8);
  if (answer_count + authority_count > kDnsRecordWalkMax) {
    return ErrorCode::kMalformed;
  }
  const Section answers{message, question_end, answer_count};
  size_t authority_at = question_end;
  for (uint32_t i = 0; i < answer_count && !answer.truncated; ++i) {
    RawRecord raw;
    if (!ReadRecord(message, authority_at, raw)) {
      return ErrorCode::kMalformed;
    }
  }
  if (answer.truncated) {
    return Ok();  // asked again over TCP; what is here may be cut anywhere
  }
  answer.ttl_s = kDnsTtlMax_s;
  const uint32_t steps = FollowChain(answers, name, answer.ttl_s);
  answers.ForEach([&](const RawRecord& raw) {
    DnsRecord record;
    if (answer.record_count < kDnsRecordMax && raw.type == static_cast<uint16_t>(type) &&
        raw.record_class == kClassIn && NamesEqual(raw.owner, name) &&
        ReadData(message, raw, record, answer)) {
      answer.ttl_s = std::min(answer.ttl_s, record.ttl_s);
      answer.records[answer.record_count++] = record;
    }
  });
  if (answer.record_count == 0) {
    answer.negative_ttl_s = NegativeTtl({message, authority_at, authority_count});
    answer.chain_open = steps > 0 && answer.code == DnsCode::kNoError && answer.negative_ttl_s == 0;
    answer.chain_end = name;
  }
  return Ok();
}

}  // namespace gh::net
