// Streams whose elements come one by one: messages of a WebSocket (RFC 7395), bodies of HTTP
// (XEP-0124). Each is read by the parser of all other streams, as if the stream's header had come
// before it; what is declared there once is declared in each element here.
#include <algorithm>

#include "firmware/xmpp/engine.h"
#include "net/websocket.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kDeclaresClient = " xmlns='jabber:client'";
constexpr std::string_view kDeclaresStream =
    " xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";

// What `element`, which we wrote, has to declare behind its name, which ends at `end`.
std::string_view DeclarationFor(std::string_view element, size_t& end) {
  end = std::min(element.find_first_of(" />", 1), element.size());
  const std::string_view name = element.substr(1, end - 1);
  if (name.starts_with("stream:")) {
    return kDeclaresStream;
  }
  const bool is_stanza = name == "message" || name == "presence" || name == "iq";
  return is_stanza ? kDeclaresClient : std::string_view();
}

}  // namespace

uint32_t Engine::StanzaMax(const Session& session) const {
  const uint32_t most = session.unproven ? kUnprovenBytes : config_.stanza_max;
  return session.framing == Framing::kStream ? most : std::min(most, kWebMessageMax);
}

uint32_t Engine::MessageMax(net::StreamId stream) {
  const Session* session = Find(stream);
  const bool is_over = session == nullptr || session->doomed || session->closing;
  return is_over ? 0 : StanzaMax(*session);
}

// Scripts cannot see the TLS session they are in, and what ends it may not be us.
size_t Engine::BindingOf(Session& session, Binding kind, std::span<uint8_t, 64> out) {
  const bool is_bound = config_.channel_binding && session.framing == Framing::kStream;
  return is_bound ? host_.BindingOf(session.stream, kind, out) : 0;
}

// --- In ------------------------------------------------------------------------------------------

bool Engine::OnMessage(net::StreamId stream, std::span<const uint8_t> message) {
  Session* session = Find(stream);
  if (session == nullptr || session->doomed || session->closing) {
    return true;
  }
  if (session->reader == nullptr && !LendReader(*session)) {
    return false;
  }
  // What is said may give the stream, and the reader, to another session.
  std::span<const uint8_t> in = message;
  if (TakeUnproven(*session, message.size())) {
    const bool is_begun = !message.empty() && message[0] == '<';
    const XmlEvent event = is_begun ? Read(*session, in) : XmlEvent::kMalformed;
    OnEvent(*session, event == XmlEvent::kMore ? XmlEvent::kMalformed : event);
  }
  session = Find(stream);
  if (session != nullptr && session->reader != nullptr && !session->doomed) {
    if (session->reader->Read(in) != XmlEvent::kMore || !session->reader->is_at_rest()) {
      StreamError(*session, "not-well-formed", "more than one element in a message");
    }
    ReturnReader(*session);
  }
  Settle();
  return true;
}

bool Engine::MayTakeMessage(net::StreamId stream) {
  Session* session = Find(stream);
  if (session == nullptr || session->doomed || session->reader != nullptr) {
    return true;
  }
  const bool is_lent = LendReader(*session);
  if (is_lent) {
    ReturnReader(*session);
  }
  return is_lent;
}

void Engine::OnElement(net::StreamId stream, Node& element) {
  Session* session = Find(stream);
  if (session != nullptr && !session->doomed && !session->closing) {
    OnWhole(*session, element);
  }
  Settle();
}

void Engine::Spend(net::StreamId stream, size_t bytes, uint32_t elements) {
  Session* session = Find(stream);
  if (session != nullptr && !session->doomed && !session->closing && session->unproven &&
      TakeUnproven(*session, bytes)) {
    if (elements > session->elements_left) {
      StreamError(*session, "policy-violation", "too much before authentication");
    } else {
      session->elements_left -= static_cast<uint16_t>(elements);
    }
  }
  Settle();
}

uint32_t Engine::ElementsLeft(net::StreamId stream) {
  const Session* session = Find(stream);
  return session == nullptr  ? kUnprovenElements
         : session->unproven ? session->elements_left
                             : XmlReader::kAnyNumber;
}

void Engine::OnWhole(Session& session, Node& element) {
  const bool is_opened =
      session.state != SessionState::kConnected && session.state != SessionState::kProven;
  if (element.Is("open", ns::kFraming)) {
    OnHeader(session, element);
  } else if (element.Is("close", ns::kFraming)) {
    OnEvent(session, XmlEvent::kEnd);
  } else if (!is_opened || element.space == ns::kFraming) {
    StreamError(session, "bad-format", "it did not begin with <open/>");
  } else if (session.state == SessionState::kBound) {
    OnStanza(session, element);
  } else {
    OnNegotiation(session, element);
  }
}

void Engine::WriteControl(net::StreamId stream, std::span<const uint8_t> frame) {
  if (Session* session = Find(stream)) {
    WriteBytes(*session, frame);
  }
  Settle();
}

// --- Out -----------------------------------------------------------------------------------------

void Engine::WriteOpen(Session& session, std::string_view to, ByteWriter& out) {
  if (session.framing == Framing::kBodies) {
    return;
  }
  out.Text(session.framing == Framing::kWebSocket
               ? "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'"
               : "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
                 "xmlns:stream='http://etherx.jabber.org/streams'");
  out.Text(" version='1.0' xml:lang='en' id='");
  out.Hex(random_.U64(), 16);
  out.Hex(random_.U64(), 16);
  out.Char('\'');
  if (session.domain < config_.domain_count) {
    WriteAttribute("from", config_.domains[session.domain].view(), out);
  }
  if (!to.empty()) {
    WriteAttribute("to", to, out);
  }
  out.Text(session.framing == Framing::kWebSocket ? "/>" : ">");
}

void Engine::WriteEnd(Session& session) {
  if (session.framing == Framing::kStream) {
    Write(session, "</stream:stream>");
  } else if (session.framing == Framing::kWebSocket) {
    Write(session, "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
    uint8_t bytes[4];
    ByteWriter frame(bytes);
    net::WriteWebSocketClose(frame, net::kWebSocketNormal);
    WriteBytes(session, frame.written());
  }
}

void Engine::WriteFramed(Session& session, std::span<const uint8_t> element) {
  size_t end = 0;
  const std::string_view declaration = DeclarationFor(AsText(element), end);
  uint8_t bytes[4096];
  ByteWriter out(bytes);
  if (session.framing == Framing::kWebSocket) {
    net::WriteWebSocketHeader(out, net::WebSocketOpcode::kText,
                              element.size() + declaration.size());
  }
  out.Bytes(element.first(end));
  out.Text(declaration);
  std::span<const uint8_t> rest = element.subspan(end);
  const size_t room = sizeof(bytes) - out.size();
  out.Bytes(rest.first(std::min(rest.size(), room)));
  GH_ASSERT(out.ok());
  WriteBytes(session, out.written());
  WriteBytes(session, rest.subspan(std::min(rest.size(), room)));
}

}  // namespace gh::xmpp
