// Password rules: any rules, names and passwords; a refusal says why, and nothing printable is left
// of what a terminal could be made to do.
#include <cstdint>

#include "firmware/config/password.h"
#include "firmware/config/settings.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::config;
  if (size < 4) {
    return 0;
  }
  AdministrationPassword rules;
  rules.strict = (data[0] & 1) != 0 ? OnOff::kOn : OnOff::kOff;
  const size_t name_size = data[1] % (size - 2);
  const std::string_view user = gh::AsText({data + 2, name_size});
  const std::string_view password = gh::AsText({data + 2 + name_size, size - 2 - name_size});
  Message expected;
  const auto checked = CheckAdminPassword(rules, user, password, expected);
  GH_ASSERT(checked.ok() == expected.empty());
  GH_ASSERT(checked.ok() == false || password.size() <= kPasswordMax);
  (void)IsCommonPassword(password);
  Message sip;
  (void)CheckSipPassword(password, sip).ok();
  return 0;
}
