#include "firmware/messaging/xmpp_listeners.h"

#include <algorithm>

namespace gh {

XmppListeners::Places XmppListeners::PlacesOf() const {
  Places out;
  for (uint8_t i = 0; i < net::kPortMax; ++i) {
    const net::PortStatus port = stack_.port_status(i);
    for (const net::PortAddress& address : std::span(port.addresses).first(port.address_count)) {
      if (address.address.is_link_local()) {
        continue;
      }
      for (const XmppDoor& door : std::span(doors_).first(door_count_)) {
        if (out.count < kListenerMax && (door.port_mask & 1u << i) != 0) {
          out.at[out.count++] = {address.address, door};
        }
      }
    }
  }
  return out;
}

void XmppListeners::Open(std::span<const XmppDoor> doors) {
  GH_ASSERT_LE(doors.size(), kDoorMax);
  std::copy(doors.begin(), doors.end(), doors_.begin());
  door_count_ = static_cast<uint32_t>(doors.size());
  const Places places = PlacesOf();
  if (places == places_) {
    return;
  }
  for (net::ListenerId listener : std::span(listeners_).first(count_)) {
    tls_.streams().CloseListener(listener);
  }
  count_ = 0;
  places_ = places;
  for (const Place& place : std::span(places.at).first(places.count)) {
    net::StreamOptions options;
    options.kind = net::StreamKind::kTls;
    options.service = place.door.service;
    options.starts_plain = !place.door.is_tls;
    const net::Endpoint at{place.address, static_cast<uint16_t>(place.door.port)};
    if (auto opened = tls_.streams().Listen(at, options, *place.door.handler); opened.ok()) {
      listeners_[count_++] = *opened;
    } else {
      log_.Emit(log::event::ServiceFailed{.service = name_, .reason = net::ToText(at).view()});
    }
  }
}

void XmppListeners::OpenFirewall(uint8_t port_mask) {
  for (const XmppDoor& door : std::span(doors_).first(door_count_)) {
    const auto port = static_cast<uint16_t>(door.port);
    stack_.firewall()
        .Allow({net::Transport::kTcp, port, port, static_cast<uint8_t>(port_mask & door.port_mask)})
        .ignore("port numbers from the schema's range, few rules");
  }
}

void XmppListeners::Block(const net::IpPrefix& source, Instant until) {
  for (const XmppDoor& door : std::span(doors_).first(door_count_)) {
    stack_.firewall().Block(source.address, until, static_cast<uint16_t>(door.port));
  }
  stack_.EnforceFirewall();
}

void XmppListeners::Unblock(const net::IpPrefix& source) {
  stack_.firewall().Unblock(source.address);
}

}  // namespace gh
