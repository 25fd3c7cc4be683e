// The tree of files. See file_service.h.
#include "firmware/admin/file_service.h"

#include <algorithm>

#include "hal/clock.h"
#include "hal/rt/assert.h"

namespace gh::admin {
namespace {

constexpr Error kNoSuchFile = {ErrorCode::kNotFound, "there is no such file"};
constexpr Error kNotOpen = {ErrorCode::kInvalidArgument, "that is not an open file"};

bool IsNameByte(char c) { return static_cast<uint8_t>(c) > 0x20 && c != 0x7f && c != '\\'; }

}  // namespace

void FileService::Add(const char* folder, FileProvider& provider) {
  GH_ASSERT_LT(folder_count_, kFolderMax);
  folders_[folder_count_++] = {folder, &provider, false};
}

Result<void> FileService::Normalise(std::string_view path, FixedString<kFilePathMax>& out) {
  FixedString<kFilePathMax> plain;
  bool fits = true;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (part == "..") {
      const size_t last = plain.view().rfind('/');
      plain.Assign(std::string_view(plain).substr(0, last == std::string_view::npos ? 0 : last));
    } else if (!part.empty() && part != ".") {
      if (!std::all_of(part.begin(), part.end(), IsNameByte)) {
        return Error{ErrorCode::kInvalidArgument, "a name may not have such characters"};
      }
      fits = fits && plain.Append('/') && plain.Append(part);
    }
  }
  if (!fits) {
    return Error{ErrorCode::kInvalidArgument, "the path is too long"};
  }
  out.Assign(plain.empty() ? "/" : plain.view());
  return Ok();
}

Result<FileService::Place> FileService::Find(std::string_view path) {
  FixedString<kFilePathMax> plain;
  GH_TRY(Normalise(path, plain));
  std::string_view rest = plain.view().substr(1);
  Place place;
  if (rest.empty()) {
    return place;
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  for (Folder& folder : std::span(folders_).first(folder_count_)) {
    if (rest.substr(0, slash) == folder.name) {
      place.folder = &folder;
    }
  }
  rest.remove_prefix(std::min(slash + 1, rest.size()));
  if (place.folder == nullptr || rest.find('/') != rest.npos || !place.name.Assign(rest)) {
    return kNoSuchFile;
  }
  return place;
}

Result<FileInfo> FileService::FindFile(const Place& place) {
  FileInfo info;
  for (uint32_t i = 0; i < kFolderFileMax && place.folder->provider->List(i, info); ++i) {
    if (info.name == place.name) {
      return info;
    }
  }
  return kNoSuchFile;
}

Result<FileInfo> FileService::Stat(std::string_view path, const FileUser& user) {
  GH_TRY_ASSIGN(const Place place, Find(path));
  if (place.folder == nullptr || place.name.empty()) {
    FileInfo info;
    info.name.Assign(place.folder == nullptr ? "/" : place.folder->name);
    info.is_folder = true;
    info.is_writable = place.folder != nullptr && place.folder->provider->takes_files() &&
                       user.identity.May(place.folder->provider->write_right());
    return info;
  }
  if (!user.identity.May(place.folder->provider->read_right())) {
    return Error{ErrorCode::kPermissionDenied, "your role may not read this"};
  }
  return FindFile(place);
}

Result<FileInfo> FileService::List(std::string_view folder, uint32_t index, const FileUser& user) {
  GH_TRY_ASSIGN(const Place place, Find(folder));
  FileInfo info;
  if (place.folder == nullptr) {
    if (index >= folder_count_) {
      return Error{ErrorCode::kNotFound, "no more"};
    }
    info.name.Assign(folders_[index].name);
    info.is_folder = true;
    info.is_writable = folders_[index].provider->takes_files();
    return info;
  }
  if (!place.name.empty()) {
    return Error{ErrorCode::kInvalidArgument, "that is not a folder"};
  }
  if (!user.identity.May(place.folder->provider->read_right())) {
    return Error{ErrorCode::kPermissionDenied, "your role may not read this"};
  }
  if (index >= kFolderFileMax || !place.folder->provider->List(index, info)) {
    return Error{ErrorCode::kNotFound, "no more"};
  }
  return info;
}

FileService::OpenFile* FileService::Get(FileId id) {
  const bool good =
      id.serial != 0 && id.index < files_.size() && files_[id.index].serial == id.serial;
  return good ? &files_[id.index] : nullptr;
}

Result<FileId> FileService::Take(const Place& place, const FileUser& user, bool writes) {
  for (uint32_t i = 0; i < files_.size(); ++i) {
    if (files_[i].serial == 0) {
      OpenFile& file = files_[i];
      file = {};
      file.serial = serial_next_++;
      serial_next_ += serial_next_ == 0 ? 1 : 0;
      file.folder = place.folder;
      file.name = place.name;
      file.is_writing = writes;
      file.by.Assign(ActorOf(user.identity, user.origin).view());
      return FileId{i, file.serial};
    }
  }
  return Error{ErrorCode::kExhausted, "too many files are open"};
}

void FileService::Release(OpenFile& file) {
  if (file.is_writing) {
    file.folder->is_being_written = false;
  }
  file.serial = 0;
}

void FileService::Report(const OpenFile& file, const char* outcome) {
  FixedString<kFilePathMax> path("/");
  path.Append(file.folder->name);
  path.Append('/');
  path.Append(file.name.view());
  log_.Emit(log::event::FileTransferred{.file = path.view(),
                                        .direction = file.is_writing ? "brought" : "fetched",
                                        .bytes = file.is_writing ? file.written : file.fetched,
                                        .by = file.by.view(),
                                        .outcome = outcome});
}

Result<FileId> FileService::OpenRead(std::string_view path, const FileUser& user) {
  GH_TRY_ASSIGN(const Place place, Find(path));
  if (place.folder == nullptr || place.name.empty()) {
    return Error{ErrorCode::kInvalidArgument, "that is a folder"};
  }
  if (!user.identity.May(place.folder->provider->read_right())) {
    return Error{ErrorCode::kPermissionDenied, "your role may not read this"};
  }
  GH_TRY_ASSIGN(const FileInfo info, FindFile(place));
  FileReading reading;
  reading.size = info.size;
  GH_TRY(place.folder->provider->OpenRead(place.name.view(), reading));
  GH_TRY_ASSIGN(const FileId id, Take(place, user, false));
  files_[id.index].reading = reading;
  return id;
}

Result<FileId> FileService::OpenWrite(std::string_view path, uint64_t announced,
                                      const FileUser& user) {
  GH_TRY_ASSIGN(const Place place, Find(path));
  if (place.folder == nullptr || place.name.empty()) {
    return Error{ErrorCode::kInvalidArgument, "expected the name of a file below a folder"};
  }
  FileProvider& provider = *place.folder->provider;
  if (!provider.takes_files()) {
    return Error{ErrorCode::kPermissionDenied, "nothing is written to this folder"};
  }
  if (!user.identity.May(provider.write_right())) {
    return Error{ErrorCode::kPermissionDenied, "your role may not write this"};
  }
  if (place.folder->is_being_written) {
    return Error{ErrorCode::kWrongState, "another file is being brought to this folder"};
  }
  GH_TRY_ASSIGN(const FileId id, Take(place, user, true));
  if (const auto opened = provider.OpenWrite(place.name.view(), announced, clock_.Now());
      !opened.ok()) {
    files_[id.index].serial = 0;
    return opened.error();
  }
  place.folder->is_being_written = true;
  return id;
}

Result<size_t> FileService::Read(FileId id, uint64_t offset, std::span<uint8_t> out) {
  OpenFile* file = Get(id);
  if (file == nullptr || file->is_writing) {
    return kNotOpen;
  }
  if (offset >= file->reading.size) {
    return size_t{0};
  }
  file->reading.offset = offset;
  GH_TRY_ASSIGN(const size_t count,
                file->folder->provider->Read(file->name.view(), file->reading, out));
  file->fetched += count;
  return count;
}

Result<FileInfo> FileService::StatOpen(FileId id) {
  OpenFile* file = Get(id);
  if (file == nullptr) {
    return kNotOpen;
  }
  FileInfo info;
  info.name = file->name;
  info.size = file->is_writing ? file->written : file->reading.size;
  info.is_writable = file->is_writing;
  return info;
}

Result<size_t> FileService::Write(FileId id, uint64_t offset, std::span<const uint8_t> bytes) {
  OpenFile* file = Get(id);
  if (file == nullptr || !file->is_writing) {
    return kNotOpen;
  }
  if (offset != file->written) {
    return Error{ErrorCode::kOutOfRange, "files are written in order, from the first byte"};
  }
  GH_TRY_ASSIGN(const size_t count, file->folder->provider->Write(bytes, clock_.Now()));
  GH_ASSERT_LE(count, bytes.size());
  file->written += count;
  return count;
}

Result<void> FileService::Close(FileId id) {
  OpenFile* file = Get(id);
  if (file == nullptr) {
    return kNotOpen;
  }
  Result<void> outcome;
  if (file->is_writing) {
    outcome = file->folder->provider->FinishWrite(clock_.Now());
    if (outcome.code() == ErrorCode::kWouldBlock) {
      return outcome;
    }
  }
  Report(*file, outcome.ok() ? "ok" : outcome.error().what);
  Release(*file);
  return outcome;
}

void FileService::Abort(FileId id) {
  OpenFile* file = Get(id);
  if (file == nullptr) {
    return;
  }
  if (file->is_writing) {
    file->folder->provider->AbortWrite("the connection ended", clock_.Now());
  }
  Report(*file, "given up");
  Release(*file);
}

Result<void> FileService::Remove(std::string_view path, const FileUser& user) {
  GH_TRY_ASSIGN(const Place place, Find(path));
  if (place.folder == nullptr || place.name.empty()) {
    return Error{ErrorCode::kPermissionDenied, "folders stay"};
  }
  if (!user.identity.May(place.folder->provider->write_right())) {
    return Error{ErrorCode::kPermissionDenied, "your role may not remove this"};
  }
  GH_TRY(FindFile(place));
  GH_TRY(place.folder->provider->Remove(place.name.view()));
  log_.Emit(
      log::event::FileRemoved{.file = path, .by = ActorOf(user.identity, user.origin).view()});
  return Ok();
}

uint32_t FileService::open_count() const {
  return static_cast<uint32_t>(std::count_if(
      files_.begin(), files_.end(), [](const OpenFile& file) { return file.serial != 0; }));
}

}  // namespace gh::admin
