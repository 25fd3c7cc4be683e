// Presence documents (PIDF, RFC 3863; with the person and devices of RFC 4479 and whatever else
// they hold): read from who publishes, written for who watches.
//
// A document is taken apart into what a composed one is made of: tuples, notes, other elements.
// Each is written anew from its tree, never passed on as the bytes it came as; ids get a prefix,
// so that those of two publications do not meet. Fault model: whatever comes is a document or is
// not; nothing is kept of one that is not, or that is over a limit.
#pragma once

#include <span>
#include <string_view>

#include "crypto/random.h"
#include "firmware/presence/limits.h"
#include "firmware/xmpp/xml_reader.h"
#include "hal/rt/arena.h"
#include "hal/rt/bytes.h"
#include "hal/rt/heap.h"
#include "hal/rt/result.h"

namespace gh::presence {

inline constexpr std::string_view kPidfType = "application/pidf+xml";

// One document's parts, as they stand in a composed one. Views.
struct Parts {
  std::string_view tuples;
  std::string_view notes;
  std::string_view others;
  bool is_open = false;  // one of the tuples at least
  std::string_view text() const {
    return {tuples.data(), tuples.size() + notes.size() + others.size()};
  }
};

class PidfReader {
 public:
  PidfReader(Arena& arena, crypto::Random& random);

  // Writes the parts of `document` one behind the other into `out`. kMalformed: not well-formed,
  // or no presence document; kTooLarge: over a limit, or more than `out` holds.
  Result<Parts> Read(std::span<const uint8_t> document, uint32_t prefix, ByteWriter& out);

 private:
  Heap heap_;
  xmpp::XmlReader reader_;
};

// The parts of a user whom nobody published anything of.
void WriteBasic(ByteWriter& out, bool is_open, std::string_view contact);

// A document about `entity` (a URI): Begin, then all tuples, all notes, all others, then End.
void BeginPidf(ByteWriter& out, std::string_view entity);
void EndPidf(ByteWriter& out);

}  // namespace gh::presence
