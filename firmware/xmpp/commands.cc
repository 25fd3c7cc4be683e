// What users set by ad-hoc commands (XEP-0050), which clients show as forms: their policy towards
// who wants to see them, and whom they allow. Whom they block is their client's list (XEP-0191).
//
// One step: the form is shown, and taken filled in; nothing is remembered in between.
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

struct PolicyWord {
  std::string_view word;
  std::string_view label;
  UserPolicy policy;
};
constexpr PolicyWord kPolicyWords[] = {
    {"default", "As the operator has it", UserPolicy::kDefault},
    {"ask", "Ask me", UserPolicy::kAsk},
    {"allow", "Allow", UserPolicy::kAllow},
    {"block", "Block all but my contacts", UserPolicy::kBlock},
};

const Node* FieldOf(const Node& form, std::string_view var) {
  for (const Node* at = form.FirstElement(); at != nullptr; at = at->NextElement()) {
    if (at->Is("field", ns::kForm) && at->Get("var") == var) {
      return at;
    }
  }
  return nullptr;
}

const PolicyWord* FindWord(std::string_view word) {
  for (const PolicyWord& each : kPolicyWords) {
    if (each.word == word) {
      return &each;
    }
  }
  return nullptr;
}

}  // namespace

bool ReadUserPolicy(std::string_view word, UserPolicy& out) {
  const PolicyWord* found = FindWord(word);
  out = found != nullptr ? found->policy : out;
  return found != nullptr;
}

void Engine::WriteCommands(std::string_view domain, ByteWriter& out) {
  out.Text("<item");
  WriteAttribute("jid", domain, out);
  out.Text(" node='urn:gatehouse:policy' name='Who may see me'/>");
}

void Engine::OnCommand(Session& session, const Node& stanza, const Node& command) {
  if (command.Get("node") != ns::kPolicy) {
    AnswerError(session, stanza, "cancel", "item-not-found");
    return;
  }
  if (session.is_remote) {
    AnswerError(session, stanza, "auth", "forbidden");
    return;
  }
  const std::string_view action = command.Get("action");
  const Node* form = command.Child("x", ns::kForm);
  if (action == "cancel") {
    SendResult(session, stanza,
               "<command xmlns='http://jabber.org/protocol/commands' node='urn:gatehouse:policy' "
               "sessionid='policy' status='canceled'/>",
               stanza.Get("to"));
  } else if (form != nullptr && form->Get("type") == "submit") {
    OnPolicyForm(session, stanza, *form);
  } else if (action.empty() || action == "execute") {
    SendPolicyForm(session, stanza);
  } else {
    AnswerError(session, stanza, "modify", "bad-request");
  }
}

void Engine::SendPolicyForm(Session& session, const Node& stanza) {
  Account& account = *session.account;
  ByteWriter out(scratch2_);
  out.Text(
      "<command xmlns='http://jabber.org/protocol/commands' node='urn:gatehouse:policy' "
      "sessionid='policy' status='executing'><actions execute='complete'><complete/></actions>"
      "<x xmlns='jabber:x:data' type='form'><title>Who may see me</title>"
      "<field type='hidden' var='FORM_TYPE'><value>urn:gatehouse:policy</value></field>"
      "<field type='list-single' var='policy' label='Whom I neither allow nor block'><value>");
  out.Text(kPolicyWords[static_cast<size_t>(account.policy)].word);
  out.Text("</value>");
  for (const PolicyWord& each : kPolicyWords) {
    out.Text("<option");
    WriteAttribute("label", each.label, out);
    out.Text("><value>");
    out.Text(each.word);
    out.Text("</value></option>");
  }
  out.Text("</field><field type='text-multi' var='allowed' label='Users and domains I allow'>");
  for (const Blocked& allowed : account.allowed) {
    uint8_t bytes[kAddressMax];
    out.Text("<value>");
    WriteEscaped(directory_->AddressOf(allowed, bytes), out);
    out.Text("</value>");
  }
  out.Text("</field></x></command>");
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

// A field that is not there leaves what it is about.
void Engine::OnPolicyForm(Session& session, const Node& stanza, const Node& form) {
  Account& account = *session.account;
  UserPolicy policy = account.policy;
  const Node* chosen = FieldOf(form, "policy");
  const Node* value = chosen != nullptr ? chosen->Child("value", ns::kForm) : nullptr;
  bool is_good = value == nullptr || ReadUserPolicy(value->Text(), policy);
  const Node* allowed = FieldOf(form, "allowed");
  uint32_t count = 0;
  for (const Node* at = allowed != nullptr ? allowed->FirstElement() : nullptr; at != nullptr;
       at = at->NextElement()) {
    is_good = is_good && (at->Text().empty() || Address::Parse(at->Text()).ok());
    ++count;
  }
  if (!is_good || count > kBlockedMax) {
    AnswerError(session, stanza, "modify", "bad-request",
                "<bad-payload xmlns='http://jabber.org/protocol/commands'/>");
    return;
  }
  bool is_kept = SetPolicy(account, policy).ok();
  if (allowed != nullptr) {
    directory_->DisallowAll(account);
  }
  for (const Node* at = allowed != nullptr ? allowed->FirstElement() : nullptr; at != nullptr;
       at = at->NextElement()) {
    is_kept = is_kept && (at->Text().empty() ||
                          directory_->Allow(account, Address::Parse(at->Text())->full()).ok());
  }
  if (!is_kept) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  session.last_commit = std::max(session.last_commit, keeper_.gathering());
  AnswerWaiting(account);
  SendResult(session, stanza,
             "<command xmlns='http://jabber.org/protocol/commands' node='urn:gatehouse:policy' "
             "sessionid='policy' status='completed'/>",
             stanza.Get("to"));
}

Result<void> Engine::SetPolicy(Account& account, UserPolicy policy) {
  const auto set = directory_->SetPolicy(account, policy);
  EndStale(account);
  return set;
}

Result<void> Engine::Allow(Account& account, const Address& whom) {
  GH_TRY(directory_->Allow(account, whom.full()));
  AnswerWaiting(account);
  Settle();
  return Ok();
}

// Who asked before, and would not have to now.
void Engine::AnswerWaiting(Account& account) {
  for (Contact& contact : account.contacts) {
    uint8_t bytes[kAddressMax];
    const auto address = Address::Parse(directory_->AddressOf(contact, bytes));
    if ((contact.state & kWasAsked) != 0 && address.ok() &&
        IsAuthorizedAtOnce(account, contact, *address)) {
      Subscribe(account, *address, "subscribed", nullptr);
    }
  }
}

}  // namespace gh::xmpp
