// Byte streams as an engine sees them: TCP and TLS alike.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/server_name.h"
#include "hal/rt/pool.h"
#include "hal/rt/result.h"
#include "net/address.h"

namespace gh::net {

enum class StreamKind : uint8_t { kTcp, kTls };
// Whose certificates, peers and policy a TLS stream goes by.
enum class TlsService : uint8_t {
  kSip,
  kTurn,
  kWeb,
  kHsm,
  kFederation,
  kAcme,
  kXmpp,
  kXmppServer,  // other servers' streams, both ways
};
inline constexpr uint32_t kTlsServiceCount = 8;
enum class StreamClose : uint8_t {
  kByPeer,      // orderly FIN / close_notify
  kReset,       // RST
  kTimeout,     // connect or retransmission gave up, idle limit
  kRefused,     // connect refused or unreachable
  kByUs,        // our Close/Abort was carried out
  kNoResource,  // a pool was empty
  kTlsFailure,
};

using StreamId = Handle;

struct StreamInfo {
  Endpoint remote;
  Endpoint local;
  StreamKind kind = StreamKind::kTcp;
  bool accepted = false;  // true: incoming
  uint8_t port_index = 0;
  crypto::ServerNameMark asked_name = {};  // kTls, accepted: by SNI; none: nobody was asked for
};

// Calls come from the event loop, never from inside a StreamService call made by the handler.
class StreamHandler {
 public:
  // An accepted stream is offered; false refuses it (it is reset). Connected streams report here
  // too, with `accepted` false.
  virtual bool OnStreamOpen(StreamId id, const StreamInfo& info) = 0;
  // Bytes in order. Returns how many were consumed; the rest are offered again with more bytes, or
  // after ResumeStream, and the peer's window stays closed by that much. When the peer closes they
  // are offered a last time before OnStreamClosed; with StreamOptions::keep_until_read they stay.
  virtual size_t OnStreamData(StreamId id, std::span<uint8_t> data) = 0;
  // There is room to send again after SendStream had returned kWouldBlock.
  virtual void OnStreamWritable(StreamId id) = 0;
  // The stream is gone; `id` resolves to nothing from now on. Always the last call for an id.
  virtual void OnStreamClosed(StreamId id, StreamClose why) = 0;

 protected:
  ~StreamHandler() = default;
};

struct ListenerId {
  uint16_t value = UINT16_MAX;
  constexpr bool valid() const { return value != UINT16_MAX; }
};

struct StreamOptions {
  StreamKind kind = StreamKind::kTcp;
  bool no_delay = true;
  TlsService service = TlsService::kSip;  // kTls only
  // kTcp only: what the handler holds back when the peer closes waits for ResumeStream, and
  // OnStreamClosed for that. The handler bounds the time: it closes the stream when it gives up.
  bool keep_until_read = false;
  // Connect, kTls only: sent as SNI, and the name the server's certificate must carry; empty: any.
  std::string_view server_name = {};
  // kTls only: streams are plain until StartTls, connected ones until SecureAsClient (STARTTLS).
  bool starts_plain = false;
  // Connect, kTcp only: the address and port to come from, even one that is listened at; none: any.
  Endpoint local = {};
};

class StreamService {
 public:
  virtual Result<ListenerId> Listen(const Endpoint& local, const StreamOptions& options,
                                    StreamHandler& handler) = 0;
  virtual void CloseListener(ListenerId listener) = 0;
  // The outcome comes as OnStreamOpen or OnStreamClosed.
  virtual Result<StreamId> Connect(const Endpoint& to, const StreamOptions& options,
                                   StreamHandler& handler) = 0;
  // All of `data` is queued, or nothing: kWouldBlock (OnStreamWritable follows), kClosed,
  // kTooLarge.
  virtual Result<void> SendStream(StreamId id, std::span<const uint8_t> data) = 0;
  virtual size_t SendRoom(StreamId id) const = 0;
  // Bytes that the peer's TCP has not acknowledged, at least as many as were queued; 0 when gone.
  virtual size_t UndeliveredBytes(StreamId /*id*/) const { return 0; }
  // Of an accepted stream that starts plain: what is queued still goes out plain, what comes in
  // from now on is the peer's handshake. OnStreamOpen is called once more when it is over.
  virtual Result<void> StartTls(StreamId /*id*/) { return ErrorCode::kUnsupported; }
  // The same of a connected stream that starts plain: our handshake begins at once. `name`: sent as
  // SNI, and what the server's certificate must carry; empty: any.
  virtual Result<void> SecureAsClient(StreamId /*id*/, std::string_view /*name*/) {
    return ErrorCode::kUnsupported;
  }
  // Offers again what OnStreamData did not consume: for handlers that hold a peer back.
  virtual void ResumeStream(StreamId /*id*/) {}
  virtual void CloseStream(StreamId id) = 0;                // after queued bytes are sent
  virtual void AbortStream(StreamId id) = 0;                // RST, queued bytes are dropped
  virtual const StreamInfo* InfoOf(StreamId id) const = 0;  // null when gone
  // kTls: whether the certificate that the peer showed holds `name` among its subject alternative
  // names. False for TCP, and for peers that showed none.
  virtual bool IsPeerNamed(StreamId /*id*/, std::string_view /*name*/) { return false; }

 protected:
  ~StreamService() = default;
};

}  // namespace gh::net
