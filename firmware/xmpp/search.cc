// Users look for others of their domain (XEP-0055), by the beginning of a name or of an e-mail
// address, where the operator lets them. Who would look away from the asker is not found.
//
// One look goes through all accounts: whoever asks too soon after another is told to wait.
#include "firmware/xmpp/engine.h"
#include "hal/rt/ascii.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kFields =
    "<query xmlns='jabber:iq:search'>"
    "<instructions>The beginning of a name or of an e-mail address</instructions><nick/><email/>"
    "<x xmlns='jabber:x:data' type='form'><title>Users</title>"
    "<instructions>The beginning of a name or of an e-mail address</instructions>"
    "<field type='hidden' var='FORM_TYPE'><value>jabber:iq:search</value></field>"
    "<field type='text-single' label='Name' var='nick'/>"
    "<field type='text-single' label='E-mail address' var='email'/></x></query>";
constexpr std::string_view kReported =
    "<x xmlns='jabber:x:data' type='result'>"
    "<field type='hidden' var='FORM_TYPE'><value>jabber:iq:search</value></field><reported>"
    "<field type='jid-single' label='Address' var='jid'/>"
    "<field type='text-single' label='Name' var='nick'/>"
    "<field type='text-single' label='E-mail address' var='email'/></reported>";

struct Wanted {
  FixedString<kLocalMax> name;
  FixedString<127> email;
  bool by_form = false;

  // False: nothing is looked for, or what nobody can have.
  bool Read(const Node& query) {
    const Node* form = query.Child("x", ns::kForm);
    by_form = form != nullptr;
    const auto said = [&](std::string_view field) -> std::string_view {
      if (form == nullptr) {
        const Node* child = query.Child(field, ns::kSearch);
        return child != nullptr ? child->Text() : std::string_view();
      }
      for (const Node* at = form->FirstElement(); at != nullptr; at = at->NextElement()) {
        const Node* value = at->Get("var") == field ? at->Child("value", ns::kForm) : nullptr;
        if (value != nullptr) {
          return value->Text();
        }
      }
      return {};
    };
    for (const char c : said("email")) {
      email.Append(AsciiLower(c));
    }
    const std::string_view nick = said("nick");
    return (nick.empty() || PrepareLocal(nick, name).ok()) && !email.truncated() &&
           !(nick.empty() && email.empty());
  }
  bool Finds(const Account& account) const {
    return account.name.view().starts_with(name.view()) &&
           (email.empty() || account.email.view().starts_with(email.view()));
  }
};

void WriteFound(const Account& account, bool by_form, ByteWriter& out) {
  const std::string_view name = account.name.view();
  const std::pair<std::string_view, std::string_view> parts[] = {
      {"jid", name}, {"nick", name.substr(0, name.find('@'))}, {"email", account.email.view()}};
  out.Text("<item");
  if (!by_form) {
    WriteAttribute("jid", name, out);
  }
  out.Char('>');
  for (const auto& [field, value] : std::span(parts).subspan(by_form ? 0 : 1)) {
    out.Text(by_form ? "<field var='" : "<");
    out.Text(field);
    out.Text(by_form ? "'><value>" : ">");
    WriteEscaped(value, out);
    out.Text(by_form ? "</value></field" : "</");
    out.Text(by_form ? "" : field);
    out.Char('>');
  }
  out.Text("</item>");
}

}  // namespace

void Engine::OnSearch(Session& session, const Node& stanza, const Node& query, bool is_set) {
  const std::string_view domain = DomainOf(*session.account);
  const std::string_view to = stanza.Get("to");
  if (!config_.search || session.is_remote || (!to.empty() && to != domain)) {
    AnswerError(session, stanza, "cancel", "service-unavailable");
    return;
  }
  if (!is_set) {
    SendResult(session, stanza, kFields, to);
    return;
  }
  Wanted wanted;
  if (!wanted.Read(query)) {
    AnswerError(session, stanza, "modify", "not-acceptable");
    return;
  }
  if (timers_.now() < next_search_) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  next_search_ = timers_.now() + Duration::Milliseconds(kSearchMilliseconds);
  const auto asker = Address::Parse(session.account->name.view());
  ByteWriter out(scratch2_);
  out.Text("<query xmlns='jabber:iq:search'>");
  out.Text(wanted.by_form ? kReported : "");
  uint32_t count = 0;
  for (uint32_t i = 0; i < directory_->capacity() && count < kSearchFoundMax; ++i) {
    Account* account = directory_->At(i);
    if (account != nullptr && wanted.Finds(*account) && DomainOf(*account) == domain &&
        !Blocks(*account, *asker)) {
      WriteFound(*account, wanted.by_form, out);
      ++count;
    }
  }
  out.Text(wanted.by_form ? "</x></query>" : "</query>");
  SendResult(session, stanza, out.text(), to);
}

}  // namespace gh::xmpp
