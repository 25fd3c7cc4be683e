"""Files over SSH on the booted image: update images brought by scp and sftp install and boot;
what is no update, or is cut off, is refused in words and leaves the running slot alone.

Fault model: a damaged image, a client that goes away in the middle, a folder that only takes.
"""

import re
import subprocess

import pytest

import netns
import operator_console
import qemu
import test_ssh
from operator_console import ask
from test_upgrade import make_update

EDGE = test_ssh.EDGE
OPTIONS = ("-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o",
           "IdentitiesOnly=yes")
PROVISION = operator_console.PROVISION + f"""\
xConfiguration Administrator 1 PublicKey1: "{{key}}"
xConfiguration Network Port 1 IPv4 Address: {EDGE}
xConfiguration Console Severity: Emergency
"""


class World:
    def run(self, program, *words, text_in=None):
        options = ["-F", "none", "-i", str(self.folder / "key"), *OPTIONS,
                   "-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}"]
        return self.client.run(program, *options, *words, check=False,
                               timeout=qemu.patience(60), input=text_in)

    def put(self, client, file):
        if client == "sftp":
            return self.run("sftp", "-b", "-", f"admin@{EDGE}",
                            text_in=f"put {file} /upgrade/image.update\n")
        program, *flags = client.split()
        return self.run(program, *flags, str(file), f"admin@{EDGE}:/upgrade/image.update")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World()
    w.folder = tmp_path_factory.mktemp("files")
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "test", "-t", "ed25519", "-f",
                    w.folder / "key"], check=True)
    w.second = make_update(w.folder, "second.update")
    damaged = bytearray(w.second.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    w.damaged = w.folder / "damaged.update"
    w.damaged.write_bytes(damaged)
    with netns.Network() as network:
        w.client = network.host("client", "10.77.0.11/24")
        provision = PROVISION.format(key=(w.folder / "key.pub").read_text().strip())
        w.edge = qemu.Machine(w.folder / "vm", netdevs=[qemu.tap_net(network.tap())],
                              netns=network.switch, provision=provision)
        with w.edge:
            operator_console.log_in(w.edge)
            yield w


@pytest.mark.parametrize("client", ["scp", "scp -O"])
def test_a_damaged_image_is_refused_in_words(world, client):
    done = world.put(client, world.damaged)
    assert done.returncode != 0, done.stdout
    assert "block" in done.stderr or "damaged" in done.stderr, done.stderr
    assert not re.search(r"State: installed", ask(world.edge, "xStatus Upgrade"), re.IGNORECASE)


def test_what_is_no_image_is_refused(world):
    text = world.folder / "text"
    text.write_text("not an image\n" * 1000, encoding="utf-8")
    assert world.put("scp", text).returncode != 0


def test_the_folder_only_takes(world):
    assert world.run("scp", f"admin@{EDGE}:/upgrade/image.update",
                     str(world.folder / "back")).returncode != 0


@pytest.mark.parametrize("client", ["sftp", "scp -O", "scp"])
def test_an_image_is_installed(world, client):
    done = world.put(client, world.second)
    assert done.returncode == 0, done.stderr
    status = ask(world.edge, "xStatus Upgrade")
    assert re.search(r"Upgrade State: installed", status, re.IGNORECASE), status


def test_the_installed_image_boots_and_is_confirmed(world):
    world.edge.send("xCommand Restart Confirm: Yes\r")
    world.edge.expect(r"slot-b: verified gatehouse 9\.9\.9", 60)
    operator_console.log_in(world.edge)
    netns.wait_for(lambda: "confirmed" in ask(world.edge, "xStatus Boot").lower(), 60,
                   "the confirmation")
    assert "9.9.9" in ask(world.edge, "xStatus Upgrade") + ask(world.edge, "xStatus Boot")
