#include "firmware/operator/certificate_commands.h"

#include <algorithm>

#include "firmware/keys/x509_text.h"
#include "hal/rt/ascii.h"
#include "hal/rt/secret.h"

namespace gh {
namespace {

using keys::Requests;

constexpr Duration kTokenWait = Duration::Seconds(20);
constexpr size_t kPemLineBytes = 48;  // 64 characters
constexpr uint64_t kStatusFields = 10;

const char* StateText(Requests::State state) {
  switch (state) {
    case Requests::State::kNone:
      return "None";
    case Requests::State::kSearching:
      return "Searching a key";
    case Requests::State::kSigning:
      return "Being signed in the token";
    case Requests::State::kReady:
      return "Ready";
  }
  return "?";
}

void Base64(std::span<const uint8_t> bytes, ByteWriter& out) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = std::min<size_t>(bytes.size() - i, 3);
    const uint32_t group = uint32_t{bytes[i]} << 16 |
                           (left > 1 ? uint32_t{bytes[i + 1]} << 8 : 0u) |
                           (left > 2 ? uint32_t{bytes[i + 2]} : 0u);
    for (size_t digit = 0; digit < 4; ++digit) {
      out.Char(digit <= left ? kDigits[group >> (18 - 6 * digit) & 63] : '=');
    }
  }
}

// "server" and "" mean the server certificate.
std::string_view DomainOf(std::string_view name) {
  return EqualsIgnoringCase(name, "server") ? std::string_view() : name;
}

}  // namespace

keys::RequestPlan RequestPlanOf(const config::Settings& settings) {
  const config::CertificateRequest& csr = settings.certificate_request();
  keys::RequestPlan plan;
  plan.name = csr.name.view().empty() ? settings.system().name.view() : csr.name.view();
  plan.is_edge = csr.role == config::CertificateRole::kEdge;
  plan.additional_names = csr.additional_names.view();
  plan.cluster_name = csr.cluster_name.view();
  plan.registration_domains = csr.registration_domains.view();
  plan.collab_edge_prefix = csr.registration_format == config::DomainFormat::kCollabEdgeDNS;
  plan.federation_domains = csr.federation_domains.view();
  plan.chat_aliases = csr.chat_aliases.view();
  plan.phone_profiles = csr.phone_profiles.view();
  plan.subject.country = csr.country.view();
  plan.subject.state = csr.state.view();
  plan.subject.locality = csr.locality.view();
  plan.subject.organization = csr.organization.view();
  plan.subject.unit = csr.unit.view();
  return plan;
}

crypto::SignatureScheme RequestSchemeOf(const config::Settings& settings) {
  switch (settings.certificate_request().digest) {
    case config::CertificateDigest::kSha512:
      return crypto::SignatureScheme::kRsaPkcs1Sha512;
    case config::CertificateDigest::kSha384:
      return crypto::SignatureScheme::kRsaPkcs1Sha384;
    default:
      return crypto::SignatureScheme::kRsaPkcs1Sha256;
  }
}

CertificateCommands::CertificateCommands(const CertificateCommandParts& parts)
    : parts_(parts), paste_(parts.paste_room, *this) {}

void CertificateCommands::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  AddRequestCommands(commands);
  AddPasswordCommand(commands);
  AddUploadCommands(commands);
  status.AddMember<&CertificateCommands::NextStatus>("Certificate", "Certificates of this device",
                                                     this);
}

// --- Requests -----------------------------------------------------------------------------------

Result<void> CertificateCommands::Generate(std::string_view domain, std::string_view label,
                                           std::string_view by, ByteWriter& out) {
  const auto& settings = parts_.configuration.active();
  const config::CertificateRequest& csr = settings.certificate_request();
  keys::RequestPlan plan = RequestPlanOf(settings);
  if (federation_ != nullptr) {
    plan.xmpp_domains = federation_->CertificateNames();
  }
  const auto scheme = RequestSchemeOf(settings);
  Requests& requests = parts_.upload.requests;
  if (label.empty()) {
    GH_TRY(requests.Begin(plan, domain, static_cast<keys::RequestKey>(csr.key), scheme, by));
  } else {
    crypto::SigningKey* key = parts_.tokens == nullptr ? nullptr : parts_.tokens->FindKey(label);
    if (key == nullptr) {
      return Error(ErrorCode::kNotFound, "the token has no key of this label");
    }
    GH_TRY(
        requests.BeginToken(plan, domain, label, *key, scheme, by, parts_.loop.now() + kTokenWait));
  }
  if (requests.state() == Requests::State::kSearching) {
    parts_.deferred.Add(*this, parts_.loop.now());
    out.Text("An RSA key is being searched; see xStatus Certificate CSR. ");
  }
  out.Text("xCommand Certificate CSR Show gives the request.");
  return Ok();
}

// Some milliseconds at a time, when nothing else is due.
void CertificateCommands::RunDeferred(Instant now) {
  if (parts_.upload.requests.Step()) {
    parts_.deferred.Add(*this, now);
  }
}

void CertificateCommands::AddRequestCommands(admin::CommandTable& commands) {
  using Self = CertificateCommands;
  admin::Command make = {"Certificate CSR Generate",
                         "Makes a request for a server certificate, by xConfiguration "
                         "Certificate CSR"};
  make.context = this;
  make.administrator_only = true;
  make.run = [](void* self, std::string_view by, ByteWriter& out) {
    return static_cast<Self*>(self)->Generate({}, {}, by, out);
  };
  commands.Add(make);
  admin::Command domain = {"Certificate CSR Domain", "The same for the certificate of a domain"};
  domain.context = this;
  domain.administrator_only = true;
  domain.value_help = "a domain: 100.example.com";
  domain.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter& out) {
    return static_cast<Self*>(self)->Generate(value, {}, by, out);
  };
  commands.Add(domain);
  admin::Command token = {"Certificate CSR Token",
                          "Makes a request for a server certificate with a key of the HSM"};
  token.context = this;
  token.administrator_only = true;
  token.value_help = "the key's label, and a domain behind it if it is for one";
  token.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter& out) {
    const size_t blank = std::min(value.find(' '), value.size());
    return static_cast<Self*>(self)->Generate(TrimBlanks(value.substr(blank)),
                                              value.substr(0, blank), by, out);
  };
  commands.Add(token);
  admin::Command show = {
      "Certificate CSR Show", "Shows the request in progress, as PEM", "",
      [](void* self, std::string_view, ByteWriter&) -> Result<void> {
        const auto& requests = static_cast<Self*>(self)->parts_.upload.requests;
        return requests.state() == Requests::State::kReady
                   ? Ok()
                   : Result<void>(Error(ErrorCode::kNotFound, "no request is ready"));
      },
      this};
  show.only_looks = true;
  show.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<Self*>(self)->NextPemLine(cursor, out, true);
  };
  commands.Add(show);
  admin::Command discard = {"Certificate CSR Discard", "Gives up the request in progress",
                            "Its private key is destroyed: a certificate made for it will be of "
                            "no use. Discard it?"};
  discard.context = this;
  discard.administrator_only = true;
  discard.run = [](void* self, std::string_view by, ByteWriter&) {
    return static_cast<Self*>(self)->parts_.upload.requests.Discard(by);
  };
  commands.Add(discard);
}

// --- Certificates -------------------------------------------------------------------------------

void CertificateCommands::AddPasswordCommand(admin::CommandTable& commands) {
  using Self = CertificateCommands;
  admin::Command password = {"Certificate Password",
                             "Opens the next PKCS #12 file or encrypted key within 10 minutes"};
  password.context = this;
  password.administrator_only = true;
  password.secret_value = true;
  password.value_help = "the password, 1 to 64 ASCII characters";
  password.run_value = [](void* context, std::string_view, std::string_view value,
                          ByteWriter&) -> Result<void> {
    auto& self = *static_cast<Self*>(context);
    return self.parts_.upload.password.Set(value, self.parts_.loop.now());
  };
  commands.Add(password);
}

void CertificateCommands::AddUploadCommands(admin::CommandTable& commands) {
  using Self = CertificateCommands;
  constexpr const char* kSay =
      "Paste the certificate and its chain (PEM, PKCS #7 or PKCS #12), with its key if it was not "
      "made here; "
      "a lone dot ends, Control-C gives up.";
  admin::Command upload = {"Certificate Upload",
                           "Puts a server certificate in force: pasted at the terminal"};
  upload.context = this;
  upload.guest = &paste_;
  upload.administrator_only = true;
  upload.run = [](void* context, std::string_view by, ByteWriter& out) -> Result<void> {
    auto& self = *static_cast<Self*>(context);
    self.domain_.Clear();
    self.by_.Assign(by);
    out.Text(kSay);
    return Ok();
  };
  commands.Add(upload);
  admin::Command domain = {"Certificate Upload Domain", "The same for a domain (SNI)"};
  domain.context = this;
  domain.guest = &paste_;
  domain.administrator_only = true;
  domain.value_help = "the domain";
  domain.run_value = [](void* context, std::string_view by, std::string_view value,
                        ByteWriter& out) -> Result<void> {
    auto& self = *static_cast<Self*>(context);
    if (!self.domain_.Assign(value) || !crypto::IsDnsName(value, true)) {
      return Error(ErrorCode::kInvalidArgument, "expected a domain of at most 100 characters");
    }
    self.by_.Assign(by);
    out.Text(kSay);
    return Ok();
  };
  commands.Add(domain);
  admin::Command show = {"Certificate Show", "Shows a certificate and its chain, as PEM"};
  show.context = this;
  show.only_looks = true;
  show.value_help = "Server, or a domain";
  show.run_value = [](void* context, std::string_view, std::string_view value,
                      ByteWriter&) -> Result<void> {
    auto& self = *static_cast<Self*>(context);
    keys::Installed installed;
    if (!self.parts_.upload.keys.Find(DomainOf(value), installed)) {
      return Error(ErrorCode::kNotFound, "there is no certificate of this domain");
    }
    self.domain_.Assign(DomainOf(value));
    return Ok();
  };
  show.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<Self*>(self)->NextPemLine(cursor, out, false);
  };
  commands.Add(show);
  admin::Command remove = {"Certificate Remove Domain", "Removes the certificate of a domain",
                           "Clients of this domain will be shown another one. Remove it?"};
  remove.context = this;
  remove.administrator_only = true;
  remove.value_help = "the domain";
  remove.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
    return static_cast<Self*>(self)->parts_.upload.keys.Remove(value, by);
  };
  commands.Add(remove);
}

Result<void> CertificateCommands::OnPasted(std::span<const uint8_t> bytes, ByteWriter& out) {
  return keys::TakeUpload(parts_.upload, domain_.view(), bytes, parts_.decode_room, by_.view(),
                          out);
}

// --- Shown --------------------------------------------------------------------------------------

// The DER of the `index`-th PEM block; empty: no more.
std::span<const uint8_t> CertificateCommands::PemSource(bool is_request, uint64_t index) const {
  if (is_request) {
    return index == 0 ? parts_.upload.requests.request() : std::span<const uint8_t>();
  }
  keys::Installed installed;
  if (!parts_.upload.keys.Find(domain_.view(), installed)) {
    return {};
  }
  const mbedtls_x509_crt* at = installed.identity->chain;
  while (at != nullptr && index > 0) {
    at = at->next;
    --index;
  }
  return at == nullptr ? std::span<const uint8_t>()
                       : std::span<const uint8_t>(at->raw.p, at->raw.len);
}

// Cursor: block in the upper half, line in the lower.
bool CertificateCommands::NextPemLine(uint64_t& cursor, ByteWriter& out, bool is_request) const {
  const char* label = is_request ? " CERTIFICATE REQUEST-----" : " CERTIFICATE-----";
  const uint64_t block = cursor >> 32;
  const auto line = static_cast<uint32_t>(cursor);
  const auto der = PemSource(is_request, block);
  if (der.empty()) {
    return false;
  }
  const size_t line_count = (der.size() + kPemLineBytes - 1) / kPemLineBytes;
  if (line == 0) {
    out.Text("-----BEGIN");
    out.Text(label);
  } else if (line <= line_count) {
    const auto rest = der.subspan((line - 1) * kPemLineBytes);
    Base64(rest.first(std::min(rest.size(), kPemLineBytes)), out);
  } else {
    out.Text("-----END");
    out.Text(label);
    cursor = (block + 1) << 32;
    return true;
  }
  ++cursor;
  return true;
}

// Behind the certificates, the request.
bool CertificateCommands::NextStatus(uint64_t& cursor, ByteWriter& out) const {
  uint32_t count = 0;
  for (keys::Installed installed; parts_.upload.keys.At(count, installed);) {
    ++count;
  }
  while (cursor / kStatusFields <= count) {
    const uint64_t index = cursor / kStatusFields;
    const uint64_t field = cursor % kStatusFields;
    ++cursor;
    if (index < count ? NextCertificateLine(index, field, out) : NextRequestLine(field, out)) {
      return true;
    }
  }
  return false;
}

bool CertificateCommands::NextRequestLine(uint64_t field, ByteWriter& out) const {
  const Requests& requests = parts_.upload.requests;
  if (field > 1 || (field == 1 && requests.state() == Requests::State::kNone)) {
    return false;
  }
  out.Text("Certificate CSR ");
  if (field == 1) {
    out.Text("For: ");
    out.Text(requests.domain().empty() ? std::string_view("Server") : requests.domain());
    return true;
  }
  out.Text("State: ");
  out.Text(requests.fault()[0] != '\0' ? requests.fault() : StateText(requests.state()));
  return true;
}

bool CertificateCommands::NextCertificateLine(uint64_t index, uint64_t field,
                                              ByteWriter& out) const {
  keys::Installed installed;
  if (field > 7 || !parts_.upload.keys.At(static_cast<uint32_t>(index), installed)) {
    return false;
  }
  const mbedtls_x509_crt& leaf = *installed.identity->chain;
  const crypto::SigningKey* key = installed.identity->key;
  out.Text("Certificate ");
  out.Decimal(index + 1);
  switch (field) {
    case 0:
      out.Text(" Domain: ");
      out.Text(installed.info->domain.empty() ? std::string_view("Server")
                                              : installed.info->domain.view());
      return true;
    case 1:
      out.Text(" Subject: ");
      keys::WriteName(leaf.subject, out);
      return true;
    case 2:
      out.Text(" Names: ");
      keys::WriteAlternativeNames(leaf, out);
      return true;
    case 3:
      out.Text(" Issuer: ");
      keys::WriteName(leaf.issuer, out);
      return true;
    case 4:
      out.Text(" Valid: ");
      keys::WriteDate(leaf.valid_from, out);
      out.Text(" to ");
      keys::WriteDate(leaf.valid_to, out);
      return true;
    case 5:
      out.Text(" Key: ");
      out.Text(key == nullptr ? "not available" : crypto::KeyTypeText(key->type(), key->bits()));
      out.Text(installed.token_label.empty() ? " in memory" : " in the HSM, label ");
      out.Text(installed.token_label);
      return true;
    case 6:
      out.Text(" Fingerprint: ");
      out.Text(keys::FingerprintOf(leaf).view());
      return true;
    case 7:
      out.Text(" Origin: ");
      out.Text(installed.info->is_temporary ? "Temporary, made by this device"
               : installed.info->is_acme    ? "ACME"
                                            : "Uploaded");
      return true;
    default:
      return false;
  }
}

// --- Files --------------------------------------------------------------------------------------

bool CertificateCommands::List(uint32_t index, admin::FileInfo& out) {
  const auto request = parts_.upload.requests.request();
  if (index > 0 || request.empty()) {
    return false;
  }
  out.name.Assign("request.csr");
  out.size = request.size();
  return true;
}

Result<void> CertificateCommands::OpenRead(std::string_view, admin::FileReading& reading) {
  reading.size = parts_.upload.requests.request().size();
  return Ok();
}

// DER, which every authority's tool reads.
Result<size_t> CertificateCommands::Read(std::string_view, admin::FileReading& reading,
                                         std::span<uint8_t> out) {
  const auto request = parts_.upload.requests.request();
  if (reading.offset >= request.size()) {
    return size_t{0};
  }
  const auto rest = request.subspan(reading.offset);
  const size_t count = std::min(rest.size(), out.size());
  std::copy_n(rest.begin(), count, out.begin());
  return count;
}

Result<void> CertificateCommands::OpenWrite(std::string_view name, uint64_t announced, Instant) {
  if (announced > parts_.file_room.size()) {
    return Error(ErrorCode::kTooLarge, "the file is larger than 96 KiB");
  }
  if (name.find('.') == name.npos) {
    return Error(ErrorCode::kInvalidArgument,
                 "expected server.pem or .p12, <domain>.pem or .p12, trust.pem or list.crl");
  }
  file_name_.Assign(name);
  file_size_ = 0;
  return Ok();
}

Result<size_t> CertificateCommands::Write(std::span<const uint8_t> bytes, Instant) {
  if (bytes.size() > parts_.file_room.size() - file_size_) {
    return Error(ErrorCode::kTooLarge, "the file is larger than 96 KiB");
  }
  std::ranges::copy(bytes, parts_.file_room.begin() + static_cast<std::ptrdiff_t>(file_size_));
  file_size_ += bytes.size();
  return bytes.size();
}

Result<void> CertificateCommands::FinishWrite(Instant) {
  const std::string_view name = file_name_.view();
  const std::string_view stem = name.substr(0, name.rfind('.'));
  const auto bytes = parts_.file_room.first(file_size_);
  uint8_t said_bytes[240];
  ByteWriter said(said_bytes);
  const bool is_trust = EqualsIgnoringCase(stem, "trust") || name.ends_with(".crl");
  const auto done = is_trust ? parts_.trust.Take(bytes, keys::kAllRoles, "a file", said)
                             : keys::TakeUpload(parts_.upload, DomainOf(stem), bytes,
                                                parts_.decode_room, "a file", said);
  AbortWrite("", Instant{});
  return done;
}

void CertificateCommands::AbortWrite(const char*, Instant) {
  SecureZero(parts_.file_room.first(file_size_));
  file_size_ = 0;
}

}  // namespace gh
