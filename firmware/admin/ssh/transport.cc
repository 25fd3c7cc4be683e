#include "firmware/admin/ssh/transport.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"

namespace gh::ssh {

Transport::Transport(crypto::TlsEnvironment& environment, const HostKeys& keys,
                     const TransportSettings& settings, const TransportBuffers& buffers,
                     PacketHandler& handler)
    : environment_(environment),
      keys_(keys),
      settings_(settings),
      buffers_(buffers),
      handler_(handler) {
  GH_ASSERT_EQ(buffers.input.size(), kInputBytes);
  GH_ASSERT_EQ(buffers.output.size(), kOutputBytes);
  GH_ASSERT_EQ(buffers.held.size(), kHeldBytes);
}

Transport::~Transport() {
  SecureZero(buffers_.input);
  SecureZero(buffers_.output);
  SecureZero(buffers_.held);
  SecureZero(session_id_);
}

void Transport::Start(Instant now) {
  now_ = now;
  keyed_at_ = now;
  ByteWriter line(buffers_.output);
  line.Text(kOwnVersion);
  line.Text("\r\n");
  output_end_ = line.size();
  SendKexInit();
}

// --- Bytes in ------------------------------------------------------------------------------------

size_t Transport::Receive(std::span<const uint8_t> bytes, Instant now) {
  now_ = now;
  size_t taken = 0;
  while (!is_over_ && taken < bytes.size()) {
    if (input_begin_ > 0) {
      std::memmove(buffers_.input.data(), buffers_.input.data() + input_begin_,
                   input_end_ - input_begin_);
      input_end_ -= input_begin_;
      input_begin_ = 0;
    }
    const size_t count = std::min(bytes.size() - taken, buffers_.input.size() - input_end_);
    if (count == 0) {
      break;  // whole packets wait
    }
    std::memcpy(buffers_.input.data() + input_end_, bytes.data() + taken, count);
    input_end_ += count;
    taken += count;
    bytes_received_ += count;
    Process();
  }
  return is_over_ ? bytes.size() : taken;
}

void Transport::Resume(Instant now) {
  now_ = now;
  Process();
}

void Transport::Process() {
  if (processing_) {
    return;  // from inside a handler
  }
  processing_ = true;
  while (!is_over_ && (has_version_ ? ReadPacket() : ReadVersion())) {
  }
  processing_ = false;
}

// True when the line was there.
bool Transport::ReadVersion() {
  const auto waiting = buffers_.input.subspan(input_begin_, input_end_ - input_begin_);
  const std::string_view text = AsText(waiting.first(std::min(waiting.size(), kVersionLineMax)));
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) {
    if (waiting.size() >= kVersionLineMax) {
      Drop("the first line is no SSH version");
    }
    return false;
  }
  std::string_view line = text.substr(0, end);
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  const bool is_clean =
      std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; });
  if (!is_clean || !(line.starts_with("SSH-2.0-") || line.starts_with("SSH-1.99-"))) {
    Drop("not an SSH 2.0 client");
    return false;
  }
  peer_version_.Assign(line);
  input_begin_ += end + 1;
  has_version_ = true;
  return true;
}

// True when a packet was taken.
bool Transport::ReadPacket() {
  if (output_room() < kReplyReserve || !handler_.IsReady()) {
    return false;
  }
  const auto waiting = buffers_.input.subspan(input_begin_, input_end_ - input_begin_);
  if (waiting.size() < 4) {
    return false;
  }
  if (packet_length_ == 0) {
    const auto length = in_.ReadLength(sequence_in_, waiting.first<4>());
    if (!length.ok()) {
      Disconnect(DisconnectReason::kProtocolError, length.error().what);
      return false;
    }
    packet_length_ = *length;
  }
  const size_t size = 4 + packet_length_ + in_.tag_size();
  if (waiting.size() < size) {
    return false;
  }
  auto payload = in_.Open(sequence_in_, waiting.first(size));
  if (!payload.ok()) {
    const bool is_mac = payload.code() == ErrorCode::kUnauthentic;
    Disconnect(is_mac ? DisconnectReason::kMacError : DisconnectReason::kProtocolError,
               payload.error().what);
    return false;
  }
  const uint32_t sequence = sequence_in_++;
  packet_length_ = 0;
  input_begin_ += size;
  bytes_since_keys_ += size;
  ++packets_since_keys_;
  if (sequence_in_ == 0 && exchange_count_ == 0) {
    Disconnect(DisconnectReason::kProtocolError, "sequence numbers wrapped before the first keys");
    return false;
  }
  Handle(*payload, sequence);
  SecureZero(*payload);  // it may have been a password
  RekeyIfDue();
  return true;
}

// Whether the state of key exchange allows this message.
bool Transport::MayCome(uint8_t message) const {
  if (message == kMsgDisconnect) {
    return true;
  }
  const bool is_first = exchange_count_ == 0;
  const bool is_generic =
      message == kMsgIgnore || message == kMsgUnimplemented || message == kMsgDebug;
  if (is_generic) {
    return !(is_first && is_strict_);
  }
  switch (step_) {
    case Step::kIdle:
      return message != kMsgNewKeys && (message < 30 || message > 49);
    case Step::kSentInit:
      return message == kMsgKexInit ||
             (!is_first && message != kMsgNewKeys && (message < 30 || message > 49));
    case Step::kExchange:
      return message == kMsgKexEcdhInit || skips_next_;
    case Step::kNewKeys:
      return message == kMsgNewKeys;
  }
  return false;
}

void Transport::Handle(std::span<uint8_t> payload, uint32_t sequence) {
  const uint8_t message = payload[0];
  if (!MayCome(message)) {
    Disconnect(DisconnectReason::kProtocolError, "a message out of order");
    return;
  }
  if (skips_next_ && message >= 30 && message <= 49) {
    skips_next_ = false;
    return;
  }
  if (message == kMsgKexInit) {
    HandleKexInit(payload, sequence);
    return;
  }
  ByteReader in(payload.subspan(1));
  if (HandleTransport(message, in)) {
    return;
  }
  if (!handler_.OnPacket(payload) && !is_over_) {
    std::array<uint8_t, 5> reply;
    ByteWriter out(reply);
    out.U8(kMsgUnimplemented);
    out.U32Be(sequence);
    Send(reply);
  }
}

// True when the message was the transport's.
bool Transport::HandleTransport(uint8_t message, ByteReader& in) {
  switch (message) {
    case kMsgDisconnect: {
      (void)in.U32Be();
      const std::string_view text = TakeText(in);
      FixedString<100> clean;
      for (const char c : text.substr(0, 80)) {
        clean.Append(c >= ' ' && c <= '~' ? c : '.');
      }
      end_reason_.Assign("by the client: ");
      end_reason_.Append(clean);
      is_over_ = true;
      return true;
    }
    case kMsgIgnore:
    case kMsgUnimplemented:
    case kMsgDebug:
    case kMsgExtInfo:  // nothing in it concerns a server
      return true;
    case kMsgKexEcdhInit:
      HandleKexEcdhInit(in);
      return true;
    case kMsgNewKeys:
      HandleNewKeys();
      return true;
    default:
      return false;
  }
}

// --- Bytes out -----------------------------------------------------------------------------------

void Transport::CompactOutput() {
  std::memmove(buffers_.output.data(), buffers_.output.data() + output_begin_,
               output_end_ - output_begin_);
  output_end_ -= output_begin_;
  output_begin_ = 0;
}

void Transport::ConsumeOutput(size_t count) {
  GH_ASSERT_LE(count, output_end_ - output_begin_);
  output_begin_ += count;
  bytes_sent_ += count;
  if (output_begin_ == output_end_) {
    output_begin_ = output_end_ = 0;
  }
}

bool Transport::SealPacket(std::span<const uint8_t> head, std::span<const uint8_t> tail) {
  const size_t payload_size = head.size() + tail.size();
  const size_t size = out_.SealedSize(payload_size);
  if (size > output_room()) {
    return false;
  }
  if (size > buffers_.output.size() - output_end_) {
    CompactOutput();
  }
  const auto packet = buffers_.output.subspan(output_end_, size);
  const auto payload = packet.subspan(PacketCipher::kPayloadOffset, payload_size);
  std::copy(head.begin(), head.end(), payload.begin());
  std::copy(tail.begin(), tail.end(), payload.begin() + static_cast<ptrdiff_t>(head.size()));
  if (!out_.Seal(sequence_out_, packet, payload_size, environment_.random).ok()) {
    return false;
  }
  ++sequence_out_;
  output_end_ += size;
  bytes_since_keys_ += size;
  ++packets_since_keys_;
  handler_.OnOutput();
  return true;
}

// Keys are being exchanged: the message waits in plain text.
bool Transport::Hold(std::span<const uint8_t> head, std::span<const uint8_t> tail) {
  ByteWriter out(buffers_.held.subspan(held_size_));
  out.U16Be(static_cast<uint16_t>(head.size() + tail.size()));
  out.Bytes(head);
  out.Bytes(tail);
  held_size_ += out.ok() ? out.size() : 0;
  return out.ok();
}

void Transport::SendHeld() {
  ByteReader in(buffers_.held.first(held_size_));
  held_size_ = 0;
  while (!in.at_end() && !is_over_) {
    const auto message = in.Take(in.U16Be());
    GH_ASSERT(in.ok());
    Send(message);
  }
}

void Transport::Send(std::span<const uint8_t> head, std::span<const uint8_t> tail) {
  if (is_over_) {
    return;
  }
  GH_ASSERT(!head.empty());
  const uint8_t message = head[0];
  const bool is_transport = message < kMsgServiceRequest || message == kMsgExtInfo ||
                            (message >= kMsgKexInit && message < kMsgUserauthRequest);
  const bool must_wait = step_ == Step::kSentInit || step_ == Step::kExchange;
  const bool sent = must_wait && !is_transport ? Hold(head, tail) : SealPacket(head, tail);
  if (!sent) {
    Drop("more answers than there is room for");
  }
}

size_t Transport::data_room() const {
  if (is_over_ || !is_open() || step_ == Step::kSentInit || step_ == Step::kExchange) {
    return 0;
  }
  const size_t overhead = kReplyReserve + 128;
  return output_room() > overhead ? output_room() - overhead : 0;
}

void Transport::Disconnect(DisconnectReason reason, std::string_view text) {
  if (is_over_) {
    return;
  }
  std::array<uint8_t, 160> message;
  ByteWriter out(message);
  out.U8(kMsgDisconnect);
  out.U32Be(static_cast<uint32_t>(reason));
  PutString(out, text.substr(0, 120));
  PutString(out, "en");
  Send(out.written());
  Drop(text);
}

void Transport::Drop(std::string_view why) {
  if (!is_over_) {
    end_reason_.Assign(why);
    is_over_ = true;
  }
}

// --- Time ----------------------------------------------------------------------------------------

void Transport::RekeyIfDue() {
  if (step_ == Step::kIdle && !is_over_ &&
      (bytes_since_keys_ >= settings_.rekey_bytes || packets_since_keys_ >= kRekeyPacketsMax ||
       now_ - keyed_at_ >= settings_.rekey_time)) {
    StartRekey(now_);
  }
}

void Transport::StartRekey(Instant now) {
  now_ = now;
  // Without room for it the peer does not read: then nothing is lost by waiting.
  if (is_open() && step_ == Step::kIdle && !is_over_ && output_room() >= kReplyReserve) {
    SendKexInit();
  }
}

void Transport::Tick(Instant now) {
  now_ = now;
  if (step_ != Step::kIdle && now - step_since_ > Duration::Seconds(kKexSeconds)) {
    Disconnect(DisconnectReason::kKeyExchangeFailed, "key exchange took too long");
    return;
  }
  RekeyIfDue();
}

}  // namespace gh::ssh
