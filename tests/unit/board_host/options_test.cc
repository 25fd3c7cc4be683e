// The host board's command line: every option, and what is said about every mistake.
#include "board/host/options.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gh::board {
namespace {

struct Parsed {
  bool ok = false;
  Options options;
  OptionsError error;
};

Parsed Parse(std::vector<std::string> arguments) {
  static std::vector<std::string> kept;  // Options points into them
  kept = std::move(arguments);
  std::vector<char*> pointers;
  for (std::string& argument : kept) {
    pointers.push_back(argument.data());
  }
  Parsed parsed;
  parsed.ok = ParseOptions(pointers, parsed.options, parsed.error).ok();
  return parsed;
}

TEST(Options, DefaultsAreSafe) {
  const Parsed parsed = Parse({});
  ASSERT_TRUE(parsed.ok);
  EXPECT_TRUE(parsed.options.lock_memory);
  EXPECT_TRUE(parsed.options.sandbox);
  EXPECT_TRUE(parsed.options.supervise);
  EXPECT_TRUE(parsed.options.watchdog);
  EXPECT_FALSE(parsed.options.reset_button);
  EXPECT_EQ(parsed.options.port_count, 0u);
  EXPECT_EQ(parsed.options.fault, Fault::kNone);
}

TEST(Options, PortsComeInOrderWithTheirMacs) {
  const Parsed parsed = Parse({"--tap", "gh0", "--mac", "02:00:5e:10:00:01", "--host-address",
                               "192.0.2.1/24", "--packet=veth1", "--tap=gh2"});
  ASSERT_TRUE(parsed.ok) << parsed.error.what;
  ASSERT_EQ(parsed.options.port_count, 3u);
  EXPECT_EQ(parsed.options.ports[0].kind, PortKind::kTap);
  EXPECT_STREQ(parsed.options.ports[0].interface, "gh0");
  EXPECT_TRUE(parsed.options.ports[0].has_mac);
  EXPECT_EQ(parsed.options.ports[0].mac, (hal::MacAddress{2, 0, 0x5e, 0x10, 0, 1}));
  EXPECT_STREQ(parsed.options.ports[0].host_address, "192.0.2.1/24");
  EXPECT_EQ(parsed.options.ports[1].kind, PortKind::kPacket);
  EXPECT_STREQ(parsed.options.ports[1].interface, "veth1");
  EXPECT_FALSE(parsed.options.ports[1].has_mac);
  EXPECT_STREQ(parsed.options.ports[2].interface, "gh2");
}

TEST(Options, ValuesAndFlags) {
  const Parsed parsed = Parse({"--store",
                               "s.img",
                               "--store-size=8M",
                               "--log=l.img",
                               "--log-size",
                               "64K",
                               "--block-size",
                               "4096",
                               "--provision=p.txt",
                               "--crash-record",
                               "c",
                               "--console",
                               "pty:link",
                               "--profile",
                               "small",
                               "--memory=1G",
                               "--frames",
                               "4K",
                               "--busy-poll",
                               "50",
                               "--media-priority=99",
                               "--reset-button",
                               "--no-mlock",
                               "--no-supervisor",
                               "--no-watchdog",
                               "--no-sandbox",
                               "--inject",
                               "segv"});
  ASSERT_TRUE(parsed.ok) << parsed.error.what << parsed.error.culprit;
  const Options& options = parsed.options;
  EXPECT_STREQ(options.store.path, "s.img");
  EXPECT_EQ(options.store.bytes, 8u << 20);
  EXPECT_EQ(options.log.bytes, 65536u);
  EXPECT_EQ(options.block_size, 4096u);
  EXPECT_STREQ(options.provision_path, "p.txt");
  EXPECT_STREQ(options.crash_path, "c");
  EXPECT_EQ(options.console, ConsoleKind::kPty);
  EXPECT_STREQ(options.console_path, "link");
  EXPECT_STREQ(options.profile, "small");
  EXPECT_EQ(options.memory_bytes, uint64_t{1} << 30);
  EXPECT_EQ(options.frame_count, 4096u);
  EXPECT_EQ(options.busy_poll_us, 50u);
  EXPECT_EQ(options.media_priority, 99u);
  EXPECT_TRUE(options.reset_button);
  EXPECT_FALSE(options.lock_memory || options.supervise || options.watchdog || options.sandbox);
  EXPECT_EQ(options.fault, Fault::kSegv);
}

TEST(Options, MistakesAreNamed) {
  const struct {
    std::vector<std::string> arguments;
    const char* said;
  } kCases[] = {
      {{"--nonsense"}, "unknown option"},
      {{"stray"}, "unknown option"},
      {{"--store"}, "needs a value"},
      {{"--store="}, "file name"},
      {{"--no-mlock=yes"}, "takes no value"},
      {{"--mac", "02:00:5e:10:00:01"}, "follows"},
      {{"--tap", "t", "--mac", "03:00:5e:10:00:01"}, "unicast MAC"},
      {{"--tap", "t", "--mac", "02:00:5e:10:00"}, "unicast MAC"},
      {{"--tap", "t", "--mac", "02-00-5e-10-00-01"}, "unicast MAC"},
      {{"--tap", "t", "--mac", "00:00:00:00:00:00"}, "unicast MAC"},
      {{"--tap", ""}, "1 to 15"},
      {{"--tap", "a234567890123456"}, "1 to 15"},
      {{"--tap", "a/b"}, "1 to 15"},
      {{"--tap=a", "--tap=b", "--tap=c", "--tap=d"}, "three"},
      {{"--packet", "v", "--host-address", "192.0.2.1/24"}, "follows the --tap"},
      {{"--store-size", "1000"}, "64K"},
      {{"--store-size", "65537"}, "64K"},
      {{"--store-size", "2000G"}, "64K"},
      {{"--log-size", "big"}, "64K"},
      {{"--block-size", "1024"}, "512 or 4096"},
      {{"--media-priority", "100"}, "0 to 99"},
      {{"--console", "tty"}, "stdio, pty"},
      {{"--console", "unix:"}, "stdio, pty"},
      {{"--memory", "1M"}, "16M"},
      {{"--frames", "3"}, "64"},
      {{"--cores", "3"}, "auto, 1 or 2"},
      {{"--busy-poll", "9999999"}, "1000000"},
      {{"--moderation", "1001"}, "0 to 1000"},
      {{"--inject", "fire"}, "malloc, new"},
  };
  for (const auto& test : kCases) {
    const Parsed parsed = Parse(test.arguments);
    EXPECT_FALSE(parsed.ok) << test.said;
    EXPECT_NE(std::string(parsed.error.what).find(test.said), std::string::npos)
        << parsed.error.what << " for " << test.said;
    EXPECT_STRNE(parsed.error.culprit, "");
  }
}

TEST(Options, Sizes) {
  EXPECT_EQ(ParseBytes("0").value_or(9), 0u);
  EXPECT_EQ(ParseBytes("512").value_or(9), 512u);
  EXPECT_EQ(ParseBytes("3K").value_or(9), 3072u);
  EXPECT_EQ(ParseBytes("18446744073709551615").value_or(9), UINT64_MAX);
  for (const char* bad :
       {"", "K", "-1", "1 M", "1T", "1MB", "18446744073709551616", "18014398509481984K"}) {
    EXPECT_FALSE(ParseBytes(bad).ok()) << bad;
  }
}

TEST(Options, HelpNamesEveryOption) {
  const std::string help = HelpText();
  for (const char* name :
       {"--tap",          "--packet",        "--mac",         "--host-address", "--store",
        "--store-size",   "--log",           "--log-size",    "--block-size",   "--provision",
        "--crash-record", "--console",       "--profile",     "--memory",       "--frames",
        "--cores",        "--busy-poll",     "--moderation",  "--inject",       "--reset-button",
        "--no-mlock",     "--no-supervisor", "--no-watchdog", "--no-sandbox",   "--version",
        "--help"}) {
    EXPECT_NE(help.find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace gh::board
