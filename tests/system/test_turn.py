"""TURN by a client nobody here wrote: coturn's turnutils_uclient through our relay to
turnutils_peer, on namespaces, in the modes it has over UDP, TCP and TLS; wrong passwords; what the
operator sees. The binaries come out of Debian's coturn package without installing it: its
installation would start a daemon."""

import re
import shutil
import subprocess

import pytest

import host as host_board
import netns

SERVER = "10.77.0.2"
CLIENT = "10.77.0.11"
PEER = "10.77.0.12"
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


@pytest.mark.parametrize("flags", [
    [], ["-s"], ["-g"], ["-c"], ["-G"], ["-D"], ["-B"], ["-t"], ["-t", "-s"],
    ["-t", "-S", "-p", "5349"], ["-t", "-S", "-s", "-p", "5349"],
], ids=["channels", "indications", "dont-fragment", "no-rtcp", "extra-requests", "padding",
        "disconnects", "tcp-channels", "tcp-indications", "tls-channels", "tls-indications"])
def test_uclient_relays_everything(scene, flags):
    expect_all(uclient(scene, *flags))


def test_two_clients_meet_across_relays(scene):
    expect_all(uclient(scene, "-y"))


def test_shared_secret_credentials(scene):
    expect_all(uclient(scene, user="carol", password=("-W", "shared-secret")))


def test_wrong_password_is_refused(scene):
    code, text = uclient(scene, password=("-w", "wrong"), count=1)
    assert code != 0
    assert "Cannot complete Allocation" in text, text[-2000:]
