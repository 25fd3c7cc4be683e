#include "firmware/trust/hsm_service.h"

#include <algorithm>

#include "firmware/config/line.h"
#include "hal/rt/ascii.h"

namespace gh {
namespace {

using namespace gh::log::event;
using config::EqualsIgnoreCase;
using log::AlarmId;
using p11State = crypto::pkcs11::TokenState;

constexpr std::string_view kRowPrefix = "hsm/";

template <size_t N>
std::string_view Padded(const std::array<uint8_t, N>& bytes) {
  std::string_view text = AsText(bytes);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) {
    text.remove_suffix(1);
  }
  return text;
}

// What the token says of itself may hold anything: only what prints goes out.
void TellToken(ByteWriter& out, std::string_view text) {
  for (const char c : text) {
    out.Char(c > ' ' && c <= '~' && c != '"' ? c : '_');
  }
}

void Tell(ByteWriter& out, std::string_view name, uint64_t number) {
  out.Char(' ');
  out.Text(name);
  out.Char('=');
  out.Decimal(number);
}

bool IsLabel(std::string_view label) {
  return !label.empty() && label.size() <= crypto::pkcs11::kLabelMax &&
         std::ranges::all_of(label, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

struct KeyKind {
  std::string_view name;
  crypto::KeyType type;
  uint32_t bits;
};
constexpr KeyKind kKeyKinds[] = {
    {"P-256", crypto::KeyType::kEcP256, 256},  {"P-384", crypto::KeyType::kEcP384, 384},
    {"RSA-2048", crypto::KeyType::kRsa, 2048}, {"RSA-3072", crypto::KeyType::kRsa, 3072},
    {"RSA-4096", crypto::KeyType::kRsa, 4096},
};

template <size_t N>
size_t Split(std::string_view text, std::array<std::string_view, N>& words) {
  size_t count = 0;
  while (!text.empty() && count < N) {
    const size_t from = text.find_first_not_of(' ');
    if (from == std::string_view::npos) {
      break;
    }
    text.remove_prefix(from);
    const size_t end = std::min(text.find(' '), text.size());
    words[count++] = text.substr(0, end);
    text.remove_prefix(end);
  }
  return text.find_first_not_of(' ') == std::string_view::npos ? count : N + 1;
}

const char* TransportName(config::HsmTransport transport) {
  static constexpr const char* kNames[] = {"None", "Virtio", "Network", "Module"};
  return kNames[static_cast<uint8_t>(transport)];
}

class KeyLoader final : public store::EntryVisitor {
 public:
  explicit KeyLoader(hsm::Service& engine) : engine_(engine) {}
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    hsm::KeyRecord record;
    if (key.starts_with(kRowPrefix) &&
        hsm::DecodeKey(key.substr(kRowPrefix.size()), value, record).ok()) {
      engine_.AddKey(record).ignore("no more were kept than there are places");
    }
  }

 private:
  hsm::Service& engine_;
};

}  // namespace

HsmService::HsmService(const HsmParts& parts)
    : parts_(parts),
      engine_(parts.arena, parts.loop, *this),
      network_(parts.arena.NewArray<hsm::NetworkLink>(hsm::kModulesMax)) {
  parts_.loop.Add(*this);
  LoadKeys();
}

void HsmService::LoadKeys() {
  KeyLoader loader(engine_);
  (void)parts_.store.ForEachIn(store::Table::kNotes, kRowPrefix, UINT32_MAX, loader);
}

bool HsmService::Poll(Instant now) {
  for (hsm::NetworkLink& link : network_) {
    link.Poll(now);
  }
  const bool more = engine_.Poll(now);
  if (is_busy_ && chore_.is_done) {
    FinishChore();
  }
  return more;
}

void HsmService::Apply() {
  const config::Settings& settings = parts_.configuration.active();
  std::array<hsm::ModuleConfig, hsm::kModulesMax> modules;
  const bool is_on = settings.hsm().mode == config::OnOff::kOn;
  bool is_virtio_taken = false;
  bool is_module_taken = false;
  for (uint32_t i = 0; i < hsm::kModulesMax; ++i) {
    const config::HsmModule& from = settings.hsm_module()[i];
    hsm::ModuleConfig& to = modules[i];
    const bool is_network = is_on && from.transport == config::HsmTransport::kNetwork;
    network_[i].Configure(is_network ? streams_ : nullptr,
                          {from.address, static_cast<uint16_t>(from.port)}, from.key.view());
    to.is_set = from.transport != config::HsmTransport::kNone;
    to.name.Assign(from.name.view());
    if (to.name.empty()) {
      to.name.Append(static_cast<char>('1' + i));
    }
    to.priority = static_cast<uint32_t>(from.priority);
    to.token.serial.Assign(from.serial_number.view());
    to.token.pin.Assign(from.pin.view());
    if (from.transport == config::HsmTransport::kVirtio && !is_virtio_taken) {
      to.link = parts_.token;
      is_virtio_taken = true;
    } else if (from.transport == config::HsmTransport::kNetwork) {
      to.link = &network_[i];
    } else if (from.transport == config::HsmTransport::kModule && !is_module_taken) {
      to.provider = parts_.module;
      is_module_taken = true;
    }
  }
  engine_.Configure(is_on, modules);
  if (!is_on && is_store_wrapped()) {
    UnwrapStore("HSM Mode: Off").ignore("a store that takes nothing says so by its own alarm");
  }
  UpdateAlarms();
}

void HsmService::UpdateAlarms() {
  FixedString<alarm::kDetailMax> connection;
  FixedString<alarm::kDetailMax> hardware;
  const bool is_on = engine_.mode_on();
  for (const hsm::Module* module : engine_.modules()) {
    if (!is_on || !module->is_set() || module->is_ready()) {
      continue;
    }
    auto& list = module->hardware_ok() ? connection : hardware;
    list.Append(list.empty() ? "" : ", ");
    list.Append(module->config().name.view());
    list.Append(": ");
    list.Append(module->error().what);
  }
  parts_.alarms.Set(AlarmId::kHsmFailed, is_on && !engine_.is_running(), "");
  parts_.alarms.Set(AlarmId::kHsmCertificateNotUsed, is_on && !engine_.certificate_used(), "");
  parts_.alarms.Set(AlarmId::kHsmConnection, !connection.empty(), connection.view());
  parts_.alarms.Set(AlarmId::kHsmHardware, !hardware.empty(), hardware.view());
}

// --- Events -------------------------------------------------------------------------------------

void HsmService::OnModuleUp(const hsm::Module& module) {
  uint8_t bytes[20];
  ByteWriter serial(bytes);
  TellToken(serial, Padded(module.token().info().serial));
  parts_.log.Emit(HsmModuleUp{.module = module.config().name.view(), .serial = serial.text()});
  UpdateAlarms();
}

void HsmService::OnModuleDown(const hsm::Module& module, const Error& why) {
  parts_.log.Emit(HsmModuleDown{.module = module.config().name.view(), .reason = why.what});
  UpdateAlarms();
}

void HsmService::OnActive(const hsm::Module* module) {
  parts_.log.Emit(HsmActive{.module = module == nullptr ? std::string_view("none")
                                                        : module->config().name.view()});
  UpdateAlarms();
}

// --- Settings by command ------------------------------------------------------------------------

// Lines of xConfiguration as one change.
Result<void> HsmService::Change(std::span<const std::string_view> lines) {
  config::Configuration& configuration = parts_.configuration;
  if (configuration.in_change()) {
    return Error{ErrorCode::kWrongState, "another change of the configuration is open"};
  }
  configuration.Begin();
  for (const std::string_view line : lines) {
    if (const auto applied = configuration.Apply(line, refused_); !applied.ok()) {
      configuration.Abort();
      said_.Assign(refused_.view());
      return Error{applied.code(), said_.c_str()};
    }
  }
  if (const auto done = configuration.Commit(refused_); !done.ok()) {
    said_.Assign(refused_.view());
    return Error{done.code(), said_.c_str()};
  }
  return Ok();
}

Result<void> HsmService::SetMode(std::string_view value, ByteWriter& out) {
  if (!EqualsIgnoreCase(value, "On") && !EqualsIgnoreCase(value, "Off")) {
    return Error{ErrorCode::kInvalidArgument, "expected On or Off"};
  }
  const std::string_view line = EqualsIgnoreCase(value, "On") ? "xConfiguration HSM Mode: On"
                                                              : "xConfiguration HSM Mode: Off";
  GH_TRY(Change({&line, 1}));
  out.Text("HSM Mode successfully updated");
  return Ok();
}

namespace {

class Lines {
 public:
  explicit Lines(uint32_t module) : module_(module) {}
  void Add(std::string_view setting, std::string_view value) {
    uint8_t bytes[160];
    ByteWriter line(bytes);
    line.Text("xConfiguration HSM Module ");
    line.Decimal(module_ + 1);
    line.Char(' ');
    line.Text(setting);
    line.Text(": ");
    line.Text(value);
    texts_[count_].Assign(line.text());
    views_[count_] = texts_[count_].view();
    ++count_;
  }
  std::span<const std::string_view> view() const { return {views_.data(), count_}; }

 private:
  uint32_t module_;
  std::array<FixedString<160>, 8> texts_;
  std::array<std::string_view, 8> views_;
  uint32_t count_ = 0;
};

}  // namespace

Result<void> HsmService::AddModule(std::string_view value, ByteWriter& out) {
  static constexpr Error kExpected = {
      ErrorCode::kInvalidArgument,
      "expected NAME Virtio SERIAL, NAME Module SERIAL, or NAME Network ADDRESS PORT SERIAL KEY"};
  std::array<std::string_view, 6> words;
  const size_t count = Split(value, words);
  if (count < 2 || count > words.size()) {
    return kExpected;
  }
  const bool is_network = EqualsIgnoreCase(words[1], "Network");
  if (is_network ? count < 5 : count > 3) {
    return kExpected;
  }
  const auto modules = parts_.configuration.active().hsm_module();
  uint32_t free = hsm::kModulesMax;
  for (uint32_t i = hsm::kModulesMax; i-- > 0;) {
    if (modules[i].transport == config::HsmTransport::kNone) {
      free = i;
    } else if (modules[i].name.view() == words[0]) {
      return Error{ErrorCode::kAlreadyExists, "there is a module of that name"};
    }
  }
  if (free == hsm::kModulesMax) {
    return Error{ErrorCode::kExhausted, "four modules are there already"};
  }
  Lines lines(free);
  lines.Add("Name", words[0]);
  lines.Add("Transport", words[1]);
  if (is_network) {
    lines.Add("Address", words[2]);
    lines.Add("Port", words[3]);
  }
  const size_t serial = is_network ? 4 : 2;
  lines.Add("SerialNumber", count > serial ? words[serial] : "\"\"");
  lines.Add("Key", count > 5 ? words[5] : "\"\"");
  GH_TRY(Change(lines.view()));
  out.Text("HSM Module successfully added\nIts PIN: xConfiguration HSM Module ");
  out.Decimal(free + 1);
  out.Text(" PIN");
  return Ok();
}

Result<void> HsmService::DeleteModule(std::string_view value, ByteWriter& out) {
  const auto modules = parts_.configuration.active().hsm_module();
  for (uint32_t i = 0; i < hsm::kModulesMax; ++i) {
    const char digit[] = {static_cast<char>('1' + i)};
    if (modules[i].transport == config::HsmTransport::kNone ||
        (modules[i].name.view() != value && value != std::string_view(digit, 1))) {
      continue;
    }
    Lines lines(i);
    lines.Add("Transport", "None");
    for (const std::string_view setting : {"Name", "SerialNumber", "PIN", "Address", "Key"}) {
      lines.Add(setting, "\"\"");
    }
    GH_TRY(Change(lines.view()));
    out.Text("HSM Module deleted");
    return Ok();
  }
  return Error{ErrorCode::kNotFound, "expected the name or number of a module (xStatus HSM)"};
}

// --- Keys ---------------------------------------------------------------------------------------

Result<void> HsmService::StartKey(hsm::Chore::Kind kind, std::string_view value,
                                  std::string_view by) {
  std::array<std::string_view, 2> words;
  const size_t count = Split(value, words);
  const bool takes_type = kind == hsm::Chore::Kind::kGenerate;
  if (count < 1 || count > (takes_type ? 2u : 1u) || !IsLabel(words[0])) {
    return Error{ErrorCode::kInvalidArgument,
                 "expected a label of letters, digits, '-', '_', '.', at most 64"};
  }
  const auto* key = std::ranges::find_if(kKeyKinds, [&](const KeyKind& k) {
    return EqualsIgnoreCase(k.name, count == 2 ? words[1] : std::string_view("P-256"));
  });
  if (key == std::end(kKeyKinds)) {
    return Error{ErrorCode::kInvalidArgument,
                 "expected P-256, P-384, RSA-2048, RSA-3072 or RSA-4096 behind the label"};
  }
  if (kind == hsm::Chore::Kind::kDelete && engine_.certificate_key() == words[0]) {
    return Error{ErrorCode::kWrongState, "the server certificate in use is one of this key"};
  }
  if (is_busy_) {
    return Error{ErrorCode::kExhausted, "the HSM is busy with another command"};
  }
  chore_.kind = kind;
  chore_.label.Assign(words[0]);
  chore_.type = key->type;
  chore_.bits = key->bits;
  chore_by_.Assign(by);
  said_.Clear();
  if (!engine_.StartChore(chore_)) {
    return chore_.error;
  }
  is_busy_ = true;
  return Ok();
}

namespace {

template <typename ChangeIt>
Result<void> InTransaction(store::Store& store, ChangeIt change) {
  GH_TRY(store.Begin());
  if (Result<void> changed = change(); !changed.ok()) {
    store.Rollback();
    return changed;
  }
  return store.Commit();
}

FixedString<store::kKeyMax> RowOf(std::string_view label) {
  FixedString<store::kKeyMax> row(kRowPrefix);
  row.Append(label);
  return row;
}

}  // namespace

Result<void> HsmService::Keep(const hsm::KeyRecord& record) {
  uint8_t bytes[hsm::kKeyRecordMax];
  ByteWriter out(bytes);
  hsm::EncodeKey(record, out);
  GH_ASSERT(out.ok());
  return InTransaction(parts_.store, [&] {
    return parts_.store.PutIn(store::Table::kNotes, RowOf(record.label.view()).view(),
                              out.written());
  });
}

void HsmService::FinishChore() {
  is_busy_ = false;
  if (chore_.kind == hsm::Chore::Kind::kWrap) {
    FinishWrap();
    return;
  }
  if (chore_.error.code != ErrorCode::kOk) {
    said_.Assign("ERROR: ");
    said_.Append(chore_.error.what);
    return;
  }
  const std::string_view label = chore_.label.view();
  if (chore_.kind == hsm::Chore::Kind::kDelete) {
    engine_.RemoveKey(label);
    const auto removed = InTransaction(parts_.store, [&] {
      return parts_.store.RemoveIn(store::Table::kNotes, RowOf(label).view());
    });
    parts_.log.Emit(HsmKeyDeleted{.by = chore_by_.view(), .label = label});
    said_.Assign(removed.ok() ? "Key deleted in every module that is there."
                              : "Key deleted; the store does not take it.");
    return;
  }
  const bool is_new = chore_.kind == hsm::Chore::Kind::kGenerate;
  if (const auto kept = Keep(chore_.record); !kept.ok()) {
    engine_.RemoveKey(label);
    said_.Assign("ERROR: the key is in the HSM, but the store does not take its record: ");
    said_.Append(kept.error().what);
    return;
  }
  const hsm::Module& module = *engine_.modules()[static_cast<uint32_t>(chore_.module)];
  parts_.log.Emit(HsmKeyAdded{.by = chore_by_.view(),
                              .action = is_new ? "generated" : "adopted",
                              .label = label,
                              .type = crypto::pkcs11::KeyTypeName(chore_.record.type),
                              .module = module.config().name.view()});
  said_.Assign(is_new ? "Key generated in module " : "Key found in module ");
  said_.Append(module.config().name.view());
  said_.Append(": ");
  said_.Append(label);
}

void HsmService::Leave(ByteWriter& out) { out.Text(said_.view()); }

// --- Status and commands ------------------------------------------------------------------------

void HsmService::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&HsmService::NextStatus>("HSM", "The hardware security module", this);
  status.AddMember<&HsmService::NextModule>("HSM Module", "Its modules", this);
  status.AddMember<&HsmService::NextKey>("HSM Key", "Keys that live in it", this);
  using Self = HsmService;
  admin::Command mode = {"HSM Mode Set", "Switches the use of the HSM on or off"};
  mode.value_help = "On or Off";
  mode.context = this;
  mode.administrator_only = true;
  mode.run_value = [](void* self, std::string_view, std::string_view value, ByteWriter& out) {
    return static_cast<Self*>(self)->SetMode(value, out);
  };
  commands.Add(mode);
  admin::Command add = {"HSM Module Add", "Adds a module of the HSM"};
  add.value_help = "NAME Virtio SERIAL, or NAME Network ADDRESS PORT SERIAL KEY";
  add.context = this;
  add.administrator_only = true;
  add.run_value = [](void* self, std::string_view, std::string_view value, ByteWriter& out) {
    return static_cast<Self*>(self)->AddModule(value, out);
  };
  commands.Add(add);
  admin::Command remove = {"HSM Module Delete", "Removes a module of the HSM"};
  remove.value_help = "its name or number";
  remove.context = this;
  remove.administrator_only = true;
  remove.run_value = [](void* self, std::string_view, std::string_view value, ByteWriter& out) {
    return static_cast<Self*>(self)->DeleteModule(value, out);
  };
  commands.Add(remove);
  AddKeyCommands(commands);
  AddStoreCommands(commands);
}

void HsmService::AddKeyCommands(admin::CommandTable& commands) {
  struct Row {
    const char* path;
    const char* help;
    const char* value_help;
    const char* question;
    Result<void> (*run)(void*, std::string_view, std::string_view, ByteWriter&);
  };
  using Self = HsmService;
  using Kind = hsm::Chore::Kind;
  static constexpr Row kRows[] = {
      {"HSM Key Generate", "Makes a private key inside the HSM, which never leaves it",
       "LABEL [P-256, P-384, RSA-2048, RSA-3072 or RSA-4096]", "",
       [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
         return static_cast<Self*>(self)->StartKey(Kind::kGenerate, value, by);
       }},
      {"HSM Key Add", "Uses a private key that is in the HSM already", "LABEL", "",
       [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
         return static_cast<Self*>(self)->StartKey(Kind::kAdopt, value, by);
       }},
      {"HSM Key Delete", "Destroys a private key in the HSM", "LABEL",
       "The key is destroyed in the HSM and cannot be restored. Proceed?",
       [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
         return static_cast<Self*>(self)->StartKey(Kind::kDelete, value, by);
       }},
  };
  for (const Row& row : kRows) {
    admin::Command command = {row.path, row.help, row.question};
    command.value_help = row.value_help;
    command.context = this;
    command.administrator_only = true;
    command.guest = this;
    command.run_value = row.run;
    commands.Add(command);
  }
  commands.Add(
      {.path = "HSM Key List",
       .help = "Keys that live in the HSM",
       .run = [](void*, std::string_view, ByteWriter&) -> Result<void> { return Ok(); },
       .context = this,
       .next = [](void* self, uint64_t& cursor,
                  ByteWriter& out) { return static_cast<Self*>(self)->NextKey(cursor, out); },
       .only_looks = true});
}

bool HsmService::NextStatus(uint64_t& cursor, ByteWriter& out) {
  const hsm::Module* active = engine_.active();
  switch (cursor++) {
    case 0:
      out.Text("HSM Mode: ");
      out.Text(engine_.mode_on() ? "On" : "Off");
      return true;
    case 1:
      out.Text("HSM Server running: ");
      out.Text(engine_.is_running() ? "True" : "False");
      return true;
    case 2:
      out.Text("HSM Certificate used: ");
      out.Text(engine_.certificate_used() ? "True" : "False");
      return true;
    case 3:
      out.Text("HSM Active module: ");
      out.Text(active == nullptr ? "none" : active->config().name.view());
      Tell(out, "signatures_waiting", engine_.job_count());
      return true;
    case 4:
      out.Text("HSM Store key: ");
      out.Text(StoreWrapper());
      return true;
    default:
      return false;
  }
}

bool HsmService::NextModule(uint64_t& cursor, ByteWriter& out) {
  while (cursor < hsm::kModulesMax && !engine_.modules()[cursor]->is_set()) {
    ++cursor;
  }
  if (cursor >= hsm::kModulesMax) {
    return false;
  }
  const hsm::Module& module = *engine_.modules()[cursor];
  out.Text("HSM Module ");
  out.Decimal(++cursor);
  out.Text(": ");
  out.Text(module.config().name.view());
  out.Text(" transport=");
  out.Text(TransportName(parts_.configuration.active().hsm_module()[cursor - 1].transport));
  const bool is_ready = module.is_ready();
  out.Text(" serial=");
  TellToken(out,
            is_ready ? Padded(module.token().info().serial) : module.config().token.serial.view());
  if (!engine_.mode_on()) {
    out.Text(" connection=Off hardware=Off");
    return true;
  }
  out.Text(" connection=");
  out.Text(is_ready || !module.hardware_ok() ? "OK" : "Failed");
  out.Text(" hardware=");
  out.Text(module.hardware_ok() ? "OK" : "Failed");
  Tell(out, "priority", module.config().priority);
  Tell(out, "opened", module.counters().opened);
  Tell(out, "failures", module.counters().failures);
  Tell(out, "breaker_trips", module.counters().breaker_trips);
  Tell(out, "queued", module.token().queued_count());
  if (module.is_tripped()) {
    out.Text(" breaker=Open");
  }
  if (is_ready) {
    out.Text(" model=");
    TellToken(out, Padded(module.token().info().model));
  } else {
    const char* fault = network_[cursor - 1].fault();
    out.Text(" reason=\"");
    out.Text(fault[0] != '\0' ? fault : module.error().what);
    out.Char('"');
  }
  return true;
}

void HsmService::TellKey(const hsm::HsmKey& key, ByteWriter& out) const {
  out.Text("HSM Key ");
  out.Text(key.record.label.view());
  out.Text(": type=\"");
  out.Text(crypto::pkcs11::KeyTypeName(key.record.type));
  out.Char('"');
  Tell(out, "bits", key.record.bits);
  out.Text(key.is_available() ? " available=True" : " available=False");
  out.Text(" modules=");
  bool has_any = false;
  for (uint32_t i = 0; i < hsm::kModulesMax; ++i) {
    const hsm::Module& module = *engine_.modules()[i];
    if (module.is_set() &&
        module.handle(static_cast<uint32_t>(&key - engine_.keys().data())) != 0) {
      out.Text(has_any ? "," : "");
      out.Text(module.config().name.view());
      has_any = true;
    }
  }
  out.Text(has_any ? "" : "none");
  Tell(out, "signatures", key.signature_count);
  Tell(out, "failures", key.failure_count);
  if (engine_.certificate_key() == key.record.label.view()) {
    out.Text(" certificate=Used");
  }
}

bool HsmService::NextKey(uint64_t& cursor, ByteWriter& out) {
  const auto keys = engine_.keys();
  while (cursor < keys.size() && !keys[cursor].is_known) {
    ++cursor;
  }
  if (cursor >= keys.size()) {
    return false;
  }
  TellKey(keys[cursor++], out);
  return true;
}

}  // namespace gh
