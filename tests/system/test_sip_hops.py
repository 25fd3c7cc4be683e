"""Next hops that DNS leads to (dnsmasq), of the Linux process and of the booted image: TLS
connections that both sides use for what is new (RFC 5923), SIPp behind stunnel with certificates; a
zone whose peer has to be named in its certificate (RFC 5922); a hop that is busy and says so is
spared, but not by emergencies (RFC 7339), SIPp by SRV.

    caller --- edge --- far (opens the connection), near (is connected to), busy
"""

import contextlib
import subprocess
from pathlib import Path

import pytest

import authority
import host as host_board
import netns
import operator_console
import prosody_package
import qemu
from test_sip_pair import SSH

EDGE = "10.91.0.2"
HOSTS = {"caller": "10.91.0.11", "dns": "10.91.0.12", "far": "10.91.0.13", "near": "10.91.0.14",
         "busy": "10.91.0.15"}
PROVISION = operator_console.PROVISION + "\n".join([
    "xConfiguration Network Port 1 IPv4 Mode: Static",
    f"xConfiguration Network Port 1 IPv4 Address: {EDGE}",
    "xConfiguration Network Port 1 IPv4 PrefixLength: 24",
    f"xConfiguration DNS Server 1 Address: {HOSTS['dns']}",
    'xConfiguration Administrator 1 PublicKey1: "{key}"',
    "xConfiguration SSH Mode: On",
    "xConfiguration SIP Domain 1 Name: edge.example",
    "xConfiguration SIP TLS ClientAuthentication: Optional",
    "xConfiguration SIP Emergency 1 Number: 112",
    *(f"xConfiguration Zones Zone {number} {name}: {value}" for number, zone in enumerate((
        (("Name", "Caller"), ("Type", "Neighbor"), ("Peer1 Address", HOSTS["caller"]),
         ("SIP Transport", "UDP"), ("Monitor", "Off"),
         ("Authentication Mode", "TreatAsAuthenticated")),
        (("Name", "World"), ("Type", "DNS")),
        (("Name", "Partner"), ("Type", "Neighbor"), ("SIP TLS Verify Mode", "On"),
         ("RetryInterval", "1"))), 1) for name, value in zone),
    *(f"xConfiguration Zones Policy SearchRules Rule 1 {name}: {value}" for name, value in (
        ("Name", "World"), ("Mode", "AliasPatternMatch"), ("Pattern Type", "Regex"),
        ("Pattern String", '".*@(far|near|busy).example"'), ("Pattern Behavior", "Leave"),
        ("Target Name", "World"))),
    ""])
SCENARIOS = Path(__file__).parent / "sipp"
WAIT = qemu.patience(40)


class World:
    def bring(self, target, *files):
        whole = self.folder / "whole"
        whole.write_bytes(b"".join((self.folder / file).read_bytes() for file in files))
        done = self.hosts["caller"].run("scp", *SSH, "-i", self.folder / "key", whole,
                                        f"admin@{EDGE}:/certificates/{target}", check=False,
                                        timeout=qemu.patience(60))
        assert done.returncode == 0, done.stderr

    def sipp(self, host, scenario, *words):
        """The process, and where it writes what it did not expect."""
        log = self.folder / f"{scenario}-{len(list(self.folder.glob('*.out')))}.out"
        with log.open("w") as out:
            return self.hosts[host].start(
                "sipp", "-sf", SCENARIOS / f"{scenario}.xml", "-i", HOSTS[host], "-m", "1",
                "-nostdin", "-timeout", "60", "-timeout_error", "-trace_err", "-error_file",
                log.with_suffix(".err"), *words, stdout=out, stderr=subprocess.STDOUT,
                cwd=self.folder), log.with_suffix(".err")

    def asks(self, scenario, uri, *words):
        """Whether the caller gets what the scenario wants; what else he got."""
        process, errors = self.sipp("caller", scenario, "-p", "5060", "-key", "uri", uri,
                                    "-default_behaviors", "all,-bye", *words, f"{EDGE}:5060")
        code = process.wait(qemu.patience(80))
        return code == 0, errors.read_text(errors="replace") if errors.exists() else ""

    @contextlib.contextmanager
    def tunnel(self, name, certificate, **words):
        """stunnel on a host; what it said is in the file that is given."""
        log, conf = self.folder / f"{certificate}.log", self.folder / f"{certificate}.conf"
        lines = {"cert": f"{certificate}.pem", "key": f"{certificate}.key", "CAfile": "root.pem",
                 "verifyChain": "yes", **words}
        conf.write_text("foreground = yes\npid =\nsyslog = no\n[sip]\n" + "".join(
            f"{word} = {value}\n" for word, value in lines.items()))
        with log.open("wb") as out:
            process = self.hosts[name].start("stunnel", conf, cwd=self.folder, stdout=out,
                                             stderr=out)
        try:
            netns.wait_for(lambda: "Configuration successful" in log.read_text(), WAIT, "stunnel")
            yield log
        finally:
            process.terminate()
            process.wait(10)

    @contextlib.contextmanager
    def opens_a_connection(self, certificate):
        """SIPp on far has opened one with that certificate, and told of it by alias."""
        with self.tunnel("far", certificate, client="yes", accept=f"{HOSTS['far']}:15061",
                         connect=f"{EDGE}:5061"):
            process, errors = self.sipp(
                "far", "hop_alias", "-t", "t1", "-cid_str", f"{certificate}-%u", "-key", "server",
                EDGE, "-key", "own_ip", HOSTS["far"], "-key", "host", "far.example",
                "-trace_msg", "-message_file", self.folder / f"{certificate}.msg",
                f"{HOSTS['far']}:15061")
            try:
                seen = self.folder / f"{certificate}.msg"
                netns.wait_for(lambda: process.poll() is not None or
                               (seen.exists() and "SIP/2.0 200" in seen.read_text()), WAIT,
                               "the answer to OPTIONS")
                yield process, errors
            finally:
                process.kill()
                process.wait(10)


@pytest.fixture(scope="module", params=["host", "image"])
def world(request, tmp_path_factory):
    w = World()
    w.folder = tmp_path_factory.mktemp("hops")
    root = prosody_package.unpack(w.folder)
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", w.folder / "key"],
                   check=True)
    root_authority = authority.Authority(w.folder, "Root")
    for name, names in (("edge", f"DNS:edge.example,IP:{EDGE}"), ("far", "DNS:far.example"),
                        ("near", "DNS:near.example"), ("third", "DNS:third.example")):
        root_authority.issue(name, authority.server(names))
    with netns.Network() as network:
        w.hosts = {name: network.host(name, f"{address}/24") for name, address in HOSTS.items()}
        prosody_package.start_dns(
            root, w.hosts["dns"],
            addresses={"far.example": HOSTS["far"], "near.example": HOSTS["near"],
                       "box.busy.example": HOSTS["busy"]},
            services=[("_sip._udp.busy.example", "box.busy.example", 5090)])
        w.edge = host_board.edge_of(
            request.param, w.folder / "edge", network,
            PROVISION.replace("{key}", (w.folder / "key.pub").read_text().strip()))
        with w.edge:
            operator_console.log_in(w.edge)
            w.bring("trust.pem", "root.pem")
            w.bring("server.pem", "edge.pem", "edge.key")
            yield w


def test_who_opened_a_connection_is_called_by_it(world):
    """Nobody listens at its port: there is no other way."""
    with world.opens_a_connection("far") as (far, errors):
        good, said = world.asks("hop_call", "sip:service@far.example;transport=tls",
                                "-cid_str", "far-%u")
        assert good, said
        assert far.wait(WAIT) == 0, errors.read_text()


def test_a_connection_is_not_for_names_its_certificate_does_not_hold(world):
    with world.opens_a_connection("third"):
        good, said = world.asks("hop_call", "sip:service@far.example;transport=tls",
                                "-cid_str", "third-%u")
        assert not good and "SIP/2.0 5" in said, said
        assert "INVITE sip:" not in (world.folder / "third.msg").read_text()


def test_whom_we_connect_to_is_asked_to_come_by_the_same_connection(world):
    """stunnel lets nobody in without a certificate of that authority: ours is shown."""
    with world.tunnel("near", "near", accept=f"{HOSTS['near']}:5061",
                      connect=f"{HOSTS['near']}:5070"):
        near, errors = world.sipp("near", "hop_answer", "-t", "t1", "-p", "5070", "-key", "host",
                                  "near.example")
        good, said = world.asks("hop_call", "sip:service@near.example;transport=tls")
        assert good, said + errors.read_text(errors="replace")
        assert near.wait(WAIT) == 0, errors.read_text(errors="replace")


def test_the_peer_of_a_zone_is_who_its_certificate_names(world):
    """The address is the same; only the second of the two may be the zone's peer."""
    ways = {"accept": f"{HOSTS['near']}:5061", "connect": f"{HOSTS['near']}:5070"}
    near, errors = world.sipp("near", "hop_options", "-t", "t1", "-p", "5070")

    def state():
        return operator_console.ask(world.edge, "xStatus Zones").split("Partner")[1].split("\n")[0]

    with world.tunnel("near", "third", **ways) as log:
        operator_console.ask(world.edge, "xConfiguration Zones Zone 3 Peer1 Address: near.example")
        netns.wait_for(lambda: "accepted connection" in log.read_text(), WAIT, "a connection")
        netns.wait_for(lambda: "state=down" in state(), WAIT, "the zone down", interval=0.3)
        assert near.poll() is None  # nothing was said to it
    with world.tunnel("near", "near", **ways):
        netns.wait_for(lambda: "state=up" in state(), WAIT, "the zone up", interval=0.3)
        assert near.wait(WAIT) == 0, errors.read_text(errors="replace")
    operator_console.ask(world.edge, 'xConfiguration Zones Zone 3 Peer1 Address: ""')


def test_a_busy_hop_is_spared_but_not_by_emergencies(world):
    busy, errors = world.sipp("busy", "hop_busy", "-p", "5090", "-m", "2")
    good, said = world.asks("hop_message", "sip:service@busy.example")
    assert good, said
    assert "is busy: 100 % of new requests are kept from it" in operator_console.ask(
        world.edge, "xCommand Log Show: last=8")
    good, said = world.asks("hop_message", "sip:service@busy.example")
    assert not good and "SIP/2.0 503" in said, said
    good, said = world.asks("hop_message", "sip:112@busy.example")
    assert good, said
    assert busy.wait(WAIT) == 0, errors.read_text(errors="replace")
