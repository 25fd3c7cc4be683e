// Stock SoftHSM behind stock `p11-kit remote`, as a process at the other end of a socket: what the
// RPC client speaks to on a real host. A token of its own in a temporary folder.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "hal/token_link.h"

namespace gh::test {

inline constexpr const char* kSoftHsm = "/usr/lib/softhsm/libsofthsm2.so";

inline int RunProgram(const std::string& command) { return std::system(command.c_str()); }

class SoftHsm final : public hal::TokenLink {
 public:
  explicit SoftHsm(const std::string& label = "gatehouse", const std::string& pin = "1234") {
    char name[] = "/tmp/gh-hsm-XXXXXX";
    folder_ = mkdtemp(name);
    std::ofstream(folder_ + "/softhsm2.conf")
        << "directories.tokendir = " << folder_ << "\nobjectstore.backend = file\n"
        << "log.level = ERROR\n";
    environment_ = "SOFTHSM2_CONF=" + folder_ + "/softhsm2.conf ";
    is_set_up_ = RunProgram(environment_ + "softhsm2-util --init-token --free --label " + label +
                            " --pin " + pin + " --so-pin 12345678 >/dev/null 2>&1") == 0;
  }
  ~SoftHsm() {
    Stop();
    std::filesystem::remove_all(folder_);
  }
  bool is_set_up() const { return is_set_up_; }
  const std::string& environment() const { return environment_; }

  void Start() {
    Stop();
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      return;
    }
    process_ = fork();
    if (process_ == 0) {
      dup2(ends[1], 0);
      dup2(ends[1], 1);
      setenv("SOFTHSM2_CONF", (folder_ + "/softhsm2.conf").c_str(), 1);
      execlp("p11-kit", "p11-kit", "remote", kSoftHsm, nullptr);
      _exit(1);
    }
    close(ends[1]);
    fd_ = ends[0];
    fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  // As a power cut of the HSM.
  void Stop() {
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
      process_ = -1;
    }
    Close();
  }
  void Pause(bool paused) { kill(process_, paused ? SIGSTOP : SIGCONT); }
  // What pkcs11-tool of OpenSC says.
  std::string Tool(const std::string& arguments) {
    const std::string out = folder_ + "/tool.txt";
    RunProgram(environment_ + "pkcs11-tool --module " + kSoftHsm + " --login --pin 1234 " +
               arguments + " >" + out + " 2>&1");
    return Contents(out);
  }
  // What the openssl program says of a signature.
  std::string Verify(std::span<const uint8_t> public_key, std::span<const uint8_t> digest,
                     std::span<const uint8_t> signature, const std::string& options) {
    Save("public.der", public_key);
    Save("digest", digest);
    Save("signature", signature);
    RunProgram("cd " + folder_ + " && openssl pkeyutl -verify -pubin -keyform DER " +
               "-inkey public.der -in digest -sigfile signature " + options + " >said 2>&1");
    return Contents(folder_ + "/said");
  }

  bool connected() const override { return fd_ >= 0; }
  uint32_t Read(std::span<uint8_t> out) override {
    if (fd_ < 0 || out.empty()) {
      return 0;
    }
    const ssize_t count = recv(fd_, out.data(), out.size(), 0);
    if (count == 0) {
      Close();
    }
    return count > 0 ? static_cast<uint32_t>(count) : 0;
  }
  uint32_t Write(std::span<const uint8_t> data) override {
    if (fd_ < 0) {
      return 0;
    }
    const ssize_t count = send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
    return count > 0 ? static_cast<uint32_t>(count) : 0;
  }

 private:
  static std::string Contents(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Save(const char* name, std::span<const uint8_t> bytes) {
    std::ofstream(folder_ + "/" + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  void Close() {
    if (fd_ >= 0) {
      close(fd_);
      fd_ = -1;
    }
  }
  std::string folder_;
  std::string environment_;
  bool is_set_up_ = false;
  pid_t process_ = -1;
  int fd_ = -1;
};

}  // namespace gh::test
