// Administration as an operator at the serial console meets it: roles, forms, feedback, backups and
// imports. What needs a network is in tests/system.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "firmware/admin/sessions.h"
#include "firmware/keys/x509_text.h"
#include "firmware/rooms.h"
#include "tests/unit/appliance/fake_machine.h"

namespace gh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kProvision =
    "xConfiguration System Name: edge1\n"
    "xConfiguration Administrator 1 Name: admin\n"
    "xConfiguration Administrator 1 Password: Correct-Horse-7\n"
    "xConfiguration Administrator 2 Name: writer\n"
    "xConfiguration Administrator 2 Password: Correct-Horse-8\n"
    "xConfiguration Administrator 2 Role: ReadWrite\n"
    "xConfiguration Administrator 3 Name: reader\n"
    "xConfiguration Administrator 3 Password: Correct-Horse-9\n"
    "xConfiguration Administrator 3 Role: ReadOnly\n"
    "xConfiguration Administrator 4 Name: eve\n"
    "xConfiguration Administrator 4 Password: Correct-Horse-4\n"
    "xConfiguration Administrator 4 Role: Auditor\n"
    "xConfiguration SIP Domain 1 Name: example.com\n";

// A channel as SSH would give it: what a test types, what is shown.
class Pipe final : public admin::Terminal, public admin::SessionObserver {
 public:
  uint32_t Read(std::span<uint8_t> out) override {
    const auto count = static_cast<uint32_t>(std::min(out.size(), typed.size()));
    std::copy_n(typed.begin(), count, out.begin());
    typed.erase(0, count);
    return count;
  }
  uint32_t Write(std::span<const uint8_t> data) override {
    const auto count = static_cast<uint32_t>(std::min<size_t>(data.size(), take_max));
    shown.append(reinterpret_cast<const char*>(data.data()), count);
    return count;
  }
  const char* name() const override { return "pipe"; }
  bool at_end() const override { return ended && typed.empty(); }
  void OnSessionEnded(admin::Session&, admin::ExitCode exit_code) override {
    code = static_cast<int>(exit_code);
  }
  std::string typed, shown;
  bool ended = false;
  int code = -1;
  size_t take_max = 1000;
};

class AdministrationTest : public ::testing::Test {
 protected:
  AdministrationTest()
      : disk_(512, (4u << 20) / 512),
        log_disk_(512, (1u << 20) / 512),
        machine_(&disk_, 112u << 20, &log_disk_) {
    machine_.boot.provision = kProvision;
    EXPECT_TRUE(machine_.Start().ok());
  }
  void LogIn(const std::string& user, const std::string& password) {
    machine_.Line(user);
    ASSERT_THAT(machine_.Line(password, 1), HasSubstr("edge1> "));
  }
  Appliance::Rooms& rooms() { return machine_.appliance->rooms(); }
  admin::SessionRequest RequestFor(Pipe& pipe, const char* user, config::Role role) {
    admin::SessionRequest request;
    request.kind = admin::SessionKind::kExec;
    request.terminal = &pipe;
    request.observer = &pipe;
    request.origin = admin::Origin::Ssh(net::IpAddress::V4(192, 0, 2, 7));
    request.identity.user.Assign(user);
    request.identity.role = role;
    return request;
  }
  // One command line as "ssh user@edge1 <line>".
  std::pair<std::string, int> Exec(const std::string& line, const char* user = "admin") {
    Pipe pipe;
    auto request = RequestFor(pipe, user, config::Role::kAdministrator);
    request.command_line = line;
    const auto session = rooms().sessions->Open(request);
    EXPECT_TRUE(session.ok());
    for (int i = 0; i < 500 && pipe.code < 0; ++i) {
      machine_.Run(0.02);
    }
    return {pipe.shown, pipe.code};
  }

  store::FakeDisk disk_;
  store::FakeDisk log_disk_;
  FakeMachine machine_;
};

TEST_F(AdministrationTest, EachRoleDoesWhatItMayAndNoMore) {
  LogIn("writer", "Correct-Horse-8");
  EXPECT_THAT(machine_.Line("xConfiguration SIP UDP Port: 5070"), HasSubstr("OK"));
  EXPECT_THAT(machine_.Line("xConfiguration Administrator 2 Role: Administrator"),
              HasSubstr("only the role Administrator"));
  EXPECT_THAT(machine_.Line("xConfiguration IntrusionProtection Mode: Off"),
              HasSubstr("only the role Administrator"));
  for (const char* line :
       {"Network DMI Mode: On", "SNMP Mode: On", "SNMP User 1 Name: eve", "HSM Mode: On",
        "Administration Password Strict: Off", "Administration Session TimeOut: 0"}) {
    EXPECT_THAT(machine_.Line(std::string("xConfiguration ") + line),
                HasSubstr("only the role Administrator"))
        << line;
  }
  EXPECT_THAT(machine_.Line("xCommand Backup Create: long enough"),
              HasSubstr("only the role Administrator"));
  machine_.Line("exit");
  LogIn("reader", "Correct-Horse-9");
  EXPECT_THAT(machine_.Line("xConfiguration SIP UDP Port"), HasSubstr("Port: 5070"));
  EXPECT_THAT(machine_.Line("xConfiguration SIP UDP Port: 5060"), HasSubstr("may look"));
  machine_.Line("exit");
  LogIn("eve", "Correct-Horse-4");
  EXPECT_THAT(machine_.Line("xConfiguration SIP UDP Port"), HasSubstr("may not read"));
  const std::string log = Exec("xStatus Log").first;
  EXPECT_THAT(log, HasSubstr("command-refused eve@serial is not permitted"));
  EXPECT_THAT(log, HasSubstr("from \"5060\" to \"5070\" by writer@serial"));
}

TEST_F(AdministrationTest, WhatNoRoomWouldTakeIsRefusedWithTheSettingsName) {
  LogIn("admin", "Correct-Horse-7");
  const std::pair<const char*, const char*> kRefused[] = {
      {"Time Zone: Nowhere/Land", "Time Zone"},
      {"Syslog Server 2 Categories: audit,nonsense", "Syslog Server 2 Categories"},
      {"Syslog Server 3 Fingerprint: 00:11", "Syslog Server 3 Fingerprint"},
  };
  for (const auto& [line, name] : kRefused) {
    const std::string path =
        "xConfiguration " + std::string(line).substr(0, strchr(line, ':') - line);
    const std::string before = Exec(path).first;
    EXPECT_THAT(machine_.Line(std::string("xConfiguration ") + line),
                AllOf(HasSubstr("ERROR"), HasSubstr(name)));
    EXPECT_EQ(Exec(path).first, before);
  }
  EXPECT_THAT(machine_.Line("xConfiguration Time Zone: Europe/Berlin"), HasSubstr("OK"));
}

TEST_F(AdministrationTest, ExecHasExitCodesAndPlainLineEnds) {
  const auto [text, code] = Exec("xConfiguration SIP UDP Port");
  EXPECT_EQ(text, "*c xConfiguration SIP UDP Port: 5060\n");
  EXPECT_EQ(code, 0);
  EXPECT_EQ(Exec("xNonsense").second, 2);
  EXPECT_EQ(Exec("xConfiguration SIP UPD").second, 2);
  EXPECT_EQ(Exec("xStatus Nonsense").second, 2);
  EXPECT_EQ(Exec("xConfiguration SIP UDP Port: 99").second, 3);
  EXPECT_EQ(Exec("xCommand Restart").second, 3) << "it asks, and nobody answers";
  EXPECT_EQ(Exec("xConfiguration SIP UDP Port: 5070", "reader").second, 4);
  EXPECT_EQ(Exec("xConfiguration SIP UDP Port: 5070").second, 0);
  EXPECT_EQ(Exec("xConfiguration Administrator 1 Password: Another-Horse-7").second, 0);
  EXPECT_THAT(Exec("xStatus Log").first, HasSubstr("by admin@ssh 192.0.2.7"));
}

TEST_F(AdministrationTest, ALongListingGoesAtThePaceOfItsReader) {
  Pipe slow;
  slow.take_max = 7;
  auto request = RequestFor(slow, "admin", config::Role::kAdministrator);
  request.command_line = "xConfiguration";
  ASSERT_TRUE(rooms().sessions->Open(request).ok());
  for (int i = 0; i < 100'000 && slow.code < 0; ++i) {
    machine_.Run(0.01);
  }
  EXPECT_EQ(slow.code, 0);
  EXPECT_EQ(slow.shown, Exec("xConfiguration").first);
}

TEST_F(AdministrationTest, ScriptsFromAPipe) {
  Pipe pipe;
  auto request = RequestFor(pipe, "admin", config::Role::kAdministrator);
  request.kind = admin::SessionKind::kScript;
  pipe.typed = "xConfiguration SIP UDP Port: 5080\nxConfiguration SIP UDP Port\nxNonsense";
  pipe.ended = true;
  ASSERT_TRUE(rooms().sessions->Open(request).ok());
  machine_.Run(1);
  EXPECT_THAT(pipe.shown, HasSubstr("OK\n*c xConfiguration SIP UDP Port: 5080\nERROR: "));
  EXPECT_EQ(pipe.code, 2) << "of the last line";
}

TEST_F(AdministrationTest, SessionLimitsAndEnds) {
  const uint32_t limit = rooms().sessions->limit();
  std::vector<std::unique_ptr<Pipe>> pipes;
  for (uint32_t i = 0; i <= limit; ++i) {
    pipes.push_back(std::make_unique<Pipe>());
    auto request = RequestFor(*pipes.back(), "admin", config::Role::kAdministrator);
    request.kind = admin::SessionKind::kShell;
    EXPECT_EQ(rooms().sessions->Open(request).ok(), i < limit) << i;
  }
  LogIn("admin", "Correct-Horse-7");
  EXPECT_THAT(machine_.Line("xStatus Session"), HasSubstr("Session 1: user=\"admin\""));
  EXPECT_THAT(machine_.Line("xCommand Session End: 1"), HasSubstr("Ended."));
  EXPECT_EQ(pipes[0]->code, 5);
  EXPECT_THAT(machine_.Line("xConfiguration Administration Session AccountLimit: 2"),
              HasSubstr("OK"));
  auto request = RequestFor(*pipes[0], "admin", config::Role::kAdministrator);
  EXPECT_EQ(rooms().sessions->Open(request).code(), ErrorCode::kExhausted);
  machine_.Line("xConfiguration Administration Session TimeOut: 1");
  machine_.Run(62);
  EXPECT_EQ(rooms().sessions->open_count(), 0u);
  EXPECT_EQ(pipes[1]->code, 5);
}

TEST_F(AdministrationTest, NetworkFailuresLockAndBlockAndSerialRecovers) {
  class Waiter final : public admin::PasswordCheck::Observer {
   public:
    void OnPasswordChecked(admin::Verdict v, const admin::Identity&) override { verdict = v; }
    admin::Verdict verdict = admin::Verdict::kAccepted;
  };
  LogIn("admin", "Correct-Horse-7");
  machine_.Line("xConfiguration Administration LockOut Failures: 3");
  machine_.Line("xConfiguration Administration LockOut Duration: 0");
  machine_.Line("xConfiguration IntrusionProtection Failures: 4");
  const auto attempt = [&](uint8_t host, const char* password) {
    admin::PasswordCheck check;
    Waiter waiter;
    const auto origin = admin::Origin::Ssh(net::IpAddress::V4(192, 0, 2, host));
    rooms().accounts->BeginPasswordCheck(check, origin, "admin", password, waiter);
    for (int i = 0; i < 1000 && check.is_pending(); ++i) {
      machine_.Run(0.1);
    }
    return waiter.verdict;
  };
  EXPECT_EQ(attempt(1, "wrong"), admin::Verdict::kRefused);
  EXPECT_EQ(attempt(1, "wrong"), admin::Verdict::kRefused);
  EXPECT_EQ(attempt(1, "wrong"), admin::Verdict::kRefused);
  EXPECT_EQ(attempt(2, "Correct-Horse-7"), admin::Verdict::kLocked);
  EXPECT_EQ(attempt(1, "wrong"), admin::Verdict::kLocked);
  EXPECT_EQ(attempt(1, "Correct-Horse-7"), admin::Verdict::kBlocked);
  EXPECT_FALSE(rooms().accounts->Admits(admin::Origin::Ssh(net::IpAddress::V4(192, 0, 2, 1))));
  EXPECT_THAT(machine_.Line("xStatus Account"), HasSubstr("locked to the network"));
  EXPECT_THAT(machine_.Line("xStatus IntrusionProtection"), HasSubstr("192.0.2.1: blocked"));
  machine_.Line("exit");
  LogIn("admin", "Correct-Horse-7");
  EXPECT_THAT(machine_.Line("xStatus Account"), Not(HasSubstr("locked")));
  EXPECT_THAT(machine_.Line("xCommand IntrusionProtection Unblock: 192.0.2.1"),
              HasSubstr("free again"));
  EXPECT_EQ(attempt(1, "Correct-Horse-7"), admin::Verdict::kAccepted);
  machine_.Line("xConfiguration IntrusionProtection Exemption 1 Address: 192.0.2.0/24");
  for (int i = 0; i < 5; ++i) {
    EXPECT_NE(attempt(3, "wrong"), admin::Verdict::kBlocked);
  }
}

TEST_F(AdministrationTest, FeedbackTellsEventsAndChanges) {
  LogIn("admin", "Correct-Horse-7");
  EXPECT_THAT(machine_.Line("xFeedback Register /Nonsense"), HasSubstr("expected /Event"));
  EXPECT_THAT(machine_.Line("xFeedback Register /Configuration/SIP"), HasSubstr("OK"));
  EXPECT_THAT(machine_.Line("xFeedback Register /Configuration/SIP"), HasSubstr("already"));
  EXPECT_THAT(machine_.Line("xFeedback Register /Status/Session"), HasSubstr("OK"));
  EXPECT_THAT(machine_.Line("xFeedback List"), HasSubstr("/Configuration/SIP"));
  EXPECT_THAT(machine_.Line("xConfiguration SIP UDP Port: 5070", 1),
              HasSubstr("*e Event setting-changed: SIP UDP Port was changed"));
  EXPECT_THAT(machine_.Line("xConfiguration System Name: edge2", 1), Not(HasSubstr("*e Event")));
  EXPECT_THAT(machine_.Line("xFeedback Deregister /"), HasSubstr("OK"));
  EXPECT_THAT(machine_.Line("xConfiguration SIP UDP Port: 5060", 1), Not(HasSubstr("*e")));
}

TEST_F(AdministrationTest, ConfigurationGoesOutAndInWholeOrNotAtAll) {
  const std::string exported = Exec("xCommand Configuration Export").first;
  EXPECT_THAT(exported, HasSubstr("xConfiguration SIP Domain 1 Name: \"example.com\"\n"));
  LogIn("admin", "Correct-Horse-7");
  machine_.Line("xCommand File Paste");
  machine_.Line("xConfiguration SIP UDP Port: 5090\rxConfiguration SIP UPD Port: 1\r.");
  EXPECT_THAT(machine_.Line("xCommand Configuration Import Confirm: Yes", 1),
              HasSubstr("nothing was changed; line 2: \"UPD\" is not known here"));
  EXPECT_THAT(machine_.Line("xConfiguration SIP UDP Port"), HasSubstr("Port: 5060"));
  machine_.Line("xConfiguration SIP UDP Port: 5091");
  machine_.Line("xCommand File Paste");
  machine_.Type(exported + "xConfiguration SIP UDP Port: 5092\r.\r", 3);
  EXPECT_THAT(machine_.Line("xCommand Configuration Import Confirm: Yes", 2),
              HasSubstr("lines are in force"));
  EXPECT_THAT(machine_.Line("xConfiguration SIP UDP Port"), HasSubstr("Port: 5092"));
  machine_.Line("exit");
  LogIn("writer", "Correct-Horse-8");
}

std::vector<uint8_t> ServerCertificateOf(FakeMachine& machine) {
  keys::Installed installed;
  if (!machine.appliance->rooms().certificates->keys().At(0, installed) ||
      installed.identity->key == nullptr) {
    return {};
  }
  const auto& raw = installed.identity->chain->raw;
  return {raw.p, raw.p + raw.len};
}

TEST_F(AdministrationTest, ABackupIsRestoredOnAnotherMachine) {
  LogIn("admin", "Correct-Horse-7");
  machine_.Line("xConfiguration SIP UDP Port: 5075");
  const std::vector<uint8_t> own = ServerCertificateOf(machine_);
  ASSERT_TRUE(rooms().certificates->trust().Add(own, keys::kAllRoles, "test").ok());
  EXPECT_THAT(machine_.Line("xCommand Backup Create: short", 1), HasSubstr("at least 8"));
  EXPECT_THAT(machine_.Line("xCommand Backup Create: plain battery", 1),
              HasSubstr("settings and 4 rows of keys"));
  const std::string armoured = Exec("xCommand Backup Show").first;
  EXPECT_THAT(armoured, HasSubstr("-----END GATEHOUSE BACKUP-----"));
  EXPECT_THAT(machine_.Line("xStatus Log"), Not(HasSubstr("battery")));

  store::FakeDisk disk(512, (4u << 20) / 512);
  FakeMachine other(&disk);
  other.boot.provision =
      "xConfiguration System Name: edge1\nxConfiguration Administrator 1 Name: root\n"
      "xConfiguration Administrator 1 Password: Other-Horse-77\n"
      "xConfiguration NTP Server 1 Address: 192.0.2.9\n";
  ASSERT_TRUE(other.Start().ok());
  other.Line("root");
  ASSERT_THAT(other.Line("Other-Horse-77", 1), HasSubstr("edge1> "));
  EXPECT_THAT(other.Line("xCommand Backup Restore: plain battery Confirm: Yes", 1),
              HasSubstr("there is no file"));
  other.Line("xCommand File Paste");
  other.Type(armoured + ".\r", 3);
  EXPECT_THAT(other.Line("xCommand Backup Restore: wrong battery Confirm: Yes", 1),
              HasSubstr("wrong password"));
  EXPECT_THAT(other.Line("xConfiguration SIP UDP Port"), HasSubstr("Port: 5060"));
  EXPECT_NE(ServerCertificateOf(other), own);
  EXPECT_THAT(other.Line("xCommand Backup Restore: plain battery Confirm: Yes", 1),
              AllOf(HasSubstr("4 rows of keys, certificates and trust are in force"),
                    HasSubstr("Logged out")))
      << "root is no account any more";
  // Its certificate with the key, and whom it trusts; at the next start too.
  EXPECT_EQ(ServerCertificateOf(other), own);
  EXPECT_EQ(other.appliance->rooms().certificates->trust().count(), 1u);
  other.Line("admin");
  ASSERT_THAT(other.Line("Correct-Horse-7", 1), HasSubstr("edge1> "));
  EXPECT_THAT(other.Line("xConfiguration SIP UDP Port"), HasSubstr("Port: 5075"));
  EXPECT_THAT(other.Line("xConfiguration NTP Server 1 Address"), Not(HasSubstr("192.0.2.9")));
}

TEST_F(AdministrationTest, ACertificatesEndIsToldFourTimesAheadAndWhenItHasCome) {
  LogIn("admin", "Correct-Horse-7");
  const std::vector<uint8_t> own = ServerCertificateOf(machine_);
  keys::TrustStore& trust = rooms().certificates->trust();
  ASSERT_TRUE(trust.Add(own, keys::kAllRoles, "test").ok());
  const int64_t end = keys::UnixSecondsOf(trust.certificate(0).valid_to);
  const auto told = [&](double days_before) {
    machine_.clock.SetWall((end - static_cast<int64_t>(days_before * 86400)) * 1'000'000'000);
    machine_.Run(2);
    return Exec("xStatus Log").first;
  };
  const auto count = [](const std::string& log, const std::string& text) {
    size_t found = 0;
    for (size_t at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) {
      ++found;
    }
    return found;
  };
  const std::string event = "the trusted certificate";
  EXPECT_EQ(count(told(40), event), 0u);
  EXPECT_THAT(machine_.Line("xStatus Alarm"), Not(HasSubstr("A certificate")));
  const std::pair<double, size_t> looks[] = {{29.5, 1}, {29.4, 1}, {20, 1}, {13.5, 2},
                                             {8, 2},    {6.5, 3},  {2, 3},  {0.5, 4}};
  for (const auto& [days, events] : looks) {
    EXPECT_EQ(count(told(days), event), events) << days;
    EXPECT_THAT(machine_.Line("xStatus Alarm"), HasSubstr("A certificate ends soon")) << days;
  }
  EXPECT_THAT(told(0.4), HasSubstr("ends in 0 days"));
  const std::string late = told(-1);
  EXPECT_EQ(count(late, event), 5u);
  EXPECT_THAT(late, HasSubstr("has expired"));
  EXPECT_THAT(machine_.Line("xStatus Alarm"), HasSubstr("A certificate has expired"));
  EXPECT_EQ(count(told(-2), event), 5u);
  EXPECT_EQ(count(told(45), event), 5u);  // a clock that was wrong: the alarm goes
  EXPECT_THAT(machine_.Line("xStatus Alarm"), Not(HasSubstr("A certificate")));
}

TEST_F(AdministrationTest, TheEventLogIsOneFileFromTheDiskAndReadsBeginAnywhere) {
  for (int i = 0; i < 5000; ++i) {  // more than the ring in memory holds
    rooms().log.Emit(log::event::SipUnregistered{.aor = std::to_string(i), .contact = "test"});
    if (i % 100 == 0) {
      machine_.Run(1);
    }
  }
  admin::FileUser user;
  user.identity.user.Assign("admin");
  user.identity.role = config::Role::kAdministrator;
  admin::FileService& files = *rooms().files;
  Result<admin::FileId> id = files.OpenRead("/logs/events.log", user);
  for (int i = 0; i < 100 && id.code() == ErrorCode::kWouldBlock; ++i) {
    id = files.OpenRead("/logs/events.log", user);
  }
  ASSERT_TRUE(id.ok());
  const uint64_t size = files.StatOpen(*id)->size;
  std::string whole(size, '?');
  for (uint64_t at = 0; at < size;) {
    uint8_t part[3001];
    const auto count = files.Read(*id, at, part);
    ASSERT_TRUE(count.ok()) << count.error().what;
    ASSERT_GT(*count, 0u);
    std::copy_n(part, *count, whole.begin() + static_cast<ptrdiff_t>(at));
    at += *count;
  }
  const auto oldest = rooms().log.first_sequence();
  EXPECT_GT(oldest, 2u) << "the ring must have dropped some for this to show anything";
  log::EventStore& stored = *rooms().event_log.store();
  EXPECT_LT(stored.first_sequence(), oldest) << "the disk holds more than the ring";
  EXPECT_EQ(whole.rfind("- " + std::to_string(stored.first_sequence()) + " ", 0), 0u);
  EXPECT_EQ(whole.back(), '\n');
  for (const uint64_t at : {size - 1, size / 2, uint64_t{1}, size - 5000, uint64_t{0}}) {
    uint8_t part[100];
    const auto count = files.Read(*id, at, part);
    ASSERT_TRUE(count.ok());
    EXPECT_EQ(std::string(part, part + *count), whole.substr(at, *count)) << at;
  }
  EXPECT_TRUE(files.Close(*id).ok());
}

TEST_F(AdministrationTest, TheLogBundleIsATarWithoutSecrets) {
  EXPECT_EQ(Exec("xConfiguration SNMP Community: planted-community").second, 0);
  machine_.Run(3);
  const auto [said, code] = Exec("xCommand Log Collect");
  EXPECT_EQ(code, 0);
  EXPECT_THAT(said, AllOf(HasSubstr("configuration.txt: "), HasSubstr("status.txt: "),
                          HasSubstr("events.log: "), HasSubstr(".tar has ")));
  const auto tar = rooms().folders->bundle().file();
  ASSERT_EQ(tar.size() % 512, 0u);
  const std::string bytes(tar.begin(), tar.end());
  EXPECT_THAT(bytes, AllOf(HasSubstr("xConfiguration SIP Domain 1 Name: \"example.com\"\n"),
                           HasSubstr("System Version"), HasSubstr("History Second"),
                           Not(HasSubstr("$argon2")), Not(HasSubstr("Correct-Horse"))));
  // Members follow each other by the sizes of their headers, to two empty blocks.
  size_t at = 0;
  std::string names;
  while (bytes[at] != '\0') {
    EXPECT_EQ(bytes.substr(at + 257, 5), "ustar");
    names += std::string(bytes.c_str() + at) + " ";
    at += 512 + (std::stoul(bytes.substr(at + 124, 11), nullptr, 8) + 511) / 512 * 512;
    ASSERT_LT(at, bytes.size());
  }
  EXPECT_EQ(bytes.size() - at, 1024u);
  EXPECT_THAT(names, AllOf(HasSubstr("/configuration.txt"), HasSubstr("/events.log")));
}

}  // namespace
}  // namespace gh
