// SFTP version 3. See sftp_server.h; section numbers are the draft's.
#include "firmware/admin/files/sftp_server.h"

#include <algorithm>

namespace gh::admin {
namespace {

// 3
constexpr uint8_t kInit = 1, kVersion = 2, kOpen = 3, kClose = 4, kRead = 5, kWrite = 6, kLstat = 7,
                  kFstat = 8, kSetstat = 9, kFsetstat = 10, kOpendir = 11, kReaddir = 12,
                  kRemove = 13, kMkdir = 14, kRmdir = 15, kRealpath = 16, kStat = 17, kRename = 18,
                  kReadlink = 19, kSymlink = 20, kStatus = 101, kHandle = 102, kData = 103,
                  kName = 104, kAttrs = 105, kExtended = 200, kExtendedReply = 201;
// 7
constexpr uint32_t kOk = 0, kEof = 1, kNoSuchFile = 2, kPermissionDenied = 3, kFailure = 4,
                   kBadMessage = 5, kUnsupported = 8;
// 6.3
constexpr uint32_t kOpenRead = 1, kOpenWrite = 2, kOpenAppend = 4;
// 5
constexpr uint32_t kHasSize = 1, kHasPermissions = 4, kHasTimes = 8;

constexpr uint32_t kProtocolVersion = 3;
constexpr size_t kAnswerRoom = 1024;  // any answer but data and names
constexpr size_t kDataFrame = 4 + 1 + 4 + 4;

void WriteString(ByteWriter& out, std::string_view text) {
  out.U32Be(static_cast<uint32_t>(text.size()));
  out.Text(text);
}

std::string_view ReadString(ByteReader& reader) {
  const uint32_t size = reader.U32Be();
  return AsText(reader.Take(size));
}

uint32_t ModeOf(const FileInfo& info) {
  const uint32_t rights = (info.is_readable ? 0444u : 0u) | (info.is_writable ? 0200u : 0u);
  return info.is_folder ? 040111u | rights : 0100000u | rights;
}

void WriteAttributes(const FileInfo& info, ByteWriter& out) {
  const bool has_times = info.modified_s > 0;
  out.U32Be(kHasSize | kHasPermissions | (has_times ? kHasTimes : 0));
  out.U64Be(info.size);
  out.U32Be(ModeOf(info));
  if (has_times) {
    out.U32Be(static_cast<uint32_t>(info.modified_s));
    out.U32Be(static_cast<uint32_t>(info.modified_s));
  }
}

// What "ls -l" of a client shows: "-r--r--r-- 1 gatehouse gatehouse 1234 name".
void WriteLongName(const FileInfo& info, ByteWriter& out) {
  out.Char(info.is_folder ? 'd' : '-');
  const uint32_t mode = ModeOf(info);
  for (uint32_t bit = 9; bit > 0; --bit) {
    const bool set = (mode >> (bit - 1) & 1) != 0;
    out.Char(set ? "xwr"[(bit - 1) % 3] : '-');
  }
  out.Text(" 1 gatehouse gatehouse ");
  out.Decimal(info.size);
  out.Text(" ");
  out.Text(info.name.view());
}

}  // namespace

void SftpServer::Start(const FileUser& user) {
  Close();
  user_ = user;
  failed_ = false;
}

void SftpServer::Close() {
  for (Handle& handle : handles_) {
    if (handle.is_used && !handle.is_folder) {
      files_.Abort(handle.file);
    }
    handle = {};
  }
  in_size_ = 0;
  write_taken_ = 0;
  out_begin_ = out_end_ = 0;
  has_version_ = at_end_ = false;
  failed_ = true;
}

// --- Packets ------------------------------------------------------------------------------------

bool SftpServer::has_request() const {
  if (in_size_ < 4) {
    return false;
  }
  ByteReader reader(in_);
  return in_size_ == 4 + reader.U32Be();
}

size_t SftpServer::Feed(std::span<const uint8_t> bytes) {
  size_t taken = 0;
  while (!failed_ && taken < bytes.size() && !has_request()) {
    uint32_t wanted = 4;
    if (in_size_ >= 4) {
      ByteReader reader(in_);
      wanted = 4 + reader.U32Be();
    }
    const size_t count = std::min<size_t>(wanted - in_size_, bytes.size() - taken);
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(taken), count, in_.begin() + in_size_);
    in_size_ += static_cast<uint32_t>(count);
    taken += count;
    if (in_size_ == 4) {
      ByteReader reader(in_);
      const uint32_t length = reader.U32Be();
      failed_ = length == 0 || length > kPacketMax - 4;
    }
    Work();
  }
  return failed_ ? bytes.size() : taken;
}

void SftpServer::Consume(size_t count) {
  GH_ASSERT_LE(count, out_end_ - out_begin_);
  out_begin_ += count;
  if (out_begin_ == out_end_) {
    out_begin_ = out_end_ = 0;
  }
  Work();
}

void SftpServer::Poll() { Work(); }

// Answers the request in in_, if there is one and room for the answer.
void SftpServer::Work() {
  if (failed_ || !has_request()) {
    return;
  }
  const uint8_t type = in_[4];
  const bool is_long = type == kRead || type == kReaddir;
  if (is_long ? out_end_ != 0 : out_.size() - out_end_ < kAnswerRoom) {
    return;
  }
  ByteReader reader{std::span<const uint8_t>(in_).subspan(5, in_size_ - 5)};
  if (HandleRequest(type, reader) == Outcome::kDone) {
    in_size_ = 0;
    write_taken_ = 0;
  }
}

ByteWriter SftpServer::Begin(uint8_t type) {
  ByteWriter packet{std::span<uint8_t>(out_).subspan(out_end_)};
  packet.U32Be(0);
  packet.U8(type);
  return packet;
}

void SftpServer::End(const ByteWriter& packet) {
  GH_ASSERT(packet.ok());
  ByteWriter length{std::span<uint8_t>(out_).subspan(out_end_, 4)};
  length.U32Be(static_cast<uint32_t>(packet.size() - 4));
  out_end_ += packet.size();
}

SftpServer::Outcome SftpServer::Status(uint32_t id, uint32_t code, std::string_view text) {
  ByteWriter packet = Begin(kStatus);
  packet.U32Be(id);
  packet.U32Be(code);
  WriteString(packet, text.substr(0, 255));
  WriteString(packet, "en");
  End(packet);
  return Outcome::kDone;
}

SftpServer::Outcome SftpServer::StatusOf(uint32_t id, const Error& error) {
  const uint32_t code = error.code == ErrorCode::kNotFound           ? kNoSuchFile
                        : error.code == ErrorCode::kPermissionDenied ? kPermissionDenied
                                                                     : kFailure;
  return Status(id, code, error.what);
}

SftpServer::Outcome SftpServer::Answer(uint32_t id, const Result<void>& outcome) {
  return outcome.ok() ? Status(id, kOk, "") : StatusOf(id, outcome.error());
}

SftpServer::Outcome SftpServer::Attributes(uint32_t id, const FileInfo& info) {
  ByteWriter packet = Begin(kAttrs);
  packet.U32Be(id);
  WriteAttributes(info, packet);
  End(packet);
  return Outcome::kDone;
}

void SftpServer::SendVersion() {
  ByteWriter packet = Begin(kVersion);
  packet.U32Be(kProtocolVersion);
  WriteString(packet, "limits@openssh.com");
  WriteString(packet, "1");
  End(packet);
}

// --- Handles ------------------------------------------------------------------------------------

SftpServer::Handle* SftpServer::FindHandle(ByteReader& reader) {
  const std::string_view text = ReadString(reader);
  if (text.size() != 4) {
    return nullptr;
  }
  ByteReader number(AsBytes(text));
  const uint32_t index = number.U32Be();
  return index < handles_.size() && handles_[index].is_used ? &handles_[index] : nullptr;
}

uint32_t SftpServer::FreeHandle() const {
  const auto at = std::find_if(handles_.begin(), handles_.end(),
                               [](const Handle& handle) { return !handle.is_used; });
  return static_cast<uint32_t>(at - handles_.begin());
}

SftpServer::Outcome SftpServer::SendHandle(uint32_t id, uint32_t index) {
  ByteWriter packet = Begin(kHandle);
  packet.U32Be(id);
  packet.U32Be(4);
  packet.U32Be(index);
  End(packet);
  return Outcome::kDone;
}

// --- Requests -----------------------------------------------------------------------------------

SftpServer::Outcome SftpServer::HandleRequest(uint8_t type, ByteReader& reader) {
  if (!has_version_) {
    const uint32_t version = reader.U32Be();
    failed_ = type != kInit || version < kProtocolVersion || !reader.ok();
    has_version_ = !failed_;
    if (has_version_) {
      SendVersion();
    }
    return Outcome::kDone;
  }
  const uint32_t id = reader.U32Be();
  if (!reader.ok() || type == kInit) {
    failed_ = true;
    return Outcome::kDone;
  }
  switch (type) {
    case kOpen:
      return HandleOpen(id, reader);
    case kClose:
      return HandleClose(id, reader);
    case kRead:
      return HandleRead(id, reader);
    case kWrite:
      return HandleWrite(id, reader);
    case kFstat:
    case kFsetstat:
      return type == kFstat ? HandleFstat(id, reader) : Status(id, kOk, "");
    case kOpendir:
      return HandleOpenFolder(id, reader);
    case kReaddir:
      return HandleReadFolder(id, reader);
    case kExtended:
      return HandleExtended(id, reader);
    case kLstat:
    case kStat:
    case kSetstat:
    case kRemove:
    case kRealpath:
      return HandlePath(type, id, reader);
    case kMkdir:
    case kRmdir:
    case kRename:
      return Status(id, kPermissionDenied, "the folders of this system stay as they are");
    case kReadlink:
    case kSymlink:
      return Status(id, kUnsupported, "there are no links here");
    default:
      return Status(id, kUnsupported, "not a request of version 3");
  }
}

SftpServer::Outcome SftpServer::HandlePath(uint8_t type, uint32_t id, ByteReader& reader) {
  const std::string_view path = ReadString(reader);
  if (!reader.ok()) {
    return Status(id, kBadMessage, "the request is cut short");
  }
  if (type == kRemove) {
    return Answer(id, files_.Remove(path, user_));
  }
  if (type == kRealpath) {
    FixedString<kFilePathMax> plain;
    if (const auto good = FileService::Normalise(path, plain); !good.ok()) {
      return StatusOf(id, good.error());
    }
    ByteWriter packet = Begin(kName);
    packet.U32Be(id);
    packet.U32Be(1);
    WriteString(packet, plain.view());
    WriteString(packet, plain.view());
    packet.U32Be(0);
    End(packet);
    return Outcome::kDone;
  }
  const auto info = files_.Stat(path, user_);
  if (!info.ok()) {
    return StatusOf(id, info.error());
  }
  // Setting times and rights is taken and does nothing: clients do it after each upload.
  return type == kSetstat ? Status(id, kOk, "") : Attributes(id, *info);
}

SftpServer::Outcome SftpServer::HandleOpen(uint32_t id, ByteReader& reader) {
  const std::string_view path = ReadString(reader);
  const uint32_t flags = reader.U32Be();
  const uint32_t attributes = reader.U32Be();
  const uint64_t size = (attributes & kHasSize) != 0 ? reader.U64Be() : 0;
  if (!reader.ok()) {
    return Status(id, kBadMessage, "the request is cut short");
  }
  const uint32_t index = FreeHandle();
  if (index == handles_.size()) {
    return Status(id, kFailure, "too many files are open");
  }
  const bool reads = (flags & kOpenRead) != 0;
  const bool writes = (flags & kOpenWrite) != 0;
  if (reads == writes || (flags & kOpenAppend) != 0) {
    return Status(id, kUnsupported, "a file is either read or written, from its first byte");
  }
  const auto file = writes ? files_.OpenWrite(path, size, user_) : files_.OpenRead(path, user_);
  if (!file.ok()) {
    return file.code() == ErrorCode::kWouldBlock ? Outcome::kLater : StatusOf(id, file.error());
  }
  handles_[index].is_used = true;
  handles_[index].file = *file;
  return SendHandle(id, index);
}

SftpServer::Outcome SftpServer::HandleClose(uint32_t id, ByteReader& reader) {
  Handle* handle = FindHandle(reader);
  if (handle == nullptr) {
    return Status(id, kFailure, "that is not an open file");
  }
  Result<void> outcome;
  if (!handle->is_folder) {
    outcome = files_.Close(handle->file);
    if (outcome.code() == ErrorCode::kWouldBlock) {
      return Outcome::kLater;
    }
  }
  *handle = {};
  // Clients show their own word for a status and not ours.
  notice_ = outcome.ok() ? std::string_view() : std::string_view(outcome.error().what);
  return Answer(id, outcome);
}

SftpServer::Outcome SftpServer::HandleRead(uint32_t id, ByteReader& reader) {
  Handle* handle = FindHandle(reader);
  const uint64_t offset = reader.U64Be();
  const uint32_t wanted = reader.U32Be();
  if (!reader.ok() || handle == nullptr || handle->is_folder) {
    return Status(id, kFailure, "that is not an open file");
  }
  const auto room = std::span(out_).subspan(kDataFrame, std::min(wanted, kSftpDataMax));
  const auto count = files_.Read(handle->file, offset, room);
  if (!count.ok()) {
    return count.code() == ErrorCode::kWouldBlock ? Outcome::kLater : StatusOf(id, count.error());
  }
  if (*count == 0) {
    return Status(id, kEof, "");
  }
  ByteWriter packet = Begin(kData);
  packet.U32Be(id);
  packet.U32Be(static_cast<uint32_t>(*count));
  (void)packet.Reserve(*count);  // read to its place
  End(packet);
  return Outcome::kDone;
}

SftpServer::Outcome SftpServer::HandleWrite(uint32_t id, ByteReader& reader) {
  Handle* handle = FindHandle(reader);
  const uint64_t offset = reader.U64Be();
  const std::string_view data = ReadString(reader);
  if (!reader.ok() || handle == nullptr || handle->is_folder) {
    return Status(id, kFailure, "that is not an open file");
  }
  while (write_taken_ < data.size()) {
    const auto taken =
        files_.Write(handle->file, offset + write_taken_, AsBytes(data.substr(write_taken_)));
    if (!taken.ok()) {
      return StatusOf(id, taken.error());
    }
    if (*taken == 0) {
      return Outcome::kLater;
    }
    write_taken_ += static_cast<uint32_t>(*taken);
  }
  return Status(id, kOk, "");
}

SftpServer::Outcome SftpServer::HandleFstat(uint32_t id, ByteReader& reader) {
  Handle* handle = FindHandle(reader);
  if (handle == nullptr) {
    return Status(id, kFailure, "that is not an open file");
  }
  const auto info =
      handle->is_folder ? files_.Stat(handle->path.view(), user_) : files_.StatOpen(handle->file);
  return info.ok() ? Attributes(id, *info) : StatusOf(id, info.error());
}

SftpServer::Outcome SftpServer::HandleOpenFolder(uint32_t id, ByteReader& reader) {
  const std::string_view path = ReadString(reader);
  const uint32_t index = FreeHandle();
  if (!reader.ok() || index == handles_.size()) {
    return Status(id, kFailure, reader.ok() ? "too many files are open" : "cut short");
  }
  const auto info = files_.Stat(path, user_);
  if (!info.ok() || !info->is_folder) {
    return info.ok() ? Status(id, kFailure, "that is not a folder") : StatusOf(id, info.error());
  }
  if (const auto first = files_.List(path, 0, user_);
      first.code() == ErrorCode::kPermissionDenied) {
    return StatusOf(id, first.error());
  }
  handles_[index] = {};
  handles_[index].is_used = handles_[index].is_folder = true;
  handles_[index].path.Assign(path);
  return SendHandle(id, index);
}

SftpServer::Outcome SftpServer::HandleReadFolder(uint32_t id, ByteReader& reader) {
  Handle* handle = FindHandle(reader);
  if (handle == nullptr || !handle->is_folder) {
    return Status(id, kFailure, "that is not an open folder");
  }
  ByteWriter packet = Begin(kName);
  packet.U32Be(id);
  const auto count_place = packet.Reserve(4);
  uint32_t count = 0;
  while (count < kSftpNamesMax) {
    const auto info = files_.List(handle->path.view(), handle->next, user_);
    if (!info.ok()) {
      break;
    }
    uint8_t bytes[kFileNameMax + 80];
    ByteWriter long_name(bytes);
    WriteLongName(*info, long_name);
    WriteString(packet, info->name.view());
    WriteString(packet, long_name.text());
    WriteAttributes(*info, packet);
    ++handle->next;
    ++count;
  }
  if (count == 0) {
    return Status(id, kEof, "");
  }
  ByteWriter(count_place).U32Be(count);
  End(packet);
  return Outcome::kDone;
}

SftpServer::Outcome SftpServer::HandleExtended(uint32_t id, ByteReader& reader) {
  if (ReadString(reader) != "limits@openssh.com" || !reader.ok()) {
    return Status(id, kUnsupported, "not an extension of this server");
  }
  ByteWriter packet = Begin(kExtendedReply);
  packet.U32Be(id);
  packet.U64Be(kPacketMax - 4);
  packet.U64Be(kSftpDataMax);
  packet.U64Be(kSftpDataMax);
  packet.U64Be(kSftpHandleMax);
  End(packet);
  return Outcome::kDone;
}

}  // namespace gh::admin
