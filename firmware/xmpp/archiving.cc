// Users' archives (XEP-0313): what of their messages is archived, what they ask for, and what they
// want to be left out.
#include <algorithm>

#include "firmware/xmpp/archive_query.h"
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

// Something was said: not only that somebody types.
bool SaysSomething(const Node& stanza) {
  const std::string_view type = stanza.Get("type");
  if (type == "groupchat" || type == "headline" || type == "error" ||
      stanza.Child("no-store", ns::kHints) != nullptr ||
      stanza.Child("no-permanent-store", ns::kHints) != nullptr) {
    return false;
  }
  for (const Node* child = stanza.FirstElement(); child != nullptr; child = child->NextElement()) {
    const bool is_kept =
        child->Is("body", ns::kClient) || child->Is("store", ns::kHints) ||
        child->Is("encrypted", "eu.siacs.conversations.axolotl") ||
        child->Is("encrypted", "urn:xmpp:omemo:2") || child->Is("received", "urn:xmpp:receipts") ||
        child->Is("displayed", "urn:xmpp:chat-markers:0") ||
        child->Is("reactions", "urn:xmpp:reactions:0") || child->Is("retract", ns::kRetract);
    if (is_kept) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool Engine::WantsArchived(Account& account, const Address& with) {
  uint8_t bytes[kArchiveRulesBytesMax];
  const size_t size = chains_.Copy(account.archive_rules, 0, bytes);
  ByteReader rules(std::span<const uint8_t>(bytes, size));
  while (!rules.at_end() && rules.ok()) {
    const bool always = rules.U8() == 1;
    const std::string_view address = AsText(rules.Take(rules.U16Be()));
    if (rules.ok() && (address == with.full() || address == with.bare())) {
      return always;
    }
  }
  if (account.archive_default == ArchiveDefault::kRoster) {
    const Contact* contact = directory_->FindContact(account, with.bare());
    return contact != nullptr && (contact->state & kInRoster) != 0;
  }
  return account.archive_default == ArchiveDefault::kAlways;
}

// The number it got; 0: it is not archived.
uint64_t Engine::ArchiveFor(Account& account, Session* sender, const Node& stanza,
                            std::string_view from, std::string_view to, const Address& with) {
  if (!archive_.enabled() || !SaysSomething(stanza) || !WantsArchived(account, with)) {
    return 0;
  }
  ByteWriter out(scratch3_);
  WriteStanza(stanza, {from, to, {}, true}, out);
  const uint64_t number =
      out.ok() ? archive_.Append(account.archive, host_.UnixSeconds(), with.full(), out.written())
               : 0;
  if (number != 0) {
    OnKept(sender, account.archive.commit);
  }
  return number;
}

void Engine::OnArchiveQuery(Session& session, const Node& stanza, const Node& query, bool is_set) {
  Account& account = *session.account;
  if (!archive_.enabled()) {
    AnswerError(session, stanza, "cancel", "service-unavailable");
    return;
  }
  if (query.name == "prefs") {
    OnArchiveRules(session, stanza, query, is_set);
    return;
  }
  if (!is_set) {
    ByteWriter out(scratch2_);
    if (query.name == "metadata") {
      WriteArchiveMetadata(archive_, account.archive, scratch3_, out);
    } else {
      WriteArchiveForm(out);
    }
    SendResult(session, stanza, out.text(), stanza.Get("to"));
    return;
  }
  ArchiveQuery wanted;
  ArchivePage page;
  const char* refused = query.name != "query"
                            ? "bad-request"
                            : wanted.Read(query, false, archive_, account.archive, scratch3_);
  if (refused == nullptr && !page.Find(wanted, archive_, account.archive, scratch3_)) {
    refused = "item-not-found";
  }
  if (refused != nullptr) {
    AnswerError(session, stanza, "cancel", refused);
    return;
  }
  HoldUntil(session, account.archive.commit);  // nobody is shown what may be lost
  for (uint64_t number : std::span(page.numbers).first(page.count)) {
    ArchiveEntry entry;
    if (!archive_.Read(account.archive, number, scratch3_, entry)) {
      continue;
    }
    uint8_t full_bytes[kAddressMax];
    ByteWriter out(scratch_);
    out.Text("<message");
    WriteAttribute("from", account.name.view(), out);
    WriteAttribute("to", FullOf(session, full_bytes), out);
    out.Char('>');
    WriteArchiveResult(entry, wanted.query_id, out);
    out.Text("</message>");
    if (out.ok()) {
      SendStanza(session, out.written());
    }
  }
  ByteWriter out(scratch2_);
  WriteArchiveEnd(page, wanted, account.archive, out);
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

// --- Preferences (section 6) ---------------------------------------------------------------------

bool Engine::KeepArchiveRules(Account& account) {
  uint8_t bytes[kArchiveRulesBytesMax + 1];
  ByteWriter row(bytes);
  row.U8(static_cast<uint8_t>(account.archive_default));
  (void)chains_.Copy(account.archive_rules, 0, row.Reserve(account.archive_rules.size));
  GH_ASSERT(row.ok());
  return keeper_.Put(RowKey('p', account.id), row.written()) != 0;
}

void Engine::OnArchiveRules(Session& session, const Node& stanza, const Node& query, bool is_set) {
  constexpr std::string_view kDefaults[] = {"always", "never", "roster"};
  Account& account = *session.account;
  uint8_t bytes[kArchiveRulesBytesMax];
  if (is_set) {
    const auto found = std::ranges::find(kDefaults, query.Get("default"));
    ByteWriter rules(bytes);
    uint32_t count = 0;
    bool is_well_formed = true;
    for (std::string_view which : {"always", "never"}) {
      const Node* list = query.Child(which, ns::kArchive);
      for (const Node* jid = list != nullptr ? list->FirstElement() : nullptr; jid != nullptr;
           jid = jid->NextElement(), ++count) {
        const auto address = Address::Parse(jid->Text());
        is_well_formed = is_well_formed && address.ok();
        rules.U8(which == "always" ? 1 : 0);
        rules.U16Be(static_cast<uint16_t>(address.ok() ? address->full().size() : 0));
        rules.Text(address.ok() ? address->full() : "");
      }
    }
    if (found == std::end(kDefaults) || !is_well_formed) {
      AnswerError(session, stanza, "modify", is_well_formed ? "bad-request" : "jid-malformed");
      return;
    }
    account.archive_default = static_cast<ArchiveDefault>(found - std::begin(kDefaults));
    if (!rules.ok() || count > kArchiveRulesMax ||
        !chains_.Assign(account.archive_rules, rules.text()) || !KeepArchiveRules(account)) {
      AnswerError(session, stanza, "wait", "resource-constraint");
      return;
    }
    session.last_commit = std::max(session.last_commit, keeper_.gathering());
  }
  const size_t size = chains_.Copy(account.archive_rules, 0, bytes);
  ByteWriter out(scratch2_);
  out.Text("<prefs xmlns='urn:xmpp:mam:2'");
  WriteAttribute("default", kDefaults[static_cast<uint8_t>(account.archive_default)], out);
  out.Char('>');
  for (std::string_view which : {"always", "never"}) {
    out.Char('<');
    out.Text(which);
    out.Char('>');
    ByteReader rules(std::span<const uint8_t>(bytes, size));
    while (!rules.at_end() && rules.ok()) {
      const bool always = rules.U8() == 1;
      const std::string_view address = AsText(rules.Take(rules.U16Be()));
      if (always == (which == "always") && !address.empty()) {
        out.Text("<jid>");
        WriteEscaped(address, out);
        out.Text("</jid>");
      }
    }
    out.Text("</");
    out.Text(which);
    out.Char('>');
  }
  out.Text("</prefs>");
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

}  // namespace gh::xmpp
