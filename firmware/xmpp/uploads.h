// Files that users leave for others (XEP-0363): who may leave what, for how long, at which address.
//
// A slot is a file whose room is taken and which is not written yet. Its address for reading has
// 128 random bits and nothing else that protects it: who was told it may read. Its address for
// writing has a proof besides, made with a key of this run, and serves once. Web (web.h) moves the
// bytes; files/sealed_files.h keeps them.
//
// Fault model: users ask for more than there is, and leave what they please: a file is told to
// browsers as something to be stored, pictures and sound apart, never as a page of ours.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "crypto/random.h"
#include "firmware/files/sealed_files.h"
#include "firmware/xmpp/limits.h"
#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"

namespace gh::xmpp {

struct UploadConfig {
  bool enabled = false;
  FixedString<127> host;  // in addresses; empty: the user's domain
  uint16_t port = 0;
  uint64_t size_max = 0;  // bytes: of a file, of a user's files, of all
  uint64_t user_max = 0;
  uint64_t total_max = 0;
  int64_t keep_s = 0;
};

struct UploadCounters {
  uint64_t slots = 0;
  uint64_t kept = 0;
  uint64_t fetched = 0;
  uint64_t refused = 0;
};

class UploadObserver {
 public:
  virtual void OnFileKept(std::string_view user, uint64_t bytes, std::string_view client) = 0;
  virtual void OnFileRefused(std::string_view user, const char* reason) = 0;

 protected:
  ~UploadObserver() = default;
};

class Uploads {
 public:
  static constexpr std::string_view kPath = "/upload/";
  enum class Answer : uint8_t { kYes, kMalformed, kTooLarge, kQuota, kBusy };
  struct Wish {
    std::string_view owner;  // user@domain, of ours
    std::string_view domain;
    std::string_view name;
    std::string_view type;
    uint64_t size = 0;
  };
  struct Slot {
    FixedString<640> put;
    FixedString<560> get;
  };

  Uploads(files::SealedFiles& files, crypto::Random& random, UploadObserver& observer);
  Uploads(const Uploads&) = delete;
  Uploads& operator=(const Uploads&) = delete;

  void Apply(const UploadConfig& config) { config_ = config; }
  const UploadConfig& config() const { return config_; }
  bool is_on() const { return config_.enabled && files_.is_open(); }

  Answer Ask(const Wish& wish, int64_t now_s, Slot& out);
  // The file an address names ("/upload/<id>/<name>"); null: none.
  files::File* Find(std::string_view path);
  // For writing, for as long as it will stay. Null: it is written already, or too many are at once.
  files::Transfer* Write(files::File& file, files::TransferOwner& owner, int64_t now_s);
  // Whether the query of an address proves that its file may be written.
  bool MayWrite(const files::File& file, std::string_view query) const;
  void OnKept(const files::File& file, std::string_view client);
  void OnFetched() { ++counters_.fetched; }
  // It did not come; its slot may be used again.
  void OnBroken(files::File& file, const char* reason);
  // Slots nobody used, and files whose time is over.
  void Expire(int64_t now_s) { files_.Expire(now_s); }
  // All of one user's; empty: of all.
  uint32_t Purge(std::string_view owner);

  files::SealedFiles& files() { return files_; }
  const UploadCounters& counters() const { return counters_; }

  // How a file is told to who fetches it: its type if browsers do nothing with it but show it.
  static std::string_view TypeOf(const files::File& file);
  static bool IsShown(const files::File& file);

 private:
  struct Sum {
    uint64_t bytes = 0;
    uint32_t slots = 0;
  };
  Answer Refuse(std::string_view owner, Answer answer, const char* reason);
  void WriteProof(const files::File& file, ByteWriter& out) const;

  files::SealedFiles& files_;
  crypto::Random& random_;
  UploadObserver& observer_;
  UploadConfig config_;
  std::array<uint8_t, 32> secret_ = {};
  UploadCounters counters_;
};

}  // namespace gh::xmpp
