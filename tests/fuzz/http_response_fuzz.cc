// HTTP responses: whatever the bytes and however they are cut, the pieces lie within them, nothing
// is read twice, and the outcome does not depend on the cut.
#include "net/http/response.h"

#include <cstdlib>
#include <string>

namespace {

struct Seen {
  std::string body;
  bool complete = false;
  gh::ErrorCode error = gh::ErrorCode::kOk;
  bool operator==(const Seen&) const = default;
};

Seen Read(std::span<const uint8_t> bytes, size_t piece) {
  static gh::net::HttpResponse response;
  response.Reset();
  Seen seen;
  while (!bytes.empty() && !response.complete() && seen.error == gh::ErrorCode::kOk) {
    auto part = bytes.first(std::min(piece, bytes.size()));
    bytes = bytes.subspan(part.size());
    while (!part.empty() && !response.complete()) {
      const auto body = response.Feed(part);
      if (!body.ok()) {
        seen.error = body.code();
        break;
      }
      seen.body.append(reinterpret_cast<const char*>(body.value().data()), body.value().size());
    }
  }
  seen.complete = response.complete();
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(data, size);
  const Seen whole = Read(bytes, size + 1);
  if (whole != Read(bytes, 1) || whole != Read(bytes, 7) || whole.body.size() > size) {
    std::abort();
  }
  return 0;
}
