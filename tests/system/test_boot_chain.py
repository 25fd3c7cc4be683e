"""The boot chain on the booted disk image, in QEMU: tries, fallback, rollback refusal, golden, the
recovery console with the real `sb`, factory reset, and power cuts.

The firmware is the tiny test payload (tests/system/payload.cc): it says what it was handed and then
hangs, which is just what a broken update does. Confirmation by a healthy firmware is
test_upgrade.py's; here the record is set with gatehouse-image bootstate.

GATEHOUSE_POWER_CUTS says how many power cuts of a factory reset are tried.
"""

import os
import random
import re
import time

import pytest

import qemu
import test_tpm
from test_boot_tamper import KEYS, LOADER, STARTED, STOPPED, TEST_FIRMWARE, tool

POWER_CUTS = int(os.environ.get("GATEHOUSE_POWER_CUTS", "5"))
PROMPT = r"recovery> "
SECTOR = 512


def update(folder, name, version, *options):
    """A signed update file of the test payload."""
    path = folder / name
    tool("update", "--firmware", TEST_FIRMWARE, "--key", KEYS / "release.key", "--version", version,
         "--build-id", name, "--out", path, *options)
    return path


@pytest.fixture
def disk(tmp_path):
    """Slot a confirmed with 1.0.0, slot b with 2.0.0 but not in use, golden 0.9.0."""
    return make_disk(tmp_path)


def make_disk(folder, a=(), b=(), golden=()):
    path = folder / "disk.img"
    tool("disk", "--loader", LOADER, "--update", update(folder, "a", "1.0.0", *a), "--slot-b",
         update(folder, "b", "2.0.0", *b), "--factory", update(folder, "g", "0.9.0", *golden),
         "--out", path)
    return path


def trial(disk, tries=3):
    tool("bootstate", "--slot", "b", "--state", "trial", "--tries", tries, "--newest", "yes", disk)


def machine(tmp_path, disk, watchdog=None, **options):
    fw_cfg = options.pop("fw_cfg", {})
    if watchdog is not None:
        fw_cfg["opt/gatehouse/loader-watchdog"] = str(watchdog)
    return qemu.Machine(tmp_path / "vm", disk, overlay=False, fw_cfg=fw_cfg, **options)


def started(vm, slot, version, timeout=20):
    vm.expect(rf"payload: handover good, slot {slot}, version {re.escape(version)},", timeout)
    match = vm.expect(r"payload: start reason 0*(\d+), tries left 0*(\d+),", 5)
    vm.expect(r"payload: map covers the image", 5)
    return int(match.group(1) or 0), int(match.group(2) or 0)


REASON_CONFIRMED, REASON_TRIAL, REASON_FALLBACK, REASON_GOLDEN, REASON_OPERATOR = range(5)


# --- Tries and fallback --------------------------------------------------------------------------
def test_trial_is_counted_down_and_then_given_up_for_the_confirmed_slot(tmp_path, disk):
    """The firmware hangs before it arms a watchdog: the loader's own brings the box back."""
    trial(disk, tries=2)
    with machine(tmp_path, disk, watchdog=2) as vm:
        assert started(vm, "b", "2.0.0") == (REASON_TRIAL, 1)
        assert "slot-b: on trial, tries left after this one: 1" in vm.console
        assert started(vm, "b", "2.0.0", 60) == (REASON_TRIAL, 0)
        assert started(vm, "a", "1.0.0", 60) == (REASON_FALLBACK, 0)
        assert "loader: slot-b: refused: its tries ran out and none was confirmed" in vm.console
        assert "payload: failed b: its tries ran out and none was confirmed" in vm.console
    state = tool("bootstate", disk)
    assert "slot-b: bad" in state and "slot-a: confirmed" in state and "started a" in state


def test_try_is_on_the_disk_before_the_jump(tmp_path, disk):
    trial(disk, tries=3)
    vm = machine(tmp_path, disk).start()
    try:
        started(vm, "b", "2.0.0")
    finally:
        vm.kill()
    assert "slot-b: trial, tries 2" in tool("bootstate", disk)


def test_confirmed_update_is_started_before_the_older_slot(tmp_path, disk):
    tool("bootstate", "--slot", "b", "--state", "confirmed", "--newest", "yes", disk)
    with machine(tmp_path, disk) as vm:
        assert started(vm, "b", "2.0.0") == (REASON_CONFIRMED, 0)


def test_damaged_trial_gives_way_at_once(tmp_path, disk):
    trial(disk)
    tool("tamper", "--slot", "slot-b", "--part", "payload", "--offset", 77, disk)
    with machine(tmp_path, disk) as vm:
        assert started(vm, "a", "1.0.0") == (REASON_FALLBACK, 0)
        assert "loader: slot-b: refused: payload block does not match" in vm.console
    assert "slot-b: bad" in tool("bootstate", disk)


def test_signed_firmware_that_cannot_be_placed_gives_way(tmp_path):
    """Signed, but no ELF: found only when it is to be placed, after its try was counted."""
    junk = tmp_path / "junk"
    junk.write_bytes(b"no firmware" * 1000)
    disk = make_disk(tmp_path, b=["--firmware", junk])
    trial(disk)
    with machine(tmp_path, disk) as vm:
        vm.expect(r"loader: slot-b: refused: ", 20)
        assert started(vm, "a", "1.0.0") == (REASON_FALLBACK, 0)
    assert "slot-b: bad" in tool("bootstate", disk)


def test_lost_record_is_rebuilt_from_the_slots(tmp_path, disk):
    tool("bootstate", "--lose", "all", disk)
    with machine(tmp_path, disk) as vm:
        vm.expect(r"WARNING: all four copies of the boot state are lost", 20)
        reason, left = started(vm, "a", "1.0.0")
        assert (reason, left) == (REASON_TRIAL, 0)
    assert "copies f" in tool("bootstate", disk)


# --- Rollback ------------------------------------------------------------------------------------
def test_older_security_version_is_refused_although_signed(tmp_path):
    disk = make_disk(tmp_path, a=["--security-version", "5"], b=["--security-version", "4"],
                     golden=["--security-version", "5"])
    tool("bootstate", "--security-version", 5, disk)
    trial(disk)
    with machine(tmp_path, disk) as vm:
        assert started(vm, "a", "1.0.0") == (REASON_FALLBACK, 0)
        assert ("loader: slot-b: refused: image's security version is older than this machine's"
                in vm.console)


def rolled_back_disk_is_refused(folder, kind, tpm=None):
    """The whole disk is put back to an older state: record, slots and golden agree, and only the
    hardware counter knows better."""
    old = make_disk(folder)
    new = qemu.copy_image(old, folder / "new.img")
    newer = update(folder, "newer", "5.0.0", "--security-version", "3")
    offset = partitions(new)["slot-a"][0]
    with open(new, "r+b") as file:
        file.seek(offset)
        file.write(newer.read_bytes())
    tool("bootstate", "--security-version", 3, new)
    vm = machine(folder, new, tpm=tpm).start()
    try:
        started(vm, "a", "5.0.0")
        assert re.search(rf"floor 0*3, counter 0*3 of kind 0*{kind},", vm.console), vm.tail()
    finally:
        vm.stop()
    return old


def old_disk_ends_in_recovery(vm, name):
    recovery(vm)
    for slot in ("slot-a", "factory"):
        assert (f"loader: {slot}: refused: image's security version is older than this machine's"
                in vm.console)
    assert f"nothing below 3 is started (record 3, counter {name} 3)" in ask(vm, "state")


def test_disk_put_back_is_refused_by_the_tpms_counter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    with test_tpm.tpm(folder / "tpm") as socket:
        old = rolled_back_disk_is_refused(folder, 1, socket)
    (folder / "vm/vars.fd").unlink()  # only the TPM remembers
    with test_tpm.tpm(folder / "tpm") as socket, machine(folder, old, tpm=socket) as vm:
        old_disk_ends_in_recovery(vm, "TPM")
    # Another TPM knows nothing: so it was this one that refused.
    with test_tpm.tpm(folder / "fresh") as socket:
        with machine(folder, make_disk(folder), tpm=socket) as vm:
            started(vm, "a", "1.0.0")


def test_disk_put_back_is_refused_by_the_firmwares_variable(tmp_path):
    old = rolled_back_disk_is_refused(tmp_path, 2)
    with machine(tmp_path, old) as vm:
        old_disk_ends_in_recovery(vm, "UEFI variable")


# --- Golden and the recovery console -------------------------------------------------------------
def both_slots_bad(disk):
    for slot in ("slot-a", "slot-b"):
        tool("tamper", "--slot", slot, "--part", "manifest", "--offset", 50, disk)
    tool("bootstate", "--slot", "b", "--state", "confirmed", disk)


def test_both_slots_bad_start_golden(tmp_path, disk):
    both_slots_bad(disk)
    with machine(tmp_path, disk) as vm:
        assert started(vm, "g", "0.9.0") == (REASON_GOLDEN, 0)
        for slot in "ab":
            assert f"payload: failed {slot}: manifest signature does not verify" in vm.console


def all_bad(disk):
    both_slots_bad(disk)
    tool("tamper", "--slot", "factory", "--part", "payload", "--offset", 9, disk)


def recovery(vm):
    vm.expect(STOPPED, 20)
    vm.expect(PROMPT, 5)


def ask(vm, line, timeout=10):
    return vm.ask(line, prompt=PROMPT, timeout=timeout)


def test_everything_bad_ends_in_the_recovery_console(tmp_path, disk):
    all_bad(disk)
    with machine(tmp_path, disk) as vm:
        recovery(vm)
        assert "receive a|b" in ask(vm, "help")
        state = ask(vm, "state")
        assert "slot-a: bad" in state and "given up: manifest signature does not verify" in state
        assert "factory: golden; holds: 0.9.0; refused: payload block" in state
        assert "slot-b: refused: manifest signature does not verify" in ask(vm, "log")
        assert "unknown command" in ask(vm, "format c:")
        # Nothing unsigned is started, whatever is asked for.
        for word in ("boot golden", "continue", "boot a"):
            vm.send(word + "\r")
            recovery(vm)
        for word in STARTED.split("|"):
            assert word not in vm.console
        vm.send("reboot\r")
        vm.expect(r"Gatehouse loader", 20)
        recovery(vm)


def test_recovery_console_is_reached_on_request_and_leaves_again(tmp_path, disk):
    with machine(tmp_path, disk, fw_cfg={"opt/gatehouse/recovery": "1"}) as vm:
        vm.expect(PROMPT, 20)
        assert "slot-a: confirmed, security version 1; holds: 1.0.0" in ask(vm, "state")
        vm.send("boot golden\r")
        assert started(vm, "g", "0.9.0") == (REASON_OPERATOR, 0)
    with machine(tmp_path, disk, fw_cfg={"opt/gatehouse/recovery": "1"}) as vm:
        vm.expect(PROMPT, 20)
        # Slot b holds a good image that nobody has installed here: not a choice.
        assert "FAILED: that slot is empty" in ask(vm, "boot b")
        assert "slot-b: empty" in ask(vm, "state")


# --- Serial recovery -----------------------------------------------------------------------------
def send_by_ymodem(vm, path, slot, ends=r"receive: .*(starts next|slot is)"):
    """Types `receive` and lets lrzsz's sb talk to the machine's serial line."""
    vm.send(f"receive {slot}\r")
    vm.expect(r"by YMODEM now", 10)
    vm.pipe(["sb", "-k", str(path)])
    return vm.expect(ends, 30)


def test_signed_image_received_by_ymodem_revives_the_box(tmp_path, disk):
    all_bad(disk)
    new = update(tmp_path, "new", "3.0.0")
    with machine(tmp_path, disk, watchdog=60) as vm:
        recovery(vm)
        send_by_ymodem(vm, new, "b")
        vm.expect(PROMPT, 10)
        assert "slot-b: trial, tries left 3" in ask(vm, "state")
        vm.send("continue\r")
        assert started(vm, "b", "3.0.0")[0] == REASON_TRIAL
    assert "slot-b: trial, tries 2" in tool("bootstate", disk)


def test_unsigned_and_old_images_by_ymodem_leave_the_slot_as_it_was(tmp_path):
    disk = make_disk(tmp_path, a=["--security-version", "3"], golden=["--security-version", "3"])
    tool("bootstate", "--security-version", 3, disk)
    trial(disk)  # security version 1: refused, but its bytes are there
    before = slot_bytes(disk, "slot-b")
    tool("keygen", "--folder", tmp_path / "other")
    foreign = tmp_path / "foreign"
    tool("update", "--firmware", TEST_FIRMWARE, "--key", tmp_path / "other/release.key", "--out",
         foreign, "--security-version", 3)
    old = update(tmp_path, "old", "0.1.0", "--security-version", "2")
    noise = tmp_path / "noise"
    noise.write_bytes(random.Random(1).randbytes(100_000))
    with machine(tmp_path, disk, fw_cfg={"opt/gatehouse/recovery": "1"}) as vm:
        vm.expect(PROMPT, 20)
        for path, reason in ((foreign, "not signed by a key this machine trusts"),
                             (old, "older than this machine's"), (noise, "no image|not an update")):
            send_by_ymodem(vm, path, "b", rf"receive: FAILED: .*({reason})")
            vm.expect(r"receive: the slot is as it was", 5)
            vm.expect(PROMPT, 5)
    assert slot_bytes(disk, "slot-b") == before


def test_transfer_that_breaks_off_leaves_an_empty_slot_and_the_box_starts(tmp_path, disk):
    """Power goes in the middle of the payload: the old slot's header is gone, slot a starts."""
    big = tmp_path / "big.elf"
    big.write_bytes(TEST_FIRMWARE.read_bytes() + bytes(4 << 20))
    new = update(tmp_path, "new", "3.0.0", "--firmware", str(big))
    vm = machine(tmp_path, disk, fw_cfg={"opt/gatehouse/recovery": "1"}).start()
    try:
        vm.expect(PROMPT, 20)
        vm.send("receive b\r")
        vm.expect(r"by YMODEM now", 10)
        vm.pipe(["sb", "-k", str(new)], seconds=4)
    finally:
        vm.kill()
    assert "slot-b: empty" in tool("bootstate", disk)
    with machine(tmp_path, disk) as vm:
        assert started(vm, "a", "1.0.0")[0] == REASON_CONFIRMED


# --- Factory reset -------------------------------------------------------------------------------
SECRET = b"gatehouse-planted-secret-"
KEPT = b"gatehouse-device-identity"


def partitions(disk):
    """name -> (offset, size), as the tool tells."""
    found = {}
    for line in tool("show", disk).splitlines():
        match = re.match(r"(\S+)\s+blocks (\d+) to (\d+),", line)
        if match:
            first, last = int(match.group(2)), int(match.group(3))
            found[match.group(1)] = (first * SECTOR, (last - first + 1) * SECTOR)
    return found


def slot_bytes(disk, name):
    offset, size = partitions(disk)[name]
    with open(disk, "rb") as file:
        file.seek(offset)
        return file.read(size)


def plant(disk):
    """Secrets all over what a reset must erase."""
    where = partitions(disk)
    places = [("bootstate", 0x40000), ("bootstate", 0x4f000), ("bootstate", 0x70000),
              ("bootstate", 0x80000), ("bootstate", 0xff000)]
    for name in ("store", "log"):
        size = where[name][1]
        places += [(name, 0), (name, size // 2), (name, size - 4096)]
    with open(disk, "r+b") as file:
        for index, (name, offset) in enumerate(places):
            file.seek(where[name][0] + offset)
            file.write(SECRET + str(index).encode())
        offset, size = where["factory"]
        file.seek(offset + size - 4096)
        file.write(KEPT)
    assert holds(disk, SECRET)


def holds(disk, needle):
    """Whether the raw disk has `needle` anywhere; holes are skipped."""
    size = os.path.getsize(disk)
    with open(disk, "rb") as file:
        at = 0
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
                end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            except OSError:
                return False
            file.seek(at)
            tail = b""
            while at < end:
                data = file.read(min(1 << 22, end - at))
                if needle in tail + data:
                    return True
                tail = data[-len(needle):]
                at += len(data)
    return False


def assert_was_reset(disk):
    state = tool("bootstate", disk)
    assert "reset: none" in state and "slot-a: confirmed" in state and "slot-b: empty" in state
    assert not holds(disk, SECRET), "a planted secret outlived the reset"
    assert holds(disk, KEPT), "device identity is gone"


def test_reset_button_erases_all_and_installs_golden(tmp_path, disk):
    plant(disk)
    tool("bootstate", "--security-version", 1, disk)
    with machine(tmp_path, disk, fw_cfg={"opt/gatehouse/reset-button": "1"}) as vm:
        vm.expect(r"loader: the reset button is pressed: factory reset", 20)
        for step in ("store", "log"):
            vm.expect(rf"loader: factory reset: {step} 100 %", 60)
        vm.expect(r"loader: factory reset: done", 60)
        started(vm, "a", "0.9.0", 30)
    assert_was_reset(disk)


def test_factory_reset_from_the_recovery_console_wants_a_typed_word(tmp_path, disk):
    all_bad(disk)
    tool("tamper", "--slot", "factory", "--part", "payload", "--offset", 9, disk)  # golden is good
    plant(disk)
    with machine(tmp_path, disk, fw_cfg={"opt/gatehouse/recovery": "1"}) as vm:
        vm.expect(PROMPT, 20)
        vm.send("reset\r")
        vm.expect(r"Type ERASE to go on: ", 5)
        vm.send("yes\r")
        vm.expect(r"Nothing was changed", 5)
        vm.expect(PROMPT, 5)
        assert holds(disk, SECRET)
        vm.send("reset\r")
        vm.expect(r"Type ERASE to go on: ", 5)
        vm.send("ERASE\r")
        vm.expect(r"loader: factory reset: done", 90)
        started(vm, "a", "0.9.0", 30)
    assert_was_reset(disk)


def test_power_cuts_during_a_factory_reset(tmp_path, disk):
    """SIGKILL at a random moment of the reset, again and again: each next start goes on, and once
    it is let run the reset is complete and the box starts."""
    seed = int(os.environ.get("GATEHOUSE_SEED", str(random.randrange(1 << 30))))
    chance = random.Random(seed)
    print(f"seed {seed}, {POWER_CUTS} cuts")
    plant(disk)
    tool("bootstate", "--reset", "everything", disk)
    moments = [r"erasing", r"store \d+ %", r"store 100 %", r"log \d+ %", r"log 100 %"]
    cut_steps, rounds = [], 0
    for cut in range(POWER_CUTS):
        vm = machine(tmp_path, disk).start()
        try:
            match = vm.expect(r"loader: factory reset: erasing|payload: handover good", 30)
            if "payload" in match.group(0):
                rounds += 1  # it was complete: once more, from the start
                vm.kill()
                assert_was_reset(disk)
                plant(disk)
                tool("bootstate", "--reset", "everything", disk)
                vm.start()
                vm.expect(r"loader: factory reset: erasing", 30)
            vm.position = 0
            vm.expect(f"loader: factory reset: ({chance.choice(moments)}|done)", 60)
            time.sleep(chance.uniform(0, 0.4))
        finally:
            vm.kill()
        state = tool("bootstate", disk)
        cut_steps.append(re.search(r"reset: (\S+), step (\d+)", state).group(1, 2))
    with machine(tmp_path, disk) as vm:
        started(vm, "a", "0.9.0", 90)
    assert_was_reset(disk)
    print(f"cut at: {cut_steps}; {rounds} resets were complete in between")
    assert len(cut_steps) == POWER_CUTS
