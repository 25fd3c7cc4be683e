// Files on a part of a block device, sealed: written once from the first byte to the last, read as
// often as is liked, removed.
//
// The part is cut into chunks. A file is a list of chunks; the first block of the first is its
// head, which names the others. A block is sealed (XChaCha20-Poly1305) under the key it is opened
// with, for its file and its place: none can stand in for another. The head is written when all
// else is on the disk; a file is there when its head is. A head is erased, and that is on the disk,
// before its chunks are given to others.
//
// Nothing waits: blocks come and go while other work is done; whoever has a Transfer is told.
// Fault model: the part may hold anything, and lose what was not flushed; whatever does not open
// is not there. Without the key, which is the owner's to keep or to lose, no file is.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/random.h"
#include "firmware/files/limits.h"
#include "hal/block_device.h"
#include "hal/rt/arena.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/hash_table.h"
#include "hal/rt/list.h"
#include "hal/rt/pool.h"
#include "hal/rt/secret.h"
#include "hal/rt/timer_wheel.h"

namespace gh::files {

struct FileId {
  uint64_t high = 0, low = 0;
  friend bool operator==(const FileId&, const FileId&) = default;
};

struct FileHead {
  FileId id;
  uint64_t size = 0;
  int64_t made_s = 0;
  int64_t ends_s = 0;  // it is removed then
  FixedString<kOwnerMax> owner;
  FixedString<kNameMax> name;
  FixedString<kTypeMax> type;
};

enum class FileState : uint8_t {
  kReserved,  // its room is taken, nothing is written
  kWriting,
  kWhole,
  kLeaving,  // not found any more; its room is free when nobody reads it and its head is erased
};

struct File {
  HashNode by_id;
  ListNode leaving_node;
  FileHead head;
  FileState state = FileState::kReserved;
  bool has_head = false;   // on the disk, perhaps
  uint16_t transfers = 0;  // that have it
  uint16_t chunk_count = 0;
  uint16_t first_chunk = UINT16_MAX;
};

class Transfer;

// Whoever transfers; called by the timer alone, never from within a call of theirs.
class TransferOwner {
 public:
  // There is something to take, or room to give; or it is done, or has failed.
  virtual void OnTransfer(Transfer& transfer) = 0;

 protected:
  ~TransferOwner() = default;
};

class Transfer {
 public:
  File& file() { return *file_; }
  bool is_writing() const { return is_writing_; }
  bool is_done() const { return step_ == Step::kDone; }  // the file is whole, on the disk
  bool has_failed() const { return step_ == Step::kFailed; }
  uint64_t left() const { return file_->head.size - position_; }  // to be given or taken
  TransferOwner* owner = nullptr;

 private:
  friend class SealedFiles;
  enum class Step : uint8_t { kIdle, kBlock, kFlush, kHead, kHeadFlush, kDone, kFailed };
  File* file_ = nullptr;  // null: free
  std::span<uint8_t> block_;
  hal::BlockRequest request_;
  bool in_flight_ = false;
  bool finished_ = false;  // the request is
  bool is_writing_ = false;
  bool is_abandoned_ = false;
  Step step_ = Step::kIdle;
  uint64_t position_ = 0;  // given or taken
  uint32_t index_ = 0;     // of the block in the file; the head is 0
  uint16_t chunk_ = 0;     // it lies in
  uint32_t used_ = 0;      // of its payload, filled
  uint32_t taken_ = 0;     // and taken
};

struct FilesCounters {
  uint64_t written = 0;
  uint64_t read = 0;
  uint64_t removed = 0;
  uint64_t expired = 0;
  uint64_t faults = 0;  // of the disk, and blocks that did not open
};

class SealedFiles {
 public:
  static constexpr size_t kKeyBytes = 32;
  struct Part {
    hal::BlockDevice* device = nullptr;  // null: there is none
    uint64_t begin = 0;                  // bytes
    uint64_t end = 0;
  };
  SealedFiles(Arena& arena, TimerWheel& timers, crypto::Random& random, const Part& part);
  SealedFiles(const SealedFiles&) = delete;
  SealedFiles& operator=(const SealedFiles&) = delete;
  static uint64_t ArenaBytes();

  // Whether there is a part to keep anything on.
  bool has_room() const { return chunk_count_ > 0; }
  // Looks for files, in the background; once.
  void Open(std::span<const uint8_t, kKeyBytes> key);
  bool is_open() const { return state_ == State::kOpen; }

  // kExhausted: no room; kTooLarge; kWrongState: not open.
  Result<File*> Reserve(const FileHead& head);
  File* Find(const FileId& id) { return by_id_.Find(id); }
  File* At(uint32_t index) { return files_.At(index); }  // leaving ones too
  uint32_t capacity() const { return files_.capacity(); }
  void Remove(File& file);
  // Those whose time is over.
  void Expire(int64_t now_s);

  // Null: too many at a time. A reserved file for writing, a whole one for reading.
  Transfer* Write(File& file, TransferOwner& owner);
  Transfer* Read(File& file, TransferOwner& owner);
  // How many bytes it took; fewer: the rest after OnTransfer. With the last the file is closed.
  size_t Give(Transfer& transfer, std::span<const uint8_t> bytes);
  // What there is of the file at this place; empty: OnTransfer follows.
  std::span<const uint8_t> Peek(Transfer& transfer);
  void Take(Transfer& transfer, size_t count);
  // It is not the caller's any more. A file that was not whole is reserved again.
  void Close(Transfer& transfer);

  uint32_t file_count() const { return files_.used_count(); }
  uint64_t bytes_used() const { return uint64_t{chunk_count_ - free_chunks_} * kChunkBytes; }
  uint64_t bytes_capacity() const { return uint64_t{chunk_count_} * kChunkBytes; }
  const FilesCounters& counters() const { return counters_; }
  const char* fault() const { return fault_; }  // of the disk, the last; ""

 private:
  struct ById {
    using Key = FileId;
    static const Key& KeyOf(const File& file) { return file.head.id; }
    static uint64_t HashOf(const SipKey& key, const Key& id) {
      return SipHash13(key, {reinterpret_cast<const uint8_t*>(&id), sizeof(id)});
    }
  };
  enum class State : uint8_t { kClosed, kScanning, kOpen };
  struct Place {  // what a block is sealed for
    char kind;
    FileId id;
    uint64_t number;
  };

  uint64_t BlockOf(uint16_t chunk, uint32_t index) const;
  bool TakeChunks(File& file);
  void FreeChunks(File& file);
  void Release(File& file);
  Transfer* Begin(File& file, TransferOwner* owner, bool writes);
  void Step(Transfer& transfer);
  void Submit(Transfer& transfer, hal::BlockOp op, uint16_t chunk);
  void Fail(Transfer& transfer, const char* why);
  void Seal(std::span<uint8_t> block, const Place& place);
  bool Unseal(std::span<uint8_t> block, const Place& place);
  void WriteBlock(Transfer& transfer);
  void WriteHead(Transfer& transfer);
  void ReadNext(Transfer& transfer);
  void OnRead(Transfer& transfer);
  void ScanNext();
  void OnScanned();
  bool Adopt(std::span<const uint8_t> payload, uint16_t chunk);
  void EraseNext();
  void OnErased();
  void OnTimer();
  void Arm(int64_t milliseconds);

  Part part_;
  TimerWheel& timers_;
  crypto::Random& random_;
  SecretBytes<kKeyBytes> key_;
  State state_ = State::kClosed;
  uint32_t chunk_count_ = 0;
  uint32_t free_chunks_ = 0;
  std::span<uint16_t> next_chunk_;  // of the same file; kFree, kLast
  Pool<File> files_;
  HashTable<File, &File::by_id, ById> by_id_;
  List<File, &File::leaving_node> leaving_;
  std::array<Transfer, kTransferMax> transfers_;
  Transfer own_;  // looks for files, and erases
  uint32_t scanned_ = 0;
  bool erases_ = false;
  Timer timer_;
  FilesCounters counters_;
  const char* fault_ = "";
};

}  // namespace gh::files
