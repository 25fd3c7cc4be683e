"""UEFI Secure Boot: the signed loader starts, and the firmware refuses any other.

On OVMF's Secure Boot build (with SMM), whose variables trust this clone's key alone.
"""

import os
import subprocess

import pytest

import operator_console
import qemu

SCRIPT = qemu.ROOT / "boot/secure_boot.py"
TOOL = qemu.ROOT / "out/tools/gatehouse-image"
LOADER = qemu.ROOT / "out/pc/gatehouse.efi"
KEYS = qemu.ROOT / "out/keys"
CODE = "OVMF_CODE_4M.secboot.fd"
SNAKEOIL = "OVMF_VARS_4M.snakeoil.fd"
# What OVMF's Secure Boot build wants of the machine: variables that only SMM can write.
SMM = ["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
       "-global", "ICH9-LPC.disable_s3=1"]
REFUSED = r"BdsDxe: failed to load .*Access Denied"


def script(*words):
    subprocess.run([str(SCRIPT), *map(str, words)], check=True)


class Lab:
    """A key, a signed loader, a firmware that trusts the key, an update to put on disks."""

    def __init__(self, folder):
        self.folder = folder
        script("key", KEYS)
        self.key, self.certificate = KEYS / "secure-boot.key", KEYS / "secure-boot.pem"
        self.signed = folder / "signed.efi"
        script("sign", self.key, self.certificate, LOADER, self.signed)
        self.variables = folder / "vars.fd"
        script("enrol", self.certificate, qemu.ovmf(SNAKEOIL), self.variables)
        self.update = folder / "update"
        self.tool("update", "--firmware", qemu.ROOT / "out/pc/payload.elf", "--key",
                  KEYS / "release.key", "--build-id", "secure-boot", "--out", self.update)

    @staticmethod
    def tool(*words):
        subprocess.run([str(TOOL), *map(str, words)], check=True, stdout=subprocess.DEVNULL)

    def machine(self, folder, loader, variables=None, update=None, **options):
        disk = folder / "disk.img"
        self.tool("disk", "--loader", loader, "--update", update or self.update, "--out", disk)
        return qemu.Machine(folder / "vm", disk, ovmf_code=CODE, extra=SMM,
                            ovmf_vars=variables or self.variables, **options)

    def altered(self, folder, offset, mask=1):
        data = bytearray(self.signed.read_bytes())
        data[offset] ^= mask
        path = folder / "altered.efi"
        path.write_bytes(data)
        return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("lab"))


def assert_refused(machine):
    with machine:
        machine.expect(REFUSED, 40)
        machine.expect_not("Gatehouse loader|loader: |payload: ", 2)
        assert "Gatehouse loader" not in machine.console, machine.tail()


def test_signed_loader_starts_and_knows_that_it_is_guarded(tmp_path, lab):
    with lab.machine(tmp_path, lab.signed) as machine:
        machine.expect(r"loader: slot-a: verified gatehouse", 40)
        # Bit 1 of the hand-over's flags: Secure Boot was on; bit 0: a development image.
        machine.expect(r"payload: handover good, .* flags 0000000000000003", 5)


def test_the_operator_sees_that_secure_boot_is_on(tmp_path, lab):
    with lab.machine(tmp_path, lab.signed, update=qemu.ROOT / "out/pc/gatehouse.update",
                     provision=operator_console.PROVISION) as machine:
        operator_console.log_in(machine)
        shown = operator_console.ask(machine, "xStatus SecureBoot")
    assert "SecureBoot State: On" in shown, shown
    assert "verified by the loader, DEVELOPMENT key " in shown


def test_the_flag_is_clear_where_secure_boot_is_off(tmp_path, lab):
    disk = tmp_path / "disk.img"
    lab.tool("disk", "--loader", lab.signed, "--update", lab.update, "--out", disk)
    with qemu.Machine(tmp_path / "vm", disk) as machine:
        machine.expect(r"payload: handover good, .* flags 0000000000000001", 30)


def test_unsigned_loader_is_refused_by_the_firmware(tmp_path, lab):
    assert_refused(lab.machine(tmp_path, LOADER))


def test_loader_altered_by_one_bit_is_refused_by_the_firmware(tmp_path, lab):
    """In its code: the file still loads and would run, but it is not what was signed."""
    text = LOADER.read_bytes().find(b"Gatehouse loader")
    assert text > 0
    assert_refused(lab.machine(tmp_path, lab.altered(tmp_path, text, 0x20)))


def test_loader_signed_by_a_stranger_is_refused_by_the_firmware(tmp_path, lab):
    """The firmware trusts another key here: the one that Debian's ovmf package publishes."""
    assert_refused(lab.machine(tmp_path, lab.signed, qemu.ovmf(SNAKEOIL)))


def test_every_part_of_the_loader_is_covered_by_its_signature(tmp_path, lab):
    """Held against the host's verifier, a bit in each 1/32 of the file (not only the code)."""
    size = len(LOADER.read_bytes())
    # The checksum and the signature's own place in the header are left out by the standard.
    for offset in [2, *range(1024, size, size // 32)]:
        altered = lab.altered(tmp_path, offset, 0x80)
        done = subprocess.run(["sbverify", "--cert", lab.certificate, altered],
                              capture_output=True)
        assert done.returncode != 0, f"byte {offset}"


def test_keys_stay_private_and_are_kept(tmp_path):
    script("key", tmp_path)
    assert (tmp_path / "secure-boot.key").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "secure-boot.key").read_bytes()
    script("key", tmp_path)
    assert (tmp_path / "secure-boot.key").read_bytes() == before


@pytest.mark.parametrize("words", [["enrol", "{pem}", "{junk}", "{out}"],
                                   ["enrol", "{pem}", "{plain}", "{out}"],
                                   ["sign", "{key}", "{pem}", "{junk}", "{out}"]])
def test_faults_are_one_line(tmp_path, lab, words):
    (tmp_path / "junk").write_bytes(os.urandom(4096))
    places = {"pem": lab.certificate, "key": lab.key, "junk": tmp_path / "junk",
              "plain": qemu.ovmf("OVMF_VARS_4M.fd"), "out": tmp_path / "out"}
    done = subprocess.run([str(SCRIPT), *(word.format(**places) for word in words)],
                          capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("secure_boot: ")
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()
