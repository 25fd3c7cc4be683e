"""Other people's suites for SIP against the booted image: sipsak (registration, traces, floods,
torn requests), sipvicious (scanning, guessing extensions and passwords), SIPp's branches, and a set
made as PROTOS c07-sip is (one field of an INVITE at a time takes values that broke parsers; the
suite itself is not to be had any more). The server answers lawfully, says what it saw, and lives.
"""

import re
import subprocess
import sys

import pytest

import host as host_board
import netns
import operator_console
import qemu

DOMAIN, EDGE = "example.org", "10.77.0.2"
HOSTS = {"friend": "10.77.0.11", "stranger": "10.77.0.12", "scanner": "10.77.0.13",
         "cracker": "10.77.0.14", "branch": "10.77.0.15", "server": "10.77.0.16"}
PROVISION = "\n".join([
    "xConfiguration System Name: edge1",
    "xConfiguration Network Port 1 IPv4 Mode: Static",
    f"xConfiguration Network Port 1 IPv4 Address: {EDGE}",
    "xConfiguration Network Port 1 IPv4 PrefixLength: 24",
    f"xConfiguration SIP Domain 1 Name: {DOMAIN}",
    *(f"xConfiguration Authentication User {n} {name}: {value}"
      for n, (user, password) in enumerate((("alice", "Alice-Secret-1"), ("100", "4711")), 1)
      for name, value in (("Name", user), ("Password", password))),
    # SIPp's branches: who asks no passwords, and a server beyond.
    *(f"xConfiguration Zones Zone {n} {name}: {value}"
      for n, zone in enumerate(("server", "branch"), 1)
      for name, value in (("Name", zone), ("Type", "Neighbor"), ("Peer1 Address", HOSTS[zone]),
                          ("SIP Transport", "UDP"), ("Monitor", "Off"),
                          ("Authentication Mode", "TreatAsAuthenticated"))),
    *(f"xConfiguration Zones Policy SearchRules Rule 1 {name}: {value}" for name, value in (
        ("Name", "Branch"), ("Mode", "AliasPatternMatch"), ("Pattern Type", "Regex"),
        ("Pattern String", ".*cym.*"), ("Pattern Behavior", "Leave"), ("Target Name", "server"))),
    *(f"xConfiguration Bandwidth Link 1 {name}: {value}" for name, value in (
        ("Name", "to-server"), ("Node1 Name", "branch"), ("Node2 Name", "server"))),
    "xConfiguration IntrusionProtection SIP Failures: 5",
    "xConfiguration Administrator 1 Name: admin",
    "xConfiguration Administrator 1 Password: Gate-house-42",
    ""])
WAIT = qemu.patience(30)


class World:
    def ask(self, line):
        return self.edge.ask(line)

    def told(self, pattern):
        return netns.wait_for(lambda: re.search(pattern, self.ask("xCommand Log Show: last=8")),
                              WAIT, pattern, interval=0.3)

    def sipsak(self, name, *words, check=True):
        done = self.hosts[name].run("sipsak", "-p", EDGE, *words, check=False, timeout=WAIT * 3,
                                    errors="replace")
        assert not check or done.returncode == 0, done
        return done.stdout + done.stderr

    def lives(self):
        """It serves a friend."""
        self.sipsak("friend", "-s", f"sip:{DOMAIN}")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suites")
    with netns.Network() as network:
        w = World()
        w.hosts = {name: network.host(name, f"{at}/24") for name, at in HOSTS.items()}
        w.edge = host_board.edge_of("image", folder / "edge", network, PROVISION)
        w.folder = folder
        with w.edge:
            w.edge.expect(r"SIP ready", timeout=90)
            operator_console.log_in_late(w.edge)
            yield w


def counted(world, reason):
    """Of requests that were refused or dropped for it."""
    said = world.ask("xStatus SIP Statistics")
    return int((re.search(rf"\b{reason}=(\d+)", said) or ["", "0"])[1])


# --- sipsak ---


def test_sipsak_asks_and_traces(world):
    world.lives()
    said = world.sipsak("friend", "-T", "-u", "alice", "-a", "Alice-Secret-1", "-s",
                        f"sip:alice@{DOMAIN}", check=False)
    assert "483 Too Many Hops" in said, said


def test_sipsak_registers_and_unregisters(world):
    account = ("-U", "-i", "-u", "alice", "-a", "Alice-Secret-1", "-s", f"sip:alice@{DOMAIN}")
    world.sipsak("friend", "-C", f"sip:alice@{HOSTS['friend']}:5070", "-x", "600", *account)
    assert "alice@example.org" in world.ask("xStatus SIP Registration")
    world.sipsak("friend", "-C", "*", "-x", "0", *account)
    assert "alice@example.org" not in world.ask("xStatus SIP Registration")


def test_sipsaks_flood_is_held_back_and_nobody_else_suffers(world):
    def held_back():  # by its source's share, or unread where the processor has no time for it
        return counted(world, "rate_limited") + counted(world, "unanswered")
    before = held_back()
    world.sipsak("stranger", "-F", "-e", "4000", "-s", f"sip:nobody@{DOMAIN}")
    world.lives()
    assert held_back() > before


@pytest.mark.parametrize("target", [DOMAIN, f"nobody@{DOMAIN}"])
def test_sipsaks_torn_requests_harm_nothing(world, target):
    """It ends when it is not answered, as what cannot be answered is not, or not by an error."""
    for _ in range(10):
        world.sipsak("stranger", "-R", "-t", "60", "-Z", "20", "-s", f"sip:{target}", check=False)
        world.lives()


# --- sipvicious ---


def test_a_scan_finds_the_server_and_not_what_it_is(world):
    said = world.hosts["scanner"].run("svmap", EDGE).stdout
    assert re.search(rf"{re.escape(EDGE)}:5060\s+\| unknown", said), said


@pytest.fixture(scope="module")
def guesses(world):
    """What svwar finds by each method, all of them at once: it waits for most of its time."""
    tools = {method: world.hosts["scanner"].start(
        "svwar", "-e", "98-102", "-m", method, "-P", port, "--force", EDGE, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
             for method, port in (("REGISTER", 5061), ("INVITE", 5062), ("OPTIONS", 5063))}
    return {method: tool.communicate(timeout=WAIT * 3)[0] for method, tool in tools.items()}


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS"])
def test_extensions_are_not_told_from_those_that_are_not(guesses, method):
    """User 100 is there, the others are not; the tool gives up, or is told the same of all."""
    said = guesses[method]
    found = re.findall(r"\| (\d+)\s+\| (\w+)", said)
    assert found in ([], [(str(n), "reqauth") for n in range(98, 103)]), said
    assert found or re.search(r"SIP/2\.0 40[17] ", said), said


def test_who_cracks_a_password_is_blocked_before_he_has_it(world):
    with (world.folder / "svcrack.log").open("w") as log:
        tool = world.hosts["cracker"].start("svcrack", "-u", "100", "-r", "4700-4720", EDGE,
                                            stdout=log, stderr=subprocess.STDOUT)
    netns.wait_for(lambda: re.search(rf"{re.escape(HOSTS['cracker'])}: .*blocked_s",
                                     world.ask("xStatus IntrusionProtection")),
                   WAIT, "a block", interval=0.3)
    world.told(rf"{re.escape(HOSTS['cracker'])} failed to log in too often \(sip\) and is blocked")
    tool.terminate()
    tool.wait(WAIT)
    assert "4711" not in (world.folder / "svcrack.log").read_text()
    world.lives()


# --- SIPp ---


def test_sipps_branches_go_through(world):
    """It registers, with a port in its address, and calls, at a server that does both."""
    words = ("-p", "5060", "-m", "2", "-timeout", "60", "-timeout_error", "-nostdin")
    logs = [world.folder / f"{name}.log" for name in ("branchs", "branchc")]
    with logs[0].open("w") as server_log, logs[1].open("w") as client_log:
        server = world.hosts["server"].start("sipp", "-sn", "branchs", "-i", HOSTS["server"],
                                             *words, cwd=world.folder, stdout=server_log,
                                             stderr=subprocess.STDOUT)
        client = world.hosts["branch"].start("sipp", "-sn", "branchc", "-i", HOSTS["branch"], "-r",
                                             "1", *words, EDGE, cwd=world.folder,
                                             stdout=client_log, stderr=subprocess.STDOUT)
        ended = client.wait(WAIT * 3), server.wait(WAIT * 3)
    assert ended == (0, 0), [log.read_text()[-3000:] for log in logs]


# --- In the manner of PROTOS c07-sip ---

REQUEST = """\
{method} {uri} {version}
Via: {via_version} {via_host}:{via_port};branch={branch}
From: {from_name} <{from_uri}>;tag={tag}
To: {to_name} <{to_uri}>
Call-ID: {call_id}
CSeq: {number} {cseq_method}
Max-Forwards: {hops}
Contact: {contact_name} <{contact_uri}>
Expires: {expires}
Content-Type: {type}
Content-Length: {length}

v={v}
o={origin}
s={s}
c=IN IP4 {connection}
t={t}
m={media} {port} RTP/AVP 0
a=rtpmap:{rtpmap}
"""
FIELDS = {
    "method": "INVITE", "uri": f"sip:nobody@{DOMAIN}", "version": "SIP/2.0",
    "via_version": "SIP/2.0/UDP", "via_host": HOSTS["stranger"], "via_port": "5090",
    "branch": "z9hG4bKcase", "from_name": "User", "from_uri": f"sip:user@{DOMAIN}", "tag": "case",
    "to_name": "Nobody", "to_uri": f"sip:nobody@{DOMAIN}", "call_id": "case", "number": "1",
    "cseq_method": "INVITE", "hops": "70", "contact_name": "User",
    "contact_uri": f"sip:user@{HOSTS['stranger']}:5090", "expires": "300",
    "type": "application/sdp", "length": "120", "v": "0",
    "origin": f"user 1 1 IN IP4 {HOSTS['stranger']}", "s": "-", "connection": HOSTS["stranger"],
    "t": "0 0", "media": "audio", "port": "9876", "rtpmap": "0 PCMU/8000"}
ANOMALIES = [
    "", " ", "\t", ":", "::::", ",", ";;;;", "<", ">", "<>", '"', '"""', "@", "@@@@", "/", "=", "%",
    "%n%n%n%n", "%s" * 64, "%00", "%", "%zz", "\0", "\0\0\0\0", "\r", "\n", "\r\n",
    "\r\n\r\n", "\x1b[2J", "\x7f", "\xff\xfe", "\xc0\xaf", "\xe0\x80\xaf" * 32, "-1", "0",
    "00000000000000000000001", "255", "256", "65535", "65536", "2147483647", "2147483648",
    "4294967295", "4294967296", "18446744073709551616", "9" * 400, "sip:", "sip:@", "sip::",
    "sip:[", "sip:[::1", "sip:[1.2.3.4]", "sip:a@" + "b." * 200, "tel:" + "1" * 300,
    "urn:service:sos.sos", "SIP/3.0", "SIP/2.00000000000000000000",
    *("a" * (1 << power) for power in (4, 7, 8, 9, 10, 12, 14)), "(" * 500, "\\" * 501,
    " " * 1000, "a=" * 400, "1.2.3.4.5.6", "[::ffff:1.2.3.4]", "255.255.255.255", "*"]


# In the stranger's namespace: sends what lines of its input say, then a request that is whole until
# that is answered; prints the first line of each answer.
SENDER = """
import socket, sys
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.bind((sys.argv[2], 5090))
line.settimeout(0.005)
def hear(wanted=None):
    answer = ""
    try:
        while wanted is None or wanted not in answer:
            answer = line.recv(65536).decode("latin-1")
            print(answer.split("\\r\\n")[0].encode("unicode_escape").decode())
        return True
    except TimeoutError:
        return False
*cases, last = [bytes.fromhex(text) for text in sys.stdin]
for case in cases:
    line.sendto(case, (sys.argv[1], 5060))
    hear()
line.settimeout(2)
for _ in range(20):
    line.sendto(last, (sys.argv[1], 5060))
    if hear("Call-ID: whole"):
        break
else:
    sys.exit("the request that is whole was not answered")
"""


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_broke_parsers_is_answered_or_dropped(world, field):
    """No answer, or an error; what is whole is answered after each field's set."""
    cases = []
    for number, anomaly in enumerate([*ANOMALIES, FIELDS[field]]):
        values = FIELDS | {"branch": f"z9hG4bK{field}{number}", "call_id": f"{field}-{number}"}
        if number < len(ANOMALIES):
            values[field] = anomaly
        else:
            values |= {"call_id": "whole", "length": "0", "method": "OPTIONS",
                       "cseq_method": "OPTIONS", "uri": f"sip:{DOMAIN}"}
        cases.append(REQUEST.format(**values).replace("\n", "\r\n").encode("latin-1")[:60000])
    done = world.hosts["stranger"].run(sys.executable, "-c", SENDER, EDGE, HOSTS["stranger"],
                                       input="\n".join(case.hex() for case in cases),
                                       check=False, timeout=WAIT * 3)
    assert done.returncode == 0, done
    answers = done.stdout.split("\n")[:-1]
    lawful = re.compile(r"SIP/2\.0 (1\d\d|4\d\d|50[135]) |SIP/2\.0 200 OK")
    assert all(lawful.match(answer) for answer in answers), answers
    assert len([answer for answer in answers if " 200 " in answer]) <= 2, answers
