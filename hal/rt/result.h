// Result<T>: a value or an Error, never both, never silently dropped.
//
// Wire, disk, key and operator faults travel as Results; our own mistakes are GH_ASSERTs
// (hal/rt/assert.h). Error codes are stable numbers: they appear in logs and crash records.
#pragma once

#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "hal/rt/assert.h"

namespace gh {

// Stable: numbers are never reused. Add at the end of a group.
enum class ErrorCode : uint16_t {
  kOk = 0,
  // Arguments and state.
  kInvalidArgument = 1,
  kOutOfRange = 2,
  kNotFound = 3,
  kAlreadyExists = 4,
  kWrongState = 5,
  kUnsupported = 6,
  kPermissionDenied = 7,
  // Resources.
  kExhausted = 20,   // a pool, table or queue is full; try later
  kTooLarge = 21,    // exceeds a stated limit; will never fit
  kWouldBlock = 22,  // nothing to do now; an event will tell
  kTimeout = 23,
  kCancelled = 24,
  // Data.
  kMalformed = 40,
  kTruncated = 41,
  kCorrupt = 42,      // checksum, hash or authentication failure of stored data
  kUnauthentic = 43,  // signature or MAC does not verify
  kRollback = 44,
  kIncompatible = 45,
  // Devices and peers.
  kIoError = 60,
  kNoDevice = 61,
  kUnreachable = 62,
  kRefused = 63,
  kClosed = 64,
  kNoSpace = 65,
};

const char* ErrorCodeName(ErrorCode code);  // "not-found", "corrupt", ... ; never null

struct Error {
  ErrorCode code = ErrorCode::kOk;
  // A static string that says what was wrong, for the console and the log; may be "".
  const char* what = "";

  constexpr Error(ErrorCode c, const char* w = "") : code(c), what(w) {}
  friend constexpr bool operator==(const Error& a, const Error& b) { return a.code == b.code; }
};

template <typename T = void>
class [[nodiscard]] Result {
 public:
  Result(T value) : ok_(true) { new (&storage_.value) T(std::move(value)); }
  Result(Error error) : ok_(false) { new (&storage_.error) Error(error); }
  Result(ErrorCode code) : Result(Error(code)) {}
  Result(Result&& other) noexcept : ok_(other.ok_) { MoveFrom(std::move(other)); }
  Result& operator=(Result&& other) noexcept {
    if (this != &other) {
      Destroy();
      ok_ = other.ok_;
      MoveFrom(std::move(other));
    }
    return *this;
  }
  Result(const Result&) = delete;
  Result& operator=(const Result&) = delete;
  ~Result() { Destroy(); }

  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const Error& error() const {
    GH_ASSERT(!ok_);
    return storage_.error;
  }
  ErrorCode code() const { return ok_ ? ErrorCode::kOk : storage_.error.code; }

  T& value() & {
    GH_ASSERT(ok_);
    return storage_.value;
  }
  const T& value() const& {
    GH_ASSERT(ok_);
    return storage_.value;
  }
  T&& value() && {
    GH_ASSERT(ok_);
    return std::move(storage_.value);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T value_or(T fallback) const& { return ok_ ? storage_.value : std::move(fallback); }
  void ignore(const char* /*why*/) const {}

 private:
  void MoveFrom(Result&& other) {
    if (ok_) {
      new (&storage_.value) T(std::move(other.storage_.value));
    } else {
      new (&storage_.error) Error(other.storage_.error);
    }
  }
  void Destroy() {
    if (ok_) {
      storage_.value.~T();
    }
  }
  union Storage {
    Storage() {}
    ~Storage() {}
    T value;
    Error error;
  } storage_;
  bool ok_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  constexpr Result() : error_(ErrorCode::kOk) {}
  constexpr Result(Error error) : error_(error) {}
  constexpr Result(ErrorCode code) : error_(code) {}
  constexpr bool ok() const { return error_.code == ErrorCode::kOk; }
  constexpr explicit operator bool() const { return ok(); }
  const Error& error() const {
    GH_ASSERT(!ok());
    return error_;
  }
  constexpr ErrorCode code() const { return error_.code; }
  constexpr void ignore(const char* /*why*/) const {}

 private:
  Error error_;
};

inline constexpr Result<void> Ok() { return {}; }

}  // namespace gh

// Returns the error of `expression` from the enclosing function, if it has one.
#define GH_TRY(expression)              \
  do {                                  \
    auto gh_try_result_ = (expression); \
    if (!gh_try_result_.ok()) {         \
      return gh_try_result_.error();    \
    }                                   \
  } while (false)

// GH_TRY_ASSIGN(auto x, F()): declares x from a Result or returns its error.
#define GH_TRY_CAT2_(a, b) a##b
#define GH_TRY_CAT_(a, b) GH_TRY_CAT2_(a, b)
#define GH_TRY_ASSIGN(declaration, expression)        \
  auto GH_TRY_CAT_(gh_try_, __LINE__) = (expression); \
  if (!GH_TRY_CAT_(gh_try_, __LINE__).ok()) {         \
    return GH_TRY_CAT_(gh_try_, __LINE__).error();    \
  }                                                   \
  declaration = std::move(GH_TRY_CAT_(gh_try_, __LINE__)).value()
