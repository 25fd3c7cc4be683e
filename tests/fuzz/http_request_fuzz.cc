// The head of an HTTP request: everything it yields lies within it.
#include <cstdint>
#include <string_view>

#include "hal/rt/assert.h"
#include "net/http_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t head_size = gh::net::HttpHeadSize(bytes);
  GH_ASSERT_LE(head_size, size);
  if (head_size == 0) {
    return 0;
  }
  const std::string_view head = bytes.substr(0, head_size);
  const auto request = gh::net::ParseHttpRequest(head);
  if (request.ok()) {
    GH_ASSERT(request->path.starts_with("/"));
    for (const std::string_view part : {request->method, request->path, request->host}) {
      GH_ASSERT(part.empty() || (part.data() >= head.data() &&
                                 part.data() + part.size() <= head.data() + head.size()));
    }
  }
  return 0;
}
