// The store as the appliance opens it, mends it and watches it.
#include "firmware/log/render.h"
#include "firmware/rooms.h"
#include "image/limits.h"

namespace gh {
namespace {

using log::AlarmId;
using namespace gh::log::event;

constexpr uint64_t kFullPercent = 90;

// Reads every row before any is used: half a configuration is none.
class RowCheck final : public store::EntryVisitor {
 public:
  void OnEntry(std::string_view, std::span<const uint8_t>) override {}
};

template <typename... Pieces>
void PrintLine(admin::OutputQueue& console, const Pieces&... pieces) {
  uint8_t bytes[400];
  ByteWriter out(bytes);
  (out.Text(pieces), ...);
  console.PutLine(out.text());
  console.Pump();
}

Result<void> ReadAll(store::SqliteStore& store) {
  RowCheck every_row;
  for (uint8_t table = 0; table < store::kTableCount; ++table) {
    const auto read = store.ForEachIn(static_cast<store::Table>(table), "", UINT32_MAX, every_row);
    if (!read.ok()) {
      return read.error();
    }
  }
  return Ok();
}

}  // namespace

// A store that fails leaves a machine that can still be set up, until the next restart, and mended.
Result<void> Appliance::Rooms::OpenStore() {
  store = &volatile_store;
  if (machine.store == nullptr) {
    PrintLine(console, "Store: none; configuration is lost at the next restart");
    alarms.Raise(AlarmId::kNoStore, "");
    return Ok();
  }
  machine.arena.OpenAccount("firmware/store");
  store::Sealing sealing{random, key_wrapper};
  if (machine.boot_state != nullptr) {
    sealing.key_device = machine.boot_state;
    sealing.key_offset = image::kStoreKeyOffset;
  }
  static_assert(store::kKeyAreaBytes <= image::kStoreKeySize);
  auto* opener = machine.arena.New<hsm::StoreKeyOpener>(machine.arena, machine.clock, machine.token,
                                                        options.token_module);
  auto* tpm_opener = machine.arena.New<hsm::TpmOpener>(machine.tpm);
  sealing.openers = {opener, tpm_opener};
  sqlite_store = machine.arena.New<store::SqliteStore>(
      machine.arena, *machine.store, machine.clock,
      store::HeapBytesFor(machine.arena.size() - used_before), sealing);
  const bool reset = machine.reset_button.held_at_power_on();
  Result<void> opened = reset ? sqlite_store->Reformat() : sqlite_store->Open();
  opened = opened.ok() ? ReadAll(*sqlite_store) : opened;
  if (reset && opened.ok()) {
    PrintLine(console, "Factory reset: the button was held; all configuration was removed");
    log.Emit(FactoryReset{.by = "the reset button"});
  }
  if (opener->was_asked() && opened.ok()) {
    PrintLine(console, "Store: its key was opened by the HSM");
  }
  if (tpm_opener->was_asked() && opened.ok()) {
    PrintLine(console, "Store: its key was opened by the TPM");
  }
  if ((opener->was_asked() || tpm_opener->was_asked()) &&
      opened.code() == ErrorCode::kUnreachable) {
    SayKeyAway(opener->was_asked() ? "HSM" : "TPM", opened.error().what);
    return Ok();
  }
  if (!opened.ok()) {
    const char* fault = opened.error().what;
    opened = opened.code() == ErrorCode::kCorrupt ? sqlite_store->Recover() : opened;
    opened = opened.ok() ? ReadAll(*sqlite_store) : opened;
    if (!opened.ok()) {
      store_damaged = true;
      PrintLine(console, "Store: ", fault, ". Nothing is stored; ",
                "xCommand FactoryReset makes it anew");
      log.Emit(StoreFailed{.reason = fault});
      alarms.Raise(AlarmId::kStoreFailed, fault);
      return Ok();
    }
    SayRecovered(fault);
  }
  if (sqlite_store->origin() == store::StoreOrigin::kWasUnsealed) {
    PrintLine(console, "Store: it was made before stores were sealed: emptied, set up anew");
    log.Emit(StoreEmptied{.reason = "it was made before stores were sealed"});
  }
  store = sqlite_store;
  loop.Add(*sqlite_store);
  maintenance.SwitchConfiguration(*store);
  alarm_commands.Load(*store);
  return Ok();
}

// Fails closed: nothing of the store is opened, nothing of it is touched.
void Appliance::Rooms::SayKeyAway(const char* wrapper, const char* fault) {
  store_damaged = store_key_away = true;
  PrintLine(console, "Store: CLOSED. Its key is wrapped by the ", wrapper, ": ", fault);
  PrintLine(console, "  Bring the ", wrapper,
            " back and restart. When it is gone for good: set up an ",
            "administrator here (kept in memory only), then xCommand HSM StoreKey Recover: ",
            "<recovery password>");
  log.Emit(StoreFailed{.reason = fault});
  alarms.Raise(AlarmId::kStoreKeyAway, fault);
}

void Appliance::Rooms::SayRecovered(const char* fault) {
  uint8_t bytes[40];
  ByteWriter time(bytes);
  log::FormatTimestamp(sqlite_store->good_copy()->wall, time);
  PrintLine(console, "Store: ", fault, ". RECOVERED from the copy of ", time.text(),
            "; later changes are lost");
  log.Emit(StoreRecovered{.reason = fault, .time = time.text()});
  alarms.Raise(AlarmId::kStoreRecovered, fault);
}

// Once a second, and more often while there is something to copy.
void Appliance::Rooms::WatchStore() {
  if (sqlite_store == nullptr || store_damaged) {
    return;
  }
  const char* fault = sqlite_store->copy_fault();
  (void)sqlite_store->StepCopy(loop.now());
  if (sqlite_store->copy_fault() != fault && sqlite_store->copy_fault()[0] != '\0') {
    log.Emit(StoreCopyFailed{.reason = sqlite_store->copy_fault()});
  }
  if (!configuration->in_change()) {
    alarm_commands.Save(*store);
  }
  const store::StoreStatus stored = sqlite_store->status();
  alarms.Set(AlarmId::kStoreFull,
             store_refused || stored.bytes_used * 100 > stored.bytes_capacity * kFullPercent,
             store_refused ? "the last change was refused" : "");
}

// At an orderly end.
void Appliance::Rooms::FlushLog() {
  if (log::EventStore* events = event_log.store(); events != nullptr) {
    events->Flush();
  }
}

void Appliance::Rooms::BuildSyslog() {
  machine.arena.OpenAccount("firmware/log");
  auto* heap = machine.arena.New<Heap>(machine.arena, log::kSyslogTlsHeap);
  tls = machine.arena.New<crypto::TlsEnvironment>(*heap, random, machine.clock);
  syslog = machine.arena.New<log::Syslog>(
      log::Syslog::Parts{log, loop, stack->datagrams(), stack->streams(), resolver, &event_log, tls,
                         &certificates->trust(), &machine.arena});
  loop.Add(*syslog);
}

void Appliance::Rooms::BuildChanges() {
  machine.arena.OpenAccount("firmware/changes");
  changes = machine.arena.New<ChangeCommands>(machine.arena, *configuration, *history, log,
                                              event_log.zone());
  changes->AddTo(commands);
}

void Appliance::Rooms::OnCommitFailed(const Error& error) {
  log.Emit(CommitRefused{.reason = error.what, .by = Author()});
  store_refused = error.code == ErrorCode::kNoSpace;
}

std::string_view Appliance::Rooms::Author() const {
  return actor.view().empty() ? std::string_view("the system") : actor.view();
}

}  // namespace gh
