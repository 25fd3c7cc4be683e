"""Upgrade, trial, revert, refusals and factory reset, driven on the booted signed image as an
operator does: at the console, with lrzsz's sb on the other end of the serial line.
"""

import contextlib
import os
import random
import re
import subprocess
import threading
import time

import pytest

import qemu

TOOL = qemu.ROOT / "out/tools/gatehouse-image"
FIRMWARE = qemu.ROOT / "out/pc/gatehouse.stripped"
KEYS = qemu.ROOT / "out/keys"
PASSWORD = "a-Long-enough-1"
SECRETS = ("planted-Secret-4711", "planted-Domain-0815.example")
PROVISION = f"""
xConfiguration System Name: edge1
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: "{PASSWORD}"
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: 10.0.2.15
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration SIP Domain 1 Name: {SECRETS[1]}
xConfiguration Console Severity: Emergency
xConfiguration Syslog Server 1 Mode: Off
xConfiguration Syslog Server 1 Address: {SECRETS[0]}.example
"""
# Kills of a machine during an upgrade in the ordinary run; more by the environment.
KILLS = int(os.environ.get("GATEHOUSE_UPGRADE_KILLS", "10"))
PROMPT = r"^edge1> ?(\x1b\[K)?$"


def tool(*arguments):
    result = subprocess.run([str(TOOL), *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def make_update(folder, name, *options):
    key = [] if "--key" in options else ["--key", KEYS / "release.key"]
    tool("update", "--firmware", FIRMWARE, "--out", folder / name, "--version", "9.9.9",
         "--build-id", name, *key, *options)
    return folder / name


def log_in(machine, timeout=60):
    machine.expect(r"edge1 login: ?$", timeout)
    machine.send("admin\r")
    machine.expect(r"password: ?$")
    machine.send(PASSWORD + "\r")
    machine.expect(PROMPT, 20)


def ask(machine, line):
    """A line's answer, all pages of it."""
    machine.position = len(machine.console)
    machine.send(line + "\r")
    machine.expect(re.escape(line) + r"\s*\r?\n")
    begin = machine.position
    while machine.expect(PROMPT + r"|--More--[^\n]*$", 15).group(0).startswith("--More--"):
        machine.send(" ")
    return machine.console[begin:]


class Sender:
    """lrzsz's sb, its standard streams tied to the machine's console."""

    def __init__(self, machine, path):
        self.machine = machine
        self.process = subprocess.Popen(["sb", "-k", str(path)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        machine.tap = self._to_sb
        self.copier = threading.Thread(target=self._from_sb, daemon=True)
        self.copier.start()

    def _to_sb(self, data):
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(data)

    def _from_sb(self):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            while data := self.process.stdout.read(4096):
                self.machine.process.stdin.write(data)

    def end(self, timeout=60):
        try:
            return self.process.wait(qemu.patience(timeout))
        finally:
            self.stop()

    def stop(self):
        self.machine.tap = None
        self.process.kill()
        self.process.wait()
        self.copier.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                stream.close()


def start_transfer(machine, path):
    machine.position = len(machine.console)
    machine.send("xCommand Upgrade Receive\r")
    machine.expect("Send the update file with YMODEM now")
    return Sender(machine, path)


def upload(machine, path):
    """Sends a file; what the console says of it afterwards."""
    sender = start_transfer(machine, path)
    sender.end()
    return machine.expect(r"(Installed in slot|ERROR: upgrade refused:|No update was)[^\r\n]*",
                          30).group(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("updates")


@pytest.fixture(scope="module")
def second(folder):
    return make_update(folder, "second-build")


@pytest.fixture
def machine(tmp_path):
    with qemu.Machine(tmp_path / "vm", provision=PROVISION) as booted:
        log_in(booted)
        yield booted


def test_refusals_each_in_its_own_words(machine, folder):
    tool("keygen", "--folder", folder / "strange")
    cases = [
        (make_update(folder, "product", "--product", "other"), "image is of another product"),
        (make_update(folder, "board", "--board", "other"), "image is for another board"),
        (make_update(folder, "loader", "--loader-version-min", "99"),
         "image needs a newer loader"),
        (make_update(folder, "rollback", "--security-version", "0"),
         "image's security version is older than this machine's (0 < 1)"),
        (make_update(folder, "stranger", "--key", folder / "strange/release.key"),
         "manifest is not signed by a key this machine trusts"),
    ]
    other = folder / "other"
    other.write_bytes(b"not an update at all\n" * 1000)
    cases.append((other, "this is not an update"))
    damaged = bytearray(make_update(folder, "good").read_bytes())
    short = folder / "short"
    short.write_bytes(damaged[:-4096])
    cases.append((short, "the update ended too early"))
    damaged[-10] ^= 1
    bad = folder / "bad"
    bad.write_bytes(damaged)
    cases.append((bad, "in segment firmware, is damaged"))
    for path, reason in cases:
        said = upload(machine, path)
        assert reason in said and "The running image is untouched" in said, (path.name, said)
        machine.expect(PROMPT)
    boot = ask(machine, "xStatus Boot")
    assert "Boot Slot A State: Confirmed" in boot and "Boot Slot B State: Empty" in boot
    log = ask(machine, "xStatus Log")
    assert "rollback-refused" in log and "upgrade-failed" in log
    assert "Upgrade failed" in ask(machine, "xStatus Alarm")
