// The SSH server in the appliance.
#include "firmware/admin/file_service.h"
#include "firmware/admin/ssh_service.h"
#include "firmware/rooms.h"

namespace gh {

void Appliance::Rooms::BuildSsh() {
  machine.arena.OpenAccount("firmware/ssh");
  ssh = machine.arena.New<admin::SshService>(
      admin::SshService::Parts{machine.arena, loop, stack->streams(), random, machine.clock, *store,
                               *configuration, log, alarms, *accounts, *sessions, *files});
  ssh->AddTo(status);
}

void Appliance::Rooms::AllowSsh() {
  const ssh::ServerSettings& settings = ssh->server().settings();
  services.Open(ServiceId::kSsh, settings.enabled ? settings.port : uint16_t{0});
}

}  // namespace gh
