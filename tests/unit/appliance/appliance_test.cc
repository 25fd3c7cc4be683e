#include "firmware/appliance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "firmware/capacity.h"
#include "hal/rt/crash_record.h"
#include "tests/unit/appliance/fake_machine.h"

namespace gh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kDiskBlocks = (2u << 20) / 512;
constexpr const char* kProvision =
    "# comment\n"
    "\n"
    "xConfiguration System Name: edge1\n"
    "xConfiguration Administrator 1 Name: admin\n"
    "xConfiguration Administrator 1 Password: \"Correct-Horse-7\"\r\n"
    "xConfiguration SIP Domain 1 Name: example.com\n"
    "xConfiguration Authentication User 1 Name: alice\n"
    "xConfiguration Authentication User 1 Password: wonderland";

store::FakeDisk NewDisk() { return store::FakeDisk(512, kDiskBlocks); }

void LogIn(FakeMachine& machine) {
  machine.Line("admin");
  ASSERT_THAT(machine.Line("Correct-Horse-7", 1), HasSubstr("edge1> "));
}

TEST(Appliance, ProvisionsPrintsAndLogsIn) {
  auto disk = NewDisk();
  FakeMachine machine(&disk);
  machine.boot.provision = kProvision;
  ASSERT_TRUE(machine.Start().ok());
  const std::string boot = machine.serial.shown;
  EXPECT_THAT(boot, HasSubstr("DEVELOPMENT IMAGE"));
  EXPECT_THAT(boot, HasSubstr("Entropy: seeded"));
  EXPECT_THAT(boot, HasSubstr("line 3: OK"));
  EXPECT_THAT(boot, HasSubstr("6 lines, all applied"));
  EXPECT_THAT(boot, HasSubstr("firmware/sip"));
  EXPECT_THAT(boot, HasSubstr("edge1 login: "));
  EXPECT_THAT(boot, Not(HasSubstr("Correct-Horse")));
  EXPECT_THAT(boot, Not(HasSubstr("wonderland")));
  EXPECT_TRUE(machine.arena.sealed());
  LogIn(machine);
  const std::string settings = machine.Line("xConfiguration Authentication");
  EXPECT_THAT(settings, HasSubstr("User 1 Name: \"alice\""));
  EXPECT_THAT(settings, HasSubstr("User 1 Password: \"********\""));
}

TEST(Appliance, RefusedProvisioningAppliesNothingAndNamesTheLines) {
  auto disk = NewDisk();
  FakeMachine machine(&disk);
  machine.boot.provision = std::string(kProvision) +
                           "\nxConfiguration SIP UPD Mode: On\nxConfiguration SIP UDP Port: 99\n";
  ASSERT_TRUE(machine.Start().ok());
  const std::string boot = machine.serial.shown;
  EXPECT_THAT(boot, HasSubstr("line 9: ERROR: \"UPD\" is not known here: expected one of UDP"));
  EXPECT_THAT(boot, HasSubstr("line 10: ERROR: expected a whole number 1024..65534"));
  EXPECT_THAT(boot, HasSubstr("NOTHING WAS APPLIED, 2 of 8"));
  EXPECT_THAT(boot, HasSubstr("First set-up"));
}

TEST(Appliance, ProvisioningIsForFactoryStateOnly) {
  auto disk = NewDisk();
  {
    FakeMachine machine(&disk);
    machine.boot.provision = kProvision;
    ASSERT_TRUE(machine.Start().ok());
  }
  FakeMachine machine(&disk);
  machine.boot.provision = "xConfiguration System Name: other\n";
  ASSERT_TRUE(machine.Start().ok());
  EXPECT_THAT(machine.serial.shown, HasSubstr("is not taken: this is not factory state"));
  EXPECT_THAT(machine.serial.shown, HasSubstr("edge1 login: "));
  LogIn(machine);
}

TEST(Appliance, FirstSetupCommitsAndLogsIn) {
  auto disk = NewDisk();
  {
    FakeMachine machine(&disk);
    ASSERT_TRUE(machine.Start().ok());
    EXPECT_THAT(machine.serial.shown, HasSubstr("Administrator name [admin]: "));
    EXPECT_THAT(machine.Line(""), HasSubstr("Password"));
    EXPECT_THAT(machine.Line("too short"), HasSubstr("expected a password of 12..128"));
    EXPECT_THAT(machine.Line("Correct-Horse-7"), Not(HasSubstr("Horse")));
    EXPECT_THAT(machine.Line("Correct-Horse-8"), HasSubstr("the passwords differ"));
    machine.Line("Correct-Horse-7");
    machine.Line("Correct-Horse-7");
    machine.Line("edge1");
    EXPECT_THAT(machine.Line("10.0.0.300/24"), HasSubstr("expected DHCP, or an address"));
    EXPECT_THAT(machine.Line("10.0.0.2/24"), HasSubstr("gateway"));
    EXPECT_THAT(machine.Line("nonsense"), HasSubstr("expected an IP address"));
    machine.Line("10.0.0.1");
    machine.Line("");
    machine.Line("");
    machine.Line("example.com");
    EXPECT_THAT(machine.Line("maybe"), HasSubstr("expected yes or no"));
    EXPECT_THAT(machine.Line("yes", 1), HasSubstr("Saved"));
    LogIn(machine);
  }
  FakeMachine machine(&disk);
  ASSERT_TRUE(machine.Start().ok());
  LogIn(machine);
  EXPECT_THAT(machine.Line("xConfiguration Network Port 1 IPv4 Address"), HasSubstr("10.0.0.2"));
}

TEST(Appliance, WrongPasswordsCostTime) {
  auto disk = NewDisk();
  FakeMachine machine(&disk);
  machine.boot.provision = kProvision;
  ASSERT_TRUE(machine.Start().ok());
  double waited = 0;
  for (int failure = 0; failure < 4; ++failure) {
    machine.Line("admin");
    EXPECT_THAT(machine.Line("Wrong-Horse-77", 1), HasSubstr("Log-in refused"));
    // What is typed meanwhile waits.
    machine.serial.shown.clear();
    machine.Type("admin\r", 0);
    double wait = 0;
    while (machine.serial.shown.find("password: ") == std::string::npos && wait < 70) {
      machine.Run(0.25);
      wait += 0.25;
    }
    EXPECT_GE(wait + 1.01, 1 << failure);
    waited += wait;
    machine.Type("\x03");
  }
  EXPECT_GT(waited, 8);
  // The owner gets in when the time is over.
  machine.Run(10);
  LogIn(machine);
}

TEST(Appliance, SettingsAreChangedStoredAndAudited) {
  auto disk = NewDisk();
  {
    FakeMachine machine(&disk);
    machine.boot.provision = kProvision;
    ASSERT_TRUE(machine.Start().ok());
    LogIn(machine);
    EXPECT_THAT(machine.Line("xConfiguration SIP Registration Expire Max: 1800"),
                HasSubstr("Expire Default <= Expire Max"));
    EXPECT_THAT(machine.Line("xConfiguration SIP Registration Expire Default: 1800"),
                HasSubstr("OK"));
    EXPECT_THAT(machine.Line("xConfiguration SIP Registration Expire Max: 1800"), HasSubstr("OK"));
    EXPECT_THAT(machine.Line("xConfiguration System Profile: Small"),
                HasSubstr("OK, in force after a restart"));
    EXPECT_THAT(machine.Line("xStatus Alarm"), HasSubstr("Restart needed"));
    EXPECT_THAT(machine.Line("xStatus Log"),
                HasSubstr("SIP Registration Expire Max was changed from \"3600\" to \"1800\" by "
                          "admin@serial"));
  }
  FakeMachine machine(&disk);
  ASSERT_TRUE(machine.Start().ok());
  EXPECT_THAT(machine.serial.shown, HasSubstr("Capacity: small"));
  LogIn(machine);
  EXPECT_THAT(machine.Line("xConfiguration SIP Registration Expire"),
              HasSubstr("Expire Max: 1800"));
}

TEST(Appliance, ReadOnlyRolesLookAndDoNotTouch) {
  auto disk = NewDisk();
  FakeMachine machine(&disk);
  machine.boot.provision = std::string(kProvision) +
                           "\nxConfiguration Administrator 2 Name: eve\n"
                           "xConfiguration Administrator 2 Password: Correct-Horse-7\n"
                           "xConfiguration Administrator 2 Role: ReadOnly\n";
  ASSERT_TRUE(machine.Start().ok());
  machine.Line("eve");
  machine.Line("Correct-Horse-7", 1);
  EXPECT_THAT(machine.Line("xConfiguration SIP UDP Mode: Off"), HasSubstr("may look"));
  EXPECT_THAT(machine.Line("xCommand Restart Confirm: Yes"), HasSubstr("may look"));
  EXPECT_THAT(machine.Line("xConfiguration SIP UDP Mode"), HasSubstr("UDP Mode: On"));
}

TEST(Appliance, RestartPowerOffAndFactoryReset) {
  auto disk = NewDisk();
  {
    FakeMachine machine(&disk);
    machine.boot.provision = kProvision;
    ASSERT_TRUE(machine.Start().ok());
    LogIn(machine);
    EXPECT_THAT(machine.Line("xCommand Restart"), HasSubstr("yes or no"));
    EXPECT_THAT(machine.Line("no"), HasSubstr("Not done"));
    machine.Line("xCommand PowerOff Confirm: Yes", 1);
    EXPECT_EQ(machine.ended, 2);
  }
  {
    FakeMachine machine(&disk);
    ASSERT_TRUE(machine.Start().ok());
    LogIn(machine);
    machine.Line("xCommand FactoryReset");
    machine.Line("yes", 1);
    EXPECT_EQ(machine.ended, 1);
  }
  FakeMachine machine(&disk);
  ASSERT_TRUE(machine.Start().ok());
  EXPECT_THAT(machine.serial.shown, HasSubstr("First set-up"));
}

TEST(Appliance, ResetButtonRemovesEverything) {
  auto disk = NewDisk();
  {
    FakeMachine machine(&disk);
    machine.boot.provision = kProvision;
    ASSERT_TRUE(machine.Start().ok());
  }
  FakeMachine machine(&disk);
  machine.button.held = true;
  ASSERT_TRUE(machine.Start().ok());
  EXPECT_THAT(machine.serial.shown, HasSubstr("the button was held"));
  EXPECT_THAT(machine.serial.shown, HasSubstr("First set-up"));
}

TEST(Appliance, DamagedStoreIsSaidAndMended) {
  auto disk = NewDisk();
  {
    FakeMachine machine(&disk);
    machine.boot.provision = kProvision;
    ASSERT_TRUE(machine.Start().ok());
  }
  disk.FlipBit(100 * 8);
  disk.FlipBit((8192 + 100) * 8);
  {
    FakeMachine machine(&disk);
    machine.boot.provision = kProvision;
    ASSERT_TRUE(machine.Start().ok());
    EXPECT_THAT(machine.serial.shown, HasSubstr("both file tables are damaged"));
    EXPECT_THAT(machine.serial.shown, HasSubstr("is not taken: the store is damaged"));
    for (const char* answer :
         {"admin", "Correct-Horse-7", "Correct-Horse-7", "edge1", "dhcp", "", "", "yes"}) {
      machine.Line(answer, 1);
    }
    LogIn(machine);
    machine.Line("xCommand FactoryReset Confirm: Yes", 1);
    EXPECT_EQ(machine.ended, 1);
  }
  FakeMachine machine(&disk);
  machine.boot.provision = kProvision;
  ASSERT_TRUE(machine.Start().ok());
  EXPECT_THAT(machine.serial.shown, HasSubstr("6 lines, all applied"));
}

TEST(Appliance, WithoutAStoreNothingIsKeptAndThatIsSaid) {
  FakeMachine machine(nullptr);
  machine.boot.provision = kProvision;
  ASSERT_TRUE(machine.Start().ok());
  EXPECT_THAT(machine.serial.shown, HasSubstr("configuration is lost at the next restart"));
  LogIn(machine);
  EXPECT_THAT(machine.Line("xStatus Alarm"), HasSubstr("Nothing is stored"));
}

// MUC-02: where persistent rooms are wanted and nothing can keep them, there are none at all.
TEST(Appliance, WithoutAStoreThereAreRoomsOnlyWhereNoneIsToLast) {
  FakeMachine machine(nullptr);
  machine.boot.provision = std::string(kProvision) +
                           "\nxConfiguration XMPP Domain 1 Name: example.com\n"
                           "xConfiguration XMPP Mode: On\n";
  ASSERT_TRUE(machine.Start().ok());
  LogIn(machine);
  EXPECT_THAT(machine.Line("xStatus XMPP Rooms"), HasSubstr("deliveries=0 mode=off"));
  machine.Line("xConfiguration XMPP Room Persistent Mode: Off");
  EXPECT_THAT(machine.Line("xStatus XMPP Rooms"), HasSubstr("deliveries=0 mode=on"));
}

std::vector<uint8_t> ACrash(const char* message) {
  CrashRecord record;
  record.SetPanic({message, "net/here.cc", 7, true, 1, 2});
  record.build_id.Assign("0123abcd");
  record.uptime_ns = 5'000'000'000;
  std::vector<uint8_t> bytes(kCrashRecordBytesMax);
  bytes.resize(EncodeCrashRecord(record, bytes).value_or(0));
  return bytes;
}

TEST(Appliance, ACrashIsKeptToldAndAnAlarmUntilAcknowledged) {
  auto disk = NewDisk();
  store::FakeDisk log_disk(512, 2048);
  {
    FakeMachine machine(&disk);
    machine.machine.log = &log_disk;
    machine.boot.provision = kProvision;
    machine.boot.crash = ACrash("something < broken");
    ASSERT_TRUE(machine.Start().ok());
    EXPECT_THAT(machine.serial.shown,
                HasSubstr("crash: assertion: something < broken at net/here.cc:7"));
    EXPECT_TRUE(machine.boot.crash.empty());  // it is in the log partition now
    LogIn(machine);
    EXPECT_THAT(machine.Line("xStatus Log"), HasSubstr("crash-reported"));
    EXPECT_THAT(machine.Line("xStatus Alarm"), HasSubstr("The system has crashed"));
  }
  FakeMachine machine(&disk);
  machine.machine.log = &log_disk;
  ASSERT_TRUE(machine.Start().ok());
  EXPECT_THAT(machine.serial.shown, Not(HasSubstr("ended in a crash")));
  LogIn(machine);
  EXPECT_THAT(machine.Line("xStatus Alarm"), HasSubstr("assertion: something < broken"));
  EXPECT_THAT(machine.Line("xStatus CrashRecord"),
              HasSubstr("CrashRecord Count: 1 of 16, not acknowledged 1"));
  EXPECT_THAT(
      machine.Line("xCommand CrashRecord List"),
      AllOf(HasSubstr("1: assertion: something < broken at net/here.cc:7 (left 1, right 2)"),
            HasSubstr("NEW, up 5 s"), HasSubstr("build 0123abcd")));
  EXPECT_THAT(machine.Line("xCommand CrashRecord Show: 1"), HasSubstr("build 0123abcd, up 5.0"));
  EXPECT_THAT(machine.Line("xCommand CrashRecord Show: 2"), HasSubstr("ERROR: no crash record"));
  EXPECT_THAT(machine.Line("xCommand CrashRecord Show: x"), HasSubstr("ERROR: expected the num"));
  EXPECT_THAT(machine.Line("xCommand CrashRecord Show"),
              HasSubstr("expected: xCommand CrashRecord Show: <number>"));
  EXPECT_THAT(machine.Line("xCommand CrashRecord List: 1"), HasSubstr("ERROR: expected"));
  EXPECT_THAT(machine.Line("xCommand CrashRecord Acknowledge"),
              HasSubstr("1 crash record acknowledged."));
  EXPECT_THAT(machine.Line("xStatus Alarm"), Not(HasSubstr("crashed")));
  EXPECT_THAT(machine.Line("xCommand CrashRecord List"), HasSubstr("acknowledged"));
  EXPECT_THAT(machine.Line("xCommand CrashRecord Clear Confirm: Yes"), HasSubstr("1 crash record"));
  EXPECT_THAT(machine.Line("xCommand CrashRecord List"), HasSubstr("There are no crash records"));
}

TEST(Appliance, WithoutALogPartitionTheBoardKeepsTheRecordUntilAcknowledged) {
  auto disk = NewDisk();
  FakeMachine machine(&disk);
  machine.boot.provision = kProvision;
  machine.boot.crash = ACrash("no place");
  ASSERT_TRUE(machine.Start().ok());
  EXPECT_FALSE(machine.boot.crash.empty());
  LogIn(machine);
  EXPECT_THAT(machine.Line("xStatus Alarm"), HasSubstr("assertion: no place"));
  EXPECT_THAT(machine.Line("xCommand CrashRecord List"), HasSubstr("no log partition"));
  machine.Line("xCommand CrashRecord Acknowledge");
  EXPECT_TRUE(machine.boot.crash.empty());
  EXPECT_THAT(machine.Line("xStatus Alarm"), Not(HasSubstr("crashed")));
}

TEST(Appliance, ARecordBeingMadeGetsTheLastEventsAndTracePoints) {
  auto disk = NewDisk();
  {
    FakeMachine machine(&disk);
    machine.boot.provision = kProvision;
    ASSERT_TRUE(machine.Start().ok());
    machine.Run(3);
    ASSERT_NE(machine.boot.witness, nullptr);
    CrashRecord record;
    machine.boot.witness->Describe(record);
    EXPECT_THAT(std::string(record.event_text.view()), HasSubstr("[notice] Gatehouse"));
    EXPECT_EQ(record.event_text.view().back(), '\n');
    EXPECT_GE(record.trace_count, 8u);  // a turn every half second, housekeeping every second
    EXPECT_EQ(record.trace[0].id >> 16, static_cast<uint32_t>(TraceRoom::kAppliance));
    machine.appliance.reset();
    EXPECT_EQ(machine.boot.witness, nullptr);
  }
}

TEST(Appliance, WatchdogIsPettedWhileItTurns) {
  auto disk = NewDisk();
  FakeMachine machine(&disk);
  machine.boot.provision = kProvision;
  ASSERT_TRUE(machine.Start().ok());
  EXPECT_TRUE(machine.watchdog.armed);
  machine.Run(10);
  const uint64_t before = machine.watchdog.pets;
  EXPECT_GT(before, 100u);
  // The clock leaps: timers have not run for too long when the next turn begins; they recover.
  machine.Run(1);
  EXPECT_GT(machine.watchdog.pets, before);
}

TEST(Appliance, AConsoleThatTakesNothingStopsNothing) {
  auto disk = NewDisk();
  FakeMachine machine(&disk);
  machine.boot.provision = kProvision;
  machine.serial.take_max = 0;
  ASSERT_TRUE(machine.Start().ok());
  machine.Run(5);
  machine.serial.take_max = 3;
  machine.Run(60);
  EXPECT_THAT(machine.serial.shown, HasSubstr("edge1 login: "));
}

TEST(Appliance, EveryProfileFitsWhatItPromises) {
  for (const char* profile : {"small", "medium", "large", "1000", "20000"}) {
    store::FakeDisk disk(512, kDiskBlocks);
    const auto capacity = Capacity::For(profile, 5ull << 30);
    ASSERT_TRUE(capacity.ok());
    const uint64_t promised = capacity->ArenaBytes();
    FakeMachine machine(&disk, promised + (1u << 20));
    const uint64_t before = machine.arena.used();
    ASSERT_TRUE(machine.Start({.profile = profile}).ok()) << profile;
    const uint64_t used = machine.arena.used() - before;
    EXPECT_LE(used, promised) << profile;
    EXPECT_GE(used, promised * 6 / 10) << profile << ": the promise is far too careful";
    std::printf("%-8s promised %4llu MiB, used %4llu MiB\n", profile,
                static_cast<unsigned long long>(promised >> 20),
                static_cast<unsigned long long>(used >> 20));
  }
}

TEST(Appliance, AProfileThatDoesNotFitIsRefused) {
  store::FakeDisk disk(512, kDiskBlocks);
  FakeMachine machine(&disk, 64u << 20);
  const auto started = machine.Start({.profile = "large"});
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.code(), ErrorCode::kNoSpace);
  EXPECT_THAT(machine.serial.shown, HasSubstr("does not fit"));
  FakeMachine other(&disk, 64u << 20);
  EXPECT_EQ(other.Start({.profile = "huge"}).code(), ErrorCode::kInvalidArgument);
}

// What is pinned for XMPP's sessions, TLS and TCP with them: all of what a node with phones takes
// more than one without clients.
uint64_t PinnedForXmpp(const Capacity& with) {
  Capacity without = with;
  without.xmpp = xmpp::Capacity::For(1, 1);
  without.xmpp.rooms = with.xmpp.rooms;
  without.xmpp.blocks = with.xmpp.rooms.occupants * 4 + with.xmpp.rooms.affiliates +
                        with.xmpp.rooms.rooms * 8 + 16 * 1024;
  without.net = net::Capacity::For(1);
  return with.ArenaBytes() - without.ArenaBytes();
}

// With lists of 50, the archives, what users publish and what waits for them; rooms are apart.
TEST(Capacity, AnIdleXmppSessionPinsAtMostTwentyKibibytes) {
  constexpr uint64_t kSessions = 100'000;
  const Capacity large = Capacity::Large();
  ASSERT_EQ(large.xmpp.sessions, kSessions);
  ASSERT_EQ(large.xmpp.directory.contacts, 25'000u * 50);
  EXPECT_EQ(large.xmpp.rooms.rooms, 16'500u);
  const uint64_t pinned = PinnedForXmpp(large) / kSessions;
  RecordProperty("bytes_pinned_for_a_session", std::to_string(pinned));
  EXPECT_LE(pinned, 20u * 1024);
}

TEST(Capacity, AutoLeavesTwoFifthsOfTheMachine) {
  EXPECT_STREQ(Capacity::For("", 5ull << 30)->profile, "large");  // the arena of 8 GiB
  const uint64_t most = Capacity::Largest().ArenaBytes() * 5 / 3;
  EXPECT_LE(most, 9ull << 30);  // the arena of 12 GiB
  EXPECT_EQ(Capacity::Largest().xmpp.sessions, 100'000u);
  EXPECT_EQ(Capacity::Largest().xmpp.directory.contacts, 100'000u * 50);
  for (const char* profile : {"", "large"}) {
    EXPECT_EQ(Capacity::For(profile, most)->xmpp.directory.accounts, 100'000u);
    EXPECT_EQ(Capacity::For(profile, most - 1)->xmpp.directory.accounts, 25'000u);
  }
  const uint64_t enough = Capacity::Medium().ArenaBytes() * 5 / 3;
  EXPECT_STREQ(Capacity::For("auto", enough)->profile, "medium");
  EXPECT_STREQ(Capacity::For("auto", enough - 1)->profile, "small");
  EXPECT_STREQ(Capacity::For("Auto", Capacity::Medium().ArenaBytes())->profile, "small");
  EXPECT_FALSE(Capacity::For("", 1u << 20).ok());
}

}  // namespace
}  // namespace gh
