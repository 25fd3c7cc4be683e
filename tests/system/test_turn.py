"""TURN by clients nobody here wrote: coturn's turnutils_uclient through our relay to
turnutils_peer, in the modes it has over UDP, TCP, TLS and DTLS; wrong passwords; a data channel
and a call of headless Chromium that may use nothing but relays. On the Linux process in every
mode, on the signed image in QEMU over each transport and with Chromium. Clients of one machine
run side by side: most of their time is spent waiting. coturn's binaries come out of Debian's
package without installing it: its installation would start a daemon."""

import base64
import os
import pathlib
import re
import select
import subprocess
from concurrent import futures

import pytest

import browser
import coturn_package
import host as host_board
import netns
import operator_console
import qemu

SERVER = "10.77.0.2"
CLIENT = "10.77.0.11"
PEER = "10.77.0.12"
SERVER6, CLIENT6, PEER6 = "fd77::2", "fd77::11", "fd77::12"
SECOND = "10.78.0.2"  # on the second LAN port, in a VLAN
VLAN = 42
ALTERNATIVE = "10.77.0.13"  # of the client
# Those built into turnutils_uclient.
TOKEN_KEYS = {"north": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
              "union": "MTIzNDU2Nzg5MDEyMzQ1Ng==",
              "oldempire": "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="}
AIOICE = pathlib.Path(__file__).with_name("aioice_pair.py")
LIBNICE = pathlib.Path(__file__).with_name("libnice_pair.py")
PAGE = pathlib.Path(__file__).with_name("webrtc.html")
PASSWORD = "Gate-house-42"
PROVISION = f"""\
xConfiguration System Name: edge1
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {SERVER}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration SIP Domain 1 Name: example.com
xConfiguration Authentication User 1 Name: alice
xConfiguration Authentication User 1 Password: secret
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: {PASSWORD}
xConfiguration Traversal Server TURN Mode: On
xConfiguration Traversal Server TURN Allow 1 Prefix: 10.77.0.0/24
xConfiguration Traversal Server TURN Secret 1 Value: shared-secret
xConfiguration Network Port 2 IPv4 Address: {SECOND}
xConfiguration Network Port 2 IPv4 PrefixLength: 24
xConfiguration Network Port 2 VLAN: {VLAN}
xConfiguration Traversal Server TURN Realm 1 Name: north.example
xConfiguration Traversal Server TURN Realm 1 Listener Address: {SECOND}
xConfiguration Traversal Server TURN User 1 Name: alice
xConfiguration Traversal Server TURN User 1 Password: northern
xConfiguration Traversal Server TURN User 1 Realm: 1
xConfiguration Traversal Server TURN Realm 2 Name: south.example
xConfiguration Traversal Server TURN Realm 2 Domain: south.example
xConfiguration Traversal Server TURN Realm 2 Secret: southern-secret
xConfiguration Traversal Server TURN User 2 Name: carla
xConfiguration Traversal Server TURN User 2 Password: southern
xConfiguration Traversal Server TURN User 2 Realm: 2
"""
# What is off unless asked for.
MORE = f"""\
xConfiguration Network Port 1 IPv6 Address: {SERVER6}
xConfiguration Traversal Server TURN Realm 2 Quota Total: 6
xConfiguration Traversal Server TURN Allow 2 Prefix: fd77::/64
xConfiguration Traversal Server TURN Relay TCP: On
xConfiguration Traversal Server TURN Mobility: On
xConfiguration Traversal Server TURN Discovery Mode: On
xConfiguration Traversal Server TURN Discovery Address: {SECOND}
"""


def start_peers(peer, coturn):
    for address in (PEER, PEER6):
        peer.start(coturn / "turnutils_peer", "-L", address, "-p", "3480",
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for address in (f"{PEER}:3480", f"[{PEER6}]:3480"):
        netns.wait_for(lambda at=address: at in peer.run("ss", "-lun").stdout, 20,
                       f"the peer listens at {address}")


@pytest.fixture(scope="module", name="coturn")
def coturn_tools(tmp_path_factory):
    return coturn_package.unpack(tmp_path_factory.mktemp("coturn"))


@pytest.fixture(scope="module")
def scene(coturn, tmp_path_factory):
    with netns.Network() as network:
        client = network.host("client", f"{CLIENT}/24", f"{ALTERNATIVE}/24", f"{CLIENT6}/64")
        network.vlan(client, VLAN, "10.78.0.11/24")
        peer = network.host("peer", f"{PEER}/24", f"{PEER6}/64")
        edge = network.host("edge")
        network.interface(edge, "lan2")
        server = host_board.HostMachine(tmp_path_factory.mktemp("edge"), netns.INTERFACE,
                                        edge.namespace, PROVISION + MORE, ["--packet", "lan2"])
        server.start()
        operator_console.log_in(server)
        start_peers(peer, coturn)
        yield server, client, coturn
        server.stop()


def uclient(scene, *flags, user="alice", password=("-w", "secret"), count=20, server=SERVER,
            peer=PEER):
    _, client, coturn = scene
    try:
        done = client.run(coturn / "turnutils_uclient", "-n", str(count), "-m", "2", "-l", "160",
                          "-e", peer, "-r", "3480", "-u", user, *password, *flags, server,
                          check=False, timeout=90)
    except subprocess.TimeoutExpired:
        return None, "the client did not end"
    return done.returncode, done.stdout + done.stderr


def expect_all(outcome):
    code, text = outcome
    assert code == 0, text[-2000:]
    lost = re.findall(r"Total lost packets (\d+)", text)
    assert lost and lost[-1] == "0", text[-2000:]


TLS = ["-t", "-S", "-p", "5349"]
DTLS = ["-S", "-p", "5349"]
MODES = {
    "channels": [], "indications": ["-s"], "dont-fragment": ["-g"], "no-rtcp": ["-c"],
    "extra-requests": ["-G"], "padding": ["-D"], "disconnects": ["-B"], "two-clients": ["-y"],
    "ipv4-asked-for": ["-X"],
    "tcp-channels": ["-t"], "tcp-indications": ["-t", "-s"],
    "tls-channels": TLS, "tls-indications": [*TLS, "-s"],
    "dtls-channels": DTLS, "dtls-indications": [*DTLS, "-s"], "dtls-two-clients": [*DTLS, "-y"],
}
MODES |= {
    "mobility": ["-M"], "tcp-mobility": ["-M", "-t"],
    "tcp-relays": ["-T"], "tls-tcp-relays": ["-T", "-S", "-p", "5349"],
    "ipv6-relays": ["-x"], "dual-allocation": ["-Z"],
    "fragments": ["-l", "1800"], "fragments-indications": ["-s", "-l", "1800"],
    "fragments-ipv6": ["-x", "-6", "-l", "1800"],
    "vlan": ["-V"], "vlan-indications": ["-V", "-s"], "vlan-tcp": ["-V", "-t"],
    "vlan-fragments": ["-V", "-l", "1800"],
    "ipv6-client": ["-6"], "ipv6-client-tcp": ["-6", "-t"], "ipv6-client-dtls": ["-6", *DTLS],
}
IMAGE_MODES = {name: MODES[name] for name in (
    "channels", "indications", "tcp-channels", "tls-channels", "dtls-channels", "fragments",
    "vlan")}


def run_all(scene, modes):
    """Flags of our own: -6 comes over IPv6, -V by the VLAN, whose listener has its own realm."""
    with futures.ThreadPoolExecutor(16) as pool:
        runs = {name: pool.submit(uclient, scene, *[f for f in flags if f not in ("-6", "-V")],
                                  server=SERVER6 if "-6" in flags else
                                  SECOND if "-V" in flags else SERVER,
                                  peer=PEER6 if "-x" in flags else PEER,
                                  password=("-w", "northern" if "-V" in flags else "secret"))
                for name, flags in modes.items()}
        return {name: run.result() for name, run in runs.items()}


@pytest.fixture(scope="module")
def outcomes(scene):
    return run_all(scene, MODES | {"peers-connect": ["-P", "-L", CLIENT]})


@pytest.mark.parametrize("mode", MODES)
def test_uclient_relays_everything(outcomes, mode):
    expect_all(outcomes[mode])


@pytest.mark.parametrize("flags, said", [
    (["-m"], "NAT with Endpoint Independent Mapping|No NAT"),
    (["-f"], "NAT with Endpoint Independent Filtering"),
    (["-m", "-P"], "NAT with Endpoint Independent Mapping|No NAT"),
    (["-t", "-T", "1"], r"response 2(?s:.*)UDP reflexive addr"),
    (["-c", "-A", ALTERNATIVE], f"response 2(?s:.*)UDP reflexive addr: {ALTERNATIVE}"),
    (["-H"], "maybe a successful hairpinning"),
])
def test_natdiscovery_learns_how_a_nat_behaves(scene, flags, said):
    _, client, coturn = scene
    done = client.run(coturn / "turnutils_natdiscovery", *flags, "-L", CLIENT, SERVER,
                      check=False, timeout=60)
    assert re.search(said, done.stdout + done.stderr), done.stdout + done.stderr


def test_media_can_be_captured_and_is_counted(scene, tmp_path):
    server = scene[0]
    ask = operator_console.ask
    assert "Capturing" in ask(server, f"xCommand Capture Start: Host {PEER} Protocol udp")
    expect_all(uclient(scene, "-c", count=30))
    ask(server, "xCommand Capture Stop")
    dump = ask(server, "xCommand Capture Dump")
    path = tmp_path / "media.pcapng"
    path.write_bytes(base64.b64decode("".join(
        re.findall(r"^[A-Za-z0-9+/]{4,76}={0,2}$", dump, re.MULTILINE))))
    said = subprocess.run(["tshark", "-r", path, "-Y", "udp.port == 3480", "-T", "fields",
                           "-e", "ip.src", "-e", "udp.length"], capture_output=True, text=True,
                          check=True).stdout
    # Both ways, 30 messages of each of two clients, 160 bytes each: what the plane relays itself.
    for source in (SERVER, PEER):
        assert said.count(f"{source}\t168\n") >= 60, said
    status = ask(server, "xStatus TURN")
    assert int(re.search(r"in_place=(\d+)", status).group(1)) >= 120, status
    assert int(re.search(r"TURN DTLS:.* accepted=(\d+)", status).group(1)) >= 4, status


def test_openssl_shakes_hands_over_dtls(scene):
    _, client, _ = scene
    done = client.run("openssl", "s_client", "-dtls1_2", "-connect", f"{SERVER}:5349", input="",
                      check=False, timeout=30)
    assert "Protocol  : DTLSv1.2" in done.stdout, done.stdout + done.stderr
    assert re.search(r"Cipher    : ECDHE-\S+(GCM|POLY1305)", done.stdout), done.stdout


def ask_over_tls(client, *flags):
    """The answer to who asks for an allocation over TLS or DTLS without credentials."""
    request = (bytes.fromhex("000300082112a442") + b"twelve-bytes" +
               bytes.fromhex("0019000411000000"))
    process = client.start("openssl", "s_client", "-quiet", "-connect", f"{SERVER}:5349", *flags,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL)
    try:
        process.stdin.write(request)
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], qemu.patience(20))
        return process.stdout.read1(2000) if ready else b""
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name, realm", [
    ("south.example", b"south.example"), ("turn.south.example", b"south.example"),
    ("elsewhere.example", b"example.com"), (None, b"example.com")])
@pytest.mark.parametrize("kind", [["-tls1_3"], ["-tls1_2"], ["-dtls1_2"]])
def test_a_realm_by_the_name_in_the_handshake(scene, kind, name, realm):
    named = ["-noservername"] if name is None else ["-servername", name]
    answer = ask_over_tls(scene[1], *kind, *named)
    assert answer[:2] == bytes.fromhex("0113") and b"\x00\x14\x00" in answer, answer
    assert realm in answer, answer


@pytest.mark.parametrize("kind", [["-tls1_3"], ["-tls1_2"], ["-dtls1_2"]])
@pytest.mark.parametrize("offer, agreed", [
    ("stun.turn", "ALPN protocol: stun.turn"),
    ("h2,stun.nat-discovery", "ALPN protocol: stun.nat-discovery"),
    ("h2", "No ALPN negotiated")])
def test_the_protocol_is_agreed_on(scene, kind, offer, agreed):
    """RFC 7443."""
    done = scene[1].run("openssl", "s_client", *kind, "-connect", f"{SERVER}:5349", "-alpn", offer,
                        check=False, input="", timeout=qemu.patience(30))
    assert agreed in done.stdout, done.stdout + done.stderr


def test_shared_secret_credentials(scene):
    expect_all(uclient(scene, user="carol", password=("-W", "shared-secret")))


def test_a_realm_by_the_domain_said(scene):
    south = {"user": "carol", "password": ("-W", "southern-secret")}
    expect_all(uclient(scene, "-o", "https://south.example", **south))
    # Its credentials are good there alone; and its quota is its own.
    assert uclient(scene, **south, count=1)[0] != 0
    assert uclient(scene, "-o", "https://south.example", "-m", "4", **south, count=1)[0] != 0
    status = operator_console.ask(scene[0], "xStatus TURN")
    assert "TURN Realm 2: south.example" in status, status
    assert int(re.search(r"quota=(\d+)", status).group(1)) > 0, status


def test_a_realm_is_there_when_it_is_typed(scene):
    path = "xConfiguration Traversal Server TURN Realm 3"
    east = {"user": "carol", "password": ("-W", "eastern-secret")}
    assert uclient(scene, "-o", "https://east.example", **east, count=1)[0] != 0
    settings = {"Name": "east.example", "Domain": "east.example", "Secret": "eastern-secret"}
    for name, value in settings.items():
        operator_console.ask(scene[0], f"{path} {name}: {value}")
    try:
        expect_all(uclient(scene, "-o", "https://east.example", **east))
    finally:
        for name in reversed(settings):
            operator_console.ask(scene[0], f"{path} {name}: ")


def test_a_realm_by_the_listener(scene):
    code, text = uclient(scene, server=SECOND, count=1)  # with the general realm's password
    assert code != 0 and "Cannot complete Allocation" in text, text[-2000:]
    status = operator_console.ask(scene[0], "xStatus Network")
    assert f"vlan={VLAN}" in status, status


def test_tokens_of_coturns_client(scene):
    """RFC 7635 with coturn's test keys: it signs the requests behind the first by the token's."""
    ask = operator_console.ask
    path = "xConfiguration Traversal Server TURN Token"
    for number, (name, key) in enumerate(TOKEN_KEYS.items(), 1):
        ask(scene[0], f"{path} {number} Name: {name}")
        ask(scene[0], f"{path} {number} Key: {key}")
    ask(scene[0], f"{path} Server: crinna.org")
    try:
        for flags in [], ["-t"]:
            expect_all(uclient(scene, "-J", *flags, user="nobody", password=("-w", "nothing")))
    finally:
        ask(scene[0], f"{path} Server: ")


def test_peers_that_connect_to_relays(outcomes):
    """With -P coturn's client has its peers connect (RFC 6062). They hear everything; what they
    send back it does not read: with coturn's own server too 50 % is what it counts as lost."""
    code, text = outcomes["peers-connect"]
    assert code == 0 and "tot_send_msgs=40, tot_recv_msgs=20" in text, text[-2000:]


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_libnice_finds_a_way_through_relays_alone(scene, kind):
    done = scene[1].run("/usr/bin/python3", LIBNICE, SERVER, "3478", kind, "alice", "secret", "50",
                        check=False, timeout=60)
    assert "received 50 50 relayed-relayed relayed-relayed" in done.stdout, \
        done.stdout + done.stderr


@pytest.mark.parametrize("kind, port", [("udp", 3478), ("tcp", 3478), ("tls", 5349)])
def test_aioice_finds_a_way_through_relays_alone(scene, tmp_path, kind, port):
    environment = dict(os.environ)
    if kind == "tls":  # it verifies what it is shown
        shown = scene[1].run("openssl", "s_client", "-connect", f"{SERVER}:{port}", input="",
                             check=False, timeout=qemu.patience(30)).stdout
        begin = shown.index("-----BEGIN")
        (tmp_path / "server.pem").write_text(shown[begin:shown.index("-----END") + 26])
        environment["SSL_CERT_FILE"] = str(tmp_path / "server.pem")
    done = scene[1].run("/usr/bin/python3", AIOICE, SERVER, str(port), kind, "alice", "secret",
                        "50", check=False, timeout=qemu.patience(60), env=environment)
    assert "received 50 50 relay-relay relay-relay" in done.stdout, done.stdout + done.stderr


def test_wrong_password_is_refused(scene):
    code, text = uclient(scene, password=("-w", "wrong"), count=1)
    assert code != 0
    assert "Cannot complete Allocation" in text, text[-2000:]


@pytest.fixture(scope="module")
def image_scene(coturn, tmp_path_factory):
    """The same on the signed image: QEMU's card is a TAP on the switch."""
    with netns.Network() as network:
        client = network.host("client", f"{CLIENT}/24")
        network.vlan(client, VLAN, "10.78.0.11/24")
        peer = network.host("peer", f"{PEER}/24", f"{PEER6}/64")
        machine = qemu.Machine(tmp_path_factory.mktemp("image"), netns=network.switch, cpus=2,
                               netdevs=[qemu.tap_net(network.tap()),
                                        qemu.tap_net(network.tap("tap1"), "net1")],
                               provision=PROVISION)
        machine.start()
        machine.expect(r"login:", 240)
        start_peers(peer, coturn)
        yield machine, client, coturn
        machine.stop()


@pytest.fixture(scope="module")
def image_outcomes(image_scene):
    return run_all(image_scene, IMAGE_MODES)


@pytest.mark.parametrize("mode", IMAGE_MODES)
def test_uclient_through_the_booted_image(image_outcomes, mode):
    expect_all(image_outcomes[mode])


@pytest.fixture(scope="module")
def chromium(image_scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chromium")
    with browser.Chromium(folder, image_scene[1], "--ignore-certificate-errors",
                          f"--host-resolver-rules=MAP turn.south.example {SERVER}") as running:
        running.open(PAGE)
        yield running


@pytest.mark.parametrize("url, protocol", [
    (f"turn:{SERVER}?transport=udp", "udp"),
    (f"turn:{SERVER}?transport=tcp", "tcp"),
    # By that name it is in another realm, where alice is nobody.
    ("turns:turn.south.example:5349?transport=tcp", "tls"),
])
def test_chromium_calls_through_the_booted_image(chromium, url, protocol):
    user, password = ("carla", "southern") if "south" in url else ("alice", "secret")
    seen = chromium.run(
        f"talk({{urls: '{url}', username: '{user}', credential: '{password}'}}, 50, 30)", 120)
    print(seen)
    for side in (seen["near"], seen["far"]):
        assert (side["local"], side["remote"]) == ("relay", "relay"), seen
        assert side["protocol"] == protocol, seen
        assert side["address"] == SERVER and 24000 <= side["port"] <= 29999, seen
    assert seen["right"], seen
    assert seen["frames"] >= 30 and seen["audio"] >= 50, seen


def test_the_images_second_processor_relays(image_scene, image_outcomes):
    assert len(image_outcomes) == len(IMAGE_MODES)
    machine = image_scene[0]
    machine.send("admin\r")
    machine.expect(r"password: ")
    machine.send(PASSWORD + "\r")
    machine.expect(r"edge1> ")
    machine.send("xStatus Media\r")
    machine.expect(r"Media Processor: processor with APIC \d+")
    machine.send("xStatus TURN\r")
    assert int(machine.expect(r"in_place=(\d+)").group(1)) > 20
