#include "firmware/acme/jws.h"

#include <mbedtls/asn1.h>

#include <algorithm>

#include "crypto/digest.h"
#include "crypto/mac.h"

namespace gh::acme {
namespace {

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr size_t kPointBytes = 65;  // 0x04, x, y
constexpr size_t kHeadBytesMax = 1600;

class NoListener final : public crypto::SignListener {
 public:
  void OnSigned(crypto::SignRequest&) override {}
};

// What stands in `out` from `from` on.
std::string_view Since(const ByteWriter& out, size_t from) { return out.text().substr(from); }

Result<void> WriteHead(const crypto::SigningKey& key, const JwsHead& head, ByteWriter& out) {
  out.Text(R"({"alg":"ES256",)");
  if (head.account.empty()) {
    out.Text(R"("jwk":)");
    GH_TRY(WriteJwk(key, out));
  } else {
    out.Text(R"("kid":)");
    WriteJsonString(head.account, out);
  }
  out.Text(R"(,"nonce":)");
  WriteJsonString(head.nonce, out);
  out.Text(R"(,"url":)");
  WriteJsonString(head.url, out);
  out.Char('}');
  return out.ok() ? Ok() : Result<void>(Error(ErrorCode::kTooLarge, "a URL is too long"));
}

// An INTEGER's magnitude, right-aligned.
bool TakeInteger(unsigned char*& p, const unsigned char* end, std::span<uint8_t> out) {
  size_t size = 0;
  if (mbedtls_asn1_get_tag(&p, end, &size, MBEDTLS_ASN1_INTEGER) != 0) {
    return false;
  }
  std::span<const uint8_t> bytes(p, size);
  p += size;
  while (!bytes.empty() && bytes.front() == 0) {
    bytes = bytes.subspan(1);
  }
  if (bytes.size() > out.size()) {
    return false;
  }
  std::ranges::fill(out, uint8_t{0});
  std::ranges::copy(bytes, out.end() - static_cast<std::ptrdiff_t>(bytes.size()));
  return true;
}

}  // namespace

void WriteBase64Url(std::span<const uint8_t> bytes, ByteWriter& out) {
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = std::min<size_t>(bytes.size() - i, 3);
    const uint32_t group = uint32_t{bytes[i]} << 16 |
                           (left > 1 ? uint32_t{bytes[i + 1]} << 8 : 0u) |
                           (left > 2 ? uint32_t{bytes[i + 2]} : 0u);
    for (size_t digit = 0; digit <= left; ++digit) {
      out.Char(kDigits[group >> (18 - 6 * digit) & 63]);
    }
  }
}

bool ReadBase64Url(std::string_view text, ByteWriter& out) {
  if (text.size() % 4 == 1) {
    return false;
  }
  uint32_t group = 0;
  uint32_t bits = 0;
  for (const char c : text) {
    const size_t value = kDigits.find(c);
    if (value == kDigits.npos) {
      return false;
    }
    group = group << 6 | static_cast<uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out.U8(static_cast<uint8_t>(group >> bits));
    }
  }
  return out.ok() && (group & ((1u << bits) - 1)) == 0;
}

void WriteJsonString(std::string_view text, ByteWriter& out) {
  out.Char('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.Char('\\');
      out.Char(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out.Text("\\u00");
      out.Hex(static_cast<unsigned char>(c), 2);
    } else {
      out.Char(c);
    }
  }
  out.Char('"');
}

Result<void> WriteJwk(const crypto::SigningKey& key, ByteWriter& out) {
  const auto info = key.public_key();
  if (key.type() != crypto::KeyType::kEcP256 || info.size() < kPointBytes ||
      info[info.size() - kPointBytes] != 0x04) {
    return Error(ErrorCode::kUnsupported, "the account's key is not of P-256");
  }
  const auto point = info.last(kPointBytes - 1);
  out.Text(R"({"crv":"P-256","kty":"EC","x":")");
  WriteBase64Url(point.first(32), out);
  out.Text(R"(","y":")");
  WriteBase64Url(point.last(32), out);
  out.Text("\"}");
  return Ok();
}

Result<void> WriteThumbprint(const crypto::SigningKey& key, FixedString<43>& out) {
  uint8_t jwk_bytes[200];
  ByteWriter jwk(jwk_bytes);
  GH_TRY(WriteJwk(key, jwk));
  uint8_t text_bytes[43];
  ByteWriter text(text_bytes);
  WriteBase64Url(crypto::Sha256::Of(jwk.written()), text);
  out.Assign(text.text());
  return Ok();
}

Result<void> SplitSignature(std::span<const uint8_t> der, std::span<uint8_t, 64> out) {
  // mbedTLS reads through a pointer that is not const and does not write.
  auto* p = const_cast<unsigned char*>(der.data());
  const unsigned char* end = p + der.size();
  size_t size = 0;
  constexpr int kSequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
  if (mbedtls_asn1_get_tag(&p, end, &size, kSequence) != 0 || p + size != end ||
      !TakeInteger(p, end, out.first<32>()) || !TakeInteger(p, end, out.last<32>()) || p != end) {
    return Error(ErrorCode::kMalformed, "the signature is not one of ECDSA");
  }
  return Ok();
}

Result<void> WriteJws(crypto::SoftwareKey& key, const JwsHead& head, std::string_view payload,
                      ByteWriter& out) {
  uint8_t head_bytes[kHeadBytesMax];
  ByteWriter plain(head_bytes);
  GH_TRY(WriteHead(key, head, plain));
  crypto::Sha256 digest;
  out.Text(R"({"protected":")");
  size_t from = out.size();
  WriteBase64Url(plain.written(), out);
  digest.Update(Since(out, from));
  digest.Update(".");
  out.Text(R"(","payload":")");
  from = out.size();
  WriteBase64Url(AsBytes(payload), out);
  digest.Update(Since(out, from));
  out.Text(R"(","signature":")");
  crypto::SignRequest request;
  NoListener nobody;
  request.Prepare(crypto::SignatureScheme::kEcdsaSecp256r1Sha256, digest.Finish(), nobody,
                  Instant{});
  key.Start(request);
  if (request.state() != crypto::SignRequest::State::kDone) {
    return Error(ErrorCode::kUnsupported, "the account's key does not sign");
  }
  std::array<uint8_t, 64> signature;
  GH_TRY(SplitSignature(request.signature(), signature));
  WriteBase64Url(signature, out);
  out.Text("\"}");
  return out.ok() ? Ok()
                  : Result<void>(Error(ErrorCode::kTooLarge, "the request is too large to sign"));
}

Result<void> WriteBinding(const crypto::SigningKey& key, const Binding& binding,
                          std::string_view url, ByteWriter& out) {
  uint8_t bytes[kHeadBytesMax];
  ByteWriter head(bytes);
  head.Text(R"({"alg":"HS256","kid":)");
  WriteJsonString(binding.name, head);
  head.Text(R"(,"url":)");
  WriteJsonString(url, head);
  head.Char('}');
  uint8_t jwk_bytes[200];
  ByteWriter jwk(jwk_bytes);
  GH_TRY(WriteJwk(key, jwk));
  crypto::HmacSha256 mac(binding.key);
  out.Text(R"({"protected":")");
  size_t from = out.size();
  WriteBase64Url(head.written(), out);
  mac.Update(Since(out, from));
  mac.Update(".");
  out.Text(R"(","payload":")");
  from = out.size();
  WriteBase64Url(jwk.written(), out);
  mac.Update(Since(out, from));
  out.Text(R"(","signature":")");
  WriteBase64Url(mac.Finish(), out);
  out.Text("\"}");
  return head.ok() && out.ok()
             ? Ok()
             : Result<void>(Error(ErrorCode::kTooLarge, "the account's binding is too large"));
}

}  // namespace gh::acme
