// What the operator decides (Config) and what the machine can hold (Capacity).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "firmware/dialplan/limits.h"
#include "firmware/sip/buffer.h"
#include "firmware/sip/limits.h"
#include "hal/rt/time.h"
#include "net/address.h"

namespace gh::sip {

// Text with a place of its own. Set() says whether it fitted; it is left empty when not.
template <size_t N>
class FixedText {
 public:
  FixedText() = default;
  bool Set(std::string_view text) {
    size_ = text.size() <= N ? static_cast<uint16_t>(text.size()) : uint16_t{0};
    if (size_ != 0) {
      std::memcpy(text_.data(), text.data(), size_);
    }
    return text.size() <= N;
  }
  std::string_view view() const { return {text_.data(), size_}; }
  bool empty() const { return size_ == 0; }

 private:
  std::array<char, N> text_ = {};
  uint16_t size_ = 0;
};

enum class TransportKind : uint8_t { kUdp, kTcp, kTls, kWs, kWss };  // the last two: RFC 7118
inline constexpr uint32_t kTransportCount = 5;
std::string_view TransportName(TransportKind kind);  // "UDP"

// How media is to be protected towards one side (the encryption mode of its zone).
enum class MediaEncryption : uint8_t {
  kAuto,              // as the two ends agree
  kForceEncrypted,    // SRTP, or no media
  kForceUnencrypted,  // plain RTP
  kBestEffort,        // SRTP where it is offered or taken, else plain RTP
};

// What a zone or subzone says of the media of its parties.
struct MediaPolicy {
  MediaEncryption encryption = MediaEncryption::kAuto;
  bool speaks_ice = false;  // we do, with them, where their media is relayed
  bool passes_ice = false;  // their candidates may go to others, and others' to them
};

struct Listener {
  TransportKind transport = TransportKind::kUdp;
  net::Endpoint bind;       // address (unspecified: all of that family) and port
  net::Endpoint advertise;  // what Via and Record-Route say; must be a real address
  uint16_t zone = 0;        // a traversal server zone's own; 0: everybody's
  MediaEncryption media = MediaEncryption::kAuto;  // of the calls that come and go by it
};

// What is offered, the strongest first (RFC 8760), and taken.
enum class DigestPolicy : uint8_t {
  kSha256AndMd5,
  kSha256Only,
  kMd5Only,  // for phones that give up at an algorithm they do not know
  kAll,
  kSha2,  // SHA-512-256 and SHA-256
  kSha512_256Only,
};

// This system as the presence server of its users (RFC 3856, 3903).
struct PresenceConfig {
  enum class Watchers : uint8_t { kUsers, kDomain, kAll };
  bool is_on = false;
  bool counts_registrations = true;  // of users who publish nothing
  Watchers watchers = Watchers::kUsers;
  uint32_t expires_min_s = 60;
  uint32_t expires_max_s = 3600;
  Duration notify_interval = Duration::Seconds(5);
  uint32_t publications_max = 4;  // of one user
  uint32_t watchers_max = 200;
};

struct Config {
  std::array<FixedText<kDomainBytesMax>, kDomainMax> domains;
  uint32_t domain_count = 0;
  std::array<Listener, kListenerMax> listeners;
  uint32_t listener_count = 0;
  // Web pages whose scripts may open a WebSocket ("https://phone.example.com"); none: all may.
  std::array<FixedText<kDomainBytesMax>, kOriginMax> origins;
  uint32_t origin_count = 0;
  FixedText<kDomainBytesMax> realm;  // empty: the first domain

  // Registrations.
  uint32_t expires_min_s = 60;
  uint32_t expires_max_s = 3600;
  uint32_t expires_default_s = 3600;
  uint32_t contacts_per_user_max = 8;
  bool authenticate_register = true;
  bool service_route = false;  // phones are told to send by the way they registered (RFC 3608)
  bool fast_path = false;      // the way a registration took into a zone is kept

  // Requests. Methods in `open_methods` (bit per Method) need no credentials from our own users.
  bool authenticate_requests = true;
  uint32_t open_methods = 0;
  bool sender_must_match = true;        // From is the authenticated user's address of record
  bool accept_foreign_senders = false;  // others may reach our users without credentials
  bool relay_for_users = true;          // our authenticated users may reach other domains
  bool record_route = true;
  DigestPolicy digest = DigestPolicy::kSha256AndMd5;
  bool digest_is_partial = false;  // of some users there is no digest by SHA-512-256
  uint32_t nonce_lifetime_s = 300;

  // Timers (RFC 3261 17, Table 4).
  Duration t1 = Duration::Milliseconds(500);
  Duration t2 = Duration::Seconds(4);
  Duration t4 = Duration::Seconds(5);
  Duration timer_c = Duration::Seconds(185);
  Duration call_max = Duration::Hours(24);     // a call without any in-dialog request is over
  Duration flow_loss = Duration::Seconds(60);  // of a party's connection, that ends its call; 0: no

  // Session timers (RFC 4028).
  uint32_t session_min_s = 90;
  uint32_t session_expires_s = 0;  // asked for where the caller asks for none; 0: never

  // Users (the part before @) whose calls go first, whatever else is full.
  std::array<FixedText<kEmergencyBytesMax>, kEmergencyMax> emergency;
  // The service of RFC 5031 each is reached as (sos.fire); empty: none.
  std::array<FixedText<kServiceUrnBytesMax>, kEmergencyMax> emergency_service;
  uint32_t emergency_count = 0;

  // Share of 1000 of the time up to which the processor may be busy before new requests are refused
  // (overload.h); 1000: nothing is.
  uint32_t occupancy_max = 1000;

  PresenceConfig presence;
  bool is_draining = false;  // maintenance: nothing new is taken, what is there goes on

  // Streams.
  Duration stream_idle = Duration::Minutes(60);
  Duration stream_unproven = Duration::Seconds(60);   // before the first request that was let in
  Duration message_deadline = Duration::Seconds(30);  // a message that began must end

  // Replies to unauthenticated senders, per source address; a success gives its reply back. 0: off.
  uint32_t unproven_replies_per_s = 200;
  uint32_t unproven_replies_burst = 1000;
  uint32_t retry_after_s = 10;  // in our 503

  bool AddDomain(std::string_view domain) {
    return domain_count < kDomainMax && !domain.empty() && domains[domain_count].Set(domain) &&
           ++domain_count != 0;
  }
  bool AddListener(TransportKind transport, const net::Endpoint& bind,
                   const net::Endpoint& advertise, uint16_t zone = 0) {
    if (listener_count == kListenerMax) {
      return false;
    }
    listeners[listener_count++] = {transport, bind, advertise, zone, MediaEncryption::kAuto};
    return true;
  }
  bool AddListener(TransportKind transport, const net::Endpoint& at) {
    return AddListener(transport, at, at);
  }
  bool AddOrigin(std::string_view origin) {
    return origin_count < kOriginMax && !origin.empty() && origins[origin_count].Set(origin) &&
           ++origin_count != 0;
  }
  bool AddEmergency(std::string_view user, std::string_view service = {}) {
    return emergency_count < kEmergencyMax && !user.empty() &&
           emergency[emergency_count].Set(user) &&
           emergency_service[emergency_count].Set(service) && ++emergency_count != 0;
  }
  // The number that takes calls to urn:service:`service`; empty: none does.
  std::string_view EmergencyOf(std::string_view service) const;
  bool IsEmergency(std::string_view user) const {
    for (uint32_t i = 0; i < emergency_count; ++i) {
      if (emergency[i].view() == user) {
        return true;
      }
    }
    return false;
  }
  std::string_view Realm() const {
    return !realm.empty() || domain_count == 0 ? realm.view() : domains[0].view();
  }
};

struct Capacity {
  uint32_t bindings = 1000;
  uint32_t binding_overflows = 125;  // bindings with long contact, path or instance
  uint32_t users = 1000;             // addresses of record with bindings
  uint32_t server_transactions = 2000;
  uint32_t client_transactions = 2000;
  uint32_t proxies = 1000;     // requests being forwarded
  uint32_t resolutions = 200;  // requests waiting for DNS
  uint32_t streams = 500;
  uint32_t calls = 1000;
  uint32_t search_rules = dialplan::kRuleMax;
  uint32_t presentities = 64;  // users somebody publishes for or watches
  uint32_t publications = 64;
  uint32_t publication_overflows = 8;  // long ones
  uint32_t subscriptions = 64;
  BufferCounts buffers = {2000, 2000, 2000, 200, 16};

  // Everything in proportion to the registrations and to the calls set up per second.
  static Capacity For(uint32_t registrations, uint32_t streams, uint32_t calls,
                      uint32_t call_setups_per_s);
};

}  // namespace gh::sip
