"""An Edge with a side inside and a side in a DMZ, whose router shows it by another address (static
NAT), and media there as an operator would measure it.

    alice --- LAN1 [edge] LAN2 --- router (nftables: 198.51.100.9 is the Edge) --- bob

Stock phones (baresip) on either side, by IPv4 and IPv6. The router counts marks (DSCP) and loses
packets where a test wants it; phones of every kind meet every mode of encryption. All of it on the
booted image with two network ports; addresses, both families and marks on the Linux process too.
"""

import re

import pytest

import host as host_board
import netns
import operator_console
import phone
import qemu

DOMAIN = "example.org"
INSIDE, DMZ, SHOWN = "10.77.0.2", "10.78.0.2", "198.51.100.9"
INSIDE6, DMZ6, SHOWN6 = "fd77::2", "fd78::2", "2001:db8:9::9"
TURN, GINA = "198.51.100.20", "198.51.100.15"
# Who, where, its encryption in baresip's words.
USERS = {"alice": ("10.77.0.11/24", INSIDE, None),
         "carol": ("fd77::11/64", INSIDE6, None),
         "bob": ("198.51.100.12/24", SHOWN, None),
         "dave": ("2001:db8:9::12/64", SHOWN6, None),
         "eve": ("198.51.100.13/24", SHOWN, "srtp"),
         "frank": ("198.51.100.14/24", SHOWN, "srtp-mand")}
PROVISION = "\n".join([
    "xConfiguration System Name: edge1",
    *(f"xConfiguration Network Port {port} {name}: {value}"
      for port, address, address6 in ((1, INSIDE, INSIDE6), (2, DMZ, DMZ6))
      for name, value in (("IPv4 Mode", "Static"), ("IPv4 Address", address),
                          ("IPv4 PrefixLength", 24), ("IPv6 Address", address6))),
    "xConfiguration Network IPv4 Gateway: 10.78.0.1",
    "xConfiguration Network IPv6 Gateway: fd78::1",
    f"xConfiguration Network Port 2 StaticNat IPv4 Address: {SHOWN}",
    f"xConfiguration Network Port 2 StaticNat IPv6 Address: {SHOWN6}",
    f"xConfiguration SIP Domain 1 Name: {DOMAIN}",
    *(f"xConfiguration Authentication User {n} {name}: {value}"
      for n, user in enumerate([*USERS, "gina"], 1)
      for name, value in (("Name", user), ("Password", f"{user}-Secret-1"))),
    *(f"xConfiguration Zones LocalZone {line}" for line in (
        "SubZones SubZone 1 Name: Ice", "SubZones SubZone 1 SIP Media ICE Support: On",
        "MembershipRule 1 SubZoneName: Ice", f"MembershipRule 1 Subnet: {GINA}/32")),
    "xConfiguration Administrator 1 Name: admin",
    "xConfiguration Administrator 1 Password: Gate-house-42",
    ""])
ROUTER = f"""\
table ip nat {{
  chain in {{
    type nat hook prerouting priority -100;
    iifname "wan" ip daddr {SHOWN} dnat to {DMZ}
  }}
  chain out {{ type nat hook postrouting priority 100; oifname "wan" snat to {SHOWN}; }}
}}
table ip6 nat {{
  chain in {{
    type nat hook prerouting priority -100;
    iifname "wan" ip6 daddr {SHOWN6} dnat to {DMZ6}
  }}
  chain out {{ type nat hook postrouting priority 100; oifname "wan" snat to {SHOWN6}; }}
}}
table inet watch {{
  counter voice {{ }}
  counter bulk {{ }}
  counter every {{ }}
  chain lossy {{ }}
  chain forward {{
    type filter hook forward priority 0;
    iifname "eth0" udp sport 36002-59999 ip dscp ef counter name voice
    iifname "eth0" udp sport 36002-59999 ip6 dscp ef counter name voice
    iifname "eth0" udp sport 36002-59999 ip dscp af11 counter name bulk
    iifname "eth0" udp sport 36002-59999 counter name every
    iifname "wan" jump lossy
  }}
}}
"""


class World:
    """The appliance, its router and the phones."""

    def ask(self, line):
        return self.edge.ask(line)

    def streams(self):
        said = self.ask("xStatus SIP Media Stream")
        return [line for line in said.splitlines() if "caller=" in line]

    def counted(self, name):
        said = self.router.run("nft", "list", "counter", "inet", "watch", name).stdout
        return int(re.search(r"packets (\d+)", said)[1])

    def marked(self):
        """How many packets of media went out to the router, and how many of them as voice."""
        return self.counted("every"), self.counted("voice")

    def call(self, caller, callee, packets=100):
        """Until the appliance has so many packets each way: what it says of the two ends, and each
        phone's counts."""
        marks = {one: one.mark() for one in (caller, callee)}
        caller.command("dial", f"sip:{callee.user}@{DOMAIN}")
        for one, mark in marks.items():
            one.wait("Call established", since=mark)
        shown = netns.wait_for(lambda: self.enough(packets), qemu.patience(20),
                               lambda: f"audio both ways: {self.streams()}", interval=0.3)
        self.hang_up(callee, marks)
        counts = [one.wait(r"packets:\s+(\d+)\s+(\d+)", since=mark)
                  for one, mark in marks.items()]
        return shown, [tuple(map(int, found.groups())) for found in counts]

    def hang_up(self, one, marks):
        one.command("hangup")
        for phone_, mark in marks.items():
            phone_.wait("session closed|Call with .* terminated|audio: destroyed", since=mark)
        netns.wait_for(lambda: not self.streams(), qemu.patience(10), "the end of media",
                       interval=0.2)

    def enough(self, packets):
        lines = self.streams()
        if len(lines) != 1:
            return None
        shown = ends(lines[0])
        return shown if all(int(end["packets"]) >= packets for end in shown) else None


def ends(line):
    """What a stream's line says of its two ends."""
    caller, callee = line.split(" callee=")
    return [dict(word.split("=", 1) for word in ("at=" + half).split() if "=" in word)
            for half in (caller.split(" caller=")[1], callee)]


def build_router(world, dmz, outside):
    world.router = dmz.host("router", "10.78.0.1/24", "fd78::1/64")
    outside.interface(world.router, "wan")
    for words in (("address", "add", f"{SHOWN}/24", "dev", "wan"),
                  ("address", "add", "2001:db8:9::1/64", "dev", "wan", "nodad"),
                  ("address", "add", f"{SHOWN6}/128", "dev", "wan", "nodad")):
        world.router.run("ip", *words)
    for name in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        world.router.run("sysctl", "-qw", f"net.{name}=1")
    world.router.run("nft", "-f", "-", input=ROUTER)


@pytest.fixture(scope="module", params=["image", "host"])
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with netns.Network() as inside, netns.Network() as dmz, netns.Network() as outside:
        w = World()
        w.outside = outside
        build_router(w, dmz, outside)
        w.edge = host_board.edge_of(request.param, folder / "edge", inside, PROVISION, second=dmz)
        phones = {}
        for user, (address, server, encryption) in USERS.items():
            at = (inside if server in (INSIDE, INSIDE6) else outside).host(user, address)
            if user == "dave":
                at.run("ip", "route", "add", "default", "via", "2001:db8:9::1")
            phones[user] = phone.Phone(folder, at, user, DOMAIN, f"{user}-Secret-1", server=server,
                                       answer="auto", encryption=encryption)
        with w.edge:
            w.edge.expect(r"SIP ready", timeout=90)
            try:
                for user, one in phones.items():
                    setattr(w, user, one.__enter__())
                for one in phones.values():
                    one.wait_registered()
                operator_console.log_in_late(w.edge)
                yield w
            finally:
                for one in phones.values():
                    if hasattr(one, "pipe"):
                        one.__exit__()


ON_IMAGE = pytest.mark.parametrize("world", ["image"], indirect=True)  # the process adds nothing


def check_audio(shown, counts):
    for end in shown:
        assert end["latched"] == end["flow"] == "yes" and end["refused"] == "0", shown
    for sent, received in counts:
        assert sent > 50 and received > 50, counts


@pytest.mark.parametrize("direction", ["inward", "outward"])
def test_peers_are_told_the_address_of_the_static_nat(world, direction):
    caller, callee = (world.bob, world.alice)[::1 if direction == "inward" else -1]
    shown, counts = world.call(caller, callee)
    check_audio(shown, counts)
    said = world.bob.log_text()
    assert f"c=IN IP4 {SHOWN}" in said
    assert re.search(rf"Record-Route: <sip:[^>]*{re.escape(SHOWN)}[:;>]", said)
    assert DMZ not in said  # in no header and no description
    said = world.alice.log_text()
    assert f"c=IN IP4 {INSIDE}" in said and f"c=IN IP4 {SHOWN}" not in said


@pytest.mark.parametrize("pair", ["carol dave", "dave alice", "bob carol"])
def test_calls_by_ipv6_and_between_the_families(world, pair):
    caller, callee = (getattr(world, name) for name in pair.split())
    before = world.marked()
    shown, counts = world.call(caller, callee)
    check_audio(shown, counts)
    every, marked = (now - was for now, was in zip(world.marked(), before))
    assert marked == every >= 80, (marked, every)
    for end, one in zip(shown, (caller, callee)):
        assert end["at"].rsplit(":", 1)[0].strip("[]") == one.host.address, shown
    said = world.dave.log_text()  # who is shown the IPv6 address of the static NAT, and no other
    assert f"c=IN IP6 {SHOWN6}" in said and f"IP6 {DMZ6}" not in said


def test_what_is_relayed_is_marked(world):
    assert "DSCP: 46" in world.ask("xConfiguration SIP Media DSCP")
    before = world.marked()
    world.call(world.alice, world.bob)
    every, marked = (now - was for now, was in zip(world.marked(), before))
    # What the control plane sends itself, until there are flows and then and when, is, too.
    assert marked == every >= 80, (marked, every)
    world.ask("xConfiguration SIP Media DSCP: 10")
    try:
        world.call(world.alice, world.bob)
        assert world.counted("bulk") >= 80
    finally:
        world.ask("xConfiguration SIP Media DSCP: 46")


@ON_IMAGE
def test_loss_is_counted_where_it_is_and_told_at_the_end(world):
    world.router.run("nft", "add", "rule", "inet", "watch", "lossy", "udp", "dport", "36002-59999",
                     "numgen", "inc", "mod", "10", "==", "0", "drop")
    try:
        (caller, callee), _ = world.call(world.alice, world.bob, 250)
    finally:
        world.router.run("nft", "flush", "chain", "inet", "watch", "lossy")
    lost, every = int(callee["lost"]), int(callee["packets"])
    assert 0.05 < lost / (lost + every) < 0.15, callee
    assert int(caller["lost"]) * 4 < lost, (caller, callee)
    assert int(callee["quality"]) < int(caller["quality"]) - 40, (caller, callee)
    assert 0 <= int(caller["jitter_us"]) < 1_000_000
    said = world.ask("xCommand Log Show: text=quality last=1")
    found = re.findall(r"media of \S+ (\d+) packets out, (\d+) back, (\d+) of\s+1000 lost, "
                       r"quality (\d+) of 500, the call ended", said)
    assert found, said
    out, back, permille, quality = map(int, found[-1])
    assert out >= 250 and back >= 250 and 20 < permille < 90 and 100 < quality < 430, found


# A router that nobody may pass who was not asked: for media, and for the phone's as well.
TURN_PROVISION = "\n".join([
    "xConfiguration System Name: turn1",
    "xConfiguration Network Port 1 IPv4 Mode: Static",
    f"xConfiguration Network Port 1 IPv4 Address: {TURN}",
    "xConfiguration Network Port 1 IPv4 PrefixLength: 24",
    f"xConfiguration SIP Domain 1 Name: {DOMAIN}",
    "xConfiguration Authentication User 1 Name: edge1",
    "xConfiguration Authentication User 1 Password: Relay-Secret-1",
    "xConfiguration Traversal Server TURN Mode: On",
    "xConfiguration Traversal Server TURN Allow 1 Prefix: 198.51.100.0/24",
    "xConfiguration Administrator 1 Name: admin",
    "xConfiguration Administrator 1 Password: Gate-house-42",
    ""])
CLOSED_ROUTER = f"""\
insert rule ip nat in iifname "wan" ip daddr {SHOWN} udp dport 36002-59999 return
add rule inet watch lossy udp dport 36002-59999 ct state new drop
add chain inet watch input {{ type filter hook input priority 0; }}
add rule inet watch input iifname "wan" udp dport 36002-59999 drop
"""
OPEN_ROUTER = f"""\
flush chain ip nat in
add rule ip nat in iifname "wan" ip daddr {SHOWN} dnat to {DMZ}
"""
CLOSED_PHONE = """\
add table ip own
add chain ip own input { type filter hook input priority 0; }
add rule ip own input udp dport 10000-10100 ct state new drop
"""


@pytest.fixture
def closed(world, tmp_path):
    """No static NAT any more, and a TURN server beyond the router. Signalling of gina, who speaks
    ICE, is let through, media is not."""
    at = world.outside.host("gina", f"{GINA}/24")
    at.run("ip", "route", "add", f"{DMZ}/32", "via", SHOWN)
    at.run("nft", "-f", "-", input=CLOSED_PHONE)
    world.router.run("nft", "-f", "-", input=CLOSED_ROUTER)
    turn = host_board.HostMachine(tmp_path / "turn", netns.INTERFACE,
                                  world.outside.host("turn").namespace, provision=TURN_PROVISION)
    gina = phone.Phone(tmp_path, at, "gina", DOMAIN, "gina-Secret-1", server=DMZ, answer="auto",
                       speaks_ice=True)
    try:
        with turn:
            turn.expect(r"SIP ready", timeout=90)
            for line in ("xConfiguration Network Port 2 StaticNat IPv4 Address: \"\"",
                         "xConfiguration SIP Media TURN UserName: edge1",
                         "xConfiguration SIP Media TURN Password: Relay-Secret-1",
                         f"xConfiguration SIP Media TURN Address: {TURN}"):
                world.ask(line)
            netns.wait_for(lambda: "turn_allocations=4" in world.ask("xStatus SIP Media Relay"),
                           qemu.patience(60), "allocations", interval=0.5)
            with gina:
                gina.wait_registered()
                yield gina
    finally:
        world.ask("xConfiguration SIP Media TURN Address: \"\"")
        world.ask(f"xConfiguration Network Port 2 StaticNat IPv4 Address: {SHOWN}")
        world.router.run("nft", "flush", "chain", "inet", "watch", "lossy")
        world.router.run("nft", "flush", "chain", "inet", "watch", "input")
        world.router.run("nft", "-f", "-", input=OPEN_ROUTER)


@ON_IMAGE
def test_behind_a_nat_that_nobody_set_peers_are_told_what_the_turn_server_sees(world, closed):
    for pair in ((closed, world.alice), (world.alice, closed)):
        marks = {one: one.mark() for one in pair}
        pair[0].command("dial", f"sip:{pair[1].user}@{DOMAIN}")
        for one, mark in marks.items():
            one.wait("Call established", since=mark)
        netns.wait_for(lambda: world.enough(50), qemu.patience(30), "audio both ways", interval=0.3)
        said = world.streams()[0]
        assert "ice=straight" in said and f"={GINA}:" in said, said
        heard = closed.log_text()[marks[closed]:]
        assert re.search(r"a=candidate:1 1 UDP \d+ 10\.78\.0\.2 (\d+) typ host\s+"
                         r"a=candidate:3 1 UDP 1694498815 198\.51\.100\.9 \1 typ srflx raddr "
                         r"10\.78\.0\.2 rport \1\s+"
                         r"a=candidate:2 1 UDP \d+ 198\.51\.100\.20 \d+ typ relay", heard), heard
        world.hang_up(world.alice, marks)


# What becomes of a phone outside: by its own encryption, and by the mode of its side; alice is
# inside, where nothing is encrypted. "plain", "srtp", or the refusal.
KINDS = ("bob", "eve", "frank")  # never, when it may be, always
OUTCOMES = {
    "ForceEncrypted": {"calls": ("refused", "srtp", "srtp"),
                       "is called": ("refused", "srtp", "srtp")},
    "ForceUnencrypted": {"calls": ("plain", "plain", "refused"),
                         "is called": ("plain", "plain", "refused")},
    # Offered is RTP/AVP with keys, and one that wants RTP/SAVP alone says no.
    "BestEffort": {"calls": ("plain", "srtp", "srtp"), "is called": ("plain", "srtp", "refused")},
    "Auto": {"calls": ("plain", "srtp", "srtp"), "is called": ("plain", "plain", "refused")},
}


def outcome(world, caller, callee):
    """How a call between them ends up."""
    marks = {one: one.mark() for one in (caller, callee)}
    caller.command("dial", f"sip:{callee.user}@{DOMAIN}")

    def known():
        if (shown := world.enough(10)) is not None:
            return shown
        over = r"SIP/2\.0 (?!401|407)[456]\d\d "
        return "refused" if re.search(over, caller.log_text()[marks[caller]:]) else None
    came = netns.wait_for(known, qemu.patience(20), "an outcome", interval=0.2)
    if came == "refused":
        netns.wait_for(lambda: not world.streams(), qemu.patience(10), "no media", interval=0.2)
        return came
    world.hang_up(caller, marks)
    inside, outside = came if caller is world.alice else came[::-1]
    assert inside["keys"] == "as-agreed", came
    return {"as-agreed": "plain"}.get(outside["keys"], outside["keys"])


@pytest.fixture(scope="module")
def plain_inside(world):
    world.ask("xConfiguration SIP Media LAN1 Encryption: ForceUnencrypted")
    yield world
    for port in (1, 2):
        world.ask(f"xConfiguration SIP Media LAN{port} Encryption: Auto")


@ON_IMAGE
@pytest.mark.parametrize("mode", OUTCOMES)
@pytest.mark.parametrize("way", ["calls", "is called"])
def test_each_kind_of_phone_meets_each_mode(plain_inside, mode, way):
    world = plain_inside
    world.ask(f"xConfiguration SIP Media LAN2 Encryption: {mode}")
    found = []
    for name in KINDS:
        one = getattr(world, name)
        found.append(outcome(world, *((one, world.alice) if way == "calls"
                                      else (world.alice, one))))
    assert tuple(found) == OUTCOMES[mode][way]
