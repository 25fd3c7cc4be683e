// What the operator does to many users at once: contacts that are imported, exported, renamed;
// messages to all.
#include <algorithm>

#include "firmware/xmpp/contact_lists.h"
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

// A contact's details: u16 size and name, then u16 size and each group.
struct Details {
  explicit Details(std::span<const uint8_t> bytes) : rest(bytes) {
    name = rest.remaining() >= 2 ? AsText(rest.Take(rest.U16Be())) : std::string_view();
  }
  bool NextGroup(std::string_view& out) {
    if (rest.remaining() < 2) {
      return false;
    }
    out = AsText(rest.Take(rest.U16Be()));
    return true;
  }
  ByteReader rest;
  std::string_view name;
};

void WriteSized(std::string_view text, ByteWriter& out) {
  out.U16Be(static_cast<uint16_t>(text.size()));
  out.Text(text);
}

}  // namespace

// A password takes tens of milliseconds, a verifier none.
ContactFault Engine::ImportUser(const UserLine& line) {
  const auto user = Address::Parse(line.user.view());
  if (!user.ok() || user->local().empty()) {
    return ContactFault::kFormat;
  }
  if (!IsLocal(user->domain())) {
    return ContactFault::kNotOurs;
  }
  if (directory_->Find(user->full()) != nullptr) {
    return ContactFault::kIsThere;
  }
  const bool is_hash = line.secret.view().starts_with(kVerifierTag);
  const auto verifier = is_hash ? ReadVerifier(line.secret.view())
                                : MakeVerifier(line.secret.view(), kScramIterations, random_);
  if (!verifier.ok()) {
    return is_hash ? ContactFault::kHash : ContactFault::kPassword;
  }
  return directory_->Add(user->full(), *verifier).ok() ? ContactFault::kNone
                                                       : ContactFault::kInternal;
}

// A contact that is there already gets the group besides, and the name if there is one.
ContactFault Engine::ImportContact(const ContactLine& line) {
  const auto user = Address::Parse(line.user.view());
  const auto contact_address = Address::Parse(line.contact.view());
  if (!user.ok() || !contact_address.ok()) {
    return ContactFault::kFormat;
  }
  Account* account = directory_->Find(user->full());
  if (account == nullptr) {
    return ContactFault::kNotOurs;
  }
  if (contact_address->full() == account->name.view()) {
    return ContactFault::kSelf;
  }
  Contact* contact = directory_->FindContact(*account, contact_address->full());
  if (contact == nullptr && config_.contacts_per_user != 0 &&
      account->contacts.size() >= config_.contacts_per_user) {
    return ContactFault::kOverLimit;
  }
  uint8_t before_bytes[kContactDetailsMax];
  std::span<const uint8_t> before;
  if (contact != nullptr) {
    before = directory_->DetailsOf(*contact, before_bytes);
  }
  uint8_t bytes[kContactDetailsMax];
  ByteWriter details(bytes);
  Details had(before);
  WriteSized(line.nickname.empty() ? had.name : line.nickname.view(), details);
  bool is_in = false;
  for (std::string_view group; had.NextGroup(group);) {
    is_in = is_in || group == line.group.view();
    WriteSized(group, details);
  }
  if (!is_in) {
    WriteSized(line.group.view(), details);
  }
  const bool fits = details.ok() && details.size() <= kContactNameMax + kContactGroupsMax + 2;
  contact = contact == nullptr && fits ? directory_->AddContact(*account, contact_address->full())
                                       : contact;
  if (!fits || contact == nullptr || !directory_->SetDetails(*contact, details.written())) {
    return ContactFault::kInternal;
  }
  contact->state = static_cast<uint8_t>(contact->state | kInRoster);
  if (!Changed(*account, *contact, true)) {
    return ContactFault::kInternal;
  }
  if ((contact->state & (kTo | kAsked)) == 0) {
    Subscribe(*account, *contact_address, "subscribe", nullptr);
  }
  Settle();
  return ContactFault::kNone;
}

// Lines for all groups of one contact; accounts by index, contacts in their order.
void Engine::ExportContact(Account& account, const Contact& contact, ByteWriter& out) {
  if ((contact.state & kInRoster) == 0) {
    return;
  }
  uint8_t address_bytes[kAddressMax];
  uint8_t bytes[kContactDetailsMax];
  const std::string_view address = directory_->AddressOf(contact, address_bytes);
  Details details(directory_->DetailsOf(contact, bytes));
  std::string_view group;
  bool has_more = details.NextGroup(group);
  do {
    WriteContactLine(account.name.view(), address, details.name, group, out);
    has_more = has_more && details.NextGroup(group);
  } while (has_more);
}

// In the lists of all users; in how many it was.
uint32_t Engine::RenameContact(const RenameLine& line) {
  const auto before = Address::Parse(line.before.view());
  const auto after = Address::Parse(line.after.view());
  uint32_t count = 0;
  for (uint32_t i = 0; before.ok() && after.ok() && i < directory_->capacity(); ++i) {
    Account* account = directory_->At(i);
    Contact* old = account != nullptr ? directory_->FindContact(*account, before->full()) : nullptr;
    if (old == nullptr || before->full() == after->full()) {
      continue;
    }
    uint8_t bytes[kContactDetailsMax];
    const auto details = directory_->DetailsOf(*old, bytes);
    const bool was_listed = (old->state & kInRoster) != 0;
    ForgetContact(*account, *old);
    Contact* renamed = directory_->FindContact(*account, after->full());
    const bool is_new = renamed == nullptr && after->full() != account->name.view() && was_listed;
    if (is_new) {
      renamed = directory_->AddContact(*account, after->full());
      if (renamed == nullptr || !directory_->SetDetails(*renamed, details)) {
        continue;
      }
      renamed->state = kInRoster;
      (void)Changed(*account, *renamed, true);
      Subscribe(*account, *after, "subscribe", nullptr);
    }
    count += was_listed ? 1 : 0;
  }
  Settle();
  return count;
}

// --- Messages to all -----------------------------------------------------------------------------

// To every user of `domain` (empty: of all) who is there now; how many got it. From the domain
// itself; nothing waits for those who are away.
uint32_t Engine::Broadcast(std::string_view domain, std::string_view text) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < directory_->capacity(); ++i) {
    Account* account = directory_->At(i);
    if (account == nullptr || account->sessions == nullptr ||
        (!domain.empty() && DomainOf(*account) != domain)) {
      continue;
    }
    uint8_t bytes[8192];
    ByteWriter out(bytes);
    out.Text("<message type='headline'");
    WriteAttribute("from", DomainOf(*account), out);
    WriteAttribute("to", account->name.view(), out);
    WriteAttribute("id", "notice", out);
    out.Text("><body>");
    WriteEscaped(text, out);
    out.Text("</body></message>");
    GH_ASSERT(out.ok());
    count +=
        DeliverMessage(*account, out.written(), false, nullptr, nullptr) == Delivery::kDelivered
            ? 1
            : 0;
  }
  Settle();
  return count;
}

}  // namespace gh::xmpp
