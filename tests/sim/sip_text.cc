#include "tests/sim/sip_text.h"

#include <strings.h>

#include <charconv>

namespace gh::sim {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return text;
}

bool Same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view LongName(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> kCompact[] = {
      {"v", "Via"},     {"f", "From"},           {"t", "To"},           {"i", "Call-ID"},
      {"m", "Contact"}, {"l", "Content-Length"}, {"c", "Content-Type"}, {"k", "Supported"}};
  for (const auto& [compact, full] : kCompact) {
    if (Same(name, compact)) {
      return full;
    }
  }
  return name;
}

// Splits at `separator` outside quotes and angle brackets.
std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  bool quoted = false;
  int depth = 0;
  size_t start = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || (text[i] == separator && !quoted && depth == 0)) {
      parts.emplace_back(Trim(text.substr(start, i - start)));
      start = i + 1;
      continue;
    }
    quoted = quoted != (text[i] == '"');
    depth += !quoted && text[i] == '<' ? 1 : !quoted && text[i] == '>' ? -1 : 0;
  }
  return parts;
}

bool ParseStartLine(std::string_view line, SipText& message) {
  if (line.starts_with("SIP/2.0 ") && line.size() >= 11) {
    const std::string_view code = line.substr(8, 3);
    std::from_chars(code.data(), code.data() + 3, message.status);
    message.reason = Trim(line.substr(11));
    return message.status >= 100 && message.status <= 699;
  }
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == line.npos || last == first || line.substr(last + 1) != "SIP/2.0") {
    return false;
  }
  message.method = line.substr(0, first);
  message.uri = line.substr(first + 1, last - first - 1);
  return true;
}

}  // namespace

std::optional<SipText> SipText::Parse(std::string_view text) {
  const size_t head_end = text.find("\r\n\r\n");
  if (head_end == text.npos) {
    return std::nullopt;
  }
  SipText message;
  message.body = text.substr(head_end + 4);
  std::string_view head = text.substr(0, head_end + 2);
  bool first = true;
  while (!head.empty()) {
    const size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end + 2);
    const size_t colon = line.find(':');
    if (first && !ParseStartLine(line, message)) {
      return std::nullopt;
    }
    if (!first && colon == line.npos) {
      return std::nullopt;
    }
    if (!first) {
      message.Add(LongName(Trim(line.substr(0, colon))), Trim(line.substr(colon + 1)));
    }
    first = false;
  }
  return message;
}

std::string SipText::Encode() const {
  std::string out = is_request() ? method + " " + uri + " SIP/2.0\r\n"
                                 : "SIP/2.0 " + std::to_string(status) + " " + reason + "\r\n";
  for (const auto& [name, value] : fields) {
    out += name + ": " + value + "\r\n";
  }
  return out + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string SipText::Get(std::string_view name) const {
  for (const auto& [own, value] : fields) {
    if (Same(own, name)) {
      return value;
    }
  }
  return "";
}

std::vector<std::string> SipText::List(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [own, value] : fields) {
    if (Same(own, name)) {
      for (std::string& part : Split(value, ',')) {
        out.push_back(std::move(part));
      }
    }
  }
  return out;
}

std::string SipText::method_of_cseq() const {
  const std::string value = Get("CSeq");
  const size_t space = value.find(' ');
  return space == value.npos ? "" : value.substr(space + 1);
}

uint32_t SipText::cseq() const {
  const std::string value = Get("CSeq");
  uint32_t number = 0;
  std::from_chars(value.data(), value.data() + value.size(), number);
  return number;
}

std::string SipText::branch() const {
  const std::vector<std::string> via = List("Via");
  return via.empty() ? "" : Parameter(via.front(), "branch");
}

std::string Parameter(std::string_view value, std::string_view name) {
  const size_t bracket = value.rfind('>');
  for (const std::string& part :
       Split(bracket == value.npos ? value : value.substr(bracket), ';')) {
    const size_t equals = part.find('=');
    if (equals != part.npos && Same(Trim(std::string_view(part).substr(0, equals)), name)) {
      return part.substr(equals + 1);
    }
  }
  return "";
}

std::string UriOf(std::string_view value) {
  const size_t open = value.find('<');
  if (open != value.npos) {
    return std::string(value.substr(open + 1, value.find('>', open) - open - 1));
  }
  return std::string(value.substr(0, value.find(';')));
}

std::string UserOf(std::string_view uri) {
  const size_t colon = uri.find(':');
  const size_t at = uri.find('@');
  return at == uri.npos ? "" : std::string(uri.substr(colon + 1, at - colon - 1));
}

std::optional<UdpPeer> PeerOf(std::string_view uri) {
  const size_t at = uri.find('@');
  std::string_view host = uri.substr(at == uri.npos ? uri.find(':') + 1 : at + 1);
  host = host.substr(0, host.find_first_of(";?>"));
  const size_t colon = host.find(':');
  UdpPeer peer{{}, 5060};
  if (colon != host.npos) {
    std::from_chars(host.data() + colon + 1, host.data() + host.size(), peer.port);
  }
  if (!ParseIpv4(host.substr(0, colon), peer.address)) {
    return std::nullopt;
  }
  return peer;
}

std::vector<std::pair<std::string, std::string>> ParseChallenge(std::string_view value) {
  std::vector<std::pair<std::string, std::string>> out;
  if (!value.starts_with("Digest ")) {
    return out;
  }
  for (const std::string& part : Split(value.substr(7), ',')) {
    const size_t equals = part.find('=');
    if (equals == part.npos) {
      continue;
    }
    std::string text = part.substr(equals + 1);
    if (text.size() >= 2 && text.front() == '"') {
      text = text.substr(1, text.size() - 2);
    }
    out.emplace_back(part.substr(0, equals), text);
  }
  return out;
}

}  // namespace gh::sim
