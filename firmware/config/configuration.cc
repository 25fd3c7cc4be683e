#include "firmware/config/configuration.h"

#include <algorithm>

#include "firmware/config/hsm_rules.h"
#include "firmware/config/migrations.h"
#include "firmware/config/network_rules.h"
#include "firmware/config/network_settings.h"
#include "firmware/config/password.h"
#include "firmware/config/tree.h"
#include "firmware/config/value.h"

namespace gh::config {
namespace {

constexpr uint8_t kMarkerValue[] = {kSchema};

constexpr uint32_t GroupOfUsers() { return static_cast<uint32_t>(GroupId::kAuthenticationUser); }

std::string_view TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + 1);
  return line;
}

}  // namespace

// Puts stored rows into settings. Rows are outside data.
class Configuration::Loader final : public store::EntryVisitor {
 public:
  explicit Loader(Settings& settings) : settings_(settings) {}
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    any = true;
    if (key.starts_with('@')) {
      return;  // a note about the rows, not a setting
    }
    Message expected;
    const auto line = ParsePath(key, expected);
    if (!line.ok()) {
      ++report.unknown;
      return;
    }
    const auto selector = FindSetting(line->path(), settings_, expected);
    if (!selector.ok()) {
      ++report.unknown;
      return;
    }
    const bool good = DecodeStored(InfoOf(*selector), value, settings_.Field(*selector)).ok();
    ++(good ? report.loaded : report.refused);
  }
  LoadReport report;
  bool any = false;

 private:
  Settings& settings_;
};

Configuration::Configuration(Arena& arena, uint32_t user_count_max, const Parts& parts)
    : active_(arena, user_count_max),
      staged_(arena, user_count_max),
      parts_(parts),
      user_order_(arena.NewArray<uint32_t>(active_.instance_count(GroupOfUsers()))),
      user_usable_(arena.NewArray<uint8_t>(active_.instance_count(GroupOfUsers()))) {}

Result<LoadReport> Configuration::Load() {
  active_.ResetToDefaults();
  Loader loader(active_);
  GH_TRY(parts_.store.ForEach(loader));
  if (parts_.history != nullptr) {
    GH_TRY(parts_.history->Load());
  }
  is_factory_ = !loader.any;
  IndexUsers(active_);
  return loader.report;
}

void Configuration::Begin() {
  GH_ASSERT(!in_change_);
  staged_.CopyFrom(active_);
  in_change_ = true;
}

void Configuration::Abort() {
  GH_ASSERT(in_change_);
  in_change_ = false;
}

Result<Selector> Configuration::Apply(std::string_view text, Message& expected) {
  GH_TRY_ASSIGN(const Line line, ParseLine(text, expected));
  return Apply(line, expected);
}

Result<Selector> Configuration::Apply(const Line& line, Message& expected) {
  GH_ASSERT(in_change_);
  if (line.is_search) {
    MessageWriter(expected).Add("expected a setting, not a search");
    return Error{ErrorCode::kInvalidArgument, "a search"};
  }
  GH_TRY_ASSIGN(const Selector selector, FindSetting(line.path(), staged_, expected));
  if (!line.has_value) {
    MessageWriter(expected).Add("expected \":\" and a value");
    return Error{ErrorCode::kInvalidArgument, "no value"};
  }
  const SettingInfo& setting = InfoOf(selector);
  if (setting.is_secret() && !line.value.empty()) {
    GH_TRY(ApplySecret(selector, line.value.view(), expected));
    return selector;
  }
  GH_TRY(ParseValue(setting, line.value.view(), staged_.Field(selector), expected));
  return selector;
}

void Configuration::StageDefaults() {
  GH_ASSERT(in_change_);
  staged_.ResetToDefaults();
}

Result<void> Configuration::ApplyStored(std::string_view path, std::span<const uint8_t> stored) {
  GH_ASSERT(in_change_);
  Message ignored;
  const auto line = ParsePath(path, ignored);
  const auto selector = line.ok() ? FindSetting(line->path(), staged_, ignored)
                                  : Result<Selector>(ErrorCode::kMalformed);
  if (!selector.ok()) {
    return Error{ErrorCode::kNotFound, "no such setting"};
  }
  return DecodeStored(InfoOf(*selector), stored, staged_.Field(*selector));
}

Result<void> Configuration::ApplySecret(Selector selector, std::string_view password,
                                        Message& expected) {
  if (password == kSecretShown) {
    return Ok();  // a listing put back in: what is set stays
  }
  if (InfoOf(selector).kind == Kind::kSecretText) {
    return ParseValue(InfoOf(selector), password, staged_.Field(selector), expected);
  }
  if (InfoOf(selector).kind == Kind::kDigestPassword) {
    const AuthenticationUser& user = staged_.authentication_user()[selector.instance];
    const std::string_view realm = RealmOf(staged_);
    if (user.name.empty() || realm.empty()) {
      MessageWriter(expected).Add(user.name.empty()
                                      ? "expected the Name of this user to be set first"
                                      : "expected SIP Domain 1 Name or SIP Authentication Realm "
                                        "to be set first");
      return Error{ErrorCode::kWrongState, "password needs user and realm"};
    }
    GH_TRY(CheckSipPassword(password, expected));
    const DigestSecret secret = MakeDigestSecret(user.name.view(), realm, password);
    std::memcpy(staged_.Field(selector), &secret, sizeof(secret));
    return Ok();
  }
  GH_ASSERT(InfoOf(selector).kind == Kind::kAdminPassword);
  const Administrator& administrator = staged_.administrator()[selector.instance];
  if (administrator.name.empty()) {
    MessageWriter(expected).Add("expected the Name of this administrator to be set first");
    return Error{ErrorCode::kWrongState, "password needs a name"};
  }
  AdminSecret secret;
  if (password.starts_with("$argon2id$")) {  // made elsewhere: no clear text in files
    if (password.size() > kAdminHashMax ||
        parts_.hasher.Verify("", password).code() != ErrorCode::kUnauthentic) {
      MessageWriter(expected).Add("expected a password or an Argon2id record");
      return Error{ErrorCode::kMalformed, "not an Argon2id record"};
    }
    secret.hash.Set(password);
  } else {
    GH_TRY(CheckAdminPassword(staged_.administration_password(), administrator.name.view(),
                              password, expected));
    auto made = MakeAdminSecret(parts_.hasher, parts_.random, password);
    if (!made.ok()) {
      MessageWriter(expected).Add(made.error().what);
      return made.error();
    }
    secret = *made;
  }
  std::memcpy(staged_.Field(selector), &secret, sizeof(secret));
  return Ok();
}

// Rules between settings. One of a kind is enough to refuse: the first is named.
Result<void> Configuration::Check(Message& expected) const {
  GH_TRY(CheckNetwork(staged_, expected));
  if (check_ != nullptr) {
    GH_TRY(check_->Check(staged_, expected));
  }
  GH_TRY(CheckHsm(staged_, expected));
  const SipRegistration& registration = staged_.sip_registration();
  if (registration.expire_min > registration.expire_max ||
      registration.expire_default > registration.expire_max ||
      registration.expire_default < registration.expire_min) {
    MessageWriter(expected).Add(
        "expected SIP Registration Expire Min <= Expire Default <= Expire Max");
    return Error{ErrorCode::kInvalidArgument, "expiry limits contradict"};
  }
  const auto domains = staged_.sip_domain();
  const auto administrators = staged_.administrator();
  bool has_administrator = false;
  for (size_t i = 0; i < administrators.size(); ++i) {
    const Administrator& one = administrators[i];
    has_administrator = has_administrator || (!one.name.empty() && one.password.is_set() &&
                                              one.role == Role::kAdministrator);
    for (size_t j = 0; j < i; ++j) {
      if (!one.name.empty() && one.name == administrators[j].name) {
        MessageWriter(expected)
            .Add("expected different names: Administrator ")
            .Add(static_cast<int64_t>(j + 1))
            .Add(" and ")
            .Add(static_cast<int64_t>(i + 1));
        return Error{ErrorCode::kAlreadyExists, "administrator twice"};
      }
    }
  }
  if (!has_administrator) {
    MessageWriter(expected).Add(
        "expected at least one Administrator with Name, Password and Role Administrator");
    return Error{ErrorCode::kInvalidArgument, "no administrator"};
  }
  for (size_t i = 0; i < domains.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!domains[i].name.empty() &&
          EqualsIgnoreCase(domains[i].name.view(), domains[j].name.view())) {
        MessageWriter(expected)
            .Add("expected different names: SIP Domain ")
            .Add(static_cast<int64_t>(j + 1))
            .Add(" and ")
            .Add(static_cast<int64_t>(i + 1));
        return Error{ErrorCode::kAlreadyExists, "domain twice"};
      }
    }
  }
  return CheckUsers(expected);
}

// user_order_ is of the staged settings here (Commit indexes them first).
Result<void> Configuration::CheckUsers(Message& expected) const {
  const auto users = staged_.authentication_user();
  for (uint32_t i = 1; i < user_count_; ++i) {
    const uint32_t a = user_order_[i - 1];
    const uint32_t b = user_order_[i];
    if (users[a].name == users[b].name) {
      MessageWriter(expected)
          .Add("expected different names: Authentication User ")
          .Add(std::min(a, b) + 1)
          .Add(" and ")
          .Add(std::max(a, b) + 1);
      return Error{ErrorCode::kAlreadyExists, "user twice"};
    }
  }
  return Ok();
}

Result<void> Configuration::WriteSetting(Selector selector) {
  uint8_t key_bytes[kPathTextMax];
  uint8_t value_bytes[kStoredValueMax];
  ByteWriter key(key_bytes);
  ByteWriter value(value_bytes);
  FormatPath(selector, key);
  EncodeStored(InfoOf(selector), staged_.Field(selector), value);
  GH_ASSERT(key.ok() && value.ok());
  GH_TRY(IsDefault(InfoOf(selector), staged_.Field(selector))
             ? parts_.store.Remove(key.text())
             : parts_.store.Put(key.text(), value.written()));
  return WriteHistory(selector, key.text(), value.written());
}

template <typename Visit>
void Configuration::ForEachNetworkSetting(Visit visit) const {
  for (uint32_t g = 0; g < kGroupCount; ++g) {
    for (uint32_t i = 0; i < staged_.instance_count(g); ++i) {
      for (uint32_t s = 0; s < kGroups[g].setting_count; ++s) {
        const Selector selector{kGroups[g].setting_first + s, i};
        if (IsNetworkSetting(selector)) {
          visit(selector);
        }
      }
    }
  }
}

// Presets are in force, so a change that leaves them alone does not name them.
Result<void> Configuration::WritePresets() {
  Result<void> outcome;
  ForEachNetworkSetting(
      [&](Selector selector) { outcome = outcome.ok() ? WriteSetting(selector) : outcome; });
  return outcome;
}

void Configuration::DropPresets() {
  GH_ASSERT(in_change_);
  ForEachNetworkSetting(
      [&](Selector selector) { SetDefault(InfoOf(selector), staged_.Field(selector)); });
}

bool Configuration::Preset(std::string_view key, std::span<const uint8_t> value) {
  GH_ASSERT(is_factory_ && !in_change_);
  Message expected;
  const auto line = ParsePath(key, expected);
  if (!line.ok()) {
    return false;
  }
  const auto selector = FindSetting(line->path(), active_, expected);
  if (!selector.ok() || !IsNetworkSetting(*selector) ||
      !DecodeStored(InfoOf(*selector), value, active_.Field(*selector)).ok()) {
    return false;
  }
  ++preset_count_;
  return true;
}

Result<void> Configuration::WriteChanges(CommitCompanion* companion) {
  store::Store& store = parts_.store;
  GH_TRY(store.Begin());
  Result<void> outcome = is_factory_ ? store.Put(kMarkerKey, kMarkerValue) : Ok();
  uint32_t count = 0;
  if (outcome.ok() && parts_.history != nullptr) {
    outcome = parts_.history->Begin();
  }
  ForEachChange([&](Selector selector) {
    ++count;
    outcome = outcome.ok() ? WriteSetting(selector) : outcome;
  });
  outcome = outcome.ok() && preset_count_ > 0 ? WritePresets() : outcome;
  outcome = outcome.ok() && companion != nullptr ? companion->Write() : outcome;
  const bool has_history = parts_.history != nullptr && count > 0;
  if (outcome.ok() && has_history) {
    const std::string_view author = listener_ != nullptr ? listener_->Author() : "provisioning";
    outcome = parts_.history->Finish(author);
  }
  if (!outcome.ok()) {
    store.Rollback();
    return outcome;
  }
  GH_TRY(store.Commit());
  if (has_history) {
    parts_.history->Commit();
  }
  return Ok();
}

Result<void> Configuration::WriteHistory(Selector selector, std::string_view path,
                                         std::span<const uint8_t> after) {
  if (parts_.history == nullptr) {
    return Ok();
  }
  const SettingInfo& setting = InfoOf(selector);
  uint8_t bytes[kStoredValueMax];
  ByteWriter before(bytes);
  EncodeStored(setting, active_.Field(selector), before);
  GH_ASSERT(before.ok());
  return parts_.history->Add(path, {IsDefault(setting, active_.Field(selector)), before.written()},
                             {IsDefault(setting, staged_.Field(selector)), after});
}

// Puts back, newest first, what each later commit had found.
class Configuration::Reverter final : public ChangeVisitor {
 public:
  explicit Reverter(Settings& settings) : settings_(settings) {}
  void OnChange(const ChangeRow& row) override {
    Message ignored;
    const auto line = ParsePath(row.path, ignored);
    const auto selector = line.ok() ? FindSetting(line->path(), settings_, ignored)
                                    : Result<Selector>(ErrorCode::kNotFound);
    if (!selector.ok()) {
      return;  // this version does not have the setting
    }
    if (row.before.is_default) {
      SetDefault(InfoOf(*selector), settings_.Field(*selector));
    } else {
      DecodeStored(InfoOf(*selector), row.before.bytes, settings_.Field(*selector))
          .ignore("a value this version does not accept stays as it is");
    }
  }

 private:
  Settings& settings_;
};

Result<void> Configuration::StageRevert(uint32_t number, Message& expected) {
  GH_ASSERT(in_change_);
  History* history = parts_.history;
  const bool kept = history != nullptr && number >= 1 && number + 1 >= history->first() &&
                    number < history->next();
  if (!kept) {
    MessageWriter(expected).Add(
        "expected the number of a change, see xCommand Configuration "
        "History");
    return Error{ErrorCode::kNotFound, "expected the number of a change that is kept"};
  }
  Reverter reverter(staged_);
  for (uint32_t at = history->next() - 1; at > number; --at) {
    GH_TRY_ASSIGN(const CommitInfo info, history->Read(at));
    if (info.kept_count != info.change_count) {
      MessageWriter(expected).Add("change ").Add(at).Add(
          " was too large to be kept whole: nothing before it can be gone back to");
      return Error{ErrorCode::kTooLarge, "a later change was too large to be kept whole"};
    }
    if (auto walked = history->ForEachChange(at, reverter); !walked.ok()) {
      MessageWriter(expected).Add(walked.error().what);
      return walked.error();
    }
  }
  return Ok();
}

void Configuration::Announce() {
  GroupSet groups;
  bool restart = false;
  ForEachChange([&](Selector selector) {
    groups.Add(InfoOf(selector).group);
    restart = restart || InfoOf(selector).needs_restart();
    if (listener_ == nullptr) {
      return;
    }
    uint8_t before_bytes[256];
    uint8_t after_bytes[256];
    ByteWriter before(before_bytes);
    ByteWriter after(after_bytes);
    FormatValue(InfoOf(selector), active_.Field(selector), before);
    FormatValue(InfoOf(selector), staged_.Field(selector), after);
    listener_->OnSettingChanged(selector, before.text(), after.text());
  });
  restart_needed_ = restart_needed_ || restart;
  active_.CopyFrom(staged_);
  if (listener_ != nullptr && !groups.empty()) {
    listener_->OnCommitted(groups, restart);
  }
}

Result<void> Configuration::Commit(Message& note, CommitCompanion* companion) {
  GH_ASSERT(in_change_);
  in_change_ = false;
  IndexUsers(staged_);
  Result<void> outcome = Check(note);
  if (outcome.ok()) {
    outcome = WriteChanges(companion);
    if (!outcome.ok()) {
      MessageWriter(note).Add("not stored: ").Add(outcome.error().what);
      if (listener_ != nullptr) {
        listener_->OnCommitFailed(outcome.error());
      }
    }
  }
  if (!outcome.ok()) {
    IndexUsers(active_);
    return outcome;
  }
  is_factory_ = false;
  preset_count_ = 0;
  Announce();
  note = {};
  if (unusable_password_count_ > 0) {
    MessageWriter(note)
        .Add(unusable_password_count_)
        .Add(
            " SIP passwords must be set again: their user name or the realm has changed, or there "
            "is no digest of them by SHA-512-256");
  }
  return Ok();
}

void Configuration::IndexUsers(const Settings& settings) {
  const auto users = settings.authentication_user();
  const std::string_view realm = RealmOf(settings);
  const bool needs_sha512_256 =
      settings.sip_authentication().algorithms == DigestAlgorithms::kSha512256;
  user_count_ = 0;
  unusable_password_count_ = 0;
  for (uint32_t i = 0; i < users.size(); ++i) {
    user_usable_[i] = 0;
    if (users[i].name.empty()) {
      continue;
    }
    user_order_[user_count_++] = i;
    if (!users[i].password.is_set()) {
      continue;
    }
    user_usable_[i] = IsBoundTo(users[i].password, users[i].name.view(), realm) ? 1 : 0;
    const bool is_lacking = needs_sha512_256 && !users[i].password.has_sha512_256();
    unusable_password_count_ += user_usable_[i] == 0 || is_lacking ? 1 : 0;
  }
  std::sort(user_order_.begin(), user_order_.begin() + user_count_,
            [&](uint32_t a, uint32_t b) { return users[a].name.view() < users[b].name.view(); });
}

std::string_view Configuration::RealmOf(const Settings& settings) {
  if (!settings.sip_authentication().realm.empty()) {
    return settings.sip_authentication().realm.view();
  }
  for (const SipDomain& domain : settings.sip_domain()) {
    if (!domain.name.empty()) {
      return domain.name.view();
    }
  }
  return {};
}

const AuthenticationUser* Configuration::FindUser(std::string_view name) const {
  const auto users = active_.authentication_user();
  const auto order = user_order_.first(user_count_);
  const auto at = std::lower_bound(
      order.begin(), order.end(), name,
      [&](uint32_t index, std::string_view key) { return users[index].name.view() < key; });
  if (at == order.end() || users[*at].name.view() != name || user_usable_[*at] == 0) {
    return nullptr;
  }
  return &users[*at];
}

const Administrator* Configuration::FindAdministrator(std::string_view name) const {
  for (const Administrator& one : active_.administrator()) {
    if (!name.empty() && one.name.view() == name && one.password.is_set()) {
      return &one;
    }
  }
  return nullptr;
}

void Configuration::ApplyLines(std::string_view text, bool report, LineReporter& reporter,
                               ProvisionReport& result) {
  uint32_t number = 0;
  while (!text.empty()) {
    const std::string_view line = TakeLine(text);
    ++number;
    if (IsIgnorableLine(line)) {
      continue;
    }
    Message message;
    auto parsed = ParseLine(line, message);
    if (!report) {  // first pass: everything that secrets may depend on
      const auto selector = parsed.ok() ? FindSetting(parsed->path(), staged_, message)
                                        : Result<Selector>(ErrorCode::kMalformed);
      if (selector.ok() && !InfoOf(*selector).is_secret()) {
        Apply(*parsed, message).ignore("reported in the second pass");
      }
      continue;
    }
    const bool accepted = parsed.ok() && Apply(*parsed, message).ok();
    ++result.line_count;
    result.refused_count += accepted ? 0 : 1;
    reporter.OnLine(number, accepted, message.view());
  }
}

Result<ProvisionReport> Configuration::Provision(std::string_view text, LineReporter& reporter,
                                                 Message& note) {
  if (!is_factory_) {
    MessageWriter(note).Add("provisioning is taken in factory state only");
    return Error{ErrorCode::kWrongState, "not in factory state"};
  }
  return Import(text, reporter, note);
}

Result<ProvisionReport> Configuration::Import(std::string_view text, LineReporter& reporter,
                                              Message& note) {
  if (text.size() > kProvisionMax) {
    MessageWriter(note)
        .Add("expected a provisioning text of at most ")
        .Add(kProvisionMax)
        .Add(" bytes");
    return Error{ErrorCode::kTooLarge, "provisioning text too long"};
  }
  Begin();
  ProvisionReport result;
  ApplyLines(text, false, reporter, result);
  ApplyLines(text, true, reporter, result);
  if (result.refused_count > 0 || result.line_count == 0) {
    Abort();
    MessageWriter(note).Add(result.line_count == 0 ? "expected at least one xConfiguration line"
                                                   : "lines were refused: none was applied");
    return result;
  }
  result.committed = Commit(note).ok();
  return result;
}

Result<void> Configuration::ResetToFactory() {
  GH_TRY(parts_.store.Begin());
  if (auto removed = parts_.store.RemoveEverything(); !removed.ok()) {
    parts_.store.Rollback();
    return removed;
  }
  return parts_.store.Commit();
}

}  // namespace gh::config
