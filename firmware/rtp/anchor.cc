#include "firmware/rtp/anchor.h"

#include <algorithm>

#include "hal/rt/base64.h"

namespace gh::rtp {
namespace {

using sip::MediaEncryption;
using sip::MediaExchange;
using sip::MediaVerdict;
using sip::Method;

// What we offer, the best first. Phones that do not know the first pass it over.
constexpr std::array kOffered = {Suite::kAes256Cm80, Suite::kAesCm128_80, Suite::kAesCm128_32};
static_assert(kOffered.size() <= sdp::kCryptoMax);

// The transactions that carry an offer each: of Session::offerer.
uint32_t SlotOf(Method method) {
  return method == Method::kUpdate ? 1 : method == Method::kPrack ? 2 : 0;
}

bool ReadKey(const sdp::Crypto& crypto, Suite suite, Master& out) {
  const uint32_t size = MasterSizeOf(suite);
  uint8_t text[Base64Size(kMasterMax)];
  ByteWriter padded(text);  // the padding may be left out
  padded.Text(crypto.key);
  while (padded.size() % 4 != 0) {
    padded.Char('=');
  }
  out.Zero();
  ByteWriter key(out.Expose());
  const bool is_good = padded.ok() && ReadBase64(padded.text(), key) && key.size() == size;
  SecureZero(text);
  return is_good;
}

// The first line that we can use.
bool ChooseCrypto(const sdp::Media& media, Terms& out) {
  for (const sdp::Crypto& crypto : std::span(media.crypto).first(media.crypto_count)) {
    const auto suite = SuiteOf(crypto.suite);
    if (suite && !crypto.has_mki && !crypto.has_params && ReadKey(crypto, *suite, out.master)) {
      out.is_encrypted = true;
      out.suite = *suite;
      out.crypto_tag = crypto.tag;
      return true;
    }
  }
  out.is_encrypted = false;
  return false;
}

void ReadTerms(const sdp::Media& media, bool is_terminated, Terms& out) {
  out.is_set = true;
  out.rtp = {media.address, media.port};
  out.rtcp = {media.rtcp.address.is_none() ? media.address : media.rtcp.address,
              media.rtcp.port != 0 ? media.rtcp.port : static_cast<uint16_t>(media.port + 1)};
  out.rtcp_mux = media.rtcp_mux;
  out.is_feedback = media.is_feedback;
  out.profile = media.profile;
  const bool is_open = media.port != 0 && !media.is_held;
  out.sends = is_open && (media.direction == sdp::Direction::kSendRecv ||
                          media.direction == sdp::Direction::kSendOnly);
  out.receives = is_open && (media.direction == sdp::Direction::kSendRecv ||
                             media.direction == sdp::Direction::kRecvOnly);
  out.is_required = media.profile == sdp::Profile::kSrtp;
  out.is_encrypted = false;
  out.uses_mux = false;
  if (is_terminated && media.profile <= sdp::Profile::kSrtp) {
    (void)ChooseCrypto(media, out);
  }
}

// What says nothing of keys of ours is copied.
bool IsOfSdes(sdp::Profile profile) { return profile <= sdp::Profile::kSrtp; }

// Whether keys of ours are in what is offered to an end of this mode, when the other one offered
// so.
bool OffersKeys(MediaEncryption mode, const Terms& offered) {
  return mode == MediaEncryption::kForceEncrypted || mode == MediaEncryption::kBestEffort ||
         (mode == MediaEncryption::kAuto &&
          (offered.is_required || offered.is_encrypted || offered.is_dtls));
}

// Where an end is now: what was latched holds as long as it says the same.
void Settle(End& end, Terms& next) {
  const bool is_by_ice =
      end.has_agent() || (next.is_dtls && end.web != nullptr && end.web->offered.has_ice);
  if (!is_by_ice && !next.uses_mux &&
      (!(end.now.rtp == next.rtp) || !(end.now.rtcp == next.rtcp))) {
    end.seen = {};
  }
  end.now.TakeFrom(next);
}

}  // namespace

Anchor::Anchor(Arena& arena, Relay& relay, crypto::Random& random)
    : relay_(relay),
      random_(random),
      description_(*arena.New<sdp::Description>()),
      key_texts_(arena.NewArray<KeyText>(sdp::kMediaMax * kOffered.size())),
      mux_texts_(arena.NewArray<MuxText>(sdp::kMediaMax)),
      body_(arena.NewArray<uint8_t>(kBodyMax)) {
  std::array<uint8_t, 16> bytes;
  random.Fill(bytes);
  key_ = SipKey::FromBytes(bytes);
}

// --- Which session, offer or answer -------------------------------------------------------------

uint64_t Anchor::KeyOf(std::string_view call_id, std::string_view tag) const {
  return SipHash13(key_, SipHash13(key_, call_id) ^ (SipHash13(key_, tag) << 1 | 1));
}

Session* Anchor::Find(std::string_view call_id, std::string_view from_tag, std::string_view to_tag,
                      uint32_t& requester) {
  requester = kCaller;
  Session* session = relay_.Find(KeyOf(call_id, from_tag));
  if (session == nullptr && !to_tag.empty()) {
    requester = kCallee;
    session = relay_.Find(KeyOf(call_id, to_tag));
  }
  return session;
}

bool Anchor::IsNeeded(const MediaExchange& exchange, const sdp::Description& description) const {
  const Config& config = relay_.config();
  if (!config.enabled || config.when == Config::When::kNever) {
    return false;
  }
  const sip::MediaSide& from = exchange.sender;
  const sip::MediaSide& to = exchange.receiver;
  if (config.when == Config::When::kAlways || from.encryption != MediaEncryption::kAuto ||
      to.encryption != MediaEncryption::kAuto || from.local != to.local || from.is_behind_nat ||
      to.is_behind_nat || (relay_.has_mux() && (from.traversal != to.traversal)) ||
      (relay_.ends_dtls() && from.is_web != to.is_web)) {
    return true;
  }
  // Media from elsewhere than the signalling: a NAT, or a server of its own, which loses nothing.
  return std::ranges::any_of(description.sections(), [&](const sdp::Media& media) {
    const bool is_usable = media.port != 0 && !media.is_held && !media.address.is_unspecified();
    return is_usable && media.address != from.remote.address;
  });
}

bool Anchor::IsOffer(const MediaExchange& exchange, Session& session, uint32_t requester,
                     uint32_t sender) {
  const uint32_t slot = SlotOf(exchange.method);
  const auto by = static_cast<int8_t>(sender);
  if (exchange.status == 0) {
    const bool answers_invite =
        exchange.method == Method::kAck || exchange.method == Method::kPrack;
    if (answers_invite && session.offerer[0] == static_cast<int8_t>(OtherEnd(sender))) {
      return false;
    }
    session.offerer[slot] = exchange.body.empty() ? int8_t{-1} : by;
    return true;
  }
  if (session.offerer[slot] == static_cast<int8_t>(requester)) {
    return false;
  }
  session.offerer[slot] = by;
  return true;
}

MediaVerdict Anchor::OnDescription(const MediaExchange& exchange) {
  uint32_t requester = kCaller;
  Session* session = Find(exchange.call_id, exchange.from_tag, exchange.to_tag, requester);
  const bool is_request = exchange.status == 0;
  if (exchange.body.empty()) {
    if (session != nullptr && is_request && exchange.method == Method::kInvite) {
      session->offerer[0] = -1;  // the offer comes in the answer's place
    }
    return {};
  }
  if (const auto parsed = sdp::Parse(exchange.body, description_); !parsed.ok()) {
    // Who needs no relay may say what the other understands.
    ++malformed_count_;
    description_.media_count = 0;
    return session != nullptr || IsNeeded(exchange, description_) ? Refuse(400, parsed.error().what)
                                                                  : MediaVerdict{};
  }
  const bool is_new = session == nullptr;
  if (is_new) {
    if (exchange.method != Method::kInvite || !IsNeeded(exchange, description_)) {
      return {};
    }
    session = relay_.Open(KeyOf(exchange.call_id, exchange.from_tag), exchange.call_id);
    if (session == nullptr) {
      return Refuse(503, "No room for media");
    }
    requester = kCaller;
    const uint32_t first = is_request ? kCaller : kCallee;
    session->call = exchange.call;
    session->sides = {};
    session->sides[first] = exchange.sender;
    session->sides[OtherEnd(first)] = exchange.receiver;
    session->is_terminated = exchange.sender.encryption != MediaEncryption::kAuto ||
                             exchange.receiver.encryption != MediaEncryption::kAuto;
  }
  if (relay_.ends_dtls() && (exchange.sender.is_web || exchange.receiver.is_web)) {
    session->is_terminated = true;
  }
  const uint32_t sender = is_request ? requester : OtherEnd(requester);
  const Turn turn{exchange, *session, sender};
  session->sides[sender].remote = exchange.sender.remote;
  session->sides[turn.receiver()].remote = exchange.receiver.remote;
  session->sides[sender].is_web = exchange.sender.is_web;
  session->sides[turn.receiver()].is_web = exchange.receiver.is_web;
  if (IsOffer(exchange, *session, requester, sender)) {
    const MediaVerdict verdict = Offer(turn);
    if (is_new && verdict.kind == MediaVerdict::Kind::kRefused) {
      relay_.Close(*session);  // an older one may be other branches'
    }
    return verdict;
  }
  session->is_confirmed = session->is_confirmed || exchange.status >= 200 || is_request;
  return Answer(turn);
}

// --- Offer --------------------------------------------------------------------------------------

// The section whose transport this one shares (RFC 9143); null: it has its own.
const sdp::Media* Anchor::BundleOf(const Turn& turn, const sdp::Media& media) const {
  if (!media.is_bundled || (turn.session.has_web && !KeepsBundle(turn))) {
    return nullptr;  // between a browser and a phone the group is undone
  }
  const std::string_view first = description_.bundle.substr(0, description_.bundle.find(' '));
  for (const sdp::Media& other : description_.sections()) {
    if (other.mid == first) {
      return other.port == media.port || KeepsBundle(turn) ? &other : nullptr;
    }
  }
  return nullptr;
}

MediaVerdict Anchor::Offer(const Turn& turn) {
  session_edit_ = {};
  turn.session.has_web = turn.session.has_web ||
                         std::ranges::any_of(description_.sections(), [&](const sdp::Media& media) {
                           return EndsDtls(turn, media) || OffersDtls(turn, media);
                         });
  session_edit_.drops_bundle = turn.session.has_web && !KeepsBundle(turn);
  for (uint32_t i = 0; i < description_.media_count; ++i) {
    const sdp::Media& media = description_.media[i];
    edits_[i] = {};
    if (const char* fault = IsShared(turn, media) ? nullptr : OfferSection(turn, media, i)) {
      const bool is_policy = fault[0] != 'N';
      return Refuse(is_policy ? 488 : 503, fault);
    }
  }
  ShareTransports(turn, true);
  return Write(turn);
}

// Null, or why the whole offer is refused.
const char* Anchor::OfferSection(const Turn& turn, const sdp::Media& media, uint32_t index) {
  if (media.port == 0 || media.profile == sdp::Profile::kOther || media.address.is_none()) {
    return nullptr;  // as it is
  }
  const MediaEncryption own = turn.session.sides[turn.sender].encryption;
  const MediaEncryption other = turn.session.sides[turn.receiver()].encryption;
  const bool is_dtls = media.profile == sdp::Profile::kDtlsSrtp;
  const bool ends_dtls = EndsDtls(turn, media);
  const bool is_web = turn.session.sides[turn.sender].is_web && ends_dtls;
  if (is_dtls && ((own == MediaEncryption::kForceUnencrypted && !is_web) ||
                  (other == MediaEncryption::kForceUnencrypted && !ends_dtls))) {
    return "DTLS does not end here";
  }
  if (media.profile == sdp::Profile::kSrtp && own == MediaEncryption::kForceUnencrypted) {
    return "Media must be unencrypted";
  }
  Stream* stream = relay_.StreamAt(turn.session, index);
  if (stream == nullptr) {
    return "No room for media";
  }
  const bool is_terminated = turn.session.is_terminated && !is_dtls;
  End& from = stream->ends[turn.sender];
  ReadTerms(media, is_terminated, from.offered);
  stream->clock_rate = media.clock_rate;
  if (const char* fault = ends_dtls ? ReadWeb(media, from) : nullptr) {
    return fault;
  }
  from.offered.is_dtls = ends_dtls;
  ReadIce(turn, media, *stream);
  const bool may_mux = from.offered.rtcp_mux && (!turn.session.has_web || from.ice != nullptr);
  from.offered.rtcp_mux = may_mux || ends_dtls;
  if (own == MediaEncryption::kForceUnencrypted) {
    from.offered.is_encrypted = false;
  }
  const bool is_rtp = media.profile <= sdp::Profile::kSrtp;
  if (is_terminated && is_rtp && !from.offered.is_encrypted &&
      (own == MediaEncryption::kForceEncrypted || from.offered.is_required)) {
    return "Media must be encrypted, by a suite that is known";
  }
  TakeMux(turn, media, *stream, from.offered);
  if (!OfferMux(turn, media, *stream) && BundleOf(turn, media) == nullptr &&
      !TakePorts(turn, media, *stream)) {
    return "No port for media";
  }
  if (OffersDtls(turn, media)) {
    const bool has_room = OfferToWeb(turn, media, *stream);
    OfferIce(turn, media, *stream);
    return has_room ? nullptr : "No room for media";
  }
  EditForOffer(turn, media, *stream);
  OfferIce(turn, media, *stream);
  if (IsOnMux(turn, turn.receiver()) && media.profile < sdp::Profile::kUdp) {
    SayMux(turn, *stream);
  }
  return nullptr;
}

void Anchor::PlaceAt(const Turn& turn, const Stream& stream, const sdp::Media& media,
                     sdp::MediaEdit& edit) const {
  const sdp::Media* shared = BundleOf(turn, media);
  const Stream* carrier = &stream;
  if (shared != nullptr) {
    carrier = turn.session.streams[static_cast<size_t>(shared - description_.media.data())];
  }
  edit.kind = sdp::MediaEdit::Kind::kRelay;
  const net::IpAddress shown = turn.session.sides[turn.receiver()].shown;
  edit.at = {media.is_held ? media.address : shown,
             carrier != nullptr ? carrier->ends[turn.receiver()].port : uint16_t{0}};
}

void Anchor::DrawKeys(End& end) {
  if (!end.has_own) {
    random_.Fill(end.own[0].Expose());
    random_.Fill(end.own[1].Expose());
    end.has_own = true;
  }
}

void Anchor::AddCrypto(sdp::MediaEdit& edit, const End& end, Suite suite, uint32_t tag,
                       uint32_t index) {
  KeyText& text = key_texts_[index * kOffered.size() + edit.crypto_count];
  ByteWriter key(text.bytes);
  WriteBase64(end.own[OwnIndexOf(suite)].Expose().first(MasterSizeOf(suite)), key);
  edit.crypto[edit.crypto_count++] = {tag, NameOf(suite), key.text()};
}

void Anchor::EditForOffer(const Turn& turn, const sdp::Media& media, Stream& stream) {
  sdp::MediaEdit& edit = edits_[stream.index];
  PlaceAt(turn, stream, media, edit);
  edit.profile = media.profile;
  const Terms& offered = stream.ends[turn.sender].offered;
  if (offered.is_dtls) {
    EditForPhone(edit);
  } else if (!turn.session.is_terminated || !IsOfSdes(media.profile)) {
    return;
  }
  End& to = stream.ends[turn.receiver()];
  const MediaEncryption mode = turn.session.sides[turn.receiver()].encryption;
  const bool is_required = mode == MediaEncryption::kForceEncrypted ||
                           (mode == MediaEncryption::kAuto && offered.is_required);
  edit.profile = is_required ? sdp::Profile::kSrtp : sdp::Profile::kRtp;
  edit.replaces_crypto = true;
  if (OffersKeys(mode, offered)) {
    DrawKeys(to);
    for (uint32_t i = 0; i < kOffered.size(); ++i) {
      AddCrypto(edit, to, kOffered[i], i + 1, stream.index);
    }
  }
}

// --- Answer -------------------------------------------------------------------------------------

MediaVerdict Anchor::Answer(const Turn& turn) {
  session_edit_ = {.drops_bundle = turn.session.has_web && !KeepsBundle(turn), .bundle = {}};
  for (uint32_t i = 0; i < description_.media_count; ++i) {
    edits_[i] = {};
    if (!IsShared(turn, description_.media[i])) {
      AnswerSection(turn, description_.media[i], i);
    }
  }
  ShareTransports(turn, false);
  // What lost its section, or came into another one's transport, holds nothing any more.
  for (uint32_t i = 0; i < sdp::kMediaMax; ++i) {
    Stream* stream = turn.session.streams[i];
    const bool has_section =
        i < description_.media_count && edits_[i].kind == sdp::MediaEdit::Kind::kRelay;
    if (stream != nullptr && (!has_section || BundleOf(turn, description_.media[i]) != nullptr ||
                              !relay_.Put(*stream))) {
      relay_.RemoveStream(turn.session, i);
    }
  }
  return Write(turn);
}

void Anchor::AnswerSection(const Turn& turn, const sdp::Media& media, uint32_t index) {
  Stream* stream = turn.session.streams[index];
  if (stream == nullptr || media.port == 0 || media.profile == sdp::Profile::kOther ||
      media.address.is_none()) {
    // Offered by its group's transport, and answered by one of its own: there is none.
    const bool has_none = stream == nullptr && media.port != 0 && KeepsBundle(turn) &&
                          media.profile == sdp::Profile::kDtlsSrtp;
    edits_[index].kind = has_none ? sdp::MediaEdit::Kind::kRefuse : sdp::MediaEdit::Kind::kCopy;
    return;  // refused, or not ours
  }
  End& from = stream->ends[turn.sender];
  End& to = stream->ends[turn.receiver()];
  const bool is_terminated = turn.session.is_terminated && IsOfSdes(media.profile);
  Terms answered;
  ReadTerms(media, is_terminated, answered);
  answered.is_dtls = from.web != nullptr && media.profile == sdp::Profile::kDtlsSrtp;
  const MediaEncryption mode = turn.session.sides[turn.sender].encryption;
  if (!OffersKeys(mode, to.offered.is_set ? to.offered : to.now)) {
    answered.is_encrypted = false;  // some phones show keys that nobody asked for
  }
  const bool must = mode == MediaEncryption::kForceEncrypted || answered.is_required;
  TakeMux(turn, media, *stream, answered);
  ReadIce(turn, media, *stream);
  const bool needs_ports = BundleOf(turn, media) == nullptr &&
                           !(to.offered.is_set ? to.offered.uses_mux : to.now.uses_mux);
  if ((is_terminated && must && !answered.is_encrypted) ||
      (answered.is_dtls && !AnswerByWeb(turn, media, *stream)) ||
      (needs_ports && !relay_.TakePorts(*stream, turn.receiver()))) {
    edits_[index].kind = sdp::MediaEdit::Kind::kRefuse;
    ++refused_count_;
    return;
  }
  Agree(turn, *stream, answered);
  EditForAnswer(turn, media, *stream);
  AnswerIce(turn, *stream);
  if (to.now.uses_mux) {
    SayMux(turn, *stream);
  }
}

// Offer and answer hold from now on.
void Anchor::Agree(const Turn& turn, Stream& stream, Terms& answered) {
  End& from = stream.ends[turn.sender];
  End& to = stream.ends[turn.receiver()];
  // Where mux is left to the parties it is what both of them say; browsers always do with us.
  // A shared port is one port, whatever they say.
  // Where we speak ICE with either it is agreed with us.
  const bool both_mux = answered.rtcp_mux && to.offered.rtcp_mux;
  const bool is_ours = turn.session.has_web || from.ice != nullptr || to.ice != nullptr;
  const bool said_mux = answered.is_dtls || (from.ice != nullptr && answered.rtcp_mux);
  answered.rtcp_mux = answered.uses_mux || (is_ours ? said_mux : both_mux);
  const bool was_offered = to.offered.is_set;
  if (was_offered) {
    const bool own_mux =
        is_ours ? to.offered.rtcp_mux && (to.ice != nullptr || to.offered.is_dtls) : both_mux;
    to.offered.rtcp_mux = to.offered.uses_mux || own_mux;
  }
  if (!answered.is_dtls) {
    from.sends_encrypted = answered.is_encrypted;
    from.own_suite = answered.suite;
  }
  Settle(from, answered);
  if (from.now.is_dtls) {
    relay_.SettleWeb(stream, turn.sender, false);
  }
  if (to.offered.is_set) {
    Settle(to, to.offered);
    if (to.now.is_dtls) {
      relay_.SettleWeb(stream, turn.receiver(), true);
    }
  }
  AgreeIce(turn, stream, was_offered);
  for (uint32_t end = 0; end < 2; ++end) {
    if (stream.ends[end].now.uses_mux) {
      relay_.GivePorts(stream, end);
    }
  }
}

void Anchor::EditForAnswer(const Turn& turn, const sdp::Media& media, Stream& stream) {
  sdp::MediaEdit& edit = edits_[stream.index];
  End& to = stream.ends[turn.receiver()];
  if (to.now.is_dtls) {
    EditForWeb(turn, media, stream, false);
    return;
  }
  PlaceAt(turn, stream, media, edit);
  edit.profile = media.profile;
  if (stream.ends[turn.sender].now.is_dtls) {
    EditForPhone(edit);
    edit.feedback =
        to.now.is_feedback ? sdp::MediaEdit::Feedback::kOn : sdp::MediaEdit::Feedback::kOff;
  } else if (!turn.session.is_terminated || !IsOfSdes(media.profile)) {
    return;
  }
  edit.profile = to.now.profile;  // an answer's is the offer's
  edit.replaces_crypto = true;
  to.sends_encrypted = to.now.is_encrypted;
  to.own_suite = to.now.suite;
  if (to.now.is_encrypted) {
    DrawKeys(to);
    AddCrypto(edit, to, to.now.suite, to.now.crypto_tag, stream.index);
  }
}

MediaVerdict Anchor::Write(const Turn& turn) {
  ByteWriter out(body_);
  sdp::Rewrite(description_, std::span(edits_).first(description_.media_count),
               turn.session.sides[turn.receiver()].shown, out, session_edit_);
  if (!out.ok()) {
    return Refuse(488, "The description is too large");
  }
  return {.kind = MediaVerdict::Kind::kReplaced, .body = out.text(), .why = {}};
}

MediaVerdict Anchor::Refuse(uint16_t status, const char* why) {
  ++refused_count_;
  return {.kind = MediaVerdict::Kind::kRefused, .body = {}, .status = status, .why = why};
}

// --- Ends ---------------------------------------------------------------------------------------

void Anchor::OnFailed(std::string_view call_id, std::string_view from_tag,
                      std::string_view to_tag) {
  uint32_t requester = kCaller;
  Session* session = Find(call_id, from_tag, to_tag, requester);
  if (session == nullptr) {
    return;
  }
  if (!session->is_confirmed) {
    relay_.Close(*session);
    return;
  }
  for (Stream* stream : session->streams) {
    if (stream != nullptr) {
      stream->ends[requester].offered.is_set = false;
      if (stream->ends[requester].ice != nullptr) {
        stream->ends[requester].ice->offered.is_set = false;
      }
    }
  }
  session->offerer = {-1, -1, -1};
}

bool Anchor::IsHeard(std::string_view call_id, std::string_view caller_tag,
                     std::string_view callee_tag, bool is_caller, Duration within) {
  uint32_t caller = kCaller;
  const Session* session = Find(call_id, caller_tag, callee_tag, caller);
  if (session == nullptr) {
    return false;
  }
  const Session::Activity& activity = session->activity[is_caller ? caller : OtherEnd(caller)];
  return activity.packets != 0 && relay_.now() - activity.heard_at < within;
}

void Anchor::OnEnded(std::string_view call_id, std::string_view tag, std::string_view other) {
  uint32_t requester = kCaller;
  if (Session* session = Find(call_id, tag, other, requester)) {
    relay_.Close(*session);
  }
}

}  // namespace gh::rtp
