#include "firmware/log/log.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "firmware/alarm/alarms.h"
#include "firmware/log/render.h"
#include "tests/unit/store/fake_disk.h"

namespace gh::log {
namespace {

using store::FakeClock;

class LogTest : public ::testing::Test {
 protected:
  LogTest() : memory_(1u << 20), arena_({memory_.data(), memory_.size()}) {
    log_ = arena_.New<Log>(arena_, clock_, 64);
  }
  const Record& Last() { return *log_->Find(log_->next_sequence() - 1); }
  std::string Syslog(const Record& record,
                     const SyslogIdentity& identity = {"edge1", "gatehouse", "1a2b"}) {
    uint8_t bytes[kSyslogMessageMax];
    ByteWriter out(bytes);
    FormatSyslog(record, identity, out);
    EXPECT_TRUE(out.ok());
    return std::string(out.text());
  }
  std::string Text(const Record& record) {
    uint8_t bytes[1024];
    ByteWriter out(bytes);
    FormatText(record, out);
    return std::string(out.text());
  }
  FakeClock clock_;
  std::vector<uint8_t> memory_;
  Arena arena_;
  Log* log_;
};

// RFC 5424 section 6, the grammar, word by word.
class Grammar {
 public:
  explicit Grammar(std::string text) : text_(std::move(text)) {}
  bool Accepts() {
    return Priority() && Eat("1 ") && Timestamp() && Eat(" ") && Word(255) && Eat(" ") &&
           Word(48) && Eat(" ") && Word(128) && Eat(" ") && Word(32) && Eat(" ") && Data() &&
           (at_ == text_.size() || text_[at_] == ' ');
  }

 private:
  bool Eat(const char* literal) {
    const std::string wanted = literal;
    if (text_.compare(at_, wanted.size(), wanted) != 0) {
      return false;
    }
    at_ += wanted.size();
    return true;
  }
  size_t Digits() {
    const size_t from = at_;
    while (at_ < text_.size() && isdigit(static_cast<unsigned char>(text_[at_])) != 0) {
      ++at_;
    }
    return at_ - from;
  }
  bool Priority() {
    if (!Eat("<")) {
      return false;
    }
    const size_t from = at_;
    const size_t count = Digits();
    return count >= 1 && count <= 3 && (count == 1 || text_[from] != '0') &&
           std::stoi(text_.substr(from, count)) <= 191 && Eat(">");
  }
  bool Timestamp() {
    if (Eat("-")) {
      return true;
    }
    const bool date = Digits() == 4 && Eat("-") && Digits() == 2 && Eat("-") && Digits() == 2;
    const bool time =
        Eat("T") && Digits() == 2 && Eat(":") && Digits() == 2 && Eat(":") && Digits() == 2;
    if (!date || !time) {
      return false;
    }
    if (Eat(".")) {
      const size_t fraction = Digits();
      if (fraction < 1 || fraction > 6) {
        return false;
      }
    }
    return Eat("Z") || ((Eat("+") || Eat("-")) && Digits() == 2 && Eat(":") && Digits() == 2);
  }
  bool Word(size_t size_max, const char* without = "") {
    const size_t from = at_;
    while (at_ < text_.size() && text_[at_] > ' ' && text_[at_] < 0x7f &&
           std::strchr(without, text_[at_]) == nullptr) {
      ++at_;
    }
    return at_ > from && at_ - from <= size_max;
  }
  bool Parameter() {
    if (!Word(32, "=]\"") || !Eat("=\"")) {
      return false;
    }
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == ']') {
        return false;
      }
      at_ += text_[at_] == '\\' ? 1 : 0;
    }
    return Eat("\"");
  }
  bool Data() {
    if (Eat("-")) {
      return true;
    }
    uint32_t count = 0;
    for (; Eat("["); ++count) {
      if (!Word(32, "=]\"")) {
        return false;
      }
      while (Eat(" ")) {
        if (!Parameter()) {
          return false;
        }
      }
      if (!Eat("]")) {
        return false;
      }
    }
    return count > 0;
  }
  std::string text_;
  size_t at_ = 0;
};

bool IsRfc5424(const std::string& message) { return Grammar(message).Accepts(); }

TEST_F(LogTest, GrammarCheckKnowsTheRfcsExamples) {
  // RFC 5424 6.5, examples 1 to 4, and what is not.
  EXPECT_TRUE(
      IsRfc5424("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - "
                "\xef\xbb\xbf'su root' failed for lonvick on /dev/pts/8"));
  EXPECT_TRUE(
      IsRfc5424("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - "
                "%% It's time to make the do-nuts."));
  EXPECT_TRUE(
      IsRfc5424("<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
                "[exampleSDID@32473 iut=\"3\" eventSource=\"Application\" "
                "eventID=\"1011\"] An application event log entry..."));
  EXPECT_TRUE(
      IsRfc5424("<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
                "[exampleSDID@32473 iut=\"3\"][examplePriority@32473 class=\"high\"]"));
  EXPECT_FALSE(IsRfc5424("<192>1 - a b c d - x"));
  EXPECT_FALSE(IsRfc5424("<34>1 - a b c d [x@1 y=\"]\"] x"));
  EXPECT_FALSE(IsRfc5424("<34>1 - a b c d [x@1 y=\"] x"));
}

TEST_F(LogTest, AnEventBecomesAMessage) {
  clock_.SetWall(1'795'226'744'123'456'789);
  log_->Emit(event::SipRegistered{.aor = "alice@example.com",
                                  .contact = "sip:alice@192.0.2.4:5060",
                                  .source = "192.0.2.4:5060",
                                  .transport = "UDP",
                                  .expires_s = 3600});
  EXPECT_EQ(Syslog(Last()),
            "<134>1 2026-11-21T02:05:44.123456Z edge1 gatehouse 1a2b sip-registered "
            "[meta sequenceId=\"1\"][gatehouse@32473 id=\"3001\" category=\"sip\" "
            "aor=\"alice@example.com\" contact=\"sip:alice@192.0.2.4:5060\" "
            "source=\"192.0.2.4:5060\" transport=\"UDP\" expires_s=\"3600\" user_agent=\"\"] "
            "alice@example.com registered sip:alice@192.0.2.4:5060 from 192.0.2.4:5060 for 3600 "
            "s");
  EXPECT_TRUE(IsRfc5424(Syslog(Last())));
}

TEST_F(LogTest, TimestampIsNilWhileTheClockIsNotSet) {
  log_->Emit(event::LinkUp{.port = "LAN1"});
  EXPECT_EQ(Syslog(Last()).substr(0, 26), "<133>1 - edge1 gatehouse 1");
}

TEST_F(LogTest, TimestampsOfAllKindsOfDays) {
  const auto format = [](int64_t seconds) {
    uint8_t bytes[64];
    ByteWriter out(bytes);
    FormatTimestamp({seconds * 1'000'000'000, true}, out);
    return std::string(out.text());
  };
  EXPECT_EQ(format(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(format(951'782'399), "2000-02-28T23:59:59.000000Z");
  EXPECT_EQ(format(951'782'400), "2000-02-29T00:00:00.000000Z");
  EXPECT_EQ(format(951'868'800), "2000-03-01T00:00:00.000000Z");
  EXPECT_EQ(format(1'709'164'800), "2024-02-29T00:00:00.000000Z");
  EXPECT_EQ(format(4'107'542'399), "2100-02-28T23:59:59.000000Z");
  EXPECT_EQ(format(4'107'542'400), "2100-03-01T00:00:00.000000Z");
}

TEST_F(LogTest, HostileValuesCannotLeaveTheirQuotes) {
  const std::string evil = "\"] [x@1 y=\"\\ \n\r\x01 \xff \xc3\x28 \xed\xa0\x80 \xe2\x82\xac";
  log_->Emit(event::SipRefused{.method = evil, .source = "s", .status = 400, .reason = evil});
  const std::string message = Syslog(Last(), {"host name\n", "", std::string_view("\xff", 1)});
  EXPECT_TRUE(IsRfc5424(message)) << message;
  EXPECT_NE(message.find("method=\"\\\"\\] [x@1 y=\\\"\\\\ ???"), std::string::npos) << message;
  EXPECT_NE(message.find("\xe2\x82\xac"), std::string::npos);
  EXPECT_NE(message.find("] \xef\xbb\xbf"), std::string::npos);  // BOM: the text is UTF-8
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_EQ(message.find('\xff'), std::string::npos);
}

TEST_F(LogTest, LongValuesAreCutAndMarked) {
  const std::string value(400, 'x');
  log_->Emit(
      event::SettingChanged{.setting = value, .before = value, .after = value, .by = "somebody"});
  const std::string message = Syslog(Last());
  EXPECT_TRUE(IsRfc5424(message));
  EXPECT_NE(message.find("truncated=\"true\"]"), std::string::npos);
  EXPECT_EQ(FieldOf(Last(), "setting").size(), kFieldValueMax);
  EXPECT_TRUE(FieldOf(Last(), "by").size() <= 8);
  EXPECT_EQ(FieldOf(Last(), "no such field"), "");
}

TEST_F(LogTest, EveryEventFitsAMessageWhateverItHolds) {
  // Values full of what must be escaped, as long as a record holds.
  for (uint16_t index = 0; index < kEventCount; ++index) {
    Record record;
    record.sequence = 1;
    record.event = index;
    {
      FieldWriter writer(record);
      for (uint32_t f = 0; f < kEvents[index].field_count; ++f) {
        writer.Add(
            std::string_view("\"]\\\"]\\\"]\\\"]\\\"]\\\"]\\\"]\\\"]\\\"]\\\"]\\\"]\\\"]\\"));
      }
      writer.Add(std::string(255, ']'));
      writer.Add(std::string(255, ']'));
    }
    EXPECT_TRUE(IsRfc5424(Syslog(record, {std::string(255, 'h'), "gatehouse", "12345678"})))
        << kEvents[index].name;
  }
}

TEST_F(LogTest, TheRingForgetsTheOldest) {
  for (int i = 0; i < 100; ++i) {
    clock_.now = clock_.now + Duration::Seconds(1);
    log_->Emit(event::LinkUp{.port = std::to_string(i)});
  }
  EXPECT_EQ(log_->next_sequence(), 101u);
  EXPECT_EQ(log_->first_sequence(), 37u);
  EXPECT_EQ(log_->Find(36), nullptr);
  EXPECT_EQ(log_->Find(0), nullptr);
  EXPECT_EQ(log_->Find(101), nullptr);
  EXPECT_EQ(Text(*log_->Find(37)), "36 is up");
}

TEST_F(LogTest, RateLimitCountsAndTells) {
  const EventInfo& info = kEvents[event::LinkUp::kIndex];
  for (uint32_t i = 0; i < info.burst + 25; ++i) {
    log_->Emit(event::LinkUp{.port = "LAN1"});
  }
  EXPECT_EQ(log_->next_sequence() - 1, info.burst);
  EXPECT_EQ(log_->suppressed_count(), 25u);
  // Another kind has its own bucket.
  log_->Emit(event::LinkDown{.port = "LAN1"});
  EXPECT_EQ(log_->next_sequence() - 1, info.burst + 1);
  // The next that passes tells of the others.
  clock_.now = clock_.now + Duration::Seconds(1);
  log_->Emit(event::LinkUp{.port = "LAN1"});
  EXPECT_EQ(Last().suppressed, 25u);
  EXPECT_NE(Syslog(Last()).find("suppressed=\"25\""), std::string::npos);
}

TEST_F(LogTest, SuppressedEventsAreToldOfInSilenceToo) {
  const EventInfo& info = kEvents[event::LinkUp::kIndex];
  for (uint32_t i = 0; i < info.burst + 3; ++i) {
    log_->Emit(event::LinkUp{.port = "LAN1"});
  }
  log_->ReportSuppressed(clock_.now);
  EXPECT_EQ(log_->next_sequence() - 1, info.burst);
  log_->ReportSuppressed(clock_.now + Duration::Seconds(kSuppressedReportSeconds));
  EXPECT_EQ(Text(Last()), "3 more link-up events were suppressed by the rate limit");
  const uint64_t next = log_->next_sequence();
  log_->ReportSuppressed(clock_.now + Duration::Seconds(100));
  EXPECT_EQ(log_->next_sequence(), next);
}

TEST_F(LogTest, AlarmsRaiseAndLowerOnce) {
  alarm::Alarms alarms(*log_, clock_);
  alarms.Raise(AlarmId::kLinkDown, "LAN2");
  EXPECT_EQ(Text(Last()), "alarm 20107 (Network port down) raised: LAN2");
  const uint64_t next = log_->next_sequence();
  alarms.Raise(AlarmId::kLinkDown, "LAN2 LAN3");
  EXPECT_EQ(log_->next_sequence(), next);
  EXPECT_TRUE(alarms.IsRaised(AlarmId::kLinkDown));
  EXPECT_EQ(alarms.raised_count(), 1u);
  alarms.Lower(AlarmId::kLinkDown);
  EXPECT_EQ(Text(Last()), "alarm 20107 (Network port down) lowered");
  alarms.Lower(AlarmId::kLinkDown);
  EXPECT_EQ(log_->next_sequence(), next + 1);
  EXPECT_EQ(alarms.raised_count(), 0u);
}

}  // namespace
}  // namespace gh::log
