"""Federation through an Edge (EXP-001 to EXP-006): the Core inside serves example.com and listens
for no server; the Edge stands for it towards Debian's stock Prosody. Linux processes, and two
signed images."""

import subprocess

import pytest

import host as host_board
import netns
import operator_console
import qemu
import test_federation as federation
from authority import server
from test_federation import DNS, GOOD, SERVER

EDGE = SERVER  # where Prosody looks for example.com
CORE = "10.77.0.3"
COMMON = operator_console.PROVISION + """\
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {address}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration DNS Server 1 Address: {dns}
xConfiguration Administrator 1 PublicKey1: "{key}"
xConfiguration SSH Mode: On
xConfiguration XMPP Mode: On
xConfiguration XMPP Authentication ChannelBinding: Off
xConfiguration XMPP Federation Mode: On
"""
OF_EDGE = """\
xConfiguration XMPP Domain 1 Name: edge.example.net
xConfiguration XMPP Federation Relay 1 Domain: *.example.com
xConfiguration XMPP Federation Relay 1 Peer: core.example.net
"""
OF_CORE = """\
xConfiguration XMPP Domain 1 Name: example.com
xConfiguration XMPP Room Alias 1 Name: rooms.example.com
xConfiguration XMPP Federation Path: Edge
xConfiguration XMPP Federation Edge 1 Address: edge.example.net
"""


class Pair(federation.Scene):
    """The Core is the machine that is asked; the Edge stands where others look for its domain."""

    def __init__(self, edge, core, network, folder):
        super().__init__(edge, network, folder)
        self.edge, self.core = edge, core

    def begin(self, machine, address, name):
        machine.start()
        operator_console.log_in(machine)
        for target, files in (("trust.pem", ("root.pem",)),
                              ("server.pem", (f"{name}.pem", f"{name}.key"))):
            whole = self.folder / "whole"
            whole.write_bytes(b"".join((self.folder / file).read_bytes() for file in files))
            done = self.tools.run("scp", *federation.SSH, "-i", self.folder / "key", whole,
                                  f"admin@{address}:/certificates/{target}", check=False,
                                  timeout=qemu.patience(60))
            assert done.returncode == 0, done.stderr

    def start(self):
        for name, more in (("edge.example.net", ",DNS:example.com,DNS:rooms.example.com"),
                           ("core.example.net", "")):
            self.authority.issue(name, server(f"DNS:{name}{more}"))
        self.begin(self.edge, EDGE, "edge.example.net")
        self.begin(self.core, CORE, "core.example.net")
        said = operator_console.ask(self.core, "xCommand XMPP User Add: alice@example.com secret")
        assert "added." in said, said

    def act(self, name, server):
        done = self.tools.run("/usr/bin/python3", federation.SCRIPT, name, CORE, server[1],
                              server[0], check=False, timeout=qemu.patience(120))
        assert done.returncode == 0, done.stderr + self.why(server) + "\n" + \
            operator_console.ask(self.core, "xCommand Log Show: last=20")
        return federation.json.loads(done.stdout.splitlines()[-1])

    def connected(self):
        return "XMPP Partner Edge: connected" in \
            operator_console.ask(self.core, "xStatus XMPP Partner")


@pytest.fixture(scope="module", params=["host", "image"])
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", folder / "key"],
                   check=True)
    key = (folder / "key.pub").read_text().strip()
    with netns.Network() as network:
        machines = []
        for name, address, more in (("edge", EDGE, OF_EDGE), ("core", CORE, OF_CORE)):
            (folder / name).mkdir()
            provision = COMMON.format(address=address, dns=DNS, key=key) + more
            if request.param == "host":
                machines.append(host_board.HostMachine(
                    folder / name, netns.INTERFACE, network.host(name).namespace, provision))
            else:
                machines.append(qemu.Machine(folder / name, netns=network.switch,
                                             provision=provision,
                                             netdevs=[qemu.tap_net(network.tap(f"tap-{name}"))]))
                machines[-1].station += len(machines)
        scene = Pair(*machines, network, folder)
        scene.certificates()
        scene.start_servers(servers=(GOOD,), hosts={"edge.example.net": EDGE})
        try:
            scene.start()
            netns.wait_for(scene.connected, qemu.patience(60), "the Edge")
            yield scene
        finally:
            for machine in machines:
                machine.stop()


def test_the_core_is_reached_through_the_edge(pair):
    pair.talk(GOOD)
    room = f"meeting@rooms.{GOOD[0]}/"
    assert pair.act("rooms", GOOD)["bob"] == room + "alice"
    assert pair.act("our_rooms", GOOD)["left"]
    assert all("proof=certificate" in line or "carried=yes" in line
               for line in pair.streams(GOOD))
    shown = operator_console.ask(pair.core, "xStatus XMPP FederationStream")
    assert GOOD[0] not in shown and "to edge.example.net" in shown, shown
    for port in (5269, 5270):  # nobody connects to the Core
        done = pair.tools.run("timeout", "3", "bash", "-c", f"echo > /dev/tcp/{CORE}/{port}",
                              check=False, timeout=qemu.patience(30))
        assert done.returncode != 0


def test_an_edge_that_is_away_is_told_and_comes_back(pair):
    pair.edge.stop()
    netns.wait_for(lambda: "No Edge carries XMPP federation" in
                   operator_console.ask(pair.core, "xStatus Alarm"), qemu.patience(90), "the alarm")
    pair.edge.start()
    netns.wait_for(pair.connected, qemu.patience(90), "the Edge again")
    operator_console.log_in(pair.edge)
    # Ours alone: Prosody may for a while speak into a stream that died with the Edge.
    assert pair.act("there", GOOD)["there"] == ["over there"]
