// The tree of files, and SFTP and SCP on it, against a folder in memory that may be as slow and as
// unwilling as a test wants. OpenSSH's own clients are in tests/system.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "firmware/admin/file_service.h"
#include "firmware/admin/files/scp_server.h"
#include "firmware/admin/files/sftp_server.h"
#include "tests/unit/rt/memory.h"
#include "tests/unit/store/fake_disk.h"

namespace gh::admin {
namespace {

using ::testing::HasSubstr;

class MemoryFolder final : public FileProvider {
 public:
  bool takes_files() const override { return takes; }
  bool List(uint32_t index, FileInfo& out) override {
    if (index >= files.size()) {
      return false;
    }
    const auto at = std::next(files.begin(), index);
    out = {};
    out.name.Assign(at->first);
    out.size = at->second.size();
    return true;
  }
  Result<void> OpenRead(std::string_view, FileReading&) override {
    if (opening > 0) {
      --opening;
      return Error{ErrorCode::kWouldBlock, ""};
    }
    return Ok();
  }
  Result<size_t> Read(std::string_view name, FileReading& reading,
                      std::span<uint8_t> out) override {
    const std::string& text = files[std::string(name)];
    const size_t count = std::min(out.size(), text.size() - reading.offset);
    std::memcpy(out.data(), text.data() + reading.offset, count);
    return count;
  }
  Result<void> OpenWrite(std::string_view name, uint64_t size, Instant) override {
    writing = name;
    announced = size;
    arrived.clear();
    return Ok();
  }
  Result<size_t> Write(std::span<const uint8_t> bytes, Instant) override {
    if (refuse_at != 0 && arrived.size() >= refuse_at) {
      return Error{ErrorCode::kRefused, "the signature does not verify"};
    }
    if (++turn % slowness != 0) {
      return size_t{0};
    }
    const size_t count = std::min<size_t>(bytes.size(), 1000);
    arrived.append(reinterpret_cast<const char*>(bytes.data()), count);
    return count;
  }
  Result<void> FinishWrite(Instant) override {
    if (pending > 0) {
      --pending;
      return Error{ErrorCode::kWouldBlock, ""};
    }
    files[writing] = arrived;
    return Ok();
  }
  void AbortWrite(const char* why, Instant) override { aborted = why; }
  Result<void> Remove(std::string_view name) override {
    files.erase(std::string(name));
    return Ok();
  }
  std::map<std::string, std::string> files;
  std::string writing, arrived, aborted;
  uint64_t announced = 0;
  bool takes = true;
  uint32_t slowness = 1, turn = 0;
  size_t refuse_at = 0;
  int pending = 0;
  int opening = 0;
};

class FilesTest : public ::testing::Test {
 protected:
  FilesTest() : memory_(8u << 20), arena_(memory_), log_(arena_, clock_, 64) {
    files_.Add("upgrade", upgrade_);
    files_.Add("logs", logs_);
    logs_.takes = false;
    logs_.files["events.log"] = std::string(100'000, 'e') + "end";
    user_.identity.user.Assign("admin");
    user_.identity.role = config::Role::kAdministrator;
  }
  // What a client sends in full, as the channel would feed it; returns all output.
  std::string Run(FileEngine& engine, std::string input) {
    std::string output;
    for (int turn = 0, idle = 0; turn < 100'000 && idle < 1000; ++turn) {
      const size_t taken = engine.Feed(AsBytes(input));
      input.erase(0, taken);
      engine.Poll();
      const auto ready = engine.Output();
      output.append(reinterpret_cast<const char*>(ready.data()), ready.size());
      engine.Consume(ready.size());
      idle = taken == 0 && ready.empty() ? idle + 1 : 0;
    }
    return output;
  }

  store::FakeClock clock_;
  gh::test::Memory memory_;
  Arena arena_;
  log::Log log_;
  MemoryFolder upgrade_, logs_;
  FileService files_{log_, clock_};
  FileUser user_;
};

std::string U32(uint32_t value) {
  std::string text(4, '\0');
  for (int i = 0; i < 4; ++i) {
    text[static_cast<size_t>(i)] = static_cast<char>(value >> (24 - 8 * i));
  }
  return text;
}
std::string Str(std::string_view text) {
  return U32(static_cast<uint32_t>(text.size())) + std::string(text);
}
std::string U64(uint64_t value) {
  return U32(static_cast<uint32_t>(value >> 32)) + U32(static_cast<uint32_t>(value));
}
std::string Packet(uint8_t type, const std::string& body) {
  return U32(static_cast<uint32_t>(body.size() + 1)) + static_cast<char>(type) + body;
}

struct Reply {
  uint8_t type = 0;
  std::string body;  // behind the id
  uint32_t code() const { return static_cast<uint8_t>(body.at(3)); }
};
std::vector<Reply> Split(const std::string& output) {
  std::vector<Reply> replies;
  for (size_t at = 0; at + 5 <= output.size();) {
    ByteReader reader(AsBytes(std::string_view(output).substr(at)));
    const uint32_t size = reader.U32Be();
    const uint8_t type = reader.U8();
    replies.push_back({type, output.substr(at + 9, size < 5 ? 0 : size - 5)});
    at += 4 + size;
  }
  return replies;
}

class SftpTest : public FilesTest {
 protected:
  SftpTest() {
    server_->Start(user_);
    const std::string version = Run(*server_, Packet(1, U32(3)));
    EXPECT_THAT(version, HasSubstr("limits@openssh.com"));
  }
  std::vector<Reply> Ask(const std::string& packets) { return Split(Run(*server_, packets)); }
  std::unique_ptr<SftpServer> server_ = std::make_unique<SftpServer>(files_);
};

TEST_F(FilesTest, PathsAreMadePlainAndBounded) {
  FixedString<kFilePathMax> out;
  const auto plain = [&](std::string_view path) {
    return FileService::Normalise(path, out).ok() ? std::string(out.view()) : "refused";
  };
  EXPECT_EQ(plain(""), "/");
  EXPECT_EQ(plain("."), "/");
  EXPECT_EQ(plain("/../.."), "/");
  EXPECT_EQ(plain("logs/./events.log"), "/logs/events.log");
  EXPECT_EQ(plain("/logs/../upgrade//x"), "/upgrade/x");
  EXPECT_EQ(plain("/logs/a b"), "refused");
  EXPECT_EQ(plain(std::string("/a\0b", 4)), "refused");
  EXPECT_EQ(plain("/" + std::string(kFilePathMax - 1, 'x')), "/" + std::string(127, 'x'));
  EXPECT_EQ(plain("/" + std::string(kFilePathMax, 'x')), "refused");
}

TEST_F(FilesTest, RolesAreEnforced) {
  user_.identity.role = config::Role::kReadOnly;
  EXPECT_EQ(files_.OpenWrite("/upgrade/x", 0, user_).code(), ErrorCode::kPermissionDenied);
  EXPECT_EQ(files_.Remove("/logs/events.log", user_).code(), ErrorCode::kPermissionDenied);
  EXPECT_TRUE(files_.OpenRead("/logs/events.log", user_).ok());
  user_.identity.user.Clear();
  EXPECT_EQ(files_.OpenRead("/logs/events.log", user_).code(), ErrorCode::kPermissionDenied);
}

TEST_F(FilesTest, OneWriterAFolderAndABoundOnOpenFiles) {
  const auto first = files_.OpenWrite("/upgrade/x", 5, user_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(files_.OpenWrite("/upgrade/y", 5, user_).code(), ErrorCode::kWrongState);
  for (uint32_t i = 1; i < kOpenFileMax; ++i) {
    ASSERT_TRUE(files_.OpenRead("/logs/events.log", user_).ok()) << i;
  }
  EXPECT_EQ(files_.OpenRead("/logs/events.log", user_).code(), ErrorCode::kExhausted);
  files_.Abort(*first);
  EXPECT_EQ(upgrade_.aborted, "the connection ended");
  EXPECT_TRUE(files_.OpenWrite("/upgrade/y", 5, user_).ok());
  EXPECT_EQ(files_.Close(*first).code(), ErrorCode::kInvalidArgument) << "an old handle";
}

TEST_F(SftpTest, FetchesAFileByPipelinedReads) {
  auto replies = Ask(Packet(3, U32(7) + Str("/logs/events.log") + U32(1) + U32(0)));
  ASSERT_EQ(replies[0].type, 102);
  std::string reads;
  for (uint32_t i = 0; i < 5; ++i) {
    reads += Packet(5, U32(i) + replies[0].body + U64(i * 32768ull) + U32(32768));
  }
  std::string got;
  replies = Ask(reads);
  ASSERT_EQ(replies.size(), 5u);
  for (const Reply& reply : replies) {
    if (reply.type == 103) {
      got += reply.body.substr(4);
    }
  }
  EXPECT_EQ(got, logs_.files["events.log"]);
  EXPECT_EQ(replies[4].type, 101);
  EXPECT_EQ(replies[4].code(), 1u) << "end of file";
}

TEST_F(SftpTest, ReadsBeginAnywhereAndInAnyOrder) {
  std::string& text = logs_.files["events.log"];
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<char>('a' + i * i % 23);
  }
  auto replies = Ask(Packet(3, U32(7) + Str("/logs/events.log") + U32(1) + U32(0)));
  const std::string handle = replies[0].body;
  std::string reads;
  std::vector<uint64_t> offsets;
  for (uint32_t i = 0; i < 64; ++i) {  // as many as OpenSSH's client has under way
    offsets.push_back(i * 7919ull % text.size());
    reads += Packet(5, U32(i) + handle + U64(offsets.back()) + U32(1000));
  }
  replies = Ask(reads);
  ASSERT_EQ(replies.size(), 64u);
  for (size_t i = 0; i < replies.size(); ++i) {
    ASSERT_EQ(replies[i].type, 103) << i;
    EXPECT_EQ(replies[i].body.substr(4), text.substr(offsets[i], 1000)) << i;
  }
  // At the edges: the last byte, the end, and far behind it.
  EXPECT_EQ(Ask(Packet(5, U32(1) + handle + U64(text.size() - 1) + U32(9))).at(0).body.substr(4),
            text.substr(text.size() - 1));
  for (const uint64_t behind : {uint64_t{text.size()}, uint64_t{text.size()} + 1, ~uint64_t{0}}) {
    EXPECT_EQ(Ask(Packet(5, U32(1) + handle + U64(behind) + U32(9))).at(0).code(), 1u);
  }
}

TEST_F(SftpTest, AFileThatIsBeingMadeReadyIsWaitedFor) {
  logs_.opening = 30;
  const auto replies = Ask(Packet(3, U32(7) + Str("/logs/events.log") + U32(1) + U32(0)));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].type, 102);
  EXPECT_EQ(logs_.opening, 0);
}

TEST_F(SftpTest, BringsAFileToASlowDiskAndWaitsForItsEnd) {
  upgrade_.slowness = 7;
  upgrade_.pending = 20;
  auto replies = Ask(Packet(3, U32(7) + Str("/upgrade/image") + U32(0x1a) + U32(0)));
  ASSERT_EQ(replies[0].type, 102);
  const std::string data(32768, 'd');
  std::string packets = Packet(6, U32(1) + replies[0].body + U64(0) + Str(data)) +
                        Packet(6, U32(2) + replies[0].body + U64(32768) + Str("tail"));
  const std::string close = Packet(4, U32(3) + replies[0].body);
  replies = Ask(packets + close);
  ASSERT_EQ(replies.size(), 3u);
  for (const Reply& reply : replies) {
    EXPECT_EQ(reply.code(), 0u);
  }
  EXPECT_EQ(upgrade_.files["image"], data + "tail");
}

TEST_F(SftpTest, ARefusalReachesTheClientInWords) {
  upgrade_.refuse_at = 1000;
  auto replies = Ask(Packet(3, U32(7) + Str("/upgrade/image") + U32(0x1a) + U32(0)));
  replies = Ask(Packet(6, U32(1) + replies[0].body + U64(0) + Str(std::string(5000, 'x'))));
  EXPECT_EQ(replies[0].code(), 4u);
  EXPECT_THAT(replies[0].body, HasSubstr("the signature does not verify"));
}

TEST_F(SftpTest, ListsFoldersAndSaysWhatIsNotThere) {
  auto replies = Ask(Packet(11, U32(1) + Str("/")));
  ASSERT_EQ(replies[0].type, 102);
  const std::string handle = replies[0].body;
  replies = Ask(Packet(12, U32(2) + handle) + Packet(12, U32(3) + handle));
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_THAT(replies[0].body, HasSubstr("drwxr-xr-x 1 gatehouse gatehouse 0 upgrade"));
  EXPECT_THAT(replies[0].body, HasSubstr("dr-xr-xr-x 1 gatehouse gatehouse 0 logs"));
  EXPECT_EQ(replies[1].code(), 1u);
  const auto code_of = [&](const std::string& packet) { return Ask(packet).at(0).code(); };
  EXPECT_EQ(code_of(Packet(17, U32(1) + Str("/logs/none"))), 2u);
  EXPECT_EQ(code_of(Packet(17, U32(1) + Str("/none/none"))), 2u);
  EXPECT_EQ(code_of(Packet(3, U32(1) + Str("/logs/x") + U32(0x1a) + U32(0))), 3u);
  EXPECT_EQ(code_of(Packet(14, U32(1) + Str("/logs/x") + U32(0))), 3u);
  EXPECT_EQ(code_of(Packet(18, U32(1) + Str("/logs/a") + Str("/logs/b"))), 3u);
  EXPECT_EQ(code_of(Packet(20, U32(1) + Str("/logs/a") + Str("/logs/b"))), 8u);
  EXPECT_EQ(code_of(Packet(99, U32(1))), 8u);
  EXPECT_EQ(code_of(Packet(13, U32(1) + Str("/logs/events.log"))), 0u);
  EXPECT_TRUE(logs_.files.empty());
}

TEST_F(SftpTest, HandlesAreBoundedAndFreedByTheEnd) {
  std::string opens;
  for (uint32_t i = 0; i <= kSftpHandleMax; ++i) {
    opens += Packet(3, U32(i) + Str("/logs/events.log") + U32(1) + U32(0));
  }
  const auto replies = Ask(opens);
  ASSERT_EQ(replies.size(), kSftpHandleMax + 1);
  EXPECT_EQ(replies[kSftpHandleMax - 1].type, 102);
  EXPECT_EQ(replies[kSftpHandleMax].type, 101);
  EXPECT_EQ(files_.open_count(), kSftpHandleMax);
  server_->Close();
  EXPECT_EQ(files_.open_count(), 0u);
}

TEST_F(SftpTest, AnyWayBytesArriveIsTheSame) {
  const std::string packets = Packet(16, U32(1) + Str("..")) + Packet(17, U32(2) + Str("/logs"));
  const std::string whole = Run(*server_, packets);
  std::string pieces;
  for (char c : packets) {
    pieces += Run(*server_, std::string(1, c));
  }
  EXPECT_EQ(whole, pieces);
}

TEST_F(SftpTest, AnOversizedPacketEndsIt) {
  Run(*server_, U32(34 * 1024 - 4));
  EXPECT_FALSE(server_->is_done());
  server_->Start(user_);
  Run(*server_, U32(34 * 1024 - 3));
  EXPECT_TRUE(server_->is_done());
  EXPECT_EQ(server_->exit_status(), 1u);
}

// --- SCP ----------------------------------------------------------------------------------------

class ScpTest : public FilesTest {
 protected:
  std::string Scp(const std::string& command_line, const std::string& input) {
    const auto command = ScpServer::Parse(command_line);
    EXPECT_TRUE(command.has_value());
    server_->Start(*command, user_);
    return Run(*server_, input);
  }
  std::unique_ptr<ScpServer> server_ = std::make_unique<ScpServer>(files_);
};

TEST_F(ScpTest, CommandLines) {
  EXPECT_FALSE(ScpServer::Parse("xStatus System").has_value());
  EXPECT_FALSE(ScpServer::Parse("scp /logs/x").has_value());
  const auto sink = ScpServer::Parse("scp -v -d -t -- '/upgrade'");
  ASSERT_TRUE(sink.has_value());
  EXPECT_FALSE(sink->sends);
  EXPECT_TRUE(sink->is_folder);
  EXPECT_EQ(sink->path.view(), "/upgrade");
  const auto source = ScpServer::Parse("scp -pf /logs/events.log");
  ASSERT_TRUE(source.has_value());
  EXPECT_TRUE(source->sends);
}

TEST_F(ScpTest, BringsAFile) {
  upgrade_.slowness = 5;
  upgrade_.pending = 9;
  const std::string data(30'000, 'd');
  const std::string output =
      Scp("scp -t /upgrade", "T1 0 1 0\nC0644 30000 image.bin\n" + data + std::string(1, '\0'));
  EXPECT_EQ(output, std::string(4, '\0'));
  EXPECT_EQ(upgrade_.files["image.bin"], data);
  EXPECT_EQ(upgrade_.announced, 30'000u);
  server_->FeedEnd();
  EXPECT_TRUE(server_->is_done());
  EXPECT_EQ(server_->exit_status(), 0u);
}

TEST_F(ScpTest, FetchesAFile) {
  logs_.opening = 20;
  server_->Start(*ScpServer::Parse("scp -f /logs/events.log"), user_);
  std::string output = Run(*server_, std::string(1, '\0'));
  output += Run(*server_, std::string(2, '\0'));
  const std::string header = "C0644 100003 events.log\n";
  EXPECT_EQ(output, header + logs_.files["events.log"] + std::string(1, '\0'));
  EXPECT_TRUE(server_->is_done());
  EXPECT_EQ(server_->exit_status(), 0u);
  EXPECT_EQ(files_.open_count(), 0u);
}

TEST_F(ScpTest, FaultsEndItInWords) {
  EXPECT_THAT(Scp("scp -f /logs/none", std::string(1, '\0')), HasSubstr("there is no such file"));
  EXPECT_EQ(server_->exit_status(), 1u);
  EXPECT_THAT(Scp("scp -t /logs", "C0644 3 x\n"), HasSubstr("nothing is written"));
  EXPECT_THAT(Scp("scp -t /upgrade", "D0755 0 folder\n"), HasSubstr("folders are not taken"));
  EXPECT_THAT(Scp("scp -t /upgrade", "C0644 x name\n"), HasSubstr("not a file's line"));
  EXPECT_THAT(Scp("scp -t /upgrade", "C0644 1 ..\n"), HasSubstr("not a file's line"));
  EXPECT_THAT(Scp("scp -t /upgrade", "hello\n"), HasSubstr("not a request"));
  EXPECT_THAT(Scp("scp -t /upgrade", std::string(kScpLineMax + 1, 'C')),
              HasSubstr("a line is too long"));
  EXPECT_THAT(Scp("scp -t /upgrade", "C0644 3 x\nabc\1gone\n"), HasSubstr("given up"));
  EXPECT_EQ(upgrade_.aborted, "the connection ended");
  upgrade_.refuse_at = 1000;
  // Its sender hears only behind its last byte, and the zero that follows it.
  const std::string refused = "C0644 3000 x\n" + std::string(3000, 'x');
  EXPECT_EQ(Scp("scp -t /upgrade", refused), std::string(2, '\0'));
  EXPECT_THAT(Scp("scp -t /upgrade", refused + std::string(1, '\0')),
              HasSubstr("the signature does not verify"));
  EXPECT_EQ(files_.open_count(), 0u);
}

}  // namespace
}  // namespace gh::admin
