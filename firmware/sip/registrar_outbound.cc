// Outbound flows (RFC 5626) and GRUUs (RFC 5627) of the registrar. A temporary GRUU needs no memory
// of its own: it is its binding's handle under a keyed mask, with a keyed tag over the handle and
// the registration's Call-ID, so it ends with the binding or when the user agent starts anew, and
// nobody can tell from two of them that they are one user's.
#include "firmware/sip/registrar.h"

namespace gh::sip {
namespace {

constexpr std::string_view kTemporary = "tgruu.";
constexpr size_t kNonceDigits = 16;
constexpr size_t kHandleDigits = 16;
constexpr size_t kTagDigits = 16;

bool Supports(const Message& request, std::string_view extension) {
  bool found = false;
  for (const HeaderId id : {HeaderId::kSupported, HeaderId::kRequire}) {
    ForEachToken(request, id, [&](std::string_view token) {
      found = found || EqualsNoCase(token, extension);
      return !found;
    });
  }
  return found;
}

// What stands between the angle brackets of +sip.instance, where it may stand in a URI.
std::string_view NameOfInstance(const Binding& binding) {
  std::string_view text = binding.instance();
  if (text.size() < 3 || text.front() != '<' || text.back() != '>') {
    return {};
  }
  text = text.substr(1, text.size() - 2);
  return AllAre(text, kUriParamChar) ? text : std::string_view();
}

std::optional<uint64_t> TakeHex(std::string_view& text, size_t digits) {
  uint64_t value = 0;
  for (size_t i = 0; i < digits; ++i) {
    const int digit = i < text.size() ? HexValue(text[i]) : -1;
    if (digit < 0) {
      return std::nullopt;
    }
    value = value << 4 | static_cast<uint64_t>(digit);
  }
  text.remove_prefix(digits);
  return value;
}

}  // namespace

RegisterExtensions Registrar::ExtensionsOf(const Message& request) {
  RegisterExtensions out;
  out.gruu = Supports(request, "gruu");
  out.outbound = Supports(request, "outbound");
  if (!out.outbound || request.via_count() == 1) {
    return out;
  }
  // The proxy next to the user agent has put itself last into Path, with "ob" when it keeps flows.
  AddressList paths(request, HeaderId::kPath);
  NameAddr path;
  bool has_ob = false;
  while (paths.NextItem(path) == sip::Next::kItem) {
    has_ob = path.uri.is_sip() && path.uri.has_param("ob");
  }
  out.lacks_first_hop = !has_ob;
  return out;
}

bool Registrar::IsInstance(const Binding& binding, std::string_view name) {
  const std::string_view own = NameOfInstance(binding);
  return !own.empty() && EqualsUnescaped(own, name, true);
}

uint64_t Registrar::GruuTag(const Binding& binding, uint64_t nonce, uint64_t handle) const {
  return core_.Hash(kHashGruu).Add(nonce).Add(handle).Add(binding.call_id).Value();
}

void Registrar::WriteGruus(ByteWriter& extra, const Binding& binding) const {
  const std::string_view instance = NameOfInstance(binding);
  if (instance.empty()) {
    return;
  }
  const std::string_view domain = core_.config.domains[binding.user->domain].view();
  if (AllAre(binding.user->view(), kUserChar)) {
    extra.Text(";pub-gruu=\"sip:");
    extra.Text(binding.user->view());
    extra.Char('@');
    extra.Text(domain);
    extra.Text(";gr=");
    extra.Text(instance);
    extra.Char('"');
  }
  const Handle handle = bindings_.HandleOf(binding);
  const uint64_t number = uint64_t{handle.index} << 32 | handle.generation;
  const uint64_t nonce = core_.random.U64();
  extra.Text(";temp-gruu=\"sip:");
  extra.Text(kTemporary);
  extra.Hex(nonce, kNonceDigits);
  extra.Hex(number ^ core_.Hash(kHashGruu).Add(nonce).Value(), kHandleDigits);
  extra.Hex(GruuTag(binding, nonce, number), kTagDigits);
  extra.Char('@');
  extra.Text(domain);
  extra.Text(";gr\"");
}

const Binding* Registrar::FindTemporary(std::string_view user, uint8_t domain) {
  if (user.size() != kTemporary.size() + kNonceDigits + kHandleDigits + kTagDigits ||
      !user.starts_with(kTemporary)) {
    return nullptr;
  }
  user.remove_prefix(kTemporary.size());
  const auto nonce = TakeHex(user, kNonceDigits);
  const auto masked = TakeHex(user, kHandleDigits);
  const auto tag = TakeHex(user, kTagDigits);
  if (!nonce || !masked || !tag) {
    return nullptr;
  }
  const uint64_t number = *masked ^ core_.Hash(kHashGruu).Add(*nonce).Value();
  const Binding* binding =
      bindings_.Resolve({static_cast<uint32_t>(number >> 32), static_cast<uint32_t>(number)});
  const bool is_good = binding != nullptr && binding->user->domain == domain &&
                       GruuTag(*binding, *nonce, number) == *tag;
  return is_good ? binding : nullptr;
}

}  // namespace gh::sip
