// A PKCS #11 module of this machine (--token-module PATH), behind the seam of cryptoki.h.
//
// The module is loaded (dlopen, C_GetFunctionList) by a process of its own, out/host/gatehouse-hsm:
// it may be slow, hang, crash, allocate and open files as it likes, and the appliance keeps its
// sandbox, its sealed memory and its turns. That process is started before the sandbox, outlives
// restarts of the appliance, and ends with the last of them.
//
// Losing the module (Reset, or its end) fails every call under way; a new process takes its place.
#pragma once

#include <array>

#include "board/host/idle.h"
#include "board/host/module_wire.h"
#include "crypto/cryptoki.h"

namespace gh::board {

inline constexpr uint32_t kModuleCallsMax = 8;

struct ModuleDescriptors {
  int calls = -1;    // datagrams of module_wire.h
  int control = -1;  // a generation (u32): begin anew
};

// Starts the process of `module`. `program`: gatehouse-hsm; empty: it lies beside ours.
Result<void> StartModuleProcess(const char* program, const char* module, ModuleDescriptors& out);

class TokenModule final : public crypto::pkcs11::Provider, public PollSource {
 public:
  explicit TokenModule(const ModuleDescriptors& descriptors) : descriptors_(descriptors) {}
  TokenModule(const TokenModule&) = delete;
  TokenModule& operator=(const TokenModule&) = delete;

  bool Start(crypto::pkcs11::Call& call, Instant now) override;
  void Forget(crypto::pkcs11::Call& call) override;
  bool Poll(Instant now) override;
  bool is_connected() const override { return is_up_; }
  Instant waiting_since() const override;
  void Reset(const Error& why) override;

  int poll_fd() const override { return is_over_ ? -1 : descriptors_.calls; }
  int16_t poll_events() const override;

 private:
  struct UnderWay {
    uint32_t code = 0;
    crypto::pkcs11::Call* call = nullptr;  // null: forgotten
    Instant started;
  };
  void AskForNewProcess();
  void FailAll(const Error& why);
  void Take(const WireAnswer& answer);

  const ModuleDescriptors descriptors_;
  uint32_t generation_ = 0;  // 0: none was asked for yet
  bool is_up_ = false;
  bool is_over_ = false;  // whoever starts that process is gone: it does not come back
  uint32_t next_code_ = 1;
  std::array<UnderWay, kModuleCallsMax> under_way_ = {};  // in order
  uint32_t under_way_count_ = 0;
  WireCall out_;
  WireAnswer in_;
};

}  // namespace gh::board
