// A TPM that answers anything: the input is its answers, each behind a byte that says how long it
// is; to one that seals, and to one that opens. Whatever it says ends, with an error or a secret.
#include <algorithm>
#include <array>
#include <cstdint>

#include "crypto/tpm_seal.h"

namespace {

using namespace gh;

class InputTpm final : public hal::Tpm {
 public:
  explicit InputTpm(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  Result<std::span<const uint8_t>> Run(std::span<const uint8_t>) override {
    if (bytes_.empty()) {
      return Error(ErrorCode::kTimeout, "no more");
    }
    const size_t size = std::min<size_t>(bytes_[0], bytes_.size() - 1);
    const auto answer = bytes_.subspan(1, size);
    bytes_ = bytes_.subspan(1 + size);
    return answer;
  }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  const std::array<uint8_t, 32> secret = {1, 2, 3};
  std::array<uint8_t, crypto::kTpmSealedMax> sealed;
  InputTpm sealing(bytes);
  const auto done = crypto::TpmSeal(sealing, secret, sealed);
  GH_ASSERT(!done.ok() || *done <= sealed.size());
  InputTpm opening(bytes);
  std::array<uint8_t, 32> opened;
  (void)crypto::TpmUnseal(opening, bytes.first(std::min<size_t>(size, 600)), opened);
  return 0;
}
