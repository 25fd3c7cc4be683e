// The anchor: descriptions of dialogs, offer and answer (RFC 3264), turned into sessions of the
// relay; and the descriptions that are sent on, with our addresses, ports and keys in them.
//
// Encryption is agreed end to end where both sides' mode is Auto. Otherwise it is agreed with us on
// either side by that side's mode: SDES (RFC 4568) there, plain or other keys here, and the relay
// turns the one into the other. DTLS-SRTP is carried through between two parties of a kind. It ends
// here, with ICE lite, between a browser and a phone, and where the other side has to be
// unencrypted (anchor_web.cc). Towards a browser the side's mode says nothing: WebRTC is encrypted.
//
// A side's mode decides alone what is taken from it and offered to it:
//   mode                 taken                       offered
//   Force encrypted      RTP/SAVP with a known key   RTP/SAVP with our keys
//   Force unencrypted    RTP/AVP                     RTP/AVP
//   Best effort          both                        RTP/AVP with our keys
//   Auto                 both                        what the other side offered
#pragma once

#include "firmware/rtp/relay.h"
#include "firmware/sdp/description.h"
#include "firmware/sdp/rewrite.h"
#include "firmware/sip/media_anchor.h"

namespace gh::rtp {

class Anchor final : public sip::MediaAnchor {
 public:
  Anchor(Arena& arena, Relay& relay, crypto::Random& random);

  sip::MediaVerdict OnDescription(const sip::MediaExchange& exchange) override;
  void OnFailed(std::string_view call_id, std::string_view from_tag,
                std::string_view to_tag) override;
  void OnEnded(std::string_view call_id, std::string_view tag, std::string_view other) override;
  bool IsHeard(std::string_view call_id, std::string_view caller_tag, std::string_view callee_tag,
               bool is_caller, Duration within) override;

  uint64_t malformed_count() const { return malformed_count_; }
  uint64_t refused_count() const { return refused_count_; }

 private:
  struct Turn {  // one message in hand
    const sip::MediaExchange& exchange;
    Session& session;
    uint32_t sender;  // an end
    uint32_t receiver() const { return OtherEnd(sender); }
  };

  uint64_t KeyOf(std::string_view call_id, std::string_view tag) const;
  // Null: none. `requester`: the end that the transaction's From is.
  Session* Find(std::string_view call_id, std::string_view from_tag, std::string_view to_tag,
                uint32_t& requester);
  bool IsNeeded(const sip::MediaExchange& exchange, const sdp::Description& description) const;
  static bool IsOffer(const sip::MediaExchange& exchange, Session& session, uint32_t requester,
                      uint32_t sender);
  sip::MediaVerdict Offer(const Turn& turn);
  sip::MediaVerdict Answer(const Turn& turn);
  const char* OfferSection(const Turn& turn, const sdp::Media& media, uint32_t index);
  void Agree(const Turn& turn, Stream& stream, Terms& answered);
  void AnswerSection(const Turn& turn, const sdp::Media& media, uint32_t index);
  void EditForOffer(const Turn& turn, const sdp::Media& media, Stream& stream);
  void EditForAnswer(const Turn& turn, const sdp::Media& media, Stream& stream);
  const sdp::Media* BundleOf(const Turn& turn, const sdp::Media& media) const;
  // Of two browsers, whose groups stay.
  static bool KeepsBundle(const Turn& turn);
  bool IsShared(const Turn& turn, const sdp::Media& media) const;
  void ShareTransports(const Turn& turn, bool is_offer);
  // Of DTLS that ends here.
  bool EndsDtls(const Turn& turn, const sdp::Media& media) const;
  bool OffersDtls(const Turn& turn, const sdp::Media& media) const;
  const char* ReadWeb(const sdp::Media& media, End& from);
  void EditForWeb(const Turn& turn, const sdp::Media& media, Stream& stream, bool is_offer);
  // ICE as a full agent (anchor_ice.cc).
  bool SpeaksIce(const Turn& turn, const sdp::Media& media, uint32_t end) const;
  bool PassesIce(const Turn& turn, const sdp::Media& media) const;
  void ReadIce(const Turn& turn, const sdp::Media& media, Stream& stream);
  void OfferIce(const Turn& turn, const sdp::Media& media, Stream& stream);
  void AgreeIce(const Turn& turn, Stream& stream, bool was_offered);
  void AnswerIce(const Turn& turn, Stream& stream);
  void ShowIce(const Turn& turn, Stream& stream);
  bool TakePorts(const Turn& turn, const sdp::Media& media, Stream& stream);
  bool IsOnMux(const Turn& turn, uint32_t end) const;
  void TakeMux(const Turn& turn, const sdp::Media& media, Stream& stream, Terms& said);
  void SayMux(const Turn& turn, Stream& stream);
  bool OfferMux(const Turn& turn, const sdp::Media& media, Stream& stream);
  static void EditForPhone(sdp::MediaEdit& edit);
  void DrawKeys(End& end);
  void AddCrypto(sdp::MediaEdit& edit, const End& end, Suite suite, uint32_t tag, uint32_t index);
  bool OfferToWeb(const Turn& turn, const sdp::Media& media, Stream& stream);
  bool AnswerByWeb(const Turn& turn, const sdp::Media& media, Stream& stream);
  void PlaceAt(const Turn& turn, const Stream& stream, const sdp::Media& media,
               sdp::MediaEdit& edit) const;
  sip::MediaVerdict Write(const Turn& turn);
  sip::MediaVerdict Refuse(uint16_t status, const char* why);

  Relay& relay_;
  crypto::Random& random_;
  SipKey key_;
  sdp::Description& description_;
  std::array<sdp::MediaEdit, sdp::kMediaMax> edits_;
  sdp::SessionEdit session_edit_;
  struct KeyText {
    uint8_t bytes[64];
  };
  std::span<KeyText> key_texts_;  // of crypto lines, by section and line
  struct MuxText {
    uint8_t bytes[kMuxTextMax];
  };
  std::span<MuxText> mux_texts_;              // by section
  static constexpr uint32_t kCandidates = 3;  // the host, as the TURN server sees it, relayed
  std::array<std::array<sdp::Candidate, kCandidates>, sdp::kMediaMax> candidates_;
  std::span<uint8_t> body_;
  uint64_t malformed_count_ = 0;
  uint64_t refused_count_ = 0;
};

}  // namespace gh::rtp
