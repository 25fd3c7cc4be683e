// What an operator sets for SIP is what the engine is given, in its units.
#include "firmware/settings_map.h"

#include <gmock/gmock.h>

#include "firmware/commit_checks.h"
#include "tests/unit/config/config_fixture.h"

namespace gh {
namespace {

using ::testing::ElementsAre;

class SipSettings : public config::ConfigTest {
 protected:
  SipSettings() { MakeUsable(); }
  void Is(const std::string& line) { EXPECT_EQ(Set("xConfiguration SIP " + line), "") << line; }
  sip::Config Now() {
    const net::IpAddress ours[] = {net::IpAddress::V4(192, 0, 2, 1),
                                   net::IpAddress::Parse("2001:db8::1").value()};
    return SipConfigOf(config_->active(), ours);
  }
  std::vector<std::string> Listeners() {
    std::vector<std::string> out;
    const sip::Config config = Now();
    for (uint32_t i = 0; i < config.listener_count; ++i) {
      const sip::Listener& at = config.listeners[i];
      out.push_back(std::to_string(static_cast<int>(at.transport)) + " " +
                    std::string(net::ToText(at.bind).view()));
    }
    return out;
  }
  static std::string At(sip::TransportKind transport, const std::string& where) {
    return std::to_string(static_cast<int>(transport)) + " " + where;
  }
};

TEST_F(SipSettings, TransportsListenAtTheirPortsOfEachAddress) {
  using enum sip::TransportKind;
  EXPECT_THAT(Listeners(),
              ElementsAre(At(kUdp, "192.0.2.1:5060"), At(kTcp, "192.0.2.1:5060"),
                          At(kTls, "192.0.2.1:5061"), At(kUdp, "[2001:db8::1]:5060"),
                          At(kTcp, "[2001:db8::1]:5060"), At(kTls, "[2001:db8::1]:5061")));
  Is("UDP Port: 5070");
  Is("TCP Mode: Off");
  Is("TLS Port: 5071");
  Is("WS Mode: On");
  Is("WSS Mode: On");
  Is("WSS Port: 8443");
  EXPECT_THAT(Listeners(),
              ElementsAre(At(kUdp, "192.0.2.1:5070"), At(kTls, "192.0.2.1:5071"),
                          At(kWs, "192.0.2.1:5066"), At(kWss, "192.0.2.1:8443"),
                          At(kUdp, "[2001:db8::1]:5070"), At(kTls, "[2001:db8::1]:5071"),
                          At(kWs, "[2001:db8::1]:5066"), At(kWss, "[2001:db8::1]:8443")));
}

TEST_F(SipSettings, EachChoiceOfAlgorithmsIsTheEngines) {
  EXPECT_EQ(Now().digest, sip::DigestPolicy::kMd5Only);
  const std::pair<const char*, sip::DigestPolicy> choices[] = {
      {"SHA256-MD5", sip::DigestPolicy::kSha256AndMd5},
      {"SHA256", sip::DigestPolicy::kSha256Only},
      {"MD5", sip::DigestPolicy::kMd5Only},
      {"All", sip::DigestPolicy::kAll},
      {"SHA2", sip::DigestPolicy::kSha2},
      {"SHA512-256", sip::DigestPolicy::kSha512_256Only}};
  for (const auto& [text, policy] : choices) {
    Is(std::string("Authentication Algorithms: ") + text);
    EXPECT_EQ(Now().digest, policy) << text;
  }
}

TEST_F(SipSettings, WhoIsAskedForCredentials) {
  EXPECT_TRUE(Now().authenticate_register && Now().authenticate_requests);
  EXPECT_TRUE(Now().sender_must_match);
  Is("Authentication Mode: Off");
  Is("Authentication IdentityCheck: Off");
  Is("Authentication Realm: inside");
  const sip::Config config = Now();
  EXPECT_FALSE(config.authenticate_register || config.authenticate_requests);
  EXPECT_FALSE(config.sender_must_match);
  EXPECT_EQ(config.realm.view(), "inside");
}

TEST_F(SipSettings, NumbersArriveInTheEnginesUnits) {
  for (const char* line :
       {"Registration Expire Min: 60", "Registration Expire Max: 7200",
        "Registration Expire Default: 600", "Registration Contact Max: 3",
        "Registration ServiceRoute: On", "Registration FastPath: On", "Overload Occupancy: 80",
        "Session Refresh Minimum: 120", "Session Refresh Value: 900", "Call FlowLoss: 30",
        "Presence Mode: On", "Presence Watchers: All", "Presence Notify Interval: 2",
        "Emergency 1 Number: 112"}) {
    Is(line);
  }
  const sip::Config config = Now();
  EXPECT_EQ(config.expires_min_s, 60u);
  EXPECT_EQ(config.expires_max_s, 7200u);
  EXPECT_EQ(config.expires_default_s, 600u);
  EXPECT_EQ(config.contacts_per_user_max, 3u);
  EXPECT_TRUE(config.service_route && config.fast_path);
  EXPECT_EQ(config.occupancy_max, 800u);  // of a thousand
  EXPECT_EQ(config.session_min_s, 120u);
  EXPECT_EQ(config.session_expires_s, 900u);
  EXPECT_EQ(config.flow_loss, Duration::Seconds(30));
  EXPECT_TRUE(config.presence.is_on);
  EXPECT_EQ(config.presence.watchers, sip::PresenceConfig::Watchers::kAll);
  EXPECT_EQ(config.presence.notify_interval, Duration::Seconds(2));
  EXPECT_EQ(config.emergency_count, 1u);
  EXPECT_FALSE(config.is_draining);
  EXPECT_EQ(Set("xConfiguration Maintenance Mode: On"), "");
  EXPECT_TRUE(Now().is_draining);
}

class MediaSettings : public config::ConfigTest {
 protected:
  MediaSettings() { MakeUsable(); }
};

TEST_F(MediaSettings, TheMultiplexPortIsTheProfilesOrNoWellKnownOne) {
  const auto is_taken = [&](const std::string& port) {
    EXPECT_EQ(Set("xConfiguration Traversal Media Multiplex Port: " + port), "");
    config::Message expected;
    return CommitChecks().Check(config_->active(), expected).ok();
  };
  EXPECT_TRUE(is_taken("0"));
  EXPECT_FALSE(is_taken("1"));
  EXPECT_FALSE(is_taken("1023"));
  EXPECT_TRUE(is_taken("1024"));
  EXPECT_TRUE(is_taken("65534"));
}

}  // namespace
}  // namespace gh
