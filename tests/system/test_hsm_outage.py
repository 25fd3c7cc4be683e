"""An HSM that goes away under load, on the signed image and on the Linux process. TLS sessions with
SIP, a call of stock phones over TLS and a TURN relay of coturn's client run while SoftHSM's server
is killed and started: what is kept and what is refused, how fast, is printed and judged. Then a
second module, a network HSM (stunnel, mutual TLS): fail-over and fail-back by priority, and the
circuit breaker of one that hangs.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import coturn_package
import hsm_site
import netns
import phone
import qemu
import softhsm
from authority import server

DOMAIN = "example.com"
NAME = "edge.example.com"
PROVISION = """\
xConfiguration Authentication User 1 Name: alice
xConfiguration Authentication User 1 Password: a-Secret-1
xConfiguration Authentication User 2 Name: bob
xConfiguration Authentication User 2 Password: b-Secret-2
xConfiguration Traversal Server TURN Mode: On
xConfiguration Traversal Server TURN Allow 1 Prefix: 10.77.0.0/24
"""
PEER, HSM = "10.77.0.12", "10.77.0.21"
SESSIONS = 20
DOWN_S = 6


@pytest.fixture(scope="module", name="coturn")
def coturn_tools(tmp_path_factory):
    return coturn_package.unpack(tmp_path_factory.mktemp("coturn"))


@pytest.fixture(scope="module", params=["host", "image"])
def site(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("o")
    with hsm_site.Site(request.param, folder, PROVISION) as site:
        site.other = site.network.host("other", f"{PEER}/24")
        site.hsm = softhsm.SoftHsm(folder / "hsm", site.token)
        with site.hsm:
            site.add_local_module()
            site.set("HSM Module 1 Priority: 1")
            assert "OK, trusted" in site.paste("xCommand Trust Add", "root.pem")
            site.wait_for("xStatus HSM", "Server running: True", qemu.patience(20))
            assert "Key generated" in site.ask("xCommand HSM Key Generate: edge P-256")
            site.certify("edge", NAME)
            yield site


class Load:
    def __init__(self, site, sessions):
        self.process = site.phone.start(
            sys.executable, Path(__file__).with_name("hsm_load.py"), hsm_site.EDGE,
            hsm_site.PHONE, site.folder / "root.pem", sessions, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(3):
            assert "ready" in self.process.stdout.readline()

    def stop(self):
        self.process.stdin.close()
        outcome = json.loads(self.process.stdout.read())
        self.process.wait(qemu.patience(30))
        return outcome


def between(tries, begin, end):
    """Handshakes that began and ended in between."""
    return [one for one in tries if begin <= one[0] and one[0] + one[1] <= end]


def is_refused(one):
    return one[2].startswith("refused")


def test_an_outage_costs_new_full_handshakes_and_nothing_else(site, coturn):
    turn = site.other.start(coturn / "turnutils_peer", "-L", PEER, "-p", "3480",
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with phone.Phone(site.folder, site.phone, "alice", DOMAIN, "a-Secret-1", hsm_site.EDGE,
                     transport="tls", expires=60) as alice, \
         phone.Phone(site.folder, site.other, "bob", DOMAIN, "b-Secret-2", hsm_site.EDGE,
                     transport="tls", answer="auto", expires=60) as bob:
        alice.wait_registered(qemu.patience(20))
        bob.wait_registered(qemu.patience(20))
        alice.command("dial", f"sip:bob@{DOMAIN}")
        for one in (alice, bob):
            one.wait("Call established", qemu.patience(20))
        relay = site.phone.start(
            coturn / "turnutils_uclient", "-n", "600", "-m", "2", "-l", "160", "-z", "20", "-e",
            PEER, "-r", "3480", "-u", "alice", "-w", "a-Secret-1", hsm_site.EDGE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        load = Load(site, SESSIONS)
        time.sleep(2)
        killed = time.monotonic()
        site.hsm.kill()
        site.wait_for("xStatus Alarm", "HSM failure", qemu.patience(10))
        told = time.monotonic() - killed
        time.sleep(DOWN_S)
        started = time.monotonic()
        site.hsm.start()
        site.wait_for("xStatus HSM", r"HSM Key edge: .*available=True", qemu.patience(20))
        back = time.monotonic()
        outcome = load.stop()
        relayed = relay.communicate(timeout=qemu.patience(60))[0]
        for one in (alice, bob):  # the call outlives the outage, over the sessions it began with
            log = one.log_text()
            assert "terminated" not in log and "session closed" not in log, log[-2000:]
        alice.command("hangup")
        bob.wait("session closed|terminated", qemu.patience(20))
    turn.terminate()
    full = outcome["tries"]["full"]
    outage = between(full, killed + 0.2, started)
    resumed = [one for name in ("resumed12", "resumed13")
               for one in between(outcome["tries"][name], killed + 0.2, started)]
    after = between(full, back + 0.2, float("inf"))
    first = next(one for one in full if one[0] > started and not is_refused(one))
    lost = int(re.findall(r"Total lost packets (\d+)", relayed)[-1])
    slowest = max(one[1] for one in outage)
    print(f"\n{site.board}: HSM server killed for {started - killed:.1f} s: "
          f"{SESSIONS - outcome['lost']} of {SESSIONS} TLS sessions kept, "
          f"{outcome['answered']} of {outcome['asked']} SIP requests on them answered (slowest "
          f"{outcome['slowest'] * 1000:.0f} ms), 1 of 1 calls kept, TURN lost {lost} of 1200; "
          f"{sum(map(is_refused, outage))} of {len(outage)} full handshakes refused (slowest "
          f"{slowest * 1000:.0f} ms), {sum(one[2] == 'resumed' for one in resumed)} of "
          f"{len(resumed)} resumed by ticket; alarm seen after {told:.1f} s; first full handshake "
          f"{first[0] + first[1] - started:.1f} s after its start")
    assert outcome["sessions"] == SESSIONS and outcome["lost"] == 0
    assert outcome["answered"] + outcome["busy"] == outcome["asked"] > SESSIONS * 20
    assert outcome["busy"] <= outcome["asked"] // 100
    assert lost <= (0 if site.board == "host" else 12), relayed[-1000:]
    assert outage and all(map(is_refused, outage)) and slowest < qemu.patience(0.5)
    assert resumed and all(one[2] == "resumed" for one in resumed), resumed
    assert after and not any(map(is_refused, after)), after
    alarms = site.ask("xStatus Alarm")
    assert "HSM failure" not in alarms and "HSM connection failed" not in alarms, alarms


# --- Two modules ---------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def second(site):
    """A network HSM with the same key, as a clone: priority 2."""
    host = site.network.host("hsm", f"{HSM}/24")
    hsm = softhsm.NetworkSoftHsm(site.folder / "hsm2", host, like=site.hsm)
    site.authority.issue("hsm2/hsm", server("DNS:hsm.example.com"), subject="hsm")
    said = site.ask(f"xCommand HSM Module Add: rack2 Network {HSM} {hsm.PORT} gatehouse "
                    "hsm.example.com")
    assert "HSM Module successfully added" in said, said
    site.set(f"HSM Module 2 PIN: {softhsm.PIN}")
    site.set("HSM Module 2 Priority: 2")
    # What the device shows of itself there: its own certificate, told to the HSM's server.
    netns.wait_for(lambda: "BEGIN" in site.ask("xCommand Certificate Show: hsm-link.internal"),
                   qemu.patience(10), "the certificate for network HSMs")
    text = site.ask("xCommand Certificate Show: hsm-link.internal")
    (hsm.folder / "client.pem").write_text(
        text[text.index("-----BEGIN"):text.index("-----END") + 25] + "\n")
    with hsm:
        yield hsm


def serves(site):
    said = site.s_client("-tls1_3", "-verify_hostname", NAME)
    return "Verify return code: 0 (ok)" in said and "edge1" in said


def test_a_network_hsm_is_reached_by_mutual_tls(site, second):
    site.wait_for("xStatus HSM", r"Module 2: rack2 .*connection=OK hardware=OK",
                  qemu.patience(20))
    site.wait_for("xStatus HSM", r"HSM Key edge: .*modules=rack1,rack2", qemu.patience(20))
    assert "HSM Active module: rack1" in site.ask("xStatus HSM")
    log = (second.folder / "stunnel.log").read_text()
    assert "Certificate accepted" in log and "Rejected" not in log, log


def test_signatures_fail_over_and_back_by_priority(site, second):
    load = Load(site, 2)
    time.sleep(1)
    killed = time.monotonic()
    site.hsm.kill()
    over = site.wait_for("xStatus HSM", "Active module: rack2", qemu.patience(10))
    time.sleep(2)
    assert "rack1" in site.ask("xStatus Alarm")
    assert "HSM failure" not in site.ask("xStatus Alarm")
    started = time.monotonic()
    site.hsm.start()
    back = site.wait_for("xStatus HSM", "Active module: rack1", qemu.patience(10))
    full = load.stop()["tries"]["full"]
    refused = [one for one in full if is_refused(one)]
    meanwhile = between(full, killed + over, started)
    print(f"\n{site.board}: fail-over {over:.1f} s, fail-back {back:.1f} s; {len(refused)} of "
          f"{len(full)} handshakes refused, {len(meanwhile)} signed by the second module")
    assert len(meanwhile) > 2 and not any(map(is_refused, meanwhile))
    assert len(refused) <= 2, refused
    events = site.ask("xCommand Log Show: last=40")
    assert "signatures go to HSM module rack2" in events, events
    assert "signatures go to HSM module rack1" in events, events
    assert "HSM module rack1 is not usable" in events, events


def test_a_module_that_hangs_is_left_alone_until_it_answers(site, second):
    site.wait_for("xStatus HSM", r"HSM Key edge: .*modules=rack1,rack2", qemu.patience(20))
    site.hsm.pause()
    try:
        begin = time.monotonic()
        assert serves(site)  # the second module signs when the first has not answered for a while
        first = time.monotonic() - begin
        netns.wait_for(lambda: serves(site) and "Active module: rack2" in site.ask("xStatus HSM"),
                       qemu.patience(20), "the breaker")
        opened = time.monotonic() - begin
        begin = time.monotonic()
        assert serves(site)
        took = time.monotonic() - begin
    finally:
        site.hsm.pause(False)
    back = site.wait_for("xStatus HSM", "Active module: rack1", qemu.patience(30))
    print(f"\n{site.board}: a hanging module: first handshake {first:.1f} s, left alone after "
          f"{opened:.1f} s, then handshakes {took:.2f} s; used again {back:.1f} s after it answers")
    assert took < qemu.patience(1)
    assert serves(site)


def test_a_client_that_the_hsm_does_not_know_is_refused_with_words(site, second):
    second.kill()
    known = (second.folder / "client.pem").read_bytes()
    (second.folder / "client.pem").write_bytes((site.folder / "root.pem").read_bytes())
    second.start()
    site.wait_for("xStatus HSM", r"rack2 .*connection=Failed .*reason=\"[^\"]*(TLS|closed)",
                  qemu.patience(20))
    second.kill()
    (second.folder / "client.pem").write_bytes(known)
    second.start()
    site.wait_for("xStatus HSM", r"rack2 .*connection=OK", qemu.patience(20))
