// Presence documents: what is taken, how it is told, limits at their edges.
#include <gtest/gtest.h>

#include <memory>

#include "firmware/presence/pidf.h"

namespace gh::presence {
namespace {

class FixedEntropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override { std::fill(out.begin(), out.end(), uint8_t{7}); }
  const char* source() const override { return "test"; }
};

class Pidf : public testing::Test {
 protected:
  Result<Parts> Read(const std::string& document, uint32_t prefix = 1) {
    out_ = ByteWriter(bytes_);
    return reader_.Read(AsBytes(document), prefix, out_);
  }
  static std::string Wrap(const std::string& inside) {
    return "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'>" + inside +
           "</presence>";
  }
  static std::string Tuple(const std::string& id, const std::string& basic = "open") {
    return "<tuple id='" + id + "'><status><basic>" + basic + "</basic></status></tuple>";
  }
  std::unique_ptr<uint8_t[]> memory_{new uint8_t[4u << 20]};
  Arena arena_{{memory_.get(), 4u << 20}};
  FixedEntropy entropy_;
  crypto::Random random_{entropy_};
  PidfReader reader_{arena_, random_};
  uint8_t bytes_[kPartsBytesMax];
  ByteWriter out_{bytes_};
};

TEST_F(Pidf, PartsAreSortedAndIdsGetAPrefix) {
  const auto parts =
      Read(Wrap("<note xml:lang='en'>hi &amp; &lt;bye&gt;</note>" + Tuple("a", "closed")), 12);
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(parts->tuples, "<tuple id='p12.a'><status><basic>closed</basic></status></tuple>");
  EXPECT_EQ(parts->notes, "<note xml:lang='en'>hi &amp; &lt;bye&gt;</note>");
  EXPECT_EQ(parts->others, "");
  EXPECT_FALSE(parts->is_open);
  EXPECT_TRUE(Read(Wrap(Tuple("a", "closed") + Tuple("b", " open\n")))->is_open);
}

TEST_F(Pidf, NameSpacesStayWhatTheyAre) {
  const auto parts =
      Read(Wrap("<x:thing xmlns:x='urn:x' x:at='1'><y xmlns=''>t</y><x:z/></x:thing>"
                "<p:device xmlns:p='urn:ietf:params:xml:ns:pidf:data-model' id='d'>"
                "<note xmlns='urn:ietf:params:xml:ns:pidf'>n</note></p:device>"));
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(parts->others,
            "<thing xmlns='urn:x' xmlns:a0='urn:x' a0:at='1'><y xmlns=''>t</y><z></z></thing>"
            "<dm:device id='p1.d'><note>n</note></dm:device>");
}

TEST_F(Pidf, WhatIsNoDocumentIsRefusedAndTheNextIsRead) {
  const std::string bad[] = {
      "",
      "<",
      "presence",
      "<presence/>",
      "<presence xmlns='urn:ietf:params:xml:ns:pidf'>",
      Wrap("") + Wrap(""),
      Wrap("") + "x",
      Wrap("</presence></documents>"),
      "<?xml version='1.0' encoding='UTF-16'?>" + Wrap(""),
      "<?xml version='1.0'",
      "<!DOCTYPE presence [<!ENTITY a 'b'>]>" + Wrap("&a;"),
      Wrap("&a;"),
      Wrap("<!-- no -->"),
      Wrap("<?no ?>"),
      Wrap("<tuple><status/></tuple>"),
      Wrap("<tuple id='a'/>"),
      Wrap(Tuple("a") + Tuple("a")),
      "</documents>",
  };
  for (const std::string& text : bad) {
    EXPECT_FALSE(Read(text).ok()) << text;
    EXPECT_TRUE(
        Read("\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?>\r\n" + Wrap(Tuple("a")) + "\r\n")
            .ok())
        << text;
  }
}

TEST_F(Pidf, LimitsAtTheirEdges) {
  const std::string around = Wrap("");
  EXPECT_TRUE(Read(Wrap(std::string(kDocumentBytesMax - around.size(), ' '))).ok());
  EXPECT_FALSE(Read(Wrap(std::string(kDocumentBytesMax - around.size() + 1, ' '))).ok());
  const auto deep = [&](uint32_t depth) {
    std::string open, close;
    for (uint32_t i = 0; i < depth; ++i) {
      open += "<x>";
      close += "</x>";
    }
    return Wrap(open + close);
  };
  EXPECT_TRUE(Read(deep(kDocumentDepthMax - 2)).ok());
  EXPECT_FALSE(Read(deep(kDocumentDepthMax - 1)).ok());
  // One of the elements is <presence> itself.
  const auto wide = [&](uint32_t count) {
    std::string text;
    for (uint32_t i = 0; i < count; ++i) {
      text += "<x/>";
    }
    return Wrap(text);
  };
  EXPECT_TRUE(Read(wide(kDocumentElementMax - 1)).ok());
  EXPECT_FALSE(Read(wide(kDocumentElementMax)).ok());
  const auto broad = [&](uint32_t count) {
    std::string text;
    for (uint32_t i = 0; i < count; ++i) {
      text += " a" + std::to_string(i) + "='v'";
    }
    return Wrap("<x" + text + "/>");
  };
  EXPECT_TRUE(Read(broad(kDocumentAttributeMax)).ok());
  EXPECT_FALSE(Read(broad(kDocumentAttributeMax + 1)).ok());
  // What it says once it is written anew.
  const std::string note = "<note></note>";
  EXPECT_TRUE(
      Read(Wrap("<note>" + std::string(kPartsBytesMax - note.size(), 'n') + "</note>")).ok());
  const auto over =
      Read(Wrap("<note>" + std::string(kPartsBytesMax - note.size() + 1, 'n') + "</note>"));
  ASSERT_FALSE(over.ok());
  EXPECT_EQ(over.error().code, ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace gh::presence
