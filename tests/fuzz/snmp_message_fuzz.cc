// SNMP messages of both versions. Each is also sealed anew as a user who knows the keys would, so
// that what is behind authentication and encryption is reached.
#include <array>
#include <cstdint>
#include <vector>

#include "firmware/snmp/agent.h"
#include "hal/rt/assert.h"

namespace {

using namespace gh;
using namespace gh::snmp;

class Rows final : public Source {
 public:
  bool Read(uint16_t id, uint32_t row, Value& out) const override {
    out.SetText("a value");
    return id != 2 || (row > 0 && row < 100);
  }
  uint32_t NextRow(uint16_t, uint32_t row) const override { return row < 99 ? row + 1 : 0; }
};

const Object kObjects[] = {{{1, 3, 1}, 1, false}, {{1, 3, 2}, 2, true}, {{1, 3, 4}, 3, false}};
constexpr uint8_t kEngine[] = {0x80, 0, 0x7e, 0xd9, 3};

void Check(std::span<const uint8_t> answer) {
  BerReader whole(answer);
  if (!answer.empty()) {
    (void)whole.Enter(kSequence);
    GH_ASSERT(whole.ok() && whole.at_end());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Rows rows;
  Mib mib(kObjects, rows);
  Agent fresh(mib);
  fresh.SetEngine(kEngine, 1, Instant{});
  fresh.SetCommunity("public");
  User& user = fresh.users()[0];
  user.name.Assign("u");
  user.has_privacy = true;
  user.ready = true;
  std::vector<uint8_t> in(data, data + std::min<size_t>(size, kMessageMax));
  std::array<uint8_t, kMessageMax> out;
  Check(fresh.Handle(in, out, Instant{}));

  // The input as the plain text of a private message.
  std::vector<uint8_t> plain(data, data + std::min<size_t>(size, 1200));
  std::vector<uint8_t> buffer(1500);
  BerWriter w(buffer);
  const std::array<uint8_t, 8> salt = {};
  Crypt(true, user.privacy_key, 1, 0, salt, plain);
  w.Octets(plain);
  const size_t security = w.mark();
  w.Octets(salt);
  const std::array<uint8_t, 24> no_tag = {};
  w.Bytes(no_tag);
  const size_t tag_at = w.mark();
  w.End(kOctetString, tag_at + no_tag.size());
  w.Octets(AsBytes("u"));
  w.Integer(0);
  w.Integer(1);
  w.Octets(kEngine);
  w.End(kSequence, security);
  w.End(kOctetString, security);
  const size_t global = w.mark();
  const uint8_t flags = 7;
  w.Integer(3);
  w.Octets(std::span(&flags, 1));
  w.Integer(1472);
  w.Integer(1);
  w.End(kSequence, global);
  w.Integer(3);
  w.End(kSequence, buffer.size());
  GH_ASSERT(w.ok());
  const auto message = w.written();
  const auto tag = TagOf(user.protocol, user.auth_key, message);
  std::copy(tag.begin(), tag.end(), message.begin() + static_cast<long>(tag_at - w.mark()));
  Check(fresh.Handle(message, out, Instant{}));
  GH_ASSERT_LE(fresh.counters().wrong_digest, 1u);
  return 0;
}
