// How expat is held: it has no context for its allocator, so each call says whose heap is meant;
// its own protection against tokens that come in slices is off, for it would hold stanzas back
// until twice as many bytes are there: slices are bounded here instead.
#include "firmware/xmpp/xml_reader.h"

#include <expat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "firmware/xmpp/scratch.h"
#include "hal/rt/assert.h"

namespace gh::xmpp {
namespace {

constexpr char kSeparator = '\x01';  // no character of XML, so of no name space

Heap* g_heap = nullptr;

class HeapScope {
 public:
  HeapScope(Heap& heap, uint32_t owner) : before_(std::exchange(g_heap, &heap)) {
    heap.SetOwner(owner);
  }
  HeapScope(const HeapScope&) = delete;
  HeapScope& operator=(const HeapScope&) = delete;
  ~HeapScope() { g_heap = before_; }

 private:
  Heap* before_;
};

const XML_Memory_Handling_Suite kMemory = {
    [](size_t size) { return g_heap->Allocate(size); },
    [](void* p, size_t size) { return g_heap->Reallocate(p, size); },
    [](void* p) { g_heap->Free(p); }};

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

}  // namespace

// What expat calls.
struct XmlReader::Glue {
  static XmlReader& Of(void* self) { return *static_cast<XmlReader*>(self); }
  static void Start(void* self, const char* name, const char** attributes) {
    Of(self).OnStart(name, attributes);
  }
  static void End(void* self, const char*) { Of(self).OnEnd(); }
  static void Text(void* self, const char* text, int size) {
    Of(self).OnText({text, static_cast<size_t>(size)});
  }
  static void Refuse(void* self) { Of(self).Stop(XmlEvent::kRestricted); }
};

XmlReader::~XmlReader() {
  if (parser_ != nullptr) {
    const HeapScope scope(*heap_, owner_);
    XML_ParserFree(parser_);
  }
}

void XmlReader::Init(Arena& arena, Heap& heap, uint32_t owner, crypto::Random& random,
                     const XmlLimits& limits) {
  heap_ = &heap;
  random_ = &random;
  owner_ = owner;
  limits_ = limits;
  stanza_max_ = limits.bytes;
  heap.SetOwnerLimit(owner, kParserHeapMax);
  text_ = NewBytes<char>(arena, limits.bytes + kParserSlice);
  nodes_ = arena.NewArray<Node>(limits.nodes);
  attributes_ =
      arena.NewArray<Attribute>(std::min(kStanzaAttributeMax, limits.elements * limits.attributes));
}

uint64_t XmlReader::ArenaBytes(const XmlLimits& limits) {
  return sizeof(XmlReader) + limits.bytes + kParserSlice + limits.nodes * sizeof(Node) +
         std::min(kStanzaAttributeMax, limits.elements * limits.attributes) * sizeof(Attribute) +
         64;
}

void XmlReader::Begin(bool primed) {
  const HeapScope scope(*heap_, owner_);
  if (primed && is_lendable() && stanzas_ < kParserStanzasMax) {
    return;
  }
  // What reset keeps of an odd stanza is given back.
  if (parser_ != nullptr && heap_->OwnerState(owner_).bytes > kParserHeapUsual) {
    XML_ParserFree(parser_);
    parser_ = nullptr;
  }
  if (parser_ == nullptr) {
    const char separator[] = {kSeparator, '\0'};
    parser_ = XML_ParserCreate_MM("UTF-8", &kMemory, separator);
  } else {
    XML_ParserReset(parser_, "UTF-8");
  }
  Clear();
  depth_ = stanzas_ = 0;
  fed_ = mark_ = start_ = 0;
  suspended_ = false;
  event_ = XmlEvent::kMore;
  primed_ = false;
  failed_ = parser_ == nullptr;
  if (failed_) {
    return;
  }
  std::array<uint8_t, 16> salt;
  random_->Fill(salt);
  (void)XML_SetHashSalt16Bytes(parser_, salt.data());
  XML_SetUserData(parser_, this);
  XML_SetReparseDeferralEnabled(parser_, XML_FALSE);
  XML_SetElementHandler(parser_, Glue::Start, Glue::End);
  XML_SetCharacterDataHandler(parser_, Glue::Text);
  XML_SetCommentHandler(parser_, [](void* self, const char*) { Glue::Refuse(self); });
  XML_SetProcessingInstructionHandler(
      parser_, [](void* self, const char*, const char*) { Glue::Refuse(self); });
  XML_SetStartDoctypeDeclHandler(
      parser_, [](void* self, const char*, const char*, const char*, int) { Glue::Refuse(self); });
  XML_SetSkippedEntityHandler(parser_, [](void* self, const char*, int) { Glue::Refuse(self); });
  failed_ = primed && !Prime();
}

bool XmlReader::Prime() {
  priming_ = true;
  const int status =
      XML_Parse(parser_, primer_.data(), static_cast<int>(primer_.size()), XML_FALSE);
  priming_ = false;
  fed_ = mark_ = primer_.size();
  primed_ = status == XML_STATUS_OK && depth_ == 1;
  Clear();
  return primed_;
}

XmlEvent XmlReader::Read(std::span<const uint8_t>& in) {
  if (failed_) {
    return parser_ == nullptr ? XmlEvent::kNoMemory : XmlEvent::kMalformed;
  }
  const HeapScope scope(*heap_, owner_);
  while (suspended_ || !in.empty()) {
    int status = XML_STATUS_OK;
    event_ = XmlEvent::kMore;
    if (std::exchange(suspended_, false)) {
      status = XML_ResumeParser(parser_);
    } else {
      const auto slice = in.first(std::min<size_t>(in.size(), kParserSlice));
      in = in.subspan(slice.size());
      fed_ += slice.size();
      status = XML_Parse(parser_, reinterpret_cast<const char*>(slice.data()),
                         static_cast<int>(slice.size()), XML_FALSE);
    }
    if (const XmlEvent event = Finish(status); event != XmlEvent::kMore) {
      return event;
    }
  }
  return XmlEvent::kMore;
}

XmlEvent XmlReader::Finish(int status) {
  suspended_ = status == XML_STATUS_SUSPENDED;
  if (event_ == XmlEvent::kHeader || event_ == XmlEvent::kStanza) {
    if (mark_ - start_ <= stanza_max_) {
      return event_;
    }
    event_ = XmlEvent::kTooLarge;
  } else if (event_ == XmlEvent::kMore && status == XML_STATUS_ERROR) {
    switch (XML_GetErrorCode(parser_)) {
      case XML_ERROR_NO_MEMORY:
        event_ = XmlEvent::kNoMemory;
        break;
      case XML_ERROR_UNDEFINED_ENTITY:
      case XML_ERROR_MISPLACED_XML_PI:
        event_ = XmlEvent::kRestricted;
        break;
      default:
        event_ = IsAtDeclaration() ? XmlEvent::kRestricted : XmlEvent::kMalformed;
        break;
    }
  } else if (event_ == XmlEvent::kMore && fed_ - mark_ > stanza_max_) {
    event_ = XmlEvent::kTooLarge;
  }
  failed_ = event_ != XmlEvent::kMore;
  return event_;
}

// Of a document type or an entity: behind a stream's header, which a primed parser has read, expat
// knows "<!" of comments and CDATA sections alone.
bool XmlReader::IsAtDeclaration() const {
  int offset = 0, size = 0;
  const char* text = XML_GetInputContext(parser_, &offset, &size);
  return text != nullptr && offset >= 2 && std::string_view(text + offset - 2, 2) == "<!";
}

void XmlReader::Stop(XmlEvent event) {
  if (event_ == XmlEvent::kMore) {  // the first thing that is wrong is what is told
    event_ = event;
  }
  (void)XML_StopParser(parser_, event == XmlEvent::kHeader || event == XmlEvent::kStanza);
}

uint64_t XmlReader::TokenEnd() const {
  return static_cast<uint64_t>(XML_GetCurrentByteIndex(parser_)) +
         static_cast<uint64_t>(XML_GetCurrentByteCount(parser_));
}

// --- The tree ------------------------------------------------------------------------------------

void XmlReader::Clear() {
  text_used_ = node_count_ = attribute_count_ = element_count_ = space_count_ = 0;
  root_ = open_ = nullptr;
}

Node* XmlReader::NewNode() {
  if (node_count_ == nodes_.size()) {
    Stop(XmlEvent::kTooLarge);
    return nullptr;
  }
  Node& node = nodes_[node_count_++];
  node = Node();
  node.parent = open_;
  if (open_ != nullptr) {
    (open_->last != nullptr ? open_->last->next : open_->first) = &node;
    open_->last = &node;
  }
  return &node;
}

std::string_view XmlReader::Keep(std::string_view text) {
  if (text.size() > text_.size() - text_used_) {
    Stop(XmlEvent::kTooLarge);
    return {};
  }
  char* at = text_.data() + text_used_;
  std::memcpy(at, text.data(), text.size());
  text_used_ += static_cast<uint32_t>(text.size());
  return {at, text.size()};
}

std::string_view XmlReader::KeepSpace(std::string_view space) {
  for (const std::string_view known : std::span(spaces_).first(space_count_)) {
    if (known == space) {
      return known;
    }
  }
  const std::string_view kept = Keep(space);
  if (space_count_ < kNamespacesKept) {
    spaces_[space_count_++] = kept;
  }
  return kept;
}

// False: there are too many, in the stanza or of a stranger's in all.
bool XmlReader::TakeElement() {
  if (priming_) {
    return true;
  }
  if (element_count_ == limits_.elements || elements_left_ == 0) {
    Stop(XmlEvent::kTooLarge);
    return false;
  }
  ++element_count_;
  elements_left_ -= elements_left_ == kAnyNumber ? 0 : 1;
  return true;
}

void XmlReader::OnStart(const char* name, const char** attributes) {
  if (event_ != XmlEvent::kMore) {
    return;
  }
  if (depth_ <= 1) {
    Clear();
    start_ = static_cast<uint64_t>(XML_GetCurrentByteIndex(parser_));
  }
  if (!TakeElement()) {
    return;
  }
  if (++depth_ > limits_.depth) {
    Stop(XmlEvent::kTooLarge);
    return;
  }
  Node* node = NewNode();
  if (node == nullptr) {
    return;
  }
  const auto split = [this](std::string_view whole, std::string_view& space) {
    const size_t at = whole.find(kSeparator);
    space = at == std::string_view::npos ? std::string_view() : KeepSpace(whole.substr(0, at));
    return Keep(at == std::string_view::npos ? whole : whole.substr(at + 1));
  };
  node->name = split(name, node->space);
  node->attributes = attributes_.data() + attribute_count_;
  for (const char** at = attributes; *at != nullptr; at += 2) {
    if (attribute_count_ == attributes_.size() || node->attribute_count == limits_.attributes) {
      Stop(XmlEvent::kTooLarge);
      return;
    }
    Attribute& attribute = attributes_[attribute_count_++];
    ++node->attribute_count;
    attribute.name = split(at[0], attribute.space);
    attribute.value = Keep(at[1]);
  }
  root_ = open_ == nullptr ? node : root_;
  if (depth_ > 1) {
    open_ = node;
    return;
  }
  mark_ = TokenEnd();
  if (!priming_) {
    Stop(XmlEvent::kHeader);
  }
}

void XmlReader::OnEnd() {
  if (event_ != XmlEvent::kMore) {
    return;
  }
  if (--depth_ == 0) {
    Stop(XmlEvent::kEnd);
    return;
  }
  open_ = open_->parent;
  if (depth_ == 1) {
    mark_ = TokenEnd();
    ++stanzas_;
    Stop(XmlEvent::kStanza);
  }
}

void XmlReader::OnText(std::string_view text) {
  if (event_ != XmlEvent::kMore) {
    return;
  }
  if (open_ == nullptr) {  // between stanzas
    if (!IsBlank(text)) {
      Stop(XmlEvent::kMalformed);
    }
    mark_ = TokenEnd();
    return;
  }
  const std::string_view kept = Keep(text);
  if (Node* last = open_->last;
      last != nullptr && last->is_text() && last->text.data() + last->text.size() == kept.data()) {
    last->text = {last->text.data(), last->text.size() + kept.size()};
    return;
  }
  if (Node* node = NewNode(); node != nullptr) {
    node->text = kept;
  }
}

}  // namespace gh::xmpp
