// A 503 made from the lines of a request: what it says, and what is left to the engine.
#include "firmware/sip/busy_answer.h"

#include <gtest/gtest.h>

#include <string>

#include "firmware/sip/writer.h"
#include "tests/unit/sip/world.h"

namespace gh::sip::test {
namespace {

constexpr std::string_view kRequest =
    "REGISTER sip:example.com SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1;rport;alias\r\n"
    "v: SIP/2.0/TCP far.example.com;branch=z9hG4bK0\r\n"
    "From: \"A\" <sip:alice@example.com>;tag=a\r\n"
    "t: <sip:alice@example.com>\r\n"
    "CALL-ID: c@h\r\n"
    "CSeq: 7 REGISTER\r\n"
    "Contact: <sip:alice@192.0.2.20>\r\n"
    "Content-Length: 0\r\n\r\nVia: body";

Flow From(const char* at) {
  Flow flow;
  flow.remote = At(at);
  return flow;
}

std::string Answer(const std::string& request, const char* from = "192.0.2.20:5070") {
  const Flow flow = From(from);
  const auto via = GlanceAtVia(AsBytes(request), flow);
  uint8_t room[2048];
  ByteWriter out(room);
  const bool is_written =
      via && WriteBusyAnswer(AsBytes(request), *via, flow, KeyedHash({1, 2}, 3), 10, out);
  return is_written ? std::string(out.text()) : "";
}

std::string Changed(std::string_view what, std::string_view into) {
  std::string text(kRequest);
  const size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), into);
}

TEST(BusyAnswer, SaysWhatAResponseHasToAndNothingElse) {
  const std::string answer = Answer(std::string(kRequest));
  static Message message;
  ASSERT_TRUE(message.Index(AsBytes(answer)).ok()) << answer;
  ASSERT_EQ(message.Check(true).verdict, Verdict::kGood) << answer;
  EXPECT_EQ(message.status(), 503);
  EXPECT_EQ(message.to_tag().size(), 16u);
  EXPECT_TRUE(answer.starts_with(
      "SIP/2.0 503 Service Unavailable\r\n"
      "Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1;alias;rport=5070;received=192.0.2.20\r\n"
      "v: SIP/2.0/TCP far.example.com;branch=z9hG4bK0\r\n"
      "From: \"A\" <sip:alice@example.com>;tag=a\r\n"
      "CALL-ID: c@h\r\nCSeq: 7 REGISTER\r\n"
      "t: <sip:alice@example.com>;tag="))
      << answer;
  EXPECT_NE(answer.find("\r\nRetry-After: 1"), std::string::npos);
  EXPECT_EQ(Answer(std::string(kRequest)), answer) << "a repeated request gets the same tag";
  EXPECT_NE(Answer(Changed("c@h", "d@h")), answer);
}

TEST(BusyAnswer, WithoutRportGoesWhereTheViaSays) {
  const std::string plain = Changed(";rport", "");
  EXPECT_EQ(Answer(plain), "") << "5060 is meant";
  const std::string answer = Answer(plain, "192.0.2.20:5060");
  EXPECT_NE(answer.find("Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1;alias\r\n"), std::string::npos)
      << answer;
  EXPECT_NE(Answer(plain, "192.0.2.21:5060").find(";alias;received=192.0.2.21\r\n"),
            std::string::npos);
  EXPECT_NE(Answer(Changed("192.0.2.20;branch=z9hG4bK1;rport", "[::1]:5070;branch=z9hG4bK1")), "");
}

TEST(BusyAnswer, LeavesAloneWhatIsNotPlain) {
  for (const auto& [what, into] : std::initializer_list<std::pair<const char*, const char*>>{
           {";rport", ";rport=1"},
           {";rport", ";RPORT"},
           {";rport", ";rportal;rport"},
           {";rport", ";rport;received=192.0.2.1"},
           {";rport", ";rport;maddr=192.0.2.1"},
           {";rport", ";rport;oc"},
           {";rport", ";rport, SIP/2.0/UDP b;branch=z9hG4bK2"},
           {";rport", ";rport;x=\"y\""},
           {"z9hG4bK1", "1"},
           {"UDP", "TCP"},
           {"192.0.2.20;", "192.0.2.20:0;"},
           {"192.0.2.20;", ";"},
           {"From:", "Form:"},
           {"CSeq: 7 REGISTER\r\n", ""},
           {"CSeq: 7 REGISTER\r\n", "CSeq: 7 REGISTER\r\nCSeq: 7 REGISTER\r\n"},
           {"CALL-ID", "Call-ID "},
           {"t: <", "t : <"},
           {"a\r\n", "a\n"},
           {"\r\n\r\n", "\r\n"}}) {
    EXPECT_EQ(Answer(Changed(what, into)), "") << what << " " << into;
  }
}

}  // namespace
}  // namespace gh::sip::test
