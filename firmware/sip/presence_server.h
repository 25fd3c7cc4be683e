// The presence server of our users (RFC 3856): takes PUBLISH (RFC 3903), answers SUBSCRIBE and
// sends NOTIFY with whole documents (RFC 6665, 3863).
//
// The engine has let a request in and knows who sent it before it comes here; it sends the answers,
// over server transactions, so that a repeated request changes nothing. A watcher is told at once
// of the state, then of each change, though no more often than the operator wants; one NOTIFY waits
// for its answer at a time. Who does not take a NOTIFY, or takes it and knows nothing of it (481),
// is no watcher any more.
#pragma once

#include "firmware/dialplan/dial_plan.h"
#include "firmware/sip/dialog_store.h"
#include "firmware/sip/presence_store.h"
#include "firmware/sip/registrar.h"
#include "firmware/sip/transaction.h"
#include "firmware/sip/transport.h"
#include "firmware/sip/zones.h"

namespace gh::sip {

struct PresenceRequest {
  const Message& message;
  const Flow& flow;
  ZoneId source = dialplan::kNoZone;
  std::string_view user;     // user@host it is about
  std::string_view sender;   // user@host of From
  bool is_own_user = false;  // the sender, of one of our domains; proved where that is asked
  uint64_t to_tag = 0;       // of our answer
};

struct PresenceReply {
  uint16_t status = 200;
  RefusalReason reason = RefusalReason::kMalformed;
  std::string_view why = {};
};

// One line of the list of watchers.
struct WatchInfo {
  std::string_view watcher;
  std::string_view user;
  net::Endpoint source;
  TransportKind transport = TransportKind::kUdp;
  uint32_t remaining_s = 0;
  bool is_polite = false;
};

class PresenceServer {
 public:
  struct Parts {
    SipTransport& transport;
    TransactionLayer& transactions;
    Zones& zones;
    Registrar& registrar;
    dialplan::DialPlan& plan;
  };
  PresenceServer(Core& core, Arena& arena, const Parts& parts);

  // `extra`: header lines of the answer.
  PresenceReply Publish(const PresenceRequest& request, ByteWriter& extra);
  PresenceReply Subscribe(const PresenceRequest& request, ByteWriter& extra);
  // Inside a subscription of ours.
  bool Knows(const Message& request) const;
  PresenceReply Resubscribe(const PresenceRequest& request, ByteWriter& extra);

  // A user has contacts, or has none any more.
  void OnRegistration(std::string_view user, uint8_t domain);
  // After a new configuration: what it does not provide for ends.
  void OnConfig();

  bool NextPresentity(uint32_t& cursor, PresentityInfo& out) { return store_.Next(cursor, out); }
  bool NextWatch(uint32_t& cursor, WatchInfo& out);
  const PresenceStore& store() const { return store_; }
  const DialogStore& dialogs() const { return dialogs_; }
  uint32_t subscription_count() const { return subscriptions_.used_count(); }
  static constexpr uint64_t bytes_per_subscription() {
    return Pool<Subscription>::bytes_per_item() + DialogStore::bytes_per_dialog() + sizeof(void*);
  }

 private:
  struct Subscription {
    Watcher watcher;  // first: the store's callback is cast back
    TableNode<Subscription> node;
    PresenceServer* server = nullptr;
    Timer expiry;
    Timer notify;
    Probe probe;
    Flow flow;          // where its last SUBSCRIBE came from
    uint16_t zone = 0;  // the traversal zone it came through; 0: none
    uint32_t remote_cseq = 0;
    uint32_t local_cseq = 0;
    Instant notified;            // when the last NOTIFY was sent
    const char* over = nullptr;  // the reason, once it is: one last NOTIFY says so
    bool has_notified = false;
    bool is_told_over = false;
    bool is_dirty = false;   // something changed since
    bool is_polite = false;  // the user is not seen
    FixedText<kEventIdBytesMax> event_id;
    FixedText<dialplan::kAliasBytesMax> sender;
    KeptDialog dialog;  // the watcher is its caller
  };

  enum class Permission : uint8_t { kNo, kPolite, kYes };
  struct Expiry {
    PresenceReply reply;
    uint32_t seconds = 0;
  };
  Permission PermissionOf(const PresenceRequest& request) const;
  Expiry ReadExpiry(const Message& request, ByteWriter& extra) const;
  PresenceReply Modify(const PresenceRequest& request, Presentity& presentity,
                       Publication& publication, uint32_t expires_s, ByteWriter& extra);
  PresenceReply PublishNew(const PresenceRequest& request, uint32_t expires_s, ByteWriter& extra);
  PresenceReply ReadState(const Message& request, uint32_t number, presence::Parts& out);
  static void WriteTag(const Publication& publication, uint32_t expires_s, ByteWriter& extra);
  PresenceReply Fill(Subscription& subscription, DialogRecord& record,
                     const PresenceRequest& request);
  void Begin(Subscription& subscription, uint64_t hash, Presentity& presentity);
  void WriteDialog(const DialogRecord& record, const PresenceRequest& request, uint32_t expires_s,
                   ByteWriter& extra) const;

  Subscription* Find(const Message& request) const;
  uint64_t HashOf(std::string_view call_id, std::string_view from_tag, uint64_t to_tag) const;
  bool IsRegistered(std::string_view name) const;

  // presence_notify.cc
  void WriteContact(const DialogRecord& record, const Flow& flow, ByteWriter& out) const;
  void OnChanged(Subscription& subscription, Duration after);
  void OnNotifyTimer(Subscription& subscription);
  void OnExpiry(Subscription& subscription);
  void End(Subscription& subscription, const char* why);
  bool FlowOf(const Subscription& subscription, const DialogRecord& record, Flow& out);
  bool Notify(Subscription& subscription);
  struct NotifySpec {
    const Flow& flow;
    std::string_view branch;
    std::string_view body;
  };
  void WriteNotify(const Subscription& subscription, const DialogRecord& record,
                   const NotifySpec& spec, ByteWriter& out) const;
  void OnAnswered(Subscription& subscription, const Message& response);
  void Release(Subscription& subscription, std::string_view why);

  Core& core_;
  Parts parts_;
  PresenceStore store_;
  presence::PidfReader reader_;
  Pool<Subscription> subscriptions_;
  DialogStore dialogs_;
  Table<Subscription, &Subscription::node> table_;
  std::span<uint8_t> scratch_;  // a document's parts
};

}  // namespace gh::sip
