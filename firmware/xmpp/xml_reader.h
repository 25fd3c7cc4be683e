// Streams cut into stanzas: the one parser of every entrance. expat in a bounded heap, restricted
// as RFC 6120 section 11.1 says: no document type, entities, comments or processing instructions.
//
// A reader is lent to a session while a stanza is incomplete and taken back at its end: between
// two stanzas of a stream whose header was the usual one, any reader may go on ("primed" with that
// header). Bytes are counted before anything is built of them; tree, text and heap are of fixed
// size. Fault model: whatever comes, a reader says what is wrong once and then wants Begin().
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/random.h"
#include "firmware/xmpp/limits.h"
#include "firmware/xmpp/xml.h"
#include "hal/rt/arena.h"
#include "hal/rt/heap.h"

struct XML_ParserStruct;

namespace gh::xmpp {

struct XmlLimits {
  uint32_t bytes = kStanzaMax;
  uint32_t elements = kStanzaElementMax;
  uint32_t depth = kStanzaDepthMax;
  uint32_t attributes = kElementAttributeMax;  // of one element
  uint32_t nodes = kStanzaNodeMax;             // elements, and text before and after them

  static constexpr XmlLimits Unproven() {
    return {kUnprovenBytes, kUnprovenElements, kUnprovenDepth, kUnprovenAttributes, kUnprovenNodes};
  }
};

enum class XmlEvent : uint8_t {
  kMore,       // everything was read
  kHeader,     // root() is the stream's opening tag
  kStanza,     // root() is a stanza, until the next Read
  kEnd,        // the stream was closed
  kMalformed,  // not well-formed
  kRestricted,
  kTooLarge,  // a limit
  kNoMemory,
};

class XmlReader {
 public:
  XmlReader() = default;
  XmlReader(const XmlReader&) = delete;
  XmlReader& operator=(const XmlReader&) = delete;
  ~XmlReader();

  // Carves tree and text from the arena; `owner` is the reader's account in the heap.
  void Init(Arena& arena, Heap& heap, uint32_t owner, crypto::Random& random,
            const XmlLimits& limits);
  static uint64_t ArenaBytes(const XmlLimits& limits);

  // What primed streams begin with instead of the usual header of clients; static.
  void SetPrimer(std::string_view header) { primer_ = header; }
  // A new stream: its header comes first. Primed: that of a client's stream has been read.
  void Begin(bool primed);
  // Takes bytes off the front of `in` and returns at the first event. After kStanza or kHeader it
  // is called again, until kMore; what was taken and not read by then is forgotten by Begin.
  XmlEvent Read(std::span<const uint8_t>& in);
  Node& root() { return *root_; }
  // Between stanzas, with nothing begun: somebody else may have this reader.
  bool is_at_rest() const { return depth_ == 1 && !suspended_ && fed_ == mark_ && !failed_; }
  bool is_lendable() const { return primed_ && is_at_rest(); }
  // How many elements may begin from now on, in all that is read: counted before anything is made
  // of one. Begin does not change it.
  static constexpr uint32_t kAnyNumber = UINT32_MAX;
  void SetElementsLeft(uint32_t count) { elements_left_ = count; }
  uint32_t elements_left() const { return elements_left_; }
  // The limit for stanzas, at most what Init was given.
  void SetStanzaMax(uint32_t bytes) { stanza_max_ = bytes < limits_.bytes ? bytes : limits_.bytes; }

 private:
  struct Glue;
  Node* NewNode();
  std::string_view Keep(std::string_view text);
  std::string_view KeepSpace(std::string_view space);
  void OnStart(const char* name, const char** attributes);
  bool TakeElement();
  void OnEnd();
  void OnText(std::string_view text);
  void Stop(XmlEvent event);
  void Clear();
  uint64_t TokenEnd() const;
  bool Prime();
  XmlEvent Finish(int status);
  bool IsAtDeclaration() const;

  XML_ParserStruct* parser_ = nullptr;
  Heap* heap_ = nullptr;
  crypto::Random* random_ = nullptr;  // of the salt of its hash tables
  uint32_t owner_ = 0;
  std::string_view primer_ =
      "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
  XmlLimits limits_;
  uint32_t stanza_max_ = 0;
  std::span<char> text_;
  std::span<Node> nodes_;
  std::span<Attribute> attributes_;
  uint32_t text_used_ = 0;
  uint32_t node_count_ = 0;
  uint32_t attribute_count_ = 0;
  uint32_t element_count_ = 0;
  uint32_t elements_left_ = kAnyNumber;
  std::string_view spaces_[kNamespacesKept];
  uint32_t space_count_ = 0;
  Node* root_ = nullptr;
  Node* open_ = nullptr;  // the element being read
  uint32_t depth_ = 0;
  uint32_t stanzas_ = 0;  // since Begin
  uint64_t fed_ = 0;      // bytes given to the parser since Begin
  uint64_t mark_ = 0;     // where the last event, or blank between stanzas, ended
  uint64_t start_ = 0;    // where the stanza began
  bool primed_ = false;
  bool priming_ = false;
  bool suspended_ = false;
  bool failed_ = true;  // until Begin
  XmlEvent event_ = XmlEvent::kMore;
};

}  // namespace gh::xmpp
