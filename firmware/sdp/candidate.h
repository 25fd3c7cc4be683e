// Candidates of ICE in descriptions (RFC 8839 5.1): one a=candidate line read and written.
//
// Fault model: the text is hostile. A line that is not understood (TCP, names that have to be
// looked up, unknown types) is none; the others count.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "hal/rt/bytes.h"
#include "net/address.h"

namespace gh::sdp {

enum class CandidateType : uint8_t { kHost, kServerReflexive, kPeerReflexive, kRelayed };

struct Candidate {
  std::string_view foundation;  // 1 to 32 characters
  uint32_t component = 1;
  uint32_t priority = 0;
  net::Endpoint at;
  CandidateType type = CandidateType::kHost;
  net::Endpoint related;  // of those that are not kHost; port 0: not said
};

// The value behind "candidate:".
std::optional<Candidate> ParseCandidate(std::string_view value);
void WriteCandidate(const Candidate& candidate, ByteWriter& out);  // the whole line

// RFC 8445 5.1.2.1: by type, then `preference` among ours of that type.
constexpr uint32_t PriorityOf(CandidateType type, uint32_t preference, uint32_t component) {
  const uint32_t of_type = type == CandidateType::kHost              ? 126
                           : type == CandidateType::kPeerReflexive   ? 110
                           : type == CandidateType::kServerReflexive ? 100
                                                                     : 0;
  return (of_type << 24) + (preference << 8) + (256 - component);
}

}  // namespace gh::sdp
