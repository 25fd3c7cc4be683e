#include "firmware/xmpp/uploads.h"

#include <algorithm>
#include <charconv>

#include "crypto/mac.h"
#include "hal/rt/ascii.h"
#include "hal/rt/secret.h"

namespace gh::xmpp {
namespace {

constexpr size_t kIdDigits = 32;

// What browsers show without running anything in it. No SVG: it may hold scripts.
constexpr std::string_view kShown[] = {"image/png",  "image/jpeg", "image/gif",  "image/webp",
                                       "image/avif", "audio/mpeg", "audio/ogg",  "audio/mp4",
                                       "audio/aac",  "audio/wav",  "audio/webm", "video/mp4",
                                       "video/webm", "video/ogg",  "text/plain"};

bool IsUnreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

// "type/subtype" of RFC 6838, in small letters; parameters are left out.
bool ReadType(std::string_view text, FixedString<files::kTypeMax>& out) {
  text = text.substr(0, text.find(';'));
  text = TrimBlanks(text);
  size_t slashes = 0;
  for (const char c : text) {
    slashes += c == '/' ? 1 : 0;
    if (!IsUnreserved(c) && std::string_view("/+!#$&^").find(c) == std::string_view::npos) {
      return false;
    }
    out.Append(AsciiLower(c));
  }
  const bool is_type = slashes == 1 && !text.starts_with('/') && !text.ends_with('/');
  return text.empty() || (is_type && !out.truncated());
}

// As it stands in an address; false: longer than that.
bool EncodeName(std::string_view name, FixedString<files::kNameMax>& out) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (const char c : name) {
    if (IsUnreserved(c)) {
      out.Append(c);
    } else {
      const auto byte = static_cast<uint8_t>(c);
      out.Append('%');
      out.Append(kDigits[byte >> 4]);
      out.Append(kDigits[byte & 15]);
    }
  }
  return !name.empty() && !out.truncated();
}

void WriteId(const files::FileId& id, ByteWriter& out) {
  out.Hex(id.high, 16);
  out.Hex(id.low, 16);
}

}  // namespace

Uploads::Uploads(files::SealedFiles& files, crypto::Random& random, UploadObserver& observer)
    : files_(files), random_(random), observer_(observer) {
  random.Fill(secret_);
}

Uploads::Answer Uploads::Refuse(std::string_view owner, Answer answer, const char* reason) {
  ++counters_.refused;
  observer_.OnFileRefused(owner, reason);
  return answer;
}

Uploads::Answer Uploads::Ask(const Wish& wish, int64_t now_s, Slot& out) {
  files::FileHead head;
  if (wish.size == 0 || !EncodeName(wish.name, head.name) || !ReadType(wish.type, head.type) ||
      !head.owner.Assign(wish.owner)) {
    return Refuse(wish.owner, Answer::kMalformed, "its name, type or size is none");
  }
  if (wish.size > config_.size_max) {
    return Refuse(wish.owner, Answer::kTooLarge, "it is larger than a file may be");
  }
  Sum all;
  Sum own;
  for (uint32_t i = 0; i < files_.capacity(); ++i) {
    const files::File* file = files_.At(i);
    if (file == nullptr || file->state == files::FileState::kLeaving) {
      continue;
    }
    const bool is_slot = file->state != files::FileState::kWhole;
    all.bytes += file->head.size;
    all.slots += is_slot ? 1 : 0;
    own.bytes += file->head.owner == wish.owner ? file->head.size : 0;
    own.slots += is_slot && file->head.owner == wish.owner ? 1 : 0;
  }
  if (own.bytes + wish.size > config_.user_max) {
    return Refuse(wish.owner, Answer::kQuota, "the user's share is used up");
  }
  if (own.slots >= kUploadSlotsPerUser || all.slots >= kUploadSlotsMax) {
    return Refuse(wish.owner, Answer::kBusy, "too many slots are not used yet");
  }
  head.id = {random_.U64(), random_.U64()};
  head.size = wish.size;
  head.made_s = now_s;
  head.ends_s = now_s + kUploadSlotSeconds;
  const bool has_share = all.bytes + wish.size <= config_.total_max;
  auto file = has_share ? files_.Reserve(head) : Error{ErrorCode::kExhausted, "all is used up"};
  if (!file.ok()) {
    return Refuse(wish.owner, Answer::kBusy, "there is no room for it");
  }
  ++counters_.slots;
  uint8_t bytes[640];
  ByteWriter address(bytes);
  address.Text("https://");
  address.Text(config_.host.empty() ? wish.domain : config_.host.view());
  address.Char(':');
  address.Decimal(config_.port);
  address.Text(kPath);
  WriteId(head.id, address);
  address.Char('/');
  address.Text(head.name);
  out.get.Assign(address.text());
  address.Text("?v=");
  WriteProof(**file, address);
  GH_ASSERT(address.ok() && !out.get.truncated());
  out.put.Assign(address.text());
  return Answer::kYes;
}

void Uploads::WriteProof(const files::File& file, ByteWriter& out) const {
  uint8_t bytes[40];
  ByteWriter what(bytes);
  what.U64Be(file.head.id.high);
  what.U64Be(file.head.id.low);
  what.U64Be(file.head.size);
  out.HexBytes(crypto::HmacSha256::Of(secret_, what.written()));
}

files::File* Uploads::Find(std::string_view path) {
  if (!path.starts_with(kPath)) {
    return nullptr;
  }
  path.remove_prefix(kPath.size());
  files::FileId id;
  const auto read = [&](size_t at, uint64_t& out) {
    const char* end = path.data() + at + 16;
    const auto [stop, error] = std::from_chars(path.data() + at, end, out, 16);
    return error == std::errc() && stop == end;
  };
  if (path.size() < kIdDigits + 2 || path[kIdDigits] != '/' || !read(0, id.high) ||
      !read(kIdDigits / 2, id.low)) {
    return nullptr;
  }
  return is_on() ? files_.Find(id) : nullptr;
}

bool Uploads::MayWrite(const files::File& file, std::string_view query) const {
  uint8_t bytes[80];
  ByteWriter proof(bytes);
  proof.Text("v=");
  WriteProof(file, proof);
  return ConstantTimeEqual(proof.written(), AsBytes(query));
}

void Uploads::OnKept(const files::File& file, std::string_view client) {
  ++counters_.kept;
  observer_.OnFileKept(file.head.owner.view(), file.head.size, client);
}

files::Transfer* Uploads::Write(files::File& file, files::TransferOwner& owner, int64_t now_s) {
  files::Transfer* transfer = files_.Write(file, owner);
  if (transfer != nullptr) {
    file.head.made_s = now_s;
    file.head.ends_s = now_s + config_.keep_s;
  }
  return transfer;
}

void Uploads::OnBroken(files::File& file, const char* reason) {
  file.head.ends_s = file.head.made_s + kUploadSlotSeconds;
  ++counters_.refused;
  observer_.OnFileRefused(file.head.owner.view(), reason);
}

uint32_t Uploads::Purge(std::string_view owner) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < files_.capacity(); ++i) {
    files::File* file = files_.At(i);
    if (file != nullptr && file->state != files::FileState::kLeaving &&
        (owner.empty() || file->head.owner == owner)) {
      files_.Remove(*file);
      ++count;
    }
  }
  return count;
}

bool Uploads::IsShown(const files::File& file) {
  return std::ranges::find(kShown, file.head.type.view()) != std::end(kShown);
}

std::string_view Uploads::TypeOf(const files::File& file) {
  return IsShown(file) ? file.head.type.view() : "application/octet-stream";
}

}  // namespace gh::xmpp
