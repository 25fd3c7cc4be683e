#include "image/tool/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace gh::image::tool {

namespace {
constexpr uint64_t kPage = 4096;

[[noreturn]] void DieOf(const std::string& what, const std::string& path) {
  Die(what + " " + path + ": " + std::strerror(errno));
}
}  // namespace

void Die(const std::string& text) {
  std::fprintf(stderr, "gatehouse-image: %s\n", text.c_str());
  std::exit(1);
}

Bytes ReadFile(const std::string& path) {
  RandomFile file(path, RandomFile::Mode::kRead);
  Bytes bytes(file.size());
  file.Read(0, bytes);
  return bytes;
}

void WriteFile(const std::string& path, std::span<const uint8_t> bytes, unsigned mode) {
  const std::string part = path + ".part";
  const int fd = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) {
    DieOf("cannot create", part);
  }
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count <= 0) {
      DieOf("cannot write", part);
    }
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  if (close(fd) != 0 || rename(part.c_str(), path.c_str()) != 0) {
    DieOf("cannot write", path);
  }
}

bool FileExists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

std::string HexText(std::span<const uint8_t> bytes) {
  std::string text;
  for (uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

bool ParseHexText(std::string_view text, std::span<uint8_t> out) {
  if (text.size() != out.size() * 2) {
    return false;
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t high = kDigits.find(text[2 * i]);
    const size_t low = kDigits.find(text[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) {
      return false;
    }
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

RandomFile::RandomFile(const std::string& path, Mode mode) : path_(path) {
  const int flags = mode == Mode::kRead     ? O_RDONLY
                    : mode == Mode::kUpdate ? O_RDWR
                                            : O_RDWR | O_CREAT | O_TRUNC;
  fd_ = open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (fd_ < 0) {
    DieOf("cannot open", path);
  }
  const off_t end = lseek(fd_, 0, SEEK_END);
  if (end < 0) {
    DieOf("cannot size", path);
  }
  size_ = static_cast<uint64_t>(end);
  is_sparse_ = mode == Mode::kCreate;
}

RandomFile::~RandomFile() { close(fd_); }

void RandomFile::Resize(uint64_t size) {
  if (ftruncate(fd_, static_cast<off_t>(size)) != 0) {
    DieOf("cannot size", path_);
  }
  size_ = size;
}

void RandomFile::Read(uint64_t offset, std::span<uint8_t> out) const {
  while (!out.empty()) {
    const ssize_t count = pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (count <= 0) {
      DieOf(count == 0 ? "unexpected end of" : "cannot read", path_);
    }
    out = out.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
}

void RandomFile::Write(uint64_t offset, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    // Up to the next page edge at a time, so that whole zero pages stay holes.
    const size_t room = static_cast<size_t>(kPage - offset % kPage);
    const auto piece = bytes.first(std::min(room, bytes.size()));
    const bool is_hole = is_sparse_ && std::all_of(piece.begin(), piece.end(),
                                                   [](uint8_t byte) { return byte == 0; });
    if (!is_hole && pwrite(fd_, piece.data(), piece.size(), static_cast<off_t>(offset)) !=
                        static_cast<ssize_t>(piece.size())) {
      DieOf("cannot write", path_);
    }
    bytes = bytes.subspan(piece.size());
    offset += piece.size();
  }
}

}  // namespace gh::image::tool
