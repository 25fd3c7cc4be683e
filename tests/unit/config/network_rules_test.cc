// Rules between network settings: the management interface and its guard (R-DMI-09, R-DMI-16).
#include "firmware/config/network_rules.h"

#include "tests/unit/config/config_fixture.h"

namespace gh::config {
namespace {

class NetworkRulesTest : public ConfigTest {
 protected:
  void SetUp() override { MakeUsable(); }
  std::string Try(const std::string& setting) { return Set("xConfiguration " + setting); }
};

TEST_F(NetworkRulesTest, TheManagementInterfaceIsOffAndNeedsAnAddressAndARestart) {
  EXPECT_EQ(config_->active().network_dmi().mode, OnOff::kOff);
  EXPECT_EQ(config_->active().network_dmi().mtu, 1500);
  EXPECT_NE(Try("Network DMI Mode: On"), "");
  EXPECT_EQ(Try("Network DMI IPv4 Address: 10.9.0.1"), "");
  EXPECT_TRUE(restart_);
  EXPECT_EQ(Try("Network DMI Mode: On"), "");
  EXPECT_TRUE(config_->restart_needed());
}

TEST_F(NetworkRulesTest, ItsIpv6AddressIsGlobal) {
  EXPECT_NE(Try("Network DMI IPv6 Address: fe80::1"), "");
  EXPECT_NE(Try("Network DMI IPv6 Address: ff02::1"), "");
  EXPECT_NE(Try("Network DMI IPv6 Address: ::1"), "");
  EXPECT_EQ(Try("Network DMI IPv6 Address: 2001:db8:9::1"), "");
  EXPECT_NE(Try("Network DMI MTU: 1279"), "");
  EXPECT_EQ(Try("Network DMI MTU: 1280"), "");
  EXPECT_EQ(Try("Network DMI Mode: On"), "");
}

TEST_F(NetworkRulesTest, ItsSubnetIsItsOwn) {
  EXPECT_EQ(Try("Network Port 2 IPv4 Address: 10.9.0.2"), "");
  EXPECT_NE(Try("Network DMI IPv4 Address: 10.9.0.1"), "");
  EXPECT_EQ(Try("Network DMI IPv4 Address: 10.9.1.1"), "");
  EXPECT_NE(Try("Network DMI IPv4 PrefixLength: 16"), "");
}

TEST_F(NetworkRulesTest, ItIsNotSwitchedOffWhileAServiceIsServedThereAlone) {
  EXPECT_NE(Try("Administration DMI Only: On"), "");  // nowhere to be served
  EXPECT_NE(Try("SNMP DMI Only: On"), "");
  EXPECT_NE(Try("Metrics DMI Only: On"), "");
  EXPECT_EQ(Try("Network DMI IPv4 Address: 10.9.0.1"), "");
  EXPECT_EQ(Try("Network DMI Mode: On"), "");
  for (const std::string service : {"Administration", "SNMP", "Metrics"}) {
    EXPECT_EQ(Try(service + " DMI Only: On"), "");
    EXPECT_NE(Try("Network DMI Mode: Off").find(service + " DMI Only: Off"), std::string::npos);
    EXPECT_EQ(Try(service + " DMI Only: Off"), "");
  }
  EXPECT_EQ(Try("Network DMI Mode: Off"), "");
}

TEST_F(NetworkRulesTest, AFirewallRuleHasARangeOfPorts) {
  EXPECT_NE(Try("Firewall Rule 3 Port First: 0"), "");
  EXPECT_EQ(Try("Firewall Rule 3 Port Last: 100"), "");
  EXPECT_NE(Try("Firewall Rule 3 Port First: 101"), "");
  EXPECT_EQ(Try("Firewall Rule 3 Port First: 100"), "");
  EXPECT_NE(Try("Firewall Rule 33 Mode: On"), "");
}

TEST_F(NetworkRulesTest, ATimeServersKeyFitsItsAlgorithm) {
  EXPECT_NE(Try("NTP Server 1 Key Id: 7"), "");  // no key
  EXPECT_EQ(Try("NTP Server 1 Key Value: HEX:000102030405060708090a0b0c0d0e0f"), "");
  EXPECT_EQ(Try("NTP Server 1 Key Id: 7"), "");
  EXPECT_NE(Try("NTP Server 1 Key Value: HEX:0001"), "");
  EXPECT_EQ(Try("NTP Server 1 Key Algorithm: SHA1"), "");
  EXPECT_EQ(Try("NTP Server 1 Key Value: HEX:0001"), "");
  EXPECT_NE(Try("NTP Server 1 Key Value: HEX:000"), "");
  EXPECT_NE(Try("NTP Server 1 Key Value: HEX:00zz"), "");
  EXPECT_EQ(Try("NTP Poll Max: 64"), "");
  EXPECT_NE(Try("NTP Poll Min: 65"), "");
}

TEST_F(NetworkRulesTest, ASmallMtuIsNotForIpv6) {
  EXPECT_EQ(Try("Network Port 1 MTU: 576"), "");
  EXPECT_NE(Try("Network Port 1 IPv6 Address: 2001:db8::1"), "");
  EXPECT_EQ(Try("Network Port 1 MTU: 1280"), "");
  EXPECT_EQ(Try("Network Port 1 IPv6 Address: 2001:db8::1"), "");
}

TEST_F(NetworkRulesTest, ASecretIsKeptAndNeverShown) {
  EXPECT_EQ(Try("SNMP Community: \"very hidden\""), "");
  EXPECT_EQ(config_->active().snmp().community.view(), "very hidden");
  ASSERT_EQ(changes_.size(), 1u);
  EXPECT_EQ(changes_[0], "SNMP Community:  -> ********");
  Restart();
  EXPECT_EQ(config_->active().snmp().community.view(), "very hidden");
  EXPECT_NE(Try("SNMP User 1 Authentication Password: seven77"), "");
  EXPECT_EQ(Try("SNMP User 1 Authentication Password: eight888"), "");
  EXPECT_NE(Try("SNMP Community: " + std::string(33, 'x')), "");
  EXPECT_EQ(Try("SNMP Community:"), "");
  EXPECT_TRUE(config_->active().snmp().community.empty());
}

}  // namespace
}  // namespace gh::config
