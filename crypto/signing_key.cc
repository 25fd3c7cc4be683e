// What a request for a signature carries from whoever asks to the key and back.
#include "crypto/signing_key.h"

#include <algorithm>

#include "hal/rt/assert.h"

namespace gh::crypto {

void SignRequest::Prepare(SignatureScheme scheme, std::span<const uint8_t> digest,
                          SignListener& listener, Instant deadline) {
  GH_ASSERT(state_ != State::kPending && digest.size() <= kSignDigestMax);
  state_ = State::kIdle;
  scheme_ = scheme;
  listener_ = &listener;
  deadline_ = deadline;
  signature_size_ = 0;
  digest_size_ = static_cast<uint8_t>(digest.size());
  std::copy(digest.begin(), digest.end(), digest_.begin());
}

void SignRequest::Complete(std::span<const uint8_t> signature, bool tell) {
  GH_ASSERT(signature.size() <= kSignatureMax);
  std::copy(signature.begin(), signature.end(), signature_.begin());
  signature_size_ = static_cast<uint16_t>(signature.size());
  state_ = State::kDone;
  if (tell) {
    listener_->OnSigned(*this);
  }
}

void SignRequest::Fail(const Error& error, bool tell) {
  error_ = error;
  state_ = State::kFailed;
  if (tell) {
    listener_->OnSigned(*this);
  }
}

}  // namespace gh::crypto
