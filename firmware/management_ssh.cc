// The SSH server in the appliance.
#include "firmware/admin/file_service.h"
#include "firmware/admin/ssh_service.h"
#include "firmware/rooms.h"

namespace gh {

void Appliance::Rooms::BuildSsh() {
  machine.arena.OpenAccount("firmware/ssh");
  files = machine.arena.New<admin::FileService>(log, machine.clock);
  ssh = machine.arena.New<admin::SshService>(
      admin::SshService::Parts{machine.arena, loop, stack->streams(), random, machine.clock, *store,
                               *configuration, log, alarms, *accounts, *sessions, *files});
  ssh->AddTo(status);
}

// The firewall's rule for it; a port that was given up loses its own.
void Appliance::Rooms::AllowSsh() {
  net::Firewall& firewall = stack->firewall();
  if (ssh_allowed.first != 0) {
    firewall.Revoke(ssh_allowed);
    ssh_allowed = {};
  }
  const ssh::ServerSettings& settings = ssh->server().settings();
  if (settings.enabled) {
    ssh_allowed = {net::Transport::kTcp, settings.port, settings.port, net::kAllPorts};
    firewall.Allow(ssh_allowed).ignore("a port number from the schema's range, few rules");
  }
}

}  // namespace gh
