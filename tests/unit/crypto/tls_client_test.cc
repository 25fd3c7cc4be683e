// The TLS client against OpenSSL's server: versions, pinning, damage on the wire, memory.
#include "crypto/tls_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "hal/rt/bytes.h"
#include "tests/unit/crypto/doubles.h"
#include "tests/unit/crypto/hex.h"

namespace gh::crypto {
namespace {

// A folder with a key and a certificate, and `openssl s_server -rev` (it sends lines back
// reversed).
class TlsClientTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new std::string("/tmp/gatehouse-tls-XXXXXX");
    ASSERT_NE(mkdtemp(folder_->data()), nullptr);
    const std::string make = "cd " + *folder_ +
                             " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
                             "-nodes -subj /CN=test -days 2 -keyout key -out cert 2>/dev/null && "
                             "openssl x509 -in cert -outform DER -out der";
    ASSERT_EQ(std::system(make.c_str()), 0);
    std::ifstream file(*folder_ + "/der", std::ios::binary);
    const std::string der((std::istreambuf_iterator<char>(file)), {});
    fingerprint_ = Sha256::Of(std::string_view(der));
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(std::system(("rm -r " + *folder_).c_str()), 0);
    delete folder_;
  }

  void TearDown() override {
    if (server_ > 0) {
      kill(server_, SIGKILL);
      waitpid(server_, nullptr, 0);
    }
    if (socket_ >= 0) {
      close(socket_);
    }
    client_.Reset();
    EXPECT_EQ(heap_.used_bytes(), 0u);
  }

  void Serve(std::vector<const char*> more) {
    const int probe = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(bind(probe, reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
    socklen_t size = sizeof(at);
    getsockname(probe, reinterpret_cast<sockaddr*>(&at), &size);
    close(probe);
    const std::string port = std::to_string(ntohs(at.sin_port));
    std::vector<const char*> words = {"openssl", "s_server", "-accept", port.c_str(), "-rev",
                                      "-quiet",  "-cert",    "cert",    "-key",       "key"};
    words.insert(words.end(), more.begin(), more.end());
    words.push_back(nullptr);
    server_ = fork();
    if (server_ == 0) {
      const int null = open("/dev/null", O_RDWR);
      dup2(null, 0);
      dup2(null, 1);
      dup2(null, 2);
      if (chdir(folder_->c_str()) == 0) {
        execvp("openssl", const_cast<char* const*>(words.data()));
      }
      _exit(127);
    }
    for (int tries = 0; tries < 500; ++tries) {
      socket_ = socket(AF_INET, SOCK_STREAM, 0);
      if (connect(socket_, reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0) {
        return;
      }
      close(socket_);
      socket_ = -1;
      usleep(10'000);
    }
    FAIL() << "no server";
  }

  // Runs the session until `wanted` bytes of plain text came or it ended.
  Result<void> Run(std::string_view send, size_t wanted, size_t piece = 4096) {
    bool sent = false;
    for (;;) {
      while (!client_.output().empty()) {
        const ssize_t count = write(socket_, client_.output().data(), client_.output().size());
        if (count <= 0) {
          return ErrorCode::kClosed;
        }
        client_.ConsumeOutput(static_cast<size_t>(count));
      }
      if (client_.is_open() && !sent) {
        sent = true;
        if (auto written = client_.Write(AsBytes(send)); !written.ok()) {
          return written;
        }
        continue;
      }
      if (plain_.size() >= wanted && client_.is_open()) {
        return Ok();
      }
      pollfd waiting = {.fd = socket_, .events = POLLIN, .revents = 0};
      if (poll(&waiting, 1, 20'000) != 1) {
        return ErrorCode::kTimeout;
      }
      std::vector<uint8_t> bytes(piece);
      const ssize_t count = read(socket_, bytes.data(), bytes.size());
      if (count <= 0) {
        return ErrorCode::kClosed;
      }
      received_ += static_cast<size_t>(count);
      if (damage_at_ < received_ && damage_at_ >= received_ - static_cast<size_t>(count)) {
        bytes[damage_at_ - (received_ - static_cast<size_t>(count))] ^= 0x10;
      }
      std::span<const uint8_t> in(bytes.data(), static_cast<size_t>(count));
      for (;;) {
        uint8_t out[100];
        const auto got = client_.Read(in, out);
        if (!got.ok()) {
          return got.error();
        }
        plain_.append(reinterpret_cast<char*>(out), got.value());
        if (got.value() == 0) {
          break;
        }
      }
      EXPECT_TRUE(in.empty());
    }
  }

  static std::string* folder_;
  static CertificateFingerprint fingerprint_;
  alignas(16) uint8_t memory_[kTlsClientHeap];
  HeapOwner owners_[1];
  Heap heap_{memory_, owners_};
  SystemEntropy entropy_;
  Random random_{entropy_};
  WallClock clock_;
  TlsEnvironment environment_{heap_, random_, clock_};
  TlsClient client_{environment_};
  pid_t server_ = -1;
  int socket_ = -1;
  size_t received_ = 0;
  size_t damage_at_ = SIZE_MAX;
  std::string plain_;
};

std::string* TlsClientTest::folder_;
CertificateFingerprint TlsClientTest::fingerprint_;

TEST_F(TlsClientTest, SpeaksTls13) {
  Serve({"-tls1_3"});
  ASSERT_TRUE(client_.Start("a.example", fingerprint_).ok());
  EXPECT_EQ(client_.Write(AsBytes("early")).code(), ErrorCode::kWouldBlock);
  const auto done = Run("hello\n", 6);
  ASSERT_TRUE(done.ok()) << done.error().what;
  EXPECT_EQ(plain_, "olleh\n");
  EXPECT_STREQ(client_.version(), "TLSv1.3");
  EXPECT_LT(heap_.used_bytes_max(), kTlsClientHeap);
  RecordProperty("heap_bytes_max", static_cast<int>(heap_.used_bytes_max()));
}

TEST_F(TlsClientTest, SpeaksTls12ByteByByte) {
  Serve({"-tls1_2"});
  ASSERT_TRUE(client_.Start("192.0.2.1", fingerprint_).ok());
  const auto done = Run("hello\n", 6, 1);
  ASSERT_TRUE(done.ok()) << done.error().what;
  EXPECT_EQ(plain_, "olleh\n");
  EXPECT_STREQ(client_.version(), "TLSv1.2");
}

TEST_F(TlsClientTest, RefusesAnotherCertificateAndNamesIt) {
  Serve({});
  CertificateFingerprint other = fingerprint_;
  other[31] ^= 1;
  ASSERT_TRUE(client_.Start("a.example", other).ok());
  EXPECT_EQ(Run("secret\n", 1).code(), ErrorCode::kUnauthentic);
  EXPECT_EQ(client_.peer_fingerprint(), fingerprint_);
  EXPECT_FALSE(client_.is_open());
  EXPECT_EQ(client_.Write(AsBytes("secret\n")).code(), ErrorCode::kWrongState);
}

TEST_F(TlsClientTest, RefusesWhatIsNotModern) {
  for (const std::vector<const char*>& server :
       {std::vector<const char*>{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"},
        std::vector<const char*>{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"}}) {
    Serve(server);
    ASSERT_TRUE(client_.Start("a.example", fingerprint_).ok());
    EXPECT_FALSE(Run("hello\n", 6).ok());
    EXPECT_EQ(plain_, "");
    kill(server_, SIGKILL);
    waitpid(server_, nullptr, 0);
    close(socket_);
    server_ = socket_ = -1;
  }
}

TEST_F(TlsClientTest, SeesEveryDamagedByteOfTheFirstFlight) {
  // Every 37th byte of what the server sends: another session each.
  for (size_t at = 0; at < 900; at += 37) {
    Serve({"-tls1_3"});
    damage_at_ = at;
    received_ = 0;
    plain_.clear();
    ASSERT_TRUE(client_.Start("a.example", fingerprint_).ok());
    const auto done = Run("hello\n", 6);
    // Damage behind what the exchange needs (a ticket) cannot be met.
    if (received_ > at) {
      EXPECT_FALSE(done.ok() && plain_ != "olleh\n") << at;
    }
    EXPECT_TRUE(plain_.empty() || plain_ == "olleh\n") << at;
    kill(server_, SIGKILL);
    waitpid(server_, nullptr, 0);
    close(socket_);
    server_ = socket_ = -1;
  }
}

TEST_F(TlsClientTest, RunsOutOfMemoryInGoodOrder) {
  Serve({});
  uint32_t refused = 0;
  for (uint64_t limit = 1024; limit < kTlsClientHeap; limit += limit / 4) {
    heap_.SetOwnerLimit(0, limit);
    const auto started = client_.Start("a.example", fingerprint_);
    refused += started.ok() ? 0 : 1;
    client_.Reset();
    EXPECT_EQ(heap_.used_bytes(), 0u) << limit;
  }
  EXPECT_GT(refused, 5u);
  heap_.SetOwnerLimit(0, UINT64_MAX);
  ASSERT_TRUE(client_.Start("a.example", fingerprint_).ok());
  EXPECT_TRUE(Run("hello\n", 6).ok());
}

}  // namespace
}  // namespace gh::crypto
