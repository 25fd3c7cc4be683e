// SIP messages as a scripted phone needs them: start line, header fields in order, body. Written
// for tests, apart from the product's parser, and strict about what the phone relies on.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/sim/udp_host.h"

namespace gh::sim {

struct SipText {
  std::string method;  // requests
  std::string uri;
  int status = 0;  // responses
  std::string reason;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;

  static std::optional<SipText> Parse(std::string_view text);
  std::string Encode() const;  // adds Content-Length
  bool is_request() const { return status == 0; }

  void Add(std::string_view name, std::string_view value) { fields.emplace_back(name, value); }
  std::string Get(std::string_view name) const;  // the first, "" when there is none
  // All values of a field in order, comma-separated ones apart.
  std::vector<std::string> List(std::string_view name) const;
  std::string method_of_cseq() const;
  uint32_t cseq() const;
  std::string branch() const;  // of the top Via
};

// ";tag=abc" of a From or To value, "tag" parameters of any header value.
std::string Parameter(std::string_view value, std::string_view name);
// "sip:bob@192.0.2.1:5060;transport=udp" out of `"Bob" <sip:...>;tag=x` or of a bare URI.
std::string UriOf(std::string_view value);
std::string UserOf(std::string_view uri);
// The address of a URI whose host is an IPv4 address; port 5060 when there is none.
std::optional<UdpPeer> PeerOf(std::string_view uri);

// The parameters of a digest challenge, quotes removed.
std::vector<std::pair<std::string, std::string>> ParseChallenge(std::string_view value);

}  // namespace gh::sim
