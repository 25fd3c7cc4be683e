// Clients that come by HTTPS, browsers above all: WebSockets (RFC 7395), BOSH (XEP-0124, XEP-0206),
// the page that tells where both are (XEP-0156), and files users leave for others (XEP-0363).
//
// A request waits in its stream until it is whole, so a connection costs no buffer; it is bounded
// by kWebHeadMax and by what the engine takes next. A BOSH session is a stream of the engine's with
// an id of ours; what it is sent waits in chains of a pool, and is bounded.
//
// Fault model: whoever comes is a stranger until the engine says otherwise; a request that can be
// read in two ways ends its connection; a client that does not fetch what is for it, or comes too
// seldom, loses its session.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/random.h"
#include "firmware/xmpp/chain.h"
#include "firmware/xmpp/engine.h"
#include "firmware/xmpp/uploads.h"
#include "firmware/xmpp/xml_reader.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/hash_table.h"
#include "hal/rt/heap.h"
#include "hal/rt/pool.h"
#include "net/http_request.h"
#include "net/stream.h"
#include "net/websocket.h"

namespace gh::xmpp {

struct WebCounters {
  uint64_t requests = 0;
  uint64_t refused = 0;
  uint64_t websockets = 0;
  uint64_t bosh_sessions = 0;
};

class Web final : public net::StreamHandler {
 public:
  struct Parts {
    Arena& arena;
    EventLoop& loop;
    net::StreamService& streams;
    crypto::Random& random;
    Engine& engine;
    Observer& observer;
    Host& host;
    Uploads* uploads = nullptr;  // null: no files
  };
  struct Capacity {
    uint32_t connections = 0;
    uint32_t bosh_sessions = 0;
    uint32_t blocks = 0;
    static Capacity For(uint32_t sessions);
  };

  Web(const Parts& parts, const Capacity& capacity);
  Web(const Web&) = delete;
  Web& operator=(const Web&) = delete;
  static uint64_t ArenaBytes(const Capacity& capacity);

  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId id) override;
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;

  // What the engine asks of the streams of BOSH sessions.
  static bool Owns(net::StreamId stream) { return (stream.index & kOurs) != 0; }
  Result<void> Send(net::StreamId stream, std::span<const uint8_t> bytes);
  void Close(net::StreamId stream);
  void Resume(net::StreamId stream);

  uint32_t connection_count() const { return connections_.used_count(); }
  uint32_t bosh_count() const { return boshes_.used_count(); }
  const WebCounters& counters() const { return counters_; }

 private:
  static constexpr uint32_t kOurs = uint32_t{1} << 31;
  struct Bosh;
  struct Connection final : files::TransferOwner {
    void OnTransfer(files::Transfer&) override { web->OnFile(*this); }
    Web* web = nullptr;
    HashNode node;
    uint64_t key = 0;
    net::StreamId stream;
    net::Endpoint remote;
    Source* source = nullptr;
    bool is_websocket = false;
    bool closes = false;    // after the answer that is on its way
    bool answers = false;   // one is: nothing is read meanwhile
    bool is_over = false;   // it is being closed
    Bosh* bosh = nullptr;   // whose request it holds
    Bosh* early = nullptr;  // whose request, which came before its turn, waits in the stream
    net::StreamId paused;   // of the BOSH session whose request waits until the engine takes more
    uint64_t drain = 0;     // bytes of a body that was refused, still to be passed over
    files::Transfer* transfer = nullptr;  // of a file, either way
    Chain out;
    net::WebSocketReader frames;
    Timer timer;
  };
  struct ConnectionTraits {
    using Key = uint64_t;
    static const Key& KeyOf(const Connection& connection) { return connection.key; }
  };
  // A session of BOSH.
  struct Bosh {
    Web* web = nullptr;
    net::StreamId stream;
    uint64_t token_high = 0, token_low = 0;
    net::Endpoint remote;
    uint64_t next_rid = 0;
    uint64_t last_rid = 0;  // whose answer `last` is; 0: none
    uint32_t wait_s = 0;
    bool holds = false;
    bool is_new = true;    // the first answer says what was agreed
    bool ended = false;    // by the engine, or by what the client did
    bool is_gone = false;  // the engine knows it no more
    const char* condition = "";
    FixedString<kDomainMax> domain;
    Connection* held = nullptr;
    uint64_t held_rid = 0;
    Connection* early = nullptr;
    Chain out;
    Chain last;
    Timer timer;
  };

  static uint64_t KeyOf(net::StreamId id) { return uint64_t{id.index} << 32 | id.generation; }
  Connection* Find(net::StreamId id) { return by_stream_.Find(KeyOf(id)); }
  void ArmIdle(Connection& connection, int64_t seconds);
  void OnConnectionTime(Connection& connection);

  // web.cc
  size_t TakeRequest(Connection& connection, std::span<uint8_t> data);
  size_t TakeHandshake(Connection& connection, std::span<uint8_t> data);
  size_t TakeFrames(Connection& connection, std::span<uint8_t> data);
  bool OnFrame(Connection& connection, const net::WebSocketReader::Event& event);
  void SendFrame(net::StreamId id, net::WebSocketOpcode opcode, std::span<const uint8_t> payload);
  void AnswerHostMeta(Connection& connection, const net::HttpRequest& request, bool is_json);
  void Refuse(Connection& connection, const char* status, const char* why);
  size_t Drain(Connection& connection, size_t available);
  void Answer(Connection& connection, std::string_view status, std::string_view fields,
              std::string_view body);
  void SendAnswer(Connection& connection, Chain& answer);
  void Pump(Connection& connection);

  // web_files.cc
  size_t TakeFileRequest(Connection& connection, const net::HttpRequest& request, size_t head_size,
                         std::span<uint8_t> data);
  void SendFile(Connection& connection, files::File& file, bool with_bytes);
  size_t TakeFile(Connection& connection, const net::HttpRequest& request, size_t head_size);
  size_t RefuseFile(Connection& connection, const net::HttpRequest& request, size_t head_size,
                    const char* status, const char* why);
  bool PumpFile(Connection& connection);
  void OnFile(Connection& connection);
  void LeaveFile(Connection& connection);

  // bosh.cc
  size_t TakeBody(Connection& connection, const net::HttpRequest& request, size_t head_size,
                  std::span<uint8_t> data);
  Bosh* FindBosh(std::string_view sid);
  Bosh* FindBosh(net::StreamId stream);
  // What a body was read out of.
  struct Spent {
    size_t bytes = 0;
    uint32_t elements = 0;
  };
  void OnBody(Connection& connection, Node& body, const Spent& spent);
  bool MayOpenBosh(const net::Endpoint& remote);
  void OpenBosh(Connection& connection, const Node& body, const Spent& spent);
  bool TakeTurn(Connection& connection, Bosh& bosh, uint64_t rid);
  void OpenStream(Bosh& bosh);
  void EndStream(Bosh& bosh);
  void Hold(Connection& connection, Bosh& bosh, uint64_t rid);
  void AnswerHeld(Bosh& bosh);
  void WriteBodyTag(Bosh& bosh, ByteWriter& out);
  void Terminate(Connection& connection, const char* condition);
  void EndBosh(Bosh& bosh);
  void OnBoshTime(Bosh& bosh);
  void RunTask();

  Parts parts_;
  Sources sources_;
  Pool<Connection> connections_;
  HashTable<Connection, &Connection::node, ConnectionTraits> by_stream_;
  Pool<Bosh> boshes_;
  ChainPool chains_;
  Heap heap_;
  XmlReader reader_;
  XmlReader unproven_reader_;
  Task task_;
  WebCounters counters_;
};

}  // namespace gh::xmpp
