// DER (X.690) written from the end of a buffer to its front, as mbedTLS does it: the content first,
// then the length and the tag that wrap it. A write that does not fit fails the writer for good.
#pragma once

#include <mbedtls/asn1write.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "hal/rt/result.h"

namespace gh::crypto {

class DerWriter {
 public:
  explicit DerWriter(std::span<uint8_t> out)
      : start_(out.data()), at_(out.data() + out.size()), end_(at_) {}

  size_t size() const { return static_cast<size_t>(end_ - at_); }
  bool ok() const { return ok_; }

  void Raw(std::span<const uint8_t> bytes) {
    Check(mbedtls_asn1_write_raw_buffer(&at_, start_, bytes.data(), bytes.size()));
  }
  // Everything written since `mark` becomes the content of a value of this tag.
  void Wrap(size_t mark, int tag) {
    Check(mbedtls_asn1_write_len(&at_, start_, size() - mark));
    Check(mbedtls_asn1_write_tag(&at_, start_, static_cast<unsigned char>(tag)));
  }
  void WrapSequence(size_t mark) { Wrap(mark, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE); }
  void WrapBitString(size_t mark) {
    static constexpr uint8_t kNoUnusedBits[] = {0};
    Raw(kNoUnusedBits);
    Wrap(mark, MBEDTLS_ASN1_BIT_STRING);
  }
  void Oid(std::string_view oid) {
    Check(mbedtls_asn1_write_oid(&at_, start_, oid.data(), oid.size()));
  }
  void Tagged(int tag, std::span<const uint8_t> bytes) {
    const size_t mark = size();
    Raw(bytes);
    Wrap(mark, tag);
  }
  void Int(int value) { Check(mbedtls_asn1_write_int(&at_, start_, value)); }
  // INTEGER of a magnitude, big endian.
  void Magnitude(std::span<const uint8_t> bytes) {
    while (bytes.size() > 1 && bytes[0] == 0) {
      bytes = bytes.subspan(1);
    }
    const size_t mark = size();
    Raw(bytes);
    if (bytes.empty() || (bytes[0] & 0x80) != 0) {
      static constexpr uint8_t kZero[] = {0};
      Raw(kZero);
    }
    Wrap(mark, MBEDTLS_ASN1_INTEGER);
  }
  void True() { Check(mbedtls_asn1_write_bool(&at_, start_, 1)); }
  void Null() { Check(mbedtls_asn1_write_null(&at_, start_)); }
  void BitString(std::span<const uint8_t> bytes) {
    Check(mbedtls_asn1_write_bitstring(&at_, start_, bytes.data(), bytes.size() * 8));
  }
  void NamedBits(uint8_t bits) {
    Check(mbedtls_asn1_write_named_bitstring(&at_, start_, &bits, 8));
  }

  // Moves what was written to the front of the buffer. kTooLarge, in the caller's words: it did
  // not fit.
  Result<std::span<const uint8_t>> ToFront(const char* does_not_fit) {
    if (!ok_) {
      return Error(ErrorCode::kTooLarge, does_not_fit);
    }
    std::memmove(start_, at_, size());
    return std::span<const uint8_t>(start_, size());
  }

 private:
  void Check(int status) { ok_ = ok_ && status >= 0; }
  uint8_t* start_;
  uint8_t* at_;
  uint8_t* end_;
  bool ok_ = true;
};

}  // namespace gh::crypto
