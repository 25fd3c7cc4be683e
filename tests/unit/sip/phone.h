// A scripted user agent for tests: makes requests and responses, answers digest challenges.
#pragma once

#include <string>

#include "tests/unit/http/websocket_client.h"
#include "tests/unit/sip/world.h"

namespace gh::sip::test {

using enum DigestAlgorithm;

class Phone {
 public:
  Phone(World& world, std::string user, std::string_view address)
      : world_(world), user_(std::move(user)), at_(At(address)) {}

  const net::Endpoint& at() const { return at_; }
  std::string uri() const { return "sip:" + user_ + "@example.com"; }
  std::string contact() const {
    return is_websocket_ ? "<sip:" + user_ + "@df7jal23ls0d.invalid;transport=ws>"
                         : "<sip:" + user_ + "@" + World::Key(at_) + ">";
  }

  // --- Requests. `headers` are whole lines with LF.
  struct Spec {
    std::string method = {};
    std::string uri = {};
    std::string to = {};  // empty: the URI
    std::string to_tag = {};
    std::string from_tag = "ft";
    std::string from = {};  // empty: ours
    std::string call_id = "call";
    int cseq = 1;
    std::string branch = {};  // empty: a new one
    std::string headers = {};
    std::string body = {};
    std::string contact = {};  // empty: ours
    int max_forwards = 70;
    bool rport = true;
  };
  std::string Build(const Spec& spec) {
    last_branch_ =
        spec.branch.empty() ? "z9hG4bK" + user_ + std::to_string(++branch_number_) : spec.branch;
    const std::string to = spec.to.empty() ? spec.uri : spec.to;
    const std::string from = spec.from.empty() ? uri() : spec.from;
    return Crlf(spec.method + " " + spec.uri + " SIP/2.0\nVia: SIP/2.0/" + transport_ + " " +
                (is_websocket_ ? "df7jal23ls0d.invalid" : World::Key(at_)) +
                ";branch=" + last_branch_ + (spec.rport ? ";rport" : "") +
                "\nMax-Forwards: " + std::to_string(spec.max_forwards) + "\nFrom: <" + from +
                ">;tag=" + spec.from_tag + "\nTo: <" + to + ">" +
                (spec.to_tag.empty() ? "" : ";tag=" + spec.to_tag) + "\nCall-ID: " + spec.call_id +
                "\nCSeq: " + std::to_string(spec.cseq) + " " + spec.method +
                "\nContact: " + (spec.contact.empty() ? contact() : spec.contact) + "\n" +
                spec.headers + "Content-Length: " + std::to_string(spec.body.size()) + "\n\n") +
           spec.body;
  }
  // Sends and returns the request's text.
  std::string Send(const Spec& spec) {
    std::string text = Build(spec);
    Deliver(text);
    return text;
  }
  void Deliver(const std::string& text) {
    if (is_websocket_) {
      world_.Feed(stream_, net::test::ClientFrame(0x81, text));
    } else if (stream_.valid()) {
      world_.Feed(stream_, text);
    } else {
      world_.Deliver(at_, text);
    }
  }
  // From now on over a stream.
  void UseTcp() {
    stream_ = world_.Accept(at_);
    transport_ = "TCP";
  }
  // As a script in a browser does (RFC 7118): it has no address that others could name.
  Sent UseWebSocket(const net::Endpoint& to) {
    stream_ = world_.Accept(at_, to);
    transport_ = "WS";
    world_.Feed(stream_, net::test::ClientHandshake());
    is_websocket_ = true;
    return world_.TakeTo(at_);
  }
  net::StreamId stream() const { return stream_; }

  Sent Register(int expires = 3600, int cseq = 1, const std::string& headers = {},
                const std::string& contact_value = {}) {
    Spec spec{.method = "REGISTER", .uri = "sip:example.com", .to = uri()};
    spec.call_id = "reg-" + user_;
    spec.cseq = cseq;
    spec.headers = "Expires: " + std::to_string(expires) + "\n" + headers;
    spec.contact = contact_value;
    Send(spec);
    return Take();
  }
  // With the answer to a challenge when one comes.
  Sent RegisterWithPassword(const std::string& password, DigestAlgorithm algorithm = kSha256,
                            int cseq = 1) {
    Spec spec{.method = "REGISTER", .uri = "sip:example.com", .to = uri()};
    spec.call_id = "reg-" + user_;
    spec.cseq = cseq;
    Send(spec);
    Sent challenge = Take();
    if (challenge.Status() != 401) {
      return challenge;
    }
    spec.cseq = cseq + 1;
    spec.headers = Authorization(challenge, "REGISTER", spec.uri, password, algorithm);
    Send(spec);
    return Take();
  }
  std::string Authorization(const Sent& challenge, const std::string& method,
                            const std::string& digest_uri, const std::string& password,
                            DigestAlgorithm algorithm = kSha256, int nc = 1) {
    const bool proxy = challenge.Status() == 407;
    for (const auto& value : challenge.Headers(proxy ? "Proxy-Authenticate" : "WWW-Authenticate")) {
      if (ParamOf(value, "algorithm") == DigestAlgorithmName(algorithm)) {
        return MakeAuthorization(proxy, value, method, digest_uri, password, algorithm, nc);
      }
    }
    return {};
  }
  std::string MakeAuthorization(bool proxy, const std::string& challenge, const std::string& method,
                                const std::string& digest_uri, const std::string& password,
                                DigestAlgorithm algorithm, int nc) {
    const std::string realm = ParamOf(challenge, "realm");
    const std::string nonce = ParamOf(challenge, "nonce");
    char count[9];
    std::snprintf(count, sizeof(count), "%08x", static_cast<unsigned>(nc));
    DigestCredentials c;
    c.uri = digest_uri;
    c.nonce = nonce;
    c.qop = "auth";
    c.cnonce = "0a4f113b";
    c.nc = count;
    char response[64];
    const size_t size = ComputeDigestResponse(
        algorithm, ComputeHa1(algorithm, user_, realm, password), method, c, response);
    return std::string(proxy ? "Proxy-Authorization" : "Authorization") + ": Digest username=\"" +
           user_ + "\", realm=\"" + realm + "\", nonce=\"" + nonce + "\", uri=\"" + digest_uri +
           "\", response=\"" + std::string(response, size) +
           "\", algorithm=" + std::string(DigestAlgorithmName(algorithm)) +
           ", qop=auth, nc=" + count + ", cnonce=\"0a4f113b\"\n";
  }

  // --- Responses to what was received.
  std::string Response(const Sent& request, int status, const std::string& to_tag = "tt",
                       const std::string& headers = {}, const std::string& body = {}) {
    std::string text = "SIP/2.0 " + std::to_string(status) + " Reason\r\n";
    for (const auto& via : request.Headers("Via")) {
      text += "Via: " + via + "\r\n";
    }
    for (const auto& route : request.Headers("Record-Route")) {
      text += "Record-Route: " + route + "\r\n";
    }
    std::string to = request.Header("To");
    if (to.find(";tag=") == std::string::npos && !to_tag.empty()) {
      to += ";tag=" + to_tag;
    }
    text += "From: " + request.Header("From") + "\r\nTo: " + to +
            "\r\nCall-ID: " + request.Header("Call-ID") + "\r\nCSeq: " + request.Header("CSeq") +
            "\r\nContact: " + contact() + "\r\n" + Crlf(headers) +
            "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    return text;
  }
  void Respond(const Sent& request, int status, const std::string& to_tag = "tt",
               const std::string& headers = {}, const std::string& body = {}) {
    Deliver(Response(request, status, to_tag, headers, body));
  }

  Sent Take() {
    Sent sent = world_.TakeTo(at_);
    if (is_websocket_) {
      sent.text = net::test::ServerFramePayload(sent.text);
    }
    return sent;
  }
  const std::string& last_branch() const { return last_branch_; }

 private:
  World& world_;
  std::string user_;
  net::Endpoint at_;
  net::StreamId stream_;
  std::string transport_ = "UDP";
  bool is_websocket_ = false;
  std::string last_branch_;
  int branch_number_ = 0;
};

// The Route lines a user agent makes of the Record-Route it saw.
inline std::string RouteSet(const Sent& message, bool reversed) {
  auto routes = message.Headers("Record-Route");
  std::string lines;
  for (size_t i = 0; i < routes.size(); ++i) {
    lines += "Route: " + routes[reversed ? routes.size() - 1 - i : i] + "\n";
  }
  return lines;
}

}  // namespace gh::sip::test
