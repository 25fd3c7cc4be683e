"""image/flash: what it writes is what was meant, and it never writes where it should not.

Files stand in for disks; loop devices are used where the machine has them, and a made-up /sys and
/proc for what only other machines have (partitions, volume groups, swap).
"""

import contextlib
import fcntl
import hashlib
import importlib.machinery
import importlib.util
import os
import pty
import re
import struct
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import qemu

FLASH = qemu.ROOT / "image/flash"
TOOL = qemu.ROOT / "out/tools/gatehouse-image"
MIB = 1 << 20


def load_flash():
    loader = importlib.machinery.SourceFileLoader("gatehouse_flash", str(FLASH))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


flash = load_flash()
sys.path.append(str(FLASH.parent))
import virtual_disk  # noqa: E402


def run(*words, **options):
    return subprocess.run([str(FLASH), *map(str, words)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, **options)


def tool(*words):
    subprocess.run([str(TOOL), *map(str, words)], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    tool("update", "--firmware", qemu.ROOT / "out/pc/payload.elf", "--key",
         qemu.ROOT / "out/keys/release.key", "--build-id", "flash-test", "--out", folder / "update")
    tool("disk", "--loader", qemu.ROOT / "out/pc/gatehouse.efi", "--update", folder / "update",
         "--out", folder / "disk.img")
    return folder / "disk.img"


def test_the_store_is_as_large_as_it_is_asked_for(image, tmp_path):
    large = tmp_path / "large.img"
    words = ["disk", "--loader", qemu.ROOT / "out/pc/gatehouse.efi", "--update",
             image.parent / "update", "--out", large, "--store-mib"]
    tool(*words, 16 * 1024)
    shown = {path: dict(re.findall(r"^(\S+) +blocks .*, (\d+) MiB", subprocess.run(
        [str(TOOL), "show", str(path)], capture_output=True, text=True, check=True).stdout, re.M))
             for path in (image, large)}
    assert shown[image]["store"] == "256"
    assert shown[large] == {**shown[image], "store": "16384"}
    assert os.stat(large).st_blocks * 512 < 256 * MIB  # room that nobody has written to takes none
    for wrong in (255, 16 * 1024 + 1):
        with pytest.raises(subprocess.CalledProcessError):
            tool(*words, wrong)


def sha256(path, length=None):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        left = os.stat(path).st_size if length is None else length
        while left:
            data = file.read(min(MIB, left))
            digest.update(data)
            left -= len(data)
    return digest.hexdigest()


def empty(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


@contextlib.contextmanager
def loop_device(path, *options):
    done = subprocess.run(["losetup", "-f", "--show", *options, str(path)], capture_output=True,
                          text=True)
    if done.returncode != 0:
        pytest.skip(f"no loop devices here: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


# --- What it writes ------------------------------------------------------------------------------


def test_disk_of_the_same_size_gets_the_same_bytes(tmp_path, image):
    done = run(image, tmp_path / "disk")
    assert done.returncode == 0, done.stderr
    assert sha256(tmp_path / "disk") == sha256(image)
    assert sha256(image) in done.stdout  # as read back
    assert "100%" in done.stderr and "MiB/s" in done.stderr and "s left" in done.stderr


def test_larger_disk_has_its_backup_table_at_its_end(tmp_path, image):
    disk = tmp_path / "disk"
    assert run(image, disk, "--size", "1G").returncode == 0
    assert disk.stat().st_size == 1 << 30
    assert disk.stat().st_blocks * 512 < 32 * MIB  # sparse
    checked = subprocess.run(["sgdisk", "-v", str(disk)], capture_output=True, text=True)
    assert "No problems found" in checked.stdout
    before, after = (subprocess.run([str(TOOL), "show", str(path)], capture_output=True, text=True)
                     for path in (image, disk))
    assert before.stdout == after.stdout and "slot-b" in after.stdout
    size = image.stat().st_size
    with open(image, "rb") as old, open(disk, "rb") as new:
        old.seek(MIB)
        new.seek(MIB)
        assert old.read(size - 2 * MIB) == new.read(size - 2 * MIB)
        assert not any(new.read(2 * MIB))  # nothing left of the table that was there in the image


def test_larger_disk_starts_even_without_its_primary_table(tmp_path, image):
    disk = tmp_path / "disk"
    assert run(image, disk, "--size", "1000M").returncode == 0
    with open(disk, "r+b") as file:
        file.seek(512)
        file.write(bytes(512))
    with qemu.Machine(tmp_path / "vm", disk) as machine:
        machine.expect(r"loader: slot-a: verified", 20)
        machine.expect(r"payload: handover good", 5)


def test_old_content_of_a_disk_is_gone(tmp_path, image):
    size = image.stat().st_size + 8 * MIB
    backing = tmp_path / "backing"
    with open(backing, "wb") as file:
        for _ in range(0, size, MIB):
            file.write(b"\xa5" * min(MIB, size - file.tell()))
    with loop_device(backing) as device:
        refused = run(image, device)
        assert refused.returncode == flash.DECLINED
        assert "data of a kind" in refused.stderr
        done = run(image, device, "--yes")
        assert done.returncode == 0, done.stderr
    read_back = tmp_path / "read-back"
    assert run(image, read_back, "--size", size).returncode == 0
    length = image.stat().st_size
    assert sha256(backing, length) == sha256(read_back, length)
    with open(backing, "rb") as one, open(read_back, "rb") as two:
        one.seek(size - flash.GPT_TAIL)
        two.seek(size - flash.GPT_TAIL)
        assert one.read() == two.read()


def test_medium_that_reads_back_differently_is_reported(tmp_path, image, monkeypatch, capsys):
    real = flash.Medium.read

    def worn_out(self, offset, length):
        data = bytearray(real(self, offset, length))
        if offset == 300 * MIB:
            data[77] ^= 4
        return bytes(data)

    monkeypatch.setattr(flash.Medium, "read", worn_out)
    assert flash.main([str(image), str(tmp_path / "disk")]) == flash.MISMATCH
    assert f"between byte {300 * MIB} and {301 * MIB}" in capsys.readouterr().err


def test_interrupted_write_leaves_nothing_that_starts(tmp_path, image, monkeypatch, capsys):
    disk = qemu.copy_image(image, tmp_path / "disk")
    real, count = flash.Medium.write, [0]

    def fails_soon(self, offset, data):
        count[0] += 1
        if count[0] == 3:
            raise OSError(5, "Input/output error")
        real(self, offset, data)

    monkeypatch.setattr(flash.Medium, "write", fails_soon)
    with loop_device(disk) as device:
        assert flash.main(["--yes", str(image), device]) == flash.FAILED
    assert "does not start" in capsys.readouterr().err
    with pytest.raises(flash.Fault, match="not a Gatehouse disk image"):
        flash.Image(disk)
    with open(disk, "rb") as file:
        assert not any(file.read(MIB))
        file.seek(-flash.GPT_TAIL, os.SEEK_END)
        assert not any(file.read())


# --- What it refuses -----------------------------------------------------------------------------


def test_too_small_is_refused(tmp_path, image):
    disk = empty(tmp_path / "disk", 100 * MIB)
    done = run(image, disk, "--yes")
    assert done.returncode == flash.REFUSED and "too small" in done.stderr
    assert disk.stat().st_blocks == 0
    done = run(image, tmp_path / "other", "--size", "100M")
    assert done.returncode == flash.REFUSED and "too small" in done.stderr
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("damage", ["header", "entries", "cut", "foreign"])
def test_damaged_image_is_not_flashed(tmp_path, image, damage):
    broken = qemu.copy_image(image, tmp_path / "broken")
    with open(broken, "r+b") as file:
        if damage == "cut":
            file.truncate(500 * MIB)
        elif damage == "foreign":
            file.truncate(0)
            file.truncate(600 * MIB)
        else:
            file.seek({"header": 512 + 60, "entries": 1024 + 33}[damage])
            file.write(b"\x5a")
    if damage == "foreign":
        subprocess.run(["sgdisk", "-n", "1:0:0", str(broken)], check=True, capture_output=True)
    done = run(broken, tmp_path / "disk", "--yes")
    assert done.returncode == flash.FAILED, done.stderr
    assert not (tmp_path / "disk").exists()


def test_image_signed_by_a_stranger_is_not_flashed_with_trust(tmp_path, image):
    tool("keygen", "--folder", tmp_path / "keys")
    done = run(image, tmp_path / "disk", "--trust", tmp_path / "keys/release.pub")
    assert done.returncode == flash.FAILED and "not signed by a key" in done.stderr
    assert not (tmp_path / "disk").exists()
    good = run(image, tmp_path / "disk", "--trust", qemu.ROOT / "out/keys/release.pub")
    assert good.returncode == 0, good.stderr


def test_mounted_disk_is_refused(tmp_path, image):
    backing = empty(tmp_path / "backing", 700 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(backing)], check=True, capture_output=True)
    (tmp_path / "mount").mkdir()
    with loop_device(backing) as device:
        mounted = subprocess.run(["mount", device, str(tmp_path / "mount")], capture_output=True,
                                 text=True)
        if mounted.returncode != 0:
            pytest.skip(f"cannot mount here: {mounted.stderr.strip()}")
        try:
            before = sha256(backing)
            done = run(image, device, "--yes")
            assert done.returncode == flash.REFUSED
            assert f"is mounted on {tmp_path / 'mount'}" in done.stderr
            # The same without looking at the mount table: the kernel does not give it away.
            target = flash.Target(device)
            with pytest.raises(flash.Fault, match="in use: the kernel"):
                flash.Medium(target, target.size)
            assert sha256(backing) == before
        finally:
            subprocess.run(["umount", str(tmp_path / "mount")], check=True)


def test_file_behind_a_disk_in_use_is_refused(tmp_path, image):
    backing = empty(tmp_path / "backing", 700 * MIB)
    with loop_device(backing) as device:
        done = run(image, backing, "--yes")
        assert done.returncode == flash.REFUSED
        assert f"attached to {Path(device).name}" in done.stderr


def test_write_protected_disk_is_refused(tmp_path, image):
    with loop_device(empty(tmp_path / "backing", 700 * MIB), "--read-only") as device:
        done = run(image, device, "--yes")
    assert done.returncode == flash.REFUSED and "write-protected" in done.stderr


def test_disk_with_large_blocks_is_refused(tmp_path, image):
    with loop_device(empty(tmp_path / "backing", 700 * MIB), "--sector-size", "4096") as device:
        done = run(image, device, "--yes")
    assert done.returncode == flash.REFUSED and "blocks of 4096 bytes" in done.stderr


def test_file_that_a_virtual_machine_has_open_is_refused(tmp_path, image):
    disk = empty(tmp_path / "disk", 700 * MIB)
    with open(disk, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, 100)  # the byte QEMU locks
        done = run(image, disk, "--yes")
    assert done.returncode == flash.REFUSED and "locked" in done.stderr
    assert run(image, disk, "--yes").returncode == 0


def test_the_image_itself_is_refused(tmp_path, image):
    done = run(image, image, "--yes")
    assert done.returncode == flash.REFUSED and "image itself" in done.stderr


def test_wrong_usage(tmp_path, image):
    assert run(image).returncode == flash.USAGE
    assert run(image, tmp_path / "x", "--size", "lots").returncode == flash.USAGE
    assert run(image, "/dev/null").returncode == flash.USAGE
    assert run(tmp_path / "none", tmp_path / "x").returncode == flash.FAILED
    assert run(image, "/dev/no-such-disk").returncode == flash.FAILED


class MadeUpMachine:
    """A disk, fake0 with partitions fake0p1 and fake0p2, as /sys and /proc would show it."""

    def __init__(self, folder):
        self.proc, self.sys = folder / "proc", folder / "sys"
        disk = self.sys / "devices/fake0"
        for path, number in ((disk, "240:0"), (disk / "fake0p1", "240:1"),
                             (disk / "fake0p2", "240:2")):
            (path / "holders").mkdir(parents=True)
            (path / "dev").write_text(number + "\n")
            if path != disk:
                (path / "partition").write_text(path.name[-1] + "\n")
            (self.sys / "dev/block").mkdir(parents=True, exist_ok=True)
            (self.sys / "dev/block" / number).symlink_to(path)
        (self.proc / "self").mkdir(parents=True)
        self.mounts(), self.swaps()

    def mounts(self, *lines):
        text = "".join(line + "\n" for line in lines)
        (self.proc / "self/mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + text)

    def swaps(self, *lines):
        text = "".join(line + "\n" for line in lines)
        (self.proc / "swaps").write_text("Filename Type Size Used Priority\n" + text)

    def target(self, minor=0):
        target = flash.Target.__new__(flash.Target)
        target.proc, target.sys, target.path = self.proc, self.sys, f"/dev/fake0-{minor}"
        target.exists = target.is_disk = True
        target.device, target.identity = os.makedev(240, minor), (0, minor)
        target.size, target.block_size, target.read_only = 1 << 30, 512, False
        return target


@pytest.fixture
def machine(tmp_path):
    return MadeUpMachine(tmp_path)


def refusal(target, image, force=False):
    with pytest.raises(flash.Fault) as caught:
        flash.refuse_unfit(target, flash.Image(image), force)
    assert caught.value.code == flash.REFUSED
    return str(caught.value)


def test_idle_disk_is_accepted(machine, image):
    flash.refuse_unfit(machine.target(), flash.Image(image), False)


def test_partition_needs_force(machine, image):
    assert "is a partition" in refusal(machine.target(1), image)
    flash.refuse_unfit(machine.target(1), flash.Image(image), True)


def test_disk_with_a_mounted_partition_is_refused(machine, image):
    machine.mounts(r"30 22 240:2 / /mnt/old\040disk rw - ext4 /dev/fake0p2 rw")
    assert "fake0p2 is mounted on /mnt/old disk" in refusal(machine.target(), image)
    # The other partition is free, the mounted one is not, whatever is forced.
    flash.refuse_unfit(machine.target(1), flash.Image(image), True)
    assert "mounted" in refusal(machine.target(2), image, force=True)


def test_disk_under_btrfs_or_swap_is_refused(machine, image, monkeypatch):
    monkeypatch.setattr(flash.Target, "_device_of", staticmethod(
        lambda path: os.makedev(240, 1) if path == "/dev/fake0p1" else None))
    machine.mounts("30 22 0:45 / /data rw - btrfs /dev/fake0p1 rw")
    assert "fake0p1 is mounted on /data" in refusal(machine.target(), image)
    machine.mounts()
    flash.refuse_unfit(machine.target(), flash.Image(image), False)
    machine.swaps("/dev/fake0p1 partition 1024 0 -2")
    assert "fake0p1 is swap space" in refusal(machine.target(), image)


def test_disk_in_a_volume_group_or_raid_is_refused(machine, image):
    (machine.sys / "devices/fake0/fake0p1/holders/dm-0/dm").mkdir(parents=True)
    (machine.sys / "devices/fake0/fake0p1/holders/dm-0/dm/name").write_text("vg-root\n")
    (machine.sys / "devices/fake0/holders/md127").mkdir()
    text = refusal(machine.target(), image)
    assert "fake0p1 is part of dm-0 (vg-root)" in text and "fake0 is part of md127" in text


# --- What it asks --------------------------------------------------------------------------------


def answer(image, disk, reply):
    """Runs flash on a terminal and types `reply` when it asks; (exit status, what it said)."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(FLASH, [str(FLASH), str(image), str(disk)])
    said = b""
    with contextlib.suppress(OSError):  # the terminal's end
        while data := os.read(terminal, 4096):
            said += data
            if b"Type yes" in said and reply:
                os.write(terminal, reply)
                reply = b""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode()


@pytest.fixture
def used_disk(tmp_path):
    """A disk that holds a GPT with a FAT file system in its second partition."""
    disk = empty(tmp_path / "used", 800 * MIB)
    subprocess.run(["sgdisk", "-n", "1:0:+10M", "-c", "1:swap", "-t", "1:8200", "-n", "2:0:+64M",
                    "-c", "2:photos", "-t", "2:0700", str(disk)], check=True, capture_output=True)
    start = 2048 * 512 + 10 * MIB
    part = empty(tmp_path / "part", 64 * MIB)
    subprocess.run(["mkfs.vfat", "-F", "32", str(part)], check=True, capture_output=True)
    with open(disk, "r+b") as file:
        file.seek(start)
        file.write(part.read_bytes())
    part.unlink()
    return disk


def test_operator_sees_what_is_there_and_may_decline(image, used_disk):
    before = sha256(used_disk)
    for reply in (b"no\n", b"\n", b"y\n"):
        status, said = answer(image, used_disk, reply)
        assert status == flash.DECLINED
        assert "holds a GPT partition table" in said
        assert "swap, Linux swap, 10 MiB" in said
        assert "photos, Windows data, 64 MiB, FAT32 file system" in said
    assert run(image, used_disk).returncode == flash.DECLINED  # nobody there to answer
    assert sha256(used_disk) == before


def test_operator_says_yes(image, used_disk):
    status, said = answer(image, used_disk, b"yes\n")
    assert status == 0, said
    assert "written and verified" in said
    assert flash.Target(used_disk).contents()[0].startswith("an earlier Gatehouse")
    assert used_disk.stat().st_size == 800 * MIB


def test_empty_disk_needs_no_answer(tmp_path, image):
    disk = empty(tmp_path / "disk", 700 * MIB)
    assert flash.Target(disk).contents() == []
    assert run(image, disk).returncode == 0


@pytest.mark.parametrize("make,what", [
    (["mkfs.ext4", "-q", "-F"], "ext2/3/4 file system"),
    (["mkfs.vfat", "-F", "16"], "FAT file system"),
    (["mkswap"], "swap area"),
])
def test_file_systems_are_recognised(tmp_path, make, what):
    disk = empty(tmp_path / "disk", 64 * MIB)
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    subprocess.run([*make, str(disk)], check=True, capture_output=True,
                   env=dict(os.environ, PATH=path))
    assert what in flash.Target(disk).contents()[0]


def test_mbr_and_unknown_data_are_recognised(tmp_path):
    disk = empty(tmp_path / "disk", 64 * MIB)
    with open(disk, "r+b") as file:
        file.seek(446)
        file.write(struct.pack("<4xB3x2I", 0x83, 2048, 20 * 2048) + bytes(48) + b"\x55\xaa")
    assert flash.Target(disk).contents() == [
        "an MBR partition table", "  partition: type 0x83, 20 MiB"]
    disk = empty(tmp_path / "far", 64 * MIB)
    with open(disk, "r+b") as file:
        file.seek(32 * MIB)
        file.write(b"x" * MIB)
    assert flash.Target(disk).contents() == ["data of a kind this program does not know"]


# --- Virtual disks -------------------------------------------------------------------------------


def test_qcow2_is_the_flashed_disk_of_its_size(tmp_path, image):
    raw, disk = tmp_path / "raw", tmp_path / "disk.qcow2"
    assert run(image, raw, "--size", "700M").returncode == 0
    done = run("--format", "qcow2", image, disk, "--size", "700M")
    assert done.returncode == 0, done.stderr
    subprocess.run(["qemu-img", "compare", "-q", "-F", "qcow2", "-f", "raw", str(raw), str(disk)],
                   check=True)
    assert disk.stat().st_size < 8 * MIB
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.qcow2", "raw"]


def test_vmdk_is_the_image_and_the_same_every_time(tmp_path, image):
    disk = tmp_path / "disk.vmdk"
    done = run("--format", "vmdk", image, disk)
    assert done.returncode == 0, done.stderr
    subprocess.run(["qemu-img", "compare", "-q", "-F", "vmdk", "-f", "raw", str(image), str(disk)],
                   check=True)
    before = disk.read_bytes()
    assert run("--format", "vmdk", image, disk).returncode == flash.DECLINED
    assert disk.read_bytes() == before
    assert run("--format", "vmdk", image, disk, "--yes").returncode == 0
    assert disk.read_bytes() == before


@pytest.mark.parametrize("left", [b"", b"f\n", b"ffffff\n"])
@pytest.mark.parametrize("lot", [b"1", b"abcdef1", b"fffffffe"])
def test_vmdk_identity_does_not_hang_on_the_lot(tmp_path, lot, left):
    """qemu-img writes a random id without leading zeros, then another over it: a tail may stay."""
    raw, disk = tmp_path / "raw", tmp_path / "disk"
    raw.write_bytes(b"content")
    header = (b"KDMV".ljust(28, b"\0") + struct.pack("<QQ", 1, 2)).ljust(512, b"\0")
    tail = b"\nparentCID=ffffffff\n"
    description = b"# Disk DescriptorFile\nversion=1\nCID="
    disk.write_bytes(header + (description + lot + tail + b"\0" + left).ljust(1024, b"\0") +
                     b"grains")
    virtual_disk.settle_identity(raw, disk)
    identity = int(hashlib.sha256(b"content").hexdigest()[:8], 16) & 0x7FFFFFFE
    wanted = (description + b"%08x" % identity + tail).ljust(1024, b"\0")
    assert disk.read_bytes() == header + wanted + b"grains"


OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
RASD = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"


def test_bundle_is_whole_and_honest(tmp_path, image):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        done = run("--format", "ova", image, tmp_path / name / "edge.ova")
        assert done.returncode == 0, done.stderr
    assert sha256(tmp_path / "one/edge.ova") == sha256(tmp_path / "two/edge.ova")
    with tarfile.open(tmp_path / "one/edge.ova") as tar:
        assert tar.getnames() == ["edge.ovf", "edge.mf", "edge-disk1.vmdk"]
        files = {name: tar.extractfile(name).read() for name in tar.getnames()}
    wanted = [f"SHA256({name})= {hashlib.sha256(files[name]).hexdigest()}"
              for name in ("edge.ovf", "edge-disk1.vmdk")]
    assert files["edge.mf"].decode().splitlines() == wanted
    root = ElementTree.fromstring(files["edge.ovf"])
    file, disk = root.find(f".//{OVF}File"), root.find(f".//{OVF}Disk")
    assert file.get(f"{OVF}href") == "edge-disk1.vmdk"
    assert int(file.get(f"{OVF}size")) == len(files["edge-disk1.vmdk"])
    assert int(disk.get(f"{OVF}capacity")) == image.stat().st_size
    assert disk.get(f"{OVF}fileRef") == file.get(f"{OVF}id")
    kinds = {item.find(f"{RASD}ResourceType").text: item for item in root.iter(f"{OVF}Item")}
    for kind in ("20", "10"):  # disk controller, network
        assert kinds[kind].find(f"{RASD}ResourceSubType").text == "virtio"
    note = root.find(f".//{OVF}Annotation").text
    assert "virtio devices only" in note and "ESXi" in note and "UEFI" in note
    (tmp_path / "disk.vmdk").write_bytes(files["edge-disk1.vmdk"])
    subprocess.run(["qemu-img", "compare", "-q", "-F", "vmdk", "-f", "raw", str(image),
                    str(tmp_path / "disk.vmdk")], check=True)


def test_a_disk_cannot_be_a_virtual_disk_file(tmp_path, image):
    with loop_device(empty(tmp_path / "backing", 700 * MIB)) as device:
        assert run("--format", "qcow2", image, device, "--yes").returncode == flash.USAGE
