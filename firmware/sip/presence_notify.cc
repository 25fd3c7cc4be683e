// The presence server's NOTIFYs: when one is sent, what it says, what becomes of it.
#include <algorithm>

#include "firmware/sip/forward.h"
#include "firmware/sip/presence_server.h"
#include "firmware/sip/writer.h"

namespace gh::sip {
namespace {

// Where no transaction is left it is tried again after that.
constexpr Duration kLater = Duration::Seconds(1);

}  // namespace

void PresenceServer::OnChanged(Subscription& subscription, Duration after) {
  const PresenceConfig& config = core_.config.presence;
  subscription.is_dirty = true;
  if (subscription.probe.client != nullptr || subscription.over != nullptr ||
      subscription.notify.armed()) {
    return;  // told with what is on its way, or after it
  }
  const Duration since = core_.now() - subscription.notified;
  const bool is_early = subscription.has_notified && since < config.notify_interval;
  core_.timers.Arm(subscription.notify,
                   is_early ? std::max(config.notify_interval - since, after) : after);
}

void PresenceServer::OnNotifyTimer(Subscription& subscription) {
  if (subscription.probe.client == nullptr && !Notify(subscription)) {
    Release(subscription, "not reachable");
  }
}

void PresenceServer::OnExpiry(Subscription& subscription) { End(subscription, "timeout"); }

// One last NOTIFY, at once or after the one that is on its way.
void PresenceServer::End(Subscription& subscription, const char* why) {
  if (subscription.over == nullptr) {
    subscription.over = why;
    core_.timers.Cancel(subscription.expiry);
    core_.timers.Arm(subscription.notify, Duration::Milliseconds(1));
  }
}

// By the way the watcher's requests come, through his NAT; else where the dialog's route leads.
bool PresenceServer::FlowOf(const Subscription& subscription, const DialogRecord& record,
                            Flow& out) {
  if (subscription.zone != 0) {
    return parts_.zones.FlowInto(subscription.zone, subscription.flow.remote, out);
  }
  out = subscription.flow;
  if (out.listener < core_.config.listener_count &&
      parts_.transport.listener(out).transport == out.transport && parts_.transport.IsAlive(out)) {
    return true;
  }
  const Uri uri = record.NextHop(true);
  Hop hop;
  if (!uri.is_sip() || !Locator::Direct(uri, hop) ||
      !parts_.transport.IsAllowedTarget(hop.remote)) {
    return false;
  }
  const auto flow = parts_.transport.FlowTo(hop.transport, hop.remote);
  if (flow.ok()) {
    out = *flow;
  }
  return flow.ok();
}

void PresenceServer::WriteContact(const DialogRecord& record, const Flow& flow,
                                  ByteWriter& out) const {
  const Listener& listener = parts_.transport.listener(flow);
  out.Text("sip:");
  out.Text(record.Get(DialogRecord::kCalleeContact));
  out.Char('@');
  WriteHostPort(out, listener.advertise);
  out.Text(TransportParam(listener.transport));
}

void PresenceServer::WriteNotify(const Subscription& subscription, const DialogRecord& record,
                                 const NotifySpec& spec, ByteWriter& out) const {
  using R = DialogRecord;
  const Listener& listener = parts_.transport.listener(spec.flow);
  out.Text("NOTIFY ");
  out.Text(record.Get(R::kCallerContact));
  out.Text(" SIP/2.0\r\nVia: SIP/2.0/");
  out.Text(TransportName(listener.transport));
  out.Char(' ');
  WriteHostPort(out, listener.advertise);
  out.Text(listener.transport == TransportKind::kUdp ? ";rport;branch=" : ";branch=");
  out.Text(spec.branch);
  out.Text("\r\nMax-Forwards: 70\r\n");
  if (const std::string_view routes = record.Get(R::kCallerRoutes); !routes.empty()) {
    out.Text("Route: ");
    out.Text(routes);
    out.Text("\r\n");
  }
  out.Text("From: ");
  out.Text(record.Get(R::kCallee));
  out.Text("\r\nTo: ");
  out.Text(record.Get(R::kCaller));
  out.Text("\r\nCall-ID: ");
  out.Text(record.Get(R::kCallId));
  out.Text("\r\nCSeq: ");
  out.Decimal(subscription.local_cseq);
  out.Text(" NOTIFY\r\nContact: <");
  WriteContact(record, spec.flow, out);
  out.Text(">\r\nEvent: presence");
  if (!subscription.event_id.empty()) {
    out.Text(";id=");
    out.Text(subscription.event_id.view());
  }
  out.Text("\r\nSubscription-State: ");
  if (subscription.over != nullptr) {
    out.Text("terminated;reason=");
    out.Text(subscription.over);
  } else {
    const int64_t left = (subscription.expiry.deadline() - core_.now()).seconds();
    out.Text("active;expires=");
    out.Decimal(left < 0 ? 0 : static_cast<uint64_t>(left));
  }
  out.Text("\r\nContent-Type: ");
  out.Text(presence::kPidfType);
  out.Text("\r\nContent-Length: ");
  out.Decimal(spec.body.size());
  out.Text("\r\n\r\n");
  out.Text(spec.body);
}

// False: the watcher cannot be reached. Without a free transaction it is tried again later.
bool PresenceServer::Notify(Subscription& subscription) {
  DialogRecord record;
  dialogs_.Read(subscription.dialog, record);
  Flow flow;
  if (!FlowOf(subscription, record, flow)) {
    return false;
  }
  ClientTransaction* client = parts_.transactions.CreateClient(Method::kNotify, 0);
  if (client == nullptr) {
    core_.timers.Arm(subscription.notify, kLater);
    return true;
  }
  const Presentity& presentity = *subscription.watcher.presentity;
  ByteWriter body(core_.body_scratch.first(kNotifyBodyBytesMax));
  if (subscription.is_polite) {
    PresenceStore::ComposeClosed(presentity.name.view(), body);
  } else {
    store_.Compose(
        presentity,
        core_.config.presence.counts_registrations && IsRegistered(presentity.name.view()), body);
  }
  if (!body.ok()) {  // more than one document holds
    body = ByteWriter(core_.body_scratch);
    PresenceStore::ComposeClosed(presentity.name.view(), body);
  }
  uint8_t branch_text[64];
  ByteWriter branch(branch_text);
  parts_.transactions.WriteBranch(branch, *client);
  subscription.local_cseq = subscription.local_cseq % kCseqMax + 1;
  ByteWriter out(core_.scratch);
  WriteNotify(subscription, record, {flow, branch.text(), body.text()}, out);
  if (!out.ok() || !parts_.transactions.Launch(*client, flow, out.written()).ok()) {
    parts_.transactions.ReleaseClient(*client);
    return false;
  }
  client->probe = &subscription.probe;
  subscription.probe.client = client;
  subscription.notified = core_.now();
  subscription.has_notified = true;
  subscription.is_dirty = false;
  subscription.is_told_over = subscription.over != nullptr;
  ++core_.statistics.notifications;
  return true;
}

// RFC 6665 4.2.2: 481 ends it, what may pass does not.
void PresenceServer::OnAnswered(Subscription& subscription, const Message& response) {
  const uint16_t status = response.status();
  const bool may_pass = status < 300 || response.Has(HeaderId::kRetryAfter) || status == 491;
  if (!may_pass) {
    Release(subscription, "the watcher does not take it");
    return;
  }
  if (subscription.is_told_over) {
    Release(subscription, subscription.over);
  } else if (subscription.over != nullptr) {
    core_.timers.Arm(subscription.notify, Duration::Milliseconds(1));
  } else if (subscription.is_dirty) {
    OnChanged(subscription, Duration::Milliseconds(1));
  }
}

void PresenceServer::Release(Subscription& subscription, std::string_view why) {
  Presentity& presentity = *subscription.watcher.presentity;
  core_.observer.OnWatchEnded({.watcher = subscription.sender.view(),
                               .user = presentity.name.view(),
                               .source = subscription.flow.remote,
                               .transport = subscription.flow.transport,
                               .why = why});
  core_.timers.Cancel(subscription.expiry);
  core_.timers.Cancel(subscription.notify);
  if (subscription.probe.client != nullptr) {
    subscription.probe.client->probe = nullptr;  // its transaction ends by itself
  }
  store_.Unwatch(subscription.watcher);
  table_.Remove(subscription);
  dialogs_.Release(subscription.dialog);
  subscriptions_.Release(&subscription);
  store_.Settle(presentity);
}

}  // namespace gh::sip
