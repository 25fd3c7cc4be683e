#include "firmware/admin/cli/line_editor.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "firmware/admin/login.h"

namespace gh::admin {
namespace {

// A terminal of one row: what an operator would see of the editor's output.
class Row final : public TextSink {
 public:
  void Put(std::string_view text) override {
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\r') {
        column = 0;
      } else if (c == '\a') {
        ++bells;
      } else if (c == '\x1b') {
        i = Escape(text, i);
      } else if (c != '\n') {
        const size_t size = (c & 0x80) == 0      ? 1
                            : (c & 0xe0) == 0xc0 ? 2
                            : (c & 0xf0) == 0xe0 ? 3
                                                 : 4;
        cells.resize(std::max(cells.size(), column + 1), " ");
        cells[column++] = std::string(text.substr(i, size));
        widest = std::max(widest, column);
        i += size - 1;
      }
    }
  }
  size_t Escape(std::string_view text, size_t i) {
    const size_t end = text.find_first_of("KDCHJ", i);
    const std::string argument(text.substr(i + 2, end - i - 2));
    if (text[end] == 'K') {
      cells.resize(std::min(cells.size(), column));
    } else if (text[end] == 'D') {
      column -= std::stoul(argument);
    }
    return end;
  }
  std::string shown() const {
    std::string all;
    for (const std::string& cell : cells) {
      all += cell;
    }
    return all;
  }
  std::vector<std::string> cells;
  size_t column = 0;
  size_t widest = 0;
  int bells = 0;
};

class EditorTest : public ::testing::Test {
 protected:
  EditorTest() : editor_(row_) { editor_.Start("> ", EditMode::kCommand); }
  // Types bytes as a terminal sends them; the row always shows the line.
  void Type(std::string_view bytes) {
    for (char byte : bytes) {
      const KeyPress press = decoder_.Feed(static_cast<uint8_t>(byte));
      if (press.key == Key::kEnter) {
        editor_.AddHistory(editor_.text());
        editor_.Finish();
        row_.cells.clear();
        row_.column = 0;
        editor_.Start("> ", EditMode::kCommand);
      } else if (press.key != Key::kNone) {
        editor_.Handle(press);
      }
    }
    if (editor_.text().size() < 70) {
      EXPECT_EQ(row_.shown(), "> " + std::string(editor_.text()));
    }
    EXPECT_LT(row_.widest, size_t{kTerminalColumns});
  }
  std::string text() const { return std::string(editor_.text()); }
  Row row_;
  LineEditor editor_;
  KeyDecoder decoder_;
};

TEST_F(EditorTest, TypesAndDeletes) {
  Type("hello");
  EXPECT_EQ(text(), "hello");
  Type("\x7f\x08");
  EXPECT_EQ(text(), "hel");
  Type("\x1b[D\x1b[D\x1b[3~");
  EXPECT_EQ(text(), "hl");
  Type("a\x1b[3~\x1b[3~");
  EXPECT_EQ(text(), "ha");
  EXPECT_EQ(row_.column, 4u);
}

TEST_F(EditorTest, MovesByCharacterWordAndEnds) {
  Type("one two");
  Type("\x1b[HX\x1b[FY");
  EXPECT_EQ(text(), "Xone twoY");
  Type(
      "\x01"
      "A\x05"
      "B\x1b[1~C\x1b[4~D\x1bOHE\x1bOFF");
  EXPECT_EQ(text(), "ECAXone twoYBDF");
  Type(
      "\x1b"
      "b_\x1b[1;5D\x1b[1;5D-\x1b[1;5C|");
  EXPECT_EQ(text(), "-ECAXone| _twoYBDF");
  Type("\x02\x02<\x06>");
  EXPECT_EQ(text(), "-ECAXon<e>| _twoYBDF");
}

TEST_F(EditorTest, KillsAndYanks) {
  Type("one two three\x17");
  EXPECT_EQ(text(), "one two ");
  Type("\x01\x19 ");
  EXPECT_EQ(text(), "three one two ");
  Type("\x0b");
  EXPECT_EQ(text(), "three ");
  Type("\x15\x19\x19");
  EXPECT_EQ(text(), "three three ");
  Type("\x15");
  EXPECT_EQ(text(), "");
}

TEST_F(EditorTest, TransposesAndRedraws) {
  Type("ab\x14");
  EXPECT_EQ(text(), "ba");
  Type("c\x1b[D\x14");
  EXPECT_EQ(text(), "bca");
  Type("\x0c");
  EXPECT_EQ(row_.shown(), "> bca");
}

TEST_F(EditorTest, Utf8GoesByCharacters) {
  Type("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82z");
  EXPECT_EQ(row_.column, 7u);
  Type("\x7f\x7f");
  EXPECT_EQ(text(), "a\xc3\xa4\xe2\x82\xac");
  Type("\x1b[D\x1b[Db\x1b[3~");
  EXPECT_EQ(text(), "ab\xe2\x82\xac");
  Type("\x1b[F\x14");
  EXPECT_EQ(text(),
            "a\xe2\x82\xac"
            "b");
  // Broken and forbidden sequences leave nothing behind.
  Type(
      "\xff\x80\xc0\xaf\xe0\x80\x80\xed\xa0\x80\xc3"
      "x");
  EXPECT_EQ(text(),
            "a\xe2\x82\xac"
            "bx");
}

TEST_F(EditorTest, HistoryGoesBackAndForth) {
  Type("first\rsecond\rsecond\runfinished");
  Type("\x1b[A");
  EXPECT_EQ(text(), "second");
  Type("\x10");
  EXPECT_EQ(text(), "first");
  const int bells = row_.bells;
  Type("\x1b[A");
  EXPECT_EQ(row_.bells, bells + 1);
  Type("\x1b[B\x0e");
  EXPECT_EQ(text(), "unfinished");
  for (uint32_t i = 0; i < kHistoryLines + 5; ++i) {
    editor_.AddHistory("line " + std::to_string(i));
  }
  for (uint32_t i = 0; i < kHistoryLines; ++i) {
    Type("\x1b[A");
  }
  EXPECT_EQ(text(), "line 5");
}

TEST_F(EditorTest, LongLinesScrollSidewaysAndEndAtTheLimit) {
  Type(std::string(200, 'x') + "END");
  EXPECT_NE(row_.shown().find("END"), std::string::npos);
  Type("\x01START");
  EXPECT_EQ(row_.shown().substr(0, 7), "> START");
  Type("\x05" + std::string(kLineBytesMax, 'y'));
  EXPECT_EQ(text().size(), kLineBytesMax);
  EXPECT_GT(row_.bells, 0);
}

TEST_F(EditorTest, SecretsAreNotShownNorCut) {
  editor_.Start("password: ", EditMode::kSecret);
  row_.cells.clear();
  row_.column = 0;
  for (char c : std::string("hunter2\x7f\x02X\x15"
                            "abc")) {
    editor_.Handle(decoder_.Feed(static_cast<uint8_t>(c)));
  }
  EXPECT_EQ(text(), "abcr");
  EXPECT_EQ(row_.shown().find_first_not_of(' '), std::string::npos);
  editor_.Finish();
  EXPECT_TRUE(editor_.empty());
  editor_.Start("> ", EditMode::kCommand);
  editor_.Handle({Key::kYank, {}, 0});
  EXPECT_TRUE(editor_.empty());
}

TEST(KeyDecoder, UnknownAndOverlongSequencesAreSkipped) {
  KeyDecoder decoder;
  std::string typed;
  const std::string bytes = std::string("a\x1b[?25hb\x1b[200~c\x1b]d\x1b[") +
                            std::string(kEscapeBytesMax, '1') + "2e\x1b\x1b[Af\r\ng\n";
  int enters = 0;
  int ups = 0;
  for (char c : bytes) {
    const KeyPress press = decoder.Feed(static_cast<uint8_t>(c));
    typed += press.text();
    enters += press.key == Key::kEnter;
    ups += press.key == Key::kUp;
  }
  EXPECT_EQ(typed, "abcdefg");
  EXPECT_EQ(enters, 2);
  EXPECT_EQ(ups, 1);
}

// --- Log-in guard -------------------------------------------------------------------------------

TEST(LoginGuard, WaitsGrowAndEnd) {
  LoginGuard guard;
  Instant now{1'000'000'000};
  EXPECT_EQ(guard.WaitFor("admin", now).ns, 0);
  int64_t expected = 1;
  for (uint32_t i = 1; i <= 10; ++i) {
    EXPECT_EQ(guard.Failed("admin", now), i);
    EXPECT_EQ(guard.WaitFor("admin", now).seconds(), expected);
    EXPECT_EQ(guard.WaitFor("other", now).ns, 0);
    now = now + Duration::Seconds(expected);
    EXPECT_EQ(guard.WaitFor("admin", now).ns, 0);
    expected = std::min<int64_t>(expected * 2, kLoginDelayMaxSeconds);
  }
  guard.Succeeded("admin");
  EXPECT_EQ(guard.Failed("admin", now), 1u);
}

TEST(LoginGuard, ManyNamesDoNotWashAFailureAway) {
  LoginGuard guard;
  Instant now{1'000'000'000};
  guard.Failed("admin", now);
  for (uint32_t i = 0; i < 100; ++i) {
    now = now + Duration::Milliseconds(1);
    guard.Failed("u" + std::to_string(i), now);
  }
  // Pushed out of the table, it waits with everybody unknown.
  EXPECT_GT(guard.WaitFor("admin", now).seconds(), 50);
  EXPECT_EQ(guard.WaitFor("admin", now + Duration::Minutes(2)).ns, 0);
}

}  // namespace
}  // namespace gh::admin
