// A look at a datagram before it is read: what is plainly new, and that all else is left alone.
#include "firmware/sip/glance.h"

#include <gtest/gtest.h>

#include <string>

#include "firmware/sip/limits.h"
#include "tests/unit/sip/world.h"

namespace gh::sip::test {
namespace {

constexpr std::string_view kTop =
    "INVITE sip:bob@example.com SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1;rport\r\n"
    "From: <sip:alice@example.com>;tag=a\r\n";
constexpr std::string_view kRest = "To: <sip:bob@example.com>\r\nCall-ID: c\r\n\r\nbody";

std::optional<Glance> At(const std::string& text) { return GlanceAtNew(AsBytes(text)); }
std::optional<Glance> With(std::string_view line) {
  return At(std::string(kTop) + std::string(line) + "\r\n" + std::string(kRest));
}
std::string Start(std::string_view line) {
  return std::string(line) + "\r\n" + std::string(kTop.substr(kTop.find('\n') + 1)) +
         std::string(kRest);
}

TEST(Glance, TellsWhatBeginsSomething) {
  for (const char* method : {"INVITE", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "PUBLISH"}) {
    const std::string text =
        Start(std::string(method) + " sip:bob:secret@example.com;user=phone SIP/2.0");
    const auto seen = At(text);
    ASSERT_TRUE(seen) << method;
    EXPECT_EQ(MethodName(seen->method), method);
    EXPECT_EQ(seen->user, "bob");
    EXPECT_FALSE(seen->answers_challenge);
    EXPECT_FALSE(seen->holds_back);
  }
  ASSERT_TRUE(At(Start("OPTIONS SIPS:example.com SIP/2.0")));
  const std::string nobody = Start("OPTIONS sip:example.com SIP/2.0");
  EXPECT_EQ(At(nobody)->user, "");
}

TEST(Glance, LeavesAloneWhatGoesOnAndWhatItDoesNotKnow) {
  for (const char* line :
       {"ACK sip:b@h SIP/2.0", "BYE sip:b@h SIP/2.0", "CANCEL sip:b@h SIP/2.0",
        "PRACK sip:b@h SIP/2.0", "UPDATE sip:b@h SIP/2.0", "INFO sip:b@h SIP/2.0",
        "NOTIFY sip:b@h SIP/2.0", "REFER sip:b@h SIP/2.0", "invite sip:b@h SIP/2.0",
        "SIP/2.0 200 OK", "INVITE urn:service:sos SIP/2.0", "INVITE tel:112 SIP/2.0",
        "INVITE sip:%31%31%32@h SIP/2.0", "INVITE sip:b@h SIP/3.0", "INVITE  SIP/2.0", "INVITE",
        ""}) {
    EXPECT_FALSE(At(Start(line))) << line;
  }
  for (const char* line : {"Route: <sip:p;lr>", "ROUTE : <sip:p;lr>", "To: <sip:b@h>;tag=x",
                           "t: <sip:b@h> ; TAG = x", "to:b;a=1;tag", "Subject: a\r\n folded"}) {
    EXPECT_FALSE(With(line)) << line;
  }
}

TEST(Glance, SeesCredentialsAndWhoHoldsBack) {
  EXPECT_TRUE(With("Authorization: Digest x")->answers_challenge);
  EXPECT_TRUE(With("proxy-authorization : Digest x")->answers_challenge);
  EXPECT_FALSE(With("Authorization-Info: x")->answers_challenge);
  EXPECT_FALSE(With("Via: SIP/2.0/UDP a;branch=z9hG4bK2;oc")->holds_back) << "not the topmost";
  std::string text = std::string(kTop) + std::string(kRest);
  text.insert(text.find(";rport"), ";oc;oc-algo=\"loss\"");
  EXPECT_TRUE(At(text)->holds_back);
  text.replace(text.find(";oc;"), 4, ";och;");
  EXPECT_FALSE(At(text)->holds_back);
  text.insert(text.find("\r\nFrom"), ", SIP/2.0/UDP b;branch=z9hG4bK3;oc");
  EXPECT_FALSE(At(text)->holds_back) << "not the topmost";
}

TEST(Glance, LooksNoFurtherThanItsLimit) {
  const auto padded = [](size_t size) {
    std::string text = std::string(kTop) + "Subject: " + "\r\nTo: <sip:b@h>\r\n\r\n";
    text.insert(text.find("\r\nTo"), size - text.size(), 'x');
    return text;
  };
  EXPECT_EQ(padded(kGlanceBytesMax).size(), kGlanceBytesMax);
  EXPECT_TRUE(At(padded(kGlanceBytesMax)));
  EXPECT_FALSE(At(padded(kGlanceBytesMax + 1)));
  EXPECT_TRUE(At(padded(kGlanceBytesMax) + std::string(60000, 'v'))) << "a body of any size";
  EXPECT_FALSE(At("INVITE sip:b@h SIP/2.0\r\nTo: b\r\n")) << "no end of the header";
}

}  // namespace
}  // namespace gh::sip::test
