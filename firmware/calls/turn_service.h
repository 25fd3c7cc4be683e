// TURN in the appliance: the media plane, the engine and its listeners put together; settings in,
// events, alarms, status and commands out.
#pragma once

#include <array>
#include <span>

#include "firmware/admin/commands.h"
#include "firmware/admin/status.h"
#include "firmware/alarm/alarms.h"
#include "firmware/calls/turn_credentials.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "firmware/media/plane.h"
#include "firmware/trust/tls_services.h"
#include "firmware/turn/engine.h"
#include "firmware/turn/server.h"
#include "hal/machine.h"
#include "net/dtls_service.h"
#include "net/stack.h"

namespace gh {

struct TurnParts {
  Arena& arena;
  EventLoop& loop;
  hal::Clock& clock;
  net::Stack& stack;
  TlsServices& tls;  // streams over TCP and TLS; certificates and policy for DTLS
  crypto::Random& random;
  log::Log& log;
  alarm::Alarms& alarms;
  const config::Configuration& configuration;
  media::MediaCore* core = nullptr;  // null: one processor runs both planes
  uint32_t other_flows = 0;          // of the plane, for other engines
};

class TurnService final : public turn::Observer, private net::DtlsObserver {
 public:
  TurnService(const TurnParts& parts, const turn::Capacity& capacity, uint32_t user_count);

  // Settings or addresses have changed.
  void Apply();
  // Lets clients in on these LAN ports; relay ports need no rule, the plane asks its flows.
  void OpenFirewall(uint8_t port_mask);
  void UpdateAlarms();
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);
  const turn::Engine& engine() const { return *engine_; }
  const media::Plane& plane() const { return *plane_; }
  media::Plane& plane() { return *plane_; }

  void OnAllocated(const turn::AllocationInfo& info) override;
  void OnEnded(const turn::AllocationInfo& info, turn::EndReason reason) override;
  void OnRefused(const net::Endpoint& client, std::string_view user, uint16_t code) override;

 private:
  void OnDtlsClosed(const net::DatagramInfo& info) override { server_->OnDtlsClosed(info); }
  void BuildDtls(uint32_t session_count);
  void ApplyDtls();
  turn::Config EngineConfig() const;
  void AddRealms(turn::Config& out) const;
  void AddAddresses(turn::Config& out) const;
  std::string_view WhoIs(const turn::AllocationInfo& info);
  turn::ListenConfig ListenersConfig() const;
  bool NextStatus(uint64_t& cursor, ByteWriter& out);
  bool NextDelays(uint64_t& cursor, ByteWriter& out);
  bool NextCounters(uint64_t line, ByteWriter& out) const;
  void WriteDtls(ByteWriter& out) const;
  void WriteDelays(ByteWriter& out) const;
  bool WriteDelayRow(uint32_t row, ByteWriter& out) const;
  bool NextAllocation(uint64_t& cursor, ByteWriter& out);
  bool NextRealm(uint64_t& cursor, ByteWriter& out);
  static Result<void> CloseCommand(void* context, std::string_view by, std::string_view value,
                                   ByteWriter& out);

  TurnParts parts_;
  TurnCredentials* credentials_ = nullptr;
  media::Plane* plane_ = nullptr;
  net::DtlsService* dtls_ = nullptr;
  crypto::TlsEndpoint* dtls_endpoint_ = nullptr;
  turn::Server* server_ = nullptr;
  turn::Engine* engine_ = nullptr;
  bool is_serving_ = false;
  FixedString<turn::kUserNameMax + 1 + turn::kRealmMax> who_;  // of the event being written
};

}  // namespace gh
