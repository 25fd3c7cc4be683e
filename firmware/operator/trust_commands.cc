#include "firmware/operator/trust_commands.h"

#include <charconv>

#include "crypto/certificate_file.h"
#include "firmware/keys/x509_text.h"
#include "hal/rt/secret.h"

namespace gh {
namespace {

using crypto::PeerRole;

// 1-based, as the lists show it; 0: no number.
uint32_t NumberOf(std::string_view value) {
  uint32_t number = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == value.data() + value.size() ? number : 0;
}

Result<void> LookOnly(void*, std::string_view, ByteWriter&) { return Ok(); }

}  // namespace

TrustCommands::TrustCommands(Arena&, keys::TrustStore& trust, std::span<uint8_t> paste_room,
                             std::span<uint8_t> decode_room)
    : trust_(trust), decode_room_(decode_room), paste_(paste_room, *this) {}

void TrustCommands::Expect(Wanted wanted, uint8_t roles, std::string_view by, ByteWriter& out) {
  wanted_ = wanted;
  roles_ = roles;
  by_.Assign(by);
  out.Text(wanted == Wanted::kTrust
               ? "Paste the certificate, from BEGIN CERTIFICATE to END CERTIFICATE, or several; "
                 "a lone dot ends, Control-C gives up."
               : "Paste the list, from BEGIN X509 CRL to END X509 CRL; Control-C gives up.");
}

template <uint8_t kRoles>
void TrustCommands::AddAdd(admin::CommandTable& commands, const char* path, const char* help) {
  admin::Command add = {path, help};
  add.context = this;
  add.guest = &paste_;
  add.administrator_only = true;
  add.run = [](void* context, std::string_view by, ByteWriter& out) -> Result<void> {
    static_cast<TrustCommands*>(context)->Expect(Wanted::kTrust, kRoles, by, out);
    return Ok();
  };
  commands.Add(add);
}

void TrustCommands::AddTo(admin::CommandTable& commands) {
  using Self = TrustCommands;
  AddAdd<keys::kAllRoles>(commands, "Trust Add",
                          "Trusts certificates for all roles: PEM pasted at the terminal");
  AddAdd<keys::RoleBit(PeerRole::kServer)>(commands, "Trust Add Server",
                                           "The same, for servers we connect to");
  AddAdd<keys::RoleBit(PeerRole::kClient)>(commands, "Trust Add Client",
                                           "The same, for clients that show a certificate");
  AddAdd<keys::RoleBit(PeerRole::kFederation)>(commands, "Trust Add Federation",
                                               "The same, for federated peers");
  admin::Command list = {"Trust List", "Lists the certificates that are trusted", "", LookOnly,
                         this};
  list.only_looks = true;
  list.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<Self*>(self)->NextTrust(cursor, out);
  };
  commands.Add(list);
  admin::Command roles = {"Trust Roles", "Says for whom a certificate is trusted"};
  roles.context = this;
  roles.administrator_only = true;
  roles.value_help = "number and roles: 3 Server,Client,Federation or 3 All";
  roles.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
    return static_cast<Self*>(self)->SetRoles(value, by);
  };
  commands.Add(roles);
  admin::Command remove = {"Trust Remove", "Trusts a certificate no more",
                           "Peers that only it vouches for will be refused. Remove it?"};
  remove.context = this;
  remove.administrator_only = true;
  remove.value_help = "number in xCommand Trust List";
  remove.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
    return static_cast<Self*>(self)->trust_.Remove(NumberOf(value) - 1, by);
  };
  commands.Add(remove);

  admin::Command crl = {"CRL Add", "Brings a revocation list: PEM pasted at the terminal"};
  crl.context = this;
  crl.guest = &paste_;
  crl.administrator_only = true;
  crl.run = [](void* context, std::string_view by, ByteWriter& out) -> Result<void> {
    static_cast<Self*>(context)->Expect(Wanted::kCrl, keys::kAllRoles, by, out);
    return Ok();
  };
  commands.Add(crl);
  admin::Command crls = {"CRL List", "Lists the revocation lists", "", LookOnly, this};
  crls.only_looks = true;
  crls.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<Self*>(self)->NextCrl(cursor, out);
  };
  commands.Add(crls);
  admin::Command drop = {"CRL Remove", "Removes a revocation list",
                         "What it revokes will be believed again. Remove it?"};
  drop.context = this;
  drop.administrator_only = true;
  drop.value_help = "number in xCommand CRL List";
  drop.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
    return static_cast<Self*>(self)->trust_.RemoveCrl(NumberOf(value) - 1, by);
  };
  commands.Add(drop);
}

Result<void> TrustCommands::SetRoles(std::string_view value, std::string_view by) {
  const size_t blank = value.find(' ');
  const uint32_t number = NumberOf(value.substr(0, blank));
  const uint8_t roles =
      blank == value.npos ? uint8_t{0} : keys::ParseRoles(value.substr(blank + 1));
  if (number == 0 || roles == 0) {
    return Error(ErrorCode::kInvalidArgument,
                 "expected a number of xCommand Trust List and roles: 3 Server,Federation");
  }
  return trust_.SetRoles(number - 1, roles, by);
}

Result<void> TrustCommands::OnPasted(std::span<const uint8_t> bytes, ByteWriter& out) {
  return Take(bytes, roles_, by_.view(), out);
}

Result<void> TrustCommands::Take(std::span<const uint8_t> bytes, uint8_t roles, std::string_view by,
                                 ByteWriter& out) {
  crypto::CertificateFile file;
  const auto read = crypto::ReadCertificateFile(bytes, decode_room_, file);
  if (!read.ok()) {
    return read;
  }
  if (!file.pkcs12.empty()) {
    return Error(ErrorCode::kUnsupported, "trust is brought as PEM, DER or PKCS #7");
  }
  if (!file.key.empty() || !file.encrypted_key.empty()) {
    SecureZero(decode_room_);
    return Error(ErrorCode::kInvalidArgument, "there is a private key in it: that is never trust");
  }
  if (file.certificate_count == 0) {
    GH_TRY(trust_.AddCrl(file.crl, by));
    out.Text("revocation list taken");
    return Ok();
  }
  uint32_t added = 0;
  Error first(ErrorCode::kOk);
  for (const auto der : file.chain()) {
    const auto done = trust_.Add(der, roles, by);
    added += done.ok() ? 1 : 0;
    first = done.ok() || first.code != ErrorCode::kOk ? first : done.error();
  }
  if (added == 0) {
    return first;
  }
  out.Text("trusted");
  if (file.certificate_count > 1) {
    out.Text(": ");
    out.Decimal(added);
    out.Text(" of ");
    out.Decimal(file.certificate_count);
    if (first.code != ErrorCode::kOk) {
      out.Text("; refused: ");
      out.Text(first.what);
    }
  }
  return Ok();
}

bool TrustCommands::NextTrust(uint64_t& cursor, ByteWriter& out) const {
  if (cursor >= trust_.count()) {
    return false;
  }
  const auto index = static_cast<uint32_t>(cursor++);
  out.Text("Trust ");
  out.Decimal(cursor);
  out.Text(": ");
  keys::DescribeCertificate(trust_.certificate(index), out);
  out.Text(" roles=");
  keys::WriteRoles(trust_.roles(index), out);
  out.Text(" sha256=");
  out.Text(keys::FingerprintOf(trust_.certificate(index)).view());
  return true;
}

bool TrustCommands::NextCrl(uint64_t& cursor, ByteWriter& out) const {
  if (cursor >= trust_.crl_count()) {
    return false;
  }
  const mbedtls_x509_crl& crl = trust_.crl(static_cast<uint32_t>(cursor++));
  out.Text("CRL ");
  out.Decimal(cursor);
  out.Text(": ");
  keys::WriteName(crl.issuer, out);
  uint32_t count = 0;
  for (const auto* entry = &crl.entry; entry != nullptr && entry->raw.p != nullptr;
       entry = entry->next) {
    ++count;
  }
  out.Text(" revoked=");
  out.Decimal(count);
  out.Text(" issued=");
  keys::WriteDate(crl.this_update, out);
  out.Text(" until=");
  keys::WriteDate(crl.next_update, out);
  return true;
}

}  // namespace gh
