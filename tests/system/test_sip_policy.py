"""Who may call and register, beyond the dial plan: the policy service over HTTPS (a server written
here, asked by the Linux process and by the booted image), emergency calls by URN, addresses that
guess passwords, floods; proof by SHA-512-256 with OpenSSL's hash. Stock phones (baresip) and SIPp.
"""

import base64
import contextlib
import http.server
import re
import subprocess
import sys
import textwrap
import urllib.parse
from pathlib import Path

import pytest

import authority
import host as host_board
import netns
import phone
import qemu

DOMAIN, EDGE, SERVER, SPARE = "example.org", "10.77.0.2", "10.77.0.21", "10.77.0.22"
GUESSER = "10.77.0.13"
USERS = ("alice", "bob", "carol", "mallory")
PROVISION = "\n".join([
    "xConfiguration System Name: edge1",
    "xConfiguration Network Port 1 IPv4 Mode: Static",
    f"xConfiguration Network Port 1 IPv4 Address: {EDGE}",
    "xConfiguration Network Port 1 IPv4 PrefixLength: 24",
    f"xConfiguration SIP Domain 1 Name: {DOMAIN}",
    *(f"xConfiguration Authentication User {n} {name}: {value}"
      for n, user in enumerate(USERS, 1)
      for name, value in (("Name", user), ("Password", f"{user}-Secret-1"))),
    "xConfiguration CallPolicy Service Calls: On",
    "xConfiguration CallPolicy Service Registrations: On",
    f"xConfiguration CallPolicy Service Server1 Address: {SERVER}",
    f"xConfiguration CallPolicy Service Server2 Address: {SPARE}",
    "xConfiguration CallPolicy Service Port: 8443",
    "xConfiguration CallPolicy Service Path: /decide",
    "xConfiguration CallPolicy Service StatusPath: /alive",
    "xConfiguration CallPolicy Service UserName: edge",
    "xConfiguration CallPolicy Service Password: p-Secret-1",
    "xConfiguration SIP Emergency 1 Number: carol",
    "xConfiguration IntrusionProtection SIP Failures: 3",
    "xConfiguration Administrator 1 Name: admin",
    "xConfiguration Administrator 1 Password: Gate-house-42",
    'xConfiguration Administrator 1 PublicKey1: "{key}"',
    "xConfiguration SSH Mode: On",
    ""])
SCENARIOS = Path(__file__).parent / "sipp"
SSH = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
WAIT = qemu.patience(40)


class Policy(http.server.BaseHTTPRequestHandler):
    """Wants no mallory and no calls of bob's."""

    def do_GET(self):
        self.answer(200 if self.path == "/alive" else 404, "")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = dict(urllib.parse.parse_qsl(body, keep_blank_values=True, strict_parsing=True))
        wanted = "Basic " + base64.b64encode(b"edge:p-Secret-1").decode()
        print(self.path, body, flush=True)
        if self.headers["Authorization"] != wanted or self.path != "/decide":
            self.answer(403, "")
        elif asked["destination"].startswith("mallory@"):
            self.answer(200, "reject\r\n")
        elif asked["service"] == "call" and asked["source"].startswith("bob@"):
            self.answer(200, "reject 486 Busy tonight\r\n")
        else:
            self.answer(200, "allow\r\n")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


SERVE = textwrap.dedent("""
    import http.server, ssl, sys
    sys.path.insert(0, sys.argv[1])
    import test_sip_policy
    server = http.server.ThreadingHTTPServer((sys.argv[2], 8443), test_sip_policy.Policy)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("server.pem", "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    print("serving", flush=True)
    server.serve_forever()
""")


class World:
    def ask(self, line):
        done = self.admin.run("ssh", *SSH, "-i", self.folder / "key", f"admin@{EDGE}", line,
                              check=False, timeout=qemu.patience(60))
        return done.stdout + done.stderr

    def make(self, command):
        subprocess.run(command, shell=True, check=True, capture_output=True, cwd=self.folder)

    def trust(self):
        done = self.admin.run("scp", *SSH, "-i", self.folder / "key", self.folder / "root.pem",
                              f"admin@{EDGE}:/certificates/trust.pem", check=False,
                              timeout=qemu.patience(60))
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def serve(self):
        log = self.folder / "policy.log"
        with log.open("wb") as out:
            process = self.server.start(sys.executable, "-c", SERVE, Path(__file__).parent,
                                        SERVER, stdout=out, stderr=out, cwd=self.folder)
        try:
            netns.wait_for(lambda: "serving" in log.read_text(), WAIT, "the policy server")
            yield log
        finally:
            process.kill()
            process.wait(10)

    def sipp(self, scenario, count=1, seconds=40):
        return self.guesser.run("sipp", "-sf", SCENARIOS / scenario, "-key", "domain", DOMAIN,
                                "-m", str(count), "-r", "5", "-i", GUESSER, "-p", "5062",
                                "-auth_uri", DOMAIN, "-timeout", str(seconds), "-timeout_error",
                                "-nostdin", f"{EDGE}:5060", check=False,
                                timeout=qemu.patience(seconds + 40))

    def make_phone(self, user, folder="phones", **options):
        return phone.Phone(self.folder / folder, self.hosts[user], user, DOMAIN, f"{user}-Secret-1",
                           server=EDGE, **options)


@pytest.fixture(scope="module", params=["host", "image"])
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    with netns.Network() as network:
        w = World()
        w.folder = folder
        w.make("ssh-keygen -q -N '' -C test -t ed25519 -f key")
        authority.Authority(folder, "Policy Root").issue(
            "server", authority.server(f"IP:{SERVER}", "serverAuth"))
        w.hosts = {user: network.host(user, f"10.77.0.{30 + n}/24") for n, user in enumerate(USERS)}
        w.server = network.host("server", f"{SERVER}/24")
        w.guesser = network.host("guesser", f"{GUESSER}/24")
        w.admin = network.host("admin", "10.77.0.14/24")
        provision = PROVISION.replace("{key}", (folder / "key.pub").read_text().strip())
        w.edge = host_board.edge_of(request.param, folder / "edge", network, provision)
        with w.edge:
            w.edge.expect(r"SIP ready", timeout=90)
            w.trust()
            yield w


def up(world):
    return "state=up" in world.ask("xStatus CallPolicy Service").split(SERVER)[1].split("\n")[0]


def test_without_a_server_the_default_action_counts(world):
    with world.make_phone("alice", folder="first") as alice:
        alice.wait("403 ", timeout=WAIT)
        said = world.ask("xStatus CallPolicy Service")
        assert "by_default=" in said and "state=down" in said, said
        assert "No policy server answers" in world.ask("xStatus Alarm")
        assert "rejected by default" in world.ask("xCommand Log Show: last=20")


def test_calls_and_registrations_go_by_the_service(world):
    with world.serve() as log, contextlib.ExitStack() as phones:
        netns.wait_for(lambda: up(world), WAIT, "the server found again", interval=0.5)
        assert "No policy server answers" not in world.ask("xStatus Alarm")
        alice = phones.enter_context(world.make_phone("alice", expires=600))
        bob = phones.enter_context(world.make_phone("bob", answer="auto", expires=600))
        mallory = phones.enter_context(world.make_phone("mallory"))
        for one in (alice, bob):
            one.wait_registered(timeout=WAIT)
        mallory.wait("403 ", timeout=WAIT)
        mark = alice.mark()
        alice.command("dial", f"sip:bob@{DOMAIN}")
        alice.wait("Call established", since=mark, timeout=WAIT)
        alice.command("hangup")
        mark = bob.mark()
        bob.command("dial", f"sip:alice@{DOMAIN}")
        bob.wait("486 Busy tonight", since=mark, timeout=WAIT)
        asked = log.read_text()
        assert (f"service=call&source=alice%40{DOMAIN}&destination=bob%40{DOMAIN}"
                "&user=alice") in asked
        assert "refused with 486: policy" in world.ask("xCommand Log Show: last=20")
        # Emergency calls are nobody's to decide.
        carol = phones.enter_context(world.make_phone("carol", answer="auto", expires=600))
        carol.wait_registered(timeout=WAIT)
        world.ask("xConfiguration SIP Authentication Mode: Off")
        done = world.sipp("emergency.xml")
        assert done.returncode == 0, done.stdout
        asked = [line for line in log.read_text().splitlines() if "service=call" in line]
        assert not any("carol" in line or "sos" in line for line in asked)
        world.ask("xConfiguration SIP Authentication Mode: On")


@contextlib.contextmanager
def flood(world):
    """Thousands of requests a second from one host."""
    process = world.guesser.start(
        "sipp", "-sf", SCENARIOS / "flood.xml", "-key", "domain", DOMAIN, "-i", GUESSER, "-p",
        "5066", "-r", "4000", "-nostdin", f"{EDGE}:5060", stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, cwd=world.folder)
    try:
        yield
        assert process.poll() is None, "the flood had an end"
    finally:
        process.kill()
        process.wait(10)


def unserved(world):
    """Requests that were refused or left without an answer, as the console tells."""
    said = world.ask("xStatus SIP Statistics")
    return sum(int(number) for number in re.findall(
        r"\b(?:rate_limited|overload|refused|unanswered)=(\d+)", said))


def heard(host):
    """Packets that came to its interface."""
    return int(host.run("cat", f"/sys/class/net/{netns.INTERFACE}/statistics/rx_packets").stdout)


def is_called(caller, user):
    mark = caller.mark()
    caller.command("dial", f"sip:{user}@{DOMAIN}")
    return "established" in caller.wait("Call established|session closed", since=mark,
                                        timeout=WAIT * 2)[0]


def test_a_flood_holds_up_no_call_and_no_emergency(world):
    settings = {"CallPolicy Service Calls": ("Off", "On"),
                "CallPolicy Service Registrations": ("Off", "On"),
                "SIP Overload Occupancy": ("20", "95")}
    for name, (value, _) in settings.items():
        world.ask(f"xConfiguration {name}: {value}")
    with contextlib.ExitStack() as phones:
        alice, bob, carol, mallory = (phones.enter_context(world.make_phone(
            user, folder="flood", answer="auto" if user in ("bob", "carol") else "manual",
            expires=600)) for user in USERS)
        for one in (alice, bob, carol, mallory):
            one.wait_registered(timeout=WAIT)
        before = unserved(world)
        with flood(world):
            netns.wait_for(lambda: unserved(world) > before, WAIT, "the flood", interval=0.3)
            mark = bob.mark()
            # Who is refused while there is more to do than can be done calls again.
            netns.wait_for(lambda: is_called(alice, "bob"), WAIT * 3, "a call", interval=1)
            start = heard(world.hosts["bob"])
            assert is_called(mallory, "carol"), "an emergency call was refused"
            netns.wait_for(lambda: heard(world.hosts["bob"]) > start + 150, WAIT, "sound")
            for one in (alice, mallory):
                one.command("hangup")
            counted = bob.wait(r"packets:\s+(\d+)\s+(\d+)", since=mark, timeout=WAIT)
            assert min(int(counted[1]), int(counted[2])) > 100, counted
        netns.wait_for(lambda: "taken_permille=1000" in world.ask("xStatus SIP Statistics"), WAIT,
                       "the end of it", interval=0.3)
        assert "SIP Call " not in world.ask("xStatus SIP Call")
        assert world.ask("xStatus SIP Registration").count("source=") == len(USERS)
    for name, (_, value) in settings.items():
        world.ask(f"xConfiguration {name}: {value}")


# Registers once: what it is offered, and what its answer to the first challenge is answered.
PROVER = textwrap.dedent("""
    import hashlib, re, socket, sys
    server, own, user, password, domain = sys.argv[1:]
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((own, 5080))
    line.settimeout(2)
    def ask(number, proof=""):
        text = (f"REGISTER sip:{domain} SIP/2.0\\r\\nVia: SIP/2.0/UDP {own}:5080"
                f";branch=z9hG4bKproof{number}\\r\\nFrom: <sip:{user}@{domain}>;tag=1\\r\\n"
                f"To: <sip:{user}@{domain}>\\r\\nCall-ID: proof\\r\\nCSeq: {number} REGISTER"
                f"\\r\\n{proof}Max-Forwards: 70\\r\\nContent-Length: 0\\r\\n\\r\\n")
        for _ in range(20):
            line.sendto(text.encode(), (server, 5060))
            try:
                return line.recv(65536).decode()
            except TimeoutError:
                pass
        sys.exit("no answer")
    def h(text):
        return hashlib.new("sha512_256", text.encode()).hexdigest()
    asked = ask(1)
    print(*re.findall(r"algorithm=([\\w-]+)", asked))
    realm, nonce = (re.search(f'{word}="([^"]*)"', asked)[1] for word in ("realm", "nonce"))
    uri = f"sip:{domain}"
    proof = h(f"{h(f'{user}:{realm}:{password}')}:{nonce}:00000001:c0:auth:{h(f'REGISTER:{uri}')}")
    said = ask(2, f'Authorization: Digest username="{user}", realm="{realm}", nonce="{nonce}", '
                  f'uri="{uri}", algorithm=SHA-512-256, qop=auth, nc=00000001, cnonce="c0", '
                  f'response="{proof}"\\r\\n')
    print(said.splitlines()[0])
""")


def test_a_password_is_proved_by_sha_512_256(world):
    world.ask("xConfiguration CallPolicy Service Registrations: Off")
    world.ask("xConfiguration SIP Authentication Algorithms: All")
    proved = [world.server.run(sys.executable, "-c", PROVER, EDGE, SERVER, "alice", password,
                               DOMAIN, check=False, timeout=WAIT * 2).stdout.splitlines()
              for password in ("alice-Secret-1", "alice-Secret-2")]
    world.ask("xConfiguration SIP Authentication Algorithms: MD5")
    world.ask("xConfiguration CallPolicy Service Registrations: On")
    assert proved == [["SHA-512-256 SHA-256 MD5", "SIP/2.0 200 OK"],
                      ["SHA-512-256 SHA-256 MD5", "SIP/2.0 401 Unauthorized"]]


def test_who_guesses_passwords_is_blocked_for_sip_until_he_is_let_in_again(world):
    world.ask("xConfiguration CallPolicy Service Registrations: Off")
    done = world.sipp("wrong_password.xml", count=3)
    assert done.returncode == 0, done.stdout
    netns.wait_for(lambda: f"SIP Source {GUESSER}: failures=0 blocks=1 blocked_s=" in
                   world.ask("xStatus IntrusionProtection"), WAIT, "the block", interval=0.3)
    assert "failed to log in too often (sip)" in world.ask("xCommand Log Show: last=20")
    assert world.sipp("wrong_password.xml", seconds=3).returncode != 0
    assert "free again" in world.ask(f"xCommand IntrusionProtection Unblock: {GUESSER}")
    done = world.sipp("wrong_password.xml")
    assert done.returncode == 0, done.stdout
