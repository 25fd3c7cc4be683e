// A token: its opening, its sessions, and the calls each piece of work is made of.
#include <algorithm>

#include "crypto/pkcs11_token.h"
#include "hal/rt/bytes.h"

namespace gh::crypto::pkcs11 {
namespace {

constexpr Duration kRetryPeriod = Duration::Seconds(1);
constexpr uint64_t kTokenInitialised = 0x400;
constexpr uint64_t kAttributeTypeInvalid = 0x12;
constexpr uint64_t kGeneralError = 0x05;
constexpr uint64_t kDeviceMemory = 0x31;

constexpr uint8_t kP256Parameters[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
constexpr uint8_t kP384Parameters[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
constexpr uint8_t kExponent[] = {1, 0, 1};

template <size_t N>
std::string_view Trimmed(const std::array<uint8_t, N>& padded) {
  std::string_view text = AsText(padded);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) {
    text.remove_suffix(1);
  }
  return text;
}

// The sessions, or the token behind them, are gone: everything has to be opened anew.
bool IsLost(uint64_t value) {
  return value == kSessionClosed || value == kSessionHandleInvalid || value == kUserNotLoggedIn ||
         value == kDeviceRemoved || value == kTokenNotPresent || value == 0x190;
}

bool IsHardware(uint64_t value) {
  return value == kDeviceError || value == kDeviceMemory || value == kDeviceRemoved ||
         value == kTokenNotPresent || value == kGeneralError;
}

const char* TextOf(uint64_t value) {
  switch (value) {
    case kPinIncorrect:
      return "the HSM refuses the PIN";
    case kPinLocked:
      return "the HSM has locked the PIN";
    case kDeviceError:
    case kDeviceMemory:
    case kGeneralError:
      return "the HSM reports a fault of its hardware or configuration";
    case kDeviceRemoved:
    case kTokenNotPresent:
      return "the token is not in the HSM";
    case kKeyHandleInvalid:
    case kObjectHandleInvalid:
      return "the key is not in the HSM any more";
    case kUserNotLoggedIn:
    case kSessionClosed:
    case kSessionHandleInvalid:
      return "the HSM has ended the session";
    default:
      return "the HSM refuses the operation";
  }
}

Error ErrorOf(uint64_t value) {
  return {IsHardware(value) ? ErrorCode::kIoError
          : IsLost(value)   ? ErrorCode::kUnreachable
                            : ErrorCode::kRefused,
          TextOf(value)};
}

Duration LimitOf(TokenWork work) {
  return work == TokenWork::kGeneratePair || work == TokenWork::kGenerateAes ? kGenerateMax
                                                                             : kAnswerMax;
}

}  // namespace

Token::Token(Arena& arena, Provider& provider)
    : provider_(provider), sessions_(arena.NewArray<Session>(kSessionsMax)) {
  open_call_.listener = this;
  for (Session& session : sessions_) {
    session.call.listener = this;
  }
}

void Token::Configure(const TokenSettings& settings) {
  const bool was_enabled = is_enabled_;
  settings_ = settings;
  is_enabled_ = true;
  pin_refused_ = hardware_failed_ = false;
  retry_at_ = Instant();
  if (was_enabled && state_ != TokenState::kAway) {
    Drop(Error{ErrorCode::kCancelled, "the settings of the HSM have changed"});
  }
}

void Token::Disable() {
  if (is_enabled_) {
    is_enabled_ = false;
    Drop(Error{ErrorCode::kWrongState, "the HSM is not in use"});
    hardware_failed_ = pin_refused_ = false;
  }
}

uint32_t Token::busy_count() const {
  return static_cast<uint32_t>(
      std::ranges::count_if(sessions_, [](const Session& s) { return s.is_busy; }));
}

// Every request fails, every session is forgotten; the connection begins anew, for the far end
// keeps log-in and sessions as long as that lives.
void Token::Drop(const Error& why) {
  state_ = TokenState::kAway;
  error_ = why;
  opening_waits_ = false;
  if (provider_.is_connected()) {
    provider_.Reset(why);  // calls under way are told: the sessions end below
  }
  provider_.Forget(open_call_);
  for (Session& session : sessions_) {
    provider_.Forget(session.call);
    session.is_open = false;
    if (session.is_busy) {
      End(session, why, 0);
    }
  }
  while (TokenRequest* request = queue_.PopFront()) {
    Finish(*request, why, 0);
  }
}

void Token::Fail(const Error& why, bool retry) {
  Drop(why);
  state_ = TokenState::kFailed;
  retry_at_ = retry ? now_ + kRetryPeriod : Instant::Max();
}

bool Token::Poll(Instant now) {
  now_ = now;
  if (!is_enabled_) {
    (void)provider_.Poll(now);
    return false;
  }
  const bool more = provider_.Poll(now);
  if (!provider_.is_connected()) {
    if (state_ == TokenState::kReady || state_ == TokenState::kOpening) {
      Drop(Error{ErrorCode::kUnreachable, "the connection to the HSM is gone"});
    } else if (state_ == TokenState::kFailed && retry_at_ != Instant::Max()) {
      state_ = TokenState::kAway;
    }
  } else if (state_ == TokenState::kAway || (state_ == TokenState::kFailed && now >= retry_at_)) {
    StartOpening(now);
  } else if (state_ == TokenState::kOpening && opening_waits_) {
    AskOpening(now);
  }
  for (Session& session : sessions_) {
    if (session.is_waiting_to_start) {
      Ask(session, now);
    }
  }
  Assign(now);
  CheckDeadlines(now);
  return more;
}

void Token::CheckDeadlines(Instant now) {
  for (TokenRequest& request : queue_) {
    if (now >= request.deadline) {
      queue_.Remove(request);
      Finish(request, Error{ErrorCode::kTimeout, "the HSM did not come to it in time"}, 0);
    }
  }
  Duration limit = kAnswerMax;
  for (Session& session : sessions_) {
    TokenRequest* request = session.request;
    limit = session.is_busy ? std::max(limit, LimitOf(session.work)) : limit;
    if (request != nullptr && now >= request->deadline) {
      session.request = nullptr;  // the session stays busy until the answer is there
      request->session = -1;
      Finish(*request, Error{ErrorCode::kTimeout, "the HSM did not answer in time"}, 0);
    }
  }
  const Instant since = provider_.waiting_since();
  if (since != Instant::Max() && now - since > limit) {
    Fail(Error{ErrorCode::kTimeout, "the HSM does not answer"}, true);
  }
}

// --- Opening ------------------------------------------------------------------------------------

void Token::StartOpening(Instant now) {
  state_ = TokenState::kOpening;
  opening_ = Opening::kInitialise;
  AskOpening(now);
}

void Token::AskOpening(Instant now) {
  Call& call = open_call_;
  call.numbers = {};
  call.input = {};
  switch (opening_) {
    case Opening::kInitialise:
      call.function = Function::kInitialize;
      break;
    case Opening::kSlots:
      call.function = Function::kGetSlotList;
      break;
    case Opening::kInfo:
      call.function = Function::kGetTokenInfo;
      call.numbers = {slots_[slot_at_]};
      break;
    case Opening::kSession:
      call.function = Function::kOpenSession;
      call.numbers = {slots_[slot_at_], kSerialSession | kReadWriteSession};
      break;
    case Opening::kLogIn:
      call.function = Function::kLogin;
      call.numbers = {sessions_[0].handle, kUser};
      call.input = AsBytes(settings_.pin.view());
      break;
  }
  opening_waits_ = !provider_.Start(call, now);
}

bool Token::IsWanted(const TokenInfo& info) const {
  if ((info.flags & kTokenInitialised) == 0) {
    return false;
  }
  const std::string_view wanted = settings_.serial.view();
  return wanted.empty() || wanted == Trimmed(info.serial) || wanted == Trimmed(info.label);
}

void Token::OnOpening(Call& call) {
  if (call.error.code != ErrorCode::kOk) {
    return;  // the connection: Poll sees it
  }
  const bool is_open_already =
      (opening_ == Opening::kInitialise && call.value == kAlreadyInitialized) ||
      (opening_ == Opening::kLogIn && call.value == kUserAlreadyLoggedIn);
  if (call.value != kOk && !is_open_already) {
    pin_refused_ = call.value == kPinIncorrect || call.value == kPinLocked;
    hardware_failed_ = IsHardware(call.value);
    Fail(ErrorOf(call.value), !pin_refused_);
    return;
  }
  switch (opening_) {
    case Opening::kInitialise:
      opening_ = Opening::kSlots;
      break;
    case Opening::kSlots:
      slots_ = call.handles;
      slot_count_ = call.handle_count;
      slot_at_ = 0;
      if (slot_count_ == 0) {
        hardware_failed_ = true;
        Fail(Error{ErrorCode::kNotFound, "there is no token in the HSM"}, true);
        return;
      }
      opening_ = Opening::kInfo;
      break;
    case Opening::kInfo:
      if (!IsWanted(call.token)) {
        if (++slot_at_ == slot_count_) {
          hardware_failed_ = true;
          Fail(Error{ErrorCode::kNotFound, "no token of the HSM has that serial number or label"},
               true);
          return;
        }
        break;
      }
      info_ = call.token;
      session_at_ = 0;
      opening_ = Opening::kSession;
      break;
    case Opening::kSession:
      sessions_[session_at_].handle = call.handles[0];
      sessions_[session_at_++].is_open = true;
      opening_ = session_at_ == sessions_.size() ? Opening::kLogIn : Opening::kSession;
      break;
    case Opening::kLogIn:
      state_ = TokenState::kReady;
      error_ = ErrorCode::kOk;
      hardware_failed_ = (info_.flags & kTokenErrorState) != 0;
      ++opened_count_;
      return;
  }
  AskOpening(now_);
}

// --- Requests -----------------------------------------------------------------------------------

bool Token::Start(TokenRequest& request, Instant now) {
  GH_ASSERT(!request.is_pending && request.listener != nullptr);
  request.ok = false;
  request.value = 0;
  request.output_size = 0;
  if (state_ != TokenState::kReady) {
    request.error = error_.code == ErrorCode::kOk
                        ? Error{ErrorCode::kUnreachable, "the HSM is not connected"}
                        : Error{ErrorCode::kUnreachable, error_.what};
    return false;
  }
  if (queue_.size() >= kTokenQueueMax) {
    request.error = Error{ErrorCode::kExhausted, "the HSM's queue is full"};
    return false;
  }
  request.is_pending = true;
  request.session = -1;
  queue_.PushBack(request);
  Assign(now);
  return true;
}

void Token::Cancel(TokenRequest& request) {
  if (!request.is_pending) {
    return;
  }
  if (request.session >= 0) {
    sessions_[static_cast<uint32_t>(request.session)].request = nullptr;
    request.session = -1;
  } else {
    queue_.Remove(request);
  }
  request.is_pending = false;
}

void Token::Finish(TokenRequest& request, const Error& error, uint64_t value) {
  request.is_pending = false;
  request.session = -1;
  request.ok = error.code == ErrorCode::kOk;
  request.error = error;
  request.value = value;
  request.listener->OnTokenDone(request);
}

void Token::Assign(Instant now) {
  for (uint32_t i = 0; i < sessions_.size() && state_ == TokenState::kReady; ++i) {
    Session& session = sessions_[i];
    if (!session.is_open || session.is_busy || queue_.empty()) {
      continue;
    }
    TokenRequest* request = queue_.PopFront();
    request->session = static_cast<int32_t>(i);
    session.request = request;
    session.is_busy = true;
    session.step = 0;
    session.work = request->work;
    session.label.Assign(request->label.view());
    session.key_type = request->key_type;
    session.bits = request->bits;
    session.key = request->handle;
    session.wrapped_key = request->wrapped_key;
    session.mechanism = request->mechanism;
    session.vector = request->vector;
    session.input = request->input;
    session.input_size = request->input_size;
    Ask(session, now);
  }
}

void Token::AskFind(Session& session, uint64_t object_class) {
  Call& call = session.call;
  call.numbers = {session.handle};
  switch (session.step) {
    case 0:
      call.function = Function::kFindObjectsInit;
      session.first.Add(Attribute::Flag(kToken, true));
      session.first.Add(Attribute::Number(kClass, object_class));
      session.first.Add(Attribute::Bytes(kLabel, AsBytes(session.label.view())));
      return;
    case 1:
      call.function = Function::kFindObjects;
      return;
    case 2:
      call.function = Function::kFindObjectsFinal;
      return;
    default:
      call.function = Function::kGetAttributeValue;
      call.numbers = {session.handle, session.key};
      if (object_class != kPublicKey) {
        session.first.Add(Attribute::Flag(kSensitive, false));
        session.first.Add(Attribute::Flag(kExtractable, false));
      }
      session.first.Add(Attribute::Number(kKeyType, 0));
      if (object_class == kPublicKey) {
        for (const uint32_t type : {kModulus, kPublicExponent, kEcParameters, kEcPoint}) {
          session.first.Add(Attribute::Bytes(type, {}));
        }
      }
  }
}

void Token::AskGenerate(Session& session) {
  Call& call = session.call;
  call.numbers = {session.handle};
  const auto label = AsBytes(session.label.view());
  if (session.work == TokenWork::kGenerateAes) {
    call.function = Function::kGenerateKey;
    call.mechanism = {.type = kAesKeyGen};
    session.first.Add(Attribute::Number(kClass, kSecretKey));
    session.first.Add(Attribute::Number(kKeyType, kTypeAes));
    session.first.Add(Attribute::Number(kValueLength, 32));
    for (const uint32_t type : {kEncryptUse, kDecryptUse, kWrapUse, kUnwrapUse}) {
      session.first.Add(Attribute::Flag(type, true));
    }
  } else {
    call.function = Function::kGenerateKeyPair;
    const bool is_rsa = session.key_type == KeyType::kRsa;
    call.mechanism = {.type = is_rsa ? kRsaKeyPairGen : kEcKeyPairGen};
    session.first.Add(Attribute::Flag(kToken, true));
    session.first.Add(Attribute::Flag(kPrivate, false));
    session.first.Add(Attribute::Flag(kVerifyUse, true));
    session.first.Add(Attribute::Bytes(kLabel, label));
    session.first.Add(Attribute::Bytes(kId, label));
    if (is_rsa) {
      session.first.Add(Attribute::Flag(kEncryptUse, true));
      session.first.Add(Attribute::Number(kModulusBits, session.bits));
      session.first.Add(Attribute::Bytes(kPublicExponent, kExponent));
    } else {
      session.first.Add(
          Attribute::Bytes(kEcParameters, session.key_type == KeyType::kEcP256
                                              ? std::span<const uint8_t>(kP256Parameters)
                                              : std::span<const uint8_t>(kP384Parameters)));
    }
  }
  Template& own = session.work == TokenWork::kGenerateAes ? session.first : session.second;
  own.Add(Attribute::Flag(kToken, true));
  own.Add(Attribute::Flag(kPrivate, true));
  own.Add(Attribute::Flag(kSensitive, true));
  own.Add(Attribute::Flag(kExtractable, false));
  own.Add(Attribute::Bytes(kLabel, label));
  own.Add(Attribute::Bytes(kId, label));
  if (session.work == TokenWork::kGeneratePair) {
    own.Add(Attribute::Flag(kSignUse, true));
    if (session.key_type == KeyType::kRsa) {
      own.Add(Attribute::Flag(kDecryptUse, true));
    }
  }
}

void Token::AskCrypt(Session& session) {
  Call& call = session.call;
  const bool is_first = session.step == 0;
  call.function = session.work == TokenWork::kSign
                      ? (is_first ? Function::kSignInit : Function::kSign)
                  : session.work == TokenWork::kEncrypt
                      ? (is_first ? Function::kEncryptInit : Function::kEncrypt)
                      : (is_first ? Function::kDecryptInit : Function::kDecrypt);
  call.numbers = {session.handle, session.key};
  call.mechanism = session.mechanism;
  if (call.mechanism.kind == Mechanism::Kind::kBytes) {
    call.mechanism.bytes = session.vector;
  }
  call.input = std::span<const uint8_t>(session.input).first(session.input_size);
}

void Token::AskWrap(Session& session) {
  Call& call = session.call;
  call.mechanism = session.mechanism;
  if (call.mechanism.kind == Mechanism::Kind::kBytes) {
    call.mechanism.bytes = session.vector;
  }
  if (session.work == TokenWork::kWrap) {
    call.function = Function::kWrapKey;
    call.numbers = {session.handle, session.key, session.wrapped_key};
    return;
  }
  call.function = Function::kUnwrapKey;
  call.numbers = {session.handle, session.key};
  call.input = std::span<const uint8_t>(session.input).first(session.input_size);
  const auto label = AsBytes(session.label.view());
  Template& own = session.first;
  own.Add(Attribute::Number(kClass, kPrivateKey));
  own.Add(Attribute::Number(kKeyType, session.key_type == KeyType::kRsa ? kTypeRsa : kTypeEc));
  own.Add(Attribute::Flag(kToken, true));
  own.Add(Attribute::Flag(kPrivate, true));
  own.Add(Attribute::Flag(kSensitive, true));
  own.Add(Attribute::Flag(kExtractable, false));
  own.Add(Attribute::Flag(kSignUse, true));
  own.Add(Attribute::Bytes(kLabel, label));
  own.Add(Attribute::Bytes(kId, label));
}

void Token::Ask(Session& session, Instant now) {
  session.first.Clear();
  session.second.Clear();
  Call& call = session.call;
  call.input = {};
  switch (session.work) {
    case TokenWork::kFindPrivate:
      AskFind(session, kPrivateKey);
      break;
    case TokenWork::kFindSecret:
      AskFind(session, kSecretKey);
      break;
    case TokenWork::kReadPublic:
      AskFind(session, kPublicKey);
      break;
    case TokenWork::kGeneratePair:
    case TokenWork::kGenerateAes:
      AskGenerate(session);
      break;
    case TokenWork::kSign:
    case TokenWork::kEncrypt:
    case TokenWork::kDecrypt:
      AskCrypt(session);
      break;
    case TokenWork::kWrap:
    case TokenWork::kUnwrap:
      AskWrap(session);
      break;
    case TokenWork::kDestroy:
      call.function = Function::kDestroyObject;
      call.numbers = {session.handle, session.key};
      break;
    case TokenWork::kCheck:
      call.function = Function::kGetTokenInfo;
      call.numbers = {slots_[slot_at_]};
      break;
  }
  call.first = session.first.attributes();
  call.second = session.second.attributes();
  session.is_waiting_to_start = !provider_.Start(call, now);
}

void Token::OnCall(Call& call) {
  if (&call == &open_call_) {
    OnOpening(call);
    return;
  }
  for (Session& session : sessions_) {
    if (&session.call == &call) {
      OnSession(session);
      return;
    }
  }
}

// True: there is another step.
bool Token::OnFound(Session& session) {
  const Call& call = session.call;
  if (session.step == 1) {
    session.key = call.handle_count == 1 ? call.handles[0] : 0;
    session.bits = call.handle_count;
  }
  if (session.step == 2 && session.key == 0) {
    End(session,
        session.bits == 0
            ? Error{ErrorCode::kNotFound, "there is no key of that label in the HSM"}
            : Error{ErrorCode::kAlreadyExists, "several keys in the HSM have that label"},
        0);
    return false;
  }
  if (session.step < 3) {
    ++session.step;
    return true;
  }
  TokenRequest* request = session.request;
  Error error = ErrorCode::kOk;
  if (request != nullptr && session.work == TokenWork::kReadPublic) {
    const auto built = BuildPublicKey(call, request->output);
    if (built.ok()) {
      request->output_size = built->size;
      request->key_type = built->type;
      request->bits = built->bits;
    } else {
      error = built.error();
    }
  } else if (request != nullptr) {
    request->is_protected = call.found[0].is_valid && call.found[0].number == 1 &&
                            call.found[1].is_valid && call.found[1].number == 0;
  }
  if (request != nullptr) {
    request->handle = session.key;
  }
  End(session, error, 0);
  return false;
}

void Token::OnSession(Session& session) {
  const Call& call = session.call;
  if (!session.is_busy) {
    return;
  }
  if (call.error.code != ErrorCode::kOk) {
    End(session, call.error, 0);
    return;
  }
  const bool is_find = session.work <= TokenWork::kReadPublic;
  if (call.value != kOk && !(is_find && session.step == 3 && call.value == kAttributeTypeInvalid)) {
    const uint64_t value = call.value;
    hardware_failed_ = hardware_failed_ || IsHardware(value);
    End(session, ErrorOf(value), value);
    if (IsLost(value)) {
      Fail(ErrorOf(value), true);
    }
    return;
  }
  if (is_find) {
    if (OnFound(session)) {
      Ask(session, now_);
    }
    return;
  }
  const bool is_crypt = session.work >= TokenWork::kSign && session.work <= TokenWork::kDecrypt;
  if (is_crypt && session.step == 0) {
    session.step = 1;
    Ask(session, now_);
    return;
  }
  if (session.work == TokenWork::kCheck) {
    info_ = call.token;
    hardware_failed_ = (info_.flags & kTokenErrorState) != 0;
  }
  if (TokenRequest* request = session.request; request != nullptr) {
    if (session.work == TokenWork::kGeneratePair || session.work == TokenWork::kGenerateAes ||
        session.work == TokenWork::kUnwrap) {
      request->handle = call.handles[call.handle_count - 1];
    }
    if (call.output_size > request->output.size()) {
      End(session, Error{ErrorCode::kUnauthentic, "the HSM's answer is too large"}, 0);
      return;
    }
    std::ranges::copy(call.out(), request->output.begin());
    request->output_size = call.output_size;
  }
  End(session, ErrorCode::kOk, 0);
}

void Token::End(Session& session, const Error& error, uint64_t value) {
  TokenRequest* request = session.request;
  session.request = nullptr;
  session.is_busy = false;
  session.is_waiting_to_start = false;
  SecureZero(session.input);
  SecureZero(session.call.output);
  if (request != nullptr) {
    Finish(*request, error, value);
  }
}

}  // namespace gh::crypto::pkcs11
