"""Measured boot: a TPM 2.0 (swtpm) holds after the boot what the host computes from the files."""

import contextlib
import hashlib
import json
import re
import shutil
import struct
import subprocess
import time

import pytest

import operator_console
import qemu

TOOL = qemu.ROOT / "out/tools/gatehouse-image"
LOADER = qemu.ROOT / "out/pc/gatehouse.efi"
KEYS = qemu.ROOT / "out/keys"


def tool(*words):
    done = subprocess.run([str(TOOL), *map(str, words)], check=True, capture_output=True, text=True)
    return done.stdout


def sha256(data):
    return hashlib.sha256(data).digest()


def extended(*measured):
    """A register that was reset and then extended by the digests of these."""
    value = bytes(32)
    for digest in measured:
        value = sha256(value + digest)
    return value.hex()


@contextlib.contextmanager
def tpm(folder):
    """A TPM of its own, in the state of the factory or as this folder's was left; yields its
    control socket."""
    folder.mkdir(exist_ok=True)
    # A socket's path is short; the test's folder may not be.
    socket = folder / "tpm.sock"
    socket.unlink(missing_ok=True)
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--ctrl",
               f"type=unixio,path={socket}", "--terminate"]
    with open(folder / "swtpm.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while not socket.exists():
            assert process.poll() is None, (folder / "swtpm.log").read_text()
            assert time.monotonic() < deadline, "swtpm does not start"
            time.sleep(0.05)
        yield socket
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def short_path(tmp_path_factory):
    """Unix sockets have room for 107 characters."""
    folder = tmp_path_factory.mktemp("t")
    if len(str(folder)) > 80:
        pytest.fail(f"the path of the test's folder is too long for a socket: {folder}")
    return folder


class Disk:
    """A disk of an update with its own build id, and what a TPM should say after starting it."""

    def __init__(self, folder, build_id, golden_only=False, firmware="payload.elf"):
        self.update, self.path = folder / "update", folder / "disk.img"
        tool("update", "--firmware", qemu.ROOT / "out/pc" / firmware, "--key",
             KEYS / "release.key", "--build-id", build_id, "--out", self.update)
        tool("disk", "--loader", LOADER, "--update", self.update, "--out", self.path)
        if golden_only:
            tool("tamper", "--part", "payload", "--offset", 5, "--slot", "slot-a", self.path)

    def manifest(self):
        """The signed bytes: at the second 4 KiB; their length follows magic and format."""
        data = self.update.read_bytes()
        size = struct.unpack_from("<I", data, 12)[0]
        assert b"gatehouse.manifest.1" in data[4096:4096 + size]
        return data[4096:4096 + size]

    def roots(self):
        found = re.findall(r"tree root ([0-9a-f]{64})", tool("show", self.update))
        return b"".join(map(bytes.fromhex, found))

    def expected(self):
        return {
            4: extended(sha256(b"Calling EFI Application from Boot Option"), sha256(bytes(4)),
                        authenticode(LOADER.read_bytes())),
            8: extended(sha256(self.manifest())),
            9: extended(sha256(self.roots())),
        }


def authenticode(data):
    """The digest that UEFI firmware measures of a PE program that is not signed."""
    header = struct.unpack_from("<I", data, 0x3C)[0] + 24
    checksum, directory = header + 64, header + 112 + 4 * 8
    assert data[header:header + 2] == b"\x0b\x02"  # PE32+
    assert struct.unpack_from("<2I", data, directory) == (0, 0)  # no signature
    return sha256(data[:checksum] + data[checksum + 4:directory] + data[directory + 8:])


def boot(folder, disk):
    """Boots once with a fresh TPM; returns {register: value} that the loader handed over."""
    with tpm(folder / "tpm") as socket, \
            qemu.Machine(folder / "vm", disk.path, tpm=socket) as machine:
        machine.expect(r"loader: manifest and payload measured by the TPM", 40)
        # Bit 2 of the hand-over's flags: measured; bit 0: a development image.
        machine.expect(r"payload: handover good, .* flags 0000000000000005", 5)
        machine.expect(r"payload: map covers", 5)
        found = re.findall(r"payload: pcr ([0-9a-f]{16}) ([0-9a-f]{64})", machine.console)
    return {int(index, 16): value for index, value in found}


@pytest.fixture(autouse=True)
def has_swtpm():
    assert shutil.which("swtpm"), "swtpm is missing: make deps installs it"


def test_registers_hold_what_the_files_say(short_path):
    disk = Disk(short_path, "measured")
    found = boot(short_path, disk)
    assert sorted(found) == [4, 7, 8, 9]
    for index, value in disk.expected().items():
        assert found[index] == value, f"PCR {index}"


def test_another_image_gives_another_manifest_register(short_path):
    """By the golden slot, too; the refused slot A leaves no trace in the registers."""
    one, two = short_path / "one", short_path / "two"
    one.mkdir(), two.mkdir()
    disk = Disk(one, "another", golden_only=True)
    found = boot(one, disk)
    for index, value in disk.expected().items():
        assert found[index] == value, f"PCR {index}"
    other = Disk(two, "measured").expected()
    assert other[8] != found[8] and other[9] == found[9] and other[4] == found[4]


def test_the_operator_sees_the_registers(short_path):
    """The appliance itself: xStatus TPM tells what the test computes from the files."""
    disk = Disk(short_path, "appliance", firmware="gatehouse.stripped")
    with tpm(short_path / "tpm") as socket, \
            qemu.Machine(short_path / "vm", disk.path, tpm=socket,
                         provision=operator_console.PROVISION) as machine:
        operator_console.log_in(machine)
        shown = operator_console.ask(machine, "xStatus TPM")
        assert "TPM State: Measured" in shown
        found = dict(re.findall(r"TPM PCR (\d+): sha256=([0-9a-f]{64})", shown))
        for index, value in disk.expected().items():
            assert found[str(index)] == value, f"PCR {index}\n{shown}"
        assert "SecureBoot State: Off" in operator_console.ask(machine, "xStatus SecureBoot")


def test_the_operator_sees_that_nothing_was_measured_and_what_the_image_holds(tmp_path):
    """The bill of materials on the device is the very file of the build."""
    disk = Disk(tmp_path, "appliance", firmware="gatehouse.stripped")
    with qemu.Machine(tmp_path / "vm", disk.path,
                      provision=operator_console.PROVISION) as machine:
        operator_console.log_in(machine)
        shown = operator_console.ask(machine, "xStatus TPM")
        assert "TPM State: None" in shown and "PCR" not in shown
        printed = operator_console.ask(machine, "xCommand SBOM")
        software = operator_console.ask(machine, "xStatus Software")
    built = json.loads((qemu.ROOT / "out/pc/sbom.cdx.json").read_text(encoding="ascii"))
    assert json.loads(printed[printed.index("{"):printed.rindex("}") + 1]) == built
    for component in built["components"]:
        assert f"Software {component['name']}: " in software


def test_machine_without_a_tpm_starts_and_claims_nothing(tmp_path):
    disk = Disk(tmp_path, "no-tpm")
    with qemu.Machine(tmp_path / "vm", disk.path) as machine:
        machine.expect(r"payload: handover good, .* flags 0000000000000001", 30)
        machine.expect(r"payload: map covers", 5)
        assert "payload: pcr" not in machine.console and "TPM" not in machine.console
