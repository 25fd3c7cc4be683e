// The chore that wraps: a few bytes encrypted by a key which is made in the token and never leaves
// it, and decrypted again to see that it does. By an AES key; by an RSA pair where the token does
// not encrypt by AES.
//
// Fault model: the token may say anything; what it does not decrypt to the same bytes is no cipher
// text of ours. Plain text and answers are wiped with the request (EndChore).
#include <algorithm>

#include "firmware/hsm/service.h"
#include "hal/rt/secret.h"

namespace gh::hsm {

using p11::TokenWork;

namespace {

void PutPlain(const Chore& chore, p11::TokenRequest& request) {
  std::copy_n(chore.plain.begin(), chore.plain_size, request.input.begin());
  request.input_size = chore.plain_size;
}

}  // namespace

// 1 find, 2 encrypt, 3 decrypt, 4 compare.
void Service::StepWrap(uint8_t step) {
  p11::TokenRequest& request = chore_request_;
  switch (step) {
    case 1:
      AskChore(TokenWork::kFindSecret);
      return;
    case 2:
      if (!request.is_protected) {
        EndChore(kKeyNotProtected);
        return;
      }
      request.mechanism = {.type = p11::kAesCbcPad, .kind = p11::Mechanism::Kind::kBytes};
      request.vector = chore_->vector;
      PutPlain(*chore_, request);
      AskChore(TokenWork::kEncrypt);
      return;
    case 3:
      if (TakeCipher()) {
        AskChore(TokenWork::kDecrypt);
      }
      return;
    default:
      CompareWrapped();
      return;
  }
}

void Service::BeginWrapByRsa() {
  chore_->by_rsa = true;
  chore_->type = crypto::KeyType::kRsa;
  chore_->bits = kStoreRsaBits;
  chore_step_ = 0;
  AskChore(TokenWork::kFindPrivate);
}

// 1 find, 2 find the public key, 3 encrypt by it, 4 decrypt, 5 compare.
void Service::StepWrapByRsa(uint8_t step) {
  p11::TokenRequest& request = chore_request_;
  switch (step) {
    case 1:
      AskChore(TokenWork::kFindPrivate);
      return;
    case 2:
      if (!request.is_protected) {
        EndChore(kKeyNotProtected);
        return;
      }
      chore_->handle = request.handle;
      AskChore(TokenWork::kReadPublic);
      return;
    case 3:
      if (request.key_type != crypto::KeyType::kRsa) {
        EndChore(Error{ErrorCode::kAlreadyExists,
                       "the HSM's key of the store's label is not an RSA key"});
        return;
      }
      request.mechanism = p11::kOaepBySha1;
      PutPlain(*chore_, request);
      AskChore(TokenWork::kEncrypt);
      return;
    case 4:
      if (TakeCipher()) {
        request.handle = chore_->handle;
        AskChore(TokenWork::kDecrypt);
      }
      return;
    default:
      CompareWrapped();
      return;
  }
}

// What the token has encrypted, to be decrypted again.
bool Service::TakeCipher() {
  p11::TokenRequest& request = chore_request_;
  if (request.output_size > chore_->output.size()) {
    EndChore(Error{ErrorCode::kUnauthentic, "the HSM's cipher text is too long"});
    return false;
  }
  std::ranges::copy(request.out(), chore_->output.begin());
  chore_->output_size = request.output_size;
  std::ranges::copy(request.out(), request.input.begin());
  request.input_size = request.output_size;
  return true;
}

void Service::CompareWrapped() {
  const auto plain = std::span<const uint8_t>(chore_->plain).first(chore_->plain_size);
  EndChore(ConstantTimeEqual(chore_request_.out(), plain)
               ? Error(ErrorCode::kOk)
               : Error{ErrorCode::kUnauthentic, "the HSM does not decrypt what it encrypted"});
}

}  // namespace gh::hsm
