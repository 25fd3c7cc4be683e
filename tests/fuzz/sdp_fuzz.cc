// Descriptions from the wire: whatever comes is read without a fault or refused; what was read can
// be written again, copied and with a relay in every section, and reads the same way then.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "firmware/sdp/candidate.h"
#include "firmware/sdp/description.h"
#include "firmware/sdp/rewrite.h"

using gh::sdp::MediaEdit;

namespace {

void Expect(bool holds) {
  if (!holds) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto first = std::make_unique<gh::sdp::Description>();
  static auto second = std::make_unique<gh::sdp::Description>();
  static std::vector<uint8_t> room(64 * 1024);
  if (!gh::sdp::Parse({reinterpret_cast<const char*>(data), size}, *first).ok()) {
    return 0;
  }
  for (const gh::sdp::Line& line : std::span(first->lines).first(first->line_count)) {
    const auto attribute = gh::sdp::SplitAttribute(first->Value(line));
    const auto candidate = gh::sdp::ParseCandidate(attribute.value);
    if (line.type == 'a' && attribute.name == "candidate" && candidate) {
      gh::ByteWriter written(room);  // what is read can be written, and means the same then
      gh::sdp::WriteCandidate(*candidate, written);
      const auto again = gh::sdp::ParseCandidate(written.text().substr(12, written.size() - 14));
      Expect(again && again->at == candidate->at && again->priority == candidate->priority);
    }
  }
  std::array<MediaEdit, gh::sdp::kMediaMax> edits;
  const auto of_sections = std::span(edits).first(first->media_count);
  gh::ByteWriter copy(room);
  gh::sdp::Rewrite(*first, of_sections, {}, copy);
  Expect(copy.ok() && copy.size() <= size + size / 2 + 2);
  if (copy.size() <= gh::sdp::kBodyMax) {
    Expect(gh::sdp::Parse(copy.text(), *second).ok());
    Expect(second->media_count == first->media_count);
  }
  for (MediaEdit& edit : of_sections) {
    edit.kind = MediaEdit::Kind::kRelay;
    edit.at = {gh::net::IpAddress::V4(192, 0, 2, 1), 40000};
    edit.replaces_crypto = edit.drops_dtls = edit.drops_mux = true;
    edit.crypto_count = 1;
    edit.crypto[0] = {1, "AES_CM_128_HMAC_SHA1_80", "AAAA"};
  }
  gh::ByteWriter relayed(room);
  gh::sdp::Rewrite(*first, of_sections, gh::net::IpAddress::V4(192, 0, 2, 1), relayed);
  Expect(relayed.ok());
  if (relayed.size() > gh::sdp::kBodyMax || !gh::sdp::Parse(relayed.text(), *second).ok()) {
    return 0;  // too many lines now
  }
  for (const gh::sdp::Media& media : second->sections()) {
    Expect(media.port == 40000 && !media.has_ice && !media.has_fingerprint);
    Expect(media.crypto_count == 1 && media.address == gh::net::IpAddress::V4(192, 0, 2, 1));
  }
  return 0;
}
