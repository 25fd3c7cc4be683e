// Transactions: RFC 3261 17 with RFC 6026 (Accepted), RFC 4320 (non-INVITE) and RFC 2543 matching.
//
// A server transaction is found by a 128-bit keyed hash over branch, sent-by and method, so nothing
// of the request has to be kept to recognise a retransmission. A client transaction is found
// through its branch, which carries its handle and a secret cookie.
//
// A server transaction keeps its request until the final response is sent, and the last response
// while it may have to be sent again; a client transaction keeps its request until a final
// response. After a 2xx to INVITE both keep nothing but their identity.
#pragma once

#include <optional>

#include "firmware/sip/core.h"
#include "firmware/sip/message.h"
#include "firmware/sip/table.h"
#include "firmware/sip/transport.h"
#include "firmware/sip/writer.h"
#include "hal/rt/pool.h"

namespace gh::sip {

enum class ServerState : uint8_t { kTrying, kProceeding, kCompleted, kConfirmed, kAccepted };
enum class ClientState : uint8_t {
  kIdle,
  kCalling,
  kTrying,
  kProceeding,
  kCompleted,
  kAccepted,
};
enum class ClientFailure : uint8_t { kTimeout, kTransport };

class TransactionLayer;

struct ServerKey {
  uint64_t high = 0;
  uint64_t low = 0;
};

struct ServerTransaction {
  TableNode<ServerTransaction> node;
  uint64_t key_low = 0;
  TransactionLayer* layer = nullptr;
  void* context = nullptr;  // the proxy's, while it works on it
  Buffer* request = nullptr;
  Buffer* response = nullptr;
  Flow flow;             // remote is where responses go
  net::Endpoint source;  // where the request came from
  Timer retransmit;      // G; for non-INVITE the 100 of RFC 4320
  Timer lifetime;        // H, I, J, L
  Duration interval;
  uint64_t ladder = 0;     // keyed hash of the Call-ID; 0: of no call
  uint32_t session_s = 0;  // for a 2xx that says nothing of session timers; 0: nothing
  uint32_t cseq = 0;
  Method method = Method::kOther;
  ServerState state = ServerState::kTrying;
  uint16_t status = 0;  // of the last response
};

// Whoever sends a request of our own (OPTIONS to a zone's peer) and waits for what becomes of it.
struct Probe {
  void (*answered)(Probe& probe, const Flow& flow, const Message& response) = nullptr;
  void (*failed)(Probe& probe, ClientFailure why) = nullptr;
  void* context = nullptr;
  struct ClientTransaction* client = nullptr;  // while it waits
};

struct ClientTransaction {
  FlowUser flow_user;  // first: the stream's users are cast back
  TransactionLayer* layer = nullptr;
  void* branch = nullptr;  // the proxy's, until a final response was taken
  Probe* probe = nullptr;  // instead of a branch: of a request of our own
  Buffer* request = nullptr;
  Flow flow;
  Timer retransmit;  // A, E; CANCEL's E once cancelled
  Timer lifetime;    // B, F, D, K, M
  Duration interval;
  uint64_t cookie = 0;
  uint64_t loop = 0;  // RFC 5393 hash carried in the branch
  Handle server;      // responses go there
  Instant cancel_deadline;
  uint32_t limit_kbps = 0;   // the proxy's: descriptions ask for no more; 0: no limit
  MediaPolicy source_media;  // of either side's zone
  MediaPolicy target_media;
  Method method = Method::kOther;
  ClientState state = ClientState::kIdle;
  bool is_cancelled = false;    // CANCEL sent, waiting for its response
  bool is_hurried = false;      // nothing heard for Hurry's time: it failed
  bool keeps_identity = false;  // the proxy's, of responses: ResponseEdit
  bool keeps_private = false;
  bool hides_update = false;
  bool wants_cancel = false;  // to be sent with the first provisional response
};

class TransactionUser {
 public:
  // A response that is not a retransmission: provisional ones above 100, finals, and every 2xx to
  // INVITE again while Accepted. The transaction has already changed state.
  virtual void OnResponse(ClientTransaction& client, const Message& response) = 0;
  // No final response will come. The transaction ends when the call returns.
  virtual void OnClientFailed(ClientTransaction& client, ClientFailure why) = 0;

 protected:
  ~TransactionUser() = default;
};

class TransactionLayer {
 public:
  TransactionLayer(Core& core, Arena& arena, SipTransport& transport, TransactionUser& user);

  // --- Server side.
  ServerKey KeyOf(const Message& request, Method method) const;
  ServerTransaction* FindServer(const Message& request) {
    return FindServer(KeyOf(request, Fold(request.method())));
  }
  ServerTransaction* FindServer(const ServerKey& key) const;
  // Of a request of RFC 3261 that has been looked at no further. False: there is none.
  bool MayHaveServer(Method method, const Via& via) const;
  // The INVITE (or other) transaction a CANCEL means.
  ServerTransaction* FindCancelled(const Message& cancel) const;
  // Null when a pool is empty. Keeps a copy of the request.
  ServerTransaction* CreateServer(const Message& request, const Flow& flow);
  void OnRetransmission(ServerTransaction& server);
  void OnAck(ServerTransaction& server);
  // Sends `bytes` as the response and moves the state machine.
  void Respond(ServerTransaction& server, uint16_t status, std::span<const uint8_t> bytes);
  // Ends a server transaction without a response (RFC 4320: no 408 for non-INVITE).
  void Abandon(ServerTransaction& server);
  ServerTransaction* ResolveServer(Handle handle) { return servers_.Resolve(handle); }
  Handle HandleOf(const ServerTransaction& server) const { return servers_.HandleOf(server); }
  // Without a transaction: to where `request` came from.
  void SendStateless(const Message& request, const Flow& flow, std::span<const uint8_t> bytes);

  // --- Client side.
  // Reserves a transaction and its branch. Null when the pool is empty.
  ClientTransaction* CreateClient(Method method, uint64_t loop);
  void WriteBranch(ByteWriter& out, const ClientTransaction& client) const;
  // Sends `bytes`, keeping a copy. On failure the transaction still exists and is idle.
  Result<void> Launch(ClientTransaction& client, const Flow& flow, std::span<const uint8_t> bytes);
  // CANCEL now, or with the first provisional response (RFC 3261 9.1).
  void Cancel(ClientTransaction& client);
  // Forgets it at once, whatever its state.
  void ReleaseClient(ClientTransaction& client);
  // There is another who can be asked: a peer that says nothing at all within kHurry of T1 (RFC
  // 4320: who lives and works on it says 100 before) is given up sooner. An INVITE only where
  // 100 comes at once.
  static constexpr int64_t kHurry = 8;
  void Hurry(ClientTransaction& client);
  // False: no transaction of ours.
  bool OnResponse(const Message& response, const Flow& flow);
  struct BranchParts {
    Handle handle;
    uint64_t cookie = 0;
    uint64_t loop = 0;
  };
  static std::optional<BranchParts> ParseBranch(std::string_view branch);
  // Whether a Via's branch could be one of ours; gives its loop hash.
  std::optional<uint64_t> OwnLoopHash(const Via& via) const;

  uint32_t server_count() const { return servers_.used_count(); }
  uint32_t client_count() const { return clients_.used_count(); }
  uint32_t server_free() const { return servers_.free_count(); }
  uint32_t client_free() const { return clients_.free_count(); }
  uint32_t server_capacity() const { return servers_.capacity(); }
  uint32_t client_capacity() const { return clients_.capacity(); }
  static constexpr uint64_t bytes_per_server() {
    return Pool<ServerTransaction>::bytes_per_item() + sizeof(void*);
  }
  static constexpr uint64_t bytes_per_client() { return Pool<ClientTransaction>::bytes_per_item(); }

 private:
  // INVITE and its ACK are one transaction.
  static Method Fold(Method method) { return method == Method::kAck ? Method::kInvite : method; }
  uint64_t CookieOf(Handle handle) const;
  uint32_t BranchCheck(uint64_t loop, uint64_t cookie) const;
  Result<void> SendToServerFlow(ServerTransaction& server, std::span<const uint8_t> bytes);
  void OnServerRetransmitTimer(ServerTransaction& server);
  void ReleaseServer(ServerTransaction& server);
  void SendTrying(ServerTransaction& server);
  void FinishServer(ServerTransaction& server, uint16_t status);

  ClientTransaction* FindClient(const Message& response);
  void OnClientRetransmitTimer(ClientTransaction& client);
  void OnClientLifetime(ClientTransaction& client);
  void Fail(ClientTransaction& client, ClientFailure why);
  void OnInviteResponse(ClientTransaction& client, const Message& response);
  void OnOtherResponse(ClientTransaction& client, const Message& response);
  void SendAck(ClientTransaction& client, const Message& response);
  void SendCancel(ClientTransaction& client);
  void DropRequest(ClientTransaction& client);

  Core& core_;
  SipTransport& transport_;
  TransactionUser& user_;
  Pool<ServerTransaction> servers_;
  Pool<ClientTransaction> clients_;
  Table<ServerTransaction, &ServerTransaction::node> server_table_;
};

}  // namespace gh::sip
