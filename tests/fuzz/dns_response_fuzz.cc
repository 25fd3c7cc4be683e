// DNS responses to a fixed question: the first byte chooses the type asked for.
#include <cstdint>
#include <memory>

#include "hal/rt/assert.h"
#include "net/dns_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::net;
  if (size < 1) {
    return 0;
  }
  constexpr DnsType kTypes[] = {DnsType::kA, DnsType::kAaaa, DnsType::kSrv, DnsType::kNaptr};
  const DnsType type = kTypes[data[0] % 4];
  static const std::array<uint8_t, 32> kCase = {};
  std::array<uint8_t, kDnsQuerySizeMax> query;
  const size_t query_size = BuildDnsQuery(query, 0x1234, "www.example.com", type, kCase, true);
  static auto answer = std::make_unique<DnsAnswer>();
  if (ParseDnsResponse({data + 1, size - 1}, std::span(query).first(query_size), type, *answer)
          .ok()) {
    GH_ASSERT_LE(answer->record_count, kDnsRecordMax);
    for (uint32_t i = 0; i < answer->record_count; ++i) {
      for (std::string_view text :
           {answer->records[i].target, answer->records[i].flags, answer->records[i].service}) {
        GH_ASSERT(text.empty() ||
                  (text.data() >= answer->text.data() &&
                   text.data() + text.size() <= answer->text.data() + answer->text_size));
      }
    }
  }
  DnsName name;
  if (NormalizeDnsName({reinterpret_cast<const char*>(data), size}, name).ok()) {
    GH_ASSERT_LE(name.size, kDnsNameMax);
    std::array<uint8_t, kDnsQuerySizeMax> out;
    GH_ASSERT_GT(BuildDnsQuery(out, 1, name.view(), type, kCase, true), 0u);
  }
  return 0;
}
