// Keys and certificates in the appliance: the key store and the trust of peers put together, the
// temporary certificate of a first start, alarms.
#pragma once

#include "crypto/tls_environment.h"
#include "firmware/alarm/alarms.h"
#include "firmware/config/configuration.h"
#include "firmware/keys/key_store.h"
#include "firmware/log/log.h"
#include "firmware/store/store.h"
#include "hal/machine.h"

namespace gh {

struct CertificateParts {
  Arena& arena;
  hal::Clock& clock;
  crypto::Random& random;
  store::Store& store;
  log::Log& log;
  alarm::Alarms& alarms;
  const config::Configuration& configuration;
};

class Certificates {
 public:
  explicit Certificates(const CertificateParts& parts);
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  // What is stored; without a server certificate the device makes one.
  void Load();
  void UpdateAlarms();

  keys::KeyStore& keys() { return keys_; }
  crypto::Identities& identities() { return keys_; }

 private:
  Result<void> MakeTemporary();

  CertificateParts parts_;
  Heap heap_;
  crypto::TlsEnvironment environment_;
  keys::KeyStore keys_;
};

}  // namespace gh
