"""TURN by clients nobody here wrote: coturn's turnutils_uclient through our relay to
turnutils_peer, in the modes it has over UDP, TCP, TLS and DTLS; wrong passwords; a data channel
and a call of headless Chromium that may use nothing but relays. On the Linux process in every
mode, on the signed image in QEMU over each transport and with Chromium. Clients of one machine
run side by side: most of their time is spent waiting. coturn's binaries come out of Debian's
package without installing it: its installation would start a daemon."""

import pathlib
import re
import shutil
import subprocess
from concurrent import futures

import pytest

import browser
import host as host_board
import netns
import qemu

SERVER = "10.77.0.2"
CLIENT = "10.77.0.11"
PEER = "10.77.0.12"
PAGE = pathlib.Path(__file__).with_name("webrtc.html")
PASSWORD = "Gate-house-42"
PROVISION = f"""\
xConfiguration System Name: edge
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


@pytest.fixture(scope="module")
def coturn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coturn")
    done = subprocess.run(["apt-get", "download", "coturn"], cwd=folder, capture_output=True,
                          text=True, check=False)
    packages = list(folder.glob("coturn_*.deb"))
    if done.returncode != 0 or not packages:
        pytest.fail(f"coturn's package cannot be had: {done.stderr}")
    subprocess.run(["dpkg", "-x", packages[0], folder / "root"], check=True)
    assert shutil.which(str(folder / "root/usr/bin/turnutils_uclient"))
    return folder / "root/usr/bin"


@pytest.fixture(scope="module")
def scene(coturn, tmp_path_factory):
    with netns.Network() as network:
        client = network.host("client", f"{CLIENT}/24")
        peer = network.host("peer", f"{PEER}/24")
        edge = network.host("edge")
        server = host_board.HostMachine(tmp_path_factory.mktemp("edge"), netns.INTERFACE,
                                        edge.namespace, PROVISION)
        server.start()
        server.expect(r"login:", 60)
        peer.start(coturn / "turnutils_peer", "-L", PEER, "-p", "3480",
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        netns.wait_for(lambda: "3480" in peer.run("ss", "-lun").stdout, 10, "the peer listens")
        yield server, client, coturn
        server.stop()


def uclient(scene, *flags, user="alice", password=("-w", "secret"), count=20):
    _, client, coturn = scene
    done = client.run(coturn / "turnutils_uclient", "-n", str(count), "-m", "2", "-l", "160",
                      "-e", PEER, "-r", "3480", "-u", user, *password, *flags, SERVER,
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
IMAGE_MODES = {name: MODES[name] for name in (
    "channels", "indications", "tcp-channels", "tls-channels", "dtls-channels")}


def run_all(scene, modes):
    with futures.ThreadPoolExecutor(8) as pool:
        runs = {name: pool.submit(uclient, scene, *flags) for name, flags in modes.items()}
        return {name: run.result() for name, run in runs.items()}


@pytest.fixture(scope="module")
def outcomes(scene):
    return run_all(scene, MODES)


@pytest.mark.parametrize("mode", MODES)
def test_uclient_relays_everything(outcomes, mode):
    expect_all(outcomes[mode])


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
        peer = network.host("peer", f"{PEER}/24")
        machine = qemu.Machine(tmp_path_factory.mktemp("image"), netns=network.switch,
                               netdevs=[qemu.tap_net(network.tap())], provision=PROVISION)
        machine.start()
        machine.expect(r"login:", 240)
        peer.start(coturn / "turnutils_peer", "-L", PEER, "-p", "3480",
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        netns.wait_for(lambda: "3480" in peer.run("ss", "-lun").stdout, 10, "the peer listens")
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
