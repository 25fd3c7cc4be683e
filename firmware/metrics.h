// Counters for Prometheus: one page over HTTP, in its text exposition format (version 0.0.4).
//
// Off unless switched on; a few connections at a time, each with one request, a bounded head and a
// deadline. The page is made while it is sent, as fast as the reader takes it.
#pragma once

#include <array>
#include <cstdint>

#include "firmware/admin/status.h"
#include "firmware/appliance.h"
#include "net/http_request.h"
#include "net/stream.h"

namespace gh {

class Metrics final : private net::StreamHandler {
 public:
  explicit Metrics(Appliance::Rooms& rooms) : rooms_(rooms) {}
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void ApplySettings();
  // Ends connections past their deadline; now and then.
  void Watch(Instant now);
  void AddTo(admin::StatusTree& status);
  // The page, piece by piece: false when there is no more. `cursor` starts at 0.
  bool NextLine(uint64_t& cursor, ByteWriter& out) const;

 private:
  static constexpr uint32_t kConnectionMax = 4;
  static constexpr size_t kPieceMax = 2048;

  struct Connection {
    net::StreamId stream;
    bool used = false;
    bool answering = false;
    bool closing = false;
    Instant deadline;
    uint64_t cursor = 0;
    net::HttpHeadBuffer<net::kHttpRequestHeadMax> head;
  };

  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId id) override;
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;
  Connection* Find(net::StreamId id);
  void Answer(Connection& connection, std::string_view head);
  void Send(Connection& connection, std::string_view text);
  void Continue(Connection& connection);
  bool NextStatusLine(uint64_t& cursor, ByteWriter& out);

  bool WriteSystem(uint64_t family, uint64_t index, ByteWriter& out) const;
  bool WriteNetwork(uint64_t family, uint64_t index, ByteWriter& out) const;
  bool WriteRooms(uint64_t family, uint64_t index, ByteWriter& out) const;

  Appliance::Rooms& rooms_;
  std::array<net::ListenerId, 2> listeners_;
  uint16_t port_ = 0;
  std::array<Connection, kConnectionMax> connections_;
  uint64_t page_count_ = 0;
  uint64_t refused_count_ = 0;
};

}  // namespace gh
