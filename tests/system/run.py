#!/usr/bin/python3
"""`make run`: boots out/pc/gatehouse.img in QEMU with its serial console on this terminal.

The image itself is never written: the machine runs on an overlay in out/run/, which is kept
from run to run until the image is rebuilt (or FRESH=1), so settings and passwords stay. The
guest's services are forwarded to loopback ports of this machine, and the guest is told which
(fw_cfg opt/gatehouse/reach), so that its prompt can say how to reach it.

PROVISION=file gives the guest its first configuration. Ctrl-A x ends the machine.
"""

import os
import socket
import sys
from pathlib import Path

import qemu

FOLDER = qemu.ROOT / "out/run"
# (name, kind, guest port): what is forwarded, to the same port here if that is free.
SERVICES = [("SIP", "udp", 5060), ("SIP", "tcp", 5060)]


def is_free(kind, port):
    family = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, family) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def forwards():
    """(name, kind, host port, guest port) of every service."""
    return [
        (name, kind, port if is_free(kind, port) else qemu.free_port(kind), port)
        for name, kind, port in SERVICES
    ]


def discard_old_state():
    """An overlay is only good on the very image it was made on."""
    overlay = FOLDER / "disk.qcow2"
    if not overlay.exists():
        return
    if os.environ.get("FRESH") or overlay.stat().st_ctime < qemu.IMAGE.stat().st_mtime:
        overlay.unlink()
    elif (FOLDER / "image").read_text() != image_identity():
        overlay.unlink()


def image_identity():
    status = qemu.IMAGE.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def main():
    if not qemu.IMAGE.exists():
        print(f"{qemu.IMAGE}: run `make image` first", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    discard_old_state()
    (FOLDER / "image").write_text(image_identity())
    ways = forwards()
    reach = [f"{name}/{kind} 127.0.0.1:{host}" for name, kind, host, _ in ways]
    provision = os.environ.get("PROVISION")
    machine = qemu.Machine(
        FOLDER,
        memory=os.environ.get("MEMORY", "1G"),
        netdevs=[qemu.user_net([(kind, host, guest) for _, kind, host, guest in ways])],
        provision=Path(provision).read_bytes() if provision else None,
        fw_cfg={"opt/gatehouse/reach": "\n".join(reach) + "\n"},
    )
    command = machine._command()
    console = command.index("stdio,id=console,signal=off")
    command[console] += ",mux=on"  # Ctrl-A x
    print(f"Gatehouse in QEMU ({machine.accel}); Ctrl-A x ends it. From this machine:")
    for way in reach:
        print(f"  {way}")
    sys.stdout.flush()
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
