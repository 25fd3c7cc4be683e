// One stanza as a tree, and how it is written again. Trees live in a reader's fixed memory
// (xml_reader.h); nothing that came in is ever passed on as the bytes it came as.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh::xmpp {

namespace ns {
inline constexpr std::string_view kClient = "jabber:client";
inline constexpr std::string_view kStreams = "http://etherx.jabber.org/streams";
inline constexpr std::string_view kFraming = "urn:ietf:params:xml:ns:xmpp-framing";
inline constexpr std::string_view kTls = "urn:ietf:params:xml:ns:xmpp-tls";
inline constexpr std::string_view kSasl = "urn:ietf:params:xml:ns:xmpp-sasl";
inline constexpr std::string_view kSasl2 = "urn:xmpp:sasl:2";
inline constexpr std::string_view kBind2 = "urn:xmpp:bind:0";
inline constexpr std::string_view kFast = "urn:xmpp:fast:0";
inline constexpr std::string_view kBind = "urn:ietf:params:xml:ns:xmpp-bind";
inline constexpr std::string_view kSession = "urn:ietf:params:xml:ns:xmpp-session";
inline constexpr std::string_view kStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas";
inline constexpr std::string_view kStreamErrors = "urn:ietf:params:xml:ns:xmpp-streams";
inline constexpr std::string_view kRoster = "jabber:iq:roster";
inline constexpr std::string_view kPing = "urn:xmpp:ping";
inline constexpr std::string_view kVersion = "jabber:iq:version";
inline constexpr std::string_view kInfo = "http://jabber.org/protocol/disco#info";
inline constexpr std::string_view kItems = "http://jabber.org/protocol/disco#items";
inline constexpr std::string_view kManagement = "urn:xmpp:sm:3";
inline constexpr std::string_view kClientState = "urn:xmpp:csi:0";
inline constexpr std::string_view kCarbons = "urn:xmpp:carbons:2";
inline constexpr std::string_view kForward = "urn:xmpp:forward:0";
inline constexpr std::string_view kHints = "urn:xmpp:hints";
inline constexpr std::string_view kDelay = "urn:xmpp:delay";
inline constexpr std::string_view kBlocking = "urn:xmpp:blocking";
inline constexpr std::string_view kStanzaId = "urn:xmpp:sid:0";
inline constexpr std::string_view kRoom = "http://jabber.org/protocol/muc";
inline constexpr std::string_view kRoomUser = "http://jabber.org/protocol/muc#user";
inline constexpr std::string_view kRoomAdmin = "http://jabber.org/protocol/muc#admin";
inline constexpr std::string_view kRoomOwner = "http://jabber.org/protocol/muc#owner";
inline constexpr std::string_view kDirectInvite = "jabber:x:conference";
inline constexpr std::string_view kForm = "jabber:x:data";
inline constexpr std::string_view kRegister = "jabber:iq:register";
inline constexpr std::string_view kPages = "http://jabber.org/protocol/rsm";
inline constexpr std::string_view kArchive = "urn:xmpp:mam:2";
inline constexpr std::string_view kOccupantId = "urn:xmpp:occupant-id:0";
inline constexpr std::string_view kModerate = "urn:xmpp:message-moderate:1";
inline constexpr std::string_view kRetract = "urn:xmpp:message-retract:1";
inline constexpr std::string_view kXhtml = "http://jabber.org/protocol/xhtml-im";
inline constexpr std::string_view kPubsub = "http://jabber.org/protocol/pubsub";
inline constexpr std::string_view kPubsubOwner = "http://jabber.org/protocol/pubsub#owner";
inline constexpr std::string_view kBookmarks = "storage:bookmarks";
inline constexpr std::string_view kVcard = "vcard-temp";
inline constexpr std::string_view kVcardUpdate = "vcard-temp:x:update";
inline constexpr std::string_view kPrivate = "jabber:iq:private";
inline constexpr std::string_view kPrivacy = "jabber:iq:privacy";
inline constexpr std::string_view kOffline = "http://jabber.org/protocol/offline";
inline constexpr std::string_view kSift = "urn:xmpp:sift:2";
inline constexpr std::string_view kLast = "jabber:iq:last";
inline constexpr std::string_view kCommands = "http://jabber.org/protocol/commands";
inline constexpr std::string_view kPolicy = "urn:gatehouse:policy";
inline constexpr std::string_view kTemporary = "urn:gatehouse:presence:temporary";
inline constexpr std::string_view kHidden = "urn:gatehouse:room:hidden";
inline constexpr std::string_view kPush = "urn:xmpp:push:0";
inline constexpr std::string_view kSearch = "jabber:iq:search";
inline constexpr std::string_view kTime = "urn:xmpp:time";
inline constexpr std::string_view kUpload = "urn:xmpp:http:upload:0";
inline constexpr std::string_view kXml = "http://www.w3.org/XML/1998/namespace";
}  // namespace ns

struct Attribute {
  std::string_view space;  // "" is none
  std::string_view name;
  std::string_view value;
};

// An element, or text between elements (`name` is empty then).
struct Node {
  std::string_view name;
  std::string_view space;
  std::string_view text;
  Attribute* attributes = nullptr;
  uint32_t attribute_count = 0;
  bool dropped = false;  // not written
  Node* parent = nullptr;
  Node* next = nullptr;
  Node* first = nullptr;
  Node* last = nullptr;

  bool is_text() const { return name.empty(); }
  bool Is(std::string_view a_name, std::string_view a_space) const {
    return name == a_name && space == a_space;
  }
  // Of no name space; "" when absent.
  std::string_view Get(std::string_view attribute) const;
  const Attribute* Find(std::string_view attribute) const;
  // Elements alone; null at the end.
  const Node* FirstElement() const { return ElementFrom(first); }
  const Node* NextElement() const { return ElementFrom(next); }
  const Node* Child(std::string_view a_name, std::string_view a_space) const;
  // The text in it, up to the first element.
  std::string_view Text() const;

 private:
  static const Node* ElementFrom(const Node* node);
};

// What of a stanza is another when it is written: what is empty stays away.
struct Addressing {
  std::string_view from;
  std::string_view to;
  std::string_view extra = {};  // children, written as they are, behind the others
  bool is_forwarded = false;    // names its name space
};

// The beginning of a text, never a part of a character.
std::string_view Shortened(std::string_view text, size_t size_max);
void WriteEscaped(std::string_view text, ByteWriter& out);
void WriteAttribute(std::string_view name, std::string_view value, ByteWriter& out);
// A stanza: `from` and `to` come first, in this order, before its other attributes.
void WriteStanza(const Node& stanza, const Addressing& addressing, ByteWriter& out);
// Any element; `outer` is the default name space where it is written to.
void WriteElement(const Node& element, std::string_view outer, ByteWriter& out);
// What is inside an element, as it is written inside one of the same name space.
void WriteChildren(const Node& element, ByteWriter& out);
// <error/> for a stanza error (RFC 6120 section 8.3).
void WriteError(std::string_view type, std::string_view condition, ByteWriter& out);

}  // namespace gh::xmpp
