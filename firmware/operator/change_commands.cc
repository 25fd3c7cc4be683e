#include "firmware/operator/change_commands.h"

#include <charconv>
#include <cstring>

#include "firmware/config/tree.h"
#include "firmware/config/value.h"
#include "firmware/log/render.h"
#include "hal/rt/ascii.h"

namespace gh {
namespace {

constexpr uint32_t kGenerationShift = 32;

Result<uint32_t> NumberOf(std::string_view value, ByteWriter& out) {
  uint32_t number = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size()) {
    out.Text("expected the number of a change, see xCommand Configuration History");
    return Error{ErrorCode::kInvalidArgument, "expected the number of a change"};
  }
  return number;
}

// The stored form of one side of a change, for people.
void FormatStored(std::string_view path, const config::StoredValue& value,
                  const config::Settings& settings, ByteWriter& out) {
  config::Message ignored;
  const auto line = config::ParsePath(path, ignored);
  const auto selector = line.ok() ? config::FindSetting(line->path(), settings, ignored)
                                  : Result<config::Selector>(ErrorCode::kNotFound);
  if (!selector.ok()) {
    out.Text("(not a setting of this version)");
    return;
  }
  const config::SettingInfo& info = config::InfoOf(*selector);
  if (info.is_secret()) {
    out.Text(value.is_default ? "" : "********");
    return;
  }
  out.Text(value.is_default ? std::string_view(info.default_text) : AsText(value.bytes));
}

}  // namespace

ChangeCommands::ChangeCommands(Arena& arena, config::Configuration& configuration,
                               config::History& history, log::Log& log, const log::TimeZone& zone)
    : configuration_(configuration),
      history_(history),
      log_(log),
      zone_(zone),
      text_(arena.NewArray<uint8_t>(kTextBytes)) {}

void ChangeCommands::AddTo(admin::CommandTable& commands) {
  using Self = ChangeCommands;
  admin::Command list = {"Configuration History", "Lists changes: number, time, who, how many", "",
                         [](void*, std::string_view, ByteWriter&) { return Ok(); }, this};
  list.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<Self*>(self)->NextCommit(cursor, out);
  };
  list.only_looks = true;
  commands.Add(list);
  admin::Command show = {"Configuration Show", "Shows a change: each setting, old and new value"};
  show.context = this;
  show.value_help = "number of a change";
  show.only_looks = true;
  show.run_value = [](void* self, std::string_view, std::string_view value, ByteWriter& out) {
    return static_cast<Self*>(self)->Show(value, out);
  };
  show.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<Self*>(self)->NextLine(cursor, out);
  };
  commands.Add(show);
  admin::Command compare = show;
  compare.path = "Configuration Compare";
  compare.help = "Compares the settings as they were after a change with those in force";
  compare.value_help = "number of a change";
  compare.run_value = [](void* self, std::string_view, std::string_view value, ByteWriter& out) {
    return static_cast<Self*>(self)->Compare(value, out);
  };
  commands.Add(compare);
  admin::Command revert = {"Configuration Revert", "Goes back to the settings after a change",
                           "Put the settings back to what they were after that change?"};
  revert.context = this;
  revert.value_help = "number of a change";
  revert.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter& out) {
    return static_cast<Self*>(self)->Revert(by, value, out);
  };
  commands.Add(revert);
  admin::Command defaults = {"Configuration Defaults", "Puts a group of settings to its defaults",
                             "Put all settings of the group to their defaults?"};
  defaults.context = this;
  defaults.administrator_only = true;
  defaults.value_help = "the words of a group without numbers, such as XMPP Room";
  defaults.run_value = [](void* self, std::string_view, std::string_view value, ByteWriter& out) {
    return static_cast<Self*>(self)->Defaults(value, out);
  };
  commands.Add(defaults);
}

// The latest first.
bool ChangeCommands::NextCommit(uint64_t& cursor, ByteWriter& out) {
  const uint32_t number = (cursor == 0 ? history_.next() : static_cast<uint32_t>(cursor)) - 1;
  if (number < history_.first() || number == 0) {
    return false;
  }
  cursor = number;
  out.Text("Configuration History ");
  out.Decimal(number);
  out.Text(": ");
  const auto info = history_.Read(number);
  if (!info.ok()) {
    out.Text(info.error().what);
    return true;
  }
  log::FormatLocalTime(info->wall, zone_, out);
  out.Text(" by=");
  out.Text(info->author.empty() ? "-" : info->author.view());
  out.Text(" changes=");
  out.Decimal(info->change_count);
  if (info->kept_count != info->change_count) {
    out.Text(" kept=");
    out.Decimal(info->kept_count);
  }
  return true;
}

void ChangeCommands::BeginText() {
  text_size_ = 0;
  left_out_ = 0;
  ++generation_;
}

void ChangeCommands::AddLine(std::string_view path, std::string_view before,
                             std::string_view after) {
  uint8_t bytes[2 * config::kStoredValueMax + config::kPathTextMax + 32];
  ByteWriter line(bytes);
  line.Text(path);
  line.Text(": \"");
  line.Text(before);
  line.Text("\" -> \"");
  line.Text(after);
  line.Text("\"\n");
  if (!line.ok() || line.size() + 64 > text_.size() - text_size_) {
    ++left_out_;
    return;
  }
  std::memcpy(text_.data() + text_size_, bytes, line.size());
  text_size_ += line.size();
}

void ChangeCommands::EndText() {
  if (left_out_ > 0) {
    ByteWriter more(text_.subspan(text_size_));
    more.Text("and ");
    more.Decimal(left_out_);
    more.Text(" more\n");
    text_size_ += more.size();
  }
}

Result<void> ChangeCommands::Show(std::string_view value, ByteWriter& out) {
  class Lines final : public config::ChangeVisitor {
   public:
    explicit Lines(ChangeCommands& self) : self_(self) {}
    void OnChange(const config::ChangeRow& row) override {
      uint8_t before_bytes[config::kStoredValueMax];
      uint8_t after_bytes[config::kStoredValueMax];
      ByteWriter before(before_bytes);
      ByteWriter after(after_bytes);
      FormatStored(row.path, row.before, self_.configuration_.active(), before);
      FormatStored(row.path, row.after, self_.configuration_.active(), after);
      self_.AddLine(row.path, before.text(), after.text());
    }

   private:
    ChangeCommands& self_;
  } lines(*this);
  GH_TRY_ASSIGN(const uint32_t number, NumberOf(value, out));
  BeginText();
  const auto info = history_.Read(number);
  const auto read = info.ok() ? history_.ForEachChange(number, lines) : Result<void>(info.error());
  if (!read.ok()) {
    out.Text(read.error().what);
    return read;
  }
  left_out_ += info->change_count - info->kept_count;
  EndText();
  return Ok();
}

// Lines say what Revert would do: the value in force, and the one of then.
Result<void> ChangeCommands::Compare(std::string_view value, ByteWriter& out) {
  GH_TRY_ASSIGN(const uint32_t number, NumberOf(value, out));
  if (configuration_.in_change()) {
    return Error{ErrorCode::kWrongState, "another change is under way"};
  }
  configuration_.Begin();
  config::Message note;
  const auto staged = configuration_.StageRevert(number, note);
  BeginText();
  if (staged.ok()) {
    configuration_.ForEachChange([&](config::Selector selector) {
      uint8_t path_bytes[config::kPathTextMax];
      uint8_t now_bytes[config::kStoredValueMax];
      uint8_t then_bytes[config::kStoredValueMax];
      ByteWriter path(path_bytes);
      ByteWriter now(now_bytes);
      ByteWriter then(then_bytes);
      config::FormatPath(selector, path);
      const config::SettingInfo& info = config::InfoOf(selector);
      config::FormatValue(info, configuration_.active().Field(selector), now);
      config::FormatValue(info, configuration_.staged().Field(selector), then);
      AddLine(path.text(), now.text(), then.text());
    });
  }
  configuration_.Abort();
  EndText();
  if (!staged.ok()) {
    out.Text(note.view());
    return staged;
  }
  if (text_size_ == 0) {
    out.Text("no difference");
  }
  return Ok();
}

Result<void> ChangeCommands::Revert(std::string_view by, std::string_view value, ByteWriter& out) {
  GH_TRY_ASSIGN(const uint32_t number, NumberOf(value, out));
  if (configuration_.in_change()) {
    return Error{ErrorCode::kWrongState, "another change is under way"};
  }
  configuration_.Begin();
  config::Message note;
  if (auto staged = configuration_.StageRevert(number, note); !staged.ok()) {
    configuration_.Abort();
    out.Text(note.view());
    return staged;
  }
  if (auto committed = configuration_.Commit(note); !committed.ok()) {
    out.Text(note.view());
    return committed;
  }
  log_.Emit(log::event::ConfigurationReverted{.change = number, .by = by});
  out.Text("OK, the settings are those after change ");
  out.Decimal(number);
  out.Text(note.view().empty() ? "" : ". ");
  out.Text(note.view());
  return Ok();
}

Result<void> ChangeCommands::Defaults(std::string_view value, ByteWriter& out) {
  const config::GroupInfo* group = nullptr;
  for (uint32_t g = 0; g < config::kGroupCount && group == nullptr; ++g) {
    const config::GroupInfo& each = config::kGroups[g];
    group = !each.is_table() && EqualsIgnoringCase(each.path, value) ? &each : nullptr;
  }
  if (group == nullptr) {
    out.Text("expected the words of a group of settings that has no numbers");
    return Error{ErrorCode::kNotFound, "no such group"};
  }
  if (configuration_.in_change()) {
    return Error{ErrorCode::kWrongState, "another change is under way"};
  }
  configuration_.Begin();
  config::Message note;
  for (uint32_t s = 0; s < group->setting_count; ++s) {
    const config::Selector selector{group->setting_first + s, 0};
    uint8_t bytes[config::kPathTextMax + config::kStoredValueMax + 32];
    ByteWriter line(bytes);
    line.Text("xConfiguration ");
    config::FormatPath(selector, line);
    line.Text(": \"");
    line.Text(config::InfoOf(selector).default_text);
    line.Char('"');
    GH_ASSERT(line.ok());
    if (auto applied = configuration_.Apply(line.text(), note); !applied.ok()) {
      configuration_.Abort();
      out.Text(note.view());
      return applied.error();
    }
  }
  if (auto committed = configuration_.Commit(note); !committed.ok()) {
    out.Text(note.view());
    return committed;
  }
  out.Text("OK, ");
  out.Text(group->path);
  out.Text(" has its defaults");
  return Ok();
}

// The cursor holds the text's generation and the place in it.
bool ChangeCommands::NextLine(uint64_t& cursor, ByteWriter& out) {
  if (cursor == 0) {
    cursor = generation_ << kGenerationShift;
  }
  const size_t at = cursor & ((uint64_t{1} << kGenerationShift) - 1);
  const bool is_current = cursor >> kGenerationShift == generation_;
  if (!is_current || at >= text_size_) {
    return false;
  }
  const std::string_view rest = AsText(text_.first(text_size_)).substr(at);
  const size_t end = rest.find('\n');
  GH_ASSERT(end != rest.npos);
  out.Text(rest.substr(0, end));
  cursor += end + 1;
  return true;
}

}  // namespace gh
