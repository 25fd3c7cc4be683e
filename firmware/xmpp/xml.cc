#include "firmware/xmpp/xml.h"

namespace gh::xmpp {
namespace {

void WriteAttributes(const Node& node, bool is_stanza, ByteWriter& out) {
  uint32_t prefixes = 0;
  for (const Attribute& attribute : std::span(node.attributes, node.attribute_count)) {
    if (attribute.space.empty()) {
      if (!is_stanza || (attribute.name != "from" && attribute.name != "to")) {
        WriteAttribute(attribute.name, attribute.value, out);
      }
      continue;
    }
    if (attribute.space == ns::kXml) {
      out.Text(" xml:");
    } else {
      out.Text(" xmlns:a");
      out.Decimal(prefixes);
      out.Text("='");
      WriteEscaped(attribute.space, out);
      out.Text("' a");
      out.Decimal(prefixes++);
      out.Char(':');
    }
    out.Text(attribute.name);
    out.Text("='");
    WriteEscaped(attribute.value, out);
    out.Char('\'');
  }
}

// The first node at or behind `node` that is written.
const Node* Written(const Node* node) {
  while (node != nullptr && node->dropped) {
    node = node->next;
  }
  return node;
}

// What is inside `root`, without recursion: down to the first child, else on, else up.
void WriteContent(const Node& root, ByteWriter& out) {
  const Node* at = Written(root.first);
  while (at != nullptr) {
    if (at->is_text()) {
      WriteEscaped(at->text, out);
    } else {
      out.Char('<');
      out.Text(at->name);
      if (at->space != at->parent->space) {
        WriteAttribute("xmlns", at->space, out);
      }
      WriteAttributes(*at, false, out);
      if (const Node* child = Written(at->first); child != nullptr) {
        out.Char('>');
        at = child;
        continue;
      }
      out.Text("/>");
    }
    while (Written(at->next) == nullptr && at->parent != &root) {
      at = at->parent;
      out.Text("</");
      out.Text(at->name);
      out.Char('>');
    }
    at = Written(at->next);
  }
}

}  // namespace

const Attribute* Node::Find(std::string_view attribute) const {
  for (const Attribute& each : std::span(attributes, attribute_count)) {
    if (each.space.empty() && each.name == attribute) {
      return &each;
    }
  }
  return nullptr;
}

std::string_view Node::Get(std::string_view attribute) const {
  const Attribute* found = Find(attribute);
  return found != nullptr ? found->value : std::string_view();
}

const Node* Node::ElementFrom(const Node* node) {
  while (node != nullptr && node->is_text()) {
    node = node->next;
  }
  return node;
}

const Node* Node::Child(std::string_view a_name, std::string_view a_space) const {
  const Node* child = FirstElement();
  while (child != nullptr && !child->Is(a_name, a_space)) {
    child = child->NextElement();
  }
  return child;
}

std::string_view Node::Text() const {
  return first != nullptr && first->is_text() ? first->text : std::string_view();
}

std::string_view Shortened(std::string_view text, size_t size_max) {
  size_t size = text.size();
  if (size > size_max) {
    size = size_max;
    while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xC0) == 0x80) {
      --size;
    }
  }
  return text.substr(0, size);
}

void WriteEscaped(std::string_view text, ByteWriter& out) {
  size_t from = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    std::string_view stands;
    switch (text[at]) {
      case '&':
        stands = "&amp;";
        break;
      case '<':
        stands = "&lt;";
        break;
      case '>':
        stands = "&gt;";
        break;
      case '\'':
        stands = "&apos;";
        break;
      case '"':
        stands = "&quot;";
        break;
      case '\r':
        stands = "&#13;";
        break;
      case '\n':
        stands = "&#10;";
        break;
      case '\t':
        stands = "&#9;";
        break;
      default:
        continue;
    }
    out.Text(text.substr(from, at - from));
    out.Text(stands);
    from = at + 1;
  }
  out.Text(text.substr(from));
}

void WriteAttribute(std::string_view name, std::string_view value, ByteWriter& out) {
  out.Char(' ');
  out.Text(name);
  out.Text("='");
  WriteEscaped(value, out);
  out.Char('\'');
}

void WriteStanza(const Node& stanza, const Addressing& addressing, ByteWriter& out) {
  out.Char('<');
  out.Text(stanza.name);
  if (!addressing.from.empty()) {
    WriteAttribute("from", addressing.from, out);
  }
  if (!addressing.to.empty()) {
    WriteAttribute("to", addressing.to, out);
  }
  if (addressing.is_forwarded) {
    WriteAttribute("xmlns", stanza.space, out);
  }
  WriteAttributes(stanza, true, out);
  out.Char('>');
  WriteContent(stanza, out);
  out.Text(addressing.extra);
  out.Text("</");
  out.Text(stanza.name);
  out.Char('>');
}

void WriteElement(const Node& element, std::string_view outer, ByteWriter& out) {
  out.Char('<');
  out.Text(element.name);
  if (element.space != outer) {
    WriteAttribute("xmlns", element.space, out);
  }
  WriteAttributes(element, false, out);
  out.Char('>');
  WriteContent(element, out);
  out.Text("</");
  out.Text(element.name);
  out.Char('>');
}

void WriteChildren(const Node& element, ByteWriter& out) { WriteContent(element, out); }

void WriteError(std::string_view type, std::string_view condition, ByteWriter& out) {
  out.Text("<error type='");
  out.Text(type);
  out.Text("'><");
  out.Text(condition);
  out.Text(" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
}

}  // namespace gh::xmpp
