// The media core in the appliance: whether there is one, its status, and the watch over it.
#include "firmware/admin/status_text.h"
#include "firmware/rooms.h"
#include "net/vlan.h"

namespace gh {
namespace {

// Turns of the housekeeping, a second each, in which the other core has not turned once.
constexpr uint32_t kSilentTurnsMax = 5;

}  // namespace

// Before the media core, so that both planes deal in untagged frames.
void Appliance::Rooms::BuildVlans() {
  const auto settings = configuration->active().network_port();
  for (uint32_t i = 0; i < machine.ports.size() && i < settings.size(); ++i) {
    const bool is_management = i == kManagementPort && services.dmi_active();
    if (machine.ports[i] != nullptr && settings[i].vlan != 0 && !is_management) {
      vlans[i] = static_cast<uint16_t>(settings[i].vlan);
      machine.ports[i] =
          machine.arena.New<net::VlanPort>(*machine.ports[i], machine.frames, vlans[i]);
    }
  }
}

// Before the stack: it is then given the core's ports and not the machine's.
void Appliance::Rooms::BuildMediaCore() {
  using config::MediaCoreMode;
  const config::Settings& settings = configuration->active();
  const MediaCoreMode mode = settings.system().media_core;
  const bool has_media = settings.traversal_server_turn().mode == config::OnOff::kOn ||
                         settings.sip_media().mode == config::MediaRelayMode::kOn;
  if (machine.media == nullptr || mode == MediaCoreMode::kOff ||
      (mode == MediaCoreMode::kAuto && !has_media)) {
    return;
  }
  machine.arena.OpenAccount("firmware/media core");
  media_core = machine.arena.New<media::MediaCore>(media::CoreParts{
      machine.arena, machine.clock, machine.frames, machine.ports, *machine.media});
}

Result<void> Appliance::Rooms::StartMediaCore() {
  return media_core != nullptr ? media_core->Start() : Ok();
}

// A core that hangs takes the machine's ports with it: better a record and a restart. By turns of
// both, not by the clock: a machine that was stopped as a whole goes on.
void Appliance::Rooms::WatchMediaCore() {
  if (media_core == nullptr) {
    return;
  }
  const uint64_t turns = media_core->turn_count();
  media_core_silent = turns != media_core_turns ? 0 : media_core_silent + 1;
  media_core_turns = turns;
  if (media_core_silent > kSilentTurnsMax) {
    GH_PANIC("the media core has not turned for seconds");
  }
}

bool Appliance::Rooms::NextMediaCoreLine(uint64_t& cursor, ByteWriter& out) {
  const uint64_t line = cursor++;
  if (line == 0) {
    out.Text("Media Processor: ");
    out.Text(media_core != nullptr      ? media_core->processor_name()
             : machine.media != nullptr ? "that of the control plane (xConfiguration System "
                                          "MediaCore)"
                                        : "that of the control plane, there is no other");
    return true;
  }
  if (line != 1 || media_core == nullptr) {
    return false;
  }
  out.Text("Media Core:");
  Tell(out, "turns", media_core->turn_count());
  Tell(out, "busy_ms", media_core->busy_ns() / 1'000'000);
  Tell(out, "frames_to_control", media_core->frames_to_control());
  Tell(out, "frames", media_core->frame_count());
  Tell(out, "frames_free", media_core->free_frame_count());
  return true;
}

}  // namespace gh
