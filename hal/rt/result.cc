#include "hal/rt/result.h"

namespace gh {

const char* ErrorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOk:
      return "ok";
    case ErrorCode::kInvalidArgument:
      return "invalid-argument";
    case ErrorCode::kOutOfRange:
      return "out-of-range";
    case ErrorCode::kNotFound:
      return "not-found";
    case ErrorCode::kAlreadyExists:
      return "already-exists";
    case ErrorCode::kWrongState:
      return "wrong-state";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kPermissionDenied:
      return "permission-denied";
    case ErrorCode::kExhausted:
      return "exhausted";
    case ErrorCode::kTooLarge:
      return "too-large";
    case ErrorCode::kWouldBlock:
      return "would-block";
    case ErrorCode::kTimeout:
      return "timeout";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kMalformed:
      return "malformed";
    case ErrorCode::kTruncated:
      return "truncated";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kUnauthentic:
      return "unauthentic";
    case ErrorCode::kRollback:
      return "rollback";
    case ErrorCode::kIncompatible:
      return "incompatible";
    case ErrorCode::kIoError:
      return "io-error";
    case ErrorCode::kNoDevice:
      return "no-device";
    case ErrorCode::kUnreachable:
      return "unreachable";
    case ErrorCode::kRefused:
      return "refused";
    case ErrorCode::kClosed:
      return "closed";
    case ErrorCode::kNoSpace:
      return "no-space";
  }
  return "unknown";  // a number from a newer or damaged record
}

}  // namespace gh
