"""The pair: a Core behind a NAT that lets nothing in, an Edge outside, a stock phone at each.

    bob --- [core] --- firewall (nftables: masquerade, inward dropped) --- [edge] --- alice

The Core opens the traversal zone's TLS stream outwards, both show certificates of one authority;
calls go through it in both directions, in-dialog requests too. The search rules, `xCommand Locate`,
the search history and the zone's status say what happened. Both appliances are booted images;
GATEHOUSE_PAIR=host takes the Linux process instead.
"""

import os
import re
import subprocess

import pytest

import authority
import host as host_board
import linphone
import netns
import phone
import qemu
import twinkle

EDGE, CORE, TRAVERSAL = "10.80.0.2", "10.81.0.2", 7001
OUT, IN = "out.example", "in.example"
COMMON = """\
xConfiguration System Name: {name}
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {address}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration Network IPv4 Gateway: {gateway}
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: Gate-house-42
xConfiguration Administrator 1 PublicKey1: "{key}"
xConfiguration SSH Mode: On
xConfiguration SIP Domain 1 Name: {domain}
xConfiguration Authentication User 1 Name: {user}
xConfiguration Authentication User 1 Password: p-Secret-1
xConfiguration Zones LocalZone DefaultSubZone SIP Media EncryptionMode: ForceUnencrypted
xConfiguration Zones DefaultZone SIP Media EncryptionMode: ForceUnencrypted
xConfiguration Zones Zone 1 Name: Pair
xConfiguration Zones Zone 1 Type: UCTraversal
xConfiguration Zones Zone 1 Authentication UserName: pair
xConfiguration Zones Policy SearchRules Rule 1 Name: own
xConfiguration Zones Policy SearchRules Rule 1 Priority: 10
xConfiguration Zones Policy SearchRules Rule 1 Mode: AliasPatternMatch
xConfiguration Zones Policy SearchRules Rule 1 Pattern Type: Suffix
xConfiguration Zones Policy SearchRules Rule 1 Pattern String: @{domain}
xConfiguration Zones Policy SearchRules Rule 1 Pattern Behavior: Leave
xConfiguration Zones Policy SearchRules Rule 1 Target Name: LocalZone
xConfiguration Zones Policy SearchRules Rule 2 Name: other side
xConfiguration Zones Policy SearchRules Rule 2 Mode: AliasPatternMatch
xConfiguration Zones Policy SearchRules Rule 2 Pattern Type: Regex
xConfiguration Zones Policy SearchRules Rule 2 Pattern String: "(.*)@{other}"
xConfiguration Zones Policy SearchRules Rule 2 Pattern Behavior: Leave
xConfiguration Zones Policy SearchRules Rule 2 Target Name: Pair
"""
EDGE_ONLY = """\
xConfiguration Zones Zone 1 SIP TLS Verify Subject Name: core.in.example
xConfiguration Authentication User 2 Name: pair
xConfiguration Authentication User 2 Password: t-Secret-1
xConfiguration Authentication User 3 Name: carol
xConfiguration Authentication User 3 Password: p-Secret-1
xConfiguration Authentication User 4 Name: fay
xConfiguration Authentication User 4 Password: p-Secret-1
xConfiguration Authentication User 5 Name: gil
xConfiguration Authentication User 5 Password: p-Secret-1
xConfiguration Authentication User 6 Name: eve
xConfiguration Authentication User 6 Password: p-Secret-1
xConfiguration Zones Policy SearchRules Rule 3 Name: registrations
xConfiguration Zones Policy SearchRules Rule 3 Mode: AliasPatternMatch
xConfiguration Zones Policy SearchRules Rule 3 Pattern Type: Exact
xConfiguration Zones Policy SearchRules Rule 3 Pattern String: in.example
xConfiguration Zones Policy SearchRules Rule 3 Pattern Behavior: Leave
xConfiguration Zones Policy SearchRules Rule 3 Target Name: Pair
"""
CORE_ONLY = f"""\
xConfiguration Zones Zone 1 Peer1 Address: {EDGE}
xConfiguration Zones Zone 1 Authentication Password: t-Secret-1
xConfiguration Zones Zone 1 RetryInterval: 2
xConfiguration Authentication User 2 Name: dan
xConfiguration Authentication User 2 Password: p-Secret-1
xConfiguration Authentication User 3 Name: hal
xConfiguration Authentication User 3 Password: p-Secret-1
xConfiguration Authentication User 4 Name: ida
xConfiguration Authentication User 4 Password: p-Secret-1
xConfiguration Authentication User 5 Name: ned
xConfiguration Authentication User 5 Password: p-Secret-1
xConfiguration Transform 1 Pattern Type: Prefix
xConfiguration Transform 1 Pattern String: "9"
xConfiguration Transform 1 Pattern Behavior: Strip
"""
FIREWALL = """\
table ip guard {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "inside" accept
    counter name inward drop
  }
  counter inward { }
  chain out { type nat hook postrouting priority 100; oifname "eth0" masquerade; }
}
"""
ON_HOST = os.environ.get("GATEHOUSE_PAIR") == "host"
SSH = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]


class Side:
    """One appliance and the hosts beside it."""

    def __init__(self, world, name, network, address, subnet):
        self.world, self.name, self.address = world, name, address
        self.tools = network.host(f"t{name}", f"{subnet}.31/24")
        self.user_host = network.host(f"u{name}", f"{subnet}.11/24")
        self.network = network
        self.tap = None

    def start(self, provision=None):
        """Later once more, with what is on its disk."""
        folder = self.world.folder / self.name
        folder.mkdir(exist_ok=True)
        if ON_HOST:
            self.board_host = getattr(self, "board_host", None) or self.network.host(self.name)
            self.machine = host_board.HostMachine(folder, netns.INTERFACE,
                                                  self.board_host.namespace, provision=provision)
        else:
            self.tap = self.tap or self.network.tap(f"t{self.name}x")
            self.machine = qemu.Machine(folder, netdevs=[qemu.tap_net(self.tap)],
                                        netns=self.network.switch, provision=provision)
        self.machine.start()

    def wait_started(self):
        self.machine.expect(rf"{self.name} login: ", timeout=90)

    def ask(self, line):
        done = self.tools.run("ssh", *SSH, "-i", self.world.folder / "key",
                              f"admin@{self.address}", line, check=False,
                              timeout=qemu.patience(60))
        return done.stdout + done.stderr

    def bring(self, name, *files):
        whole = self.world.folder / f"{self.name}.whole"
        whole.write_bytes(b"".join((self.world.folder / file).read_bytes() for file in files))
        for _ in range(3):  # on a busy machine the first question who has its address may be lost
            done = self.tools.run("scp", *SSH, "-i", self.world.folder / "key", whole,
                                  f"admin@{self.address}:/certificates/{name}", check=False,
                                  timeout=qemu.patience(60))
            if "No route to host" not in done.stderr:
                break
        assert done.returncode == 0, done.stderr + self.ask("xCommand Log Show: last=5")


class World:
    def certificates(self):
        root = authority.Authority(self.folder, "Pair Root")
        root.issue("edge", authority.server(f"DNS:edge.out.example,IP:{EDGE}"))
        root.issue("core", authority.server("DNS:core.in.example"))

    def dropped(self):
        """Packets that the firewall kept from the inside."""
        said = self.firewall.run("nft", "list", "counter", "ip", "guard", "inward").stdout
        return int(re.search(r"packets (\d+)", said)[1])


def build_firewall(world, outside, inside):
    world.firewall = outside.host("fw", "10.80.0.1/24")
    space = world.firewall.namespace
    for words in (("link", "add", "inside", "type", "veth", "peer", "name", "pfw", "netns",
                   inside.switch),
                  ("address", "add", "10.81.0.1/24", "dev", "inside"),
                  ("link", "set", "inside", "up")):
        subprocess.run(["ip", "-n", space, *words], check=True, capture_output=True)
    subprocess.run(["ip", "-n", inside.switch, "link", "set", "pfw", "master", "br0", "up"],
                   check=True, capture_output=True)
    world.firewall.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    world.firewall.run("nft", "-f", "-", input=FIREWALL)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World()
    w.folder = tmp_path_factory.mktemp("pair")
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "test", "-t", "ed25519", "-f",
                    w.folder / "key"], check=True)
    key = (w.folder / "key.pub").read_text().strip()
    w.certificates()
    with netns.Network() as outside, netns.Network() as inside:
        build_firewall(w, outside, inside)
        w.edge = Side(w, "edge", outside, EDGE, "10.80.0")
        w.core = Side(w, "core", inside, CORE, "10.81.0")
        try:
            w.edge.start(COMMON.format(name="edge", address=EDGE, gateway="10.80.0.1", key=key,
                                       domain=OUT, other=IN, user="alice") + EDGE_ONLY)
            w.core.start(COMMON.format(name="core", address=CORE, gateway="10.81.0.1", key=key,
                                       domain=IN, other=OUT, user="bob") + CORE_ONLY)
            for side in (w.edge, w.core):
                side.wait_started()
                side.bring("trust.pem", "root.pem")
                side.bring("server.pem", f"{side.name}.pem", f"{side.name}.key")
            yield w
        finally:
            for side in (w.edge, w.core):
                if hasattr(side, "machine"):
                    side.machine.stop()


def up(side):
    return re.search(r"Zones Zone 1: Pair .*state=up", side.ask("xStatus Zones"))


def wait_zone(world):
    netns.wait_for(lambda: up(world.edge) and up(world.core), qemu.patience(30),
                   "the traversal zone", interval=0.5)


@pytest.fixture(scope="module")
def phones(world):
    with phone.Phone(world.folder, world.edge.user_host, "alice", OUT, "p-Secret-1", server=EDGE,
                     answer="auto") as alice, \
         phone.Phone(world.folder, world.core.user_host, "bob", IN, "p-Secret-1", server=CORE,
                     transport="tcp", answer="auto") as bob:
        alice.wait_registered()
        bob.wait_registered()
        wait_zone(world)
        yield alice, bob


@pytest.fixture(scope="module")
def carols(world):
    """Two phones of one account outside, which are answered by hand."""
    phones = [phone.Phone(world.folder / f"carol{n}", world.edge.network.host(f"carol{n}",
                                                                              f"10.80.0.{n}/24"),
                          "carol", OUT, "p-Secret-1", server=EDGE) for n in (21, 22)]
    with phones[0], phones[1]:
        for one in phones:
            one.wait_registered()
        yield phones


def test_the_core_opens_the_zone_through_the_firewall(world):
    wait_zone(world)
    said = world.edge.ask("xStatus Zones")
    # What the Edge sees is the firewall's address: the Core is behind its NAT.
    assert "uc-traversal-server" in said and "10.80.0.1:" in said
    assert f"address={EDGE}:{TRAVERSAL}" in world.core.ask("xStatus Zones")
    # Nothing gets in by itself.
    before = world.dropped()
    probe = f"import socket; socket.create_connection(('{CORE}', 5060), 2)"
    world.edge.tools.run("ip", "route", "add", "10.81.0.0/24", "via", "10.80.0.1")
    assert world.edge.tools.run("python3", "-c", probe, check=False).returncode != 0
    assert world.dropped() > before


def call(caller, callee, uri, hangup):
    """A call that is answered, and ended by `hangup`."""
    marks = {one: one.mark() for one in (caller, callee)}
    caller.command("dial", uri)
    for one in (caller, callee):
        one.wait("Call established", since=marks[one])
    hangup.command("hangup")
    for one in (caller, callee):
        one.wait("audio: destroyed", since=marks[one])


@pytest.mark.parametrize("ended_by", ["caller", "callee"])
@pytest.mark.parametrize("direction", ["inward", "outward"])
def test_calls_in_both_directions(world, phones, direction, ended_by):
    alice, bob = phones
    caller, callee, uri = ((alice, bob, f"sip:bob@{IN}") if direction == "inward"
                           else (bob, alice, f"sip:alice@{OUT}"))
    call(caller, callee, uri, caller if ended_by == "caller" else callee)
    for side in (world.edge, world.core):
        netns.wait_for(lambda s=side: "SIP Call" not in s.ask("xStatus SIP Call"),
                       qemu.patience(10), "the end of the call in the list", interval=0.3)


def stream(side):
    """What an appliance says of its one stream, if both directions pass by the fast path."""
    said = side.ask("xStatus SIP Media Stream")
    return said if said.count("flow=yes") == 2 and re.search(
        r"packets=\d{3,} .* packets=\d{3,}", said, re.S) else None


@pytest.mark.parametrize("direction", ["inward", "outward"])
def test_audio_crosses_the_firewall_on_one_port(world, phones, direction):
    alice, bob = phones
    caller, callee, uri = ((alice, bob, f"sip:bob@{IN}") if direction == "inward"
                           else (bob, alice, f"sip:alice@{OUT}"))
    before = world.dropped()
    marks = {one: one.mark() for one in phones}
    caller.command("dial", uri)
    for one in phones:
        one.wait("Call established", since=marks[one])
    said = {}
    for side in (world.edge, world.core):
        netns.wait_for(lambda s=side: said.update({s.name: stream(s)}) or said[s.name],
                       qemu.patience(20), f"audio at the {side.name}", interval=0.5)
        # The way between them is a channel of the one port; each phone has a port of its own.
        assert len(re.findall(r"port=2776 channel=\d+ keys=srtp", said[side.name])) == 1, said
        assert len(re.findall(r"refused=0", said[side.name])) == 2, said
    # The Edge knows the firewall's address only, and nothing was sent inwards that was not asked.
    assert "10.80.0.1:" in said["edge"] and world.dropped() == before, said
    callee.command("hangup")
    for one in phones:
        counted = one.wait(r"packets:\s+(\d+)\s+(\d+)", since=marks[one])
        assert min(int(counted[1]), int(counted[2])) > 80, counted


def wait_nothing_left(world):
    idle = r"Relay: mode=On calls=0 .* ports=0 .*multiplexed=0"
    for side in (world.edge, world.core):
        netns.wait_for(lambda s=side: re.search(idle, s.ask("xStatus SIP Media")),
                       qemu.patience(15), f"no media left at the {side.name}", interval=0.3)
        netns.wait_for(lambda s=side: "SIP Call" not in s.ask("xStatus SIP Call"),
                       qemu.patience(15), f"no call left at the {side.name}", interval=0.3)


def packets_of(side):
    """Of the one stream, each way."""
    return [int(n) for n in re.findall(r" packets=(\d+)", side.ask("xStatus SIP Media Stream"))]


def wait_audio(world, more):
    """So many packets more each way, at both appliances."""
    for side in (world.edge, world.core):
        before = packets_of(side)
        assert len(before) == 2, before
        netns.wait_for(lambda s=side, b=before: [n for n, was in zip(packets_of(s), b)
                                                 if n >= was + more][1:],
                       qemu.patience(20), f"audio at the {side.name}", interval=0.4)


def establish(caller, callee, uri):
    marks = {one: one.mark() for one in (caller, callee)}
    caller.command("dial", uri)
    for one, mark in marks.items():
        one.wait("Call established", since=mark)
    return marks


@pytest.mark.parametrize("direction", ["inward", "outward"])
def test_encrypted_outside_and_plain_inside(world, phones, direction):
    bob = phones[1]
    mode = "xConfiguration Zones LocalZone DefaultSubZone SIP Media EncryptionMode"
    world.edge.ask(f"{mode}: ForceEncrypted")
    number = 27 if direction == "inward" else 28
    host = world.edge.network.host(f"eve{number}", f"10.80.0.{number}/24")
    try:
        with phone.Phone(world.folder / direction, host, "eve", OUT, "p-Secret-1", server=EDGE,
                         encryption="srtp-mand", answer="auto") as eve:
            eve.wait_registered()
            if direction == "inward":
                marks = establish(eve, bob, f"sip:bob@{IN}")
            else:
                marks = establish(bob, eve, f"sip:eve@{OUT}")
            wait_audio(world, 50)
            eve.wait(r"m=audio \d+ RTP/SAVP[\s\S]*?a=crypto:", since=marks[eve])
            bob.wait(r"m=audio \d+ RTP/AVP ", since=marks[bob])
            assert "a=crypto:" not in bob.log_text()[marks[bob]:]
            bob.command("hangup")
            wait_nothing_left(world)
    finally:
        world.edge.ask(f"{mode}: ForceUnencrypted")


@pytest.mark.parametrize("holder", ["outside", "inside"])
def test_hold_and_resume_cross_the_pair(world, phones, holder):
    holding, held = phones if holder == "outside" else phones[::-1]
    establish(phones[0], phones[1], f"sip:bob@{IN}")
    wait_audio(world, 50)
    for command, direction in (("hold", "sendonly|inactive"), ("resume", "sendrecv")):
        mark = held.mark()
        holding.command(command)
        said = held.wait(rf"INVITE sip:[\s\S]*?a=({direction})[\s\S]*?200 OK", since=mark)
        assert "x-gatehouse" not in said[0]  # the line of the shared port is the pair's own
    wait_audio(world, 50)
    holding.command("hangup")
    wait_nothing_left(world)


def test_a_fork_is_answered_by_one_and_the_other_is_cancelled(world, phones, carols):
    _, bob = phones
    marks = {one: one.mark() for one in (bob, *carols)}
    bob.command("dial", f"sip:carol@{OUT}")
    for one in carols:
        one.wait("Incoming call", since=marks[one])
    carols[1].command("accept")
    for one in (bob, carols[1]):
        one.wait("Call established", since=marks[one])
    carols[0].wait("CANCEL sip:", since=marks[carols[0]])
    wait_audio(world, 50)  # whose answer it was gets the media
    bob.command("hangup")
    wait_nothing_left(world)


def test_a_call_that_is_cancelled_leaves_nothing(world, phones, carols):
    _, bob = phones
    marks = {one: one.mark() for one in (bob, *carols)}
    bob.command("dial", f"sip:carol@{OUT}")
    for one in carols:
        one.wait("Incoming call", since=marks[one])
    bob.command("hangup")
    for one in carols:
        one.wait("CANCEL sip:", since=marks[one])
    wait_nothing_left(world)


def test_a_transfer_crosses_the_pair(world, phones, carols):
    alice, bob = phones
    establish(bob, alice, f"sip:alice@{OUT}")
    wait_audio(world, 50)
    marks = {one: one.mark() for one in (alice, bob, carols[0])}
    alice.command("transfer", f"sip:carol@{OUT}")
    bob.wait("REFER sip:", since=marks[bob])
    carols[0].wait("Incoming call", since=marks[carols[0]])
    carols[0].command("accept")
    carols[0].wait("Call established", since=marks[carols[0]])
    alice.wait("BYE sip:", since=marks[alice])
    netns.wait_for(lambda: len(packets_of(world.edge)) == 2, qemu.patience(15),
                   "the first call's media gone", interval=0.3)
    wait_audio(world, 50)
    carols[0].command("hangup")
    wait_nothing_left(world)


@pytest.fixture(scope="module")
def desks(world, phones):
    """Phones that can transfer after a consultation: two outside, two inside."""
    tone = phones[0].folder / "tone.wav"

    def desk(side, user, number, domain):
        host = side.network.host(user, f"{side.address.rsplit('.', 1)[0]}.{number}/24")
        return linphone.Phone(world.folder, host, user, domain, "p-Secret-1", side.address, tone)
    with desk(world.edge, "fay", 24, OUT) as fay, desk(world.edge, "gil", 25, OUT) as gil, \
         desk(world.core, "hal", 24, IN) as hal, desk(world.core, "ida", 25, IN) as ida:
        yield fay, gil, hal, ida


def one_call(side, pattern):
    said = side.ask("xStatus SIP Call")
    return said.count("SIP Call ") == 1 and re.search(pattern, said)


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_a_consulted_transfer_crosses_the_pair(world, desks, where):
    """Who is outside calls inside, asks a third one and makes them one call: the dialog that
    Replaces names is one of the Edge alone, or one that both know."""
    fay, gil, hal, ida = desks
    third, domain = (gil, OUT) if where == "outside" else (ida, IN)
    marks = {one: one.mark() for one in desks}
    first = fay.call(f"sip:hal@{IN}")
    hal.wait("LinphoneCallStreamsRunning", since=marks[hal])
    wait_audio(world, 20)
    fay.say("pause")
    fay.wait("LinphoneCallPaused", since=marks[fay])
    second = fay.call(f"sip:{third.user}@{domain}")
    third.wait("LinphoneCallStreamsRunning", since=marks[third])
    mark = third.mark()
    fay.say(f"transfer {first} --to-call {second}")
    third.wait(r"\nReplaces: ", since=mark)
    # The transferred call is one between the two that are left.
    netns.wait_for(lambda: one_call(world.core, rf"SIP Call \d+: sip:hal@\S+ -> sip:{third.user}@"),
                   qemu.patience(30), "one call at the Core", interval=0.3)
    netns.wait_for(lambda: (one_call(world.edge, "sip:hal@") if where == "outside" else
                            "SIP Call " not in world.edge.ask("xStatus SIP Call")),
                   qemu.patience(20), "the same at the Edge", interval=0.3)
    before = packets_of(world.core)
    assert len(before) == 2, before
    netns.wait_for(lambda: [n for n, was in zip(packets_of(world.core), before)
                            if n >= was + 50][1:], qemu.patience(20), "sound", interval=0.4)
    mark = hal.mark()
    third.say("terminate")
    hal.wait("LinphoneCallEnd", since=mark)
    wait_nothing_left(world)


def test_service_route_leads_a_phone_outside_to_its_registrar(world, phones):
    """RFC 3608 by a phone that goes by it: no search and no question at the Edge."""
    host = world.edge.network.host("tom", "10.80.0.26/24")
    default_zone = "Zones DefaultZone Authentication Mode"
    world.core.ask("xConfiguration SIP Registration ServiceRoute: On")
    world.edge.ask(f"xConfiguration {default_zone}: DoNotCheckCredentials")
    try:
        with twinkle.Phone(world.folder, host, "dan", IN, "p-Secret-1", EDGE,
                           publishes=False) as dan:
            world.edge.ask(f"xConfiguration {default_zone}: CheckCredentials")
            mark = phones[1].mark()
            searches = world.edge.ask("xStatus SIP Search").count("dan@")
            dan.say("message bob servus")
            dan.wait(twinkle.answer(200, "MESSAGE"))
            phones[1].wait("servus", since=mark)
            routes = dan.wait(r"\nMESSAGE sip:bob@in.example SIP/2.0\n[\s\S]*?\nRoute: (\S+)")[1]
            assert re.search(rf"<sip:p[0-9a-f]+@{re.escape(EDGE)}[^,]*>,<sip:{re.escape(CORE)}",
                             routes), routes
            assert world.edge.ask("xStatus SIP Search").count("dan@") == searches
            world.edge.ask(f"xConfiguration {default_zone}: DoNotCheckCredentials")
            dan.leave()
    finally:
        world.core.ask("xConfiguration SIP Registration ServiceRoute: Off")
        world.edge.ask(f"xConfiguration {default_zone}: CheckCredentials")


def known_ways(side):
    return int(re.search(r"known_ways=(\d+)", side.ask("xStatus SIP Statistics"))[1])


def test_a_phone_outside_registers_at_the_core_and_is_called(world, phones):
    """By the Edge, which knows neither it nor its password; it keeps its flow (RFC 5626), has a
    GRUU from the Core and is told the way back (RFC 3608). What follows its registration, at the
    latest its leave, takes the way that is known (FastPath)."""
    host = world.edge.network.host("dan", "10.80.0.23/24")
    world.core.ask("xConfiguration SIP Registration ServiceRoute: On")
    for line in ("SIP Registration FastPath: On",
                 "Zones DefaultZone Authentication Mode: DoNotCheckCredentials"):
        world.edge.ask(f"xConfiguration {line}")
    try:
        with phone.Phone(world.folder, host, "dan", IN, "p-Secret-1", server=EDGE, answer="auto",
                         keeps_flow=True) as dan:
            dan.wait_registered(qemu.patience(30))
            said = dan.log_text()
            routes = re.findall(r"^Service-Route: <sip:([^>]+)>", said, re.M)
            assert EDGE in routes[0] and CORE in routes[1], said[-4000:]
            assert re.search(r"pub-gruu=\"sip:dan@in\.example;gr=urn:uuid:", said)
            assert "dan@in.example: " in world.core.ask("xStatus SIP Registration")
            bob = phones[1]
            marks = bob.mark(), dan.mark()
            bob.command("dial", f"sip:dan@{IN}")
            bob.wait("Call established", since=marks[0])
            dan.wait("Call established", since=marks[1])
            bob.command("hangup")
            dan.wait("session closed|terminated", since=marks[1])
            before = known_ways(world.edge)
        netns.wait_for(lambda: f"dan@{IN}" not in world.core.ask("xStatus SIP Registration"),
                       qemu.patience(15), "its leave", interval=0.3)
        assert known_ways(world.edge) > before
    finally:
        world.core.ask("xConfiguration SIP Registration ServiceRoute: Off")
        for line in ("SIP Registration FastPath: Off",
                     "Zones DefaultZone Authentication Mode: CheckCredentials"):
            world.edge.ask(f"xConfiguration {line}")
    wait_nothing_left(world)


def test_locate_and_the_history_explain(world, phones):
    assert phones
    said = world.edge.ask(f"xCommand Locate: bob@{IN}")
    assert "rule 2 other side: bob@in.example in zone Pair" in said
    assert "the zone is reachable" in said
    said = world.core.ask(f"xCommand Locate: 9bob@{IN} Pair")
    assert "transform 9: bob@in.example" in said and "registered: sip:bob" in said
    assert "no search rule matches" in world.edge.ask("xCommand Locate: x@elsewhere.example")
    history = world.edge.ask("xStatus SIP Search")
    assert f"alias bob@{IN} from zone LocalZone, authenticated" in history
    assert f"alias alice@{OUT} from zone Pair" in history


def test_wrong_patterns_are_refused_when_typed(world):
    said = world.edge.ask('xConfiguration Transform 3 Pattern Type: Regex') + \
        world.edge.ask('xConfiguration Transform 3 Pattern String: "(a"')
    assert "Transform 3" in said and "'('" in said
    assert "UCTraversal" in world.edge.ask("xConfiguration Zones Zone 2 Type: UCTraversal")


def test_policy_and_registration_lists_hold(world, phones):
    alice, bob = phones
    for line in ("CallPolicy Rule 1 Source: .*@out\\.example", "CallPolicy Rule 1 State: On",
                 "CallPolicy Mode: On"):
        world.core.ask(f'xConfiguration {line}')
    mark = alice.mark()
    alice.command("dial", f"sip:bob@{IN}")
    alice.wait("403", since=mark)
    world.core.ask("xConfiguration CallPolicy Mode: Off")
    call(alice, bob, f"sip:bob@{IN}", alice)
    policy = "xConfiguration Registration RestrictionPolicy"
    world.core.ask(f"{policy} Rule 1 Pattern String: dan@{IN}")
    host = world.core.network.host("desk", "10.81.0.29/24")
    try:
        for mode, taken, refused in (("AllowList", "dan", "ned"), ("DenyList", "ned", "dan")):
            world.core.ask(f"{policy} Mode: {mode}")
            for user, answer in ((taken, "200 OK"), (refused, "403 Forbidden")):
                with phone.Phone(world.folder / mode, host, user, IN, "p-Secret-1",
                                 server=CORE) as one:
                    said = one.wait(r"(200 OK|403 Forbidden) \(")[1]
                    assert said == answer, f"{mode} {user}: {one.log_text()[-2000:]}"
    finally:
        world.core.ask(f"{policy} Mode: None")


def test_the_edge_lets_the_core_ask_for_credentials(world, phones):
    """The Edge asks strangers for its own users' passwords, and those of a delegated domain not:
    the Core asks them, through the zone, for registrations and calls."""
    bob = phones[1]
    world.edge.ask(f"xConfiguration SIP Delegation 1 Domain: {IN}")
    world.edge.ask("xConfiguration SIP Delegation 1 Zone: Pair")
    world.core.ask("xConfiguration Zones Zone 1 Authentication Mode: CheckCredentials")
    host = world.edge.network.host("far", "10.80.0.30/24")
    try:
        with phone.Phone(world.folder / "good", host, "dan", IN, "p-Secret-1", server=EDGE) as dan:
            dan.wait_registered(qemu.patience(30))
            marks = dan.mark(), bob.mark()
            dan.command("dial", f"sip:bob@{IN}")
            for one, mark in zip((dan, bob), marks):
                one.wait("Call established", since=mark)
            said = dan.log_text()
            assert re.search("407 Proxy Authentication Required", said[marks[0]:])
            assert set(re.findall(r'realm="([^"]+)"', said)) == {IN}, said[-4000:]
            dan.command("hangup")
            wait_nothing_left(world)
        with phone.Phone(world.folder / "bad", host, "dan", IN, "p-Secret-2", server=EDGE) as dan:
            dan.wait(r"401 Unauthorized \(")
            mark = dan.mark()
            dan.command("dial", f"sip:bob@{IN}")
            dan.wait("session closed|407 Proxy", since=mark)
            assert "200 OK (" not in dan.log_text() and "Call established" not in dan.log_text()
    finally:
        world.edge.ask('xConfiguration SIP Delegation 1 Domain: ""')
        world.core.ask("xConfiguration Zones Zone 1 Authentication Mode: DoNotCheckCredentials")
    wait_nothing_left(world)


def test_the_zone_comes_back_when_the_core_restarts(world, phones):
    alice = phones[0]
    world.core.ask("xConfiguration Zones Zone 1 HopCount: 20")  # in force without a new stream
    assert up(world.core)
    # In the middle of a call: who is left can hang up, and nothing of it stays.
    establish(alice, phones[1], f"sip:bob@{IN}")
    wait_audio(world, 20)
    world.core.machine.stop()
    alice.command("hangup")
    netns.wait_for(lambda: re.search(r"Relay: mode=On calls=0 .* multiplexed=0",
                                     world.edge.ask("xStatus SIP Media")),
                   qemu.patience(60), "no media left at the Edge", interval=0.5)
    world.core.start()
    world.core.wait_started()
    netns.wait_for(lambda: up(world.core), qemu.patience(30), "the zone again", interval=0.5)
    # The old stream ended without a word: the Edge has not noticed yet, and takes the new one.
    mark = alice.mark()
    alice.command("dial", f"sip:bob@{IN}")
    alice.wait("480|404", since=mark)  # by the Core, which knows no contact of bob's now
    assert f"alias bob@{IN} from zone Pair" in world.core.ask("xStatus SIP Search")
