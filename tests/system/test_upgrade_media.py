"""Media goes on while the booted image is upgraded: coturn's client sends voice-sized packets, one
each 20 ms, through a TURN relay of the signed image, first without and then with updates streaming
in over HTTPS into the other slot, one after the other. Nothing is lost; how long a packet takes
either way is printed, by the client's own account. The machine has two processors, one for media.
"""

import re
import subprocess
import time

import pytest

import coturn_package
import netns
import qemu
import test_upgrade
from https_server import make_certificate

EDGE, CLIENT, PEER = "10.77.0.2", "10.77.0.11", "10.77.0.12"
PROVISION = f"""\
xConfiguration System Name: edge1
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: "{test_upgrade.PASSWORD}"
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {EDGE}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration SIP Domain 1 Name: example.com
xConfiguration Authentication User 1 Name: alice
xConfiguration Authentication User 1 Password: secret
xConfiguration Console Severity: Emergency
xConfiguration Traversal Server TURN Mode: On
xConfiguration Traversal Server TURN Allow 1 Prefix: 10.77.0.0/24
"""
CALLS = 4
PACKETS = 400  # of each call: 8 s
UPDATES = ("first.update", "second.update")


class World:
    def __init__(self, network, folder):
        self.folder, self.tools = folder, coturn_package.unpack(folder)
        self.client = network.host("client", f"{CLIENT}/24")
        self.peer = network.host("peer", f"{PEER}/24")
        pin = f"xConfiguration Upgrade Server Fingerprint: {make_certificate(folder)}\n"
        for name in UPDATES:
            test_upgrade.make_update(folder, name)
        self.machine = qemu.Machine(folder / "edge", netdevs=[qemu.tap_net(network.tap())],
                                    netns=network.switch, provision=PROVISION + pin, cpus=2)

    def __enter__(self):
        self.machine.start()
        test_upgrade.log_in(self.machine)
        self.peer.start(self.tools / "turnutils_peer", "-L", PEER, "-p", "3480",
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        netns.wait_for(lambda: "3480" in self.peer.run("ss", "-lun").stdout, 10, "the peer")
        self.peer.start("openssl", "s_server", "-WWW", "-quiet", "-accept", f"{PEER}:8443",
                        "-cert", "updates.pem", "-key", "updates.key", cwd=self.folder,
                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)
        netns.wait_for(lambda: "8443" in self.peer.run("ss", "-ltn").stdout, 10, "the server")
        return self

    def __exit__(self, *_):
        self.machine.stop()

    def calls(self):
        return self.client.start(
            self.tools / "turnutils_uclient", "-m", str(CALLS), "-n", str(PACKETS), "-l", "172",
            "-z", "20", "-c", "-e", PEER, "-r", "3480", "-u", "alice", "-w", "secret", EDGE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def upgrade(self, name):
        test_upgrade.ask(self.machine, f"xCommand Upgrade Fetch: https://{PEER}:8443/{name}")
        deadline = time.monotonic() + qemu.patience(60)
        while time.monotonic() < deadline:
            status = test_upgrade.ask(self.machine, "xStatus Upgrade")
            if "Upgrade State: installed" in status and f"build={name}" in status:
                return int(re.search(r"(\d+) KiB/s", status)[1])
            assert "Upgrade State: failed" not in status, status
            time.sleep(0.2)
        raise AssertionError("the upgrade did not end: " + status)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with netns.Network() as network, World(network, tmp_path_factory.mktemp("media")) as made:
        yield made


def figures(name, process):
    text, _ = process.communicate(timeout=qemu.patience(60))
    assert process.returncode == 0, text[-2000:]
    lost = re.findall(r"Total lost packets (\d+)", text)
    spread = r" ([\d.]+) ms; min = (\d+) ms, max = (\d+) ms"
    delay = re.findall("Average round trip delay" + spread, text)
    jitter = re.findall("Average jitter" + spread, text)
    assert lost and delay and jitter, text[-2000:]
    print(f"{name}: lost {lost[-1]}, round trip {delay[-1][0]} ms ({delay[-1][1]} to "
          f"{delay[-1][2]}), jitter {jitter[-1][0]} ms (most {jitter[-1][2]})")
    assert lost[-1] == "0", text[-2000:]


def measure(world):
    figures("without an upgrade", world.calls())
    calls, rates = world.calls(), []
    while calls.poll() is None:
        rates.append(world.upgrade(UPDATES[len(rates) % len(UPDATES)]))
    figures(f"with {len(rates)} upgrades at {min(rates)} to {max(rates)} KiB/s", calls)


def test_no_packet_is_lost_while_upgrades_stream_in(world):
    measure(world)
