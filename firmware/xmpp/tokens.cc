#include "firmware/xmpp/tokens.h"

#include <algorithm>

#include "crypto/mac.h"
#include "hal/rt/base64.h"

namespace gh::xmpp {
namespace {

constexpr uint8_t kRowVersion = 1;
constexpr uint32_t kPlaceBytes = 1 + 1 + 32 + 16 + 2 * (32 + 8);
constexpr Error kWrong{ErrorCode::kUnauthentic, "not a token of this client"};

// The text is the token; its bytes are what is kept.
void WriteToken(std::span<const uint8_t, 32> bytes, FixedString<kTokenTextMax>& out) {
  uint8_t text[kTokenTextMax];
  ByteWriter writer(text);
  WriteBase64(bytes, writer);
  out.Assign(writer.text());
  SecureZero(text);
}

crypto::HmacSha256::Tag HashOf(std::string_view token, std::string_view role,
                               std::span<const uint8_t> channel) {
  crypto::HmacSha256 mac(AsBytes(token));
  mac.Update(role);
  mac.Update(channel);
  return mac.Finish();
}

}  // namespace

const HashedTokenMechanism* FindHashedToken(std::string_view name) {
  const auto at = std::ranges::find(kHashedTokenMechanisms, name, &HashedTokenMechanism::name);
  return at != std::end(kHashedTokenMechanisms) ? at : nullptr;
}

uint64_t Tokens::NumberOf(const ClientDigest& client) {
  ByteReader reader(client);
  return reader.U64Be();
}

Result<void> Tokens::Load(Account& account, const RowName& name, std::span<const uint8_t> value) {
  if (value.size() != kPlaceBytes || value[0] != kRowVersion || !Remember(account, name.number)) {
    return Error{ErrorCode::kCorrupt, "a token of XMPP is not readable"};
  }
  return Ok();
}

// The oldest client is forgotten for one too many.
bool Tokens::Remember(Account& account, uint64_t number) {
  Forget(account, number);
  if (CountOf(account) >= kTokensPerUserMax) {
    uint8_t oldest[8];
    (void)chains_.Copy(account.tokens, 0, oldest);
    ByteReader reader(oldest);
    (void)keeper_.Remove(RowKey('f', account.id, reader.U64Be()));
    chains_.Drop(account.tokens, 8);
  }
  uint8_t bytes[8];
  ByteWriter writer(bytes);
  writer.U64Be(number);
  return chains_.Append(account.tokens, bytes);
}

void Tokens::Forget(Account& account, uint64_t number) {
  uint8_t bytes[8 * kTokensPerUserMax];
  uint8_t kept_bytes[8 * kTokensPerUserMax];
  const size_t size = chains_.Copy(account.tokens, 0, bytes);
  ByteReader reader{std::span(bytes).first(size)};
  ByteWriter kept(kept_bytes);
  while (!reader.at_end()) {
    if (const uint64_t each = reader.U64Be(); each != number) {
      kept.U64Be(each);
    }
  }
  if (kept.size() < size) {
    (void)chains_.Assign(account.tokens, kept.text());
  }
}

bool Tokens::Read(const Account& account, const ClientDigest& client, Place& out) {
  uint8_t bytes[kRowMax];
  const size_t size = keeper_.Read(RowKey('f', account.id, NumberOf(client)), bytes);
  ByteReader row{std::span(bytes).first(std::min<size_t>(size, sizeof(bytes)))};
  const bool is_known = row.U8() == kRowVersion;
  out.binding = static_cast<Binding>(row.U8());
  row.Copy(out.client);
  row.Copy(out.salt);
  for (Token* token : {&out.used, &out.next}) {
    row.Copy(token->bytes.Expose());
    token->expires = static_cast<int64_t>(row.U64Be());
  }
  const bool is_whole = row.ok() && row.at_end();
  SecureZero(std::span(bytes).first(kPlaceBytes));
  return is_known && is_whole && out.client == client && out.salt == account.verifier.salt;
}

bool Tokens::Write(Account& account, const Place& place) {
  uint8_t bytes[kPlaceBytes];
  ByteWriter row(bytes);
  row.U8(kRowVersion);
  row.U8(static_cast<uint8_t>(place.binding));
  row.Bytes(place.client);
  row.Bytes(place.salt);
  for (const Token* token : {&place.used, &place.next}) {
    row.Bytes(token->bytes.Expose());
    row.U64Be(static_cast<uint64_t>(token->expires));
  }
  GH_ASSERT(row.ok() && row.size() == kPlaceBytes);
  const uint64_t number = NumberOf(place.client);
  const bool is_kept =
      Remember(account, number) && keeper_.Put(RowKey('f', account.id, number), row.written()) != 0;
  SecureZero(bytes);
  return is_kept;
}

bool Tokens::Give(Account& account, const ClientDigest& client, Binding binding, int64_t expires,
                  FixedString<kTokenTextMax>& token) {
  Place place;
  if (!Read(account, client, place) || place.binding != binding) {
    place.used.expires = 0;
    place.used.bytes.Zero();
  }
  place.binding = binding;
  place.client = client;
  place.salt = account.verifier.salt;
  random_.Fill(place.next.bytes.Expose());
  place.next.expires = expires;
  WriteToken(place.next.bytes.Expose(), token);
  return Write(account, place);
}

Result<void> Tokens::Check(Account& account, const ClientDigest& client, Binding binding,
                           std::span<const uint8_t> hash, std::span<const uint8_t> channel,
                           int64_t now, std::span<uint8_t, 32> answer) {
  Place place;
  if (!Read(account, client, place) || place.binding != binding) {
    return kWrong;
  }
  Token* good = nullptr;
  for (Token* token : {&place.used, &place.next}) {
    FixedString<kTokenTextMax> text;
    WriteToken(token->bytes.Expose(), text);
    if (token->expires != 0 && ConstantTimeEqual(HashOf(text.view(), "Initiator", channel), hash)) {
      good = token;
      const auto tag = HashOf(text.view(), "Responder", channel);
      std::ranges::copy(tag, answer.begin());
    }
    SecureZero({reinterpret_cast<uint8_t*>(&text), sizeof(text)});
  }
  if (good == nullptr) {
    return kWrong;
  }
  if (good->expires <= now) {
    Remove(account, client);
    return Error{ErrorCode::kTimeout, "the token has expired"};
  }
  if (good == &place.next) {  // the one before it is not good any more
    place.used.bytes.TakeFrom(place.next.bytes);
    place.used.expires = std::exchange(place.next.expires, 0);
    if (!Write(account, place)) {
      return Error{ErrorCode::kExhausted, "the store is busy"};
    }
  }
  return Ok();
}

void Tokens::Remove(Account& account, const ClientDigest& client) {
  Forget(account, NumberOf(client));
  (void)keeper_.Remove(RowKey('f', account.id, NumberOf(client)));
}

uint32_t Tokens::RemoveAll(Account& account) {
  const uint32_t count = CountOf(account);
  while (!account.tokens.empty()) {
    uint8_t bytes[8];
    (void)chains_.Copy(account.tokens, 0, bytes);
    chains_.Drop(account.tokens, 8);
    ByteReader reader(bytes);
    (void)keeper_.Remove(RowKey('f', account.id, reader.U64Be()));
  }
  return count;
}

}  // namespace gh::xmpp
