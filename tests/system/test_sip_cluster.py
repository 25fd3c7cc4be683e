"""Two Cores and two Edges, each Core with a traversal zone to both Edges; a private exchange behind
the Cores (SIPp), a partner beyond the Edges (SIPp), stock phones (baresip) outside. One of each is
lost without a word: calls, new calls and registrations go on. All four are booted images.

    pbx --- [core1] [core2] === [edge1] [edge2] --- partner, alice, dan
"""

import subprocess
from pathlib import Path

import pytest

import authority
import host as host_board
import netns
import operator_console
import phone
import qemu
from test_sip_pair import SSH

ADDRESS = {"edge1": "10.90.0.2", "edge2": "10.90.0.3", "core1": "10.90.0.4", "core2": "10.90.0.5"}
SCENARIOS = Path(__file__).parent / "sipp"
PBX, PARTNER = "10.90.0.50", "10.90.0.60"
COMMON = operator_console.PROVISION + """\
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {address}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration Administrator 1 PublicKey1: "{key}"
xConfiguration SSH Mode: On
xConfiguration SIP Domain 1 Name: {domain}
xConfiguration Zones DefaultZone Authentication Mode: DoNotCheckCredentials
xConfiguration Zones LocalZone DefaultSubZone SIP Media EncryptionMode: ForceUnencrypted
xConfiguration Zones DefaultZone SIP Media EncryptionMode: ForceUnencrypted
xConfiguration Zones Zone 1 Name: Pair
xConfiguration Zones Zone 1 Type: UCTraversal
xConfiguration Zones Zone 1 Authentication UserName: pair
xConfiguration Zones Zone 2 Name: Neighbour
xConfiguration Zones Zone 2 Type: Neighbor
xConfiguration Zones Zone 2 SIP Transport: UDP
xConfiguration Zones Zone 2 SIP Port: 5060
xConfiguration Zones Zone 2 Monitor: Off
xConfiguration Zones Zone 2 SIP Media EncryptionMode: ForceUnencrypted
xConfiguration Zones Zone 2 Peer1 Address: {neighbour}
"""
OF_EDGE = """\
xConfiguration Zones Zone 1 SIP TLS Verify Subject Name: core.in.example
xConfiguration Authentication User 1 Name: pair
xConfiguration Authentication User 1 Password: t-Secret-1
xConfiguration Authentication User 2 Name: alice
xConfiguration Authentication User 2 Password: p-Secret-1
"""
OF_CORE = """\
xConfiguration Zones Zone 1 Authentication Password: t-Secret-1
xConfiguration Zones Zone 1 RetryInterval: 2
xConfiguration Authentication User 1 Name: dan
xConfiguration Authentication User 1 Password: p-Secret-1
"""
# Whom each side looks for where: pattern, what becomes of it, target. SIPp calls who it wants at
# the address it sends to.
RULES = {"edge": (("service@.*", "service@in.example", "Pair"),
                  ("(.*@)?in.example", None, "Pair"),
                  ("partner@.*", "partner@partner.example", "Neighbour")),
         "core": (("service@.*", "service@pbx.example", "Neighbour"),
                  ("dan@.*", "dan@in.example", "LocalZone"),
                  ("partner@.*", "partner@partner.example", "Pair"))}


def provision(name, key):
    side = name[:4]
    text = COMMON.format(address=ADDRESS[name], key=key,
                         domain="out.example" if side == "edge" else "in.example",
                         neighbour=PARTNER if side == "edge" else PBX)
    text += OF_EDGE if side == "edge" else OF_CORE
    for number, (pattern, becomes, target) in enumerate(RULES[side], 1):
        rule = f"xConfiguration Zones Policy SearchRules Rule {number}"
        text += (f"{rule} Name: r{number}\n{rule} Mode: AliasPatternMatch\n"
                 f"{rule} Pattern Type: Regex\n{rule} Pattern String: \"{pattern}\"\n"
                 f"{rule} Pattern Behavior: {'Leave' if becomes is None else 'Replace'}\n"
                 f"{rule} Target Name: {target}\n")
        if becomes is not None:
            text += f"{rule} Pattern Replace: {becomes}\n"
    return text


class Cluster:
    def __init__(self, network, folder):
        self.network, self.folder = network, folder
        self.authority = authority.Authority(folder, "Root")
        self.machines = {}
        self.tools = network.host("tools", "10.90.0.31/24")
        self.hosts = {name: network.host(name, f"{address}/24")
                      for name, address in (("pbx", PBX), ("partner", PARTNER),
                                            ("alice", "10.90.0.11"), ("dan", "10.90.0.12"))}

    def make(self, name):
        self.authority.issue(name, authority.server(
            "DNS:core.in.example" if name.startswith("core") else f"IP:{ADDRESS[name]}"))
        self.machines[name] = host_board.edge_of(
            "image", self.folder / name, self.network,
            provision(name, (self.folder / "key.pub").read_text().strip()), name=name)
        self.machines[name].station += len(self.machines)
        self.machines[name].start()

    def set_up(self, name):
        operator_console.log_in(self.machines[name])
        for target, files in (("trust.pem", ("root.pem",)),
                              ("server.pem", (f"{name}.pem", f"{name}.key"))):
            whole = self.folder / "whole"
            whole.write_bytes(b"".join((self.folder / file).read_bytes() for file in files))
            for _ in range(3):  # on a busy machine the first question for its address may be lost
                done = self.tools.run("scp", *SSH, "-i", self.folder / "key", whole,
                                      f"admin@{ADDRESS[name]}:/certificates/{target}", check=False,
                                      timeout=qemu.patience(60))
                if "No route to host" not in done.stderr:
                    break
            assert done.returncode == 0, done.stderr
        # Not before there is a certificate to show.
        for number in (1, 2) if name.startswith("core") else ():
            self.ask(name, f"xConfiguration Zones Zone 1 Peer{number} Address: "
                           + ADDRESS[f"edge{number}"])

    def start_again(self, *names):
        for name in names:
            self.machines[name].start()
        for name in names:
            operator_console.log_in(self.machines[name])

    def ask(self, name, line):
        return operator_console.ask(self.machines[name], line)

    def are_joined(self, names):
        """Each of them is up with each of the other side."""
        return all(self.ask(name, "xStatus Zones").count("state=up") >= 1 + sum(
            other[:4] != name[:4] for other in names) for name in names)

    def sipp(self, host, scenario, *words):
        """What it says goes to a file: a pipe that nobody reads would stop it."""
        log = self.folder / f"{scenario}-{len(list(self.folder.glob('*.log')))}.log"
        with log.open("w") as out:
            return self.hosts[host].start(
                "sipp", "-sf", SCENARIOS / f"{scenario}.xml", "-i", self.hosts[host].address,
                "-nostdin", "-trace_err", "-error_file", log.with_suffix(".err"), *words,
                stdout=out, stderr=subprocess.STDOUT, cwd=self.folder), log.with_suffix(".err")

    def calls(self, host, server, user):
        """Three calls to him at that appliance, one after the other, all of which succeed."""
        process, errors = self.sipp(host, "call", "-p", "5070", "-s", user, "-m", "3", "-l", "1",
                                 "-timeout", "150", f"{ADDRESS[server]}:5060")
        process.wait(qemu.patience(160))
        assert process.returncode == 0, errors.read_text(errors="replace")[-2500:]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", folder / "key"],
                   check=True)
    with netns.Network() as network:
        scene = Cluster(network, folder)
        try:
            for name in ADDRESS:
                scene.make(name)
            for name in ADDRESS:
                scene.set_up(name)
            for host in ("pbx", "partner"):
                scene.sipp(host, "answer", "-p", "5060")
            netns.wait_for(lambda: scene.are_joined(ADDRESS), qemu.patience(60),
                           "each Core at each Edge", interval=0.5)
            yield scene
        finally:
            for machine in scene.machines.values():
                machine.stop()


def test_calls_go_through_each_edge_and_each_core(cluster):
    for edge in ("edge1", "edge2"):
        cluster.calls("partner", edge, "service")
    for core in ("core1", "core2"):
        cluster.calls("pbx", core, "partner")


def test_one_of_each_is_lost_and_calls_and_registrations_go_on(cluster):
    with phone.Phone(cluster.folder, cluster.hosts["alice"], "alice", "out.example", "p-Secret-1",
                     server=ADDRESS["edge2"]) as alice, \
         phone.Phone(cluster.folder, cluster.hosts["dan"], "dan", "in.example", "p-Secret-1",
                     server=ADDRESS["edge1"], second=ADDRESS["edge2"], keeps_flow=True,
                     expires=20, answer="auto") as dan:
        alice.wait_registered()
        dan.wait_registered(qemu.patience(30))
        mark = alice.mark()
        alice.command("dial", "sip:service@in.example")
        alice.wait("Call established", since=mark)
        # Lost is the Core that does not carry this call, and the Edge that does not.
        left = next(core for core in ("core1", "core2")
                    if "SIP Call " in cluster.ask(core, "xStatus SIP Call"))
        lost = "core1" if left == "core2" else "core2"
        cluster.machines[lost].kill()
        cluster.machines["edge1"].kill()
        cluster.calls("partner", "edge2", "service")
        cluster.calls("pbx", left, "partner")
        # The phone is reached by its other flow, at the Core that is left.
        netns.wait_for(lambda: "dan@in.example: " in cluster.ask(left, "xStatus SIP Registration"),
                       qemu.patience(90), "the registration", interval=0.5)
        cluster.calls("pbx", left, "dan")
        # The call that was there still is, and ends as its caller wants.
        assert "-> sip:service@" in cluster.ask(left, "xStatus SIP Call")
        alice.command("hangup")
        netns.wait_for(lambda: "SIP Call " not in cluster.ask(left, "xStatus SIP Call"),
                       qemu.patience(15), "the end of the call", interval=0.3)
        cluster.start_again(lost, "edge1")
        netns.wait_for(lambda: cluster.are_joined(ADDRESS), qemu.patience(90), "all four again",
                       interval=0.5)
        cluster.calls("partner", "edge1", "service")
