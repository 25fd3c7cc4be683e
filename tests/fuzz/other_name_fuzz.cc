// otherName of certificates, which peers show before they are trusted: what is read lies within the
// bytes, and has no NUL or line end for whoever compares or logs it.
#include <algorithm>

#include "crypto/other_names.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh;
  const crypto::OtherName name = crypto::ReadOtherName({data, size});
  if (name.kind == crypto::OtherNameKind::kNone) {
    GH_ASSERT(name.text.empty() && name.domain().empty());
    return 0;
  }
  const std::string_view all = AsText({data, size});
  GH_ASSERT(!name.text.empty() && name.text.data() >= all.data() &&
            name.text.data() + name.text.size() == all.data() + all.size());
  GH_ASSERT(std::ranges::none_of(name.text, [](char c) { return c == 0 || c == '\n'; }));
  GH_ASSERT(name.domain().empty() || name.text.ends_with(name.domain()));
  return 0;
}
