"""Calls as the operator handles them: list, ladder, history, ending one, bandwidth, maintenance,
session timers, encryption by subzone, phones that die, transfers after a consultation, presence.
Stock phones (baresip, linphone, twinkle) and SIPp at the Linux process and at the booted image.
"""

import re
import subprocess
from pathlib import Path

import pytest

import host as host_board
import linphone
import netns
import operator_console
import phone
import qemu
import twinkle

DOMAIN, EDGE = "example.org", "10.77.0.2"
PROVISION = "\n".join([
    "xConfiguration System Name: edge1",
    "xConfiguration Network Port 1 IPv4 Mode: Static",
    f"xConfiguration Network Port 1 IPv4 Address: {EDGE}",
    "xConfiguration Network Port 1 IPv4 PrefixLength: 24",
    f"xConfiguration SIP Domain 1 Name: {DOMAIN}",
    *(f"xConfiguration Authentication User {n} {name}: {value}"
      for n, user in enumerate(("alice", "bob", "carol", "frank", "gina", "hugo", "tina",
                               "theo"), 1)
      for name, value in (("Name", user), ("Password", f"{user}-Secret-1"))),
    "xConfiguration Zones DefaultZone Authentication Mode: TreatAsAuthenticated",
    "xConfiguration SIP Presence Mode: On",
    # Whoever is outside talks encrypted, the others do not.
    "xConfiguration Zones LocalZone SubZones SubZone 1 Name: Outside",
    "xConfiguration Zones LocalZone SubZones SubZone 1 SIP Media EncryptionMode: ForceEncrypted",
    "xConfiguration Zones LocalZone DefaultSubZone SIP Media EncryptionMode: ForceUnencrypted",
    "xConfiguration Zones LocalZone MembershipRule 1 SubZoneName: Outside",
    "xConfiguration Zones LocalZone MembershipRule 1 Subnet: 10.77.0.12/32",
    "xConfiguration Bandwidth Pipe 1 Name: uplink",
    "xConfiguration Bandwidth Pipe 1 Bandwidth Total Mode: Limited",
    "xConfiguration Bandwidth Pipe 1 Bandwidth Total Limit: 500",
    "xConfiguration Bandwidth Link 1 Name: out",
    "xConfiguration Bandwidth Link 1 Node1 Name: DefaultSubZone",
    "xConfiguration Bandwidth Link 1 Node2 Name: Outside",
    "xConfiguration Bandwidth Link 1 Pipe1 Name: uplink",
    "xConfiguration Administrator 1 Name: admin",
    "xConfiguration Administrator 1 Password: Gate-house-42",
    ""])
SCENARIOS = Path(__file__).parent / "sipp"


class World:
    """The appliance, a plain phone inside and an encrypted one outside."""

    def ask(self, line):
        return self.edge.ask(line)

    def call(self):
        """An answered call from alice to bob: its number."""
        marks = self.alice.mark(), self.bob.mark()
        self.alice.command("dial", f"sip:bob@{DOMAIN}")
        for one, mark in zip((self.alice, self.bob), marks):
            one.wait("Call established", since=mark)
        return int(re.search(r"SIP Call (\d+): ", self.ask("xStatus SIP Call"))[1])


@pytest.fixture(scope="module", params=["host", "image"])
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calls")
    with netns.Network() as network:
        w = World()
        w.folder = folder
        (folder / "pcap").symlink_to("/usr/share/sip-tester")  # where SIPp's own scenario looks
        w.edge = host_board.edge_of(request.param, folder / "edge", network, PROVISION)
        hosts = {"alice": network.host("alice", "10.77.0.11/24"),
                 "bob": network.host("bob", "10.77.0.12/24")}
        hosts["carol"] = network.host("carol", "10.77.0.14/24")
        w.sipp = network.host("sipp", "10.77.0.13/24")
        w.answerer = network.host("answerer", "10.77.0.15/24")
        w.desks = {user: network.host(user, f"10.77.0.{n}/24")
                   for n, user in enumerate(("frank", "gina", "hugo"), 19)}
        w.caller = network.host("caller", "10.77.0.16/24")

        def make(user, **options):
            return phone.Phone(folder, hosts[user], user, DOMAIN, f"{user}-Secret-1", server=EDGE,
                               **options)
        with w.edge:
            w.edge.expect(r"SIP ready", timeout=90)
            with make("alice") as w.alice, \
                 make("bob", encryption="srtp-mand", answer="auto") as w.bob, \
                 make("carol", keeps_flow=True) as w.carol:
                for one in (w.alice, w.bob, w.carol):
                    one.wait_registered()
                operator_console.log_in_late(w.edge)
                yield w


def test_a_call_is_encrypted_by_subzone_counted_and_ended_from_the_console(world):
    marks = world.alice.mark(), world.bob.mark()
    number = world.call()
    said = world.ask("xStatus SIP Call")
    # Both phones say nothing of bandwidth: the default counts.
    assert "kbps=384" in said and "caller=10.77.0.11:5060" in said
    assert re.search(r"Pipes Pipe 1: uplink calls=1 used_kbps=384 total_kbps=500",
                     world.ask("xStatus Pipes"))
    assert "node1=DefaultSubZone node2=Outside pipe=uplink" in world.ask("xStatus Links")
    netns.wait_for(lambda: re.search(r"caller=.*flow=yes.*callee=.*keys=srtp.*flow=yes",
                                     world.ask("xStatus SIP Media Stream"), re.S),
                   qemu.patience(10), "audio by flows, plain and encrypted", interval=0.3)
    phone.let_talk(world.alice, world.bob, packets=60)
    ladder = world.ask(f"xCommand Call Ladder: {number}")
    assert re.search(r"0\.000 s from 10\.77\.0\.11:5060 UDP \d+ INVITE", ladder), ladder
    assert re.search(r"to   10\.77\.0\.12:5060 (UDP|TCP) \d+ INVITE", ladder), ladder
    assert re.search(r"from 10\.77\.0\.12:5060 (UDP|TCP) 200 of \d+ INVITE", ladder), ladder
    assert "Call ended." in world.ask(f"xCommand Call Disconnect: {number}")
    for one, mark in zip((world.alice, world.bob), marks):
        one.wait("session closed|Call with .* terminated", since=mark)
        found = one.wait(r"packets:\s+(\d+)\s+(\d+)", since=mark)
        assert int(found[1]) > 20 and int(found[2]) > 20, found[0]
    assert "used_kbps=0" in world.ask("xStatus Pipes")
    assert "SIP Call" not in world.ask("xStatus SIP Call").replace("xStatus SIP Call", "")
    history = world.ask("xStatus CallHistory")
    assert re.search(rf"call={number} duration_ms=\d+ reason=disconnected", history), history
    assert "no call has that number" in world.ask(f"xCommand Call Disconnect: {number}")
    assert "BYE" in world.ask(f"xCommand Call Ladder: {number}")  # of calls that are over, too


def desk(world, user="frank", transport="udp"):
    tone = world.folder / "baresip-alice/tone.wav"
    count = len(list(world.folder.glob(f"{user}*")))
    return linphone.Phone(world.folder / f"{user}{count}", world.desks[user], user, DOMAIN,
                          f"{user}-Secret-1", EDGE, tone, transport)


def heard_both(world, callee="keys=srtp"):
    """What is said of the one stream, once fifty packets have come of each end."""
    def enough():
        found = re.findall(r"Media Stream \S+: .*", world.ask("xStatus SIP Media Stream"))
        counts = re.findall(r"flow=yes packets=(\d+)", found[0]) if len(found) == 1 else []
        return found[0] if len(counts) == 2 and min(map(int, counts)) > 50 else None
    said = netns.wait_for(enough, qemu.patience(30), "sound both ways", interval=0.3)
    assert callee in said.split("callee=")[1], said


def test_another_kind_of_phone_calls_and_is_called(world):
    with desk(world) as phone_:
        mark = world.bob.mark()
        phone_.say(f"call sip:bob@{DOMAIN}")
        world.bob.wait("Call established", since=mark)
        heard_both(world)
        phone_.say("terminate")
        world.bob.wait("session closed|Call with .* terminated", since=mark)
        marks = world.alice.mark(), phone_.mark()
        world.alice.command("dial", f"sip:frank@{DOMAIN}")
        phone_.wait("LinphoneCallStreamsRunning", since=marks[1])
        heard_both(world, "keys=as-agreed")
        world.alice.command("hangup")
        phone_.wait("LinphoneCallEnd", since=marks[1])


def test_a_stock_phone_proves_its_password_by_sha_256(world):
    world.ask("xConfiguration SIP Authentication Algorithms: SHA256")
    try:
        with desk(world, "gina") as gina:
            said = gina.log_text()
            assert re.search(r"\nAuthorization: *Digest .*algorithm=SHA-256", said), said[-4000:]
            assert "algorithm=MD5" not in said
    finally:
        world.ask("xConfiguration SIP Authentication Algorithms: MD5")


@pytest.mark.parametrize("transport, setting, why, told", [
    ("udp", "SIP Media PartyInactivity: {}", "media-lost", "sends nothing any more"),
    ("tcp", "SIP Call FlowLoss: {}", "connection-lost", "connection is lost"),
], ids=["media-lost", "connection-lost"])
def test_a_phone_that_dies_in_a_call_is_missed(world, transport, setting, why, told):
    world.ask("xConfiguration SIP Media PartyInactivity: 0")
    world.ask("xConfiguration " + setting.format(4))
    try:
        with desk(world, transport=transport) as phone_:
            mark = world.bob.mark()
            phone_.say(f"call sip:bob@{DOMAIN}")
            world.bob.wait("Call established", since=mark)
            heard_both(world)
            number = re.search(r"SIP Call (\d+): ", world.ask("xStatus SIP Call"))[1]
            phone_.process.kill()
            world.bob.wait("session closed|Call with .* terminated", qemu.patience(40), mark)
        history = world.ask("xStatus CallHistory")
        assert re.search(rf"call={number} duration_ms=\d+ reason={why}", history), history
        assert told in world.bob.log_text()[mark:]
        event = world.ask("xCommand Log Show: text=nothing last=1")
        assert why != "media-lost" or re.search(r"has sent nothing for \d+ s: its call is ended",
                                                event), event
    finally:
        for default in ("SIP Media PartyInactivity: 300", "SIP Call FlowLoss: 60"):
            world.ask("xConfiguration " + default)


def test_a_call_that_finds_no_bandwidth_is_refused(world):
    world.ask("xConfiguration Bandwidth Pipe 1 Bandwidth Total Limit: 10")
    mark = world.alice.mark()
    world.alice.command("dial", f"sip:bob@{DOMAIN}")
    world.alice.wait("488", since=mark)
    world.ask("xConfiguration Bandwidth Pipe 1 Bandwidth Total Limit: 500")
    assert "status=488" in world.ask("xStatus CallHistory")
    assert re.search(r"wanted 384 kbps and got 0", world.ask("xCommand Log Show: last=6"))


def test_a_call_is_transferred_by_refer(world):
    number = world.call()
    marks = [one.mark() for one in (world.alice, world.carol)]
    world.alice.command("transfer", f"sip:carol@{DOMAIN}")
    world.carol.wait("Incoming call", since=marks[1])
    world.carol.command("accept")
    world.carol.wait("Call established", since=marks[1])
    world.alice.wait("BYE sip:bob", since=marks[0])  # told by NOTIFY, it leaves
    netns.wait_for(lambda: f"SIP Call {number}: " not in world.ask("xStatus SIP Call"),
                   qemu.patience(10), "the end of the first call", interval=0.3)
    said = world.ask("xStatus SIP Call")
    found = re.search(r"SIP Call (\d+): sip:bob@\S+ -> sip:carol@", said)
    assert found, said
    world.ask(f"xCommand Call Disconnect: {found[1]}")


def test_two_calls_become_one_after_a_consultation(world):
    """Attended transfer (RFC 3515, 3891, 3892): REFER with Replaces, by three phones of a kind that
    names itself by its GRUU."""
    with desk(world, "frank") as frank, desk(world, "gina") as gina, desk(world, "hugo") as hugo:
        first = frank.call(f"sip:gina@{DOMAIN}")
        frank.wait("LinphoneCallStreamsRunning")
        heard_both(world, "keys=as-agreed")
        frank.say("pause")
        frank.wait("LinphoneCallPaused")
        mark = frank.mark()
        second = frank.call(f"sip:hugo@{DOMAIN}")
        frank.wait("LinphoneCallStreamsRunning", since=mark)
        mark = gina.mark()
        frank.say(f"transfer {first} --to-call {second}")
        def one_call():
            said = world.ask("xStatus SIP Call")
            return said.count("SIP Call ") == 1 and \
                re.search(r"SIP Call \d+: sip:gina@\S+ -> sip:hugo@", said)
        netns.wait_for(one_call, qemu.patience(30), "one call", interval=0.3)
        assert re.search(r"REFER sip:.*[\s\S]*?Refer-To: .*Replaces=", gina.log_text()[mark:])
        taken = hugo.wait(r"\nReplaces: ([^;]+);")[1]
        assert "Referred-By: " in hugo.log_text()
        heard_both(world, "keys=as-agreed")
        mark = gina.mark()
        hugo.say("terminate")
        gina.wait("LinphoneCallEnd", since=mark)
        history = world.ask("xStatus CallHistory")
        assert re.search(rf"sip:hugo@\S+ call=\d+ .* reason=by-callee .*call_id={taken}", history)


SOFT = {"tina": "gina", "theo": "hugo"}  # at whose desks they are


def test_presence_is_published_and_watched(world):
    """RFC 3856 and 3903 by phones that nobody here wrote."""
    def soft(user, **options):
        return twinkle.Phone(world.folder, world.desks[SOFT[user]], user, DOMAIN,
                             f"{user}-Secret-1", EDGE, **options)
    state = "Presence state changed to: "
    with soft("tina", watches=["theo"]) as tina:
        tina.wait(r"\nNOTIFY sip:tina@")
        with soft("theo") as theo:
            tina.wait(state + "open")
            assert f"tina@{DOMAIN}: theo@{DOMAIN} policy=allowed" in world.ask(
                "xStatus SIP Presence Watcher")
            mark = tina.mark()
            theo.leave()
            tina.wait(r"\nNOTIFY sip:tina@", since=mark)
        tina.leave()
    assert "tina" not in world.ask("xStatus SIP Presence Watcher")


def test_a_provisional_response_is_acknowledged(world):
    """RFC 3262: the 180 says RSeq, PRACK names it, and goes the call's way."""
    def soft(user):
        return twinkle.Phone(world.folder / "prack", world.desks[SOFT[user]], user, DOMAIN,
                             f"{user}-Secret-1", EDGE, publishes=False)
    with soft("tina") as tina, soft("theo") as theo:
        tina.say("call theo")
        number = tina.wait(r"SIP/2\.0 180 [\s\S]*?\nRSeq: (\d+)")[1]
        assert theo.wait(r"PRACK sip:[\s\S]*?RAck: (\d+) \d+ INVITE")[1] == number
        tina.wait(twinkle.answer(200, "PRACK"))
        tina.say("bye")
        tina.wait(twinkle.answer(487, "INVITE"))
        tina.leave()
        theo.leave()


def test_a_phone_that_keeps_its_flow_is_reached_by_its_gruu(world):
    """RFC 5626 and 5627, as baresip does them."""
    said = world.carol.log_text()
    assert re.search(r"^Contact: .*;\+sip\.instance=.*;reg-id=1", said, re.M), said[:4000]
    gruu = re.search(r"pub-gruu=\"(sip:carol@[^\"]+;gr=urn:uuid:[^\"]+)\"", said)[1]
    marks = world.alice.mark(), world.carol.mark()
    world.alice.command("dial", gruu)
    world.carol.wait("Incoming call", since=marks[1])
    world.carol.command("accept")
    world.alice.wait("Call established", since=marks[0])
    world.alice.command("hangup")
    world.carol.wait("session closed|terminated", since=marks[1])
    world.alice.command("dial", gruu[:-1] + ("0" if gruu[-1] != "0" else "1"))
    world.alice.wait(r"\b480\b|\b404\b", since=marks[0])


def test_a_call_that_is_given_up_is_cancelled(world):
    marks = [one.mark() for one in (world.alice, world.carol)]
    world.alice.command("dial", f"sip:carol@{DOMAIN}")
    world.carol.wait("Incoming call", since=marks[1])
    world.alice.command("hangup")
    world.carol.wait("session closed|Call with .* terminated", since=marks[1])
    netns.wait_for(lambda: "status=487" in world.ask("xStatus CallHistory"), qemu.patience(10),
                   "the cancelled call in the history", interval=0.3)


def test_maintenance_drains(world):
    number = world.call()
    world.edge.send("xConfiguration Maintenance Mode: On\r")
    world.edge.expect(r"Maintenance mode\) raised")  # behind the prompt, which is drawn anew
    world.edge.expect(r"> ?(\x1b\[K)?$")
    assert "Maintenance mode" in world.ask("xStatus Alarm")
    mark = world.bob.mark()
    world.bob.command("dial", f"sip:alice@{DOMAIN}")
    world.bob.wait("503", since=mark)
    assert f"SIP Call {number}: " in world.ask("xStatus SIP Call")  # what there is goes on
    mark = world.alice.mark()
    world.alice.command("hangup")
    world.alice.wait("audio: destroyed", since=mark)
    world.ask("xConfiguration Maintenance Mode: Off")
    assert "Maintenance mode" not in world.ask("xStatus Alarm")
    world.ask(f"xCommand Call Disconnect: {world.call()}")


def call_by_sipp(world, scenario="session_timer", user="bob"):
    return world.sipp.run("sipp", "-sf", SCENARIOS / f"{scenario}.xml", "-s", user, "-key",
                          "domain", DOMAIN, "-m", "1", "-i", "10.77.0.13", "-p", "5062",
                          "-timeout", "30", "-nostdin", f"{EDGE}:5060", check=False,
                          timeout=qemu.patience(60))


def test_session_interval_below_the_minimum_is_answered_422(world):
    world.ask("xConfiguration SIP Authentication Mode: Off")
    done = call_by_sipp(world)
    assert done.returncode == 0, done.stdout
    assert "session_s=1000" in world.ask("xStatus SIP Call")
    world.ask("xCommand Call Disconnect: " + re.search(r"SIP Call (\d+): ",
                                                       world.ask("xStatus SIP Call"))[1])


def test_a_session_is_refreshed_by_update(world):
    world.ask("xConfiguration SIP Authentication Mode: Off")
    with desk(world):
        done = call_by_sipp(world, "update", "frank")
        assert done.returncode == 0, done.stdout
        said = world.ask("xStatus SIP Call")
        assert "session_s=700" in said, said
        world.ask("xCommand Call Disconnect: " + re.search(r"SIP Call (\d+): ", said)[1])


def test_a_publication_is_refreshed_changed_and_removed_by_its_tag(world):
    done = call_by_sipp(world, "presence", "carol")
    assert done.returncode == 0, done.stdout
    assert "carol" not in world.ask("xStatus SIP Presence User")


def test_a_zone_has_bandwidth_of_its_own(world):
    """SIPp is a neighbour, with a link to those outside."""
    for name, value in (("Name", "Sipp"), ("SIP Transport", "UDP"), ("SIP Port", "5062"),
                        ("Monitor", "Off"),
                        ("Peer1 Address", "10.77.0.13"), ("Type", "Neighbor"),
                        ("Bandwidth PerCall Inter Mode", "Limited"),
                        ("Bandwidth PerCall Inter Limit", "128")):
        world.ask(f"xConfiguration Zones Zone 1 {name}: {value}")
    for name, value in (("Node1 Name", "Sipp"), ("Node2 Name", "Outside"), ("Name", "neighbour")):
        world.ask(f"xConfiguration Bandwidth Link 2 {name}: {value}")
    netns.wait_for(lambda: "10.77.0.13:5062" in world.ask("xStatus Zones"), qemu.patience(10),
                   "the neighbour's address", interval=0.3)
    done = call_by_sipp(world)
    assert done.returncode == 0, done.stdout
    said = world.ask("xStatus SIP Call")
    assert "kbps=128" in said, said
    assert re.search(r"Bandwidth Node Sipp: calls=1 used_kbps=128",
                     world.ask("xStatus Bandwidth")), world.ask("xStatus Bandwidth")
    world.ask("xConfiguration Zones Zone 1 Bandwidth Total Mode: NoBandwidth")
    assert call_by_sipp(world).returncode != 0
    assert re.search(r"wanted 384 kbps and got 0", world.ask("xCommand Log Show: last=6"))
    world.ask("xCommand Call Disconnect: " + re.search(r"SIP Call (\d+): ", said)[1])


def neighbour_answers(world, index, user, port):
    """Calls for `user` go to a SIPp that answers at `port`."""
    zone = f"Answerer{index}"
    for line in (f"Zone {index} Name: {zone}", f"Zone {index} SIP Transport: UDP",
                 f"Zone {index} SIP Port: {port}", f"Zone {index} Monitor: Off",
                 f"Zone {index} Peer1 Address: 10.77.0.15", f"Zone {index} Type: Neighbor",
                 f"Policy SearchRules Rule {index} Name: {zone}",
                 f"Policy SearchRules Rule {index} Mode: AliasPatternMatch",
                 f"Policy SearchRules Rule {index} Pattern Type: Prefix",
                 f"Policy SearchRules Rule {index} Pattern String: {user}@",
                 f"Policy SearchRules Rule {index} Pattern Behavior: Leave",
                 f"Policy SearchRules Rule {index} Target Name: {zone}"):
        world.ask(f"xConfiguration Zones {line}")
    for line in ("Node1 Name: DefaultZone", f"Node2 Name: {zone}", f"Name: to-{user}"):
        world.ask(f"xConfiguration Bandwidth Link {index + 1} {line}")
    netns.wait_for(lambda: f"10.77.0.15:{port}" in world.ask("xStatus Zones"), qemu.patience(10),
                   "the neighbour's address", interval=0.3)


def start_sipp(world, host, scenario, port, *words):
    """What it prints goes to a file: a pipe that nobody reads would stop it."""
    log = world.folder / f"sipp-{scenario}-{port}.log"
    with log.open("w") as out:
        process = host.start("sipp", "-sn", scenario, "-i", host.address, "-p", str(port),
                             "-m", "3", "-timeout", "60", "-timeout_error", "-nostdin", *words,
                             stdout=out, stderr=subprocess.STDOUT, cwd=world.folder)
    return process, log


def start_answerer(world, scenario, port, *words):
    return start_sipp(world, world.answerer, scenario, port, *words)


def start_caller(world, scenario, user, port, *words):
    return start_sipp(world, world.caller, scenario, port, "-s", user, "-r", "1", *words,
                      f"{EDGE}:5060")


def ended_well(*runs):
    for process, log in runs:
        process.wait(timeout=qemu.patience(80))
        assert process.returncode == 0, log.read_text(errors="replace")[-3000:]


OWN_CALLERS = ("uac", "regexp", "uac_pcap")


@pytest.fixture(scope="module")
def own_runs(world):
    """All of them at once: they wait for most of their time."""
    neighbour_answers(world, 2, "service", 5070)
    runs = {"uas": start_answerer(world, "uas", 5070, "-m", 3 * len(OWN_CALLERS))}
    return runs | {caller: start_caller(world, caller, "service", port)
                   for port, caller in enumerate(OWN_CALLERS, 5074)}


@pytest.mark.parametrize("caller", OWN_CALLERS)
def test_sipps_own_callers_get_through(own_runs, caller):
    """They know no Record-Route, as simple devices: what they send in a call finds its way too."""
    ended_well(own_runs[caller], own_runs["uas"])


def test_the_default_zone_has_bandwidth_of_its_own(world):
    """Whoever is in no zone: strangers, as SIPp's own caller is one."""
    def limit(words):
        assert "OK" in world.ask(f"xConfiguration Zones DefaultZone Bandwidth {words}")

    def strangers_call():
        process, log = start_caller(world, "uac", "service", 5067)
        process.wait(timeout=qemu.patience(80))
        return process.returncode, log.read_text(errors="replace")[-3000:]
    neighbour_answers(world, 2, "service", 5070)
    limit("PerCall Inter Mode: Limited")
    limit("PerCall Inter Limit: 96")
    try:
        answerer = start_answerer(world, "uas", 5070)
        status, said = strangers_call()
        assert status == 0, said
        ended_well(answerer)
        history = world.ask("xStatus CallHistory")
        assert re.search(r"sip:service@.* kbps=96", history), history
        limit("Total Mode: NoBandwidth")
        assert strangers_call()[0] != 0
        history = world.ask("xStatus CallHistory")
        assert re.search(r"sip:service@.* status=488 .*caller=10.77.0.16:5067", history), history
    finally:
        limit("Total Mode: Unlimited")
        limit("PerCall Inter Limit: 10000")


def test_sipps_own_third_party_controls_calls_through(world):
    """RFC 3725 flow I with two legs: the offer is in the answer, and the answer in the ACK."""
    neighbour_answers(world, 3, "left", 5071)
    neighbour_answers(world, 4, "right", 5072)
    answerers = [start_answerer(world, "3pcc-A", 5071), start_answerer(world, "3pcc-B", 5072)]
    second = start_caller(world, "3pcc-C-B", "right", 5065, "-3pcc", "127.0.0.1:9999")
    netns.wait_for(lambda: ":9999" in world.caller.run("ss", "-ltn").stdout, 10, "the second leg")
    first = start_caller(world, "3pcc-C-A", "left", 5066, "-3pcc", "127.0.0.1:9999")
    ended_well(first, second, *answerers)
