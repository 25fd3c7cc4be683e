#include "firmware/presence/pidf.h"

#include <algorithm>

namespace gh::presence {
namespace {

using xmpp::Attribute;
using xmpp::Node;
using xmpp::WriteAttribute;
using xmpp::WriteEscaped;

constexpr std::string_view kPidf = "urn:ietf:params:xml:ns:pidf";
// Only the parser's stream, around the document.
constexpr std::string_view kPrimer = "<documents>";

// Some phones look for these prefixes instead of the name spaces.
struct Known {
  std::string_view prefix;
  std::string_view space;
};
constexpr Known kKnown[] = {
    {"dm", "urn:ietf:params:xml:ns:pidf:data-model"},
    {"rpid", "urn:ietf:params:xml:ns:pidf:rpid"},
    {"caps", "urn:ietf:params:xml:ns:pidf:caps"},
};

std::string_view PrefixOf(std::string_view space) {
  for (const Known& known : kKnown) {
    if (known.space == space) {
      return known.prefix;
    }
  }
  return {};
}

// The default name space where `node` stands: that of the nearest element without a prefix.
std::string_view DefaultAround(const Node& node, const Node& root) {
  for (const Node* at = node.parent; at != nullptr && at != &root; at = at->parent) {
    if (PrefixOf(at->space).empty()) {
      return at->space;
    }
  }
  return kPidf;
}

void WriteName(const Node& node, ByteWriter& out) {
  if (const std::string_view prefix = PrefixOf(node.space); !prefix.empty()) {
    out.Text(prefix);
    out.Char(':');
  }
  out.Text(node.name);
}

struct Target {
  const Node& root;
  uint32_t prefix;
  ByteWriter& out;
};

void WriteId(const Target& to, std::string_view id) {
  to.out.Text(" id='p");
  to.out.Decimal(to.prefix);
  to.out.Char('.');
  WriteEscaped(id, to.out);
  to.out.Char('\'');
}

void WriteAttributes(const Node& node, const Target& to) {
  const bool is_top = node.parent == &to.root;
  uint32_t prefixes = 0;
  for (const Attribute& attribute : std::span(node.attributes, node.attribute_count)) {
    if (attribute.space.empty() && is_top && attribute.name == "id") {
      WriteId(to, attribute.value);
    } else if (attribute.space.empty()) {
      WriteAttribute(attribute.name, attribute.value, to.out);
    } else if (attribute.space == xmpp::ns::kXml) {
      to.out.Text(" xml:");
      to.out.Text(attribute.name);
      to.out.Text("='");
      WriteEscaped(attribute.value, to.out);
      to.out.Char('\'');
    } else {
      to.out.Text(" xmlns:a");
      to.out.Decimal(prefixes);
      to.out.Text("='");
      WriteEscaped(attribute.space, to.out);
      to.out.Text("' a");
      to.out.Decimal(prefixes++);
      to.out.Char(':');
      to.out.Text(attribute.name);
      to.out.Text("='");
      WriteEscaped(attribute.value, to.out);
      to.out.Char('\'');
    }
  }
}

void WriteOpening(const Node& node, const Target& to) {
  to.out.Char('<');
  WriteName(node, to.out);
  if (PrefixOf(node.space).empty() && DefaultAround(node, to.root) != node.space) {
    WriteAttribute("xmlns", node.space, to.out);
  }
  WriteAttributes(node, to);
  to.out.Char('>');
}

void WriteClosing(const Node& node, ByteWriter& out) {
  out.Text("</");
  WriteName(node, out);
  out.Char('>');
}

// Without recursion: down to the first child, else on, else up.
void WriteTree(const Node& top, const Target& to) {
  const Node* at = &top;
  while (at != nullptr) {
    if (at->is_text()) {
      WriteEscaped(at->text, to.out);
    } else {
      WriteOpening(*at, to);
      if (at->first != nullptr) {
        at = at->first;
        continue;
      }
      WriteClosing(*at, to.out);
    }
    while (at != &top && at->next == nullptr) {
      at = at->parent;
      WriteClosing(*at, to.out);
    }
    at = at == &top ? nullptr : at->next;
  }
}

std::string_view Trim(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t\r\n");
  return from == std::string_view::npos
             ? std::string_view()
             : text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1);
}

enum class Part : uint8_t { kTuple, kNote, kOther };
Part PartOf(const Node& node) {
  return node.Is("tuple", kPidf)  ? Part::kTuple
         : node.Is("note", kPidf) ? Part::kNote
                                  : Part::kOther;
}

// Each tuple has an id of its own and a status (RFC 3863 4.1.2).
bool AreTuplesGood(const Node& root) {
  for (const Node* node = root.FirstElement(); node != nullptr; node = node->NextElement()) {
    if (PartOf(*node) != Part::kTuple) {
      continue;
    }
    if (node->Get("id").empty() || node->Child("status", kPidf) == nullptr) {
      return false;
    }
    for (const Node* other = root.FirstElement(); other != node; other = other->NextElement()) {
      if (PartOf(*other) == Part::kTuple && other->Get("id") == node->Get("id")) {
        return false;
      }
    }
  }
  return true;
}

bool HasOpenTuple(const Node& root) {
  for (const Node* node = root.FirstElement(); node != nullptr; node = node->NextElement()) {
    const Node* status = PartOf(*node) == Part::kTuple ? node->Child("status", kPidf) : nullptr;
    const Node* basic = status == nullptr ? nullptr : status->Child("basic", kPidf);
    if (basic != nullptr && Trim(basic->Text()) == "open") {
      return true;
    }
  }
  return false;
}

std::string_view WriteParts(Part part, const Target& to) {
  const size_t before = to.out.size();
  for (const Node* node = to.root.FirstElement(); node != nullptr; node = node->NextElement()) {
    if (PartOf(*node) == part) {
      WriteTree(*node, to);
    }
  }
  return to.out.text().substr(before);
}

// The parser begins behind the declaration: it takes documents as the elements of a stream.
Result<std::span<const uint8_t>> WithoutDeclaration(std::span<const uint8_t> document) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  std::string_view text = AsText(document);
  if (text.starts_with(kMark)) {
    text.remove_prefix(kMark.size());
  }
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (!text.starts_with("<?xml")) {
    return AsBytes(text);
  }
  const size_t end = text.find("?>");
  if (end == std::string_view::npos) {
    return Error(ErrorCode::kMalformed, "not well-formed");
  }
  const std::string_view declaration = text.substr(0, end);
  const size_t encoding = declaration.find("encoding");
  const bool is_utf8 = encoding == std::string_view::npos ||
                       declaration.find("UTF-8", encoding) != std::string_view::npos ||
                       declaration.find("utf-8", encoding) != std::string_view::npos;
  if (!is_utf8) {
    return Error(ErrorCode::kMalformed, "not UTF-8");
  }
  return AsBytes(text.substr(end + 2));
}

constexpr xmpp::XmlLimits kLimits = {kDocumentBytesMax, kDocumentElementMax, kDocumentDepthMax,
                                     kDocumentAttributeMax, 2 * kDocumentElementMax};

}  // namespace

PidfReader::PidfReader(Arena& arena, crypto::Random& random)
    : heap_(arena, 2 * xmpp::kParserHeapMax) {
  reader_.Init(arena, heap_, 0, random, kLimits);
  reader_.SetPrimer(kPrimer);
}

Result<Parts> PidfReader::Read(std::span<const uint8_t> document, uint32_t prefix,
                               ByteWriter& out) {
  if (document.size() > kDocumentBytesMax) {
    return Error(ErrorCode::kTooLarge, "presence document");
  }
  auto rest = WithoutDeclaration(document);
  if (!rest.ok()) {
    return rest.error();
  }
  reader_.Begin(true);
  const xmpp::XmlEvent event = reader_.Read(*rest);
  if (event == xmpp::XmlEvent::kTooLarge || event == xmpp::XmlEvent::kNoMemory) {
    return Error(ErrorCode::kTooLarge, "presence document");
  }
  const Node* root = event == xmpp::XmlEvent::kStanza ? &reader_.root() : nullptr;
  if (root == nullptr || !root->Is("presence", kPidf) || !AreTuplesGood(*root)) {
    return Error(ErrorCode::kMalformed, "no presence document");
  }
  const Target to{*root, prefix, out};
  Parts parts;
  parts.tuples = WriteParts(Part::kTuple, to);
  parts.notes = WriteParts(Part::kNote, to);
  parts.others = WriteParts(Part::kOther, to);
  parts.is_open = HasOpenTuple(*root);
  // What follows the document is at most blank.
  const bool is_all = reader_.Read(*rest) == xmpp::XmlEvent::kMore && reader_.is_at_rest();
  if (!is_all) {
    return Error(ErrorCode::kMalformed, "something behind the document");
  }
  if (!out.ok()) {
    return Error(ErrorCode::kTooLarge, "what it says");
  }
  return parts;
}

void WriteBasic(ByteWriter& out, bool is_open, std::string_view contact) {
  out.Text("<tuple id='registration'><status><basic>");
  out.Text(is_open ? "open" : "closed");
  out.Text("</basic></status>");
  if (is_open) {
    out.Text("<contact>");
    WriteEscaped(contact, out);
    out.Text("</contact>");
  }
  out.Text("</tuple>");
}

void BeginPidf(ByteWriter& out, std::string_view entity) {
  out.Text("<?xml version='1.0' encoding='UTF-8'?>\r\n<presence");
  WriteAttribute("xmlns", kPidf, out);
  for (const Known& known : kKnown) {
    out.Text(" xmlns:");
    out.Text(known.prefix);
    out.Text("='");
    out.Text(known.space);
    out.Char('\'');
  }
  WriteAttribute("entity", entity, out);
  out.Char('>');
}

void EndPidf(ByteWriter& out) { out.Text("</presence>\r\n"); }

}  // namespace gh::presence
