"""Control-flow enforcement (CET): every function that may be reached through a pointer can be
landed on; and the signed image, started by UEFI firmware and our loader on an emulated processor
that has CET, runs with shadow stacks and branch tracking and catches what they are for.

Bochs is that processor (QEMU and today's KVM guests have no CET). It has no virtio and its UEFI no
ACPI tables, so the appliance runs there without disk and network; its debugger plays the attacker:
it writes over a return address while the appliance waits at its console. What branch tracking
checks is shown by the code itself: whatever has its address taken begins with a landing pad.
"""

import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

import qemu

IMAGE = qemu.ROOT / "out/pc/gatehouse.img"
ELF = qemu.ROOT / "out/pc/gatehouse.elf"
OVMF = "/usr/share/ovmf/OVMF.fd"
VGA = "/usr/share/seabios/vgabios-stdvga.bin"
BOOT_S = 420
FAULT_S = 60

CONFIGURATION = """
display_library: term
config_interface: textconfig
memory: guest=768, host=768
cpu: model=tigerlake, count=1, ips=200000000, reset_on_triple_fault=1
romimage: file={ovmf}
vgaromimage: file={vga}
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path="{folder}/disk.img", mode=flat, translation=lba
com1: enabled=1, mode=file, dev={folder}/serial.log
log: {folder}/bochs.log
info: action=ignore
error: action=ignore
panic: action=report
"""


def symbols():
    lines = subprocess.run(["nm", ELF], capture_output=True, text=True, check=True).stdout
    return {words[2]: int(words[0], 16) for words in map(str.split, lines.splitlines())
            if len(words) == 3}


def test_whatever_has_its_address_taken_begins_with_a_landing_pad():
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", ELF], capture_output=True,
                          text=True, check=True).stdout
    relocations = subprocess.run(["readelf", "-rW", ELF], capture_output=True, text=True,
                                 check=True).stdout
    instructions = {int(m[1], 16): (m[2], m[3]) for m in
                    re.finditer(r"^ *([0-9a-f]+):\t(\S+) *(.*)$", code, re.M)}
    end = symbols()["__text_end"]
    taken = {int(m[1], 16) for m in re.finditer(r"R_X86_64_RELATIVE\s+([0-9a-f]+)", relocations)}
    returns_far = set()
    for name, operands in instructions.values():
        target = re.search(r"# ([0-9a-f]+)", operands) if name == "lea" else None
        if target:
            taken.add(int(target[1], 16))
    for address, (name, _) in instructions.items():
        if name.startswith("lret"):  # to the instruction behind it: not an indirect branch
            returns_far.add(min(a for a in instructions if a > address))
    taken = {address for address in taken if address < end} - returns_far
    bare = [hex(address) for address in sorted(taken)
            if instructions.get(address, ("",))[0] != "endbr64"]
    print(f"{len(taken)} functions have their address taken")
    assert len(taken) > 500
    assert bare == []


class Emulator:
    """Bochs with its debugger, on a terminal of its own."""

    def __init__(self, folder):
        self.folder = folder
        subprocess.run(["cp", "--sparse=always", IMAGE, folder / "disk.img"], check=True)
        (folder / "bochsrc").write_text(
            CONFIGURATION.format(folder=folder, ovmf=OVMF, vga=VGA))
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            ["bochs", "-q", "-f", folder / "bochsrc"], stdin=slave, stdout=slave, stderr=slave,
            cwd=folder, start_new_session=True, env={**os.environ, "TERM": "xterm"})
        os.close(slave)
        self.said = ""
        self.command("c")

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        (self.folder / "disk.img").unlink()

    def drain(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                self.said += os.read(self.master, 65536).decode("latin-1")

    def command(self, text, seconds=0.5):
        begin = len(self.said)
        os.write(self.master, text.encode() + b"\n")
        self.drain(seconds)
        return self.said[begin:]

    def interrupt(self):
        os.kill(self.process.pid, signal.SIGINT)
        self.drain(2)

    def serial(self):
        path = self.folder / "serial.log"
        return path.read_text("latin-1") if path.exists() else ""

    def wait(self, pattern, timeout):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = re.search(pattern, self.serial())
            if found:
                return found
            assert self.process.poll() is None, self.said[-2000:]
            self.drain(0.5)
        raise AssertionError(f"no {pattern!r} in:\n{self.serial()[-3000:]}")


@pytest.fixture
def emulator(tmp_path):
    machine = Emulator(tmp_path)
    yield machine
    machine.close()


READY = r"Administrator name"
CRASH = r"crash: exception: control protection \(left 21, right (\d+)\)"


def running(machine):
    """The image's address, once the appliance waits at its console."""
    machine.wait(READY, BOOT_S)
    report = machine.serial()
    assert re.search(r"W\^X verified: .* CET \(shadow stacks, branch tracking\)", report)
    time.sleep(1)
    machine.interrupt()
    return int(re.search(r"image \d+ KiB at 0x([0-9a-f]+)", report)[1], 16)


def test_runs_with_shadow_stacks_and_a_false_return_is_caught(emulator):
    base = running(emulator)
    registers = emulator.command("r", 1)
    assert int(re.search(r"ssp: (\w+)", registers)[1].replace("_", ""), 16) > base
    frame = int(re.search(r"rbp: (\w+)", registers)[1].replace("_", ""), 16)
    # Where the function that runs will return to is behind its frame pointer.
    emulator.command(f"setpmem 0x{frame + 8:x} 4 0x{base:x}")
    emulator.command("c")
    assert emulator.wait(CRASH, FAULT_S)[1] == "1"  # near return
