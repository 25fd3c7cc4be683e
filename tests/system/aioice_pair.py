#!/usr/bin/python3
"""Two ICE agents of aioice that may use nothing but relays of one TURN server: they find each
other, and each sends the other numbered datagrams. Over TLS they verify the server's certificate
(SSL_CERT_FILE). Prints one line: how many came to either side, and the types of the candidates in
use. Run by test_turn.py in the client's namespace.

    aioice_pair.py SERVER PORT udp|tcp|tls USER PASSWORD COUNT
"""

import asyncio
import sys

import aioice

TIMEOUT_S = 40


def agent(controlling, server, port, kind, user, password):
    return aioice.Connection(
        ice_controlling=controlling, turn_server=(server, int(port)), turn_username=user,
        turn_password=password, turn_ssl=kind == "tls",
        turn_transport="udp" if kind == "udp" else "tcp", use_ipv6=False,
        transport_policy=aioice.ice.TransportPolicy.RELAY)


async def introduce(one, other):
    other.remote_username, other.remote_password = one.local_username, one.local_password
    for candidate in one.local_candidates:
        await other.add_remote_candidate(candidate)
    await other.add_remote_candidate(None)


async def exchange(sender, receiver, count):
    """The numbers that came."""
    got = set()
    for number in range(count):
        await sender.send(str(number).encode())
        got.add(int(await receiver.recv()))
    return len(got)


async def talk(server, count):
    sides = [agent(controlling, *server) for controlling in (True, False)]
    for side in sides:
        await side.gather_candidates()
    await introduce(sides[0], sides[1])
    await introduce(sides[1], sides[0])
    await asyncio.gather(*(side.connect() for side in sides))
    got = [await exchange(sides[1], sides[0], count), await exchange(sides[0], sides[1], count)]
    kinds = [f"{pair.local_candidate.type}-{pair.remote_candidate.type}" for pair in
             (side._nominated[1] for side in sides)]  # pylint: disable=protected-access
    print("received", *got, *kinds, flush=True)
    for side in sides:
        await side.close()


asyncio.run(asyncio.wait_for(talk(sys.argv[1:6], int(sys.argv[6])), TIMEOUT_S))
