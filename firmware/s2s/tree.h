// Going through what a stanza holds, without recursion.
#pragma once

#include "firmware/xmpp/xml.h"

namespace gh::s2s {

// What is read after `at` in the tree under `root`: its first child, else what follows it or the
// nearest above it; null at the end.
inline xmpp::Node* NextInTree(xmpp::Node* at, const xmpp::Node& root) {
  if (at->first != nullptr) {
    return at->first;
  }
  while (at != &root && at->next == nullptr) {
    at = at->parent;
  }
  return at == &root ? nullptr : at->next;
}

}  // namespace gh::s2s
