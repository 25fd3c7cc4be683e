// Keys that live in the HSM, for who holds certificates of them.
//
// A key is known here from its generation or adoption (xCommand HSM Key Generate, HSM Key Add):
// type and public key are kept, so that certificates load while every module is away. Then
// is_available() is false and Start fails at once.
#pragma once

#include <string_view>

#include "crypto/signing_key.h"

namespace gh::hsm {

class Keys {
 public:
  // The key of that label; null: not known. It stays in place for ever; after its deletion it is
  // not available any more, and its place may go to another key.
  virtual crypto::SigningKey* FindKey(std::string_view label) = 0;
  // "HSM certificate used": the label of the key of the server certificate in use; empty: that is
  // not a key of the HSM. Such a key cannot be deleted.
  virtual void SetCertificateKey(std::string_view label) = 0;

 protected:
  ~Keys() = default;
};

}  // namespace gh::hsm
