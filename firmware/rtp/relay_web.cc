// The relay towards browsers: ICE checks answered, addresses latched by them, keys by DTLS.
#include "firmware/rtp/relay.h"

namespace gh::rtp {

Web* Relay::WebOf(End& end) {
  if (end.web == nullptr) {
    end.web = webs_.Allocate();
    if (end.web == nullptr) {
      ++counters_.refused_capacity;
      return nullptr;
    }
    end.web->own.Draw(random_);
  }
  return end.web;
}

void Relay::DropWeb(End& end) {
  if (end.web == nullptr) {
    return;
  }
  if (end.web->handshake != nullptr) {
    dtls_->Drop(*end.web->handshake);
  }
  webs_.Release(end.web);
  end.web = nullptr;
}

// RFC 8842 5: a certificate that is another one is another association. RFC 8445 9: so is a user
// fragment for ICE, and who answers such an offer shows new ones of its own.
void Relay::SettleWeb(Stream& stream, uint32_t end, bool was_offer) {
  End& own = stream.ends[end];
  Web& web = *own.web;
  const WebTerms& next = web.offered;
  const bool had_peer = web.now.ice_peer != 0;
  if (had_peer && web.now.ice_peer != next.ice_peer) {
    own.seen = {};
    if (was_offer) {
      web.own.Draw(random_);
    }
  }
  if (web.now.fingerprint.size != 0 && !(web.now.fingerprint == next.fingerprint)) {
    if (web.handshake != nullptr) {
      dtls_->Drop(*web.handshake);
      web.handshake = nullptr;
    }
    web.is_keyed = web.has_role = web.has_failed = false;
  }
  if (!web.has_role) {
    // Who answers chooses. As an answerer we wait for the hello, as RFC 8842 lets us.
    web.is_client = next.setup == WebTerms::Setup::kPassive;
    web.has_role = true;
  }
  web.now = next;
}

// --- Datagrams ----------------------------------------------------------------------------------

bool Relay::OnWebDatagram(Stream& stream, uint32_t end, const net::Endpoint& remote,
                          std::span<const uint8_t> data) {
  const End& own = stream.ends[end];
  if (own.speaks_ice() && IsStun(data[0])) {
    OnCheck(stream, end, remote, data);
    return true;
  }
  if (!IsDtls(data[0])) {
    return false;
  }
  if (!MayLatch(stream, end, Path::kRtpTag, remote)) {
    ++counters_.dropped_source;
    return true;
  }
  if (!(own.seen[Path::kRtpTag] == remote)) {
    Latch(stream, end, Path::kRtpTag, remote);
  }
  OnDtls(stream, end, data);
  return true;
}

void Relay::OnCheck(Stream& stream, uint32_t end, const net::Endpoint& remote,
                    std::span<const uint8_t> data) {
  End& own = stream.ends[end];
  uint8_t out[kIceAnswerMax];
  const IceCheck check = AnswerCheck(own.web->own, data, remote, out);
  const bool is_peer =
      check.kind != IceCheck::Kind::kIgnored && HashOfPeer(check.peer) == own.web->now.ice_peer;
  if (!is_peer || check.answer.empty()) {
    ++counters_.dropped_source;
    return;
  }
  const net::Endpoint local{stream.session->sides[end].local, own.port};
  relay_.Send(local, remote, check.answer, false).ignore("a check that is lost is repeated");
  if (check.kind == IceCheck::Kind::kRefused) {
    ++counters_.checks_refused;
    return;
  }
  ++counters_.checks;
  // The first good pair serves until one is nominated; a later nomination moves it (RFC 8445 8).
  net::Endpoint& seen = own.seen[Path::kRtpTag];
  if (seen.port == 0 || (check.is_nominated && !(seen == remote))) {
    ++counters_.latched;
    seen = remote;
    UpdateFlows(stream);
  }
  BeginDtls(stream, end);
}

// As a client we begin as soon as we know where to; as a server with the peer's hello.
void Relay::BeginDtls(Stream& stream, uint32_t end) {
  End& own = stream.ends[end];
  if (!own.speaks_dtls() || !own.web->is_client || own.web->is_keyed || !own.web->has_role ||
      own.web->handshake != nullptr || own.web->has_failed ||
      DestinationOf(stream, end, Path::kRtpTag).port == 0) {
    return;
  }
  own.web->handshake = dtls_->Begin(OwnerOf(stream, end), true, own.web->now.fingerprint);
}

void Relay::OnDtls(Stream& stream, uint32_t end, std::span<const uint8_t> data) {
  Web& web = *stream.ends[end].web;
  if (web.handshake == nullptr && !web.is_client && !web.is_keyed && !web.has_failed) {
    web.handshake = dtls_->Begin(OwnerOf(stream, end), false, web.now.fingerprint);
  }
  if (web.handshake != nullptr) {
    dtls_->Take(*web.handshake, data);
  }
}

// --- DTLS' own words ----------------------------------------------------------------------------

void Relay::SendDtls(uint32_t owner, std::span<const uint8_t> datagram) {
  const Stream* stream = streams_.At(owner / 2);
  GH_ASSERT(stream != nullptr);
  const uint32_t end = owner % 2;
  const net::Endpoint to = DestinationOf(*stream, end, Path::kRtpTag);
  if (to.port != 0) {
    SendStraight(*stream, end, to, datagram);
  }
}

void Relay::OnDtlsKeys(uint32_t owner, MediaKeys& keys) {
  Stream& stream = *streams_.At(owner / 2);
  End& own = stream.ends[owner % 2];
  own.now.suite = own.own_suite = Suite::kAesCm128_80;
  own.now.master.TakeFrom(keys.theirs);
  own.own[OwnIndexOf(own.own_suite)].TakeFrom(keys.ours);
  own.has_own = true;
  own.web->is_keyed = true;
  ++counters_.keyed;
  if (!Put(stream)) {
    observer_.OnMediaKeysFailed(*stream.session, own.seen[Path::kRtpTag], "no room for keys");
  }
}

void Relay::OnDtlsOver(uint32_t owner, const char* why, bool is_final) {
  Stream& stream = *streams_.At(owner / 2);
  End& own = stream.ends[owner % 2];
  GH_ASSERT(own.web != nullptr);
  own.web->handshake = nullptr;
  if (why != nullptr) {
    own.web->has_failed = is_final;
    ++counters_.keys_failed;
    observer_.OnMediaKeysFailed(*stream.session, own.seen[Path::kRtpTag], why);
  }
}

}  // namespace gh::rtp
