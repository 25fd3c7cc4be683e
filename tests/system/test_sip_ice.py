"""ICE with stock phones (baresip, which is a full agent) and stock agents (aioice and libnice, with
the least of SIP around them).

    alice (plain) --- core --- bob (ICE)        edge: a second appliance, whose TURN engine relays
                                                for the core where nothing passes straight

The core is the booted image, the edge a Linux process. Bob's subzone has ICE Support; dora and erik
speak ICE with each other, by candidates that the core passes on, as hugo and ida do.
"""

import contextlib
import json
import pathlib
import queue
import re
import subprocess
import threading

import pytest

import host as host_board
import netns
import operator_console
import phone
import qemu

DOMAIN = "example.org"
CORE, EDGE = "10.77.0.2", "10.77.0.3"
USERS = {"alice": "10.77.0.11", "bob": "10.77.0.12", "dora": "10.77.0.14", "erik": "10.77.0.15"}
AGENTS = {"fritz": "10.77.0.16", "hugo": "10.77.0.17", "ida": "10.77.0.18"}
ICE_PHONE = pathlib.Path(__file__).with_name("ice_phone.py")
ADMINISTRATOR = [
    "xConfiguration Administrator 1 Name: admin",
    "xConfiguration Administrator 1 Password: Gate-house-42",
    ""]


def port(address):
    return ["xConfiguration Network Port 1 IPv4 Mode: Static",
            f"xConfiguration Network Port 1 IPv4 Address: {address}",
            "xConfiguration Network Port 1 IPv4 PrefixLength: 24"]


def subzone(number, name, setting, members):
    zone = f"xConfiguration Zones LocalZone SubZones SubZone {number}"
    yield f"{zone} Name: {name}"
    yield f"{zone} SIP Media {setting}: On"
    for place, member in enumerate(members):
        rule = f"xConfiguration Zones LocalZone MembershipRule {10 * number + place}"
        yield f"{rule} SubZoneName: {name}"
        yield f"{rule} Subnet: {(USERS | AGENTS)[member]}/32"


CORE_PROVISION = "\n".join([
    "xConfiguration System Name: core1", *port(CORE),
    f"xConfiguration SIP Domain 1 Name: {DOMAIN}",
    *(f"xConfiguration Authentication User {n} {name}: {value}"
      for n, user in enumerate([*USERS, *AGENTS], 1)
      for name, value in (("Name", user), ("Password", f"{user}-Secret-1"))),
    "xConfiguration SIP Media Mode: On",
    *subzone(1, "Ice", "ICE Support", ["bob", "fritz"]),
    *subzone(2, "Through", "ICEPassThrough Support", ["dora", "erik", "hugo", "ida"]),
    f"xConfiguration SIP Media TURN Address: {EDGE}",
    "xConfiguration SIP Media TURN UserName: core1",
    "xConfiguration SIP Media TURN Password: Relay-Secret-1",
    *ADMINISTRATOR])
EDGE_PROVISION = "\n".join([
    "xConfiguration System Name: edge1", *port(EDGE),
    f"xConfiguration SIP Domain 1 Name: {DOMAIN}",
    "xConfiguration Authentication User 1 Name: core1",
    "xConfiguration Authentication User 1 Password: Relay-Secret-1",
    "xConfiguration Traversal Server TURN Mode: On",
    "xConfiguration Traversal Server TURN Allow 1 Prefix: 10.77.0.0/24",
    *ADMINISTRATOR])
# Between the core's media ports and this phone nothing passes. (`CUT_APART`: nor between phones.)
CUT = f"""\
table ip cut {{
  chain in {{
    type filter hook input priority 0;
    ip saddr {CORE} udp sport 36002-59999 drop
  }}
  chain out {{
    type filter hook output priority 0;
    ip daddr {CORE} udp dport 36002-59999 drop
  }}
}}
"""


# The last way is left: by the core.
CUT_APART = f"""\
table ip cut {{
  chain in {{
    type filter hook input priority 0;
    ip saddr {AGENTS['ida']} drop
  }}
}}
"""


class Agent:
    """ice_phone.py on a host of its own; what it says, in order."""

    def __init__(self, world, kind, user, callee=None):
        words = ["/usr/bin/python3", ICE_PHONE, kind, CORE, DOMAIN, user, f"{user}-Secret-1"]
        self.name, self.said = f"{kind} of {user}", queue.Queue()
        self.process = world.hosts[user].start(*words, *([callee] if callee else []),
                                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                               stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.said.put(line)
        self.said.put("")

    def wait(self, fact):
        """Its value, once it is told."""
        seen = []
        while True:
            line = self.said.get(timeout=qemu.patience(60))
            seen.append(line)
            assert line, f"{self.name}: no {fact}: {''.join(seen)}"
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                if isinstance(told, dict) and fact in told:
                    return told[fact]

    def hang_up(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def stop(self):
        self.process.kill()
        self.process.wait(10)


class World:
    """The two appliances and the phones."""

    def ask(self, line):
        return self.core.ask(line)

    def call(self, caller, callee):
        """The call's number, once both have answered."""
        marks = caller.mark(), callee.mark()
        caller.command("dial", f"sip:{callee.user}@{DOMAIN}")
        for one, mark in zip((caller, callee), marks):
            one.wait("Call established", since=mark)
        return re.search(r"SIP Call (\d+): ", self.ask("xStatus SIP Call"))[1]

    def told(self, pattern):
        """Waits until one of the latest events (less than a page of the console's) says so."""
        netns.wait_for(lambda: re.search(pattern, self.ask("xCommand Log Show: last=8")),
                       qemu.patience(10), pattern, interval=0.3)

    def stream(self, packets=50):
        """What is said of the one stream, once so many packets have gone each way by flows."""
        def enough():
            found = re.findall(r"Media Stream \d.*callee=.*", self.ask("xStatus SIP Media Stream"))
            counts = re.findall(r"flow=yes packets=(\d+)", found[0]) if len(found) == 1 else []
            return found[0] if len(counts) == 2 and min(map(int, counts)) >= packets else None
        return netns.wait_for(enough, qemu.patience(25), "media both ways", interval=0.3)

    def hang_up(self, number):
        assert "Call ended." in self.ask(f"xCommand Call Disconnect: {number}")
        netns.wait_for(lambda: "SIP Media Stream" not in
                       self.ask("xStatus SIP Media Stream").replace("xStatus SIP Media Stream", ""),
                       qemu.patience(10), "the end of media", interval=0.3)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ice")
    with netns.Network() as network:
        w = World()
        hosts = w.hosts = {user: network.host(user, f"{address}/24")
                           for user, address in (USERS | AGENTS).items()}
        w.core = host_board.edge_of("image", folder / "core", network, CORE_PROVISION, name="core")
        w.edge = host_board.edge_of("host", folder / "edge", network, EDGE_PROVISION)
        phones = {user: phone.Phone(folder, hosts[user], user, DOMAIN, f"{user}-Secret-1",
                                    server=CORE, answer="auto", speaks_ice=user != "alice")
                  for user in USERS}
        with w.edge, w.core:
            w.core.expect(r"SIP ready", timeout=90)
            try:
                for user, one in phones.items():
                    setattr(w, user, one.__enter__())
                for one in phones.values():
                    one.wait_registered()
                operator_console.log_in_late(w.core)
                yield w
            finally:
                for one in phones.values():
                    if hasattr(one, "pipe"):
                        one.__exit__()


@pytest.mark.parametrize("direction", ["to", "from"])
def test_a_full_agent_agrees_with_ours(world, direction):
    pair = (world.alice, world.bob)[::1 if direction == "to" else -1]
    number = world.call(*pair)
    said = world.stream()
    assert "ice=straight" in said, said
    world.told(r"from 10\.77\.0\.2:\d+ to 10\.77\.0\.12:\d+, straight")
    assert "a=candidate:" not in world.alice.log_text()
    world.hang_up(number)


def test_where_nothing_passes_straight_our_turn_engine_relays(world):
    netns.wait_for(lambda: "turn_allocations=4" in world.ask("xStatus SIP Media Relay"),
                   qemu.patience(20), "allocations at the edge", interval=0.3)
    world.hosts["bob"].run("nft", "-f", "-", input=CUT)
    try:
        number = world.call(world.alice, world.bob)
        said = world.stream()
        assert "ice=relayed" in said, said
        world.told(r"from 10\.77\.0\.3:\d+ to 10\.77\.0\.12:\d+, by the TURN server")
        world.hang_up(number)
    finally:
        world.hosts["bob"].run("nft", "delete", "table", "ip", "cut")


def test_candidates_that_are_passed_on_lead_past_us(world):
    marks = world.dora.mark(), world.erik.mark()
    world.dora.command("dial", f"sip:erik@{DOMAIN}")
    for one, mark in zip((world.dora, world.erik), marks):
        one.wait("Call established", since=mark)
    said = world.erik.wait(r"a=candidate:gatehouse 1 UDP 255 10\.77\.0\.2 \d+ typ relay",
                           since=marks[1])
    assert said
    assert re.search(r"a=candidate:\S+ 1 UDP \d+ 10\.77\.0\.14 \d+ typ host",
                     world.erik.log_text())
    number = re.search(r"SIP Call (\d+): ", world.ask("xStatus SIP Call"))[1]
    world.hang_up(number)


@pytest.fixture
def agents(world):
    started = []

    def start(*words):
        started.append(Agent(world, *words))
        return started[-1]
    yield start
    for one in started:
        one.stop()


@pytest.mark.parametrize("kind", ["aioice", "libnice"])
def test_a_stock_agent_calls_and_controls(world, agents, kind):
    mark = world.alice.mark()
    fritz = agents(kind, "fritz", "alice")
    assert fritz.wait("way") == ["host", CORE]
    assert fritz.wait("heard") >= 50
    said = world.stream()
    assert "ice=straight" in said, said
    world.told(r"from 10\.77\.0\.2:\d+ to 10\.77\.0\.16:\d+, straight")
    assert "a=candidate:" not in world.alice.log_text()[mark:]
    fritz.hang_up()
    assert fritz.wait("over") == "by us"


@pytest.mark.parametrize("kind", ["aioice", "libnice"])
def test_a_stock_agent_is_called_and_controlled(world, agents, kind):
    fritz = agents(kind, "fritz")
    fritz.wait("registered")
    world.alice.command("dial", f"sip:fritz@{DOMAIN}")
    shown = fritz.wait("candidates")
    assert {line.split()[7] for line in shown} <= {"host", "relay"}, shown
    assert fritz.wait("way") == ["host", CORE]
    assert fritz.wait("heard") >= 50
    assert "ice=straight" in world.stream()
    world.alice.command("hangup")
    assert fritz.wait("over") == "by the other"


@pytest.mark.parametrize("kind", ["aioice", "libnice"])
def test_a_stock_agent_that_is_cut_off_is_reached_by_the_relay(world, agents, kind):
    netns.wait_for(lambda: "turn_allocations=4" in world.ask("xStatus SIP Media Relay"),
                   qemu.patience(20), "allocations at the edge", interval=0.3)
    world.hosts["fritz"].run("nft", "-f", "-", input=CUT)
    try:
        fritz = agents(kind, "fritz")
        fritz.wait("registered")
        world.alice.command("dial", f"sip:fritz@{DOMAIN}")
        assert fritz.wait("way") == ["host", EDGE]
        assert fritz.wait("heard") >= 50
        assert "ice=relayed" in world.stream()
        world.alice.command("hangup")
        assert fritz.wait("over") == "by the other"
    finally:
        world.hosts["fritz"].run("nft", "delete", "table", "ip", "cut")


@pytest.mark.parametrize("is_apart", [False, True], ids=["straight", "through us"])
def test_stock_agents_find_each_other_by_candidates_passed_on(world, agents, is_apart):
    """aioice and libnice; where nothing passes between them, by the candidate that is ours."""
    if is_apart:
        world.hosts["hugo"].run("nft", "-f", "-", input=CUT_APART)
    try:
        ida = agents("libnice", "ida")
        ida.wait("registered")
        hugo = agents("aioice", "hugo", "ida")
        for one, straight in ((hugo, AGENTS["ida"]), (ida, AGENTS["hugo"])):
            shown = one.wait("candidates")
            assert any(f" {straight} " in line for line in shown), shown
            assert any(f"candidate:gatehouse 1 UDP 255 {CORE} " in line for line in shown), shown
            assert one.wait("way")[1] == (CORE if is_apart else straight)
            assert one.wait("heard") >= 50
        hugo.hang_up()
        assert ida.wait("over") == "by the other"
    finally:
        if is_apart:
            world.hosts["hugo"].run("nft", "delete", "table", "ip", "cut")
