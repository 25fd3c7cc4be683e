#include "firmware/anchors.h"

#include <charconv>

namespace gh {
namespace {

using store::Table;
constexpr std::string_view kEnd = "-----END CERTIFICATE-----";
constexpr Duration kPasteTimeout = Duration::Minutes(2);
constexpr uint8_t kControlC = 3;

struct Fingerprint {
  uint8_t bytes[64];
  std::string_view view() const { return AsText(bytes); }
};

Fingerprint HexOf(const crypto::Sha256::Digest& digest) {
  Fingerprint hex;
  ByteWriter(hex.bytes).HexBytes(digest);
  return hex;
}

class Loader final : public store::EntryVisitor {
 public:
  Loader(crypto::TrustList& list, crypto::TlsEnvironment& environment)
      : list_(list), environment_(environment) {}
  void OnEntry(std::string_view, std::span<const uint8_t> der) override {
    refused += list_.Add(environment_, der).ok() ? 0 : 1;
  }
  uint32_t refused = 0;

 private:
  crypto::TrustList& list_;
  crypto::TlsEnvironment& environment_;
};

template <typename Change>
Result<void> InTransaction(store::Store& store, Change change) {
  GH_TRY(store.Begin());
  if (Result<void> changed = change(); !changed.ok()) {
    store.Rollback();
    return changed;
  }
  return store.Commit();
}

}  // namespace

Anchors::Anchors(Arena& arena, crypto::TlsEnvironment& environment, store::Store& store,
                 log::Log& log)
    : environment_(environment),
      store_(store),
      log_(log),
      list_(arena),
      pasted_(arena.NewArray<uint8_t>(kPasteMax)) {}

void Anchors::Load() {
  Loader loader(list_, environment_);
  const auto read = store_.ForEachIn(Table::kTrust, "", crypto::kTrustAnchorMax, loader);
  if (!read.ok() || loader.refused > 0) {
    log_.Emit(log::event::ServiceFailed{
        .service = "trusted certificates",
        .reason = read.ok() ? "one in the store is not accepted" : read.error().what});
  }
}

void Anchors::AddTo(admin::CommandTable& commands) {
  using Self = Anchors;
  admin::Command add = {"Trust Add", "Trusts a certificate authority: PEM pasted at the terminal"};
  add.context = this;
  add.guest = this;
  add.run = [](void* context, std::string_view by, ByteWriter& out) -> Result<void> {
    static_cast<Self*>(context)->by_.Assign(by);
    out.Text("Paste the certificate, from BEGIN CERTIFICATE to END CERTIFICATE; Control-C ends.");
    return Ok();
  };
  commands.Add(add);
  admin::Command list = {"Trust List", "Lists the certificate authorities that are trusted", "",
                         [](void*, std::string_view, ByteWriter&) -> Result<void> { return Ok(); },
                         this};
  list.only_looks = true;
  list.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<Self*>(self)->Next(cursor, out);
  };
  commands.Add(list);
  admin::Command remove = {"Trust Remove", "Trusts a certificate authority no more",
                           "Servers that only it vouches for will be refused. Remove it?"};
  remove.context = this;
  remove.value_help = "number in xCommand Trust List";
  remove.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
    return static_cast<Self*>(self)->Remove(value, by);
  };
  commands.Add(remove);
}

Result<void> Anchors::AddPem(std::string_view pem, std::string_view by) {
  uint8_t der[crypto::kTrustAnchorBytesMax];
  GH_TRY_ASSIGN(const size_t size, crypto::DecodePemCertificate(pem, der));
  GH_TRY(list_.Add(environment_, std::span<const uint8_t>(der).first(size)));
  const uint32_t index = list_.count() - 1;
  const Fingerprint key = HexOf(list_.fingerprint(index));
  const auto stored = InTransaction(
      store_, [&] { return store_.PutIn(Table::kTrust, key.view(), list_.der(index)); });
  if (!stored.ok()) {
    list_.Remove(index);
    return stored.error();
  }
  uint8_t bytes[255];
  ByteWriter subject(bytes);
  crypto::TrustList::Describe(environment_, list_.der(index), subject);
  log_.Emit(log::event::TrustChanged{
      .action = "added", .subject = subject.text(), .fingerprint = key.view(), .by = by});
  return Ok();
}

Result<void> Anchors::Remove(std::string_view value, std::string_view by) {
  uint32_t number = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size() || number < 1 ||
      number > list_.count()) {
    return Error(ErrorCode::kInvalidArgument, "expected a number of xCommand Trust List");
  }
  const Fingerprint key = HexOf(list_.fingerprint(number - 1));
  GH_TRY(InTransaction(store_, [&] { return store_.RemoveIn(Table::kTrust, key.view()); }));
  uint8_t bytes[255];
  ByteWriter subject(bytes);
  crypto::TrustList::Describe(environment_, list_.der(number - 1), subject);
  list_.Remove(number - 1);
  log_.Emit(log::event::TrustChanged{
      .action = "removed", .subject = subject.text(), .fingerprint = key.view(), .by = by});
  return Ok();
}

bool Anchors::Next(uint64_t& cursor, ByteWriter& out) {
  if (cursor >= list_.count()) {
    return false;
  }
  const auto index = static_cast<uint32_t>(cursor++);
  out.Text("Trust ");
  out.Decimal(cursor);
  out.Text(": ");
  crypto::TrustList::Describe(environment_, list_.der(index), out);
  out.Text(" sha256=");
  out.Text(HexOf(list_.fingerprint(index)).view());
  return true;
}

void Anchors::Enter(Instant now) {
  pasted_size_ = 0;
  deadline_ = now + kPasteTimeout;
  outcome_ = Error(ErrorCode::kClosed, "given up");
}

bool Anchors::Serve(admin::Terminal& terminal, Instant now) {
  uint8_t bytes[256];
  while (const uint32_t count = terminal.Read(bytes)) {
    for (const uint8_t byte : std::span(bytes).first(count)) {
      if (byte == kControlC) {
        return false;
      }
      if (pasted_size_ == pasted_.size()) {
        outcome_ = Error(ErrorCode::kTooLarge, "that is more than a certificate");
        return false;
      }
      pasted_[pasted_size_++] = byte;
    }
    const std::string_view pasted = AsText(pasted_.first(pasted_size_));
    if (pasted.find(kEnd) != pasted.npos) {
      outcome_ = AddPem(pasted, by_.view());
      return false;
    }
    deadline_ = now + kPasteTimeout;
  }
  return now < deadline_;
}

void Anchors::Leave(ByteWriter& out) {
  out.Text(outcome_.ok() ? "OK, trusted" : "ERROR: ");
  out.Text(outcome_.ok() ? "" : outcome_.error().what);
}

}  // namespace gh
