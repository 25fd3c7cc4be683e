// The files an administrator can fetch and bring: a small tree that exists only here, one folder a
// provider. /upgrade takes an image, /backup, /logs, /crashes and /captures give what there is.
// SFTP and SCP (files/) speak to this; it knows neither.
//
// Nothing blocks: a write takes what the disk takes now, the end of one may be pending. Reads
// begin anywhere, in any order, many at a time; writes are in order from the first byte, one
// writer a folder. Fault model: clients give any path, offset and order, and vanish at any point.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/identity.h"
#include "firmware/admin/limits.h"
#include "firmware/log/log.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::admin {

struct FileInfo {
  FixedString<kFileNameMax> name;
  uint64_t size = 0;
  int64_t modified_s = 0;  // since 1970; 0: not known
  bool is_folder = false;
  bool is_readable = true;
  bool is_writable = false;
};

// Who opens a file, for rights and the audit log.
struct FileUser {
  Identity identity;
  Origin origin;
};

// A file that is being read; the provider's own notes.
struct FileReading {
  uint64_t size = 0;  // what List() said, or better
  uint64_t offset = 0;
  std::array<uint64_t, 4> notes = {};
};

class FileProvider {
 public:
  virtual Right read_right() const { return Right::kLook; }
  virtual Right write_right() const { return Right::kAdminister; }
  // New files may be brought here.
  virtual bool takes_files() const { return false; }

  // The index-th file; false: no more.
  virtual bool List(uint32_t index, FileInfo& out) = 0;
  // `name` is one of those of List(). Sets what Read needs. kWouldBlock: ask again later.
  virtual Result<void> OpenRead(std::string_view name, FileReading& reading) {
    (void)name, (void)reading;
    return Error{ErrorCode::kPermissionDenied, "nothing is read from this folder"};
  }
  // Bytes from reading.offset on, below reading.size. 0: the end after all.
  virtual Result<size_t> Read(std::string_view name, FileReading& reading, std::span<uint8_t> out) {
    (void)name, (void)reading, (void)out;
    return Error{ErrorCode::kPermissionDenied, "nothing is read from this folder"};
  }

  // A new file. `announced`: its size, 0 if the client does not say.
  virtual Result<void> OpenWrite(std::string_view name, uint64_t announced, Instant now) {
    (void)name, (void)announced, (void)now;
    return Error{ErrorCode::kPermissionDenied, "nothing is written to this folder"};
  }
  // Bytes taken off the front; 0: later.
  virtual Result<size_t> Write(std::span<const uint8_t> bytes, Instant now) {
    (void)bytes, (void)now;
    return Error{ErrorCode::kPermissionDenied, "nothing is written to this folder"};
  }
  // All is there. kWouldBlock: ask again later.
  virtual Result<void> FinishWrite(Instant now) {
    (void)now;
    return Ok();
  }
  virtual void AbortWrite(const char* why, Instant now) { (void)why, (void)now; }
  virtual Result<void> Remove(std::string_view name) {
    (void)name;
    return Error{ErrorCode::kPermissionDenied, "files of this folder stay"};
  }

 protected:
  ~FileProvider() = default;
};

// An open file or folder; never reused by another while it is held.
struct FileId {
  uint32_t index = 0;
  uint32_t serial = 0;  // 0: none
  friend bool operator==(FileId, FileId) = default;
};

class FileService {
 public:
  FileService(log::Log& log, hal::Clock& clock) : log_(log), clock_(clock) {}
  FileService(const FileService&) = delete;
  FileService& operator=(const FileService&) = delete;

  // `folder` is a word: "backup".
  void Add(const char* folder, FileProvider& provider);

  // A path as the client gives it, made plain: "/backup/x" ("." and ".." are followed).
  // kInvalidArgument: too long or with bytes no name has.
  static Result<void> Normalise(std::string_view path, FixedString<kFilePathMax>& out);

  Result<FileInfo> Stat(std::string_view path, const FileUser& user);
  // The index-th entry of a folder. kNotFound: no more.
  Result<FileInfo> List(std::string_view folder, uint32_t index, const FileUser& user);
  Result<FileId> OpenRead(std::string_view path, const FileUser& user);
  Result<FileId> OpenWrite(std::string_view path, uint64_t announced, const FileUser& user);
  // Bytes read, 0 at the end.
  Result<size_t> Read(FileId id, uint64_t offset, std::span<uint8_t> out);
  Result<FileInfo> StatOpen(FileId id);
  // Bytes taken; 0: later. kOutOfRange: not where the last write ended.
  Result<size_t> Write(FileId id, uint64_t offset, std::span<const uint8_t> bytes);
  // kWouldBlock: pending, ask again. Any other outcome closes it.
  Result<void> Close(FileId id);
  // The client is gone: what was being written is given up.
  void Abort(FileId id);
  Result<void> Remove(std::string_view path, const FileUser& user);

  uint32_t open_count() const;

 private:
  struct Folder {
    const char* name = "";
    FileProvider* provider = nullptr;
    bool is_being_written = false;
  };
  struct OpenFile {
    uint32_t serial = 0;
    Folder* folder = nullptr;
    FixedString<kFileNameMax> name;
    bool is_writing = false;
    FileReading reading;
    uint64_t written = 0;
    uint64_t fetched = 0;
    FixedString<136> by;
  };
  struct Place {
    Folder* folder = nullptr;  // null: the root
    FixedString<kFileNameMax> name;
  };
  Result<Place> Find(std::string_view path);
  Result<FileInfo> FindFile(const Place& place);
  OpenFile* Get(FileId id);
  Result<FileId> Take(const Place& place, const FileUser& user, bool writes);
  void Release(OpenFile& file);
  void Report(const OpenFile& file, const char* outcome);

  log::Log& log_;
  hal::Clock& clock_;
  std::array<Folder, kFolderMax> folders_ = {};
  uint32_t folder_count_ = 0;
  std::array<OpenFile, kOpenFileMax> files_ = {};
  uint32_t serial_next_ = 1;
};

// What SFTP and SCP look like to the channel that carries them: bytes both ways, no waiting.
class FileEngine {
 public:
  // Bytes taken off the front; fewer than given: the rest again after Output() has been taken or
  // in a later turn.
  virtual size_t Feed(std::span<const uint8_t> bytes) = 0;
  // The client sends no more.
  virtual void FeedEnd() = 0;
  // What waits to be sent, and that so much of it was.
  virtual std::span<const uint8_t> Output() const = 0;
  virtual void Consume(size_t count) = 0;
  // At each turn: goes on with what had to wait.
  virtual void Poll() = 0;
  // Over: send what Output() has left, then the exit status, then close the channel.
  virtual bool is_done() const = 0;
  virtual uint32_t exit_status() const = 0;
  // A line for the user's terminal, once: why a file was refused. Empty: none.
  virtual std::string_view TakeNotice() { return {}; }
  // The channel is gone, or the engine is done with: files are let go. It may be started again.
  virtual void Close() = 0;

 protected:
  ~FileEngine() = default;
};

}  // namespace gh::admin
