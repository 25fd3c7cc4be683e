// What a policy service says, hostile: an answer is taken whole or not at all, and nothing of it
// can break a SIP message's lines. What we ask stays one field, whatever is in it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "firmware/dialplan/policy_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::dialplan;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto answer = ParsePolicyAnswer(text);
  if (answer.ok()) {
    for (const char c : answer->phrase.view()) {
      if (c < ' ' || c > '~') {
        std::abort();
      }
    }
    if (!answer->allows && (answer->status < 400 || answer->status > 699)) {
      std::abort();
    }
  }
  uint8_t bytes[512];
  gh::ByteWriter out(bytes);
  WriteFormField(out, "name", text);
  if (out.ok() && out.text().find_first_of("&\r\n ") != std::string_view::npos) {
    std::abort();
  }
  return 0;
}
