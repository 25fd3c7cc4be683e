// Where XMPP listens: the same doors at each address of the appliance. Clients, browsers and other
// servers come in by listeners of their own; how they are opened, kept and let through the firewall
// is one thing.
#pragma once

#include <array>
#include <span>

#include "firmware/admin/intrusion.h"
#include "firmware/log/log.h"
#include "firmware/trust/tls_services.h"
#include "net/stack.h"

namespace gh {

struct XmppDoor {
  int32_t port = 0;
  bool is_tls = false;  // from its first byte; else it begins plain, for STARTTLS
  net::TlsService service = net::TlsService::kXmpp;
  net::StreamHandler* handler = nullptr;
  uint8_t port_mask = 0xff;  // of the Ethernet ports it is at
  friend bool operator==(const XmppDoor&, const XmppDoor&) = default;
};

class XmppListeners final : public admin::AddressBlocker {
 public:
  static constexpr uint32_t kDoorMax = 3;
  static constexpr uint32_t kListenerMax = 16;  // the stack's are for others too

  // `name` in the event of a place that cannot be had.
  XmppListeners(net::Stack& stack, TlsServices& tls, log::Log& log, const char* name)
      : stack_(stack), tls_(tls), log_(log), name_(name) {}

  // At each address that others reach, kListenerMax at the most; no doors: none. What stays the
  // same stays open.
  void Open(std::span<const XmppDoor> doors);
  void OpenFirewall(uint8_t port_mask);
  uint32_t count() const { return count_; }
  // Nothing from there comes to these doors until then; connections that have, end.
  void Block(const net::IpPrefix& source, Instant until) override;
  void Unblock(const net::IpPrefix& source) override;

 private:
  struct Place {
    net::IpAddress address;
    XmppDoor door;
    friend bool operator==(const Place&, const Place&) = default;
  };
  struct Places {
    std::array<Place, kListenerMax> at = {};
    uint32_t count = 0;
    friend bool operator==(const Places&, const Places&) = default;
  };
  Places PlacesOf() const;

  net::Stack& stack_;
  TlsServices& tls_;
  log::Log& log_;
  const char* name_;
  std::array<XmppDoor, kDoorMax> doors_ = {};
  uint32_t door_count_ = 0;
  Places places_;
  std::array<net::ListenerId, kListenerMax> listeners_ = {};
  uint32_t count_ = 0;
};

}  // namespace gh
