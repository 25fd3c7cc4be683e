"""Media of SIP calls through the appliance: plain phones inside on LAN1, encrypted ones outside on
LAN2, one of them behind a NAT.

On the Linux process and on the signed image with two processors. Stock phones (baresip) register
and call from either side; audio goes both ways. What each phone counted of what it received, and
what the appliance says of keys, flows and quality, is compared. Between the two sides is the
appliance alone: the phones have no route to each other.
"""

import re
import time

import pytest

import host as host_board
import netns
import operator_console
import phone
import qemu

DOMAIN = "example.org"
INSIDE, OUTSIDE = "10.77.0.2", "10.78.0.2"
USERS = ("alice", "bob", "dave", "eve")
PROVISION = "\n".join([
    "xConfiguration System Name: edge1",
    "xConfiguration System MediaCore: On",
    *(f"xConfiguration Network Port {port} IPv4 {name}: {value}"
      for port, address in ((1, INSIDE), (2, OUTSIDE))
      for name, value in (("Mode", "Static"), ("Address", address), ("PrefixLength", 24))),
    f"xConfiguration SIP Domain 1 Name: {DOMAIN}",
    *(f"xConfiguration Authentication User {n} {name}: {value}"
      for n, user in enumerate(USERS, 1)
      for name, value in (("Name", user), ("Password", f"{user}-Secret-1"))),
    "xConfiguration SIP Media LAN1 Encryption: ForceUnencrypted",
    "xConfiguration SIP Media LAN2 Encryption: ForceEncrypted",
    "xConfiguration Administrator 1 Name: admin",
    "xConfiguration Administrator 1 Password: Gate-house-42",
    ""])


class World:
    """One appliance with both its sides."""


def nat(inside, outside):
    """A router whose outside shows one address for all behind it, as home routers do."""
    router = inside.host("router", "192.168.5.1/24")
    outside.interface(router, "wan")
    router.run("ip", "address", "add", "10.78.0.99/24", "dev", "wan")
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    router.run("nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority "
               "100; }; add rule ip nat out oifname wan masquerade random")
    return router


def machine(board, folder, network):
    """Both its interfaces are on one switch; the two subnets have no router but the appliance."""
    if board == "image":
        taps = [qemu.tap_net(network.tap(f"tap{n}"), f"net{n}") for n in range(2)]
        return qemu.Machine(folder / "vm", netdevs=taps, netns=network.switch, cpus=2,
                            provision=PROVISION)
    edge = network.host("edge")
    network.interface(edge, "lan2")
    return host_board.HostMachine(folder / "edge", netns.INTERFACE, edge.namespace,
                                  provision=PROVISION, options=["--packet", "lan2"])


@pytest.fixture(scope="module", params=["host", "image"])
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with netns.Network() as network, netns.Network() as home:
        w = World()
        w.edge = machine(request.param, folder, network)
        hosts = {"alice": network.host("alice", "10.77.0.11/24"),
                 "bob": network.host("bob", "10.78.0.12/24"),
                 "eve": network.host("eve", "10.78.0.13/24")}
        nat(home, network)
        hosts["dave"] = home.host("dave", "192.168.5.7/24")
        hosts["dave"].run("ip", "route", "add", "default", "via", "192.168.5.1")

        def make(user, server, **options):
            return phone.Phone(folder, hosts[user], user, DOMAIN, f"{user}-Secret-1", server=server,
                               **options)
        with w.edge:
            w.edge.expect(r"SIP ready", timeout=60)
            with make("alice", INSIDE) as w.alice, \
                 make("bob", OUTSIDE, encryption="srtp-mand") as w.bob, \
                 make("dave", OUTSIDE, encryption="srtp-mand") as w.dave, \
                 make("eve", OUTSIDE) as w.eve:
                for one in (w.alice, w.bob, w.dave, w.eve):
                    one.wait_registered()
                operator_console.log_in_late(w.edge)
                yield w


def streams(world):
    said = world.edge.ask("xStatus SIP Media Stream")
    return [line for line in said.splitlines() if line.startswith("*s SIP Media Stream")
            or "caller=" in line]


def ends(line):
    """What a stream's line says of its two ends."""
    caller, callee = line.split(" callee=")
    return [dict(word.split("=", 1) for word in ("at=" + half).split() if "=" in word)
            for half in (caller.split(" caller=")[1], callee)]


def call(world, caller, callee, during=lambda: None):
    """Calls, talks, hangs up; the appliance's line about the stream, and each phone's counts."""
    marks = caller.mark(), callee.mark()
    caller.command("dial", f"sip:{callee.user}@{DOMAIN}")
    callee.wait("Incoming call", since=marks[1])
    callee.command("accept")
    caller.wait("Call established", since=marks[0])
    phone.let_talk(caller, callee)
    during()
    shown = streams(world)
    caller.command("hangup")
    callee.wait("session closed|Call with .* terminated", since=marks[1])
    counts = []
    for one, mark in zip((caller, callee), marks):
        found = one.wait(r"packets:\s+(\d+)\s+(\d+)", since=mark)
        counts.append((int(found.group(1)), int(found.group(2))))
    assert len(shown) == 1, shown
    return ends(shown[0]), counts


def check_audio(counts):
    for sent, received in counts:
        assert sent > 50 and received > 50, counts


def test_plain_inside_calls_encrypted_outside(world):
    (caller, callee), counts = call(world, world.alice, world.bob)
    check_audio(counts)
    assert callee["keys"] == "srtp" and caller["keys"] == "as-agreed"
    for end in (caller, callee):
        assert end["latched"] == end["flow"] == "yes"
        assert end["refused"] == "0" and int(end["packets"]) > 50
        assert int(end["lost"]) <= 2 and int(end["quality"]) > 350
        assert 36002 <= int(end["port"]) <= 59999 and int(end["port"]) % 2 == 0


def test_encrypted_outside_calls_plain_inside(world):
    (caller, callee), counts = call(world, world.bob, world.alice)
    check_audio(counts)
    assert caller["keys"] == "srtp" and callee["keys"] == "as-agreed"


def test_a_phone_behind_nat_calls_and_is_called(world):
    (caller, callee), counts = call(world, world.dave, world.alice)
    check_audio(counts)
    assert caller["at"].startswith("10.78.0.99:")
    (_, callee), counts = call(world, world.alice, world.dave)
    check_audio(counts)
    assert callee["at"].startswith("10.78.0.99:") and callee["keys"] == "srtp"


def test_new_keys_between_two_encrypted_phones(world):
    (caller, callee), counts = call(world, world.bob, world.dave)
    check_audio(counts)
    assert caller["keys"] == callee["keys"] == "srtp"


def test_hold_and_resume(world):
    def hold():
        mark = world.bob.mark()
        world.alice.command("hold")
        world.bob.wait("sendonly|inactive|re-INVITE|remote: hold|Call with .*hold", since=mark)
        world.alice.command("resume")
        time.sleep(1.5)
    _, counts = call(world, world.alice, world.bob, during=hold)
    check_audio(counts)


def test_who_is_not_encrypted_is_refused(world):
    mark = world.eve.mark()
    world.eve.command("dial", f"sip:alice@{DOMAIN}")
    world.eve.wait("488", since=mark)
    assert not streams(world)


def test_nothing_is_left_and_the_records_are_told(world):
    said = world.edge.ask("xStatus SIP Media")
    assert re.search(r"Relay: mode=On calls=0 .* streams=0 ports=0 srtp_contexts=0", said), said
    counters = dict(re.findall(r"(\w+)=(\d+)", said.split("Counters:")[1]))
    assert int(counters["dropped_other"]) < 20  # what phones send beside media
    assert counters["malformed_description"] == "0"
    assert int(counters["by_engine"]) < 200  # the rest went by flows
