// Time from the network: an SNTP client (RFC 4330, with RFC 5905's checks) that steps the clock.
//
// Each round asks every server once, from a fresh port, with a random transmit timestamp that the
// reply must repeat: who does not see our packets cannot answer them. Of the good samples the
// median wins; with three or more, samples far from it are outvoted. A server that says
// "kiss of death" is left alone for a day. A server with a key is believed only when its reply
// proves to know the key. Network time security (RFC 8915) is not spoken.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/random.h"
#include "hal/clock.h"
#include "hal/rt/event_loop.h"
#include "net/datagram.h"
#include "net/dns_message.h"
#include "net/limits.h"
#include "net/resolver.h"

namespace gh::net {

inline constexpr uint16_t kNtpPort = 123;
inline constexpr size_t kNtpPacketSize = 48;

struct NtpReply {
  int64_t server_unix_ns = 0;  // when the server sent it
  Duration server_time;        // between its receiving and sending
  uint8_t stratum = 0;
  bool kiss_of_death = false;
};

enum class NtpDigest : uint8_t { kMd5, kSha1, kSha256, kSha512, kAesCmac };

inline constexpr size_t kNtpKeyMax = 64;
// Behind the header: the key's number and the code, cut to 20 bytes (RFC 7822 section 7.5).
inline constexpr size_t kNtpMacMax = 4 + 20;

// A key shared with a server (RFC 5905 section 7.3, RFC 8573); id 0: none.
struct NtpKey {
  uint32_t id = 0;
  NtpDigest digest = NtpDigest::kAesCmac;
  uint8_t size = 0;
  std::array<uint8_t, kNtpKeyMax> bytes = {};
  friend bool operator==(const NtpKey&, const NtpKey&) = default;
};

// Characters, or "HEX:" and digits, as chrony's key files have it. kInvalidArgument: too long, no
// digits, or not 16 bytes for AES.
Result<NtpKey> MakeNtpKey(uint32_t id, NtpDigest digest, std::string_view text);

// Appends key number and code to `packet`, the first `size` bytes of `out`; the new size.
size_t SealNtp(const NtpKey& key, std::span<uint8_t> out, size_t size);
// Whether `packet` is a header that was sealed with the key.
bool IsSealedNtp(const NtpKey& key, std::span<const uint8_t> packet);

struct NtpServerConfig {
  std::string_view name;
  NtpKey key;
};

// How often servers are asked: at first, and when the clock has been good for a while.
struct NtpPoll {
  Duration min = Duration::Seconds(64);
  Duration max = Duration::Seconds(1024);
};

struct NtpServerStatus {
  std::string_view name;
  IpAddress address;
  bool answered = false;  // in the last round
  bool chosen = false;    // the clock follows it
  bool avoided = false;   // it said kiss of death
  bool has_key = false;
  uint8_t stratum = 0;
  Duration offset;
  Duration round_trip;
  uint64_t sent_count = 0;
  uint64_t good_count = 0;
  uint64_t rejected_count = 0;
  uint64_t unauthentic_count = 0;
};

void BuildNtpRequest(std::span<uint8_t, kNtpPacketSize> out, uint64_t nonce);
// kUnauthentic: not the answer to `nonce`; kMalformed or kRefused: an answer nobody should use.
Result<NtpReply> ParseNtpReply(std::span<const uint8_t> packet, uint64_t nonce);

class SntpObserver {
 public:
  // The clock was stepped by `offset` (from not set: all of it), as `server` says.
  virtual void OnTimeStep(Duration offset, bool was_set, const IpAddress& server) = 0;
  // No usable answer in a whole round; reported once until the next success.
  virtual void OnTimeLost() = 0;

 protected:
  ~SntpObserver() = default;
};

struct SntpStatus {
  bool synchronised = false;
  IpAddress server;
  uint8_t stratum = 0;
  Duration offset;  // found in the last round
  Duration round_trip;
  Instant last_success;
  uint64_t rejected_count = 0;
};

class SntpClient {
 public:
  struct Parts {
    EventLoop& loop;
    hal::Clock& clock;
    crypto::Random& random;
    DatagramService& datagrams;
    Resolver& resolver;
    SntpObserver& observer;
  };
  explicit SntpClient(const Parts& parts);
  SntpClient(const SntpClient&) = delete;
  SntpClient& operator=(const SntpClient&) = delete;
  ~SntpClient();

  // Names or addresses, at most kNtpServerMax; starts a round at once. None: stops.
  Result<void> SetServers(std::span<const NtpServerConfig> servers);
  Result<void> SetServers(std::span<const std::string_view> servers);
  void SetPoll(const NtpPoll& poll) { poll_ = poll; }
  // A round now, for example when a port came up.
  void Poll();
  SntpStatus status() const { return status_; }
  uint32_t server_count() const { return server_count_; }
  NtpServerStatus server_status(uint32_t index) const;

 private:
  struct Server final : public DatagramHandler {
    void OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) override;
    void OnResolved(Result<std::span<const DnsRecord>> records);

    SntpClient* client = nullptr;
    DnsName name;
    NtpKey key;
    uint64_t sent_count = 0;
    uint64_t good_count = 0;
    uint64_t rejected_count = 0;
    uint64_t unauthentic_count = 0;
    bool chosen = false;
    DnsQuery query;
    bool resolving = false;
    bool tried_v6 = false;
    IpAddress address;
    SocketId socket;
    uint64_t nonce = 0;
    Instant sent_at;
    Instant avoid_until;
    bool answered = false;
    Duration offset;  // to add to the wall clock
    Duration round_trip;
    uint8_t stratum = 0;
  };

  void StartRound();
  void Ask(Server& server);
  void Send(Server& server);
  void HandleReply(Server& server, std::span<const uint8_t> data);
  void EndRound();
  bool AllAnswered() const;
  void Close(Server& server);

  Parts parts_;
  std::array<Server, kNtpServerMax> servers_;
  uint32_t server_count_ = 0;
  Timer timer_;
  bool in_round_ = false;
  bool lost_reported_ = false;
  uint32_t success_count_ = 0;
  uint32_t failure_count_ = 0;
  NtpPoll poll_;
  SntpStatus status_;
};

}  // namespace gh::net
