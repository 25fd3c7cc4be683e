// The SSH server in the appliance.
#include "firmware/admin/ssh_service.h"
#include "firmware/rooms.h"

namespace gh {

void Appliance::Rooms::BuildSsh() {
  machine.arena.OpenAccount("firmware/ssh");
  ssh = machine.arena.New<admin::SshService>(
      admin::SshService::Parts{machine.arena, loop, stack->streams(), random, machine.clock, *store,
                               *configuration, log, alarms, *accounts, *sessions});
  ssh->AddTo(status);
}

}  // namespace gh
