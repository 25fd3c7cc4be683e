// What a session does not want to be sent (XEP-0273, deferred by its authors): messages, presence,
// queries; from whom; for the user or for that session. By what is in them it cannot be said. It
// ends with the session, and is not for privacy: that is privacy.cc's.
//
// A message that no session takes is put by, as if none were there; a query is answered
// service-unavailable; presence is dropped, and told when it is wanted again.
#include <algorithm>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kKinds[] = {"message", "presence", "iq"};
constexpr std::string_view kSenders[] = {"all", "local", "others", "remote", "self"};
constexpr std::string_view kRecipients[] = {"all", "bare", "full"};

// Its place in the list, from 1; the first for an attribute that is not there. 0: none of them.
template <size_t N>
uint8_t PlaceOf(const std::string_view (&names)[N], const Attribute* attribute) {
  const auto at = std::ranges::find(names, attribute != nullptr ? attribute->value : names[0]);
  return at != std::end(names) ? static_cast<uint8_t>(at - names + 1) : uint8_t{0};
}

}  // namespace

// The last request says all there is.
void Engine::OnSift(Session& session, const Node& stanza, const Node& sift) {
  std::array<uint8_t, kSiftKinds> wanted = {};
  for (const Node* what = sift.FirstElement(); what != nullptr; what = what->NextElement()) {
    const auto kind = std::ranges::find(kKinds, what->name);
    const uint8_t sender = PlaceOf(kSenders, what->Find("sender"));
    const uint8_t recipient = PlaceOf(kRecipients, what->Find("recipient"));
    if (what->space != ns::kSift || kind == std::end(kKinds) || what->FirstElement() != nullptr) {
      AnswerError(session, stanza, "cancel", "feature-not-implemented");
      return;
    }
    uint8_t& rule = wanted[static_cast<size_t>(kind - kKinds)];
    if (sender == 0 || recipient == 0 || rule != 0) {
      AnswerError(session, stanza, "modify", "bad-request");
      return;
    }
    rule = static_cast<uint8_t>(sender | recipient << 4);
  }
  const auto before = std::exchange(session.sift, wanted);
  SendResult(session, stanza, "");
  if (session.available && before[kSiftPresence] != 0 && wanted[kSiftPresence] == 0) {
    OnFirstPresence(session);
  }
  if (session.available && session.priority >= 0 && before[kSiftMessage] != 0 &&
      wanted[kSiftMessage] == 0) {
    SendWaiting(session);
  }
}

// `from`: an address that was prepared; who is without one is the server. What the account itself
// says is what the session asked for.
bool Engine::Sifts(const Session& session, SiftKind kind, std::string_view from, bool is_bare) {
  const uint8_t rule = session.sift[kind];
  const uint32_t recipient = rule >> 4;
  if (rule == 0 || from.empty() || from == session.account->name.view() ||
      (recipient == 2 && !is_bare) || (recipient == 3 && is_bare)) {
    return false;
  }
  const std::string_view bare = BareOf(from);
  const bool is_own = bare == session.account->name.view();
  const bool is_local = bare.substr(bare.find('@') + 1) == DomainOf(*session.account);
  switch (rule & 0xf) {
    case 2:
      return is_local;
    case 3:
      return !is_own;
    case 4:
      return !is_local;
    case 5:
      return is_own;
    default:
      return true;
  }
}

}  // namespace gh::xmpp
