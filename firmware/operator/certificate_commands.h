// xCommand Certificate and xStatus Certificate: requests made here, certificates brought from an
// authority, domains; and the folder /certificates for those who rather bring files.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/admin/deferred.h"
#include "firmware/admin/file_service.h"
#include "firmware/admin/status.h"
#include "firmware/config/configuration.h"
#include "firmware/keys/key_store.h"
#include "firmware/keys/request.h"
#include "firmware/keys/trust_store.h"
#include "firmware/keys/upload.h"
#include "firmware/operator/paste.h"
#include "firmware/operator/trust_commands.h"
#include "hal/rt/event_loop.h"

namespace gh {

// Who knows the names of federation.
class FederationNames {
 public:
  // What certificates have to name for XMPP, commas between, until the next call (XCERT-006).
  virtual std::string_view CertificateNames() = 0;

 protected:
  ~FederationNames() = default;
};

struct CertificateCommandParts {
  keys::UploadParts upload;
  keys::TokenKeys*& tokens;
  TrustCommands& trust;
  const config::Configuration& configuration;
  admin::DeferredQueue& deferred;
  EventLoop& loop;
  std::span<uint8_t> paste_room;
  std::span<uint8_t> file_room;
  std::span<uint8_t> decode_room;
};

// What the settings ask an authority for; views into them.
keys::RequestPlan RequestPlanOf(const config::Settings& settings);
crypto::SignatureScheme RequestSchemeOf(const config::Settings& settings);

class CertificateCommands final : PasteTaker, admin::DeferredWork, public admin::FileProvider {
 public:
  explicit CertificateCommands(const CertificateCommandParts& parts);
  CertificateCommands(const CertificateCommands&) = delete;
  CertificateCommands& operator=(const CertificateCommands&) = delete;

  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);
  // Whose domains requests name.
  void SetFederation(FederationNames& federation) { federation_ = &federation; }

  // --- /certificates: server.pem, <domain>.pem (.p7b, .der), trust.pem, list.crl ---
  bool takes_files() const override { return true; }
  bool List(uint32_t index, admin::FileInfo& out) override;
  Result<void> OpenRead(std::string_view name, admin::FileReading& reading) override;
  Result<size_t> Read(std::string_view name, admin::FileReading& reading,
                      std::span<uint8_t> out) override;
  Result<void> OpenWrite(std::string_view name, uint64_t announced, Instant now) override;
  Result<size_t> Write(std::span<const uint8_t> bytes, Instant now) override;
  Result<void> FinishWrite(Instant now) override;
  void AbortWrite(const char* why, Instant now) override;

 private:
  Result<void> Generate(std::string_view domain, std::string_view label, std::string_view by,
                        ByteWriter& out);
  Result<void> OnPasted(std::span<const uint8_t> bytes, ByteWriter& out) override;
  void RunDeferred(Instant now) override;
  void AddRequestCommands(admin::CommandTable& commands);
  void AddPasswordCommand(admin::CommandTable& commands);
  void AddUploadCommands(admin::CommandTable& commands);
  bool NextStatus(uint64_t& cursor, ByteWriter& out) const;
  bool NextCertificateLine(uint64_t index, uint64_t field, ByteWriter& out) const;
  bool NextRequestLine(uint64_t field, ByteWriter& out) const;
  bool NextPemLine(uint64_t& cursor, ByteWriter& out, bool is_request) const;
  std::span<const uint8_t> PemSource(bool is_request, uint64_t index) const;

  CertificateCommandParts parts_;
  FederationNames* federation_ = nullptr;
  Paste paste_;
  FixedString<keys::kDomainNameMax> domain_;  // of what is pasted or shown
  FixedString<64> by_;
  FixedString<admin::kFileNameMax> file_name_;
  size_t file_size_ = 0;
  FixedString<240> said_;
};

}  // namespace gh
