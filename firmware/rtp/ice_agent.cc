#include "firmware/rtp/ice_agent.h"

#include <algorithm>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::rtp {
namespace {

// Enough to tell one from another; who sends two alike harms nobody but himself.
uint32_t HashOf(std::string_view text) {
  uint32_t hash = 2166136261u;
  for (const char c : text) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  }
  return hash;
}

// RFC 8445 6.1.2.3.
uint64_t PairPriority(uint32_t controlling, uint32_t controlled) {
  const uint64_t low = std::min(controlling, controlled);
  const uint64_t high = std::max(controlling, controlled);
  return (low << 32) + 2 * high + (controlling > controlled ? 1 : 0);
}

bool IsUsable(const net::Endpoint& at) {
  return at.port != 0 && !at.address.is_unspecified() && !at.address.is_loopback() &&
         !at.address.is_multicast();
}

}  // namespace

void IceTerms::Add(const sdp::Candidate& candidate) {
  const auto known = std::span(remotes).first(remote_count);
  const bool is_known =
      std::ranges::any_of(known, [&](const Remote& r) { return r.at == candidate.at; });
  if (candidate.component == 1 && remote_count < kIceRemoteMax && !is_known &&
      IsUsable(candidate.at)) {
    remotes[remote_count++] = {candidate.at, candidate.priority, HashOf(candidate.foundation)};
  }
}

// --- Beginning ----------------------------------------------------------------------------------

void IceAgent::Begin(const IceParts& parts, uint32_t owner, const net::Endpoint& host) {
  GH_ASSERT(state_ == State::kIdle);
  parts_ = &parts;
  owner_ = owner;
  host_ = host;
  tie_breaker_ = parts.random.U64();
  own_.Draw(parts.random);
  timer_.Bind<&IceAgent::OnTimer>(this);
}

void IceAgent::SetRelayed(const net::Endpoint& relayed) {
  relayed_ = relayed;
  if (relayed.port != 0) {
    return;
  }
  for (Pair& pair : pairs()) {
    if (pair.local == IceLocal::kRelayed) {
      pair.state = PairState::kFailed;
      pair.is_triggered = pair.nominates = false;
    }
  }
  if (selected_ != kNone && pairs_[selected_].local == IceLocal::kRelayed) {
    Fail("the TURN server's address is lost");
  }
}

void IceAgent::Start(const IceTerms& terms, bool we_offered, uint32_t streams) {
  streams_ = std::max(streams, 1u);
  if (state_ != State::kIdle && state_ != State::kFailed && terms_.IsSameSession(terms)) {
    return;  // nothing began anew
  }
  const bool is_first = state_ == State::kIdle;
  const auto early = terms_;  // what asked before the peer's description came
  terms_ = terms;
  if (is_first && !early.is_set) {
    for (const IceTerms::Remote& remote : std::span(early.remotes).first(early.remote_count)) {
      (void)LearnRemote(remote.at, remote.priority);
    }
  }
  terms_.is_set = true;
  is_controlling_ = we_offered || terms.is_lite;
  state_ = State::kChecking;
  has_good_ = has_failed_ = false;
  selected_ = provisional_ = kNone;
  began_ = next_ask_ = parts_->timers.now();
  consent_transaction_ = {};
  FormPairs();
  Arm();
}

void IceAgent::Stop() {
  if (parts_ != nullptr) {
    parts_->timers.Cancel(timer_);
  }
  state_ = State::kIdle;
  pair_count_ = 0;
  selected_ = provisional_ = kNone;
  terms_ = {};
}

// --- Pairs --------------------------------------------------------------------------------------

uint32_t IceAgent::LocalPriority(IceLocal local, bool as_peer_reflexive) const {
  const sdp::CandidateType type = as_peer_reflexive          ? sdp::CandidateType::kPeerReflexive
                                  : local == IceLocal::kHost ? sdp::CandidateType::kHost
                                                             : sdp::CandidateType::kRelayed;
  return sdp::PriorityOf(type, 65535, 1);
}

uint64_t IceAgent::PriorityOf(IceLocal local, uint32_t remote_priority) const {
  const uint32_t own = LocalPriority(local, false);
  return is_controlling_ ? PairPriority(own, remote_priority) : PairPriority(remote_priority, own);
}

// kNone: there is no room for one of such a priority, or no way to it.
uint8_t IceAgent::AddPair(IceLocal local, uint8_t remote) {
  const IceTerms::Remote& to = terms_.remotes[remote];
  const net::Endpoint& from = local == IceLocal::kHost ? host_ : relayed_;
  if (from.port == 0 || from.address.family != to.at.address.family) {
    return kNone;
  }
  const uint64_t priority = PriorityOf(local, to.priority);
  uint8_t at = static_cast<uint8_t>(pair_count_);
  if (pair_count_ == kIcePairMax) {
    const auto weakest = std::ranges::min_element(pairs_, {}, &Pair::priority);
    at = static_cast<uint8_t>(weakest - pairs_.begin());
    const bool is_idle =
        weakest->state == PairState::kFrozen || weakest->state == PairState::kFailed;
    if (weakest->priority >= priority || !is_idle || at == selected_ || at == provisional_) {
      return kNone;
    }
  } else {
    ++pair_count_;
  }
  pairs_[at] = {};
  pairs_[at].priority = priority;
  pairs_[at].local = local;
  pairs_[at].remote = remote;
  return at;
}

// RFC 8445 6.1.2: of each foundation the best one may be asked at once, the others when it is good.
void IceAgent::FormPairs() {
  pair_count_ = 0;
  for (uint8_t remote = 0; remote < terms_.remote_count; ++remote) {
    (void)AddPair(IceLocal::kHost, remote);
    (void)AddPair(IceLocal::kRelayed, remote);
  }
  const auto all = pairs();
  for (Pair& pair : all) {
    const bool is_best = std::ranges::none_of(all, [&](const Pair& other) {
      return other.local == pair.local && other.priority > pair.priority &&
             terms_.remotes[other.remote].foundation == terms_.remotes[pair.remote].foundation;
    });
    pair.state = is_best ? PairState::kWaiting : PairState::kFrozen;
  }
}

void IceAgent::Unfreeze(const Pair& good) {
  for (Pair& pair : pairs()) {
    if (pair.state == PairState::kFrozen && pair.local == good.local &&
        terms_.remotes[pair.remote].foundation == terms_.remotes[good.remote].foundation) {
      pair.state = PairState::kWaiting;
    }
  }
}

void IceAgent::SetRole(bool is_controlling) {
  is_controlling_ = is_controlling;
  for (Pair& pair : pairs()) {
    pair.priority = PriorityOf(pair.local, terms_.remotes[pair.remote].priority);
    pair.nominates = false;
  }
}

uint8_t IceAgent::FindRemote(const net::Endpoint& remote) const {
  for (uint8_t i = 0; i < terms_.remote_count; ++i) {
    if (terms_.remotes[i].at == remote) {
      return i;
    }
  }
  return kNone;
}

// RFC 8445 7.3.1.3: a peer-reflexive candidate.
uint8_t IceAgent::LearnRemote(const net::Endpoint& remote, uint32_t priority) {
  const uint8_t known = FindRemote(remote);
  if (known != kNone || terms_.remote_count == kIceRemoteMax || !IsUsable(remote)) {
    return known;
  }
  // Its foundation is its own.
  terms_.remotes[terms_.remote_count] = {remote, priority, parts_->random.U32()};
  return static_cast<uint8_t>(terms_.remote_count++);
}

uint8_t IceAgent::FindPair(IceLocal local, const net::Endpoint& remote) const {
  for (uint8_t i = 0; i < pair_count_; ++i) {
    if (pairs_[i].local == local && RemoteOf(pairs_[i]) == remote) {
      return i;
    }
  }
  return kNone;
}

// --- What comes ---------------------------------------------------------------------------------

IceAgent::Outcome IceAgent::Take(IceLocal local, const net::Endpoint& remote,
                                 std::span<const uint8_t> datagram) {
  uint8_t out[kIceAnswerMax];
  // Who asks before we know its description answers an offer of ours (RFC 8445 6.1.1).
  const IceRole role{.is_lite = false,
                     .is_controlling = is_controlling_ || state_ == State::kIdle,
                     .tie_breaker = tie_breaker_};
  const IceCheck check = AnswerCheck(own_, datagram, remote, out, role);
  if (check.kind == IceCheck::Kind::kIgnored) {
    const auto message = turn::Message::Parse(datagram);
    return message.ok() ? TakeAnswer(local, remote, *message) : Outcome::kStranger;
  }
  if (terms_.is_set && check.peer != terms_.user.view()) {
    return Outcome::kStranger;
  }
  if (!check.answer.empty()) {
    parts_->user.SendIce(owner_, local, remote, check.answer);
  }
  if (check.kind == IceCheck::Kind::kRefused) {
    return Outcome::kRefused;
  }
  if (state_ == State::kIdle) {
    if (terms_.remote_count < kIceRemoteMax / 2) {  // the description will bring more
      (void)LearnRemote(remote, check.priority);
    }
  } else if (state_ != State::kFailed) {
    OnRequest(local, remote, check);
  }
  return Outcome::kTaken;
}

void IceAgent::OnRequest(IceLocal local, const net::Endpoint& remote, const IceCheck& check) {
  if (check.switches_role) {
    SetRole(!is_controlling_);
  }
  const uint8_t from = LearnRemote(remote, check.priority);
  uint8_t index = FindPair(local, remote);
  index = index == kNone && from != kNone ? AddPair(local, from) : index;
  if (index == kNone) {
    return;
  }
  Pair& pair = pairs_[index];
  heard_ = index == selected_ ? parts_->timers.now() : heard_;
  const bool is_said = check.is_nominated && !is_controlling_;
  pair.is_nominated = pair.is_nominated || is_said;
  if (pair.state == PairState::kGood) {
    if (is_said && index != selected_) {
      Agree(index);
    }
  } else if (state_ == State::kChecking || is_said) {
    // Asked in return at once (RFC 8445 7.3.1.4); one that is asked is asked anew.
    pair.is_triggered = true;
    next_ask_ = std::min(next_ask_, parts_->timers.now() + kIcePace);
  }
  Arm();
}

IceAgent::Outcome IceAgent::TakeAnswer(IceLocal local, const net::Endpoint& remote,
                                       const turn::Message& answer) {
  const bool is_answer =
      answer.cls() == turn::Class::kSuccess || answer.cls() == turn::Class::kError;
  if (!is_answer || !terms_.is_set || !answer.IsAuthentic(AsBytes(terms_.password.view()))) {
    return Outcome::kStranger;
  }
  const bool is_good = answer.cls() == turn::Class::kSuccess;
  if (state_ == State::kAgreed && answer.transaction() == consent_transaction_) {
    const Pair& pair = pairs_[selected_];
    if (is_good && pair.local == local && RemoteOf(pair) == remote) {
      consent_ = parts_->timers.now() + kConsentLife;
    }
    return Outcome::kTaken;
  }
  const auto asked = std::ranges::find_if(pairs(), [&](Pair& pair) {
    return pair.state == PairState::kAsking && pair.transaction == answer.transaction();
  });
  if (asked == pairs().end()) {
    return Outcome::kStranger;
  }
  const auto index = static_cast<uint8_t>(asked - pairs().begin());
  Pair& pair = pairs_[index];
  const auto code = answer.Value(turn::kErrorCode);
  if (pair.local != local || RemoteOf(pair) != remote) {
    pair.state = PairState::kFailed;  // RFC 8445 7.2.5.2.1: not symmetric
  } else if (is_good) {
    OnGood(index);
  } else if (code.size() >= 4 && code[2] * 100 + code[3] == kRoleConflict) {
    OnConflict(index, is_controlling_);
  } else {
    pair.state = PairState::kFailed;
  }
  Conclude();
  Arm();
  return Outcome::kTaken;
}

void IceAgent::OnConflict(uint8_t index, bool was_controlling) {
  SetRole(!was_controlling);
  tie_breaker_ = parts_->random.U64();  // RFC 8445 7.2.5.1
  pairs_[index].state = PairState::kWaiting;
  pairs_[index].is_triggered = true;
}

void IceAgent::OnGood(uint8_t index) {
  Pair& pair = pairs_[index];
  const Instant now = parts_->timers.now();
  pair.state = PairState::kGood;
  Unfreeze(pair);
  if (!has_good_) {
    has_good_ = true;
    first_good_ = now;
  }
  if (is_controlling_ ? pair.nominates : pair.is_nominated) {
    Agree(index);
    return;
  }
  const bool is_better = provisional_ == kNone || pairs_[provisional_].priority < pair.priority;
  if (selected_ == kNone && is_better) {
    provisional_ = index;
    parts_->user.OnIcePair(owner_, pair.local, RemoteOf(pair), false);
  }
}

// --- Agreement ----------------------------------------------------------------------------------

void IceAgent::Agree(uint8_t index) {
  const Instant now = parts_->timers.now();
  // Some nominate every pair they ask (RFC 5245, aggressively): the best one counts. Later a peer
  // that does not use it any more may move to another.
  if (selected_ != kNone && pairs_[index].priority < pairs_[selected_].priority &&
      now - heard_ < kIceMoveAfter) {
    return;
  }
  selected_ = provisional_ = index;
  state_ = State::kAgreed;
  heard_ = now;
  consent_ = now + kConsentLife;
  next_ask_ = now + kConsentPeriod;
  for (Pair& pair : pairs()) {
    pair.nominates = false;
    if (pair.state == PairState::kWaiting || pair.state == PairState::kFrozen) {
      pair.state = PairState::kFailed;  // not asked any more; its peer still may
    }
  }
  parts_->user.OnIcePair(owner_, pairs_[index].local, RemoteOf(pairs_[index]), true);
}

void IceAgent::Nominate(uint8_t index) {
  pairs_[index].nominates = true;
  pairs_[index].is_triggered = true;
  next_ask_ = std::min(next_ask_, parts_->timers.now());
}

bool IceAgent::IsAnyOpen() const {
  return std::ranges::any_of(pairs(), [](const Pair& pair) {
    return pair.is_triggered || pair.state == PairState::kFrozen ||
           pair.state == PairState::kWaiting || pair.state == PairState::kAsking;
  });
}

// Who controls nominates the best good pair when no better one is open, or soon.
void IceAgent::Conclude() {
  if (state_ != State::kChecking || !is_controlling_) {
    return;
  }
  const auto all = pairs();
  if (std::ranges::any_of(all, &Pair::nominates)) {
    return;
  }
  uint8_t best = kNone;
  for (uint8_t i = 0; i < pair_count_; ++i) {
    const bool is_good = pairs_[i].state == PairState::kGood;
    if (is_good && (best == kNone || pairs_[best].priority < pairs_[i].priority)) {
      best = i;
    }
  }
  if (best == kNone) {
    return;
  }
  const bool may_be_better = std::ranges::any_of(all, [&](const Pair& pair) {
    return pair.priority > pairs_[best].priority && pair.state != PairState::kFailed;
  });
  if (!may_be_better || parts_->timers.now() - first_good_ >= kIceNominationWait) {
    Nominate(best);
  }
}

void IceAgent::Fail(const char* why) {
  state_ = State::kFailed;
  parts_->timers.Cancel(timer_);
  selected_ = provisional_ = kNone;
  if (!has_failed_) {
    has_failed_ = true;
    parts_->user.OnIceFailed(owner_, why);
  }
}

// --- What leaves --------------------------------------------------------------------------------

void IceAgent::SendRequest(const Pair& pair, const turn::TransactionId& transaction,
                           bool nominates) {
  uint8_t bytes[kIceRequestMax];
  turn::Builder request(bytes, turn::Class::kRequest, turn::Method::kBinding, transaction);
  FixedString<kIceTheirTextMax + 1 + kIceUserSize> name(terms_.user.view());
  name.Append(':');
  name.Append(own_.user.view());
  request.Text(turn::kUserName, name.view());
  request.U32(kPriority, LocalPriority(pair.local, true));
  uint8_t claim[8];
  for (uint32_t i = 0; i < 8; ++i) {
    claim[i] = static_cast<uint8_t>(tie_breaker_ >> (56 - 8 * i));
  }
  request.Bytes(is_controlling_ ? kIceControlling : kIceControlled, claim);
  if (nominates) {
    request.Bytes(kUseCandidate, {});
  }
  request.Sign(turn::Integrity::kSha1, AsBytes(terms_.password.view()));
  request.Fingerprint();
  parts_->user.SendIce(owner_, pair.local, RemoteOf(pair), request.Finish());
}

void IceAgent::Send(Pair& pair) {
  Duration wait = kIceRto;
  for (uint32_t i = 0; i < pair.sends; ++i) {
    wait = wait + wait;
  }
  ++pair.sends;
  pair.due = parts_->timers.now() + wait;
  SendRequest(pair, pair.transaction, pair.nominates);
}

// A new check of the pair, in place of the one in hand.
void IceAgent::Ask(Pair& pair) {
  pair.is_triggered = false;
  pair.state = PairState::kAsking;
  pair.sends = 0;
  parts_->random.Fill(pair.transaction);
  Send(pair);
}

// Triggered ones first, then the best that waits, then the best that is frozen.
uint8_t IceAgent::NextPair() {
  const auto rank = [](const Pair& pair) {
    return pair.is_triggered                   ? 3
           : pair.state == PairState::kWaiting ? 2
           : pair.state == PairState::kFrozen  ? 1
                                               : 0;
  };
  uint8_t best = kNone;
  for (uint8_t i = 0; i < pair_count_; ++i) {
    const int own = rank(pairs_[i]);
    const bool is_first = best == kNone || own > rank(pairs_[best]) ||
                          (own == rank(pairs_[best]) && pairs_[i].priority > pairs_[best].priority);
    best = own != 0 && is_first ? i : best;
  }
  return best;
}

void IceAgent::AskConsent() {
  const Instant now = parts_->timers.now();
  if (now >= consent_) {
    Fail("the peer does not consent any more");
    return;
  }
  parts_->random.Fill(consent_transaction_);
  SendRequest(pairs_[selected_], consent_transaction_, false);
  // RFC 7675 5.1: between 0.8 and 1.2 times the period.
  const int64_t spread = kConsentPeriod.ns / 5 * 2;
  const auto extra =
      static_cast<int64_t>(parts_->random.Below(static_cast<uint32_t>(spread / 1000)));
  next_ask_ = now + Duration{kConsentPeriod.ns - spread / 2 + extra * 1000};
}

void IceAgent::OnTimer() {
  const Instant now = parts_->timers.now();
  for (Pair& pair : pairs()) {
    if (pair.state == PairState::kAsking && pair.due <= now) {
      if (pair.sends < kIceSendsMax && (state_ == State::kChecking || pair.is_nominated)) {
        Send(pair);
      } else {
        pair.state = PairState::kFailed;
        pair.nominates = false;
      }
    }
  }
  if (next_ask_ <= now) {
    const uint8_t next = NextPair();
    if (next != kNone) {
      Ask(pairs_[next]);
      next_ask_ = now + Duration{kIcePace.ns * streams_};
    } else if (state_ == State::kAgreed) {
      AskConsent();
    }
  }
  if (state_ == State::kChecking) {
    Conclude();
    const bool is_hopeless = !IsAnyOpen() && !has_good_ && is_controlling_;
    if (is_hopeless || now - began_ >= kIcePatience) {
      Fail("no pair of candidates works");
    }
  }
  if (state_ != State::kFailed) {
    Arm();
  }
}

void IceAgent::Arm() {
  if (state_ != State::kChecking && state_ != State::kAgreed) {
    return;
  }
  Instant due = state_ == State::kAgreed || NextPair() != kNone ? next_ask_ : began_ + kIcePatience;
  for (const Pair& pair : pairs()) {
    due = pair.state == PairState::kAsking ? std::min(due, pair.due) : due;
  }
  if (state_ == State::kChecking && has_good_ && is_controlling_) {
    const Instant patience = first_good_ + kIceNominationWait;
    due = patience > parts_->timers.now() ? std::min(due, patience) : due;
  }
  parts_->timers.Arm(timer_, due);
}

}  // namespace gh::rtp
