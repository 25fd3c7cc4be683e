// The anchor between the two sides of a traversal zone: who may share a port,
// and the line of a description that says so. It is said by each side to the
// next and never passed on.
#include "firmware/rtp/anchor.h"

namespace gh::rtp {

using sip::TraversalRole;

bool Anchor::IsOnMux(const Turn& turn, uint32_t end) const {
  return relay_.has_mux() && turn.session.sides[end].traversal != TraversalRole::kNone;
}

// What the sender of an offer or an answer said of the shared port. A server
// told where to: from then on we ask. A client told that it can: its channel is
// drawn.
void Anchor::TakeMux(const Turn& turn, const sdp::Media& media, Stream& stream, Terms& said) {
  const auto offer = IsOnMux(turn, turn.sender) ? ParseMux(media.mux) : std::nullopt;
  if (!offer || media.profile >= sdp::Profile::kUdp) {
    return;
  }
  const bool is_server = turn.session.sides[turn.sender].traversal == TraversalRole::kServer;
  if (is_server && offer->port == 0) {
    said.uses_mux = relay_.ServeMux(stream, turn.sender) != nullptr;
  } else if (!is_server && offer->port != 0 && !media.address.is_unspecified()) {
    relay_.JoinMux(stream, turn.sender, *offer, media.address);
    said.uses_mux = stream.ends[turn.sender].mux != nullptr;
  }
}

// The line for the receiver of an offer or an answer.
void Anchor::SayMux(const Turn& turn, Stream& stream) {
  sdp::MediaEdit& edit = edits_[stream.index];
  const End& to = stream.ends[turn.receiver()];
  const bool is_server = turn.session.sides[turn.receiver()].traversal == TraversalRole::kServer;
  MuxOffer offer;
  if (is_server) {
    if (to.mux == nullptr) {
      return;
    }
    offer = {relay_.config().mux_port, to.mux->channel, to.mux->credentials.user.view(),
             to.mux->credentials.password.view()};
  }
  ByteWriter out(mux_texts_[stream.index].bytes);
  WriteMux(offer, out);
  edit.mux = out.text();
  if (to.now.uses_mux) {
    edit.at.port = relay_.config().mux_port;
  }
}

// True: the end needs no ports of its own.
bool Anchor::OfferMux(const Turn& turn, const sdp::Media& media, Stream& stream) {
  if (!IsOnMux(turn, turn.receiver()) || media.profile >= sdp::Profile::kUdp) {
    return false;
  }
  if (turn.session.sides[turn.receiver()].traversal == TraversalRole::kServer) {
    (void)relay_.ServeMux(stream,
                          turn.receiver());  // without room it is not said
  }
  return stream.ends[turn.receiver()].now.uses_mux;
}

}  // namespace gh::rtp
