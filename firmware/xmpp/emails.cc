// Users' e-mail addresses, which may stand for them towards other servers (firmware/s2s/emails.h),
// and the domains of these addresses.
#include <algorithm>

#include "firmware/xmpp/directory.h"
#include "hal/rt/ascii.h"
#include "hal/rt/bytes.h"

namespace gh::xmpp {
namespace {

std::string_view DomainOf(std::string_view email) { return email.substr(email.rfind('@') + 1); }

}  // namespace

bool IsEmailDomain(std::string_view text) {
  if (text.empty() || text.size() > 127 || text.back() == '.') {
    return false;
  }
  std::string_view label;
  for (std::string_view rest = text; !rest.empty();) {
    label = rest.substr(0, rest.find('.'));
    const bool is_label = !label.empty() && label.size() <= 63 && label.front() != '-' &&
                          std::ranges::all_of(label, [](char c) {
                            const char low = AsciiLower(c);
                            return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-';
                          });
    if (!is_label) {
      return false;
    }
    rest.remove_prefix(std::min(label.size() + 1, rest.size()));
  }
  return label.front() < '0' || label.front() > '9';
}

bool Directory::HasEmailDomain(std::string_view domain) const {
  return std::ranges::any_of(email_domains(),
                             [&](const EmailDomain& each) { return each.name == domain; });
}

// In memory alone.
Result<void> Directory::TakeEmail(Account& account, std::string_view email) {
  const std::string_view domain = DomainOf(email);
  const auto address = Address::Parse(email);
  if (!address.ok() || address->full() != email || address->local().empty() ||
      address->has_resource() || !IsEmailDomain(domain) || email.size() > 127) {
    return Error{ErrorCode::kInvalidArgument, "expected an e-mail address, at most 127 bytes"};
  }
  auto at = std::ranges::find_if(email_domains_, [&](const EmailDomain& each) {
    return each.users > 0 && each.name == domain;
  });
  if (at == email_domains_.end()) {
    if (email_domain_count_ == email_domains_.size()) {
      return Error{ErrorCode::kExhausted, "users' e-mail addresses are of 32 domains at most"};
    }
    at = email_domains_.begin() + email_domain_count_;
  }
  account.email.Assign(email);
  if (const HashInsert inserted = by_email_.Insert(account); inserted != HashInsert::kInserted) {
    account.email.Clear();
    return inserted == HashInsert::kExists
               ? Error{ErrorCode::kAlreadyExists, "another user has this e-mail address"}
               : Error{ErrorCode::kExhausted, "there is no room for more e-mail addresses"};
  }
  if (at->users == 0) {
    at->name.Assign(domain);
    ++email_domain_count_;
  }
  ++at->users;
  return Ok();
}

void Directory::DropEmail(Account& account) {
  if (account.email.empty()) {
    return;
  }
  by_email_.Remove(account);
  const auto at = std::ranges::find_if(email_domains_, [&](const EmailDomain& each) {
    return each.users > 0 && each.name == DomainOf(account.email.view());
  });
  GH_ASSERT(at != email_domains_.end());
  account.email.Clear();
  if (--at->users == 0) {
    *at = email_domains_[--email_domain_count_];
    email_domains_[email_domain_count_] = {};
  }
}

Result<void> Directory::SetEmail(Account& account, std::string_view email) {
  const FixedString<127> before = account.email;
  DropEmail(account);
  if (!email.empty()) {
    if (auto taken = TakeEmail(account, email); !taken.ok()) {
      if (!before.empty()) {
        TakeEmail(account, before.view()).ignore("it was there just now");
      }
      return taken;
    }
  }
  const RowKey key('e', account.id);
  const uint64_t commit = email.empty() ? keeper_.Remove(key) : keeper_.Put(key, AsBytes(email));
  return commit != 0 ? Ok() : Result<void>(ErrorCode::kExhausted);
}

}  // namespace gh::xmpp
