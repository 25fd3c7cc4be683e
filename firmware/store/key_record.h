// The store's master key on the disk: made once at random, kept wrapped, destroyed by a factory
// reset before anything else (boot/chain.h).
//
// Two copies in an area of a block device: the boot state partition's store-key area, or, on boards
// without one, the store partition's reserved bytes. A copy is one block of 4 KiB, little-endian:
//
//   "GHKEY001" | u32 wrapper kind | u64 generation | u16 size | wrapped key | zeros | BLAKE2b-256
//
// The newer valid copy counts. A new wrapping goes to the older copy first, is flushed, and then
// replaces the other: a power cut leaves a key that opens, and at the end the old wrapping is gone.
//
// Who wraps is a seam: KeyWrapper. New keys lie beside the store they seal (NoWrapper): destroying
// works, and a disk taken without its boot state partition tells nothing; whoever takes the whole
// disk has both. An operator has the key wrapped by a key of the HSM (firmware/hsm/store_key.h);
// or by the machine's TPM (firmware/hsm/tpm_store_key.h); `openers` open that at the start.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/random.h"
#include "firmware/store/limits.h"
#include "hal/block_device.h"
#include "hal/rt/arena.h"
#include "hal/rt/result.h"
#include "hal/rt/secret.h"

namespace gh::store {

using KeyBytes = SecretBytes<kStoreKeyBytes>;

class KeyWrapper {
 public:
  virtual uint32_t kind() const = 0;     // stable, on the disk; 0 is NoWrapper
  virtual const char* name() const = 0;  // "TPM 2.0"
  // Returns how much of `out` (kWrappedKeyMax) was filled.
  virtual Result<size_t> Wrap(const KeyBytes& key, std::span<uint8_t> out) = 0;
  virtual Result<void> Unwrap(std::span<const uint8_t> wrapped, KeyBytes& key) = 0;

 protected:
  ~KeyWrapper() = default;
};

class NoWrapper final : public KeyWrapper {
 public:
  uint32_t kind() const override { return 0; }
  const char* name() const override { return "none"; }
  Result<size_t> Wrap(const KeyBytes& key, std::span<uint8_t> out) override;
  Result<void> Unwrap(std::span<const uint8_t> wrapped, KeyBytes& key) override;
};

struct KeyRecord {
  uint32_t wrapper = 0;
  uint64_t generation = 0;
  uint16_t size = 0;
  std::array<uint8_t, kWrappedKeyMax> wrapped = {};
};
// `block`: kKeyCopyBytes.
void EncodeKeyRecord(const KeyRecord& record, std::span<uint8_t> block);
Result<KeyRecord> DecodeKeyRecord(std::span<const uint8_t> block);

// Who opens keys that an operator had wrapped, each of its kind; null: none.
using KeyOpeners = std::array<KeyWrapper*, 2>;

class StoreKey {
 public:
  // `offset`: of kKeyAreaBytes on `device`, a multiple of 4096.
  StoreKey(Arena& arena, hal::BlockDevice& device, uint64_t offset, crypto::Random& random,
           KeyWrapper& wrapper, const KeyOpeners& openers = {});
  StoreKey(const StoreKey&) = delete;
  StoreKey& operator=(const StoreKey&) = delete;

  // kNotFound: there is no key. kUnauthentic: there is one that the wrapper does not open. A key
  // that is not wrapped yet is wrapped now when there is a wrapper.
  Result<void> Load();
  // A new key; the old one is gone when this returns.
  Result<void> Create();
  // Wraps the key anew (another wrapper, or the same one in another state).
  Result<void> Wrap(KeyWrapper& wrapper);
  // Of a key that Load could not open: `by` opens it, from then on nobody wraps it.
  Result<void> Recover(KeyWrapper& by);
  // What is on the disk now.
  Result<void> ReadRecord(KeyRecord& record) { return ReadNewest(record); }
  bool is_loaded() const { return is_loaded_; }
  const char* wrapper_name() const { return wrapper_name_; }
  uint32_t wrapper_kind() const { return wrapper_kind_; }
  void CopyTo(KeyBytes& out) const {
    GH_ASSERT(is_loaded_);
    out.Set(key_.Expose());
  }
  // A key of its own for each use; `purpose` has at most 32 bytes.
  void Derive(std::string_view purpose, KeyBytes& out) const;

 private:
  Result<void> ReadCopy(uint32_t copy);
  Result<void> ReadNewest(KeyRecord& newest);
  Result<void> WriteCopies(KeyWrapper& wrapper);

  hal::BlockDevice& device_;
  const uint64_t offset_;
  crypto::Random& random_;
  KeyWrapper& wrapper_;
  const KeyOpeners openers_;
  NoWrapper none_;
  const char* wrapper_name_ = "none";
  uint32_t wrapper_kind_ = 0;
  std::span<uint8_t> block_;
  KeyBytes key_;
  uint64_t generation_ = 0;
  uint32_t newest_ = 1;
  bool is_loaded_ = false;
};

}  // namespace gh::store
