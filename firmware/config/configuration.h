// The configuration: the settings in force, one change at a time, and the store behind them.
//
// A change is Begin(), any number of Apply(), then Commit(): checked as a whole, written to the
// store in one transaction, and only then in force. Factory state is a store that holds no
// configuration; provisioning text is taken only then, whole or not at all.
//
// Fault model: operators and files give anything; the store may fail at any call, and stored bytes
// may be damaged or from another version: what cannot be read is left at its default and counted.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "crypto/password.h"
#include "crypto/random.h"
#include "firmware/config/group_set.h"
#include "firmware/config/history.h"
#include "firmware/config/line.h"
#include "firmware/config/settings.h"
#include "firmware/config/value.h"
#include "firmware/store/store.h"
#include "hal/rt/arena.h"
#include "hal/rt/result.h"

namespace gh::config {

class ChangeListener {
 public:
  // One setting of a committed change, as it was and is; secrets as "********".
  virtual void OnSettingChanged(Selector selector, std::string_view before,
                                std::string_view after) = 0;
  // After the last of them. `groups`: those with a setting that changed.
  virtual void OnCommitted(const GroupSet& groups, bool restart_needed) = 0;
  // The store did not take a change; nothing of it is in force.
  virtual void OnCommitFailed(const Error& /*error*/) {}
  // Who changes settings now, for the history.
  virtual std::string_view Author() const { return {}; }

 protected:
  ~ChangeListener() = default;
};

// Rules of rooms that the configuration does not know: asked before a change is put in force, not
// when what is stored is loaded.
class CommitCheck {
 public:
  // Refused: `expected` says what would be taken, and names the setting.
  virtual Result<void> Check(const Settings& settings, Message& expected) const = 0;

 protected:
  ~CommitCheck() = default;
};

// Rows of other rooms that come with a change: written in its transaction, all of it or nothing.
class CommitCompanion {
 public:
  virtual Result<void> Write() = 0;

 protected:
  ~CommitCompanion() = default;
};

class LineReporter {
 public:
  // One line of provisioning text; `message` says what was expected when it is not accepted.
  virtual void OnLine(uint32_t number, bool accepted, std::string_view message) = 0;

 protected:
  ~LineReporter() = default;
};

struct LoadReport {
  uint32_t loaded = 0;
  uint32_t unknown = 0;  // settings this version does not have: left in the store
  uint32_t refused = 0;  // values this version does not accept: default in force
};

struct ProvisionReport {
  uint32_t line_count = 0;  // without blank lines and comments
  uint32_t refused_count = 0;
  bool committed = false;
};

class Configuration {
 public:
  struct Parts {
    store::Store& store;
    crypto::PasswordHasher& hasher;
    crypto::Random& random;
    History* history = nullptr;
  };
  Configuration(Arena& arena, uint32_t user_count_max, const Parts& parts);

  const Settings& active() const { return active_; }
  // A factory state ends with the first commit.
  bool is_factory() const { return is_factory_; }
  Result<LoadReport> Load();
  void SetListener(ChangeListener* listener) { listener_ = listener; }
  void SetCheck(const CommitCheck* check) { check_ = check; }

  void Begin();
  bool in_change() const { return in_change_; }
  const Settings& staged() const { return staged_; }
  // Stages one "xConfiguration <path>: <value>" line. An error stages nothing of it.
  Result<Selector> Apply(std::string_view line, Message& expected);
  Result<Selector> Apply(const Line& line, Message& expected);
  // Stages a value in its stored form (a backup's row). kNotFound: no setting of this version or
  // machine; other errors: not a value of it.
  Result<void> ApplyStored(std::string_view path, std::span<const uint8_t> stored);
  // Between Begin() and the first Apply: every setting at its default.
  void StageDefaults();
  // An error leaves settings and store as they were, and says why; the change is over either way.
  // Success may carry a note ("2 passwords must be set again").
  Result<void> Commit(Message& note, CommitCompanion* companion = nullptr);
  void Abort();
  // Inside a change: stages what the settings were after commit `number` of the history.
  // kNotFound: it is not kept. kTooLarge: behind a commit that is not kept whole.
  Result<void> StageRevert(uint32_t number, Message& expected);
  // Setting by setting what the staged change would do.
  template <typename Visit>
  void ForEachChange(Visit visit) const {
    for (uint32_t g = 0; g < kGroupCount; ++g) {
      for (uint32_t i = 0; i < active_.instance_count(g); ++i) {
        if (std::ranges::equal(active_.Instance(g, i), staged_.Instance(g, i))) {
          continue;
        }
        for (uint32_t s = 0; s < kGroups[g].setting_count; ++s) {
          const Selector selector{kGroups[g].setting_first + s, i};
          if (std::memcmp(active_.Field(selector), staged_.Field(selector),
                          ValueSize(InfoOf(selector))) != 0) {
            visit(selector);
          }
        }
      }
    }
  }

  // Applies a whole text, all or nothing; each line is reported. kWrongState: not factory state.
  Result<ProvisionReport> Provision(std::string_view text, LineReporter& reporter, Message& note);

  // In factory state only: a stored row that is in force from now on, but not stored before the
  // first commit, which may change it. Network settings alone; false: it is not taken.
  bool Preset(std::string_view key, std::span<const uint8_t> value);
  // Stages the defaults in their place.
  void DropPresets();
  // How many of those are in force and not stored yet.
  uint32_t preset_count() const { return preset_count_; }

  // The same at any time, on top of what is in force.
  Result<ProvisionReport> Import(std::string_view text, LineReporter& reporter, Message& note);

  // Removes everything; in force at the next start.
  Result<void> ResetToFactory();

  // The realm that passwords are bound to.
  static std::string_view RealmOf(const Settings& settings);
  // The user of that name, if its password fits its name and the realm.
  const AuthenticationUser* FindUser(std::string_view name) const;
  uint32_t user_count() const { return user_count_; }
  uint32_t unusable_password_count() const { return unusable_password_count_; }
  const Administrator* FindAdministrator(std::string_view name) const;
  bool restart_needed() const { return restart_needed_; }

 private:
  class Loader;
  Result<void> ApplySecret(Selector selector, std::string_view password, Message& expected);
  Result<void> Check(Message& expected) const;
  Result<void> CheckUsers(Message& expected) const;
  Result<void> WriteChanges(CommitCompanion* companion);
  Result<void> WriteSetting(Selector selector);
  Result<void> WritePresets();
  template <typename Visit>
  void ForEachNetworkSetting(Visit visit) const;
  Result<void> WriteHistory(Selector selector, std::string_view path,
                            std::span<const uint8_t> after);
  void Announce();
  void IndexUsers(const Settings& settings);
  class Reverter;
  void ApplyLines(std::string_view text, bool report, LineReporter& reporter,
                  ProvisionReport& result);

  Settings active_;
  Settings staged_;
  Parts parts_;
  const CommitCheck* check_ = nullptr;
  ChangeListener* listener_ = nullptr;
  std::span<uint32_t> user_order_;  // instances with a name, by name
  std::span<uint8_t> user_usable_;  // by instance
  uint32_t user_count_ = 0;
  uint32_t unusable_password_count_ = 0;
  bool is_factory_ = true;
  bool in_change_ = false;
  bool restart_needed_ = false;
  uint32_t preset_count_ = 0;
};

}  // namespace gh::config
