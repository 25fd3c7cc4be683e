"""The bare-metal board, on the built image in QEMU: memory protection, devices, time, sleep, crash
records, watchdog, restart and power-off.

The image runs the board's self-test commands (board/pc/selftest.cc), named in fw_cfg; only a
development image does so. A crash makes the machine reset, and the self-test then runs again: where
one crash is enough, QEMU is told to end at the reset.
"""

import re
import socket
import subprocess
import threading
import time

import pytest

import operator_console
import qemu

BOARD = r"^reset: "  # the board is up
SELFTEST = "opt/gatehouse/selftest"


def machine(folder, commands="", **options):
    fw_cfg = options.pop("fw_cfg", {})
    if commands:
        fw_cfg[SELFTEST] = commands
    return qemu.Machine(folder, fw_cfg=fw_cfg, **options)


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    """One boot through everything that does not end it; the console's text."""
    folder = tmp_path_factory.mktemp("tour")
    with machine(folder, "entropy arp blocks windows clock ticks pet power-off") as m:
        code = m.wait(qemu.patience(60))
        console = m.console
    assert code == 0
    return console


def found(pattern, text):
    match = re.search(pattern, text, re.MULTILINE)
    assert match, f"/{pattern}/ not in:\n{text}"
    return match


def test_page_tables_are_walked_and_nothing_is_writable_and_executable(tour):
    line = found(r"W\^X verified: (\d+) pages \((\d+) executable, (\d+) MiB mapped\), "
                 r"40 guard pages, (.*)$", tour)
    pages, executable, mapped = (int(line.group(i)) for i in (1, 2, 3))
    assert 0 < executable < 2048 and pages > executable  # the text, and no more: under 8 MiB
    assert 900 < mapped <= 1024
    for protection in ("NX", "WP", "SMEP", "SMAP"):
        assert protection in line.group(4)


def canary_of(machine):
    """The stack protector's, read from outside: all protected code finds it at fs:0x28."""
    base = found(r"^FS =\S+ ([0-9a-f]{16}) ", machine.monitor("info registers")).group(1)
    value = machine.monitor(f"xp /1gx 0x{int(base, 16) + 0x28:x}")
    return int(found(r": 0x([0-9a-f]{16})", value).group(1), 16)


@pytest.fixture(scope="module")
def boots(tmp_path_factory):
    """Of three boots of one machine: the canary, where the image lies, how large the arena is."""
    seen = []
    with machine(tmp_path_factory.mktemp("boots"), "sleep") as m:
        for _ in range(3):
            line = m.expect(r"^memory: \d+ MiB RAM, arena (\d+) MiB at \S+, image \d+ KiB at (\S+)",
                            timeout=40)
            m.expect(r"^selftest sleep: begins", timeout=40)
            seen.append((canary_of(m), line.group(2), int(line.group(1))))
            m.reset()
    return seen


def test_the_image_lies_elsewhere_at_each_boot(boots):
    """And works there: the boards of these boots come up."""
    assert len({place for _, place, _ in boots}) == 3, boots
    assert all(arena > 800 for *_, arena in boots)  # of 1024: the memory stays in one piece


def test_the_stack_canary_differs_at_each_boot(boots):
    """Not zero, its low byte zero (it ends a string), and another one after each start."""
    for canary, *_ in boots:
        assert canary & 0xff == 0 and canary.bit_count() > 8, hex(canary)
    assert len({canary for canary, *_ in boots}) == 3


def test_devices_are_found(tour):
    found(r"^acpi: \d+ tables, 1 processors .*power-off yes", tour)
    found(r"^pci: \d+ functions by ecam", tour)
    found(r"^LAN1: virtio-net 52:54:00:67:68:01, link up, mtu 1500", tour)
    found(r"^disk 1: virtio-blk, \d+ blocks of 512", tour)
    found(r"^partition store: disk 1, 524288 blocks", tour)
    found(r"^partition log: disk 1, 131072 blocks", tour)
    found(r"^watchdog: i6300esb", tour)
    found(r"^virtio-serial: ready", tour)
    found(r"^entropy: .*virtio-rng", tour)
    found(r"^reset: power-on", tour)


def test_entropy_is_not_obviously_broken(tour):
    ones = int(found(r"selftest entropy: \S+, (\d+) of 32768 bits set", tour).group(1))
    assert abs(ones - 16384) < 6 * 91  # six standard deviations of a fair coin


def test_a_frame_goes_out_and_its_answer_wakes_the_loop(tour):
    found(r"selftest arp: answered, no frame lost", tour)


def test_blocks_come_back_as_written(tour):
    found(r"selftest blocks: 100 writes and reads, 0 failed, 0 bytes wrong", tour)


def test_device_windows_over_code_or_nowhere_are_refused(tour):
    codes = found(r"selftest windows: text (\d+), null (\d+), huge (\d+), beyond (\d+)", tour)
    assert all(int(code) != 0 for code in codes.groups())


def test_the_clock_starts_at_the_rtc_and_can_be_set(tour):
    before, after = map(int, found(r"selftest clock: (\d+) then (\d+)", tour).groups())
    assert abs(before - time.time()) < 600
    assert after - before == 3600


def test_timers_fire_when_due(tour):
    total = int(found(r"100 sleeps of 10 ms took (\d+) ms", tour).group(1))
    assert 1000 <= total < 1500


def test_a_watchdog_that_is_petted_stays_quiet(tour):
    found(r"selftest pet: ok", tour)


@pytest.mark.parametrize("command, says", [
    ("panic", r"assertion: 2 \+ 2 == 5 at board/pc/selftest.cc:\d+ \(left 4, right 5\)"),
    ("null", r"exception: page fault \(left 14, right 0\)"),
    ("write-text", r"exception: page fault \(left 14, right 3\)"),
    ("write-constant", r"exception: page fault \(left 14, right 3\)"),
    ("execute-data", r"exception: page fault \(left 14, right 17\)"),
    ("overflow", r"stack overflow: page fault"),
    ("canary", r"assertion: stack smashed"),
    ("malloc", r"assertion: malloc on a machine without a heap"),
    ("hang", r"watchdog: the loop has not turned"),
    ("neglect", r"watchdog: the loop turns, but its work does not"),
    ("overflow-fault-stack", r"stack overflow: page fault"),
    ("overflow-double-fault-stack", r"stack overflow: page fault"),
    ("overflow-nmi-stack", r"stack overflow: page fault"),
    ("overflow-machine-check-stack", r"stack overflow: page fault"),
])
def test_faults_end_in_a_crash_record(tmp_path, command, says):
    with machine(tmp_path, command, reboot=False) as m:
        m.expect(rf"^selftest {command}", timeout=30)
        m.expect(r"\*\*\* CRASH RECORD, Gatehouse \S+ commit \S+", timeout=15)
        m.expect(r"^crash: " + says, timeout=5)
        m.expect(r"^  rax=[0-9a-f]{16} .*\r?\n(.*\r?\n){3}  rip=[0-9a-f]{16} rflags=", timeout=5)
        m.expect(r"backtrace \(offsets in the image\):\r?\n +[0-9a-f]{8}", timeout=5)
        m.expect(r"\*\*\* resetting \*\*\*", timeout=5)
        m.wait(qemu.patience(10))  # -no-reboot: the reset ends QEMU
        assert not re.search(rf"selftest {command}: ", m.console)


def test_the_next_boot_tells_of_the_crash(tmp_path):
    with machine(tmp_path, "panic") as m:
        m.expect(r"^reset: power-on", timeout=30)
        m.expect(r"\*\*\* resetting \*\*\*", timeout=15)
        m.expect(r"^reset: crash, with a crash record", timeout=30)


def test_the_hardware_watchdog_ends_a_hang_with_interrupts_off(tmp_path):
    with machine(tmp_path, "hard-hang") as m:
        m.expect(r"^selftest hard-hang", timeout=30)
        m.expect(r"^watchdog: i6300esb, it reset the machine", timeout=30)
        m.expect(r"^reset: watchdog, with a crash record", timeout=5)


def test_a_watchdog_that_gives_an_nmi_leaves_the_registers_of_such_a_hang(tmp_path):
    """Where the watchdog can be told to interrupt first (QEMU: inject-nmi), a hang with interrupts
    off ends in a crash record like any other fault."""
    with machine(tmp_path, "hard-hang", extra=["-action", "watchdog=inject-nmi"]) as m:
        m.expect(r"^selftest hard-hang", timeout=30)
        m.expect(r"\*\*\* CRASH RECORD", timeout=30)
        m.expect(r"^crash: exception: NMI", timeout=5)
        m.expect(r"^  rax=[0-9a-f]{16} rbx=", timeout=5)
        m.expect(r"backtrace \(offsets in the image\):\r?\n +[0-9a-f]{8}", timeout=5)


def test_restart_restarts_and_says_so(tmp_path):
    with machine(tmp_path, "restart") as m:
        m.expect(r"^reset: power-on", timeout=30)
        m.expect(r"^reset: restart\r?$", timeout=30)


ECHOED = "".join(chr(ord("a") + i % 26) for i in range(3000)) + "."


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    """One boot that is watched asleep, typed at, and has its cable pulled; what was seen."""
    with machine(tmp_path_factory.mktemp("visit"), "sleep echo link power-off") as m:
        m.expect(r"^selftest sleep: begins", timeout=30)
        time.sleep(1)
        before, start = m.cpu_seconds(), time.monotonic()
        time.sleep(6)
        used = (m.cpu_seconds() - before) / (time.monotonic() - start)
        slept = m.expect(r"selftest sleep: (\d+) interrupts, (\d+) halts in (\d+) ms", timeout=10)
        m.expect(r"^selftest echo: type", timeout=30)
        time.sleep(1)
        position = m.position
        m.send(ECHOED)
        m.expect(r"selftest echo: ok", timeout=30)
        echoed = re.sub(r"[^a-z.]", "", m.console[position:].split("selftest")[0])
        m.expect(r"^selftest link: watching", timeout=30)
        time.sleep(1)
        for state in ("down", "up"):
            m.qmp("set_link", name="net0", up=state == "up")
            m.expect(rf"^selftest link: {state}", timeout=5)
        assert m.wait(qemu.patience(20)) == 0
        return used, tuple(map(int, slept.groups())), echoed, m.console


def test_an_idle_machine_sleeps(visit):
    used, (interrupts, halts, milliseconds), *_ = visit
    print(f"idle: {used:.1%} of a core, {interrupts / milliseconds * 1000:.1f} interrupts/s")
    assert milliseconds >= 10_000
    assert halts > 0 and interrupts < 60  # about one a second, and a few late completions
    assert used < 0.2


def test_serial_input_wakes_the_loop_and_none_is_lost(visit):
    assert visit[2] == ECHOED


def test_the_link_goes_down_and_up(visit):
    down, up = (visit[3].index(f"selftest link: {state}") for state in ("down", "up"))
    assert down < up


def test_the_token_link_carries_bytes_both_ways(tmp_path):
    path = tmp_path / "hsm.sock"
    extra = ["-chardev", f"socket,id=hsm,path={path},server=on,wait=off",
             "-device", "virtserialport,chardev=hsm,name=org.gatehouse.hsm"]
    data = bytes(i * 31 % 251 for i in range(200_000))
    received = bytearray()
    with machine(tmp_path, "token", extra=extra) as m:
        m.expect(r"^selftest token", timeout=30)
        with socket.socket(socket.AF_UNIX) as wire:
            wire.connect(str(path))
            wire.settimeout(qemu.patience(10))
            time.sleep(1)
            sender = threading.Thread(target=wire.sendall, args=(data,))
            sender.start()
            while len(received) < len(data):
                chunk = wire.recv(65536)
                assert chunk, "the link closed"
                received += chunk
            sender.join()
        m.expect(rf"selftest token: echoed {len(data)} bytes", timeout=30)
    assert bytes(received) == data


def test_three_ports_and_three_processors(tmp_path):
    nets = [qemu.user_net(name=f"net{i}") for i in range(3)]
    with machine(tmp_path, "media power-off", netdevs=nets, cpus=3) as m:
        m.wait(qemu.patience(40))
        for port in (1, 2, 3):
            found(rf"^LAN{port}: virtio-net 52:54:00:67:68:0{port}, link up", m.console)
        found(r"^acpi: \d+ tables, 3 processors \(two used, the others parked\)", m.console)
        found(r"^second processor: processor with APIC \d+", m.console)
        found(r"^selftest media: 1000 wakes, 0 lost, \d+ us each", m.console)


@pytest.mark.parametrize("command, says", [
    ("media-panic", r"assertion: 2 \+ 2 == 5 at board/pc/selftest.cc:\d+"),
    ("media-overflow", r"stack overflow: page fault"),
    ("media-dies-later", r"assertion: the media core has not turned"),
])
def test_faults_of_the_second_processor_end_in_a_crash_record(tmp_path, command, says):
    provision = operator_console.PROVISION + "xConfiguration System MediaCore: On\n"
    with machine(tmp_path, command, reboot=False, cpus=2, provision=provision) as m:
        m.expect(r"\*\*\* CRASH RECORD, Gatehouse \S+ commit \S+", timeout=40)
        m.expect(r"^crash: " + says, timeout=5)
        m.expect(r"\*\*\* resetting \*\*\*", timeout=5)
        m.wait(qemu.patience(10))


def free_mib():
    """Of this machine."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if "MemAvailable" in line) >> 10


@pytest.mark.skipif(free_mib() < 8192 + 1024, reason="there are no 9 GiB free")
def test_much_memory_is_used_where_it_lies(tmp_path):
    """In eight gigabytes the large profile is carved whole at boot, and two fifths are left; its
    pools are what status shows, and the second of two cores relays."""
    provision = operator_console.PROVISION + "xConfiguration System MediaCore: On\n"
    with machine(tmp_path, memory="8G", cpus=2, provision=provision) as m:
        m.expect(r"Capacity: large: 90000 registrations, 90000 users, 30000 TCP connections, "
                 r"10000 calls", timeout=40)
        left = int(m.expect(r"of \d+ MiB, (\d+) MiB are free; sealed now", timeout=40).group(1))
        arena = int(found(r"^memory: \d+ MiB RAM, arena (\d+) MiB", m.console).group(1))
        found(r"W\^X verified", m.console)
        operator_console.log_in(m)
        shown = "\n".join(operator_console.ask(m, f"xStatus {what}") for what in (
            "System", "Pool", "SIP Media", "Media"))
    assert arena >= 4000 and left >= arena * 2 // 5
    found(r"System Profile: large", shown)
    for pool, least in (("bindings", 90_000), ("users", 90_000), ("streams", 30_000),
                        ("calls", 10_000)):
        line = found(rf"Pool {pool}: used=(\d+) capacity=(\d+)", shown)
        assert line.group(1) == "0" and int(line.group(2)) >= least, line.group(0)
    found(r"SIP Media Relay: .*\bcapacity=10000\b", shown)
    found(r"Media Processor: processor with APIC \d+", shown)


def test_a_volume_called_gatehouse_brings_the_provisioning(tmp_path):
    volume = tmp_path / "volume.img"
    text = tmp_path / "provision.txt"
    text.write_text("xConfiguration SystemUnit Name: \"edge\"\n")
    subprocess.run(["/usr/sbin/mkfs.vfat", "-C", "-n", "GATEHOUSE", str(volume), "1440"],
                   check=True, capture_output=True)
    subprocess.run(["mcopy", "-i", str(volume), str(text), "::provision.txt"], check=True)
    extra = ["-drive", f"if=none,id=usb,format=raw,readonly=on,file={volume}",
             "-device", "virtio-blk-pci,drive=usb,disable-legacy=on"]
    with machine(tmp_path, "power-off", extra=extra,
                 fw_cfg={"opt/gatehouse/reset-button": "1"}) as m:
        m.wait(qemu.patience(40))
        found(r"^disk 2: virtio-blk, 2880 blocks of 512, read-only", m.console)
        found(rf"^provision: {len(text.read_text())} bytes from volume GATEHOUSE", m.console)
        found(r"^reset button: held", m.console)


def test_a_machine_without_entropy_does_not_start(tmp_path):
    # No RDRAND in this processor; the harness's virtio-rng is taken away by an option that only
    # changes what the guest sees: it offers no virtio 1.
    extra = ["-global", "virtio-rng-pci.disable-modern=on", "-global",
             "virtio-rng-pci.disable-legacy=off"]
    with machine(tmp_path, "entropy", cpu="qemu64", extra=extra, reboot=False) as m:
        m.expect(r"^virtio-rng: not a virtio 1.x device", timeout=30)
        m.expect(r"^crash: assertion: no entropy source", timeout=10)
