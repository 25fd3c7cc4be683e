// SFTP version 3 (draft-ietf-secsh-filexfer-02) over the file service, as OpenSSH's sftp and scp
// speak it, with the extension limits@openssh.com. Bytes in, bytes out; see FileEngine.
//
// Requests are answered one after the other, in order. One that has to wait for the disk holds the
// ones behind it: they stay in the channel's window, so a client can queue no more than that.
// Fault model: the client sends anything. A packet that is too long or not a request ends it.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "firmware/admin/file_service.h"

namespace gh::admin {

class SftpServer final : public FileEngine {
 public:
  explicit SftpServer(FileService& files) : files_(files) {}
  SftpServer(const SftpServer&) = delete;
  SftpServer& operator=(const SftpServer&) = delete;

  void Start(const FileUser& user);

  size_t Feed(std::span<const uint8_t> bytes) override;
  void FeedEnd() override { at_end_ = true; }
  std::span<const uint8_t> Output() const override {
    return std::span(out_).subspan(out_begin_, out_end_ - out_begin_);
  }
  void Consume(size_t count) override;
  void Poll() override;
  bool is_done() const override { return failed_ || (at_end_ && !has_request()); }
  uint32_t exit_status() const override { return failed_ ? 1 : 0; }
  std::string_view TakeNotice() override { return std::exchange(notice_, {}); }
  void Close() override;

 private:
  static constexpr uint32_t kPacketMax = 34 * 1024;  // a write of kSftpDataMax and its frame
  enum class Outcome : uint8_t { kDone, kLater };
  struct Handle {
    bool is_used = false;
    bool is_folder = false;
    FileId file;
    FixedString<kFilePathMax> path;  // of a folder
    uint32_t next = 0;               // entry of a folder
  };

  // A whole packet is in in_.
  bool has_request() const;
  void Work();
  Outcome HandleRequest(uint8_t type, ByteReader& reader);
  Outcome HandlePath(uint8_t type, uint32_t id, ByteReader& reader);
  Outcome HandleOpen(uint32_t id, ByteReader& reader);
  Outcome HandleClose(uint32_t id, ByteReader& reader);
  Outcome HandleRead(uint32_t id, ByteReader& reader);
  Outcome HandleWrite(uint32_t id, ByteReader& reader);
  Outcome HandleFstat(uint32_t id, ByteReader& reader);
  Outcome HandleOpenFolder(uint32_t id, ByteReader& reader);
  Outcome HandleReadFolder(uint32_t id, ByteReader& reader);
  Outcome HandleExtended(uint32_t id, ByteReader& reader);
  Outcome Answer(uint32_t id, const Result<void>& outcome);
  Outcome Status(uint32_t id, uint32_t code, std::string_view text);
  Outcome StatusOf(uint32_t id, const Error& error);
  Outcome Attributes(uint32_t id, const FileInfo& info);
  void SendVersion();
  Handle* FindHandle(ByteReader& reader);
  // The index of a free handle; the table's size when there is none.
  uint32_t FreeHandle() const;
  Outcome SendHandle(uint32_t id, uint32_t index);
  // Begins a packet and ends it: the length is written last.
  ByteWriter Begin(uint8_t type);
  void End(const ByteWriter& packet);

  FileService& files_;
  FileUser user_;
  std::array<uint8_t, kPacketMax> in_ = {};
  uint32_t in_size_ = 0;
  uint32_t write_taken_ = 0;  // of the write request in in_
  std::array<uint8_t, kPacketMax> out_ = {};
  size_t out_begin_ = 0;
  size_t out_end_ = 0;
  std::array<Handle, kSftpHandleMax> handles_ = {};
  bool has_version_ = false;
  bool at_end_ = false;
  std::string_view notice_;  // static text
  bool failed_ = true;
};

}  // namespace gh::admin
