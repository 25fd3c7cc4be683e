#include "firmware/snmp/agent.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/bytes.h"

namespace gh::snmp {
namespace {

constexpr int32_t kVersion2c = 1;
constexpr int32_t kVersion3 = 3;
constexpr int32_t kUserSecurity = 3;
constexpr uint8_t kFlagAuth = 1;
constexpr uint8_t kFlagPrivacy = 2;
constexpr uint8_t kFlagReportable = 4;
constexpr int32_t kTooBig = 1;
constexpr int32_t kNotWritable = 17;
constexpr size_t kSaltSize = 8;
// What a v3 message has around its variables, generously.
constexpr size_t kWrapMax = 240;
constexpr int32_t kSizeMin = 484;  // RFC 3412: everybody takes that much

// The last number of usmStats (RFC 3414 section 5).
constexpr uint32_t kUnsupportedLevel = 1;
constexpr uint32_t kNotInTimeWindow = 2;
constexpr uint32_t kUnknownUserName = 3;
constexpr uint32_t kUnknownEngineId = 4;
constexpr uint32_t kWrongDigest = 5;
constexpr uint32_t kDecryptionError = 6;

constexpr Oid kUsmStats = {1, 3, 6, 1, 6, 3, 15, 1, 1};
constexpr Oid kSysUpTime = {1, 3, 6, 1, 2, 1, 1, 3, 0};
constexpr Oid kSnmpTrapOid = {1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0};

}  // namespace

void Agent::SetEngine(std::span<const uint8_t> engine_id, uint32_t boots, Instant started) {
  engine_id_size_ = static_cast<uint32_t>(std::min(engine_id.size(), engine_id_.size()));
  std::copy_n(engine_id.begin(), engine_id_size_, engine_id_.begin());
  boots_ = boots;
  started_ = started;
  salt_ = uint64_t{boots} << 32;  // never the same twice: boots count, and then we do
}

uint32_t Agent::TimeOf(Instant now) const {
  return static_cast<uint32_t>((now - started_).seconds());
}

std::span<const uint8_t> Agent::Refuse(const char* why, uint64_t& counter) {
  ++counter;
  last_refusal_ = why;
  return {};
}

std::span<const uint8_t> Agent::Handle(std::span<uint8_t> in, std::span<uint8_t> out, Instant now) {
  ++counters_.in_packets;
  BerReader whole(in);
  BerReader message = whole.Enter(kSequence);
  const int32_t version = message.Integer();
  if (!message.ok() || !whole.at_end()) {
    return Refuse("malformed", counters_.malformed);
  }
  std::span<const uint8_t> answer;
  if (version == kVersion2c) {
    answer = HandleV2(message, out);
  } else if (version == kVersion3) {
    answer = HandleV3(in, message, out, now);
  } else {
    return Refuse("version", counters_.bad_version);
  }
  counters_.out_packets += answer.empty() ? 0 : 1;
  return answer;
}

bool Agent::ReadPdu(BerReader& in, Pdu& pdu) {
  BerReader body(in.Any(pdu.type));
  pdu.request_id = body.Integer();
  pdu.second = body.Integer();
  pdu.third = body.Integer();
  pdu.binds = body.Value(kSequence);
  return in.ok() && body.ok() && body.at_end();
}

std::span<const uint8_t> Agent::HandleV2(BerReader& in, std::span<uint8_t> out) {
  const auto community = in.Value(kOctetString);
  Pdu pdu;
  if (!in.ok() || !ReadPdu(in, pdu) || !in.at_end()) {
    return Refuse("malformed", counters_.malformed);
  }
  if (community_.empty() || !ConstantTimeEqual(community, AsBytes(community_.view()))) {
    return Refuse("unknown community", counters_.bad_community);
  }
  BerWriter writer(out);
  if (!Respond(pdu, out.size() - kWrapMax, writer)) {
    return Refuse("malformed", counters_.malformed);
  }
  writer.Octets(community);
  writer.Integer(kVersion2c);
  writer.End(kSequence, out.size());
  return writer.ok() ? writer.written() : std::span<const uint8_t>();
}

// --- Answers ------------------------------------------------------------------------------------

bool Agent::ReadNames(std::span<const uint8_t> binds, uint32_t& count) {
  BerReader in(binds);
  count = 0;
  while (in.ok() && !in.at_end()) {
    if (count == names_.size()) {
      return false;
    }
    BerReader bind = in.Enter(kSequence);
    uint8_t tag = 0;
    bind.ObjectId(names_[count++]);
    (void)bind.Any(tag);
    if (!bind.ok() || !bind.at_end()) {
      return false;
    }
  }
  return in.ok();
}

bool Agent::AppendBind(const Oid& name, const Value& value, size_t size_max) {
  uint8_t bytes[kTextMax + kOidMax * 5 * 2 + 32];
  BerWriter out(bytes);
  const size_t mark = out.mark();
  value.Write(out);
  out.ObjectId(name.view());
  out.End(kSequence, mark);
  GH_ASSERT(out.ok());
  if (binds_size_ + out.size() > std::min(size_max, binds_.size())) {
    return false;
  }
  std::memcpy(binds_.data() + binds_size_, out.written().data(), out.size());
  binds_size_ += out.size();
  return true;
}

bool Agent::AppendNext(Oid& name, size_t size_max, bool& at_end) {
  Value value;
  mib_.Next(name, value);
  at_end = value.tag == kEndOfMibView;
  return AppendBind(name, value, size_max);
}

void Agent::AnswerBulk(const Pdu& request, uint32_t name_count, size_t size_max) {
  const auto fixed =
      static_cast<uint32_t>(std::clamp<int64_t>(request.second, 0, int64_t{name_count}));
  const auto rounds =
      static_cast<uint32_t>(std::clamp<int64_t>(request.third, 0, int64_t{kRepetitionMax}));
  bool at_end = false;
  for (uint32_t i = 0; i < fixed; ++i) {
    if (!AppendNext(names_[i], size_max, at_end)) {
      return;
    }
  }
  uint32_t bind_count = fixed;
  for (uint32_t round = 0; round < rounds; ++round) {
    bool all_at_end = true;
    for (uint32_t i = fixed; i < name_count; ++i) {
      if (bind_count++ == kVarBindMax || !AppendNext(names_[i], size_max, at_end)) {
        return;
      }
      all_at_end = all_at_end && at_end;
    }
    if (all_at_end) {
      return;
    }
  }
}

void Agent::WritePdu(uint8_t type, int32_t request_id, int32_t status, int32_t index,
                     std::span<const uint8_t> binds, BerWriter& out) {
  const size_t mark = out.mark();
  out.Octets(binds, kSequence);
  out.Integer(index);
  out.Integer(status);
  out.Integer(request_id);
  out.End(type, mark);
}

bool Agent::Respond(const Pdu& request, size_t size_max, BerWriter& out) {
  uint32_t count = 0;
  if (!ReadNames(request.binds, count)) {
    return false;
  }
  binds_size_ = 0;
  bool fits = true;
  switch (request.type) {
    case kGetRequest:
      for (uint32_t i = 0; i < count && fits; ++i) {
        Value value;
        mib_.Get(names_[i], value);
        fits = AppendBind(names_[i], value, size_max);
      }
      break;
    case kGetNextRequest:
      for (uint32_t i = 0; i < count && fits; ++i) {
        bool at_end = false;
        fits = AppendNext(names_[i], size_max, at_end);
      }
      break;
    case kGetBulkRequest:
      AnswerBulk(request, count, size_max);
      break;
    case kSetRequest:
      fits = request.binds.size() <= size_max;
      if (fits) {
        WritePdu(kResponse, request.request_id, kNotWritable, count > 0 ? 1 : 0, request.binds,
                 out);
        return out.ok();
      }
      break;
    default:
      return false;
  }
  const auto binds = std::span<const uint8_t>(binds_).first(fits ? binds_size_ : 0);
  WritePdu(kResponse, request.request_id, fits ? 0 : kTooBig, 0, binds, out);
  return out.ok();
}

// --- Version 3 ----------------------------------------------------------------------------------

bool Agent::ReadHeader(BerReader& in, Header& header) {
  BerReader global = in.Enter(kSequence);
  header.message_id = global.Integer();
  header.size_max = global.Integer();
  const auto flags = global.Value(kOctetString);
  const int32_t model = global.Integer();
  BerReader outer(in.Value(kOctetString));
  BerReader security = outer.Enter(kSequence);
  header.engine_id = security.Value(kOctetString);
  const int32_t boots = security.Integer();
  const int32_t time = security.Integer();
  header.user = security.Value(kOctetString);
  header.tag = security.Value(kOctetString);
  header.salt = security.Value(kOctetString);
  if (!in.ok() || !global.ok() || !outer.ok() || !security.ok() || !global.at_end() ||
      !outer.at_end() || !security.at_end() || flags.size() != 1 || model != kUserSecurity ||
      header.message_id < 0 || header.size_max < kSizeMin || boots < 0 || time < 0) {
    return false;
  }
  header.flags = flags[0];
  header.boots = static_cast<uint32_t>(boots);
  header.time = static_cast<uint32_t>(time);
  return (header.flags & (kFlagAuth | kFlagPrivacy)) != kFlagPrivacy;
}

User* Agent::FindUser(std::span<const uint8_t> name) {
  for (User& user : users_) {
    if (!user.name.empty() && user.ready && user.name.view() == AsText(name)) {
      return &user;
    }
  }
  return nullptr;
}

bool Agent::CheckTag(std::span<uint8_t> whole, const Header& header, const User& user) {
  const size_t size = TagSize(user.protocol);
  if (header.tag.size() != size) {
    return false;
  }
  std::array<uint8_t, kTagMax> shown = {};
  std::copy(header.tag.begin(), header.tag.end(), shown.begin());
  const auto at = static_cast<size_t>(header.tag.data() - whole.data());
  std::memset(whole.data() + at, 0, size);
  const auto wanted = TagOf(user.protocol, user.auth_key, whole);
  return ConstantTimeEqual(std::span(wanted).first(size), std::span(shown).first(size));
}

uint32_t Agent::CheckSecurity(std::span<uint8_t> whole, const Header& header, const User* user,
                              Instant now) {
  if (!std::equal(header.engine_id.begin(), header.engine_id.end(), engine_id_span().begin(),
                  engine_id_span().end())) {
    ++counters_.unknown_engine;
    return kUnknownEngineId;
  }
  if (user == nullptr) {
    ++counters_.unknown_user;
    last_refusal_ = "unknown user";
    return kUnknownUserName;
  }
  const uint8_t needed = user->has_privacy ? kFlagAuth | kFlagPrivacy : kFlagAuth;
  if ((header.flags & (kFlagAuth | kFlagPrivacy)) != needed) {
    ++counters_.unsupported_level;
    last_refusal_ = "security level";
    return kUnsupportedLevel;
  }
  if (!CheckTag(whole, header, *user)) {
    ++counters_.wrong_digest;
    last_refusal_ = "wrong digest";
    return kWrongDigest;
  }
  const int64_t late = int64_t{TimeOf(now)} - header.time;
  if (header.boots != boots_ || boots_ >= INT32_MAX || late > kTimeWindow_s ||
      late < -kTimeWindow_s) {
    ++counters_.not_in_window;
    return kNotInTimeWindow;
  }
  return 0;
}

bool Agent::ReadScope(BerReader& in, Pdu& pdu) {
  BerReader scope = in.Enter(kSequence);
  const auto context_engine = scope.Value(kOctetString);
  const auto context = scope.Value(kOctetString);
  return in.ok() && scope.ok() && ReadPdu(scope, pdu) && scope.at_end() && context.empty() &&
         std::equal(context_engine.begin(), context_engine.end(), engine_id_span().begin(),
                    engine_id_span().end());
}

std::span<const uint8_t> Agent::HandleV3(std::span<uint8_t> whole, BerReader& in,
                                         std::span<uint8_t> out, Instant now) {
  Header header;
  if (!ReadHeader(in, header)) {
    return Refuse("malformed", counters_.malformed);
  }
  const User* user = FindUser(header.user);
  if (const uint32_t report = CheckSecurity(whole, header, user, now); report != 0) {
    return Report(header, report, user, out, now);
  }
  Pdu pdu;
  if (!user->has_privacy) {
    if (!ReadScope(in, pdu) || !in.at_end()) {
      return Refuse("malformed", counters_.malformed);
    }
  } else {
    const auto sealed = in.Value(kOctetString);
    if (!in.ok() || !in.at_end() || header.salt.size() != kSaltSize) {
      return Refuse("malformed", counters_.malformed);
    }
    const auto at = static_cast<size_t>(sealed.data() - whole.data());
    const auto plain = whole.subspan(at, sealed.size());
    Crypt(false, user->privacy_key, header.boots, header.time,
          std::span<const uint8_t, kSaltSize>(header.salt), plain);
    BerReader opened(plain);
    if (!ReadScope(opened, pdu)) {
      ++counters_.decryption_error;
      last_refusal_ = "decryption";
      return Report(header, kDecryptionError, user, out, now);
    }
  }
  BerWriter writer(out);
  const size_t room = std::min<size_t>(out.size(), static_cast<size_t>(header.size_max));
  if (!Respond(pdu, room - kWrapMax, writer)) {
    return Refuse("malformed", counters_.malformed);
  }
  WriteScope(writer);
  return Seal(writer, header.message_id, user, header.flags & (kFlagAuth | kFlagPrivacy), now);
}

void Agent::WriteScope(BerWriter& writer) {
  writer.Octets({});
  writer.Octets(engine_id_span());
  writer.End(kSequence, writer.mark() + writer.size());
}

std::span<const uint8_t> Agent::Report(const Header& header, uint32_t which, const User* user,
                                       std::span<uint8_t> out, Instant now) {
  if ((header.flags & kFlagReportable) == 0) {
    return {};
  }
  const uint64_t counts[] = {0,
                             counters_.unsupported_level,
                             counters_.not_in_window,
                             counters_.unknown_user,
                             counters_.unknown_engine,
                             counters_.wrong_digest,
                             counters_.decryption_error};
  Oid name = kUsmStats;
  name.Append(which);
  name.Append(0);
  Value value;
  value.SetCount(kCounter32, counts[which]);
  binds_size_ = 0;
  const bool fits = AppendBind(name, value, binds_.size());
  GH_ASSERT(fits);
  BerWriter writer(out);
  WritePdu(kReport, 0, 0, 0, std::span<const uint8_t>(binds_).first(binds_size_), writer);
  WriteScope(writer);
  // Only who has proved to know the key is told the time authentically.
  const bool authentic = which == kNotInTimeWindow;
  return Seal(writer, header.message_id, authentic ? user : nullptr,
              authentic ? kFlagAuth : uint8_t{0}, now);
}

std::span<const uint8_t> Agent::Seal(BerWriter& writer, int32_t message_id, const User* user,
                                     uint8_t flags, Instant now) {
  const size_t end = writer.mark() + writer.size();
  const uint32_t time = TimeOf(now);
  std::array<uint8_t, kSaltSize> salt;
  ByteWriter salt_out(salt);
  salt_out.U64Be(++salt_);
  const bool has_privacy = (flags & kFlagPrivacy) != 0;
  const bool has_auth = (flags & kFlagAuth) != 0;
  if (has_privacy && writer.ok()) {
    Crypt(true, user->privacy_key, boots_, time, salt, writer.written());
    writer.End(kOctetString, end);
  }
  const size_t security = writer.mark();
  writer.Octets(has_privacy ? std::span<const uint8_t>(salt) : std::span<const uint8_t>());
  const std::array<uint8_t, kTagMax> no_tag = {};
  const size_t tag_size = has_auth ? TagSize(user->protocol) : 0;
  writer.Bytes(std::span(no_tag).first(tag_size));
  const size_t tag_at = writer.mark();
  writer.End(kOctetString, tag_at + tag_size);
  writer.Octets(user != nullptr ? AsBytes(user->name.view()) : std::span<const uint8_t>());
  writer.Integer(time);
  writer.Integer(boots_);
  writer.Octets(engine_id_span());
  writer.End(kSequence, security);
  writer.End(kOctetString, security);
  const size_t global = writer.mark();
  writer.Integer(kUserSecurity);
  writer.Octets(std::span(&flags, 1));
  writer.Integer(kMessageMax);
  writer.Integer(message_id);
  writer.End(kSequence, global);
  writer.Integer(kVersion3);
  writer.End(kSequence, end);
  if (!writer.ok()) {
    return {};
  }
  if (has_auth) {
    const auto message = writer.written();
    const auto tag = TagOf(user->protocol, user->auth_key, message);
    std::copy_n(tag.begin(), tag_size, message.begin() + (tag_at - writer.mark()));
  }
  return writer.written();
}

// --- Notifications ------------------------------------------------------------------------------

std::span<const uint8_t> Agent::Notify(const Oid& what, std::span<const VarBind> binds, int user,
                                       std::span<uint8_t> out, Instant now) {
  const User* sender = user < 0 ? nullptr : &users_[static_cast<size_t>(user)];
  if (sender == nullptr ? community_.empty() : sender->name.empty() || !sender->ready) {
    return {};
  }
  Value up_time;
  up_time.SetCount(kTimeTicks, static_cast<uint64_t>((now - started_).milliseconds() / 10));
  Value kind;
  kind.tag = kObjectId;
  kind.oid = what;
  binds_size_ = 0;
  bool fits = AppendBind(kSysUpTime, up_time, binds_.size()) &&
              AppendBind(kSnmpTrapOid, kind, binds_.size());
  for (const VarBind& bind : binds) {
    fits = fits && AppendBind(bind.name, bind.value, out.size() - kWrapMax);
  }
  if (!fits) {
    return {};
  }
  BerWriter writer(out);
  notification_id_ = notification_id_ == INT32_MAX ? 1 : notification_id_ + 1;
  WritePdu(kTrap, notification_id_, 0, 0, std::span<const uint8_t>(binds_).first(binds_size_),
           writer);
  ++counters_.traps;
  if (sender == nullptr) {
    writer.Octets(AsBytes(community_.view()));
    writer.Integer(kVersion2c);
    writer.End(kSequence, out.size());
    return writer.ok() ? writer.written() : std::span<const uint8_t>();
  }
  WriteScope(writer);
  const uint8_t flags = sender->has_privacy ? kFlagAuth | kFlagPrivacy : kFlagAuth;
  return Seal(writer, notification_id_, sender, flags, now);
}

}  // namespace gh::snmp
