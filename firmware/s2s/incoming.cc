// Streams of other servers: what we offer, and how they prove the domains they speak for.
#include "firmware/s2s/federation.h"
#include "hal/rt/base64.h"

namespace gh::s2s {

using xmpp::Node;
using xmpp::WriteAttribute;
namespace ns = xmpp::ns;

void Federation::WriteFeatures(Link& link) {
  uint8_t bytes[1024];
  ByteWriter out(bytes);
  const bool has_tls = config_.security != Security::kNone;
  const bool is_required = config_.security == Security::kRequired || IsPartner(link);
  out.Text("<stream:features>");
  if (!link.secure && has_tls) {
    out.Text("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>");
    out.Text(is_required ? "<required/></starttls>" : "</starttls>");
  }
  if (link.unproven && (link.secure || !is_required)) {
    if (link.secure && (config_.external_in || IsPartner(link)) && !link.pair().remote.empty() &&
        IsProvedPeer(link, link.pair().remote.view())) {
      out.Text(
          "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism>"
          "</mechanisms>");
    }
    out.Text(config_.bidirectional || IsPartner(link) ? "<bidi xmlns='urn:xmpp:features:bidi'/>"
                                                      : "");
    out.Text(config_.dialback && !IsPartner(link)
                 ? "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>"
                 : "");
  }
  out.Text(config_.management ? "<sm xmlns='urn:xmpp:sm:3'/>" : "");
  WriteLimits(link, out);
  out.Text("</stream:features>");
  GH_ASSERT(out.ok());
  Write(link, out.written());
}

// XEP-0478. Who is proved by dialback hears no features again: it is told what holds then.
void Federation::WriteLimits(const Link& link, ByteWriter& out) {
  const bool is_told_again = link.unproven && (IsPartner(link) || !config_.dialback);
  out.Text("<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>");
  out.Decimal(is_told_again ? xmpp::kUnprovenBytes : config_.stanza_max);
  out.Text("</max-bytes>");
  if (!IsPartner(link)) {
    out.Text("<idle-seconds>");
    out.Decimal(static_cast<uint64_t>(IdleOf(link).seconds()));
    out.Text("</idle-seconds>");
  }
  out.Text("</limits>");
}

void Federation::OnIncoming(Link& link, const Node& element) {
  if (element.Is("starttls", ns::kTls) && !link.secure && config_.security != Security::kNone &&
      link.unproven) {
    Write(link, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    // What came behind it was plain, and might be anybody's: it is forgotten.
    ReturnReader(link);
    link.state = LinkState::kSecuring;
    if (auto begun = host_.StartTls(link.stream); !begun.ok()) {
      host_.Abort(link.stream);
      Doom(link, begun.error().what);
    }
  } else if (!link.secure && (config_.security == Security::kRequired || IsPartner(link)) &&
             !element.Is("verify", kDialbackSpace)) {
    StreamError(link, "policy-violation", "it did not begin with STARTTLS");
  } else if (element.Is("auth", ns::kSasl)) {
    OnExternal(link, element);
  } else if (element.Is("bidi", "urn:xmpp:bidi") && (config_.bidirectional || IsPartner(link))) {
    link.bidirectional = true;
    if (link.state == LinkState::kReady && link.pair().is_proved && !IsPartner(link)) {
      (void)AddRoute(link);
    }
  } else if (element.Is("result", kDialbackSpace) && element.Get("type").empty() &&
             !IsPartner(link)) {
    OnResult(link, element);
  } else if (element.Is("verify", kDialbackSpace) && element.Get("type").empty()) {
    OnVerify(link, element);
  } else if (link.unproven) {
    StreamError(link, "not-authorized", "an element before it is proved");
  } else {
    StreamError(link, "unsupported-stanza-type", "an element that is no stanza");
  }
}

// --- Certificates --------------------------------------------------------------------------------

void Federation::OnExternal(Link& link, const Node& element) {
  uint8_t bytes[256];
  ByteWriter claimed(bytes);
  FixedString<xmpp::kDomainMax> domain = link.pair().remote;
  const std::string_view text = element.Text();
  const bool is_readable =
      text.empty() || text == "=" ||
      (ReadBase64(text, claimed) && xmpp::PrepareDomain(claimed.text(), domain).ok());
  const char* reason = "";
  if (element.Get("mechanism") != "EXTERNAL" || !(config_.external_in || IsPartner(link)) ||
      !link.secure || !link.unproven) {
    reason = "a mechanism that is not offered";
  } else if (!is_readable || domain.empty() ||
             (!link.pair().remote.empty() && domain != link.pair().remote)) {
    reason = "as another domain than its stream's";
  } else if (!IsProvedPeer(link, domain.view())) {
    reason = "its certificate is not good for the domain";
  } else if (!IsPartner(link) && !config_.policy.Allows(domain.view(), Direction::kIncoming)) {
    reason = "the policy";
  }
  if (reason[0] != '\0') {
    ++counters_.refused;
    observer_.OnRefused(domain.view(), link.remote, reason);
    Write(link, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>");
    return;
  }
  if (RefuseInMaintenance(link, domain.view())) {
    return;
  }
  link.pair().remote = domain;
  link.proved_by_certificate = true;
  Write(link, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
  ReturnReader(link);  // the stream begins anew
  Prove(link, link.pair(), "certificate");
  link.state = LinkState::kOpening;
  Arm(link, Duration::Seconds(kUnprovenSeconds));
}

// Who comes anew, and not to go on with a stream that broke, has to look for another of our
// servers. Keys are verified as ever: our own streams, which users still there need, are proved by
// that.
bool Federation::RefuseInMaintenance(Link& link, std::string_view domain) {
  if (!config_.draining || !link.unproven || IsPartner(link)) {
    return false;
  }
  for (uint32_t i = 0; i < links_.capacity(); ++i) {
    Link* other = links_.At(i);
    if (other != nullptr && other->state == LinkState::kSuspended &&
        other->pair().remote == domain) {
      return false;
    }
  }
  ++counters_.refused;
  observer_.OnRefused(domain, link.remote, "maintenance");
  StreamError(link, "system-shutdown", "maintenance");
  return true;
}

// --- Dialback ------------------------------------------------------------------------------------

Pair* Federation::FindPair(Link& link, std::string_view local, std::string_view remote) {
  for (Pair& pair : std::span(link.pairs).first(link.pair_count)) {
    if (pair.local == local && pair.remote == remote) {
      return &pair;
    }
  }
  return nullptr;
}

// The other side wants to speak for a domain: who is authoritative for it is asked.
void Federation::OnResult(Link& link, const Node& element) {
  FixedString<xmpp::kDomainMax> local, remote;
  if (!xmpp::PrepareDomain(element.Get("to"), local).ok() ||
      !xmpp::PrepareDomain(element.Get("from"), remote).ok() || Serves(remote.view())) {
    StreamError(link, "improper-addressing", "dialback without domains");
    return;
  }
  if (RefuseInMaintenance(link, remote.view())) {
    return;
  }
  std::string_view refusal;
  const char* reason = "";
  if (!Serves(local.view())) {
    refusal = "item-not-found";
    reason = "a domain that is not served";
  } else if (!config_.dialback) {
    refusal = "not-allowed";
    reason = "dialback is off";
  } else if (!config_.policy.Allows(remote.view(), Direction::kIncoming)) {
    refusal = "forbidden";
    reason = "the policy";
  } else if (link.secure && config_.requires_certificate &&
             !host_.IsProved(link.stream, remote.view())) {
    refusal = "not-authorized";
    reason = "its certificate is not good for the domain";
  }
  Pair* pair = FindPair(link, local.view(), remote.view());
  if (pair == nullptr && link.pair().remote.empty()) {
    pair = &link.pair();  // its header did not say
    pair->local = local;
    pair->remote = remote;
  } else if (pair == nullptr && link.pair_count < kPairMax && refusal.empty()) {
    pair = &link.pairs[link.pair_count++];
    *pair = {local, remote, false};
  }
  Link* asking = nullptr;
  if (refusal.empty() && pair != nullptr && verifying_ < links_.capacity() / 4) {
    asking = NewOutgoing(local.view(), remote.view(), LinkKind::kVerifying);
  }
  if (asking == nullptr) {
    ++counters_.refused;
    observer_.OnRefused(remote.view(), link.remote, refusal.empty() ? "no room" : reason);
    AnswerResult(link, local.view(), remote.view(), "error",
                 refusal.empty() ? "resource-constraint" : refusal);
    return;
  }
  asking->asked_by = links_.HandleOf(link);
  if (!asking->asked_id.Assign(link.id.view()) || !asking->key.Assign(element.Text())) {
    OnVerified(*asking, false, {});
    return;
  }
  BeginLookup(*asking);
}

void Federation::AnswerResult(Link& link, std::string_view local, std::string_view remote,
                              std::string_view type, std::string_view condition) {
  uint8_t bytes[2 * xmpp::kDomainMax * 6 + 256];
  ByteWriter out(bytes);
  out.Text("<db:result");
  WriteAttribute("from", local, out);
  WriteAttribute("to", remote, out);
  WriteAttribute("type", type, out);
  if (condition.empty()) {
    out.Text("/>");
  } else {
    out.Char('>');
    xmpp::WriteError("cancel", condition, out);
    out.Text("</db:result>");
  }
  Write(link, out.written());
}

// The authoritative server has answered, or there was none to ask (`condition`).
void Federation::OnVerified(Link& verifying, bool is_valid, std::string_view condition) {
  if (verifying.doomed) {
    return;
  }
  const Pair& asked = verifying.pair();
  Link* link = links_.Resolve(verifying.asked_by);
  if (link != nullptr && !link->doomed) {
    Pair* pair = FindPair(*link, asked.local.view(), asked.remote.view());
    if (is_valid && pair != nullptr) {
      AnswerResult(*link, asked.local.view(), asked.remote.view(), "valid");
      Prove(*link, *pair, "dialback");
    } else {
      ++counters_.refused;
      observer_.OnRefused(asked.remote.view(), link->remote,
                          condition.empty() ? "its dialback key is not its domain's"
                                            : "its dialback key could not be verified");
      AnswerResult(*link, asked.local.view(), asked.remote.view(),
                   condition.empty() ? "invalid" : "error", condition);
      if (condition.empty()) {
        CloseStream(*link);
        Doom(*link, "its dialback key is not its domain's");
      }
    }
  }
  CloseStream(verifying);
  Doom(verifying, "verified");
}

// Another server asks whether a key is ours.
void Federation::OnVerify(Link& link, const Node& element) {
  FixedString<xmpp::kDomainMax> local, remote;
  FixedString<kStreamIdMax> id;
  const bool is_addressed = xmpp::PrepareDomain(element.Get("to"), local).ok() &&
                            xmpp::PrepareDomain(element.Get("from"), remote).ok() &&
                            id.Assign(element.Get("id"));
  if (!is_addressed) {
    StreamError(link, "improper-addressing", "dialback without domains");
    return;
  }
  const bool is_ours = Serves(local.view());
  const bool is_valid =
      is_ours &&
      IsKey(MakeKey(config_.secret.view(), remote.view(), local.view(), id.view()), element.Text());
  counters_.keys_verified += is_valid ? 1 : 0;
  uint8_t bytes[(2 * xmpp::kDomainMax + kStreamIdMax) * 6 + 256];
  ByteWriter out(bytes);
  out.Text("<db:verify");
  WriteAttribute("from", local.view(), out);
  WriteAttribute("to", remote.view(), out);
  WriteAttribute("id", id.view(), out);
  WriteAttribute("type", is_valid ? "valid" : is_ours ? "invalid" : "error", out);
  if (is_ours) {
    out.Text("/>");
  } else {
    out.Char('>');
    xmpp::WriteError("cancel", "item-not-found", out);
    out.Text("</db:verify>");
  }
  Write(link, out.written());
}

void Federation::Prove(Link& link, Pair& pair, const char* how) {
  pair.is_proved = true;
  if (link.unproven) {
    if (link.waiting_node.linked()) {  // for a reader of those that are not
      unproven_readers_.waiting.Remove(link);
      host_.Resume(link.stream);
    }
    link.unproven = false;
    --unproven_incoming_;
    timers_.Cancel(link.timer);
    NoMoreCounted(link);
  }
  link.state = LinkState::kReady;
  ++counters_.accepted;
  const bool is_certified = link.proved_by_certificate && &pair == &link.pair();
  ++(is_certified ? counters_.by_certificate : counters_.by_dialback);
  observer_.OnFederated(pair.local.view(), pair.remote.view(), true, link.remote, how);
  if (link.bidirectional && &pair == &link.pair() && !link.proved_by_certificate &&
      !IsPartner(link)) {
    (void)AddRoute(link);  // unless there is one
  }
}

}  // namespace gh::s2s
