// Name resolution as an engine sees it (RFC 1035, 2782, 3403): asynchronous, cached by TTL.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/result.h"
#include "net/address.h"

namespace gh::net {

enum class DnsType : uint16_t { kA = 1, kCname = 5, kAaaa = 28, kSrv = 33, kNaptr = 35 };

inline constexpr size_t kDnsNameMax = 253;
inline constexpr size_t kDnsRecordMax = 16;  // records kept of one answer

struct DnsRecord {
  DnsType type = DnsType::kA;
  uint32_t ttl_s = 0;
  IpAddress address;         // A, AAAA
  uint16_t priority = 0;     // SRV priority, NAPTR order
  uint16_t weight = 0;       // SRV weight, NAPTR preference
  uint16_t port = 0;         // SRV
  std::string_view target;   // SRV target, NAPTR replacement
  std::string_view flags;    // NAPTR
  std::string_view service;  // NAPTR
};

// A pending question; a member of whoever asks. Valid until done() or Cancel.
struct DnsQuery {
  // `records` is valid during the call; empty with kNotFound (NXDOMAIN or no data), kTimeout,
  // kRefused (server failure).
  void (*done)(DnsQuery& query, Result<std::span<const DnsRecord>> records) = nullptr;
  void* context = nullptr;
  // Resolver's own.
  uint32_t slot = UINT32_MAX;
};

class Resolver {
 public:
  // done() never runs inside this call. kExhausted when too many questions are pending.
  virtual Result<void> Resolve(std::string_view name, DnsType type, DnsQuery& query) = 0;
  virtual void Cancel(DnsQuery& query) = 0;

 protected:
  ~Resolver() = default;
};

}  // namespace gh::net
