"""A changed image is refused by the loader itself: on the built disk image, in QEMU under OVMF.

Every slot of the disk that holds an image is changed, so that nothing is left to start: the loader
must name the check that failed on the serial console and stay in its recovery console, never start
the payload, never return to the firmware.
"""

import subprocess

import pytest

import qemu

TOOL = qemu.ROOT / "out/tools/gatehouse-image"
LOADER = qemu.ROOT / "out/pc/gatehouse.efi"
TEST_FIRMWARE = qemu.ROOT / "out/pc/payload.elf"
KEYS = qemu.ROOT / "out/keys"
STOPPED = r"loader: STOPPED: nothing on this disk may be started"
STARTED = "starting slot|starting factory|payload:|SIP ready"


def tool(*arguments):
    result = subprocess.run([str(TOOL), *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def payload_image(tmp_path_factory):
    """A disk whose firmware is the tiny test payload, signed by this clone's key."""
    folder = tmp_path_factory.mktemp("payload")
    tool("update", "--firmware", TEST_FIRMWARE, "--key", KEYS / "release.key", "--version", "7.8.9",
         "--build-id", "payload-test", "--out", folder / "update")
    tool("disk", "--loader", LOADER, "--update", folder / "update", "--out", folder / "disk.img")
    return folder / "disk.img"


@pytest.fixture(scope="module")
def product_image(payload_image):
    """The built image (`make test` builds it first); the payload's while there is no firmware."""
    return qemu.IMAGE if qemu.IMAGE.exists() else payload_image


def refused(tmp_path, image, *reasons):
    """Boots `image` and checks that it stops after the given lines, having started nothing."""
    with qemu.Machine(tmp_path / "vm", image) as machine:
        machine.expect(STOPPED, timeout=20)
        lines = [line for line in machine.console.splitlines() if line.startswith("loader: ")]
        for reason in reasons:
            assert f"loader: {reason}" in lines, machine.tail()
        # It stays there: no payload, no shell, no reset.
        machine.expect_not(f"{STARTED}|Gatehouse loader|Shell>|BdsDxe", seconds=2)
        for word in STARTED.split("|"):
            assert word not in machine.console, machine.tail()


# Two changes a boot, as slot-a and factory are judged apart: (part, offset in it, reason).
HEADER = ("header", 16, "slot header checksum is wrong")
MANIFEST = ("manifest", 40, "manifest signature does not verify")
SIGNATURE = ("signatures", 30, "manifest signature does not verify")
SIGNER = ("signatures", 0, "manifest is not signed by a key this machine trusts")
TREE = ("tree", 5, "hash tree does not match the manifest")
PAYLOAD = ("payload", 0, "payload block does not match its signed hash")


@pytest.mark.parametrize("in_slot_a,in_factory", [(MANIFEST, PAYLOAD), (SIGNATURE, TREE),
                                                  (HEADER, SIGNER), (PAYLOAD, MANIFEST)],
                         ids=lambda change: change[0])
def test_tampered_product_image_is_refused(tmp_path, product_image, in_slot_a, in_factory):
    image = qemu.copy_image(product_image, tmp_path / "disk.img")
    for slot, (part, offset, _) in (("slot-a", in_slot_a), ("factory", in_factory)):
        tool("tamper", "--slot", slot, "--part", part, "--offset", offset, image)
    refused(tmp_path, image, f"slot-a: refused: {in_slot_a[2]}",
            f"factory: refused: {in_factory[2]}")


def payload_blocks(image):
    """Blocks of the firmware and their size, from the signed manifest."""
    text = tool("show", image)
    block = int(text.split("block size ")[1].split()[0])
    size = int(text.split("segment firmware")[1].split()[0])
    return (size + block - 1) // block, block


def test_tampered_payload_block_is_named(tmp_path, product_image):
    image = qemu.copy_image(product_image, tmp_path / "disk.img")
    blocks, size = payload_blocks(image)
    middle, last = blocks // 2, blocks - 1
    for slot, block in (("slot-a", middle), ("factory", last)):
        tool("tamper", "--slot", slot, "--part", "payload", "--offset", (block + 1) * size - 1,
             "--xor", 0x80, image)
    refused(tmp_path, image, f"slot-a: bad block {middle} of {blocks}, in segment firmware",
            f"factory: bad block {last} of {blocks}, in segment firmware")


def test_wrong_key_wrong_board_and_missing_mark_are_refused(tmp_path):
    three_refused(tmp_path, [
        (["--key", other_key(tmp_path)], "manifest is not signed by a key this machine trusts"),
        (["--board", "other"], "image is for another board"),
        (["--kind", "production"], "a development key signed an image not marked as one"),
    ])


def test_wrong_product_loader_and_security_version_are_refused(tmp_path):
    three_refused(tmp_path, [
        (["--product", "other"], "image is of another product"),
        (["--loader-version-min", "99"], "image needs a newer loader"),
        (["--security-version", "0"], "image's security version is older than this machine's"),
    ])


def other_key(tmp_path):
    tool("keygen", "--folder", tmp_path / "keys")
    return tmp_path / "keys/release.key"


def three_refused(tmp_path, cases):
    """One well-made image per slot, none of which belongs on this machine."""
    for slot, (options, _) in zip("abf", cases):
        key = [] if "--key" in options else ["--key", KEYS / "release.key"]
        tool("update", "--firmware", TEST_FIRMWARE, "--out", tmp_path / slot, *key, *options)
    tool("disk", "--loader", LOADER, "--update", tmp_path / "a", "--slot-b", tmp_path / "b",
         "--factory", tmp_path / "f", "--out", tmp_path / "disk.img")
    tool("bootstate", "--slot", "b", "--state", "confirmed", tmp_path / "disk.img")
    refused(tmp_path, tmp_path / "disk.img",
            *(f"{slot}: refused: {reason}"
              for slot, (_, reason) in zip(("slot-a", "slot-b", "factory"), cases)))


def test_good_image_starts_and_says_what_it_is(tmp_path, payload_image):
    with qemu.Machine(tmp_path, payload_image) as machine:
        match = machine.expect(r"loader: slot-a: verified gatehouse 7\.8\.9 \(build payload-test, "
                               r"security version 1\), key id (\w{16}), \d+ KiB in \d+ ms", 20)
        key_id = match.group(1)
        machine.expect(r"DEVELOPMENT IMAGE", 5)
        machine.expect(r"loader: starting slot-a after \d+ ms", 5)
        machine.expect(r"payload: relocated", 5)
        machine.expect(rf"payload: handover good, slot a, version 7\.8\.9, key id {key_id}", 5)
        machine.expect(r"payload: map covers the image", 5)
    assert key_id in tool("show", payload_image)


def test_damaged_slot_gives_way_to_the_golden_image(tmp_path, payload_image):
    image = qemu.copy_image(payload_image, tmp_path / "disk.img")
    tool("tamper", "--part", "payload", "--offset", 100, "--slot", "slot-a", image)
    with qemu.Machine(tmp_path / "vm", image) as machine:
        machine.expect(r"loader: slot-a: refused: payload block does not match", 20)
        machine.expect(r"loader: factory: verified gatehouse 7\.8\.9", 5)
        machine.expect(r"payload: handover good, slot g", 5)


def test_damaged_partition_table_is_read_from_its_backup(tmp_path, payload_image):
    """Our own reader; the firmware mends or finds the ESP by the backup as well."""
    image = qemu.copy_image(payload_image, tmp_path / "disk.img")
    with open(image, "r+b") as disk:
        disk.seek(512 + 56)
        disk.write(b"\xff" * 16)
    with qemu.Machine(tmp_path / "vm", image) as machine:
        machine.expect(r"loader: slot-a: verified", 20)
        machine.expect(r"payload: handover good", 5)


def test_same_input_gives_the_same_image(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tool("update", "--firmware", TEST_FIRMWARE, "--key", KEYS / "release.key",
             "--build-id", "same", "--out", tmp_path / name / "update")
        tool("disk", "--loader", LOADER, "--update", tmp_path / name / "update", "--out",
             tmp_path / name / "disk.img")
    assert (tmp_path / "one/update").read_bytes() == (tmp_path / "two/update").read_bytes()
    subprocess.run(["cmp", tmp_path / "one/disk.img", tmp_path / "two/disk.img"], check=True)


def test_secret_keys_are_private(tmp_path):
    tool("keygen", "--folder", tmp_path / "keys")
    assert (tmp_path / "keys/release.key").stat().st_mode & 0o777 == 0o600
    first = (tmp_path / "keys/release.key").read_text()
    tool("keygen", "--folder", tmp_path / "keys")  # keeps what is there
    assert (tmp_path / "keys/release.key").read_text() == first
    assert first.split()[3] not in (tmp_path / "keys/release.pub").read_text()


def test_second_signature_by_the_sign_verb(tmp_path):
    tool("keygen", "--folder", tmp_path / "keys", "--name", "second")
    tool("update", "--firmware", TEST_FIRMWARE, "--key", KEYS / "release.key", "--out",
         tmp_path / "update")
    trust = ["--trust", KEYS / "release.pub", "--trust", tmp_path / "keys/second.pub"]
    verify = [str(TOOL), "verify", *map(str, trust), "--signatures", "2", str(tmp_path / "update")]
    assert subprocess.run(verify, capture_output=True).returncode == 1
    tool("sign", "--key", tmp_path / "keys/second.key", tmp_path / "update")
    assert subprocess.run(verify, capture_output=True).returncode == 0
