// Sealing against a stock TPM (swtpm's): what it sealed it opens again, another does not, nor what
// was changed; it has no objects left behind; and against a TPM that answers anything.
#include "crypto/tpm_seal.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace gh::crypto {
namespace {

// swtpm at a Unix socket: raw commands. A state of its own, made anew.
class SwTpm final : public hal::Tpm {
 public:
  SwTpm() {
    char name[] = "/tmp/gh-tpm-XXXXXX";
    folder_ = mkdtemp(name);
    process_ = fork();
    if (process_ == 0) {
      const std::string state = "dir=" + folder_;
      const std::string server = "type=unixio,path=" + folder_ + "/s";
      execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state.c_str(), "--server",
             server.c_str(), "--flags", "startup-clear,not-need-init", nullptr);
      _exit(1);
    }
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    (folder_ + "/s").copy(address.sun_path, sizeof(address.sun_path) - 1);
    for (int i = 0; i < 500 && fd_ < 0; ++i) {
      fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
        close(fd_);
        fd_ = -1;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    }
  }
  ~SwTpm() {
    close(fd_);
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    std::filesystem::remove_all(folder_);
  }
  bool is_there() const { return fd_ >= 0; }

  Result<std::span<const uint8_t>> Run(std::span<const uint8_t> command) override {
    if (send(fd_, command.data(), command.size(), MSG_NOSIGNAL) < 0) {
      return Error(ErrorCode::kIoError, "swtpm is gone");
    }
    pollfd wait = {fd_, POLLIN, 0};
    if (poll(&wait, 1, 20000) != 1) {
      return Error(ErrorCode::kTimeout, "swtpm does not answer");
    }
    const ssize_t count = recv(fd_, answer_.data(), answer_.size(), 0);
    return std::span<const uint8_t>(answer_).first(
        static_cast<size_t>(std::max<ssize_t>(count, 0)));
  }

 private:
  std::string folder_;
  pid_t process_ = -1;
  int fd_ = -1;
  std::array<uint8_t, 4096> answer_ = {};
};

using Secret = std::array<uint8_t, 32>;

Secret Sample() {
  Secret secret;
  for (size_t i = 0; i < secret.size(); ++i) {
    secret[i] = static_cast<uint8_t>(7 * i + 1);
  }
  return secret;
}

std::vector<uint8_t> Sealed(hal::Tpm& tpm) {
  std::vector<uint8_t> bytes(kTpmSealedMax);
  const auto size = TpmSeal(tpm, Sample(), bytes);
  EXPECT_TRUE(size.ok()) << size.error().what;
  bytes.resize(size.ok() ? *size : 0);
  return bytes;
}

TEST(TpmSeal, OpensWhatItSealedAgainAndAgain) {
  SwTpm tpm;
  ASSERT_TRUE(tpm.is_there()) << "swtpm is missing";
  for (int i = 0; i < 6; ++i) {  // more often than it has room for objects that are left behind
    const auto sealed = Sealed(tpm);
    const Secret secret = Sample();
    EXPECT_EQ(std::search(sealed.begin(), sealed.end(), secret.begin(), secret.end()),
              sealed.end());
    Secret opened = {};
    const auto done = TpmUnseal(tpm, sealed, opened);
    ASSERT_TRUE(done.ok()) << done.error().what;
    EXPECT_EQ(opened, secret);
  }
}

TEST(TpmSeal, AnotherTpmDoesNotOpenIt) {
  SwTpm tpm;
  SwTpm other;
  ASSERT_TRUE(tpm.is_there() && other.is_there());
  const auto sealed = Sealed(tpm);
  Secret opened = {};
  EXPECT_EQ(TpmUnseal(other, sealed, opened).code(), ErrorCode::kUnauthentic);
  EXPECT_EQ(opened, Secret{});
  EXPECT_TRUE(TpmUnseal(tpm, sealed, opened).ok());
}

TEST(TpmSeal, WhatWasChangedIsRefused) {
  SwTpm tpm;
  ASSERT_TRUE(tpm.is_there());
  const auto sealed = Sealed(tpm);
  Secret opened = {};
  for (size_t i = 0; i < sealed.size(); i += 13) {
    auto damaged = sealed;
    damaged[i] ^= 0x10;
    EXPECT_FALSE(TpmUnseal(tpm, damaged, opened).ok()) << "byte " << i;
  }
  EXPECT_FALSE(TpmUnseal(tpm, std::span(sealed).first(sealed.size() - 1), opened).ok());
  EXPECT_FALSE(TpmUnseal(tpm, {}, opened).ok());
  const std::vector<uint8_t> huge(kTpmSealedMax + 1);
  EXPECT_EQ(TpmUnseal(tpm, huge, opened).code(), ErrorCode::kUnauthentic);
  EXPECT_TRUE(TpmUnseal(tpm, sealed, opened).ok());
}

// Answers from a script; then nothing.
class ScriptedTpm final : public hal::Tpm {
 public:
  explicit ScriptedTpm(std::vector<std::vector<uint8_t>> answers) : answers_(std::move(answers)) {}
  Result<std::span<const uint8_t>> Run(std::span<const uint8_t>) override {
    if (at_ == answers_.size()) {
      return Error(ErrorCode::kTimeout, "the TPM does not answer");
    }
    return std::span<const uint8_t>(answers_[at_++]);
  }

 private:
  std::vector<std::vector<uint8_t>> answers_;
  size_t at_ = 0;
};

TEST(TpmSeal, NonsenseIsAnErrorAndNotAKey) {
  const std::vector<std::vector<std::vector<uint8_t>>> scripts = {
      {},
      {{}},
      {{0x80, 0x02, 0, 0, 0, 9, 0, 0, 0}},
      {{0x80, 0x01, 0, 0, 0, 10, 0, 0, 1, 0}},                             // refused
      {{0x80, 0x02, 0, 0, 0, 14, 0, 0, 0, 0, 0x80, 0, 0, 0}},              // no parameters
      {{0x80, 0x02, 0, 0, 0, 18, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 9}},  // shorter than it says
      {{0x80, 0x02, 0, 0, 0, 18, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0},   // a key, then nothing
       {0x80, 0x02, 0, 0, 0, 14, 0, 0, 0, 0, 0, 0, 0, 0}},
  };
  for (const auto& script : scripts) {
    ScriptedTpm tpm(script);
    std::array<uint8_t, kTpmSealedMax> out;
    EXPECT_FALSE(TpmSeal(tpm, Sample(), out).ok());
    ScriptedTpm again(script);
    Secret opened = {};
    EXPECT_FALSE(TpmUnseal(again, std::array<uint8_t, 4>{}, opened).ok());
  }
}

}  // namespace
}  // namespace gh::crypto
