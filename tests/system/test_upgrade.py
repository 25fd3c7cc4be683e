"""Upgrade, trial, revert, refusals and factory reset, driven on the booted signed image as an
operator does: at the console, with lrzsz's sb on the other end of the serial line.
"""

import hashlib
import mmap
import os
import random
import re
import subprocess
import time
from pathlib import Path

import pytest

import https_server
import qemu

TOOL = qemu.ROOT / "out/tools/gatehouse-image"
FIRMWARE = qemu.ROOT / "out/pc/gatehouse.stripped"
KEYS = qemu.ROOT / "out/keys"
PASSWORD = "a-Long-enough-1"
# A name, a host, and what the store keeps of a SIP password (HA1).
DOMAIN = "planted-0815.example"
SECRETS = (DOMAIN.encode(), b"planted-4711.example",
           hashlib.md5(f"alice:{DOMAIN}:planted".encode()).digest())
PROVISION = f"""
xConfiguration System Name: edge1
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: "{PASSWORD}"
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: 10.0.2.15
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration SIP Domain 1 Name: {DOMAIN}
xConfiguration Authentication User 1 Name: alice
xConfiguration Authentication User 1 Password: planted
xConfiguration Console Severity: Emergency
xConfiguration Syslog Server 1 Mode: Off
xConfiguration Syslog Server 1 Address: planted-4711.example
"""
# Kills of a machine during an upgrade in the ordinary run; more by the environment.
KILLS = int(os.environ.get("GATEHOUSE_UPGRADE_KILLS", "4"))
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
    machine.expect(r"edge1 login: ?(\x1b\[K)?$", timeout)
    machine.send("admin\r")
    machine.expect(r"password: ?(\r|\x1b\[K)?$")
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


def start_transfer(machine):
    machine.position = len(machine.console)
    machine.send("xCommand Upgrade Receive\r")
    machine.expect("Send the update file with YMODEM now")


def upload(machine, path):
    """Sends a file with sb; what the console says of it afterwards."""
    start_transfer(machine)
    machine.pipe(["sb", "-k", str(path)], qemu.patience(60))
    said = machine.expect(r"(Installed (?:in slot|key list)|ERROR: upgrade refused:|No update was)"
                          r"[^\r\n]*(?=[\r\n])", 30).group(0)
    machine.expect(PROMPT)
    return said


def fetch(machine, server, path):
    """Has an update fetched over HTTPS. It is on its way then: wait_until_installed()."""
    machine.position = len(machine.console)
    machine.send(f"xCommand Upgrade Fetch: https://{https_server.HOST}:"
                 f"{server.server_address[1]}/{path.name}\r")
    machine.expect(r"Fetching;")


def wait_until_installed(machine, path):
    status = wait_for(machine, "xStatus Upgrade", r"State: (installed|failed)", 90)
    assert "State: installed" in status and f"build={path.name}" in status, status


def install(machine, server, path):
    """Over HTTPS, which takes a second where YMODEM over an emulated serial line takes a minute."""
    fetch(machine, server, path)
    wait_until_installed(machine, path)


def restart(machine):
    machine.position = len(machine.console)
    machine.send("xCommand Restart Confirm: Yes\r")
    machine.expect(r"loader: starting ", 30)
    log_in(machine)


def wait_for(machine, line, pattern, seconds):
    deadline = time.monotonic() + qemu.patience(seconds)
    while not re.search(pattern, answer := ask(machine, line)):
        assert time.monotonic() < deadline, answer + machine.tail()
        time.sleep(0.3)
    return answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("updates")


@pytest.fixture(scope="module")
def second(folder):
    return make_update(folder, "second-build")


@pytest.fixture(scope="module")
def server(folder):
    pin = https_server.make_certificate(folder)
    with https_server.start_server(folder, https_server.Quiet) as started:
        started.provision = PROVISION + f"xConfiguration Upgrade Server Fingerprint: {pin}\n"
        yield started


@pytest.fixture
def machine(tmp_path, server):
    with qemu.Machine(tmp_path / "vm", provision=server.provision) as booted:
        log_in(booted)
        yield booted


@pytest.fixture(scope="module")
def untouched(tmp_path_factory, server):
    """What refuses is the same machine as before, and good for the next test."""
    vm = tmp_path_factory.mktemp("untouched") / "vm"
    with qemu.Machine(vm, provision=server.provision) as booted:
        log_in(booted)
        yield booted


def test_refusals_each_in_its_own_words(untouched, folder):
    machine = untouched
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
    boot = ask(machine, "xStatus Boot")
    assert "Boot Slot A State: Confirmed" in boot and "Boot Slot B State: Empty" in boot
    log = ask(machine, "xStatus Log")
    assert "rollback-refused" in log and "upgrade-failed" in log
    assert "Upgrade failed" in ask(machine, "xStatus Alarm")


def key_list(folder, sequence, release, revoked=(), root=KEYS / "root.key"):
    path = folder / f"keys-{sequence}-{Path(root).parent.name}.list"
    options = [option for name in release for option in ("--release", name)]
    options += [option for name in revoked for option in ("--revoked", name)]
    tool("keylist", *options, "--key", root, "--sequence", sequence, "--out", path)
    return path


def test_key_rotation_revocation_and_golden_by_the_operators_word(untouched, server, folder):
    machine = untouched
    tool("keygen", "--folder", folder / "next", "--name", "release-2")
    tool("keygen", "--folder", folder / "strange", "--name", "root", "--role", "root")
    old, new = KEYS / "release.pub", folder / "next/release-2.pub"
    both = key_list(folder, 1, [old, new])
    assert "Boot KeyList Sequence: 0" in ask(machine, "xStatus Boot")
    # Signed by a root key that this machine does not know, and one that would lock it out.
    said = upload(machine, key_list(folder, 1, [new], root=folder / "strange/root.key"))
    assert "not signed by enough trusted root keys. The keys are what they were" in said, said
    said = upload(machine, key_list(folder, 9, [new], [old]))
    assert "the running image is not signed by the keys of this list" in said, said
    assert "Boot KeyList Sequence: 0" in ask(machine, "xStatus Boot")
    assert upload(machine, both).startswith("Installed key list 1: it is in force")
    boot = ask(machine, "xStatus Boot")
    assert "Boot KeyList Sequence: 1" in boot and "Boot KeyList Key 2: " in boot, boot
    assert "this key list is in force already" in upload(machine, both)
    # Golden, once, by the operator's word.
    assert "OK" in ask(machine, "xCommand Boot Slot: Golden")
    assert "Boot Golden Next: Yes" in ask(machine, "xStatus Boot")
    restart(machine)
    assert "the operator has chosen the golden image for this start" in machine.console
    boot = ask(machine, "xStatus Boot")
    assert "Boot Running: Golden" in boot and "Boot Reason: Operator" in boot, boot
    assert "Boot Golden Next: No" in boot and "Boot Slot A State: Confirmed" in boot, boot
    assert "chosen by the operator for this start" in ask(machine, "xStatus Alarm")
    restart(machine)
    boot = ask(machine, "xStatus Boot")
    assert "Boot Running: A" in boot and "Boot KeyList Sequence: 1" in boot, boot
    # An update by the new key; then the old key is revoked.
    second = make_update(folder, "rotated", "--key", folder / "next/release-2.key")
    install(machine, server, second)
    restart(machine)
    assert "OK" in ask(machine, "xCommand Boot Confirm")
    said = upload(machine, key_list(folder, 2, [new], [old]))
    assert said.startswith("Installed key list 2: it is in force"), said
    log = ask(machine, "xStatus Log")
    assert "key-list-installed" in log, log
    assert len(re.findall(r"key-list-refuses-image", log)) == 2, log  # slot A and golden
    refusal = "manifest is not signed by a key this machine trusts"
    assert refusal in upload(machine, make_update(folder, "by-the-old-key"))
    assert "older than the one in force" in upload(machine, key_list(folder, 1, [old, new]))
    assert refusal in ask(machine, "xCommand Boot Slot: Golden")
    install(machine, server, make_update(folder, "by-the-new-key", "--key",
                                         folder / "next/release-2.key"))
    boot = ask(machine, "xStatus Boot")
    assert "Boot Slot A State: Trial" in boot and "build=by-the-new-key" in boot, boot
    assert "Boot KeyList Sequence: 2" in boot, boot
    machine.stop()


def test_upgrade_trial_confirm_and_factory_reset(machine, second, tmp_path):
    said = upload(machine, second)
    assert said.startswith("Installed in slot B: version 9.9.9, build second-build"), said
    boot = ask(machine, "xStatus Boot")
    assert "Boot Running: A" in boot and "Boot Slot B State: Trial" in boot, boot
    assert "Boot Slot B Version: 9.9.9 build=second-build" in boot, boot
    progress = ask(machine, "xStatus Upgrade")
    assert "State: installed" in progress and "] 100 %, " in progress, progress
    print(re.search(r"Progress: .*", progress).group(0))
    # A change between upload and restart is kept.
    assert "OK" in ask(machine, "xConfiguration Administration Session TimeOut: 77")
    restart(machine)
    assert "loader: starting slot-b" in machine.console
    assert "Boot Running: B" in ask(machine, "xStatus Boot")
    assert "TimeOut: 77" in ask(machine, "xConfiguration Administration Session")
    boot = wait_for(machine, "xStatus Boot", r"Boot Slot B State: Confirmed", 40)
    assert "Boot Trial: No" in boot and "Boot Slot A State: Confirmed" in boot, boot
    assert "image-confirmed" in ask(machine, "xStatus Log")
    machine.stop()
    factory_reset(tmp_path)


def convert(form, source, target):
    subprocess.run(["qemu-img", "convert", "-O", form, str(source), str(target)], check=True)


def plant(folder):
    """The secrets in plain at the end of the store: what is sealed there no search can find."""
    raw = folder / "disk.raw"
    convert("raw", folder / "vm/disk.qcow2", raw)
    table = subprocess.run(["sgdisk", "-p", str(raw)], check=True, text=True, capture_output=True)
    last = int(re.search(r"^ +\d+ +\d+ +(\d+) .* store$", table.stdout, re.MULTILINE)[1])
    with open(raw, "r+b") as disk:
        disk.seek(last * 512)
        disk.write(b" ".join(SECRETS))
    (folder / "vm/disk.qcow2").unlink()
    convert("qcow2", raw, folder / "vm/disk.qcow2")
    raw.unlink()


def on_the_disk(folder):
    """Which of the planted secrets the raw disk holds."""
    raw = folder / "disk.raw"
    convert("raw", folder / "vm/disk.qcow2", raw)
    with open(raw, "rb") as disk, mmap.mmap(disk.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = [secret for secret in SECRETS if data.find(secret) >= 0]
    raw.unlink()
    return found


def factory_reset(folder):
    """Everything that was stored is erased, but the network settings when they are to be kept; and
    what was delivered first runs again."""
    assert SECRETS[2] not in on_the_disk(folder)  # the store is sealed
    plant(folder)
    assert on_the_disk(folder) == list(SECRETS)  # the search finds what it looks for
    with qemu.Machine(folder / "vm") as machine:  # nothing to provision it anew
        log_in(machine)
        machine.position = len(machine.console)
        machine.send("xCommand FactoryReset Keep: Network\r")
        machine.expect(r"yes or no: ")
        machine.send("yes\r")
        machine.expect(r"loader: factory reset: erasing everything but the network settings", 90)
        machine.expect(r"loader: starting slot-a", 90)
        machine.expect(r"The network settings of before the factory reset are in force", 60)
        # The network is up before anybody has set anything.
        machine.expect(r"LAN1: .*10\.0\.2\.15")
        machine.expect(r"First set-up: there is no configuration yet")
        assert "Factory reset: done" in machine.console, machine.tail()
        machine.process.stdin.flush()
        set_up_with_kept_network(machine)
    assert on_the_disk(folder) == []
    with qemu.Machine(folder / "vm") as machine:
        log_in(machine)
        assert "10.0.2.15" in ask(machine, "xConfiguration Network Port 1 IPv4 Address")
        assert "network-settings-kept" not in ask(machine, "xStatus Log")
        assert "Boot Slot B State: Empty" in ask(machine, "xStatus Boot")
        machine.position = len(machine.console)
        machine.send("xCommand FactoryReset Confirm: Yes\r")
        machine.expect(r"loader: factory reset: done", 120)
        machine.expect(r"First set-up: there is no configuration yet", 60)
        assert "of before the factory reset" not in machine.console, machine.tail()
        assert "10.0.2.15" not in machine.console[machine.console.rindex("loader: starting"):]


def set_up_with_kept_network(machine):
    """The first set-up after such a reset: an administrator, and the network as it was."""
    for question, answer in ((r"Administrator name", "admin"), (r"Password \(", PASSWORD),
                             (r"password again", PASSWORD), (r"Host name", "edge1"),
                             (r"Keep the network settings of before", ""), (r"Time server", ""),
                             (r"SIP domain", ""), (r"Save this and begin", "yes")):
        machine.expect(question)
        machine.send(answer + "\r")
    machine.expect(r"edge1 login: ?(\x1b\[K)?$|edge1> ?(\x1b\[K)?$")


def test_unconfirmed_trial_goes_back_with_an_alarm_and_rollback_is_refused(machine, server, second,
                                                                           folder):
    for line in ("Upgrade Confirm Mode: Manual", "Upgrade Confirm TimeOut: 30"):
        assert "OK" in ask(machine, f"xConfiguration {line}")
    newer = make_update(folder, "newer", "--security-version", "2")
    install(machine, server, newer)
    restart(machine)
    assert "Boot Trial: Yes" in ask(machine, "xStatus Boot")
    assert "OK" in ask(machine, "xConfiguration Administration Session TimeOut: 99")
    # Nobody confirms it: the box goes back by itself and says why.
    machine.expect(r"loader: starting slot-a", 60)
    log_in(machine)
    boot = ask(machine, "xStatus Boot")
    assert "Boot Running: A" in boot and "Boot Slot B State: Bad" in boot, boot
    assert "Boot SecurityFloor: 1" in boot, boot
    # The former image has its own configuration back.
    assert "TimeOut: 30" in ask(machine, "xConfiguration Administration Session")
    assert re.search(r"An update was given up.*not confirmed in time: nobody confirmed it",
                     ask(machine, "xStatus Alarm"))
    # By the operator's word it is tried again, confirmed, and the way back is closed.
    assert "OK" in ask(machine, "xCommand Boot Acknowledge")
    assert "OK" in ask(machine, "xCommand Boot Slot: B")
    restart(machine)
    assert "OK" in ask(machine, "xCommand Boot Confirm")
    boot = ask(machine, "xStatus Boot")
    assert "Boot Slot B State: Confirmed" in boot and "Boot SecurityFloor: 2" in boot, boot
    assert "too old to go back to" in ask(machine, "xCommand Boot Revert Confirm: Yes")
    assert "security version is older" in ask(machine, "xCommand Boot Slot: A")
    said = upload(machine, second)
    assert "security version is older than this machine's (1 < 2)" in said, said
    assert "Boot Slot A State: Confirmed" in ask(machine, "xStatus Boot")


def test_killed_during_upgrade_it_always_comes_back(tmp_path, second):
    """SIGKILL at random times of an upgrade: old or new, never neither; the last one succeeds."""
    seed = int(os.environ.get("GATEHOUSE_SEED", random.randrange(1 << 32)))
    print(f"seed {seed}")
    lots = random.Random(seed)
    pin = https_server.make_certificate(tmp_path)
    provision = PROVISION + f"xConfiguration Upgrade Server Fingerprint: {pin}\n"
    (tmp_path / second.name).write_bytes(second.read_bytes())
    booted = {"a": 0, "b": 0}
    with https_server.start_server(tmp_path, https_server.Quiet) as server:
        # How long an upgrade takes here, for the choice of moments.
        with qemu.Machine(tmp_path / "vm", provision=provision) as machine:
            log_in(machine)
            begin = time.monotonic()
            fetch(machine, server, second)
            wait_until_installed(machine, second)
            whole = time.monotonic() - begin
        for _ in range(KILLS):
            after = lots.uniform(0, whole)
            with qemu.Machine(tmp_path / "vm", provision=provision) as machine:
                slot = machine.expect(r"loader: starting slot-([ab])", 40).group(1)
                booted[slot] += 1
                log_in(machine)
                assert "OK" in ask(machine, "xCommand Boot Confirm")  # no update during a trial
                fetch(machine, server, second)
                time.sleep(after)
                machine.kill()
        with qemu.Machine(tmp_path / "vm", provision=provision) as machine:
            log_in(machine)
            assert "OK" in ask(machine, "xCommand Boot Confirm")
            install(machine, server, second)
    print(f"{KILLS} kills within {whole:.1f} s of an upgrade; started: {booted}")
