#include "tests/sim/sip_phone.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "tests/sim/hash.h"

namespace gh::sim {
namespace {

std::string Find(const std::vector<std::pair<std::string, std::string>>& parameters,
                 std::string_view name) {
  for (const auto& [own, value] : parameters) {
    if (own == name) {
      return value;
    }
  }
  return "";
}

// A copy of `request` with a CSeq one higher and without the fields a new attempt sets itself.
SipText NextAttempt(const SipText& request) {
  SipText next = request;
  next.fields.clear();
  for (const auto& [name, value] : request.fields) {
    if (name == "CSeq") {
      next.Add("CSeq", std::to_string(request.cseq() + 1) + " " + request.method);
    } else if (name != "Via" && name != "Authorization" && name != "Proxy-Authorization") {
      next.Add(name, value);
    }
  }
  return next;
}

}  // namespace

SipPhone::SipPhone(World& world, Switch& network, const PhoneOptions& options)
    : UdpHost(world, network, "phone " + options.user, options.address, options.quality),
      options_(options),
      random_(world.StreamFor("phone " + options.user)) {
  Bind(5060, [this](const UdpPeer& from, std::string_view data) { OnDatagram(from, data); });
}

// --- Building ------------------------------------------------------------------------------------

std::string SipPhone::Token(std::string_view prefix) {
  char text[24];
  std::snprintf(text, sizeof(text), "%016" PRIx64, random_.Next());
  return std::string(prefix) + text;
}

std::string SipPhone::OwnUri() const { return "sip:" + options_.user + "@" + options_.domain; }

std::string SipPhone::OwnContact() const {
  return "<sip:" + options_.user + "@" + ToText(address()) + ":5060>";
}

std::string SipPhone::Sdp() const {
  const std::string ip = ToText(address());
  return "v=0\r\no=- 1 1 IN IP4 " + ip + "\r\ns=-\r\nc=IN IP4 " + ip +
         "\r\nt=0 0\r\nm=audio 16384 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
}

SipText SipPhone::NewRequest(std::string_view method, std::string_view uri, std::string_view to) {
  SipText request;
  request.method = method;
  request.uri = uri;
  request.Add("Max-Forwards", "70");
  request.Add("From", "<" + OwnUri() + ">;tag=" + Token("f"));
  request.Add("To", "<" + std::string(to) + ">");
  request.Add("Call-ID", Token("c"));
  request.Add("CSeq", "1 " + std::string(method));
  request.Add("User-Agent", "gatehouse-sim-phone");
  return request;
}

SipText SipPhone::DialogRequest(std::string_view method) {
  SipText request;
  request.method = method;
  request.uri = dialog_.target;
  request.Add("Max-Forwards", "70");
  for (const std::string& route : dialog_.route) {
    request.Add("Route", route);
  }
  request.Add("From", dialog_.local);
  request.Add("To", dialog_.remote);
  request.Add("Call-ID", dialog_.call_id);
  request.Add("CSeq", std::to_string(dialog_.cseq) + " " + std::string(method));
  return request;
}

UdpPeer SipPhone::NextHop(const SipText& request) const {
  const std::vector<std::string> route = request.List("Route");
  if (!route.empty()) {
    return PeerOf(UriOf(route.front())).value_or(options_.proxy);
  }
  const bool in_dialog = !Parameter(request.Get("To"), "tag").empty();
  return in_dialog ? PeerOf(request.uri).value_or(options_.proxy) : options_.proxy;
}

// RFC 7616 with qop=auth when offered.
std::string SipPhone::Credentials(const SipText& request, const SipText& challenge,
                                  bool proxy) const {
  std::vector<std::pair<std::string, std::string>> chosen;
  for (const auto& [name, value] : challenge.fields) {
    const auto parameters = ParseChallenge(value);
    const bool sha256 = Find(parameters, "algorithm") == "SHA-256";
    const bool wanted = name == (proxy ? "Proxy-Authenticate" : "WWW-Authenticate");
    if (wanted && !parameters.empty() && (chosen.empty() || sha256 == options_.use_sha256)) {
      chosen = parameters;
    }
  }
  const bool sha256 = Find(chosen, "algorithm") == "SHA-256";
  const auto hash = [&](const std::string& text) {
    return sha256 ? Sha256Hex(text) : Md5Hex(text);
  };
  const std::string realm = Find(chosen, "realm");
  const std::string nonce = Find(chosen, "nonce");
  const std::string qop = Find(chosen, "qop").find("auth") != std::string::npos ? "auth" : "";
  const std::string ha1 = hash(options_.user + ":" + realm + ":" + options_.password);
  const std::string ha2 = hash(request.method + ":" + request.uri);
  const std::string cnonce = "0a4f113b";
  const std::string count = "00000001";
  const std::string response =
      qop.empty() ? hash(ha1 + ":" + nonce + ":" + ha2)
                  : hash(ha1 + ":" + nonce + ":" + count + ":" + cnonce + ":" + qop + ":" + ha2);
  std::string out = "Digest username=\"" + options_.user + "\", realm=\"" + realm + "\", nonce=\"" +
                    nonce + "\", uri=\"" + request.uri + "\", response=\"" + response +
                    "\", algorithm=" + (sha256 ? "SHA-256" : "MD5");
  if (!qop.empty()) {
    out += ", qop=auth, nc=" + count + ", cnonce=\"" + cnonce + "\"";
  }
  const std::string opaque = Find(chosen, "opaque");
  return opaque.empty() ? out : out + ", opaque=\"" + opaque + "\"";
}

// --- Client side ---------------------------------------------------------------------------------

std::string SipPhone::SendRequest(SipText request, OnFinal on_final, int challenge_count) {
  std::string branch = Token("z9hG4bK");
  request.fields.insert(request.fields.begin(), {"Via", "SIP/2.0/UDP " + ToText(address()) +
                                                            ":5060;branch=" + branch + ";rport"});
  Client client;
  client.to = NextHop(request);
  client.request = std::move(request);
  client.on_final = std::move(on_final);
  client.give_up = world_.now() + kGiveUp;
  client.challenge_count = challenge_count;
  SendUdp(5060, client.to, client.request.Encode());
  clients_[branch] = std::move(client);
  world_.After(kT1, "sip timer", [this, branch] { Retransmit(branch); });
  return branch;
}

void SipPhone::Retransmit(const std::string& branch) {
  const auto found = clients_.find(branch);
  if (found == clients_.end() || found->second.completed) {
    return;
  }
  Client& client = found->second;
  const bool invite = client.request.method == "INVITE";
  if (invite && client.provisional) {
    return;  // waits for a final answer as long as it takes
  }
  if (world_.now() >= client.give_up) {
    ++timeout_count_;
    const OnFinal on_final = client.on_final;
    clients_.erase(found);
    SipText timeout;
    timeout.status = 408;
    timeout.reason = "Timeout";
    on_final(timeout);
    return;
  }
  ++retransmission_count_;
  SendUdp(5060, client.to, client.request.Encode());
  client.interval = invite ? client.interval * 2 : std::min(client.interval * 2, kT2);
  world_.After(client.interval, "sip timer", [this, branch] { Retransmit(branch); });
}

void SipPhone::OnResponse(const SipText& response) {
  const auto found = clients_.find(response.branch());
  if (found == clients_.end() || response.method_of_cseq() != found->second.request.method) {
    return;
  }
  Client& client = found->second;
  const bool invite = client.request.method == "INVITE";
  if (response.status < 200) {
    client.provisional = true;
    if (invite) {
      client.on_final(response);
    }
    return;
  }
  if (invite && response.status >= 300) {
    AckRefusal(client, response);
  }
  if (client.completed) {
    if (invite && response.status < 300 && !ack_.empty()) {
      SendUdp(5060, ack_to_, ack_);
    }
    return;
  }
  client.completed = true;
  const std::string branch = found->first;
  world_.After(kGiveUp, "sip timer", [this, branch] { clients_.erase(branch); });
  if (!AnswerChallenge(branch, response)) {
    const OnFinal on_final = client.on_final;
    on_final(response);
  }
}

bool SipPhone::AnswerChallenge(const std::string& branch, const SipText& response) {
  const Client& client = clients_[branch];
  const bool proxy = response.status == 407;
  if ((response.status != 401 && !proxy) || client.challenge_count >= 2) {
    return false;
  }
  SipText next = NextAttempt(client.request);
  next.Add(proxy ? "Proxy-Authorization" : "Authorization", Credentials(next, response, proxy));
  if (next.method == "REGISTER") {
    register_cseq_ = next.cseq();
  }
  dialog_.cseq = dialog_.call_id == next.Get("Call-ID") ? next.cseq() : dialog_.cseq;
  const bool invite = next.method == "INVITE";
  const std::string fresh =
      SendRequest(std::move(next), client.on_final, client.challenge_count + 1);
  if (invite) {
    invite_branch_ = fresh;
  }
  return true;
}

// RFC 3261 17.1.1.3: the ACK of a refused INVITE belongs to its transaction.
void SipPhone::AckRefusal(const Client& client, const SipText& response) {
  SipText ack;
  ack.method = "ACK";
  ack.uri = client.request.uri;
  ack.Add("Via", client.request.Get("Via"));
  ack.Add("Max-Forwards", "70");
  ack.Add("From", client.request.Get("From"));
  ack.Add("To", response.Get("To"));
  ack.Add("Call-ID", client.request.Get("Call-ID"));
  ack.Add("CSeq", std::to_string(client.request.cseq()) + " ACK");
  SendUdp(5060, client.to, ack.Encode());
}

void SipPhone::SendRegister(uint32_t expires_s) {
  SipText request = NewRequest("REGISTER", "sip:" + options_.domain, OwnUri());
  register_call_id_ = register_call_id_.empty() ? request.Get("Call-ID") : register_call_id_;
  for (auto& [name, value] : request.fields) {
    value = name == "Call-ID" ? register_call_id_
            : name == "CSeq"  ? std::to_string(++register_cseq_) + " REGISTER"
                              : value;
  }
  request.Add("Contact", OwnContact());
  request.Add("Expires", std::to_string(expires_s));
  SendRequest(std::move(request), [this, expires_s](const SipText& response) {
    register_status_ = response.status;
    if (response.status != 200) {
      ++register_failed_count_;
      return;
    }
    ++register_ok_count_;
    contact_count_ = response.List("Contact").size();
    registered_until_ = world_.now() + Duration::Seconds(expires_s);
  });
}

void SipPhone::StartRegistering() {
  refreshing_ = true;
  SendRegister(options_.expires_s);
  world_.After(options_.refresh, "refresh", [this] {
    if (refreshing_) {
      StartRegistering();
    }
  });
}

void SipPhone::Unregister() {
  refreshing_ = false;
  SendRegister(0);
}

void SipPhone::Call(std::string_view user) {
  Forget();
  const std::string target = "sip:" + std::string(user) + "@" + options_.domain;
  SipText invite = NewRequest("INVITE", target, target);
  invite.Add("Contact", OwnContact());
  invite.Add("Content-Type", "application/sdp");
  invite.body = Sdp();
  dialog_.call_id = invite.Get("Call-ID");
  dialog_.local = invite.Get("From");
  state_ = CallState::kCalling;
  outgoing_ = true;
  const std::string call_id = dialog_.call_id;
  invite_branch_ = SendRequest(std::move(invite), [this, call_id](const SipText& response) {
    if (dialog_.call_id == call_id) {
      OnInviteResponse(response);
    }
  });
}

void SipPhone::OnInviteResponse(const SipText& response) {
  if (response.status < 200) {
    if (response.status > 100 && state_ == CallState::kCalling) {
      state_ = CallState::kRinging;
    }
    if (cancel_wanted_) {
      Cancel();
    }
    return;
  }
  if (response.status >= 300) {
    End(response.status, false);
    return;
  }
  dialog_.remote = response.Get("To");
  dialog_.target = UriOf(response.Get("Contact"));
  dialog_.route = response.List("Record-Route");
  std::reverse(dialog_.route.begin(), dialog_.route.end());
  dialog_.cseq = response.cseq();
  dialog_.established = true;
  remote_sdp_ = response.body;
  call_status_ = response.status;
  state_ = CallState::kConfirmed;
  SendAck();
  if (cancel_wanted_) {
    Hangup();  // it was answered before the CANCEL reached it
  }
}

void SipPhone::SendAck() {
  SipText ack = DialogRequest("ACK");
  ack.fields.insert(ack.fields.begin(), {"Via", "SIP/2.0/UDP " + ToText(address()) +
                                                    ":5060;branch=" + Token("z9hG4bK") + ";rport"});
  ack_to_ = NextHop(ack);
  ack_ = ack.Encode();
  SendUdp(5060, ack_to_, ack_);
}

void SipPhone::Cancel() {
  cancel_wanted_ = true;
  const auto found = clients_.find(invite_branch_);
  if (!outgoing_ || found == clients_.end() || !found->second.provisional ||
      found->second.completed) {
    return;  // RFC 3261 9.1: not before a provisional response; OnInviteResponse comes back here
  }
  cancel_wanted_ = false;
  const SipText& invite = found->second.request;
  SipText cancel;
  cancel.method = "CANCEL";
  cancel.uri = invite.uri;
  cancel.Add("Via", invite.Get("Via"));
  cancel.Add("Max-Forwards", "70");
  cancel.Add("From", invite.Get("From"));
  cancel.Add("To", invite.Get("To"));
  cancel.Add("Call-ID", invite.Get("Call-ID"));
  cancel.Add("CSeq", std::to_string(invite.cseq()) + " CANCEL");
  Client client;
  client.to = found->second.to;
  client.request = cancel;
  client.on_final = [](const SipText&) {};
  client.give_up = world_.now() + kGiveUp;
  SendUdp(5060, client.to, cancel.Encode());
  // It shares the INVITE's branch; kept under a name of its own, answers to it are not needed.
  const std::string name = invite_branch_ + " CANCEL";
  clients_[name] = std::move(client);
  world_.After(kT1, "sip timer", [this, name] {
    const auto invite_client = clients_.find(invite_branch_);
    if (invite_client != clients_.end() && invite_client->second.completed) {
      clients_.erase(name);
      return;
    }
    Retransmit(name);
  });
}

void SipPhone::Hangup() {
  if (state_ != CallState::kConfirmed) {
    return;
  }
  ++dialog_.cseq;
  SendRequest(DialogRequest("BYE"), [](const SipText&) {});
  End(200, false);
}

void SipPhone::Forget() {
  state_ = CallState::kIdle;
  call_status_ = 0;
  outgoing_ = false;
  ended_by_peer_ = false;
  cancel_wanted_ = false;
  dialog_ = {};
  invite_ = {};
  ack_.clear();
  remote_sdp_.clear();
  acked_ = false;
}

void SipPhone::End(int status, bool by_peer) {
  state_ = CallState::kEnded;
  call_status_ = status;
  ended_by_peer_ = by_peer;
}

void SipPhone::SendMessage(std::string_view user, std::string_view text) {
  const std::string target = "sip:" + std::string(user) + "@" + options_.domain;
  SipText message = NewRequest("MESSAGE", target, target);
  message.Add("Content-Type", "text/plain");
  message.body = text;
  message_status_ = 0;
  SendRequest(std::move(message),
              [this](const SipText& response) { message_status_ = response.status; });
}

// --- Server side ---------------------------------------------------------------------------------

void SipPhone::Reply(const UdpPeer& from, const SipText& request, int status,
                     std::string_view reason, bool with_contact, std::string_view body) {
  SipText response;
  response.status = status;
  response.reason = reason;
  for (const auto& [name, value] : request.fields) {
    if (name == "Via" || name == "From" || name == "Call-ID" || name == "CSeq" ||
        (name == "Record-Route" && with_contact)) {
      response.Add(name, value);
    }
    if (name == "To") {
      const bool tagged = status == 100 || !Parameter(value, "tag").empty();
      response.Add(name, tagged ? value : value + ";tag=" + local_tag_);
    }
  }
  if (with_contact) {
    response.Add("Contact", OwnContact());
  }
  if (!body.empty()) {
    response.Add("Content-Type", "application/sdp");
    response.body = body;
  }
  Server& server = servers_[request.branch() + " " + request.method];
  server.peer = from;
  server.status = status;
  server.response = response.Encode();
  SendUdp(5060, from, server.response);
  if (request.method == "INVITE" && status >= 300) {
    RepeatRefusal(request.branch() + " INVITE", kT1, world_.now() + kGiveUp);
  }
}

// RFC 3261 17.2.1, timers G and H: a refusal is repeated until its ACK comes.
void SipPhone::RepeatRefusal(const std::string& key, Duration interval, Instant give_up) {
  world_.After(interval, "sip timer", [this, key, interval, give_up] {
    const Server& server = servers_[key];
    if (server.acked || world_.now() >= give_up) {
      timeout_count_ += server.acked ? 0 : 1;
      return;
    }
    ++retransmission_count_;
    SendUdp(5060, server.peer, server.response);
    RepeatRefusal(key, std::min(interval * 2, kT2), give_up);
  });
}

void SipPhone::OnRequest(const UdpPeer& from, const SipText& request) {
  const std::string key = request.branch() + " " + request.method;
  const auto known = servers_.find(key);
  if (known != servers_.end()) {
    SendUdp(5060, from, known->second.response);
    return;
  }
  if (request.method == "ACK") {
    const auto refused = servers_.find(request.branch() + " INVITE");
    if (refused != servers_.end()) {
      refused->second.acked = true;
    }
    const bool ours = request.Get("Call-ID") == dialog_.call_id;
    acked_ = acked_ || ours;
    if (ours && state_ == CallState::kRinging && dialog_.established) {
      state_ = CallState::kConfirmed;
    }
    return;
  }
  if (local_tag_.empty() || request.method == "INVITE") {
    local_tag_ = Parameter(request.Get("To"), "tag").empty() ? Token("t") : local_tag_;
  }
  if (request.method == "INVITE") {
    OnInvite(from, request);
  } else if (request.method == "CANCEL") {
    OnCancel(from, request);
  } else if (request.method == "BYE") {
    const bool ours = request.Get("Call-ID") == dialog_.call_id;
    Reply(from, request, ours ? 200 : 481, ours ? "OK" : "No such call");
    if (ours && state_ != CallState::kEnded) {
      End(200, true);
    }
  } else if (request.method == "MESSAGE") {
    messages_.push_back(request.body);
    Reply(from, request, 200, "OK");
  } else {
    Reply(from, request, request.method == "OPTIONS" ? 200 : 405, "Method", true);
  }
}

void SipPhone::OnInvite(const UdpPeer& from, const SipText& request) {
  const bool in_dialog = !Parameter(request.Get("To"), "tag").empty();
  if (in_dialog && request.Get("Call-ID") == dialog_.call_id) {
    remote_sdp_ = request.body;
    Reply(from, request, 200, "OK", true, Sdp());
    return;
  }
  const bool free = state_ == CallState::kIdle || state_ == CallState::kEnded;
  if (!free || options_.on_invite == OnInvite::kBusy) {
    Reply(from, request, 486, "Busy Here");
    return;
  }
  Forget();
  const std::string tag = local_tag_;
  dialog_.call_id = request.Get("Call-ID");
  dialog_.local = request.Get("To") + ";tag=" + tag;
  dialog_.remote = request.Get("From");
  dialog_.target = UriOf(request.Get("Contact"));
  dialog_.route = request.List("Record-Route");
  dialog_.cseq = 1;
  invite_ = request;
  invite_from_ = from;
  remote_sdp_ = request.body;
  state_ = CallState::kRinging;
  Reply(from, request, 180, "Ringing", true);
  if (options_.on_invite == OnInvite::kAnswer) {
    world_.After(options_.ring_time, "answer",
                 [this, call_id = dialog_.call_id] { AnswerInvite(call_id); });
  }
}

void SipPhone::AnswerInvite(const std::string& call_id) {
  if (dialog_.call_id != call_id || state_ != CallState::kRinging) {
    return;
  }
  dialog_.established = true;
  call_status_ = 200;
  Reply(invite_from_, invite_, 200, "OK", true, Sdp());
  RepeatAnswer(call_id, kT1, world_.now() + kGiveUp);
}

// RFC 3261 13.3.1.4: the 200 is repeated until the ACK comes, end to end.
void SipPhone::RepeatAnswer(const std::string& call_id, Duration interval, Instant give_up) {
  world_.After(interval, "sip timer", [this, call_id, interval, give_up] {
    if (dialog_.call_id != call_id || acked_ || state_ == CallState::kEnded) {
      return;
    }
    if (world_.now() >= give_up) {
      ++timeout_count_;
      End(408, false);
      return;
    }
    ++retransmission_count_;
    SendUdp(5060, invite_from_, servers_[invite_.branch() + " INVITE"].response);
    RepeatAnswer(call_id, std::min(interval * 2, kT2), give_up);
  });
}

void SipPhone::OnCancel(const UdpPeer& from, const SipText& request) {
  const bool ours =
      request.Get("Call-ID") == dialog_.call_id && request.branch() == invite_.branch();
  Reply(from, request, ours ? 200 : 481, ours ? "OK" : "No such call");
  if (ours && state_ == CallState::kRinging && !dialog_.established) {
    Reply(invite_from_, invite_, 487, "Request Terminated");
    End(487, true);
  }
}

void SipPhone::OnDatagram(const UdpPeer& from, std::string_view data) {
  if (data.size() <= 4) {
    return;  // keep-alive
  }
  const std::optional<SipText> message = SipText::Parse(data);
  if (!message.has_value()) {
    ++malformed_count_;
    return;
  }
  if (message->is_request()) {
    OnRequest(from, *message);
  } else {
    OnResponse(*message);
  }
}

}  // namespace gh::sim
