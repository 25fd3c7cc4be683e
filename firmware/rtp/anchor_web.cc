// The anchor towards browsers: WebRTC's descriptions (RFC 8829) in, and ours for them out: ICE lite
// with one candidate, DTLS-SRTP, rtcp-mux. Between two browsers a BUNDLE group stays one transport.
// Towards a phone each section has one of its own, and the group is answered by its first section
// alone (RFC 9143 7.3.1).
#include "firmware/rtp/anchor.h"

namespace gh::rtp {
namespace {

using Setup = WebTerms::Setup;

Setup SetupOf(std::string_view text) {
  return text == "active" ? Setup::kActive : text == "passive" ? Setup::kPassive : Setup::kEither;
}

// Of an end that has settled: what we are towards it.
std::string_view SetupAs(const Web& web) { return web.is_client ? "active" : "passive"; }

}  // namespace

// Whether DTLS that this section offers is ours to speak: a browser's, or one that the other side
// is not to be given. Between two browsers it is, too, once their media is relayed: without their
// candidates they would not find each other.
bool Anchor::EndsDtls(const Turn& turn, const sdp::Media& media) const {
  const sip::MediaSide& from = turn.session.sides[turn.sender];
  const sip::MediaSide& to = turn.session.sides[turn.receiver()];
  return media.profile == sdp::Profile::kDtlsSrtp && media.port != 0 && relay_.ends_dtls() &&
         (from.is_web || to.is_web || to.encryption == sip::MediaEncryption::kForceUnencrypted);
}

// Whether the section is offered to a browser.
bool Anchor::OffersDtls(const Turn& turn, const sdp::Media& media) const {
  return turn.session.sides[turn.receiver()].is_web && relay_.ends_dtls() && media.port != 0 &&
         media.profile <= sdp::Profile::kDtlsSrtp;
}

// What shares a transport need not be told apart where it leaves by one transport, too.
bool Anchor::KeepsBundle(const Turn& turn) {
  const auto& sides = turn.session.sides;
  return turn.session.has_web && sides[kCaller].is_web && sides[kCallee].is_web;
}

bool Anchor::IsShared(const Turn& turn, const sdp::Media& media) const {
  return KeepsBundle(turn) && BundleOf(turn, media) != nullptr;
}

// The sections without a stream: they go where the first one of their group goes. As long as that
// is not agreed they are offered by the group alone (RFC 9143 7.2.1).
void Anchor::ShareTransports(const Turn& turn, bool is_offer) {
  for (uint32_t i = 0; i < description_.media_count; ++i) {
    const sdp::Media& media = description_.media[i];
    const bool is_refused = media.port == 0 && !(is_offer && media.is_bundle_only);
    if (is_refused || !IsShared(turn, media)) {
      continue;
    }
    const auto carrier = static_cast<size_t>(BundleOf(turn, media) - description_.media.data());
    sdp::MediaEdit& edit = edits_[i];
    const Stream* stream = turn.session.streams[carrier];
    if (edits_[carrier].kind != sdp::MediaEdit::Kind::kRelay || stream == nullptr ||
        media.profile != sdp::Profile::kDtlsSrtp) {
      edit.kind = sdp::MediaEdit::Kind::kRefuse;
      continue;
    }
    edit = edits_[carrier];
    edit.mid = edit.fingerprint = edit.setup = edit.ice_user = edit.ice_password = {};
    edit.is_bundle_only = is_offer && !stream->ends[turn.receiver()].now.is_set;
    if (edit.is_bundle_only) {
      edit.at.port = 0;
    }
  }
}

// Null, or why it cannot be taken.
const char* Anchor::ReadWeb(const sdp::Media& media, End& from) {
  const Fingerprint fingerprint = Fingerprint::Of(media.fingerprint);
  if (fingerprint.size == 0) {
    return "A fingerprint by SHA-256 or better is needed";
  }
  Web* web = relay_.WebOf(from);
  if (web == nullptr) {
    return "No room for media";
  }
  web->offered.has_ice = media.has_ice && !media.ice_user.empty();
  web->offered.ice_peer = web->offered.has_ice ? relay_.HashOfPeer(media.ice_user) : 0;
  web->offered.fingerprint = fingerprint;
  web->offered.setup = SetupOf(media.setup);
  if (!media.mid.empty() && media.mid.size() <= 16) {
    web->mid.Assign(media.mid);
  }
  return nullptr;
}

bool Anchor::OfferToWeb(const Turn& turn, const sdp::Media& media, Stream& stream) {
  if (relay_.WebOf(stream.ends[turn.receiver()]) == nullptr) {
    return false;
  }
  EditForWeb(turn, media, stream, true);
  return true;
}

bool Anchor::AnswerByWeb(const Turn& turn, const sdp::Media& media, Stream& stream) {
  return ReadWeb(media, stream.ends[turn.sender]) == nullptr;
}

void Anchor::EditForWeb(const Turn& turn, const sdp::Media& media, Stream& stream, bool is_offer) {
  sdp::MediaEdit& edit = edits_[stream.index];
  End& to = stream.ends[turn.receiver()];
  const Web& web = *to.web;
  PlaceAt(turn, stream, media, edit);
  edit.at.address = turn.session.sides[turn.receiver()].shown;  // a hold is said by the direction
  edit.profile = sdp::Profile::kDtlsSrtp;
  const bool has_feedback = is_offer || to.now.is_feedback;
  edit.feedback = has_feedback ? sdp::MediaEdit::Feedback::kOn : sdp::MediaEdit::Feedback::kOff;
  edit.replaces_crypto = edit.drops_dtls = edit.drops_mux = edit.adds_mux = true;
  edit.fingerprint = relay_.fingerprint();
  edit.setup = is_offer ? std::string_view("actpass") : SetupAs(web);
  if (is_offer || web.now.has_ice) {
    edit.ice_user = web.own.user.view();
    edit.ice_password = web.own.password.view();
  }
  if (!is_offer) {
    edit.mid = web.mid.view();
    if (session_edit_.bundle.empty() && !KeepsBundle(turn)) {
      session_edit_.bundle = web.mid.view();
    }
  }
}

// Of a section whose sender speaks DTLS with us, for a receiver who does not.
void Anchor::EditForPhone(sdp::MediaEdit& edit) {
  edit.profile = sdp::Profile::kRtp;
  edit.feedback = sdp::MediaEdit::Feedback::kOff;
  edit.drops_dtls = edit.drops_mux = true;
  edit.replaces_crypto = true;
}

}  // namespace gh::rtp
