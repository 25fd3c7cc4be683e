"""Time from chrony's server: plain, with keys of every algorithm, and with a wrong one.

chronyd is unpacked from its package, not installed: it would put itself in the place of this
machine's own time service. It runs without touching the clock (-x), in a network namespace.
"""

import pathlib
import re
import subprocess

import host as host_board
import netns
import operator_console
import pytest

EDGE, SERVER = "10.77.0.2", "10.77.0.13"
KEYS = {10: ("MD5", "MD5", "plain-characters"), 11: ("SHA1", "SHA1", "HEX:" + "1f" * 20),
        12: ("SHA256", "SHA256", "HEX:" + "2e" * 32), 13: ("SHA512", "SHA512", "HEX:" + "3d" * 60),
        14: ("AES128", "AES128", "HEX:000102030405060708090a0b0c0d0e0f")}
PROVISION = operator_console.PROVISION + f"""\
xConfiguration Network Port 1 IPv4 Address: {EDGE}
xConfiguration NTP Poll Min: 16
xConfiguration Console Severity: Emergency
"""
CONFIGURATION = """\
local stratum 5
allow
keyfile {folder}/keys
pidfile {folder}/pid
cmdport 0
bindcmdaddress /
"""


def chronyd():
    folder = pathlib.Path("out/deps/chrony").resolve()
    program = folder / "usr/sbin/chronyd"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", "chrony"], cwd=folder, check=True,
                       capture_output=True)
        package = next(folder.glob("chrony_*.deb"))
        subprocess.run(["dpkg", "-x", package, folder], check=True)
    return program


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ntp")
    keys = "".join(f"{number} {kind} {value}\n" for number, (_, kind, value) in KEYS.items())
    (folder / "keys").write_text(keys, encoding="utf-8")
    (folder / "chrony.conf").write_text(CONFIGURATION.format(folder=folder), encoding="utf-8")
    with netns.Network() as network:
        server = network.host("server", f"{SERVER}/24")
        with (folder / "chronyd.log").open("w", encoding="utf-8") as log:
            server.start(chronyd(), "-x", "-d", "-u", "root", "-f", folder / "chrony.conf",
                         stdout=log, stderr=log)
            board = network.host("edge")
            machine = host_board.HostMachine(folder / "edge", netns.INTERFACE, board.namespace,
                                             provision=PROVISION)
            (folder / "edge").mkdir()
            with machine:
                operator_console.log_in(machine)
                yield machine


def configure(edge, address=SERVER, number=0, algorithm="AES128", value=""):
    operator_console.ask(edge, "xConfiguration NTP Server 1 Address:")
    for name, text in (("Key Id", 0), ("Key Algorithm", algorithm), ("Key Value", value),
                       ("Key Id", number), ("Address", address)):
        said = operator_console.ask(edge, f"xConfiguration NTP Server 1 {name}: {text}")
        assert "OK" in said, said


def line(edge):
    return re.search(r"NTP Server 1: .*", operator_console.ask(edge, "xStatus NTP")).group(0)


def test_a_server_without_a_key_is_followed(edge):
    configure(edge)
    netns.wait_for(lambda: "chosen" in line(edge), 30, "an answer", 0.5)
    said = line(edge)
    assert "key=No" in said and "stratum=5" in said, said
    # Both clocks are this machine's: what is left is the measurement's error, half its round trip.
    offset, trip = (float(re.search(rf"{name}_ms=(-?[\d.]+)", said).group(1))
                    for name in ("offset", "round_trip"))
    assert abs(offset) < max(50, trip), said
    assert "NTP State: Synchronised" in operator_console.ask(edge, "xStatus NTP")


@pytest.mark.parametrize("number", KEYS)
def test_an_answer_that_proves_its_key_is_believed(edge, number):
    algorithm, _, value = KEYS[number]
    configure(edge, number=number, algorithm=algorithm, value=value)
    netns.wait_for(lambda: "chosen" in line(edge), 30, f"an answer with {algorithm}", 0.5)
    assert "key=Yes" in line(edge)


def test_a_server_that_does_not_know_the_key_is_not_believed(edge):
    configure(edge, number=14, algorithm="AES128", value="HEX:ff0102030405060708090a0b0c0d0eff")
    netns.wait_for(lambda: int(re.search(r"sent=(\d+)", line(edge)).group(1)) >= 1, 30,
                   "a question", 0.5)
    assert "chosen" not in line(edge) and "good=0" in line(edge)
