#!/usr/bin/python3
"""A VLAN interface where the kernel has none: a TAP whose frames are tagged on the link below it.

    vlan_interface.py LINK TAP VLAN

Run in a namespace until it is ended. What the TAP's side sends leaves LINK with the tag; what comes
by LINK with it is given to the TAP. Says "ready" when both are open.
"""

import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 0x0002, 0x1000, 0x4000
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_AUXDATA, PACKET_VNET_HDR = 263, 1, 8, 15
PACKET_IGNORE_OUTGOING, PACKET_MR_PROMISC, VLAN_VALID = 23, 1, 0x10
HEADER = 10  # virtio's: the sums that are still to be filled


def open_tap(name):
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", name.encode(),
                                            IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    return tap


def open_link(name):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    for option in (PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING):
        link.setsockopt(SOL_PACKET, option, 1)
    link.bind((name, 3))
    member = struct.pack("iHH8s", socket.if_nametoindex(name), PACKET_MR_PROMISC, 0, b"")
    link.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, member)
    return link


def main():
    link, tap, vlan = open_link(sys.argv[1]), open_tap(sys.argv[2]), int(sys.argv[3])
    print("ready", flush=True)
    while True:
        for ready in select.select([link, tap], [], [])[0]:
            if ready is tap:
                frame = os.read(tap, 70000)
                addresses = HEADER + 12
                link.send(frame[:addresses] + struct.pack("!HH", 0x8100, vlan) + frame[addresses:])
                continue
            frame, control, _, _ = link.recvmsg(70000, 100)
            for level, kind, data in control:
                if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                    status, _, _, _, _, tag = struct.unpack("IIIHHH", data[:18])
                    if status & VLAN_VALID and tag & 0xFFF == vlan:
                        os.write(tap, frame)


if __name__ == "__main__":
    main()
