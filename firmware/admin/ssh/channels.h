// The channels of a connection (RFC 4254): sessions with terminal, shell, exec and subsystem; flow
// control both ways; global requests; no forwarding of any kind.
//
// A channel's window is a ring of kWindowBytes from a pool shared by all connections: what the
// client may send always has its place, and the window opens again as the session consumes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/ssh/ports.h"
#include "firmware/admin/ssh/transport.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/pool.h"

namespace gh::ssh {

class Channels;

class Channel final : public ChannelPort {
 public:
  Channel() = default;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  std::span<const uint8_t> Input() const override;
  void ConsumeInput(size_t count) override;
  bool input_ended() const override { return got_eof_; }
  size_t WriteRoom() override;
  size_t Write(std::span<const uint8_t> bytes) override;
  size_t WriteError(std::span<const uint8_t> bytes) override;
  void Finish(uint32_t exit_status) override;

 private:
  friend class Channels;

  Channels* owner_ = nullptr;
  ChannelSession* session_ = nullptr;
  uint32_t number_ = 0;         // ours
  uint32_t remote_number_ = 0;  // theirs
  uint32_t remote_window_ = 0;
  uint32_t remote_packet_ = 0;
  uint32_t window_ = kWindowBytes;  // what the client may still send
  uint32_t first_ = 0;              // of the ring
  uint32_t used_ = 0;
  bool got_eof_ = false;
  bool got_close_ = false;
  bool sent_close_ = false;
  bool wants_room_ = false;
  bool has_terminal_ = false;
  bool was_started_ = false;
  uint32_t columns_ = 80;
  uint32_t rows_ = 24;
  FixedString<kTerminalNameMax> terminal_;
  alignas(8) uint8_t ring_[kWindowBytes];
};

using ChannelPool = Pool<Channel>;

class Channels {
 public:
  Channels(Transport& transport, ChannelPool& pool, SessionHost& host, Handle connection,
           std::string_view user, const net::IpAddress& remote)
      : transport_(transport),
        pool_(pool),
        host_(host),
        connection_(connection),
        user_(user),
        remote_(remote) {}
  Channels(const Channels&) = delete;
  Channels& operator=(const Channels&) = delete;
  ~Channels() { CloseAll(); }

  // False: no message of this layer.
  bool OnPacket(std::span<const uint8_t> payload);
  // After bytes have left, or keys were exchanged: windows open, sessions that wait may write.
  void Pump();
  void CloseAll();
  // keepalive@openssh.com: anything that comes back is a sign of life.
  void SendKeepAlive();
  uint32_t count() const { return count_; }

 private:
  friend class Channel;

  Channel* Find(uint32_t number);
  void HandleOpen(ByteReader& in);
  void RefuseOpen(uint32_t remote_number, OpenFailure reason, std::string_view text);
  void HandleGlobalRequest(ByteReader& in);
  bool HandleOfChannel(uint8_t message, ByteReader& in);
  void HandleData(Channel& channel, ByteReader& in, bool is_extended);
  void HandleRequest(Channel& channel, ByteReader& in);
  bool HandleTerminal(Channel& channel, ByteReader& in);
  bool HandleWindowChange(Channel& channel, ByteReader& in);
  bool StartSession(Channel& channel, SessionKind kind, std::string_view command);
  void HandleClose(Channel& channel);
  void SendClose(Channel& channel);
  size_t SendData(Channel& channel, std::span<const uint8_t> bytes, bool is_error);
  size_t RoomOf(const Channel& channel) const;
  void OpenWindow(Channel& channel);
  void SendSimple(uint8_t message, const Channel& channel);
  void Release(Channel& channel);
  void Fail(std::string_view why);

  Transport& transport_;
  ChannelPool& pool_;
  SessionHost& host_;
  Handle connection_;
  FixedString<kUserNameMax> user_;
  net::IpAddress remote_;
  std::array<Channel*, kChannelsPerConnection> channels_ = {};
  uint32_t count_ = 0;
  bool no_more_sessions_ = false;
};

}  // namespace gh::ssh
