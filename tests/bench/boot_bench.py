#!/usr/bin/python3
"""Boots the image in QEMU: time in the loader, from loader entry to SIP ready, and sizes."""

import re
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))
import qemu  # noqa: E402

ROUNDS = 5
PROVISION = """\
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: 10.0.2.15
xConfiguration SIP Domain 1 Name: bench.example
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: Gate-house-42
"""


def boot(folder):
    with qemu.Machine(folder, provision=PROVISION) as machine:
        ready = machine.expect(r"SIP ready (\d+) ms after loader entry", timeout=60)
        loader = re.search(r"loader: .*?(\d+) ms", machine.console)
        return int(ready.group(1)), int(loader.group(1)) if loader else None, machine.accel


def main():
    ready, loader, accel = [], [], ""
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="gatehouse-boot-") as folder:
            ready_ms, loader_ms, accel = boot(Path(folder))
            ready.append(ready_ms)
            loader.append(loader_ms)
    pc = ROOT / "out/pc"
    image, loader_file = pc / "gatehouse.update", pc / "gatehouse.efi"
    print(f"signed image (slot)            {image.stat().st_size / 1024:10.0f} KiB")
    print(f"loader                         {loader_file.stat().st_size / 1024:10.0f} KiB")
    print(f"loader entry to SIP ready      {statistics.median(ready):10.0f} ms "
          f"({min(ready)}..{max(ready)}, {ROUNDS} boots, first boot with provisioning, {accel})")
    if None not in loader:
        print(f"verify, as the loader says     {statistics.median(loader):10.0f} ms "
              f"({min(loader)}..{max(loader)})")


if __name__ == "__main__":
    main()
