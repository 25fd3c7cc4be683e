// The parser of streams: what it takes in whatever pieces, each limit at its edge, and everything
// it must refuse.
#include "firmware/xmpp/xml_reader.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "crypto/init.h"
#include "tests/unit/net/fake_wire.h"
#include "tests/unit/rt/memory.h"

namespace gh::xmpp::test {
namespace {

constexpr const char* kHeader =
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams' to='example.com'>";

class Reading : public testing::Test {
 protected:
  Reading() : memory_(16 << 20), arena_(memory_), heap_(arena_, 1 << 20, 2) {
    crypto::Initialise();
  }
  XmlReader& Make(const XmlLimits& limits = XmlLimits()) {
    reader_ = std::make_unique<XmlReader>();
    reader_->Init(arena_, heap_, 0, random_, limits);
    reader_->Begin(false);
    return *reader_;
  }
  // The first event that is not a stanza or a header, and what was read up to it.
  XmlEvent ReadAll(XmlReader& reader, std::string_view text, size_t piece = SIZE_MAX) {
    while (!text.empty()) {
      std::span<const uint8_t> in = AsBytes(text.substr(0, piece));
      text.remove_prefix(std::min(piece, text.size()));
      for (;;) {
        const XmlEvent event = reader.Read(in);
        if (event == XmlEvent::kStanza) {
          std::vector<uint8_t> bytes(1 << 18);
          ByteWriter out(bytes);
          WriteElement(reader.root(), ns::kClient, out);
          stanzas.emplace_back(out.text());
        } else if (event == XmlEvent::kMore) {
          break;
        } else if (event != XmlEvent::kHeader) {
          return event;
        }
      }
    }
    return XmlEvent::kMore;
  }
  uint64_t heap_bytes() const { return heap_.OwnerState(0).bytes; }
  std::vector<std::string> stanzas;

 private:
  gh::test::Memory memory_;
  Arena arena_;
  Heap heap_;
  net::test::SeededEntropy entropy_{1};
  crypto::Random random_{entropy_};
  std::unique_ptr<XmlReader> reader_;
};

TEST_F(Reading, GivesTheSameStanzasHoweverTheyAreCut) {
  const std::string stream = std::string(kHeader) +
                             "<message to='b@x'><body>a &amp; b &#x1F600; &lt;</body></message> \n"
                             "<iq id='1' xml:lang='de'><q xmlns='u:1'><r xmlns='u:2' a=\"'\"/></q>"
                             "</iq><presence/>";
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, SIZE_MAX}) {
    stanzas.clear();
    XmlReader& reader = Make();
    EXPECT_EQ(ReadAll(reader, stream, piece), XmlEvent::kMore);
    ASSERT_EQ(stanzas.size(), 3u) << piece;
    EXPECT_EQ(stanzas[0],
              "<message to='b@x'><body>a &amp; b \xF0\x9F\x98\x80 &lt;</body></message>");
    EXPECT_EQ(stanzas[1],
              "<iq id='1' xml:lang='de'><q xmlns='u:1'><r xmlns='u:2' a='&apos;'/></q></iq>");
    EXPECT_EQ(stanzas[2], "<presence></presence>");
    EXPECT_TRUE(reader.is_at_rest());
  }
}

TEST_F(Reading, AnyReaderGoesOnBetweenStanzas) {
  XmlReader& reader = Make();
  reader.Begin(true);
  EXPECT_TRUE(reader.is_lendable());
  for (uint32_t i = 0; i < 3 * kParserStanzasMax; ++i) {
    reader.Begin(true);
    EXPECT_EQ(ReadAll(reader, "<presence><n" + std::to_string(i) + "/></presence>"),
              XmlEvent::kMore);
    EXPECT_TRUE(reader.is_lendable());
  }
  EXPECT_EQ(stanzas.size(), 3 * kParserStanzasMax);
  EXPECT_EQ(ReadAll(reader, "<pres"), XmlEvent::kMore);
  EXPECT_FALSE(reader.is_at_rest());  // a part of a name is kept
  EXPECT_EQ(ReadAll(reader, "ence/>"), XmlEvent::kMore);
  EXPECT_TRUE(reader.is_at_rest());
  EXPECT_EQ(ReadAll(reader, "</stream:stream>"), XmlEvent::kEnd);
}

TEST_F(Reading, RefusesWhatIsNoXmppXml) {
  const struct {
    const char* text;
    XmlEvent event;
  } cases[] = {
      {"<!-- a --><presence/>", XmlEvent::kRestricted},
      {"<message><!-- a --></message>", XmlEvent::kRestricted},
      {"<message><?php x?></message>", XmlEvent::kRestricted},
      {"<message>&foo;</message>", XmlEvent::kRestricted},
      {"<message a='&foo;'/>", XmlEvent::kRestricted},
      {"<!DOCTYPE s [<!ENTITY a 'b'>]><message/>", XmlEvent::kRestricted},
      {"<message><!DOCTYPE s></message>", XmlEvent::kRestricted},
      {"<!ENTITY a 'b'>", XmlEvent::kRestricted},
      {"<?xml version='1.0'?><message/>", XmlEvent::kRestricted},
      {"<message><![CDATX[a]]></message>", XmlEvent::kMalformed},
      {"<message></iq>", XmlEvent::kMalformed},
      {"<message a='1' a='2'/>", XmlEvent::kMalformed},
      {"text<message/>", XmlEvent::kMalformed},
      {"<x:message/>", XmlEvent::kMalformed},
      {"<message>\xC0\xAF</message>", XmlEvent::kMalformed},
      {"<message>\xED\xA0\x80</message>", XmlEvent::kMalformed},
      {"<message>&#1;</message>", XmlEvent::kMalformed},
      {"<message>\x01</message>", XmlEvent::kMalformed},
      // What parsers disagree about is where stanzas are smuggled (CVE-2022-25235).
      {"<message>\xEF\xBF\xBE</message>", XmlEvent::kMalformed},
      {"<message a='\xEF\xBF\xBF'/>", XmlEvent::kMalformed},
      {"<message>&#xFFFE;</message>", XmlEvent::kMalformed},
      {"<message a='&#xFFFF;'/>", XmlEvent::kMalformed},
      {"<message>&#xD800;</message>", XmlEvent::kMalformed},
      {"<message>&#x110000;</message>", XmlEvent::kMalformed},
      {"<message>&#0;</message>", XmlEvent::kMalformed},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(ReadAll(Make(), std::string(kHeader) + each.text, 1), each.event) << each.text;
    XmlReader& reader = Make();
    EXPECT_EQ(ReadAll(reader, std::string(kHeader) + each.text), each.event) << each.text;
    std::span<const uint8_t> more = AsBytes(std::string_view("<a/>"));
    EXPECT_EQ(reader.Read(more), XmlEvent::kMalformed);  // it stays so until Begin
  }
  XmlReader& reader = Make();
  EXPECT_EQ(ReadAll(reader, "<!DOCTYPE s [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]><s>&b;</s>"),
            XmlEvent::kRestricted);
  EXPECT_EQ(ReadAll(Make(), "<?xml version='1.0' encoding='UTF-16'?><a"), XmlEvent::kMore);
}

// Text like any other: written again without its section, and counted.
TEST_F(Reading, CdataIsText) {
  EXPECT_EQ(ReadAll(Make(), kHeader + std::string("<m>a<![CDATA[<b a=\"'\">&amp;]]>c</m>"), 3),
            XmlEvent::kMore);
  ASSERT_EQ(stanzas.size(), 1u);
  EXPECT_EQ(stanzas[0], "<m>a&lt;b a=&quot;&apos;&quot;&gt;&amp;amp;c</m>");
  EXPECT_EQ(ReadAll(Make(), kHeader + std::string("<![CDATA[between]]><m/>")),
            XmlEvent::kMalformed);
  const XmlLimits limits{1000, 8, 5, 3, 16};
  EXPECT_EQ(ReadAll(Make(limits), kHeader + ("<m><![CDATA[" + std::string(1000, 'x'))),
            XmlEvent::kTooLarge);
}

TEST_F(Reading, EachLimitAtItsEdge) {
  XmlLimits limits{1000, 8, 5, 3, 16};
  const auto sized = [](size_t size) {
    const std::string frame = "<message><body></body></message>";
    return "<message><body>" + std::string(size - frame.size(), 'x') + "</body></message>";
  };
  EXPECT_EQ(ReadAll(Make(limits), kHeader + sized(1000)), XmlEvent::kMore);
  EXPECT_EQ(ReadAll(Make(limits), kHeader + sized(1001)), XmlEvent::kTooLarge);
  EXPECT_EQ(ReadAll(Make(limits), kHeader + sized(1001), 1), XmlEvent::kTooLarge);
  // Never ending is as bad as too long.
  EXPECT_EQ(ReadAll(Make(limits), kHeader + std::string("<message a='") + std::string(1100, 'x')),
            XmlEvent::kTooLarge);
  EXPECT_EQ(ReadAll(Make(limits), kHeader + std::string("<a><b><c><d/></c></b></a>")),
            XmlEvent::kMore);
  EXPECT_EQ(ReadAll(Make(limits), kHeader + std::string("<a><b><c><d><e/></d></c></b></a>")),
            XmlEvent::kTooLarge);
  EXPECT_EQ(ReadAll(Make(limits), kHeader + std::string("<a b='1' c='2' d='3'/>")),
            XmlEvent::kMore);
  EXPECT_EQ(ReadAll(Make(limits), kHeader + std::string("<a b='1' c='2' d='3' e='4'/>")),
            XmlEvent::kTooLarge);
  const std::string seven = "<a><b/><b/><b/><b/><b/><b/><b/>";
  EXPECT_EQ(ReadAll(Make(limits), kHeader + seven + "</a>"), XmlEvent::kMore);
  EXPECT_EQ(ReadAll(Make(limits), kHeader + seven + "<b/></a>"), XmlEvent::kTooLarge);
  // Eight elements and eight pieces of text.
  const std::string mixed = "<a>.<b/>.<b/>.<b/>.<b/>.<b/>.<b/>.<b/>.";
  EXPECT_EQ(ReadAll(Make(limits), kHeader + mixed + "</a>"), XmlEvent::kMore);
  limits.nodes = 15;
  EXPECT_EQ(ReadAll(Make(limits), kHeader + mixed + "</a>"), XmlEvent::kTooLarge);
}

// What a stanza may have as it is set: of a client, and of a stranger.
TEST_F(Reading, WhatAStanzaMayHave) {
  const auto read = [&](const std::string& stanza, const XmlLimits& limits = XmlLimits()) {
    const XmlEvent event = ReadAll(Make(limits), kHeader + stanza);
    EXPECT_LE(heap_bytes(), kParserHeapMax);
    return event;
  };
  const auto times = [](uint32_t count, const std::string& what) {
    std::string out;
    for (uint32_t i = 0; i < count; ++i) {
      out += what;
    }
    return out;
  };
  const auto nested = [&](uint32_t depth) { return times(depth, "<a>") + times(depth, "</a>"); };
  const auto wide = [&](uint32_t count) {
    std::string out = "<a";
    for (uint32_t i = 0; i < count; ++i) {
      out += " n" + std::to_string(i) + "='1'";
    }
    return out + "/>";
  };
  const auto inside = [&](const std::string& what) { return "<m>" + what + "</m>"; };
  const XmlLimits stranger = XmlLimits::Unproven();
  const struct {
    std::string fits;
    std::string is_over;
    XmlLimits limits;
  } cases[] = {
      {nested(kStanzaDepthMax - 1), nested(kStanzaDepthMax), {}},  // the stream is one
      {nested(kUnprovenDepth - 1), nested(kUnprovenDepth), stranger},
      {wide(kElementAttributeMax), wide(kElementAttributeMax + 1), {}},
      {wide(kUnprovenAttributes), wide(kUnprovenAttributes + 1), stranger},
      {inside(times(kStanzaElementMax - 1, "<b/>")), inside(times(kStanzaElementMax, "<b/>")), {}},
      {inside(times(kStanzaNodeMax / 2 - 1, ".<b/>") + "."),
       inside(times(kStanzaNodeMax / 2, ".<b/>") + "."),
       {}},
      {inside(times(kUnprovenNodes / 6 - 1, ".<b/>") + "."),
       inside(times(kUnprovenElements, ".<b/>")), stranger},
      {inside(times(kStanzaAttributeMax / kElementAttributeMax, wide(kElementAttributeMax))),
       inside(times(kStanzaAttributeMax / kElementAttributeMax, wide(kElementAttributeMax)) +
              wide(1)),
       {}},
      {inside(std::string(kStanzaMax - 7, 'x')), inside(std::string(kStanzaMax - 6, 'x')), {}},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(read(each.fits, each.limits), XmlEvent::kMore) << each.fits.substr(0, 60);
    EXPECT_EQ(read(each.is_over, each.limits), XmlEvent::kTooLarge) << each.is_over.substr(0, 60);
  }
}

// What a stranger may begin, in all it sends: the one too many is refused before it has ended.
TEST_F(Reading, ElementsOfAllStanzasAreCounted) {
  XmlReader& reader = Make();
  reader.SetElementsLeft(4);
  EXPECT_EQ(ReadAll(reader, std::string(kHeader) + "<a><b/></a>"), XmlEvent::kMore);
  EXPECT_EQ(reader.elements_left(), 1u);
  EXPECT_EQ(ReadAll(reader, "<a>"), XmlEvent::kMore);
  EXPECT_EQ(ReadAll(reader, "<b>"), XmlEvent::kTooLarge);
  reader.SetElementsLeft(1);
  reader.Begin(true);
  std::span<const uint8_t> in = AsBytes(std::string_view("<a/><b>"));
  EXPECT_EQ(reader.Read(in), XmlEvent::kStanza);
  EXPECT_EQ(reader.Read(in), XmlEvent::kTooLarge);
}

// A name space is copied once for many elements, and what it makes of a stanza is bounded.
TEST_F(Reading, LongNameSpacesDoNotMultiply) {
  const std::string space(4000, 'n');
  std::string text = std::string(kHeader) + "<message xmlns:p='" + space + "'>";
  for (int i = 0; i < 500; ++i) {
    text += "<p:x/>";
  }
  EXPECT_EQ(ReadAll(Make(), text + "</message>"), XmlEvent::kMore);
  text = std::string(kHeader) + "<message>";
  for (uint32_t i = 0; i < kNamespacesKept + 4; ++i) {
    text += "<p:x xmlns:p='" + space + std::to_string(i) + "'/>";
  }
  EXPECT_EQ(ReadAll(Make(), text + "</message>"), XmlEvent::kMore);
  // So many are known again; one more is copied each time, until there is no room.
  for (const uint32_t others : {kNamespacesKept - 2, kNamespacesKept - 1}) {  // and the client's
    text = std::string(kHeader) + "<message>";
    for (uint32_t i = 0; i < others; ++i) {
      text += "<o xmlns='" + std::to_string(i) + "'/>";
    }
    text += "<q xmlns:p='" + space + "'>";
    for (uint32_t i = 0; i < (kStanzaMax + kParserSlice) / space.size() + 1; ++i) {
      text += "<p:x/>";
    }
    EXPECT_EQ(ReadAll(Make(), text + "</q></message>"),
              others == kNamespacesKept - 2 ? XmlEvent::kMore : XmlEvent::kTooLarge);
  }
}

// What an odd stanza has taken of the heap is given back before the next.
TEST_F(Reading, KeepsTheUsualShareOfTheHeap) {
  XmlReader& reader = Make();
  std::string many = std::string(kHeader) + "<message";
  for (uint32_t i = 0; i < kElementAttributeMax; ++i) {
    many += " " + std::string(900, 'n') + std::to_string(i) + "='1'";
  }
  EXPECT_EQ(ReadAll(reader, many + "/>"), XmlEvent::kMore);
  EXPECT_GT(heap_bytes(), kParserHeapUsual);
  reader.Begin(false);
  EXPECT_LE(heap_bytes(), kParserHeapUsual);
}

}  // namespace
}  // namespace gh::xmpp::test
