// The backup file. Any bytes; when the first byte is odd, the rest becomes the inside of a chunk
// that authenticates, so that rows are fuzzed too and not only the header.
#include <algorithm>
#include <vector>

#include "crypto/aead.h"
#include "crypto/init.h"
#include "firmware/admin/backup_file.h"
#include "hal/entropy.h"
#include "hal/rt/assert.h"

namespace {

class StillEntropy final : public gh::hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override { std::fill(out.begin(), out.end(), uint8_t{7}); }
  const char* source() const override { return "still"; }
};

class OneRow final : public gh::admin::BackupSource {
 public:
  explicit OneRow(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  gh::Result<bool> NextRow(gh::ByteWriter& path, gh::ByteWriter& value) override {
    if (bytes_.empty()) {
      return false;
    }
    const size_t size = std::min<size_t>(bytes_[0], bytes_.size() - 1);
    path.Bytes(bytes_.subspan(1, size / 2));
    value.Bytes(bytes_.subspan(1 + size / 2, size - size / 2));
    bytes_ = bytes_.subspan(1 + size);
    return true;
  }

 private:
  std::span<const uint8_t> bytes_;
};

class Visitor final : public gh::admin::BackupVisitor {
 public:
  gh::Result<void> OnRow(std::string_view path, std::span<const uint8_t> value) override {
    total += path.size() + value.size();
    return gh::Ok();
  }
  size_t total = 0;
};

struct Scene {
  Scene() : memory(1u << 20), arena({memory.data(), memory.size()}) {
    gh::crypto::Initialise();
    hasher = arena.New<gh::crypto::PasswordHasher>(arena, gh::crypto::PasswordCost{64, 1});
    codec = arena.New<gh::admin::BackupCodec>(*hasher, random);
  }
  std::vector<uint8_t> memory;
  gh::Arena arena;
  StillEntropy entropy;
  gh::crypto::Random random{entropy};
  gh::crypto::PasswordHasher* hasher = nullptr;
  gh::admin::BackupCodec* codec = nullptr;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* scene = new Scene();
  const std::span<const uint8_t> bytes(data, size);
  Visitor visitor;
  if (size == 0) {
    return 0;
  }
  if ((data[0] & 1) == 0) {
    scene->codec->Read("password", bytes.subspan(1), visitor).value_or({});
    return 0;
  }
  std::vector<uint8_t> file(256 * 1024);
  OneRow source(bytes.subspan(1));
  uint32_t rows = 0;
  const auto written = scene->codec->Write("password", 1, source, file, rows);
  if (!written.ok()) {
    return 0;
  }
  const auto read = scene->codec->Read("password", std::span(file).first(*written), visitor);
  GH_ASSERT(read.ok() && read->rows == rows);
  return 0;
}
