"""First light: two stock phones register and call through the appliance, rsyslog hears of it.

The same scenario on the signed image in QEMU and on the Linux process; the appliance, the phones
and the syslog server each stand in a network namespace of their own around one switch.
"""

import re
from pathlib import Path

import pytest

import host as host_board
import netns
import operator_console
import phone
import qemu
import syslogd

DOMAIN = "example.org"
EDGE = "10.77.0.2"
SCENARIOS = Path(__file__).parent / "sipp"
PASSWORDS = {"alice": "a-Secret-1", "bob": "b-Secret-2"}
ADMIN_PASSWORD = "Gate-house-42"

PROVISION = f"""\
xConfiguration System Name: edge1
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {EDGE}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration SIP Domain 1 Name: {DOMAIN}
xConfiguration Authentication User 1 Name: alice
xConfiguration Authentication User 1 Password: {PASSWORDS["alice"]}
xConfiguration Authentication User 2 Name: bob
xConfiguration Authentication User 2 Password: {PASSWORDS["bob"]}
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: {ADMIN_PASSWORD}
xConfiguration Syslog Server 1 Address: 10.77.0.21
xConfiguration Syslog Server 1 Port: 514
xConfiguration Syslog Server 1 Transport: UDP
xConfiguration Syslog Server 2 Address: 10.77.0.21
xConfiguration Syslog Server 2 Port: 601
xConfiguration Syslog Server 2 Transport: TCP
"""


class World:
    """Everything one scenario needs, built once for all tests of a board."""


@pytest.fixture(scope="module", params=["image", "host"])
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with netns.Network() as network:
        w = World()
        w.board, w.network, w.folder = request.param, network, folder
        w.hosts = {name: network.host(name, f"10.77.0.{last}/24")
                   for name, last in (("alice", 11), ("bob", 12), ("log", 21), ("tools", 31))}
        with syslogd.Rsyslog(folder, w.hosts["log"]) as w.syslog:
            if request.param == "image":
                w.edge = qemu.Machine(folder / "vm", netdevs=[qemu.tap_net(network.tap())],
                                      netns=network.switch, provision=PROVISION)
            else:
                edge = network.host("edge")
                w.edge = host_board.HostMachine(folder / "edge", netns.INTERFACE, edge.namespace,
                                                provision=PROVISION)
            with w.edge:
                w.edge.expect(r"SIP ready", timeout=60)
                w.edge.expect(r"edge1 login: ?(\x1b\[K)?$")
                yield w


@pytest.fixture(scope="module")
def phones(world):
    with phone.Phone(world.folder, world.hosts["alice"], "alice", DOMAIN, PASSWORDS["alice"],
                     server=EDGE) as alice, \
         phone.Phone(world.folder, world.hosts["bob"], "bob", DOMAIN, PASSWORDS["bob"],
                     server=EDGE, transport="tcp") as bob:
        alice.wait_registered()
        bob.wait_registered()
        yield alice, bob


def test_boot_report(world):
    """The boot report names version, memory, addresses and the time to SIP ready."""
    said = world.edge.console
    assert re.search(r"Gatehouse \d+\.\d+\.\d+", said)
    assert "DEVELOPMENT" in said.upper()
    assert EDGE in said
    assert re.search(r"memory", said, re.I)
    if world.board == "image":
        assert re.search(r"verified", said, re.I)


def test_boot_event_reaches_syslog_over_udp_and_tcp(world):
    find = lambda: [l for l in world.syslog.lines("raw") if "system-started" in l]
    started = netns.wait_for(lambda: len(find()) >= 2 and find(), 20,
                             "the boot event by both transports")
    for line in started:
        # <PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID [SD-ID ...] MSG (RFC 5424 6)
        assert re.match(r'<\d{1,3}>1 (-|\d{4}-\d\d-\d\dT[\d:.]+Z) edge1 \S+ \S+ system-started '
                        r'\[.*@\d+( \w+="[^"]*")+\]', line), line
        assert 'version="' in line and 'build="' in line


def test_provisioning_was_reported_line_by_line(world):
    assert "provision" in world.edge.console.lower()
    assert ADMIN_PASSWORD not in world.edge.console
    assert PASSWORDS["alice"] not in world.edge.console


def test_phones_register_with_digest(world, phones):
    alice, bob = phones
    for one in (alice, bob):
        assert "401" in one.log_text()  # the challenge came before the 200
        world.syslog.wait("sip-registered", f"{one.user}@{DOMAIN}")


def sipp(world, scenario, user, password, uri=DOMAIN, **keys):
    """One run of a SIPp scenario from the `tools` host; its exit code is 0 when all went as said.

    SIPp puts the server's address in the digest's uri unless told the Request-URI (RFC 7616 3.4.6).
    """
    users = world.folder / "users.csv"
    users.write_text(f"SEQUENTIAL\n[authentication username={user} password={password}]\n")
    words = ["sipp", EDGE, "-sf", SCENARIOS / f"{scenario}.xml", "-inf", users, "-m", "1", "-i",
             world.hosts["tools"].address, "-nostdin", "-timeout", "20", "-timeout_error",
             "-key", "from", user, "-key", "domain", DOMAIN,
             "-auth_uri", uri]
    for key, value in keys.items():
        words += ["-key", key, value]
    return world.hosts["tools"].run(*words, check=False, cwd=world.folder).returncode


def test_wrong_password_is_refused(world):
    assert sipp(world, "register", "alice", "wrong") != 0
    world.syslog.wait("refused", "alice")
    assert sipp(world, "register", "alice", PASSWORDS["alice"]) == 0


def test_call_with_audio_both_ways(world, phones):
    alice, bob = phones
    at_alice, at_bob = alice.mark(), bob.mark()
    alice.command("dial", f"sip:bob@{DOMAIN}")
    bob.wait("Incoming call", since=at_bob)
    bob.command("accept")
    alice.wait("Call established", since=at_alice)
    phone.let_talk(alice, bob)
    shown = show_calls(world)
    alice.command("hangup")
    bob.wait("session closed|Call with .* terminated", since=at_bob)
    for one, mark in ((alice, at_alice), (bob, at_bob)):
        packets = one.wait(r"packets:\s+(\d+)\s+(\d+)", since=mark)
        assert int(packets.group(1)) > 50 and int(packets.group(2)) > 50
    world.syslog.wait("call-started", "alice", "bob")
    world.syslog.wait("call-ended", "alice", "bob")
    assert "alice" in shown and "bob" in shown


def show_calls(world):
    """`xStatus` on the serial console, logging in first if need be."""
    log_in(world)
    return world.edge.ask("xStatus SIP Call")


def log_in(world):
    if getattr(world, "logged_in", False):
        return
    operator_console.log_in_late(world.edge, ADMIN_PASSWORD)
    world.logged_in = True


def test_cancel_before_answer(world, phones):
    alice, bob = phones
    at_alice, at_bob = alice.mark(), bob.mark()
    alice.command("dial", f"sip:bob@{DOMAIN}")
    bob.wait("Incoming call", since=at_bob)
    alice.command("hangup")
    bob.wait("CANCEL sip:", since=at_bob)
    alice.wait("487", since=at_alice)
    world.syslog.wait("sip-call-failed", "487")


def test_message(world, phones):
    _, bob = phones
    mark = bob.mark()
    assert sipp(world, "message", "alice", PASSWORDS["alice"], uri=f"bob@{DOMAIN}", to="bob",
                text="first light") == 0
    bob.wait("first light", since=mark)


def test_calling_nobody_is_404(world, phones):
    alice, _ = phones
    mark = alice.mark()
    alice.command("dial", f"sip:nobody@{DOMAIN}")
    alice.wait("404", since=mark)


def test_console_status_and_configuration(world):
    log_in(world)
    assert "edge1" in world.edge.ask("xConfiguration System Name")
    status = world.edge.ask("xStatus System")
    assert re.search(r"\d+\.\d+\.\d+", status)
    assert "Uptime" in status
    assert re.search(r"alice@" + DOMAIN, world.edge.ask("xStatus SIP Registration"))
    assert "expected" in world.edge.ask("xConfiguration SIP UDP Mode: Perhaps").lower()
    assert ADMIN_PASSWORD not in world.edge.ask("xConfiguration Administrator")


def test_restart_keeps_the_configuration(world):
    """Last: after xCommand Restart the same box comes back without provisioning."""
    log_in(world)
    world.edge.send("xCommand Restart\r")
    world.edge.expect(r"[Yy]es|[Cc]onfirm|y/n")
    world.edge.send("yes\r")
    world.edge.expect(r"SIP ready", timeout=60)
    world.edge.expect(r"edge1 login: ?(\x1b\[K)?$")
    world.logged_in = False
    log_in(world)
    assert DOMAIN in world.edge.ask("xConfiguration SIP Domain 1 Name")
