// Whatever lines are imported as contact lists: what is read is written so that it reads the same.
#include <cstdint>
#include <cstdlib>

#include "firmware/xmpp/contact_lists.h"
#include "firmware/xmpp/scram.h"

using namespace gh::xmpp;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view file(reinterpret_cast<const char*>(data), size);
  while (!file.empty()) {
    const std::string_view line = TakeLine(file);
    RenameLine rename;
    (void)ReadRenameLine(line, rename);
    UserLine user;
    if (ReadUserLine(line, user) == ContactFault::kNone) {
      const auto verifier = ReadVerifier(user.secret.view());
      uint8_t bytes[2048];
      gh::ByteWriter out(bytes);
      WriteUserLine(user.user.view(), out);
      std::string_view written = out.text();
      UserLine again;
      if (!out.ok() || ReadUserLine(TakeLine(written), again) != ContactFault::kNone ||
          again.user != user.user || !again.secret.empty() ||
          (verifier.ok() && verifier->iterations < kScramIterationsMin)) {
        std::abort();
      }
    }
    ContactLine read;
    if (ReadContactLine(line, read) != ContactFault::kNone) {
      continue;
    }
    uint8_t bytes[4096];
    gh::ByteWriter out(bytes);
    WriteContactLine(read.user.view(), read.contact.view(), read.nickname.view(), read.group.view(),
                     out);
    std::string_view written = out.text();
    ContactLine again;
    if (!out.ok() || ReadContactLine(TakeLine(written), again) != ContactFault::kNone ||
        again.user != read.user || again.contact != read.contact ||
        again.nickname != read.nickname || again.group != read.group) {
      std::abort();
    }
  }
  return 0;
}
