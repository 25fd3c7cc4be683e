#!/usr/bin/python3
"""Boots the image in QEMU: time in the loader, time to each service, and sizes; and the loader's
own work for a payload of 16 MiB: disk and verification apart; how fast a slot is written, and what
relayed media feels of it. The same verification on this processor itself: boot_verify_bench.cc.

GATEHOUSE_BOOT_ROUNDS says how many boots of each; the median is shown, with the least and the most.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))
import qemu  # noqa: E402

ROUNDS = int(os.environ.get("GATEHOUSE_BOOT_ROUNDS", "5"))
TOOL = ROOT / "out/tools/gatehouse-image"
LARGE_SIZE = 16 << 20
PROVISION = """\
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: 10.0.2.15
xConfiguration SIP Domain 1 Name: bench.example
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: Gate-house-42
"""
LOADER = (r"loader: \S+: verified .* (?P<kib>\d+) KiB in (?P<verify>\d+) ms "
          r"\(disk (?P<disk>\d+) ms\)")
IN_LOADER = r"loader: starting \S+ after (\d+) ms in the loader"


def loader_times(machine):
    found = re.search(LOADER, machine.console)
    return {"loader, entry to jump": int(re.search(IN_LOADER, machine.console).group(1)),
            "  of it: verify": int(found["verify"]), "  of it: disk": int(found["disk"])}


# What the console says in turn, and what is there from then on. By the host's clock, counted from
# the loader's first line; only SIP is timed by the machine itself.
MARKS = (("firmware's first line", r"^Gatehouse \S+ commit"),
         ("disks, network ports, watchdog", r"^partition log:"),
         ("store and configuration", r"^Provisioning: .* applied"),
         ("all engines, memory sealed", r"sealed now"))


def boot_product(folder):
    with qemu.Machine(folder, provision=PROVISION) as machine:
        machine.expect(r"Gatehouse loader", timeout=60)
        start, times = time.monotonic(), {}
        for name, pattern in MARKS:
            machine.expect(pattern, timeout=60)
            times[f"to {name}"] = round((time.monotonic() - start) * 1000)
        ready = machine.expect(r"SIP ready (\d+) ms after loader entry", timeout=60)
        times["to SIP ready"] = int(ready.group(1))
        return {**loader_times(machine), **times}


def large_image(folder):
    """The test payload with bytes behind it up to 16 MiB; the loader reads and verifies all."""
    firmware = (ROOT / "out/pc/payload.elf").read_bytes()
    large = folder / "large.elf"
    large.write_bytes(firmware + os.urandom(LARGE_SIZE - len(firmware)))
    for words in (["update", "--firmware", large, "--key", ROOT / "out/keys/release.key", "--out",
                   folder / "large.update"],
                  ["disk", "--loader", ROOT / "out/pc/gatehouse.efi", "--update",
                   folder / "large.update", "--out", folder / "large.img"]):
        subprocess.run([str(TOOL), *map(str, words)], check=True)
    return folder / "large.img"


def boot_large(folder, image):
    with qemu.Machine(folder, image) as machine:
        machine.expect(r"payload: handover good", timeout=60)
        return loader_times(machine)


def slot_write_rate(folder):
    """An update over HTTPS from this machine into the other slot: received, decrypted, verified,
    written and flushed. KiB/s of each round; the slot is emptied in between by another build."""
    import https_server
    import test_https_upgrade as https
    import test_upgrade
    folder.mkdir()
    pin = https_server.make_certificate(folder)
    rates = []
    with qemu.Machine(folder / "vm", provision=test_upgrade.PROVISION) as machine:
        test_upgrade.log_in(machine)
        with https_server.serve(folder, https_server.Quiet) as port:
            for number in range(ROUNDS):
                name = f"round-{number}.update"
                test_upgrade.make_update(folder, name)
                state, status = https.fetch(machine, port, f"/{name}", pin)
                assert state == "installed" and "kept=0" in status, status
                rates.append(int(re.search(r"100 %, (\d+) KiB/s", status)[1]))
    return rates


def media_during_upgrades(folder):
    """What coturn's client says of its packets through our relay, without and with upgrades."""
    import netns
    import test_upgrade_media as media
    folder.mkdir()
    print(f"media through the relay, round trips ({qemu.accelerator()}):")
    with netns.Network() as network, media.World(network, folder) as world:
        media.measure(world)


def show(title, rounds):
    print(f"{title} ({len(rounds)} boots, {qemu.accelerator()}):")
    for name in rounds[0]:
        values = [times[name] for times in rounds if name in times]
        print(f"  {name:34} {statistics.median(values):8.0f} ms  ({min(values)}..{max(values)})")


def main():
    pc = ROOT / "out/pc"
    print(f"signed image (slot)   {(pc / 'gatehouse.update').stat().st_size / 1024:8.0f} KiB")
    print(f"loader                {(pc / 'gatehouse.efi').stat().st_size / 1024:8.0f} KiB")
    with tempfile.TemporaryDirectory(prefix="gatehouse-boot-") as folder:
        top = Path(folder)
        show("the product, first boot with provisioning",
             [boot_product(top / f"product{i}") for i in range(ROUNDS)])
        large = large_image(top)
        rates = slot_write_rate(top / "write")
        print(f"slot write rate over HTTPS ({len(rates)} updates, {qemu.accelerator()}): "
              f"{statistics.median(rates):.0f} KiB/s  ({min(rates)}..{max(rates)})")
        media_during_upgrades(top / "media")
        show("a payload of 16 MiB", [boot_large(top / f"large{i}", large) for i in range(ROUNDS)])


if __name__ == "__main__":
    main()
