#include "firmware/sdp/bandwidth.h"

#include <algorithm>
#include <charconv>

namespace gh::sdp {
namespace {

constexpr uint64_t kKbpsMax = 100'000'000;  // more is nobody's wish: it counts as that

// One line with its end, taken off the front.
std::string_view TakeLine(std::string_view& rest) {
  const size_t end = rest.find('\n');
  const std::string_view line = rest.substr(0, end == std::string_view::npos ? end : end + 1);
  rest.remove_prefix(line.size());
  return line;
}

struct Line {
  std::string_view type;  // "AS"
  uint64_t value = 0;
  size_t digits_at = 0;
  size_t digits_size = 0;
  bool is_bits = false;  // TIAS: bit/s
  uint32_t kbps() const {
    const uint64_t kbps = is_bits ? (value + 999) / 1000 : value;
    return static_cast<uint32_t>(std::min(kbps, kKbpsMax));
  }
};

// A line of a modifier we know.
bool ReadLine(std::string_view text, Line& out) {
  const size_t colon = text.find(':');
  if (!text.starts_with("b=") || colon == std::string_view::npos) {
    return false;
  }
  out.type = text.substr(2, colon - 2);
  if (out.type != "AS" && out.type != "CT" && out.type != "TIAS") {
    return false;
  }
  out.is_bits = out.type == "TIAS";
  out.digits_at = colon + 1;
  const char* first = text.data() + out.digits_at;
  const auto read = std::from_chars(first, text.data() + text.size(), out.value);
  out.digits_size = static_cast<size_t>(read.ptr - first);
  return read.ec == std::errc() && out.digits_size != 0;
}

// "m=audio 0 RTP/AVP 0": rejected or switched off.
bool IsOff(std::string_view line) {
  const size_t space = line.find(' ');
  return space != std::string_view::npos && line.substr(space + 1).starts_with("0 ");
}

// Not bounded: shares are in proportion to all that is asked for.
uint64_t SumOf(std::string_view body) {
  uint64_t session = 0;
  uint64_t sum = 0;
  uint64_t of_media = 0;
  bool in_media = false;
  bool is_off = false;
  const auto close = [&] {
    sum += is_off ? 0 : of_media;
    of_media = 0;
  };
  while (!body.empty()) {
    const std::string_view text = TakeLine(body);
    Line line;
    if (text.starts_with("m=")) {
      close();
      in_media = true;
      is_off = IsOff(text);
    } else if (ReadLine(text, line)) {
      uint64_t& place = in_media ? of_media : session;
      place = std::max<uint64_t>(place, line.kbps());
    }
  }
  close();
  return session != 0 ? session : sum;
}

}  // namespace

uint32_t BandwidthOf(std::string_view body) {
  return static_cast<uint32_t>(std::min(SumOf(body), kKbpsMax));
}

void LimitBandwidth(std::string_view body, uint32_t limit_kbps, ByteWriter& out) {
  const uint64_t wanted = SumOf(body);
  if (wanted != 0 && wanted <= limit_kbps) {
    out.Text(body);
    return;
  }
  bool is_told = wanted != 0;
  while (!body.empty()) {
    const std::string_view text = TakeLine(body);
    Line line;
    if (!is_told && text.starts_with("t=")) {
      out.Text("b=AS:");
      out.Decimal(limit_kbps);
      out.Text("\r\n");
      is_told = true;
    }
    if (wanted == 0 || !ReadLine(text, line)) {
      out.Text(text);
      continue;
    }
    const uint64_t value = std::min(line.value, line.is_bits ? kKbpsMax * 1000 : kKbpsMax);
    out.Text(text.substr(0, line.digits_at));
    out.Decimal(std::max<uint64_t>(value * limit_kbps / wanted, line.value == 0 ? 0 : 1));
    out.Text(text.substr(line.digits_at + line.digits_size));
  }
}

}  // namespace gh::sdp
