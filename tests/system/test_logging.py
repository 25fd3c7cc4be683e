"""The event log and remote syslog on a running machine: stock rsyslog over UDP, TCP and TLS with a
checked certificate, an outage of the server that loses nothing, the log on the disk over a restart.

The outage is short in `make test`; SYSLOG_OUTAGE_SECONDS=300 makes it the five minutes of the
specification. Simulated time has longer ones (log_test).
"""

import os
import re
import time

import pytest

import authority
import host as host_board
import netns
import operator_console
import qemu
import syslogd
from operator_console import ask

EDGE, LOG = "10.78.0.2", "10.78.0.21"
OUTAGE_SECONDS = int(os.environ.get("SYSLOG_OUTAGE_SECONDS", 4))
PROVISION = operator_console.PROVISION + f"""\
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {EDGE}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration Syslog Server 1 Address: {LOG}
xConfiguration Syslog Server 1 Transport: UDP
xConfiguration Syslog Server 1 Format: BSD
xConfiguration Syslog Server 1 Categories: audit
xConfiguration Syslog Server 2 Address: {LOG}
xConfiguration Syslog Server 2 Port: 601
xConfiguration Syslog Server 2 Transport: TCP
xConfiguration Syslog Server 3 Address: {LOG}
xConfiguration Syslog Server 3 Port: 6514
xConfiguration Syslog Server 3 Transport: TLS
"""


def make_certificates(folder):
    """An authority, and a server's certificate of it for the log host's address."""
    authority.Authority(folder).issue("log", f"subjectAltName=IP:{LOG}\n")
    return folder / "root.pem", folder / "log.pem", folder / "log.key"


class World:
    """One machine, one rsyslog."""


@pytest.fixture(scope="module", params=["image", "host"])
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    w = World()
    with netns.Network() as network:
        log_host = network.host("log", f"{LOG}/24")
        w.certificates = make_certificates(folder)
        with syslogd.Rsyslog(folder, log_host, tls=w.certificates) as w.syslog:
            if request.param == "image":
                w.edge = qemu.Machine(folder / "vm", netdevs=[qemu.tap_net(network.tap())],
                                      netns=network.switch, provision=PROVISION)
            else:
                edge = network.host("edge")
                w.edge = host_board.HostMachine(folder / "edge", netns.INTERFACE, edge.namespace,
                                                provision=PROVISION)
            with w.edge:
                operator_console.log_in(w.edge)
                yield w


def lines_of(world, *words):
    return [line for line in world.syslog.lines("raw") if all(word in line for word in words)]


def name(world, value):
    """An event of its own: a setting that changes."""
    assert "ERROR" not in ask(world.edge, f"xConfiguration Administration Session TimeOut: {value}")


def test_udp_in_bsd_form_has_the_category_that_is_asked_for(world):
    name(world, 31)
    line = netns.wait_for(lambda: lines_of(world, "setting-changed:", "TimeOut"), 10,
                          "the change over UDP")[0]
    assert re.match(r"<\d+>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d edge1 gatehouse\[\w+\]: "
                    r"setting-changed: ", line), line
    assert not lines_of(world, "gatehouse[", "system-started")  # category system: not to this one


def test_tls_without_a_trusted_authority_sends_nothing(world):
    netns.wait_for(lambda: "no certificate authority is trusted" in
                   ask(world.edge, "xStatus Syslog Server"), 20, "the refusal", interval=0.5)
    netns.wait_for(lambda: "Syslog" in ask(world.edge, "xStatus Alarm"), 20, "the alarm",
                   interval=0.5)


def test_tls_with_the_authority_pasted_at_the_console(world):
    world.edge.send("xCommand Trust Add\r")
    world.edge.expect(r"Paste the certificate")
    for line in world.certificates[0].read_text().splitlines():
        world.edge.send(line + "\r")
    world.edge.expect(r"OK, trusted")
    assert "CN=Test Root" in ask(world.edge, "xCommand Trust List")
    netns.wait_for(lambda: "Sending" in ask(world.edge, "xStatus Syslog Server").split(
        "Server 3")[1][:30], 90, "TLS to the server")
    name(world, 32)
    # By TCP and TLS in RFC 5424 form, by UDP in the other.
    netns.wait_for(lambda: len(lines_of(world, "setting-changed", '"32"')) >= 2, 10,
                   "the change over TCP and TLS")


def test_an_outage_of_the_server_loses_nothing(world):
    world.syslog.kill()
    for value in range(100, 115):
        name(world, value)
    began = time.monotonic()
    time.sleep(OUTAGE_SECONDS)
    for value in range(115, 120):
        name(world, value)
    world.syslog.start()

    def all_there():
        return all(len(lines_of(world, "setting-changed", f'after="{value}"')) >= 2
                   for value in range(100, 120))
    netns.wait_for(all_there, 90, "every event of the outage, over TCP and TLS")
    print(f"an outage of {time.monotonic() - began:.0f} s: 20 events told over TCP and TLS each")
    # In order: each of the two streams tells ascending numbers, but for what it tells again.
    seen = [int(m.group(1)) for line in lines_of(world, "setting-changed", "after=")
            if (m := re.search(r'after="(1\d\d)"', line))]
    first = [seen.index(value) for value in range(100, 120)]
    assert first == sorted(first)


def test_events_are_kept_over_a_restart_and_found_again(world):
    said = ask(world.edge, "xCommand Log Show: text=TimeOut category=audit last=3")
    assert said.count("setting-changed") == 3
    world.edge.send("xCommand Restart Confirm: Yes\r")
    operator_console.log_in(world.edge)
    said = ask(world.edge, "xCommand Log Show: text=TimeOut category=audit last=3")
    assert said.count("setting-changed") == 3
    assert "system-stopping" in ask(world.edge, "xCommand Log Show: last=60")
    assert "expected" in ask(world.edge, "xCommand Log Show: colour=red")


def test_the_log_is_followed_until_a_key(world):
    world.edge.send("xCommand Log Follow: category=audit\r")
    world.edge.expect(r"any key ends")
    world.edge.send("x")
    world.edge.expect(operator_console.PROMPT)


def test_alarms_are_acknowledged(world):
    ask(world.edge, "xConfiguration SIP Domain 1 Name: \"\"")
    said = ask(world.edge, "xStatus Alarm")
    number = re.search(r"Alarm (\d+):", said).group(1)
    assert "acknowledged=no" in said
    assert "OK" in ask(world.edge, f"xCommand Alarm Acknowledge: {number}")
    assert "acknowledged=admin" in ask(world.edge, "xStatus Alarm")
    assert "ERROR" in ask(world.edge, "xCommand Alarm Acknowledge: 99")
