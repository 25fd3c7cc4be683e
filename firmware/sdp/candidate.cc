#include "firmware/sdp/candidate.h"

#include <algorithm>
#include <charconv>

#include "hal/rt/ascii.h"

namespace gh::sdp {
namespace {

constexpr std::string_view kTypes[] = {"host", "srflx", "prflx", "relay"};
constexpr uint32_t kFoundationMax = 32;

// Up to the next blank, which is taken too.
std::string_view NextWord(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

bool ReadNumber(std::string_view text, uint32_t max, uint32_t& out) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  return error == std::errc() && stop == end && out <= max;
}

bool ReadEndpoint(std::string_view address, std::string_view port, net::Endpoint& out) {
  const auto parsed = net::IpAddress::Parse(address);
  uint32_t number = 0;
  if (!parsed.ok() || !ReadNumber(port, 65535, number)) {
    return false;
  }
  out = {*parsed, static_cast<uint16_t>(number)};
  return true;
}

}  // namespace

std::optional<Candidate> ParseCandidate(std::string_view value) {
  Candidate out;
  out.foundation = NextWord(value);
  const bool is_begun = !out.foundation.empty() && out.foundation.size() <= kFoundationMax &&
                        ReadNumber(NextWord(value), 256, out.component) && out.component != 0 &&
                        EqualsIgnoringCase(NextWord(value), "udp") &&
                        ReadNumber(NextWord(value), INT32_MAX, out.priority) && out.priority != 0;
  if (!is_begun) {
    return std::nullopt;
  }
  const std::string_view address = NextWord(value);
  if (!ReadEndpoint(address, NextWord(value), out.at) || out.at.port == 0 ||
      NextWord(value) != "typ") {
    return std::nullopt;
  }
  const auto type = std::ranges::find(kTypes, NextWord(value));
  if (type == std::end(kTypes)) {
    return std::nullopt;
  }
  out.type = static_cast<CandidateType>(type - std::begin(kTypes));
  if (NextWord(value) == "raddr") {
    const std::string_view related = NextWord(value);
    if (NextWord(value) != "rport" || !ReadEndpoint(related, NextWord(value), out.related)) {
      out.related = {};
    }
  }
  return out;
}

void WriteCandidate(const Candidate& candidate, ByteWriter& out) {
  out.Text("a=candidate:");
  out.Text(candidate.foundation);
  out.Char(' ');
  out.Decimal(candidate.component);
  out.Text(" UDP ");
  out.Decimal(candidate.priority);
  out.Char(' ');
  candidate.at.address.Format(out);
  out.Char(' ');
  out.Decimal(candidate.at.port);
  out.Text(" typ ");
  out.Text(kTypes[static_cast<size_t>(candidate.type)]);
  if (candidate.type != CandidateType::kHost) {
    out.Text(" raddr ");
    candidate.related.address.Format(out);
    out.Text(" rport ");
    out.Decimal(candidate.related.port);
  }
  out.Text("\r\n");
}

}  // namespace gh::sdp
