#include "firmware/network/network_events.h"

#include "hal/rt/fixed_string.h"

namespace gh {
namespace {

using namespace gh::log::event;

const char* SourceName(net::AddressSource source) {
  switch (source) {
    case net::AddressSource::kStatic:
      return "static";
    case net::AddressSource::kDhcp:
      return "DHCP";
    case net::AddressSource::kSlaac:
      return "SLAAC";
    case net::AddressSource::kLinkLocal:
      return "link-local";
  }
  return "";
}

}  // namespace

const char* PortName(uint8_t port_index) {
  static constexpr const char* kNames[] = {"LAN1", "LAN2", "LAN3"};
  GH_ASSERT_LT(port_index, std::size(kNames));
  return kNames[port_index];
}

bool NetEvents::TakeAddressesChanged() {
  const bool changed = addresses_changed_;
  addresses_changed_ = false;
  return changed;
}

bool NetEvents::TakeServersChanged() {
  const bool changed = servers_changed_;
  servers_changed_ = false;
  return changed;
}

void NetEvents::SetWanted(uint8_t port_index, bool wanted) { wanted_[port_index] = wanted; }

void NetEvents::UpdateAlarm() {
  FixedString<alarm::kDetailMax> down;
  const auto count = static_cast<uint8_t>(wanted_.size());
  for (uint8_t i = 0; i < count; ++i) {
    if (wanted_[i] && !up_[i]) {
      down.Append(down.empty() ? "" : " ");
      down.Append(PortName(i));
    }
  }
  alarms_.Set(log::AlarmId::kLinkDown, !down.empty(), down.view());
}

void NetEvents::OnLink(uint8_t port_index, bool up) {
  up_[port_index] = up;
  if (up) {
    log_.Emit(LinkUp{.port = PortName(port_index)});
  } else {
    log_.Emit(LinkDown{.port = PortName(port_index)});
  }
}

void NetEvents::OnAddressAcquired(uint8_t port_index, const net::IpAddress& address,
                                  net::AddressSource source) {
  addresses_changed_ = true;
  log_.Emit(AddressAcquired{.port = PortName(port_index),
                            .address = net::ToText(address).view(),
                            .how = SourceName(source)});
}

void NetEvents::OnAddressLost(uint8_t port_index, const net::IpAddress& address) {
  addresses_changed_ = true;
  log_.Emit(AddressLost{.port = PortName(port_index), .address = net::ToText(address).view()});
}

void NetEvents::OnAddressConflict(uint8_t port_index, const net::IpAddress& address) {
  log_.Emit(AddressConflict{.port = PortName(port_index),
                            .address = net::ToText(address).view(),
                            .other = "another machine"});
}

void NetEvents::OnDrops(uint64_t count, net::DropReason reason, const net::Endpoint& source,
                        const net::Endpoint& destination) {
  log_.Emit(FirewallDropped{.count = count,
                            .reason = net::DropReasonName(reason),
                            .source = net::ToText(source).view(),
                            .destination = net::ToText(destination).view()});
}

}  // namespace gh
