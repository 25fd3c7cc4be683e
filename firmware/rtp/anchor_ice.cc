// The anchor where a side's zone wants ICE: as a full agent of our own towards that side, or with
// the candidates of both parties passed on and ours behind them.
#include <algorithm>

#include "firmware/rtp/anchor.h"

namespace gh::rtp {
namespace {

// RFC 8839 5.5: it speaks ICE, and will not here (some want RTCP to have a port and candidates of
// its own).
bool SaysMismatch(const sdp::Description& description, const sdp::Media& media) {
  const auto lines = std::span(description.lines).subspan(media.line, media.line_end - media.line);
  return std::ranges::any_of(lines, [&](const sdp::Line& line) {
    return line.type == 'a' && description.Value(line) == "ice-mismatch";
  });
}

}  // namespace

// Whether ICE with that end is ours to speak, for a section that has a transport of its own.
bool Anchor::SpeaksIce(const Turn& turn, const sdp::Media& media, uint32_t end) const {
  return turn.session.sides[end].speaks_ice && media.port != 0 &&
         media.profile <= sdp::Profile::kDtlsSrtp && BundleOf(turn, media) == nullptr &&
         !IsOnMux(turn, end) && !PassesIce(turn, media);
}

// The parties agree end to end, on keys and on a way; what goes by us is the last of their ways.
bool Anchor::PassesIce(const Turn& turn, const sdp::Media& media) const {
  const auto& sides = turn.session.sides;
  return sides[kCaller].passes_ice && sides[kCallee].passes_ice && media.has_ice &&
         !turn.session.is_terminated && !turn.session.has_web && !IsOnMux(turn, kCaller) &&
         !IsOnMux(turn, kCallee);
}

// What the sender of an offer or answer says. Nothing of ICE: there is none with it.
void Anchor::ReadIce(const Turn& turn, const sdp::Media& media, Stream& stream) {
  End& from = stream.ends[turn.sender];
  stream.passes_ice = PassesIce(turn, media);
  // As an offerer it has no port of ours yet.
  const bool is_meant = SpeaksIce(turn, media, turn.sender) && media.has_ice &&
                        !media.ice_user.empty() && !media.ice_password.empty() &&
                        !SaysMismatch(description_, media);
  Ice* ice = is_meant ? relay_.IceOf(stream, turn.sender) : from.ice;
  if (ice == nullptr) {
    return;
  }
  ice->offered = {};
  const bool fits = is_meant && ice->offered.user.Assign(media.ice_user) &&
                    ice->offered.password.Assign(media.ice_password);
  ice->offered.is_set = fits;
  ice->offered.is_lite = description_.is_ice_lite;
  for (uint32_t i = media.line; fits && i < media.line_end; ++i) {
    const sdp::Line& line = description_.lines[i];
    const auto attribute = sdp::SplitAttribute(description_.Value(line));
    if (line.type != 'a' || attribute.name != "candidate") {
      continue;
    }
    if (const auto candidate = sdp::ParseCandidate(attribute.value)) {
      ice->offered.Add(*candidate);
    }
  }
}

// What we are reached by, into the section's edit: RTP and RTCP by one port.
void Anchor::ShowIce(const Turn& turn, Stream& stream) {
  sdp::MediaEdit& edit = edits_[stream.index];
  const Ice& ice = *stream.ends[turn.receiver()].ice;
  auto& candidates = candidates_[stream.index];
  candidates[0] = {
      .foundation = "1",
      .component = 1,
      .priority = sdp::PriorityOf(sdp::CandidateType::kHost, 65535, 1),
      .at = {turn.session.sides[turn.receiver()].shown, stream.ends[turn.receiver()].port},
      .related = {}};
  uint32_t count = 1;
  if (ice.turn != nullptr && ice.turn->is_ready()) {
    const net::Endpoint host{turn.session.sides[turn.receiver()].local,
                             stream.ends[turn.receiver()].port};
    const net::Endpoint& mapped = ice.turn->mapped();
    if (ice.turn->local() == host && mapped.port != 0 && mapped != candidates[0].at) {
      candidates[count++] = {
          .foundation = "3",
          .component = 1,
          .priority = sdp::PriorityOf(sdp::CandidateType::kServerReflexive, 65535, 1),
          .at = mapped,
          .type = sdp::CandidateType::kServerReflexive,
          .related = candidates[0].at};
    }
    candidates[count++] = {.foundation = "2",
                           .component = 1,
                           .priority = sdp::PriorityOf(sdp::CandidateType::kRelayed, 65535, 1),
                           .at = ice.turn->relayed(),
                           .type = sdp::CandidateType::kRelayed,
                           .related = ice.turn->mapped()};
  }
  edit.ice_user = ice.agent.own().user.view();
  edit.ice_password = ice.agent.own().password.view();
  edit.candidates = std::span(candidates).first(count);
}

// Towards the receiver of an offer: an allocation's where there is one, so that it may know them by
// the address that the TURN server sees.
bool Anchor::TakePorts(const Turn& turn, const sdp::Media& media, Stream& stream) {
  const uint32_t end = turn.receiver();
  const bool has_ice = SpeaksIce(turn, media, end) && relay_.IceOf(stream, end) != nullptr;
  return has_ice || relay_.TakePorts(stream, end);
}

void Anchor::OfferIce(const Turn& turn, const sdp::Media& media, Stream& stream) {
  sdp::MediaEdit& edit = edits_[stream.index];
  End& to = stream.ends[turn.receiver()];
  if (stream.passes_ice) {
    edit.keeps_ice = true;
    return;
  }
  const bool is_meant = SpeaksIce(turn, media, turn.receiver());
  if (is_meant && to.ice != nullptr && to.ice->agent.state() == IceAgent::State::kFailed) {
    relay_.DropIce(to);  // another try, with credentials of its own
    (void)relay_.IceOf(stream, turn.receiver());
  }
  const Ice* ice = is_meant ? to.ice : nullptr;
  if (ice != nullptr) {
    ShowIce(turn, stream);
  }
  if (ice != nullptr || stream.ends[turn.sender].ice != nullptr) {
    edit.drops_mux = true;
    edit.adds_mux = edit.adds_mux || ice != nullptr;
  }
}

// Both have said theirs: checks begin, with each of them as it wants. `was_offered`: the receiver's
// offer holds from now on; else this is an answer once more.
void Anchor::AgreeIce(const Turn& turn, Stream& stream, bool was_offered) {
  for (const uint32_t end : {turn.sender, turn.receiver()}) {
    End& own = stream.ends[end];
    if (own.ice == nullptr) {
      continue;
    }
    const bool is_answerer = end == turn.sender;
    if (own.ice->offered.is_set) {
      relay_.StartIce(stream, end, own.ice->offered, is_answerer);
      own.ice->offered.is_set = false;
    } else if (is_answerer || was_offered) {
      relay_.DropIce(own);
    }
  }
}

void Anchor::AnswerIce(const Turn& turn, Stream& stream) {
  sdp::MediaEdit& edit = edits_[stream.index];
  const End& to = stream.ends[turn.receiver()];
  edit.keeps_ice = stream.passes_ice;
  if (to.ice != nullptr) {
    ShowIce(turn, stream);
  }
  if (to.ice != nullptr || stream.ends[turn.sender].ice != nullptr) {
    edit.drops_mux = true;
    edit.adds_mux = to.now.rtcp_mux;
  }
}

}  // namespace gh::rtp
