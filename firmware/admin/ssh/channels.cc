#include "firmware/admin/ssh/channels.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"

namespace gh::ssh {

// --- A channel as its session sees it ------------------------------------------------------------

std::span<const uint8_t> Channel::Input() const {
  return std::span<const uint8_t>(ring_).subspan(first_, std::min(used_, kWindowBytes - first_));
}

void Channel::ConsumeInput(size_t count) {
  GH_ASSERT_LE(count, used_);
  first_ = (first_ + static_cast<uint32_t>(count)) % kWindowBytes;
  used_ -= static_cast<uint32_t>(count);
  owner_->OpenWindow(*this);
}

size_t Channel::WriteRoom() {
  const size_t room = owner_->RoomOf(*this);
  wants_room_ = wants_room_ || room == 0;
  return room;
}

size_t Channel::Write(std::span<const uint8_t> bytes) {
  return owner_->SendData(*this, bytes, false);
}

size_t Channel::WriteError(std::span<const uint8_t> bytes) {
  return owner_->SendData(*this, bytes, true);
}

void Channel::Finish(uint32_t exit_status) {
  session_ = nullptr;
  if (sent_close_) {
    return;
  }
  std::array<uint8_t, 32> message;
  ByteWriter out(message);
  out.U8(kMsgChannelRequest);
  out.U32Be(remote_number_);
  PutString(out, "exit-status");
  out.U8(0);
  out.U32Be(exit_status);
  owner_->transport_.Send(out.written());
  owner_->SendSimple(kMsgChannelEof, *this);
  owner_->SendClose(*this);
}

// --- Sending -------------------------------------------------------------------------------------

size_t Channels::RoomOf(const Channel& channel) const {
  if (channel.sent_close_) {
    return 0;
  }
  return std::min<size_t>(transport_.data_room(), channel.remote_window_);
}

size_t Channels::SendData(Channel& channel, std::span<const uint8_t> bytes, bool is_error) {
  size_t taken = 0;
  while (taken < bytes.size()) {
    const size_t packet_max = std::min<size_t>(channel.remote_packet_, kChannelPacketMax);
    const size_t count = std::min({bytes.size() - taken, RoomOf(channel), packet_max});
    if (count == 0) {
      channel.wants_room_ = true;
      break;
    }
    std::array<uint8_t, 16> head;
    ByteWriter out(head);
    out.U8(is_error ? kMsgChannelExtendedData : kMsgChannelData);
    out.U32Be(channel.remote_number_);
    if (is_error) {
      out.U32Be(1);  // SSH_EXTENDED_DATA_STDERR
    }
    out.U32Be(static_cast<uint32_t>(count));
    transport_.Send(out.written(), bytes.subspan(taken, count));
    channel.remote_window_ -= static_cast<uint32_t>(count);
    taken += count;
  }
  return taken;
}

void Channels::SendSimple(uint8_t message, const Channel& channel) {
  std::array<uint8_t, 5> bytes;
  ByteWriter out(bytes);
  out.U8(message);
  out.U32Be(channel.remote_number_);
  transport_.Send(bytes);
}

void Channels::SendClose(Channel& channel) {
  if (!channel.sent_close_) {
    channel.sent_close_ = true;
    SendSimple(kMsgChannelClose, channel);
  }
}

// In halves of the window, and not while keys are exchanged: those answers would pile up.
void Channels::OpenWindow(Channel& channel) {
  const uint32_t closed = kWindowBytes - channel.used_ - channel.window_;
  if (closed < kWindowBytes / 2 || channel.got_eof_ || channel.sent_close_ ||
      transport_.is_rekeying()) {
    return;
  }
  std::array<uint8_t, 9> message;
  ByteWriter out(message);
  out.U8(kMsgChannelWindowAdjust);
  out.U32Be(channel.remote_number_);
  out.U32Be(closed);
  channel.window_ += closed;
  transport_.Send(message);
}

void Channels::Pump() {
  for (uint32_t i = 0; i < channels_.size() && !transport_.is_over(); ++i) {
    if (channels_[i] == nullptr) {
      continue;
    }
    OpenWindow(*channels_[i]);
    Channel& channel = *channels_[i];
    if (channel.wants_room_ && channel.session_ != nullptr && RoomOf(channel) > 0) {
      channel.wants_room_ = false;
      channel.session_->OnRoom();
    }
  }
}

void Channels::SendKeepAlive() {
  std::array<uint8_t, 40> message;
  ByteWriter out(message);
  out.U8(kMsgGlobalRequest);
  PutString(out, "keepalive@openssh.com");
  out.U8(1);
  transport_.Send(out.written());
}

// --- Receiving -----------------------------------------------------------------------------------

void Channels::Fail(std::string_view why) {
  transport_.Disconnect(DisconnectReason::kProtocolError, why);
}

Channel* Channels::Find(uint32_t number) {
  return number < channels_.size() ? channels_[number] : nullptr;
}

bool Channels::OnPacket(std::span<const uint8_t> payload) {
  const uint8_t message = payload[0];
  ByteReader in(payload.subspan(1));
  switch (message) {
    case kMsgGlobalRequest:
      HandleGlobalRequest(in);
      return true;
    case kMsgRequestSuccess:  // of a keep-alive
    case kMsgRequestFailure:
      return true;
    case kMsgChannelOpen:
      HandleOpen(in);
      return true;
    default:
      return message > kMsgChannelOpen && message <= kMsgChannelFailure &&
             HandleOfChannel(message, in);
  }
}

void Channels::HandleGlobalRequest(ByteReader& in) {
  const std::string_view name = TakeText(in);
  const bool wants_reply = TakeBool(in);
  if (!in.ok()) {
    Fail("malformed request");
    return;
  }
  // Forwardings are refused like everything unknown; a keep-alive wants no more than any answer.
  no_more_sessions_ = no_more_sessions_ || name == "no-more-sessions@openssh.com";
  if (wants_reply) {
    const uint8_t reply = kMsgRequestFailure;
    transport_.Send({&reply, 1});
  }
}

void Channels::RefuseOpen(uint32_t remote_number, OpenFailure reason, std::string_view text) {
  std::array<uint8_t, 128> message;
  ByteWriter out(message);
  out.U8(kMsgChannelOpenFailure);
  out.U32Be(remote_number);
  out.U32Be(static_cast<uint32_t>(reason));
  PutString(out, text);
  PutString(out, "en");
  GH_ASSERT(out.ok());
  transport_.Send(out.written());
}

void Channels::HandleOpen(ByteReader& in) {
  const std::string_view type = TakeText(in);
  const uint32_t remote_number = in.U32Be();
  const uint32_t remote_window = in.U32Be();
  const uint32_t remote_packet = in.U32Be();
  if (!in.ok()) {
    Fail("malformed channel open");
    return;
  }
  if (type == "direct-tcpip" || type == "forwarded-tcpip" || type == "x11" ||
      type == "auth-agent@openssh.com" || type == "direct-streamlocal@openssh.com" ||
      type == "tun@openssh.com") {
    RefuseOpen(remote_number, OpenFailure::kProhibited, "this system forwards nothing");
    return;
  }
  if (type != "session") {
    RefuseOpen(remote_number, OpenFailure::kUnknownType, "no such type of channel");
    return;
  }
  if (no_more_sessions_) {
    Fail("a session after no-more-sessions");
    return;
  }
  uint32_t number = 0;
  while (number < channels_.size() && channels_[number] != nullptr) {
    ++number;
  }
  Channel* channel =
      number < channels_.size() && remote_packet >= kRemotePacketMin ? pool_.Allocate() : nullptr;
  if (channel == nullptr) {
    RefuseOpen(remote_number, OpenFailure::kNoResources, "too many sessions, or packets too small");
    return;
  }
  channels_[number] = channel;
  ++count_;
  channel->owner_ = this;
  channel->number_ = number;
  channel->remote_number_ = remote_number;
  channel->remote_window_ = remote_window;
  channel->remote_packet_ = remote_packet;
  std::array<uint8_t, 17> message;
  ByteWriter out(message);
  out.U8(kMsgChannelOpenConfirmation);
  out.U32Be(remote_number);
  out.U32Be(number);
  out.U32Be(kWindowBytes);
  out.U32Be(kChannelPacketMax);
  transport_.Send(message);
}

bool Channels::HandleOfChannel(uint8_t message, ByteReader& in) {
  Channel* channel = Find(in.U32Be());
  if (!in.ok() || channel == nullptr) {
    Fail("no such channel");
    return true;
  }
  switch (message) {
    case kMsgChannelWindowAdjust: {
      const uint32_t more = in.U32Be();
      if (!in.ok() || more > UINT32_MAX - channel->remote_window_) {
        Fail("window too large");
        return true;
      }
      channel->remote_window_ += more;
      Pump();
      return true;
    }
    case kMsgChannelData:
    case kMsgChannelExtendedData:
      HandleData(*channel, in, message == kMsgChannelExtendedData);
      return true;
    case kMsgChannelEof:
      channel->got_eof_ = true;
      if (channel->session_ != nullptr) {
        channel->session_->OnInput();
      }
      return true;
    case kMsgChannelClose:
      HandleClose(*channel);
      return true;
    case kMsgChannelRequest:
      HandleRequest(*channel, in);
      return true;
    default:
      return message == kMsgChannelSuccess || message == kMsgChannelFailure;
  }
}

void Channels::HandleData(Channel& channel, ByteReader& in, bool is_extended) {
  if (is_extended) {
    (void)in.U32Be();
  }
  const auto data = TakeString(in);
  if (!in.ok() || !in.at_end() || data.size() > channel.window_ || channel.got_eof_ ||
      channel.got_close_) {
    Fail("data beyond the window, or after its end");
    return;
  }
  channel.window_ -= static_cast<uint32_t>(data.size());
  if (is_extended || channel.session_ == nullptr) {
    OpenWindow(channel);  // for nobody
    return;
  }
  const uint32_t at = (channel.first_ + channel.used_) % kWindowBytes;
  const size_t head = std::min<size_t>(data.size(), kWindowBytes - at);
  std::memcpy(channel.ring_ + at, data.data(), head);
  std::memcpy(channel.ring_, data.data() + head, data.size() - head);
  channel.used_ += static_cast<uint32_t>(data.size());
  GH_ASSERT_LE(channel.used_, kWindowBytes);
  channel.session_->OnInput();
}

void Channels::HandleClose(Channel& channel) {
  channel.got_close_ = true;
  channel.got_eof_ = true;
  SendClose(channel);
  ChannelSession* session = channel.session_;
  channel.session_ = nullptr;
  if (session != nullptr) {
    session->OnClosed();
  }
  Release(channel);
}

void Channels::Release(Channel& channel) {
  GH_ASSERT(channels_[channel.number_] == &channel);
  channels_[channel.number_] = nullptr;
  --count_;
  SecureZero(channel.ring_);
  pool_.Release(&channel);
}

void Channels::CloseAll() {
  for (Channel* channel : channels_) {
    if (channel != nullptr) {
      ChannelSession* session = channel->session_;
      channel->session_ = nullptr;
      channel->sent_close_ = true;
      if (session != nullptr) {
        session->OnClosed();
      }
      Release(*channel);
    }
  }
}

// --- Requests of a channel -----------------------------------------------------------------------

void Channels::HandleRequest(Channel& channel, ByteReader& in) {
  const std::string_view name = TakeText(in);
  const bool wants_reply = TakeBool(in);
  bool done = false;
  bool starts = false;
  if (name == "pty-req") {
    done = HandleTerminal(channel, in);
  } else if (name == "window-change") {
    done = HandleWindowChange(channel, in);
  } else if (name == "shell") {
    starts = done = StartSession(channel, SessionKind::kShell, {});
  } else if (name == "exec") {
    starts = done = StartSession(channel, SessionKind::kExec, TakeText(in));
  } else if (name == "subsystem") {
    starts = done = StartSession(channel, SessionKind::kSubsystem, TakeText(in));
  } else if (name == "signal" || name == "break") {
    const std::string_view signal = name == "break" ? "INT" : TakeText(in);
    done = channel.session_ != nullptr;
    if (done && in.ok()) {
      channel.session_->OnSignal(signal);
    }
  }  // env, x11-req, auth-agent-req@openssh.com and what is unknown: refused
  if (!in.ok()) {
    Fail("malformed channel request");
    return;
  }
  if (wants_reply && !channel.sent_close_) {
    SendSimple(done ? kMsgChannelSuccess : kMsgChannelFailure, channel);
  }
  if (starts && channel.session_ != nullptr) {
    channel.session_->OnRoom();
  }
}

bool Channels::HandleTerminal(Channel& channel, ByteReader& in) {
  const std::string_view terminal = TakeText(in);
  const uint32_t columns = in.U32Be();
  const uint32_t rows = in.U32Be();
  (void)in.U64Be();      // pixels
  (void)TakeString(in);  // modes: the line editor is ours
  if (!in.ok() || channel.was_started_) {
    return false;
  }
  channel.has_terminal_ = true;
  channel.terminal_.Assign(terminal);
  channel.columns_ = columns == 0 ? 80 : std::min(columns, kColumnsMax);
  channel.rows_ = rows == 0 ? 24 : std::min(rows, kRowsMax);
  return true;
}

bool Channels::HandleWindowChange(Channel& channel, ByteReader& in) {
  const uint32_t columns = in.U32Be();
  const uint32_t rows = in.U32Be();
  (void)in.U64Be();
  if (!in.ok() || !channel.has_terminal_ || columns == 0 || rows == 0) {
    return false;
  }
  channel.columns_ = std::min(columns, kColumnsMax);
  channel.rows_ = std::min(rows, kRowsMax);
  if (channel.session_ != nullptr) {
    channel.session_->OnResize(channel.columns_, channel.rows_);
  }
  return true;
}

bool Channels::StartSession(Channel& channel, SessionKind kind, std::string_view command) {
  if (channel.was_started_ || command.size() > kCommandMax) {
    return false;
  }
  SessionRequest request;
  request.kind = kind;
  request.connection = connection_;
  request.user = user_.view();
  request.remote = remote_;
  request.command = command;
  request.has_terminal = channel.has_terminal_;
  request.terminal = channel.terminal_.view();
  request.columns = channel.columns_;
  request.rows = channel.rows_;
  auto session = host_.OpenSession(request, channel);
  if (!session.ok()) {
    return false;
  }
  channel.was_started_ = true;
  channel.session_ = *session;
  return true;
}

}  // namespace gh::ssh
