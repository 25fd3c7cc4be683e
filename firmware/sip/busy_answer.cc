#include "firmware/sip/busy_answer.h"

#include <algorithm>

#include "firmware/sip/limits.h"
#include "firmware/sip/text.h"
#include "firmware/sip/writer.h"

namespace gh::sip {
namespace {

enum Part : uint32_t {
  kNoPart = 0,
  kVia = 1 << 0,
  kFrom = 1 << 1,
  kTo = 1 << 2,
  kCallId = 1 << 3,
  kCseq = 1 << 4,
};
constexpr uint32_t kAllParts = kVia | kFrom | kTo | kCallId | kCseq;

// The head's lines, each with its CRLF.
class Lines {
 public:
  explicit Lines(std::span<const uint8_t> data)
      : rest_(reinterpret_cast<const char*>(data.data()), std::min(data.size(), kGlanceBytesMax)) {}
  // False: there is no more, or one that ends in no CRLF.
  bool Next(std::string_view& line) {
    const size_t end = rest_.find('\n');
    if (end == std::string_view::npos || end == 0 || rest_[end - 1] != '\r') {
      return false;
    }
    line = rest_.substr(0, end + 1);
    rest_.remove_prefix(end + 1);
    return true;
  }

 private:
  std::string_view rest_;
};

bool IsField(std::string_view line, std::string_view name, std::string_view& value) {
  if (line.size() <= name.size() || line[name.size()] != ':' ||
      !EqualsNoCase(line.substr(0, name.size()), name)) {
    return false;
  }
  value = TrimLws(line.substr(name.size() + 1, line.size() - name.size() - 3));
  return true;
}

// Which field a line is, and its value. Blanks before the colon: none of these.
Part PartOf(std::string_view line, std::string_view& value) {
  switch (Lower(line.front())) {
    case 'v':
      return IsField(line, "via", value) || IsField(line, "v", value) ? kVia : kNoPart;
    case 'f':
      return IsField(line, "from", value) || IsField(line, "f", value) ? kFrom : kNoPart;
    case 't':
      return IsField(line, "to", value) || IsField(line, "t", value) ? kTo : kNoPart;
    case 'i':
      return IsField(line, "i", value) ? kCallId : kNoPart;
    case 'c':
      return IsField(line, "cseq", value)      ? kCseq
             : IsField(line, "call-id", value) ? kCallId
                                               : kNoPart;
    default:
      return kNoPart;
  }
}

// False: a parameter that asks for something else, or has been written by others for us.
bool ReadParam(std::string_view param, Via& via) {
  const size_t equals = std::min(param.find('='), param.size());
  const std::string_view name = param.substr(0, equals);
  if (EqualsNoCase(name, "branch")) {
    via.branch = param.substr(std::min(equals + 1, param.size()));
    return true;
  }
  if (param == "rport") {
    via.has_rport = true;
    return true;
  }
  return !EqualsNoCase(name.substr(0, 5), "rport") && !EqualsNoCase(name, "received") &&
         !EqualsNoCase(name, "maddr") && !EqualsNoCase(name, "oc");
}

// Quoted strings, blanks and several values in one field are not plain.
std::optional<Via> ReadPlainVia(std::string_view text) {
  constexpr std::string_view kProtocol = "SIP/2.0/UDP ";
  if (!text.starts_with(kProtocol)) {
    return std::nullopt;
  }
  std::string_view rest = text.substr(kProtocol.size());
  constexpr char kNotPlain[] = {'"', ',', ' ', '\t'};
  if (std::ranges::any_of(kNotPlain, [&](char c) { return rest.find(c) != rest.npos; })) {
    return std::nullopt;
  }
  Via via;
  via.text = text;
  size_t end = std::min(rest.find(';'), rest.size());
  const std::string_view sent_by = rest.substr(0, end);
  const size_t bracket = sent_by.find(']');
  const size_t colon = sent_by.find(':', bracket == sent_by.npos ? 0 : bracket);
  via.host = sent_by.substr(0, colon);
  if (colon != sent_by.npos) {
    const auto port = ParseNumber(sent_by.substr(colon + 1), 65535);
    if (!port || *port == 0) {
      return std::nullopt;
    }
    via.port = static_cast<uint16_t>(*port);
  }
  while (end < rest.size()) {
    rest.remove_prefix(end + 1);
    end = std::min(rest.find(';'), rest.size());
    if (!ReadParam(rest.substr(0, end), via)) {
      return std::nullopt;
    }
  }
  return via.is_rfc3261() && IsHost(via.host) ? std::optional(via) : std::nullopt;
}

void WriteVia(const Via& via, const Flow& source, ByteWriter& out) {
  // A parameter "rport" without a value is one that takes it.
  out.Text("Via: ");
  const size_t rport = via.has_rport ? via.text.find(";rport") : via.text.npos;
  out.Text(via.text.substr(0, rport));
  out.Text(rport == via.text.npos ? "" : via.text.substr(rport + 6));
  WriteSource(out, via, source);
  out.Text("\r\n");
}

}  // namespace

std::optional<Via> GlanceAtVia(std::span<const uint8_t> request, const Flow& source) {
  Lines lines(request);
  std::string_view line;
  std::string_view value;
  for (bool is_first = true; lines.Next(line); is_first = false) {
    if (!is_first && PartOf(line, value) == kVia) {
      std::optional<Via> via = ReadPlainVia(value);
      const bool is_here = via && ResponseTarget(source, *via) == source.remote;
      return is_here ? via : std::nullopt;
    }
  }
  return std::nullopt;
}

bool WriteBusyAnswer(std::span<const uint8_t> request, const Via& via, const Flow& source,
                     KeyedHash tag, uint32_t retry_after_s, ByteWriter& out) {
  Lines lines(request);
  std::string_view line;
  std::string_view value;
  std::string_view to;
  out.Text("SIP/2.0 503 Service Unavailable\r\n");
  uint32_t seen = 0;
  for (bool is_first = true;; is_first = false) {
    if (!lines.Next(line)) {
      return false;
    }
    if (line.size() == 2) {
      break;
    }
    const Part part = is_first ? kNoPart : PartOf(line, value);
    if ((seen & part & ~kVia) != 0) {
      return false;
    }
    const bool is_top = part == kVia && (seen & kVia) == 0;
    seen |= part;
    if (is_top) {
      WriteVia(via, source, out);
    } else if (part == kTo) {
      to = line.substr(0, line.size() - 2);
    } else if (part != kNoPart) {
      if (part == kCallId) {
        tag.Add(value);
      }
      out.Text(line);
    }
  }
  const uint64_t to_tag = tag.Value() | 1;
  out.Text(to);
  out.Text(";tag=");
  out.Hex(to_tag, 16);
  out.Text("\r\nRetry-After: ");
  // Those that are sent away at once do not come back at once.
  out.Decimal(retry_after_s + (to_tag >> 8) % (retry_after_s + 1));
  out.Text("\r\nContent-Length: 0\r\n\r\n");
  return seen == kAllParts && out.ok();
}

}  // namespace gh::sip
