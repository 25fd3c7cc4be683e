"""TURN by clients nobody here wrote: coturn's turnutils_uclient through our relay to
turnutils_peer, in the modes it has over UDP, TCP, TLS and DTLS; wrong passwords; a data channel
and a call of headless Chromium that may use nothing but relays. On the Linux process in every
mode, on the signed image in QEMU over each transport and with Chromium. Clients of one machine
run side by side: most of their time is spent waiting. coturn's binaries come out of Debian's
package without installing it: its installation would start a daemon."""

import base64
import pathlib
import re
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
SECOND = "10.78.0.2"
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
"""
# What is off unless asked for.
MORE = f"""\
xConfiguration Network Port 1 IPv6 Address: {SERVER6}
xConfiguration Network Port 2 IPv4 Address: {SECOND}
xConfiguration Network Port 2 IPv4 PrefixLength: 24
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
        client = network.host("client", f"{CLIENT}/24", "10.78.0.11/24", f"{CLIENT6}/64")
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
    done = client.run(coturn / "turnutils_uclient", "-n", str(count), "-m", "2", "-l", "160",
                      "-e", peer, "-r", "3480", "-u", user, *password, *flags, server,
                      check=False, timeout=90)
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
    "ipv6-client": ["-6"], "ipv6-client-tcp": ["-6", "-t"], "ipv6-client-dtls": ["-6", *DTLS],
}
IMAGE_MODES = {name: MODES[name] for name in (
    "channels", "indications", "tcp-channels", "tls-channels", "dtls-channels")}


def run_all(scene, modes):
    with futures.ThreadPoolExecutor(8) as pool:
        runs = {name: pool.submit(uclient, scene, *[f for f in flags if f != "-6"],
                                  server=SERVER6 if "-6" in flags else SERVER,
                                  peer=PEER6 if "-x" in flags else PEER)
                for name, flags in modes.items()}
        return {name: run.result() for name, run in runs.items()}


@pytest.fixture(scope="module")
def outcomes(scene):
    return run_all(scene, MODES)


@pytest.mark.parametrize("mode", MODES)
def test_uclient_relays_everything(outcomes, mode):
    expect_all(outcomes[mode])


@pytest.mark.parametrize("flags, said", [
    (["-m"], "NAT with Endpoint Independent Mapping|No NAT"),
    (["-f"], "NAT with Endpoint Independent Filtering"),
    (["-m", "-P"], "NAT with Endpoint Independent Mapping|No NAT"),
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


def test_shared_secret_credentials(scene):
    expect_all(uclient(scene, user="carol", password=("-W", "shared-secret")))


def test_wrong_password_is_refused(scene):
    code, text = uclient(scene, password=("-w", "wrong"), count=1)
    assert code != 0
    assert "Cannot complete Allocation" in text, text[-2000:]


@pytest.fixture(scope="module")
def image_scene(coturn, tmp_path_factory):
    """The same on the signed image: QEMU's card is a TAP on the switch."""
    with netns.Network() as network:
        client = network.host("client", f"{CLIENT}/24")
        peer = network.host("peer", f"{PEER}/24", f"{PEER6}/64")
        machine = qemu.Machine(tmp_path_factory.mktemp("image"), netns=network.switch, cpus=2,
                               netdevs=[qemu.tap_net(network.tap())], provision=PROVISION)
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
    with browser.Chromium(folder, image_scene[1], "--ignore-certificate-errors") as running:
        running.open(PAGE)
        yield running


@pytest.mark.parametrize("url, protocol", [
    (f"turn:{SERVER}?transport=udp", "udp"),
    (f"turn:{SERVER}?transport=tcp", "tcp"),
    (f"turns:{SERVER}:5349?transport=tcp", "tls"),
])
def test_chromium_calls_through_the_booted_image(chromium, url, protocol):
    seen = chromium.run(
        f"talk({{urls: '{url}', username: 'alice', credential: 'secret'}}, 50, 30)", 120)
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
