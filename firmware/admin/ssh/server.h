// The SSH server: the listener, its connections over net streams, who is let in and how many.
//
// Memory: kConnectionCount connections and kChannelCount channels from the arena, whatever is
// asked of them. Who has not exchanged keys is half-open and makes room for the next: a new
// connection takes the place of the oldest half-open one of its own address when that address has
// its share, and of the oldest of the most crowded address when all places are taken. So floods
// push out their own. New connections are answered at a bounded rate, since each costs us a
// signature; addresses that hold connections without a log-in have a rate of their own to share.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "firmware/admin/ssh/connection.h"
#include "firmware/admin/ssh/host_keys.h"
#include "firmware/admin/ssh/strangers.h"
#include "hal/rt/arena.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/heap.h"
#include "net/stream.h"
#include "net/token_bucket.h"

namespace gh::ssh {

struct ServerSettings {
  bool enabled = true;
  uint16_t port = 22;
  ConnectionSettings connection;
};

enum class RefusalReason : uint8_t { kTooMany, kTooManyOfAddress, kTooFast, kBlocked };
const char* ToText(RefusalReason reason);

// What the house wants to know.
class ServerObserver {
 public:
  virtual void OnLoggedIn(const Connection& connection) = 0;
  virtual void OnLoggedOut(const Connection& connection, Duration duration) = 0;
  virtual void OnLoginRefused(const net::IpAddress& remote, std::string_view user,
                              std::string_view method) = 0;
  // Connections refused or pushed out since the last call; at most once a second.
  virtual void OnConnectionsRefused(const net::IpAddress& last, RefusalReason reason,
                                    uint64_t count) = 0;
  virtual void OnListening(uint16_t port, const Result<void>& outcome) = 0;
  // Intrusion protection: false turns the address away before anything is spent on it.
  virtual bool MayConnect(const net::IpAddress& remote) = 0;

 protected:
  ~ServerObserver() = default;
};

struct ServerStatus {
  bool listening = false;
  uint32_t connection_count = 0;
  uint32_t logged_in_count = 0;
  uint32_t half_open_count = 0;
  uint32_t channel_count = 0;
  uint64_t accepted_count = 0;
  uint64_t refused_count = 0;
  uint64_t evicted_count = 0;
  uint64_t login_count = 0;
  uint64_t login_refused_count = 0;
  uint64_t heap_used = 0;
};

class Server final : private net::StreamHandler, private ConnectionOwner {
 public:
  struct Parts {
    Arena& arena;
    EventLoop& loop;
    net::StreamService& streams;
    crypto::Random& random;
    hal::Clock& clock;
    Authenticator& authenticator;
    SessionHost& sessions;
    ServerObserver& observer;
  };
  explicit Server(const Parts& parts);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Result<void> LoadKeys(HostKeyVault& vault) { return keys_.Load(vault); }
  Result<void> SaveKeys(HostKeyVault& vault) const { return keys_.Save(vault); }
  const HostKeys& keys() const { return keys_; }
  // New connections have the new settings; a new port or Off closes the listener, not connections.
  void Configure(const ServerSettings& settings);
  const ServerSettings& settings() const { return settings_; }
  void OnPasswordChecked(Handle id, bool accepted);
  // Ends all connections, or those of one user or address.
  uint32_t DisconnectUser(std::string_view user, std::string_view why);

  ServerStatus status() const;
  // By number, for listings; null: free.
  const Connection* At(uint32_t index) const {
    const Slot& slot = slots_[index];
    return slot.connection.has_value() ? &*slot.connection : nullptr;
  }
  static constexpr uint32_t capacity() { return kConnectionCount; }
  static uint64_t bytes_per_connection() {
    return sizeof(Slot) + kInputBytes + kOutputBytes + kHeldBytes;
  }
  static constexpr uint64_t bytes_per_channel() { return ChannelPool::bytes_per_item(); }
  crypto::TlsEnvironment& environment() { return environment_; }

 private:
  struct Slot {
    std::optional<Connection> connection;
    net::StreamId stream;
    uint32_t generation = 0;
    bool holds_input = false;  // the stream has bytes we did not take
  };
  // What one address has; of an IPv6 address its /64 counts.
  struct Source {
    uint32_t connection_count = 0;
    uint32_t unauthenticated_count = 0;
    uint32_t half_open_count = 0;
  };

  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId id) override;
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;
  void OnOutput(Connection& connection) override;
  void OnLoggedIn(Connection& connection) override;
  void OnLoginRefused(Connection& connection, std::string_view user,
                      std::string_view method) override;

  bool Admit(const net::IpAddress& address);
  Source CountOf(const net::IpAddress& address) const;
  bool EvictHalfOpen(const net::IpAddress& address);
  net::IpAddress MostCrowded() const;
  void Refuse(const net::IpAddress& address, RefusalReason reason);
  TransportBuffers BuffersOf(size_t index) const;
  Slot* Find(net::StreamId id);
  void PumpAll();
  void PumpOne(Slot& slot);
  void SendOutput(Slot& slot);
  void End(Slot& slot);
  void OnTick();
  void OpenListeners();
  void CloseListeners();
  bool is_listening() const { return listeners_[0].valid() || listeners_[1].valid(); }

  Parts parts_;
  Heap heap_;
  crypto::TlsEnvironment environment_;
  HostKeys keys_;
  ServerSettings settings_;
  std::span<Slot> slots_;
  ChannelPool channels_;
  std::span<uint8_t> buffers_;
  std::array<net::ListenerId, 2> listeners_;  // IPv4, IPv6
  uint16_t listener_port_ = 0;
  Strangers strangers_;
  net::TokenBucket opens_{kOpensPerSecond, kOpensBurst};
  net::TokenBucket crowded_opens_{kOpensPerSecond, kOpensBurst};
  Task pump_task_;
  Timer tick_;

  uint64_t accepted_count_ = 0;
  uint64_t refused_count_ = 0;
  uint64_t evicted_count_ = 0;
  uint64_t login_count_ = 0;
  uint64_t login_refused_count_ = 0;
  uint64_t refused_told_ = 0;
  net::IpAddress refused_last_;
  RefusalReason refused_reason_ = RefusalReason::kTooMany;
};

}  // namespace gh::ssh
