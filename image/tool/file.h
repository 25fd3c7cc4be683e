// Files of the host tools: whole reads and writes, sparse images, and complaints that end the tool.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gh::image::tool {

using Bytes = std::vector<uint8_t>;

// Prints "gatehouse-image: <text>" and exits with 1.
[[noreturn]] void Die(const std::string& text);

Bytes ReadFile(const std::string& path);
// Replaces the file in one step; `mode` as for open(2).
void WriteFile(const std::string& path, std::span<const uint8_t> bytes, unsigned mode = 0644);
bool FileExists(const std::string& path);
std::string HexText(std::span<const uint8_t> bytes);
bool ParseHexText(std::string_view text, std::span<uint8_t> out);

// A file or device at random offsets.
class RandomFile {
 public:
  enum class Mode { kRead, kUpdate, kCreate };
  RandomFile(const std::string& path, Mode mode);
  RandomFile(const RandomFile&) = delete;
  RandomFile& operator=(const RandomFile&) = delete;
  ~RandomFile();
  uint64_t size() const { return size_; }
  void Resize(uint64_t size);  // new bytes are holes
  void Read(uint64_t offset, std::span<uint8_t> out) const;
  // Skips whole zero pages of a file made by kCreate: they are holes already.
  void Write(uint64_t offset, std::span<const uint8_t> bytes);

 private:
  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
  bool is_sparse_ = false;
};

}  // namespace gh::image::tool
