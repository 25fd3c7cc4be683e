#include "firmware/s2s/emails.h"

#include <algorithm>
#include <cstring>

#include "firmware/s2s/tree.h"

namespace gh::s2s {

using xmpp::Node;

namespace {

constexpr std::string_view kHolders[] = {"from", "to", "jid", "by", "publisher"};

}  // namespace

bool EmailNames::Map(std::string_view& address, bool out) {
  const std::string_view bare = xmpp::BareOf(address);
  if (bare.find('@') == std::string_view::npos) {
    return true;
  }
  const auto prepared = xmpp::Address::Parse(bare);
  xmpp::Account* account = !prepared.ok() ? nullptr
                           : out          ? directory_.Find(prepared->full())
                                          : directory_.FindEmail(prepared->full());
  if (account == nullptr || account->email.empty()) {
    return true;
  }
  const std::string_view name = out ? account->email.view() : account->name.view();
  const std::string_view resource = address.substr(bare.size());
  if (name.size() + resource.size() > texts_.size() - used_) {
    return false;
  }
  char* text = texts_.data() + used_;
  std::memcpy(text, name.data(), name.size());
  if (!resource.empty()) {
    std::memcpy(text + name.size(), resource.data(), resource.size());
  }
  used_ += name.size() + resource.size();
  address = {text, name.size() + resource.size()};
  return true;
}

bool EmailNames::RenameNode(Node& node, bool out) {
  if (node.is_text()) {
    const Node* value = node.parent;
    return value == nullptr || !value->Is("value", xmpp::ns::kForm) || Map(node.text, out);
  }
  for (xmpp::Attribute& each : std::span(node.attributes, node.attribute_count)) {
    if (each.space.empty() && std::ranges::find(kHolders, each.name) != std::end(kHolders) &&
        !Map(each.value, out)) {
      return false;
    }
  }
  return true;
}

bool EmailNames::Rename(Node& root, bool out) {
  used_ = 0;
  for (Node* at = &root; at != nullptr; at = NextInTree(at, root)) {
    if (!RenameNode(*at, out)) {
      return false;
    }
  }
  return true;
}

}  // namespace gh::s2s
