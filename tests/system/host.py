"""The appliance as a Linux process (out/host/gatehouse) behind the same words as qemu.Machine."""

import signal
import subprocess

import netns
import qemu

PROGRAM = qemu.ROOT / "out/host/gatehouse"


class HostMachine(qemu.Machine):
    """Its console is the process's stdio; it stands in a namespace, on the interface given."""

    def __init__(self, workdir, interface, netns, provision=None, options=()):
        super().__init__(workdir, image=PROGRAM, netns=netns)
        self.interface, self.options, self.provision = interface, list(options), provision

    def _command(self):
        command = [PROGRAM, "--packet", self.interface, "--console", "stdio", "--no-mlock",
                   "--store", self.workdir / "store", "--log", self.workdir / "log",
                   "--crash-record", self.workdir / "crash"]
        if self.provision is not None:
            (self.workdir / "provision.txt").write_text(self.provision, encoding="utf-8")
            command += ["--provision", self.workdir / "provision.txt"]
        return [str(word) for word in command + self.options]

    def stop(self, timeout=20):
        if self.running:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self._close()


def edge_of(board, folder, network, provision, second=None, name="edge"):
    """An appliance of `board`, "image" or "host", in a network of netns.py, not yet started. Its
    second port, if it is to have one, is on the switch of another network."""
    folder.mkdir()
    if board == "image":
        netdevs = [qemu.tap_net(network.tap(f"t{name}"))]
        if second is not None:
            netdevs.append(qemu.tap_net(network.tap(f"u{name}", beyond=second), "net1"))
        return qemu.Machine(folder, netdevs=netdevs, netns=network.switch, provision=provision)
    space, options = network.host(name), []
    if second is not None:
        second.interface(space, "lan2")
        options = ["--packet", "lan2"]
    return HostMachine(folder, netns.INTERFACE, space.namespace, provision, options)
