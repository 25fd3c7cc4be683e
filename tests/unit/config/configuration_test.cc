#include "firmware/config/configuration.h"

#include "firmware/config/password.h"
#include "firmware/config/tree.h"
#include "firmware/config/value.h"
#include "tests/unit/config/config_fixture.h"

namespace gh::config {

Result<Selector> ConfigTest::FindSettingFor(const Line& line) {
  Message message;
  return FindSetting(line.path(), config_->active(), message);
}
void ConfigTest::FormatFor(Selector selector, ByteWriter& out) {
  FormatValue(InfoOf(selector), config_->active().Field(selector), out);
}

namespace {

// --- The tables ---------------------------------------------------------------------------------

TEST(Tables, EveryDefaultIsWhatTheStructSays) {
  std::vector<uint8_t> memory(4u << 20);
  Arena arena({memory.data(), memory.size()});
  Settings settings(arena, 3);
  for (uint32_t s = 0; s < kSettingCount; ++s) {
    EXPECT_TRUE(IsDefault(kSettings[s], settings.Field({s, 0}))) << kSettings[s].path;
    std::vector<uint8_t> value(ValueSize(kSettings[s]), 0xee);
    SetDefault(kSettings[s], value.data());
    EXPECT_EQ(0, std::memcmp(value.data(), settings.Field({s, 0}), value.size()))
        << kSettings[s].path;
  }
  EXPECT_EQ(settings.authentication_user().size(), 3u);
  EXPECT_EQ(settings.network_port().size(), 3u);
  EXPECT_EQ(settings.sip_udp().port, 5060);
}

TEST(Tables, EveryPathFindsItsSettingAndFitsItsLimits) {
  std::vector<uint8_t> memory(4u << 20);
  Arena arena({memory.data(), memory.size()});
  Settings settings(arena, 3);
  for (uint32_t s = 0; s < kSettingCount; ++s) {
    const uint32_t last = settings.instance_count(kSettings[s].group) - 1;
    uint8_t bytes[kPathTextMax];
    ByteWriter path(bytes);
    FormatPath({s, last}, path);
    ASSERT_TRUE(path.ok());
    Message message;
    const auto line = ParsePath(path.text(), message);
    ASSERT_TRUE(line.ok());
    const auto found = FindSetting(line->path(), settings, message);
    ASSERT_TRUE(found.ok()) << path.text();
    EXPECT_EQ(*found, (Selector{s, last}));
    uint8_t expected_bytes[kMessageMax];
    ByteWriter expected(expected_bytes);
    DescribeExpected(kSettings[s], expected);
    EXPECT_TRUE(expected.ok() && expected.size() > 0);
  }
}

// --- Lines --------------------------------------------------------------------------------------

std::string ValueIn(std::string_view text) {
  Message message;
  const auto line = ParseLine(text, message);
  return line.ok() ? std::string(line->value.view()) : "!" + std::string(message.view());
}

TEST(Lines, ValuesAndQuotes) {
  EXPECT_EQ(ValueIn("xConfiguration SIP UDP Mode: On"), "On");
  EXPECT_EQ(ValueIn("  xconfiguration   SIP UDP Mode:On  "), "On");
  EXPECT_EQ(ValueIn("*c xConfiguration A B: \"two words\""), "two words");
  EXPECT_EQ(ValueIn("xConfiguration A B: \"a \\\"quote\\\" and \\\\\""), "a \"quote\" and \\");
  EXPECT_EQ(ValueIn("xConfiguration A B: 2001:db8::1"), "2001:db8::1");
  EXPECT_EQ(ValueIn("xConfiguration A B:"), "");
  EXPECT_EQ(ValueIn("xConfiguration A B: \"\""), "");
  EXPECT_EQ(ValueIn("xConfiguration A B: \"open"),
            "!expected a closing quote (\") at the end of the value");
  EXPECT_EQ(ValueIn("xConfiguration A B: \"a\" b"), "!expected nothing after the closing quote");
  EXPECT_EQ(ValueIn("xStatus"), "!expected a line that begins \"xConfiguration\"");
  EXPECT_EQ(ValueIn("xConfiguration A: \x01"), "!expected no control characters");
}

TEST(Lines, LimitsAtTheirEdges) {
  EXPECT_EQ(ValueIn("xConfiguration A: " + std::string(255, 'x')), std::string(255, 'x'));
  EXPECT_EQ(ValueIn("xConfiguration A: " + std::string(256, 'x')),
            "!value too long: expected at most 255 characters");
  EXPECT_EQ(ValueIn("xConfiguration A: \"" + std::string(256, 'x') + "\""),
            "!value too long: expected at most 255 characters");
  EXPECT_EQ(ValueIn("xConfiguration a b c d e f g h i: 1"), "1");
  EXPECT_EQ(ValueIn("xConfiguration a b c d e f g h i j: 1"),
            "!expected at most 9 words before ':'");
  const std::string head = "xConfiguration ";
  EXPECT_EQ(ValueIn(head + std::string(kLineMax + 1 - head.size(), 'x')),
            "!line too long: expected at most 512 bytes");
  EXPECT_TRUE(IsIgnorableLine("  # comment"));
  EXPECT_TRUE(IsIgnorableLine(" \t\r"));
  EXPECT_FALSE(IsIgnorableLine("x"));
}

TEST(Lines, QuotingGoesThereAndBack) {
  for (std::string value : {"", "plain", "a\"b", "\\", "\\\"", "ends with \\"}) {
    uint8_t bytes[256];
    ByteWriter out(bytes);
    WriteQuoted(out, value);
    EXPECT_EQ(ValueIn("xConfiguration A: " + std::string(out.text())), value);
  }
}

// --- Values -------------------------------------------------------------------------------------

TEST_F(ConfigTest, WrongValuesSayWhatWasExpected) {
  MakeUsable();
  EXPECT_EQ(Set("xConfiguration SIP UDP Mode: Maybe"), "expected one of Off, On");
  EXPECT_EQ(Set("xConfiguration SIP UDP Port: 80"), "expected a whole number 1024..65534");
  EXPECT_EQ(Set("xConfiguration SIP UDP Port: 65535"), "expected a whole number 1024..65534");
  EXPECT_EQ(Set("xConfiguration SIP UDP Port: 5061x"), "expected a whole number 1024..65534");
  EXPECT_EQ(Set("xConfiguration SIP UDP Port: "), "expected a whole number 1024..65534");
  EXPECT_EQ(Set("xConfiguration SIP UDP Port: 99999999999"), "expected a whole number 1024..65534");
  EXPECT_EQ(Set("xConfiguration Administration Session TimeOut: -1"),
            "expected a whole number 0..10080 min");
  EXPECT_EQ(Set("xConfiguration Network Port 1 IPv4 Address: 2001:db8::1"),
            "expected an IPv4 address, for example 192.0.2.10");
  EXPECT_EQ(Set("xConfiguration Network Port 1 IPv6 Address: 192.0.2.1"),
            "expected an IPv6 address, for example 2001:db8::10");
  EXPECT_EQ(Set("xConfiguration DNS Server 1 Address: 0.0.0.0"),
            "expected an IP address, for example 192.0.2.10 or 2001:db8::10");
  EXPECT_EQ(Set("xConfiguration DNS Server 1 Address: 224.0.0.1"),
            "expected an IP address, for example 192.0.2.10 or 2001:db8::10");
  EXPECT_EQ(Set("xConfiguration Network Route 1 Destination: 10.0.0.0"),
            "expected addresses as prefix, for example 10.0.0.0/8 or 2001:db8::/32");
  EXPECT_EQ(Set("xConfiguration System Name: a b"),
            "expected a host name (letters, digits, hyphens, dots) of at most 63 characters");
  EXPECT_EQ(Set("xConfiguration Authentication User 1 Name: a@b"),
            "expected a user name (letters, digits and -_.!~*'()&=+$,/) of at most 63 characters");
  EXPECT_EQ(store_.commits, 1);
}

TEST_F(ConfigTest, WrongPathsSayWhatWasExpectedAndWhere) {
  MakeUsable();
  EXPECT_EQ(Set("xConfiguration SIP UDP Moed: On"),
            "\"Moed\" is not known here: expected one of Mode, Port after \"UDP\"");
  EXPECT_EQ(Set("xConfiguration SIP UDP: On"), "expected one of Mode, Port after \"UDP\"");
  EXPECT_EQ(Set("xConfiguration Network Port 4 IPv4 Mode: Off"),
            "\"4\" is not known here: expected a number 1..3 after \"Port\"");
  EXPECT_EQ(Set("xConfiguration Network Port 0 IPv4 Mode: Off"),
            "\"0\" is not known here: expected a number 1..3 after \"Port\"");
  EXPECT_EQ(Set("xConfiguration Authentication User 51 Name: x"),
            "\"51\" is not known here: expected a number 1..50 after \"User\"");
  EXPECT_EQ(Set("xConfiguration SIP UDP Mode"), "expected \":\" and a value");
  EXPECT_EQ(Set("xConfiguration SIP UDP Mode Extra: On"),
            "\"Extra\" is not known here: expected \":\" and a value");
}

TEST_F(ConfigTest, HostNames) {
  for (const char* good : {"a", "a-b", "example.com", "1.example", "under_score"}) {
    EXPECT_TRUE(IsHostName(good)) << good;
  }
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "-a", "a-", "a.-b", "a-.b", "a b", "ä"}) {
    EXPECT_FALSE(IsHostName(bad)) << bad;
  }
  EXPECT_TRUE(IsHostName(std::string(63, 'a')));
  EXPECT_FALSE(IsHostName(std::string(64, 'a')));
}

// --- Changes ------------------------------------------------------------------------------------

TEST_F(ConfigTest, AChangeIsInForceStoredAndTold) {
  MakeUsable();
  EXPECT_EQ(Set("xConfiguration sip udp mode: off"), "");
  EXPECT_EQ(config_->active().sip_udp().mode, OnOff::kOff);
  EXPECT_EQ(store_.rows["SIP UDP Mode"], "Off");
  EXPECT_EQ(changes_, std::vector<std::string>{"SIP UDP Mode: On -> Off"});
  EXPECT_EQ(groups_, GroupSet(GroupId::kSipUdp));
  EXPECT_FALSE(restart_);
  // Back to the default: no row is kept.
  EXPECT_EQ(Set("xConfiguration SIP UDP Mode: On"), "");
  EXPECT_EQ(store_.rows.count("SIP UDP Mode"), 0u);
  EXPECT_EQ(Set("xConfiguration System Profile: Small"), "");
  EXPECT_TRUE(restart_);
  EXPECT_TRUE(config_->restart_needed());
}

TEST_F(ConfigTest, AFailedStoreLeavesEverythingAsItWas) {
  MakeUsable();
  store_.fail_commit = true;
  const auto rows = store_.rows;
  EXPECT_EQ(Set("xConfiguration SIP UDP Mode: Off"), "not stored: the disk failed");
  EXPECT_EQ(config_->active().sip_udp().mode, OnOff::kOn);
  EXPECT_EQ(store_.rows, rows);
  EXPECT_TRUE(changes_.empty());
}

TEST_F(ConfigTest, RestartLoadsWhatWasStored) {
  MakeUsable();
  Set("xConfiguration Network Port 2 IPv6 Address: 2001:db8::2");
  Set("xConfiguration Network Route 3 Destination: 10.1.0.0/16");
  Set("xConfiguration Authentication User 7 Name: alice");
  Set("xConfiguration Authentication User 7 Password: wonderland");
  Restart();
  EXPECT_FALSE(config_->is_factory());
  EXPECT_EQ(load_.refused + load_.unknown, 0u);
  EXPECT_EQ(ValueOf("Network Port 2 IPv6 Address"), "2001:db8::2");
  EXPECT_EQ(ValueOf("Network Route 3 Destination"), "10.1.0.0/16");
  ASSERT_NE(config_->FindUser("alice"), nullptr);
  const auto* admin = config_->FindAdministrator("admin");
  ASSERT_NE(admin, nullptr);
  EXPECT_TRUE(hasher_->Verify("Correct-Horse-7", admin->password.hash.view()).ok());
  EXPECT_FALSE(hasher_->Verify("Correct-Horse-8", admin->password.hash.view()).ok());
}

TEST_F(ConfigTest, StoredRowsAreOutsideData) {
  MakeUsable();
  store_.rows["SIP UDP Mode"] = "Sideways";
  store_.rows["From The Future Setting"] = "1";
  store_.rows["SIP UDP Port"] = std::string("\0\0", 2);
  store_.rows["Authentication User 1 Password"] = "short";
  store_.rows["Administrator 2 Password"] = std::string(200, '$');
  store_.rows[""] = "";
  Restart();
  EXPECT_EQ(config_->active().sip_udp().mode, OnOff::kOn);
  EXPECT_EQ(config_->active().sip_udp().port, 5060);
  EXPECT_EQ(load_.refused, 4u);
  EXPECT_EQ(load_.unknown, 2u);
}

TEST_F(ConfigTest, RulesBetweenSettings) {
  MakeUsable();
  EXPECT_EQ(Set("xConfiguration SIP Registration Expire Min: 4000"),
            "expected SIP Registration Expire Min <= Expire Default <= Expire Max");
  EXPECT_EQ(Set("xConfiguration SIP Domain 2 Name: EXAMPLE.com"),
            "expected different names: SIP Domain 1 and 2");
  EXPECT_EQ(Set("xConfiguration Administrator 2 Name: admin"),
            "expected different names: Administrator 1 and 2");
  EXPECT_EQ(Set("xConfiguration Administrator 1 Password: \"\""),
            "expected at least one Administrator with Name, Password and Role Administrator");
  EXPECT_EQ(Set("xConfiguration Administrator 1 Role: ReadOnly"),
            "expected at least one Administrator with Name, Password and Role Administrator");
  EXPECT_EQ(Set("xConfiguration Authentication User 5 Name: bob"), "");
  EXPECT_EQ(Set("xConfiguration Authentication User 2 Name: bob"),
            "expected different names: Authentication User 2 and 5");
}

// --- Passwords ----------------------------------------------------------------------------------

TEST_F(ConfigTest, PasswordsAreKeptAsDigestsAndNeverShown) {
  MakeUsable();
  EXPECT_EQ(Set("xConfiguration Authentication User 1 Password: x"),
            "expected the Name of this user to be set first");
  Set("xConfiguration Authentication User 1 Name: Mufasa");
  Set("xConfiguration SIP Authentication Realm: http-auth@example.org");
  changes_.clear();
  EXPECT_EQ(Set("xConfiguration Authentication User 1 Password: \"Circle of Life\""), "");
  EXPECT_EQ(changes_, std::vector<std::string>{"Authentication User 1 Password:  -> ********"});
  EXPECT_EQ(ValueOf("Authentication User 1 Password"), "********");
  for (const auto& [key, value] : store_.rows) {
    EXPECT_EQ(value.find("Circle"), value.npos) << key;
    EXPECT_EQ(value.find("Horse"), value.npos) << key;
  }
  // RFC 7616 3.9.1's user: HA1 for each algorithm.
  const AuthenticationUser* user = config_->FindUser("Mufasa");
  ASSERT_NE(user, nullptr);
  uint8_t bytes[128];
  ByteWriter hex(bytes);
  hex.HexBytes(user->password.ha1_md5);
  EXPECT_EQ(hex.text(), "3d78807defe7de2157e2b0b6573a855f");
  ByteWriter hex256(bytes);
  hex256.HexBytes(user->password.ha1_sha256);
  EXPECT_EQ(hex256.text(), "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232");
  ByteWriter hex512(bytes);
  hex512.HexBytes(user->password.ha1_sha512_256);
  EXPECT_EQ(hex512.text(), "fb174f5c3c7802721517cae13b98e2b8dae2e0118cb705d94ee29946319204ce");
}

TEST_F(ConfigTest, PasswordsStoredWithoutSha512StayGoodUntilNothingElseIsAskedFor) {
  MakeUsable();
  Set("xConfiguration Authentication User 1 Name: alice");
  Set("xConfiguration Authentication User 1 Password: wonderland");
  const std::string key = "Authentication User 1 Password";
  const auto whole = config_->FindUser("alice")->password;
  EXPECT_TRUE(whole.has_sha512_256());
  std::string& row = store_.rows[key];
  ASSERT_EQ(row.size(), 89u);
  EXPECT_EQ(row[0], 2);
  row = "\1" + row.substr(1, 56);  // as versions before wrote it
  const std::string old = row;
  Restart();
  ASSERT_NE(config_->FindUser("alice"), nullptr);
  EXPECT_FALSE(config_->FindUser("alice")->password.has_sha512_256());
  EXPECT_EQ(config_->FindUser("alice")->password.ha1_sha256, whole.ha1_sha256);
  EXPECT_EQ(Set("xConfiguration SIP Authentication Algorithms: All"), "");
  EXPECT_EQ(config_->unusable_password_count(), 0u);
  EXPECT_EQ(store_.rows[key], old);
  EXPECT_EQ(Set("xConfiguration SIP Authentication Algorithms: SHA512-256"), "");
  EXPECT_EQ(config_->unusable_password_count(), 1u);  // an alarm
  EXPECT_EQ(Set("xConfiguration Authentication User 1 Password: wonderland"), "");
  EXPECT_EQ(config_->unusable_password_count(), 0u);
  EXPECT_TRUE(config_->FindUser("alice")->password.has_sha512_256());
  for (const std::string& bad : {old + "x", "\2" + old.substr(1), "\3" + old.substr(1),
                                 std::string("\0", 1) + old.substr(1), std::string()}) {
    store_.rows[key] = bad;
    Restart();
    EXPECT_EQ(config_->FindUser("alice"), nullptr);
  }
}

TEST_F(ConfigTest, PasswordsFallOutOfUseWithTheirRealmAndName) {
  MakeUsable();
  Set("xConfiguration Authentication User 1 Name: alice");
  Set("xConfiguration Authentication User 1 Password: wonderland");
  ASSERT_NE(config_->FindUser("alice"), nullptr);
  EXPECT_EQ(config_->FindUser("Alice"), nullptr);
  EXPECT_EQ(config_->FindUser(""), nullptr);
  EXPECT_EQ(Set("xConfiguration SIP Authentication Realm: other"), "");
  EXPECT_EQ(config_->FindUser("alice"), nullptr);
  EXPECT_EQ(config_->unusable_password_count(), 1u);
  EXPECT_EQ(Set("xConfiguration SIP Authentication Realm: \"\""), "");
  ASSERT_NE(config_->FindUser("alice"), nullptr);
  EXPECT_EQ(Set("xConfiguration Authentication User 1 Name: bob"), "");
  EXPECT_EQ(config_->FindUser("bob"), nullptr);
}

TEST_F(ConfigTest, AdministratorPasswordRules) {
  MakeUsable();
  Set("xConfiguration Administrator 2 Name: Longusername1");
  EXPECT_EQ(Set("xConfiguration Administrator 2 Password: Short-1"),
            "expected a password of 12..128 characters");
  EXPECT_EQ(Set("xConfiguration Administrator 2 Password: onlylowercase1"),
            "expected a password with three of: lower case, upper case, digits, other characters");
  // R-ACC-01: the user name as it is, reversed, in other case.
  for (const char* bad : {"Longusername1", "1emanresugnoL", "LONGUSERNAMe1", "1EManresugnol"}) {
    EXPECT_EQ(Set(std::string("xConfiguration Administrator 2 Password: ") + bad),
              "expected a password that is not the user name")
        << bad;
  }
  EXPECT_EQ(Set("xConfiguration Administrator 2 Password: Longusername2"), "");
}

TEST_F(ConfigTest, AnArgon2RecordIsTakenAsItIs) {
  MakeUsable();
  const auto record = hasher_->Hash("Another-Horse-9", *random_);
  ASSERT_TRUE(record.ok());
  Set("xConfiguration Administrator 2 Name: second");
  EXPECT_EQ(Set("xConfiguration Administrator 2 Password: " + std::string(record->text())), "");
  EXPECT_TRUE(
      hasher_->Verify("Another-Horse-9", config_->FindAdministrator("second")->password.hash.view())
          .ok());
  EXPECT_EQ(Set("xConfiguration Administrator 2 Password: $argon2id$nonsense"),
            "expected a password or an Argon2id record");
  // One that asks for more memory than this hasher has would lock its owner out.
  EXPECT_EQ(Set("xConfiguration Administrator 2 Password: "
                "$argon2id$v=19$m=65536,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$"
                "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
            "expected a password or an Argon2id record");
}

// --- Provisioning -------------------------------------------------------------------------------

TEST_F(ConfigTest, ProvisioningIsWholeOrNotAtAll) {
  Message note;
  const auto report = config_->Provision(
      "# a comment\n\n"
      "xConfiguration Administrator 1 Name: admin\r\n"
      "xConfiguration Administrator 1 Password: Correct-Horse-7\n"
      "nonsense\n"
      "xConfiguration SIP UDP Port: 1\n",
      *this, note);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->committed);
  EXPECT_EQ(report->line_count, 4u);
  EXPECT_EQ(report->refused_count, 2u);
  EXPECT_EQ(lines_, (std::vector<std::string>{"3 OK", "4 OK",
                                              "5 expected a line that begins \"xConfiguration\"",
                                              "6 expected a whole number 1024..65534"}));
  EXPECT_TRUE(config_->is_factory());
  EXPECT_TRUE(store_.rows.empty());
  EXPECT_TRUE(config_->active().administrator()[0].name.empty());
}

TEST_F(ConfigTest, ProvisioningMayNamePasswordsBeforeWhatTheyDependOn) {
  Message note;
  const auto report = config_->Provision(
      "xConfiguration Authentication User 1 Password: wonderland\n"
      "xConfiguration Authentication User 1 Name: alice\n"
      "xConfiguration SIP Domain 1 Name: example.com\n"
      "xConfiguration Administrator 1 Password: Correct-Horse-7\n"
      "xConfiguration Administrator 1 Name: admin\n",
      *this, note);
  ASSERT_TRUE(report.ok() && report->committed) << note.view();
  EXPECT_NE(config_->FindUser("alice"), nullptr);
  EXPECT_EQ(store_.commits, 1);
}

TEST_F(ConfigTest, ProvisioningNeedsAnAdministratorAndAText) {
  Message note;
  auto report = config_->Provision("xConfiguration System Name: x\n", *this, note);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->committed);
  EXPECT_EQ(report->refused_count, 0u);
  EXPECT_NE(std::string(note.view()).find("at least one Administrator"), std::string::npos);
  report = config_->Provision("# nothing\n", *this, note);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->committed);
  EXPECT_EQ(config_->Provision(std::string(kProvisionMax + 1, '\n'), *this, note).code(),
            ErrorCode::kTooLarge);
  EXPECT_TRUE(config_->is_factory());
}

TEST_F(ConfigTest, ProvisioningIsTakenInFactoryStateOnly) {
  MakeUsable();
  Message note;
  EXPECT_EQ(config_->Provision("xConfiguration System Name: x\n", *this, note).code(),
            ErrorCode::kWrongState);
  ASSERT_TRUE(config_->ResetToFactory().ok());
  Restart();
  EXPECT_TRUE(config_->is_factory());
}

TEST_F(ConfigTest, AFullUserTableIsIndexed) {
  std::string text =
      "xConfiguration Administrator 1 Name: admin\n"
      "xConfiguration Administrator 1 Password: Correct-Horse-7\n"
      "xConfiguration SIP Domain 1 Name: example.com\n";
  for (uint32_t i = 1; i <= kUsers; ++i) {
    const std::string user = "xConfiguration Authentication User " + std::to_string(i);
    text += user + " Name: u" + std::to_string(kUsers - i) + "\n" + user + " Password: p\n";
  }
  Message note;
  ASSERT_TRUE(config_->Provision(text, *this, note)->committed) << note.view();
  EXPECT_EQ(config_->user_count(), kUsers);
  for (uint32_t i = 0; i < kUsers; ++i) {
    const auto* user = config_->FindUser("u" + std::to_string(i));
    ASSERT_NE(user, nullptr);
    EXPECT_EQ(user->name.view(), "u" + std::to_string(i));
  }
}

}  // namespace
}  // namespace gh::config
