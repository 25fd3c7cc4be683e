// The transport layer of one connection (RFC 4253): version exchange, packets, key exchange with
// strict KEX, re-keying, disconnects. A protocol engine without I/O: bytes and the time come in,
// bytes go out, whole packets of the layers above go to the PacketHandler.
//
//   taken = transport.Receive(bytes, now); send output(), ConsumeOutput(); Tick(now) each second
//
// Invariants: a packet is looked at only when its answers have room (kReplyReserve); while keys are
// exchanged nothing but key exchange leaves, other answers are held and follow; after is_over()
// nothing more is read.
//
// Fault model: the peer sends anything at any time. What breaks the protocol ends the connection
// with a disconnect message that says why; nothing a peer sends reaches an assertion.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/tls_environment.h"
#include "firmware/admin/ssh/algorithms.h"
#include "firmware/admin/ssh/host_keys.h"
#include "firmware/admin/ssh/kex.h"
#include "firmware/admin/ssh/limits.h"
#include "firmware/admin/ssh/packet_cipher.h"
#include "firmware/admin/ssh/wire.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/time.h"

namespace gh::ssh {

struct TransportSettings {
  AlgorithmList kex = DefaultAlgorithms(AlgorithmKind::kKex);
  AlgorithmList host_keys = DefaultAlgorithms(AlgorithmKind::kHostKey);
  AlgorithmList ciphers = DefaultAlgorithms(AlgorithmKind::kCipher);
  AlgorithmList macs = DefaultAlgorithms(AlgorithmKind::kMac);
  uint64_t rekey_bytes = uint64_t{1} << 30;
  Duration rekey_time = Duration::Hours(1);
};

class PacketHandler {
 public:
  // A packet that is not the transport's; payload[0] is the message. False: there is no such
  // message here, and the peer is told so.
  virtual bool OnPacket(std::span<const uint8_t> payload) = 0;
  // Whether the next packet may come now; Transport::Resume takes it up again.
  virtual bool IsReady() const = 0;
  // Something was put into output().
  virtual void OnOutput() = 0;

 protected:
  ~PacketHandler() = default;
};

struct Negotiated {
  Kex kex = Kex::kCurve25519;
  HostKeyKind host_key = HostKeyKind::kEd25519;
  Cipher cipher_in = Cipher::kNone;  // from the client
  Cipher cipher_out = Cipher::kNone;
  Mac mac_in = Mac::kOfCipher;
  Mac mac_out = Mac::kOfCipher;
};

struct TransportBuffers {
  std::span<uint8_t> input;   // kInputBytes
  std::span<uint8_t> output;  // kOutputBytes
  std::span<uint8_t> held;    // kHeldBytes
};

class Transport {
 public:
  Transport(crypto::TlsEnvironment& environment, const HostKeys& keys,
            const TransportSettings& settings, const TransportBuffers& buffers,
            PacketHandler& handler);
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  ~Transport();

  // Our version line and KEXINIT.
  void Start(Instant now);
  // How many bytes were taken; the rest are offered again after Resume or more bytes.
  size_t Receive(std::span<const uint8_t> bytes, Instant now);
  // Packets that wait for IsReady() or for room in the output.
  void Resume(Instant now);
  // Re-keying by time, and the end of what takes too long.
  void Tick(Instant now);

  std::span<const uint8_t> output() const {
    return buffers_.output.subspan(output_begin_, output_end_ - output_begin_);
  }
  void ConsumeOutput(size_t count);

  // One message, in up to two parts. Always taken: what has no room ends the connection, so that
  // big ones ask data_room() first.
  void Send(std::span<const uint8_t> head, std::span<const uint8_t> tail = {});
  // How much channel data may be sent now, beside the reserve for answers.
  size_t data_room() const;
  void Disconnect(DisconnectReason reason, std::string_view text);
  // Ends without a message.
  void Drop(std::string_view why);
  void StartRekey(Instant now);

  bool is_over() const { return is_over_; }
  bool is_open() const { return session_id_size_ != 0; }  // keys were exchanged
  bool is_strict() const { return is_strict_; }
  bool is_rekeying() const { return step_ != Step::kIdle; }
  bool peer_wants_extensions() const { return peer_wants_extensions_; }
  std::string_view end_reason() const { return end_reason_.view(); }
  std::string_view peer_version() const { return peer_version_.view(); }
  std::span<const uint8_t> session_id() const {
    return std::span<const uint8_t>(session_id_).first(session_id_size_);
  }
  const Negotiated& negotiated() const { return negotiated_; }
  uint32_t exchange_count() const { return exchange_count_; }
  uint64_t bytes_received() const { return bytes_received_; }
  uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  // Of the key exchange that is under way.
  enum class Step : uint8_t {
    kIdle,
    kSentInit,  // our KEXINIT is out, theirs has not come
    kExchange,  // their public value is due
    kNewKeys,   // our new keys are in force, theirs are due
  };

  void Process();
  bool ReadVersion();
  bool ReadPacket();
  void Handle(std::span<uint8_t> payload, uint32_t sequence);
  bool HandleTransport(uint8_t message, ByteReader& in);
  bool MayCome(uint8_t message) const;
  void HandleKexInit(std::span<const uint8_t> payload, uint32_t sequence);
  bool NegotiateFrom(ByteReader& in, std::string_view (&lists)[10]);
  void HandleKexEcdhInit(ByteReader& in);
  void FinishExchange(std::span<const uint8_t> server_public, const SharedSecret& shared,
                      std::span<const uint8_t> exchange_hash, std::span<const uint8_t> signature);
  void HandleNewKeys();
  void SendKexInit();
  void SendExtensions();
  bool SealPacket(std::span<const uint8_t> head, std::span<const uint8_t> tail);
  bool Hold(std::span<const uint8_t> head, std::span<const uint8_t> tail);
  void SendHeld();
  void CompactOutput();
  size_t output_room() const { return buffers_.output.size() - (output_end_ - output_begin_); }
  void RekeyIfDue();

  crypto::TlsEnvironment& environment_;
  const HostKeys& keys_;
  TransportSettings settings_;  // as they were at the start
  TransportBuffers buffers_;
  PacketHandler& handler_;
  Instant now_;

  size_t input_begin_ = 0;
  size_t input_end_ = 0;
  size_t output_begin_ = 0;
  size_t output_end_ = 0;
  size_t held_size_ = 0;

  bool is_over_ = false;
  bool has_version_ = false;
  bool is_strict_ = false;
  bool peer_wants_extensions_ = false;
  bool skips_next_ = false;  // a guessed key exchange packet that was guessed wrong
  bool processing_ = false;
  Step step_ = Step::kIdle;
  Instant step_since_;
  uint32_t packet_length_ = 0;  // of the packet at input_begin_; 0: not read yet

  PacketCipher in_;
  PacketCipher out_;
  uint32_t sequence_in_ = 0;
  uint32_t sequence_out_ = 0;
  KeyMaterial next_in_;  // from our NEWKEYS until theirs
  Negotiated next_;
  Negotiated negotiated_;
  KexHash hash_;

  std::array<uint8_t, kHashMax> session_id_ = {};
  size_t session_id_size_ = 0;
  std::array<uint8_t, kOwnKexInitMax> own_init_ = {};
  size_t own_init_size_ = 0;
  FixedString<kVersionLineMax> peer_version_;
  FixedString<120> end_reason_;

  uint32_t exchange_count_ = 0;
  Instant keyed_at_;
  uint64_t bytes_since_keys_ = 0;
  uint64_t packets_since_keys_ = 0;
  uint64_t bytes_received_ = 0;
  uint64_t bytes_sent_ = 0;
};

inline constexpr std::string_view kOwnVersion = "SSH-2.0-Gatehouse";

}  // namespace gh::ssh
