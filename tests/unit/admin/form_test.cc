// JSON and XML: structure from paths, and well formed whatever a value holds. Python's parsers read
// what the appliance writes in tests/system.
#include "firmware/admin/cli/form.h"

#include <gtest/gtest.h>

#include <string>

namespace gh::admin {
namespace {

class Text final : public TextSink {
 public:
  void Put(std::string_view text) override { all += text; }
  std::string all;
};

std::string WithoutSpace(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') {
      while (i + 1 < text.size() && text[i + 1] == ' ') {
        ++i;
      }
      continue;
    }
    out += text[i];
  }
  return out;
}

template <typename Write>
std::string Form(OutputForm form, Write write) {
  Text sink;
  FormWriter writer;
  writer.Begin(form, "Status", sink);
  write(writer);
  writer.End();
  return WithoutSpace(sink.all);
}

void WriteTree(FormWriter& writer) {
  writer.Value("SIP Mode", "On");
  writer.Value("SIP UDP Port", "5060");
  writer.Value("Network Port 1", "up");
  writer.Value("Network Port 1 MAC", "52:54");
  writer.Value("Note", "first");
  writer.Value("Note", "second");
}

TEST(Form, PathsBecomeNestedObjects) {
  EXPECT_EQ(Form(OutputForm::kJson, WriteTree),
            R"({"Status": {"SIP": {"Mode": "On","UDP": {"Port": "5060"}},)"
            R"("Network": {"Port": {"1": {"Value": "up","MAC": "52:54"}}},)"
            R"("Note": "first\nsecond"}})");
  EXPECT_EQ(Form(OutputForm::kXml, WriteTree),
            "<Status><SIP><Mode>On</Mode><UDP><Port>5060</Port></UDP></SIP>"
            "<Network><Port><Item name=\"1\"><Value>up</Value><MAC>52:54</MAC></Item></Port>"
            "</Network><Note>firstsecond</Note></Status>");
}

TEST(Form, EmptyDocumentsAndListsAreWellFormed) {
  EXPECT_EQ(Form(OutputForm::kJson, [](FormWriter&) {}), R"({"Status": {}})");
  EXPECT_EQ(Form(OutputForm::kXml, [](FormWriter&) {}), "<Status></Status>");
  const auto list = [](FormWriter& writer) {
    writer.Value("A B", "1");
    writer.BeginList("Output");
    writer.Text("x");
    writer.Text("y");
  };
  EXPECT_EQ(Form(OutputForm::kJson, list), R"({"Status": {"A": {"B": "1"},"Output": ["x","y"]}})");
  EXPECT_EQ(Form(OutputForm::kXml, list),
            "<Status><A><B>1</B></A><Output>x</Output><Output>y</Output></Status>");
}

TEST(Form, ValuesCannotBreakOut) {
  const auto hostile = [](FormWriter& writer) {
    writer.Value("A", "\"}],</A>&<\\\x01\xff\xc3\xa9\xed\xa0\x80");
  };
  EXPECT_EQ(Form(OutputForm::kJson, hostile),
            "{\"Status\": {\"A\": \"\\\"}],</A>&<\\\\\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9"
            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}}");
  EXPECT_EQ(Form(OutputForm::kXml, hostile),
            "<Status><A>&quot;}],&lt;/A&gt;&amp;&lt;\\\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9"
            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd</A></Status>");
  const auto name = [](FormWriter& writer) { writer.Value("a<b \"c\"", "v"); };
  EXPECT_EQ(Form(OutputForm::kXml, name),
            "<Status><Item name=\"a&lt;b\"><Item name=\"&quot;c&quot;\">v</Item></Item></Status>");
}

TEST(Form, APathDeeperThanThereIsRoomKeepsItsEnd) {
  std::string path;
  for (int i = 0; i < 20; ++i) {
    path += "w" + std::to_string(i) + " ";
  }
  const std::string text =
      Form(OutputForm::kJson, [&](FormWriter& writer) { writer.Value(path, "deep"); });
  EXPECT_NE(text.find("w19"), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '{'), std::count(text.begin(), text.end(), '}'));
}

}  // namespace
}  // namespace gh::admin
