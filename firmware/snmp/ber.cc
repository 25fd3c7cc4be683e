#include "firmware/snmp/ber.h"

#include <algorithm>
#include <cstring>

namespace gh::snmp {

int Compare(std::span<const uint32_t> a, std::span<const uint32_t> b) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 0; i < common; ++i) {
    if (a[i] != b[i]) {
      return a[i] < b[i] ? -1 : 1;
    }
  }
  return a.size() == b.size() ? 0 : a.size() < b.size() ? -1 : 1;
}

// --- Reading ------------------------------------------------------------------------------------

std::span<const uint8_t> BerReader::Any(uint8_t& tag) {
  tag = 0;
  if (!ok_ || bytes_.size() < 2 || (bytes_[0] & 0x1f) == 0x1f) {
    ok_ = false;
    bytes_ = {};
    return {};
  }
  size_t length = bytes_[1];
  size_t header = 2;
  if (length >= 0x80) {
    const size_t count = length & 0x7f;
    if (count == 0 || count > 4 || bytes_.size() < header + count) {  // no indefinite lengths
      ok_ = false;
      bytes_ = {};
      return {};
    }
    length = 0;
    for (size_t i = 0; i < count; ++i) {
      length = length << 8 | bytes_[header + i];
    }
    header += count;
  }
  if (length > bytes_.size() - header) {
    ok_ = false;
    bytes_ = {};
    return {};
  }
  tag = bytes_[0];
  const auto content = bytes_.subspan(header, length);
  bytes_ = bytes_.subspan(header + length);
  return content;
}

std::span<const uint8_t> BerReader::Value(uint8_t wanted) {
  uint8_t tag = 0;
  const auto content = Any(tag);
  if (tag != wanted) {
    ok_ = false;
    bytes_ = {};
    return {};
  }
  return content;
}

int32_t BerReader::Integer() {
  const auto content = Value(kInteger);
  if (!ok_ || content.empty() || content.size() > 4) {
    ok_ = false;
    return 0;
  }
  uint32_t value = (content[0] & 0x80) != 0 ? UINT32_MAX : 0;
  for (const uint8_t byte : content) {
    value = value << 8 | byte;
  }
  return static_cast<int32_t>(value);
}

void BerReader::ObjectId(Oid& out) {
  out.size = 0;
  const auto content = Value(kObjectId);
  if (!ok_ || content.empty()) {
    ok_ = false;
    return;
  }
  uint64_t id = 0;
  bool first = true;
  for (size_t i = 0; i < content.size(); ++i) {
    id = id << 7 | (content[i] & 0x7f);
    if (id > UINT32_MAX) {
      ok_ = false;
      return;
    }
    if ((content[i] & 0x80) != 0) {
      continue;
    }
    if (first) {  // the first two share one number
      const uint32_t top = id < 40 ? 0 : id < 80 ? 1 : 2;
      ok_ = out.Append(top) && out.Append(static_cast<uint32_t>(id - top * 40));
      first = false;
    } else {
      ok_ = out.Append(static_cast<uint32_t>(id));
    }
    if (!ok_) {
      return;
    }
    id = 0;
  }
  if ((content.back() & 0x80) != 0) {
    ok_ = false;
  }
}

// --- Writing ------------------------------------------------------------------------------------

void BerWriter::Byte(uint8_t byte) {
  if (at_ == 0) {
    ok_ = false;
    return;
  }
  buffer_[--at_] = byte;
}

void BerWriter::Bytes(std::span<const uint8_t> bytes) {
  if (bytes.size() > at_) {
    ok_ = false;
    return;
  }
  at_ -= bytes.size();
  if (!bytes.empty()) {
    std::memcpy(buffer_.data() + at_, bytes.data(), bytes.size());
  }
}

void BerWriter::End(uint8_t tag, size_t mark) {
  const size_t length = mark - at_;
  if (length < 0x80) {
    Byte(static_cast<uint8_t>(length));
  } else {
    uint8_t count = 0;
    for (size_t left = length; left != 0; left >>= 8) {
      Byte(static_cast<uint8_t>(left));
      ++count;
    }
    Byte(0x80 | count);
  }
  Byte(tag);
}

void BerWriter::Octets(std::span<const uint8_t> bytes, uint8_t tag) {
  const size_t mark = at_;
  Bytes(bytes);
  End(tag, mark);
}

void BerWriter::Integer(int64_t value, uint8_t tag) {
  const size_t mark = at_;
  int64_t left = value;
  uint8_t last = 0;
  do {
    last = static_cast<uint8_t>(left);
    Byte(last);
    left >>= 8;
  } while ((left != 0 || (last & 0x80) != 0) && (left != -1 || (last & 0x80) == 0));
  End(tag, mark);
}

void BerWriter::Unsigned(uint64_t value, uint8_t tag) {
  const size_t mark = at_;
  uint8_t last = 0;
  do {
    last = static_cast<uint8_t>(value);
    Byte(last);
    value >>= 8;
  } while (value != 0);
  if ((last & 0x80) != 0) {
    Byte(0);
  }
  End(tag, mark);
}

void BerWriter::ObjectId(std::span<const uint32_t> ids) {
  const size_t mark = at_;
  const auto put = [&](uint64_t id) {
    Byte(static_cast<uint8_t>(id & 0x7f));
    for (id >>= 7; id != 0; id >>= 7) {
      Byte(static_cast<uint8_t>(0x80 | (id & 0x7f)));
    }
  };
  for (size_t i = ids.size(); i > 2; --i) {
    put(ids[i - 1]);
  }
  put(ids.size() < 2 ? 0 : uint64_t{ids[0]} * 40 + ids[1]);
  End(kObjectId, mark);
}

}  // namespace gh::snmp
