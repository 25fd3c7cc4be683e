"""XMPP between servers: Debian's stock Prosody on the other side, three of them, and ejabberd. One
Prosody shows a good certificate and demands one (SASL EXTERNAL), one shows its own and is proved by
dialback, one has no TLS at all; each with users of its own, and names from dnsmasq. Then somebody
who says to be one of them. On the Linux process and on the signed image, each booted once."""

import json
import re
import subprocess
import sys

import pytest

import authority
import ejabberd_package
import host as host_board
import netns
import operator_console
import prosody_package
import qemu

SERVER, TOOLS, DNS = "10.77.0.2", "10.77.0.11", "10.77.0.9"
GOOD, SELF = ("good.org", "10.77.0.21"), ("self.net", "10.77.0.22")
PLAIN, EJABBERD = ("plain.net", "10.77.0.23"), ("erlang.im", "10.77.0.24")
EJABBERD_SELF, EJABBERD_PLAIN = ("self.im", "10.77.0.24"), ("plain.im", "10.77.0.24")
ALL = (GOOD, SELF, PLAIN, EJABBERD, EJABBERD_SELF, EJABBERD_PLAIN)
# What the appliance serves: its domain and rooms, a component, and users' e-mail addresses.
OURS = ("example.com", "rooms.example.com", "echo.example.com", "mail.example",
        "conference.example.com")
SCRIPT = qemu.ROOT / "tests/system/federation_client.py"
PROVISION = operator_console.PROVISION + f"""\
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {SERVER}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration DNS Server 1 Address: {DNS}
xConfiguration Administrator 1 PublicKey1: "{{key}}"
xConfiguration SSH Mode: On
xConfiguration XMPP Mode: On
xConfiguration XMPP Authentication ChannelBinding: Off
xConfiguration XMPP Domain 1 Name: example.com
xConfiguration XMPP Room Alias 1 Name: rooms.example.com
xConfiguration XMPP Federation Mode: On
"""
SSH = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
# A stranger who has no key but says one.
SPOOF = """\
import socket, sys
stream = socket.create_connection((sys.argv[1], 5269), 10)
stream.settimeout(20)
stream.sendall(b"<?xml version='1.0'?><stream:stream xmlns='jabber:server' version='1.0' "
               b"xmlns:stream='http://etherx.jabber.org/streams' from='plain.net' "
               b"xmlns:db='jabber:server:dialback' to='example.com'><db:result from='plain.net' "
               b"to='example.com'>" + b"0" * 64 + b"</db:result>")
said = b""
while b"</db:result>" not in said and b"type='" not in said.split(b"<db:result")[-1]:
    more = stream.recv(4096)
    if not more:
        break
    said += more
print(said.decode())
"""


class Scene:
    """A board, and servers around it."""

    def __init__(self, machine, network, folder):
        self.machine, self.network, self.folder = machine, network, folder
        self.tools = network.host("tools", f"{TOOLS}/24")

    def certificates(self):
        self.authority = authority.Authority(self.folder, "Root")
        for name in ("example.com", GOOD[0], EJABBERD[0]):
            # What authorities give servers today; our own has to allow both.
            usage = "serverAuth" + (",clientAuth" if name == "example.com" else "")
            # One of them has no DNS names, but those that XMPP has (RFC 6120 section 13.7.1).
            names = (f"otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-server.{name},"
                     f"otherName:1.3.6.1.5.5.7.8.5;UTF8:rooms.{name},"
                     f"otherName:1.3.6.1.5.5.7.8.5;UTF8:push.{name}"
                     if name == GOOD[0] else f"DNS:{name},DNS:rooms.{name}")
            if name == "example.com":
                names = ",".join(f"DNS:{each}" for each in OURS)
            self.authority.issue(name, authority.server(names, usage))
        for name, _ in (SELF, EJABBERD_SELF):
            authority.self_signed(self.folder, name, f"subjectAltName=DNS:{name}\n")

    def start_servers(self, servers=(GOOD, SELF, PLAIN, EJABBERD), hosts=()):
        packages = self.folder / "packages"
        packages.mkdir()
        root = prosody_package.unpack(packages)
        hosts = {"gate.example.com": SERVER, **dict(hosts)}
        services = [(f"_xmpp-server._tcp.{name}", "gate.example.com", 5269)
                    for name in OURS]
        for domain, address in ALL:
            hosts[f"chat.{domain}"] = address
            for name in (domain, f"rooms.{domain}", f"push.{domain}"):
                # Rooms of one of them are found by direct TLS alone (XEP-0368).
                is_direct = name == f"rooms.{GOOD[0]}"
                services.append((f"_xmpp{'s' if is_direct else ''}-server._tcp.{name}",
                                 f"chat.{domain}", 5270 if is_direct else 5269))
        prosody_package.start_dns(root, self.network.host("dns", f"{DNS}/24"), addresses=hosts,
                                  services=services)
        tls = ('ssl = {{ key = "{0}/{1}.key", certificate = "{0}/{1}.pem", '
               'cafile = "{0}/root.pem" }}\n')
        self.folders = {}
        for (domain, address), options, without in (
                (GOOD, "s2s_require_encryption = true\ns2s_secure_auth = true\n" +
                 tls.format(self.folder, GOOD[0]), ()),
                (SELF, "s2s_require_encryption = true\n" + tls.format(self.folder, SELF[0]), ()),
                (PLAIN, "s2s_require_encryption = false\n", ("tls", "s2s_bidi"))):
            if (domain, address) not in servers:
                continue
            host = self.network.host(domain.split(".", maxsplit=1)[0], f"{address}/24")
            self.folders[domain] = prosody_package.start_prosody(
                root, host, domain, DNS, users=["bob"], options=options, without=without)
            self.wait_listening(host)
        if EJABBERD not in servers:
            return
        packages = self.folder / "erlang"
        packages.mkdir()
        host = self.network.host("erlang", f"{EJABBERD[1]}/24")
        chains = []
        for name, _ in (EJABBERD, EJABBERD_SELF):
            chains.append(self.folder / f"{name}.chain")
            chains[-1].write_text((self.folder / f"{name}.key").read_text() +
                                  (self.folder / f"{name}.pem").read_text())
        folder = ejabberd_package.start(
            ejabberd_package.unpack(packages), host, EJABBERD[0], DNS, certificates=chains,
            authority=self.folder / "root.pem",
            others={EJABBERD_SELF[0]: "required", EJABBERD_PLAIN[0]: "false"})
        for name, _ in (EJABBERD, EJABBERD_SELF, EJABBERD_PLAIN):
            self.folders[name] = folder
        self.wait_listening(host)

    @staticmethod
    def wait_listening(host):
        netns.wait_for(lambda: host.run("ss", "-Hltn").stdout.count(":5222"), qemu.patience(40),
                       f"{host.name} listens")

    def bring(self, name, *files):
        whole = self.folder / "whole"
        whole.write_bytes(b"".join((self.folder / file).read_bytes() for file in files))
        done = self.tools.run("scp", *SSH, "-i", self.folder / "key", whole,
                              f"admin@{SERVER}:/certificates/{name}", check=False,
                              timeout=qemu.patience(60))
        assert done.returncode == 0, done.stderr

    def start(self):
        self.machine.start()
        operator_console.log_in(self.machine)
        self.bring("trust.pem", "root.pem")
        self.bring("server.pem", "example.com.pem", "example.com.key")
        for user in ("alice", "carol"):
            said = self.ask(f"xCommand XMPP User Add: {user}@example.com secret")
            assert f"{user}@example.com added." in said, said

    def ask(self, line):
        return operator_console.ask(self.machine, line)

    def set(self, **settings):
        for name, value in settings.items():
            self.ask(f"xConfiguration XMPP Federation {name.replace('_', ' ')}: {value}")

    def reset(self):
        """Streams begin anew, by the settings as they are now."""
        self.ask("xCommand XMPP Federation Disconnect: All")

    def act(self, name, server):
        done = self.tools.run("/usr/bin/python3", SCRIPT, name, SERVER, server[1], server[0],
                              check=False, timeout=qemu.patience(120))
        assert done.returncode == 0, done.stderr + self.why(server)
        return json.loads(done.stdout.splitlines()[-1])

    def why(self, server):
        """What both sides have to say when something went wrong."""
        return "\n".join([self.ask("xStatus XMPP FederationStream"),
                          self.ask("xStatus XMPP Federation"),
                          self.ask("xCommand Log Show: last=20"),
                          (self.folders[server[0]] / "log").read_text()[-6000:]])

    def talk(self, server):
        """A message each way arrives."""
        said = self.act("chat", server)
        assert said == {"there": ["over there"], "here": ["over here"]}, \
            f"{said}\n{self.why(server)}"

    def streams(self, server):
        shown = self.ask("xStatus XMPP FederationStream")
        return [line for line in shown.splitlines() if f" {server[0]} " in line]


@pytest.fixture(scope="module", params=["host", "image"], name="scene")
def started(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", folder / "key"],
                   check=True)
    provision = PROVISION.format(key=(folder / "key.pub").read_text().strip())
    with netns.Network() as network:
        if request.param == "host":
            edge = network.host("edge")
            machine = host_board.HostMachine(folder, netns.INTERFACE, edge.namespace, provision)
        else:
            machine = qemu.Machine(folder, netns=network.switch, provision=provision,
                                   netdevs=[qemu.tap_net(network.tap())])
        scene = Scene(machine, network, folder)
        scene.certificates()
        scene.start_servers()
        try:
            scene.start()
            yield scene
        finally:
            machine.stop()


BOTH = {"argvalues": [GOOD, EJABBERD], "ids": ["prosody", "ejabberd"]}


@pytest.mark.parametrize("server", **BOTH)
def test_certificates_prove_both_sides(scene, server):
    scene.set(Bidirectional="Off")
    scene.talk(server)
    streams = scene.streams(server)
    for way in (": to ", ": from "):
        assert any(way in line and "tls=yes" in line and "proof=certificate" in line
                   for line in streams), streams
    scene.set(Bidirectional="On")
    scene.reset()


def test_stanzas_are_counted(scene):
    scene.talk(GOOD)
    # Prosody counts stanzas too (XEP-0198), and says which it has.
    netns.wait_for(lambda: re.search(r" acknowledged=[1-9]", scene.ask("xStatus XMPP Federation")),
                   qemu.patience(30), "an acknowledgement")


@pytest.mark.parametrize("server", **BOTH)
def test_friends_and_rooms_across_servers(scene, server):
    scene.talk(server)
    said = scene.act("friends", server)
    assert said == {"status": "lunch \u263a", "back": "busy", "ping": True,
                    "identity": ["server", "im"],
                    "version": "Prosody" if server is GOOD else "ejabberd"}
    room = f"meeting@rooms.{server[0]}/"
    assert scene.act("rooms", server) == {"bob": room + "alice", "alice": room + "alice",
                                          "back": room + "bob"}
    assert scene.act("our_rooms", server) == {
        "occupants": ["alice", "bob"], "ours": "bob", "theirs": "bob", "back": "alice",
        "aside": "aside", "kicked": True, "left": True}
    assert all("proof=certificate" in line or "carried=yes" in line
               for line in scene.streams(server))


@pytest.mark.parametrize("server", **BOTH)
def test_what_is_published_goes_to_other_servers(scene, server):
    scene.talk(server)
    assert scene.act("published", server) == {"last": "Al", "next": "Ally", "picture": True,
                                              "back": "Bo"}


def test_nodes_are_subscribed_to_across_servers(scene):
    scene.talk(GOOD)
    outcome = {"is": "subscribed", "first": True, "last": "that is all", "more": 0}
    assert scene.act("subscribed", GOOD) == {"alice": outcome, "bob": outcome}


@pytest.mark.parametrize("server", **BOTH)
def test_users_go_by_their_email_addresses(scene, server):
    scene.talk(server)  # what is to be dropped comes on a stream there is
    scene.set(EmailAddress_Mode="On")
    said = scene.ask("xCommand XMPP User Email: alice@example.com alice.smith@mail.example")
    assert "E-mail address set." in said, said
    assert "mail.example managed=system users=1" in scene.ask("xStatus XMPP EmailDomain")
    said = scene.act("emails", server)
    assert said == {"from": "alice.smith@mail.example/alice", "here": "to mail",
                    "show": True,
                    "domain": ["mail.example", "server"]}, said
    netns.wait_for(lambda: f"a stanza from {server[0]} for alice@example.com was dropped" in
                   scene.ask("xCommand Log Show: last=40"), qemu.patience(30), "what was dropped")
    scene.ask("xCommand XMPP User Email: alice@example.com None")
    assert "mail.example managed=administrator" in scene.ask("xStatus XMPP EmailDomain")
    scene.set(EmailDomain_1_Name='""', EmailAddress_Mode="Off")


@pytest.mark.parametrize("server", **BOTH)
def test_several_pairs_share_a_stream(scene, server):
    scene.set(Bidirectional="Off")
    scene.reset()
    scene.talk(server)
    assert scene.act("our_rooms", server)["left"]
    streams = scene.streams(server)
    assert any("local=rooms.example.com" in line and "carried=yes" in line and
               "state=ready" in line for line in streams), streams
    scene.set(Bidirectional="On")
    scene.reset()


def test_direct_tls_agrees_on_its_protocol(scene):
    scene.ask(f"xConfiguration XMPP Federation Route 1 Domain: {GOOD[0]}")
    for line in (f"Address: {GOOD[1]}", "Port: 5270", "TLS: On"):
        scene.ask(f"xConfiguration XMPP Federation Route 1 {line}")
    scene.set(Bidirectional="Off")  # nothing of ours goes on a stream of theirs
    scene.reset()
    scene.talk(GOOD)
    assert any(f"peer={GOOD[1]}:5270" in line and "tls=yes" in line
               for line in scene.streams(GOOD)), scene.streams(GOOD)
    scene.ask('xConfiguration XMPP Federation Route 1 Domain: ""')
    scene.ask('xConfiguration XMPP Federation Route 1 Address: ""')
    scene.set(Bidirectional="On")
    scene.reset()
    done = scene.tools.run("openssl", "s_client", "-alpn", "xmpp-server", "-connect",
                           f"{SERVER}:5270", "-servername", "example.com", check=False,
                           input="", timeout=qemu.patience(30))
    assert "ALPN protocol: xmpp-server" in done.stdout, done.stdout


def test_direct_tls_is_found_in_dns(scene):
    scene.set(Bidirectional="Off", Multiplexing="Off")
    scene.reset()
    assert scene.act("rooms", GOOD)["back"].endswith("/bob")
    streams = [line for line in scene.streams((f"rooms.{GOOD[0]}",)) if ": to " in line]
    assert any(f"peer={GOOD[1]}:5270" in line and "tls=yes" in line and
               "proof=certificate" in line for line in streams), streams
    scene.set(Bidirectional="On", Multiplexing="On")
    scene.reset()


def test_one_stream_carries_both_ways(scene):
    scene.reset()
    scene.talk(GOOD)
    streams = scene.streams(GOOD)
    assert len(streams) == 1, streams
    assert re.search(r" both_ways=yes in=[1-9]\d* out=[1-9]", streams[0]), streams


@pytest.mark.parametrize("server", **BOTH)
def test_users_elsewhere_are_watched_for_a_while(scene, server):
    scene.ask("xConfiguration XMPP Presence Temporary Mode: On")
    assert scene.act("watch", server) == {"seconds": True, "show": "away", "contact": False,
                                          "later": "dnd", "forgotten": True}
    scene.ask("xConfiguration XMPP Presence Temporary Mode: Off")


def test_a_push_service_elsewhere_is_told(scene):
    assert scene.act("push", GOOD) == {"from": "alice@example.com", "node": "phone",
                                       "count": "1", "waited": "wake up"}


def test_a_certificate_that_does_not_name_all_is_told(scene):
    def alarm():
        return "does not name every XMPP domain" in scene.ask("xStatus Alarm")
    netns.wait_for(lambda: not alarm(), qemu.patience(30), "no alarm")
    scene.set(EmailDomain_1_Name="another.example", EmailAddress_Mode="On")
    netns.wait_for(alarm, qemu.patience(30), "the alarm")
    scene.ask("xCommand Certificate CSR Generate")
    netns.wait_for(lambda: "State: Ready" in scene.ask("xStatus Certificate CSR"),
                   qemu.patience(30), "the request")
    shown = scene.ask("xCommand Certificate CSR Show").replace("\r", "")
    pem = re.search(r"-----BEGIN.*?END CERTIFICATE REQUEST-----\n", shown, re.DOTALL)[0]
    request = subprocess.run(["openssl", "req", "-noout", "-text"], input=pem, text=True,
                             capture_output=True, check=True).stdout
    for name in (*OURS[:2], "another.example"):
        assert name in request, request
    scene.ask("xCommand Certificate CSR Discard Confirm: Yes")
    scene.set(EmailDomain_1_Name='""', EmailAddress_Mode="Off")
    netns.wait_for(lambda: not alarm(), qemu.patience(30), "no alarm")


def test_a_component_serves_ours_and_theirs(scene):
    for line in ("Service 1 Name: echo.example.com", "Service 1 Secret: a long secret",
                 "TLS: Off", "Source: 10.77.0.0/24", "Mode: On"):
        scene.ask(f"xConfiguration XMPP Component {line}")
    said = scene.act("component", GOOD)
    assert said == {"alice": "alice again", "bob": "bob again", "show": "dnd",
                    "identity": ["automation", "echo"]}, said
    assert "component echo.example.com state=away" in scene.ask("xStatus XMPP Partner")
    scene.ask("xConfiguration XMPP Component Source: 10.78.0.0/24")
    done = scene.tools.run("/usr/bin/python3", "-c", "import socket, sys\n"
                           f"peer = socket.create_connection(('{SERVER}', 5347), 5)\n"
                           "peer.settimeout(5)\nprint(peer.recv(1))", check=False, timeout=60)
    assert "b''" in done.stdout or "Reset" in done.stderr or "refused" in done.stderr, done
    scene.ask("xConfiguration XMPP Component Mode: Off")


def test_a_certificate_of_nobodys_is_refused(scene):
    said = scene.act("chat", SELF)
    assert said["there"][0].startswith("remote-server"), said
    assert said["here"] != ["over here"], said
    log = scene.ask("xCommand Log Show: last=40")
    assert "its certificate is not good for the domain" in log, log


def assert_dialback(streams, tls):
    for way in (": to ", ": from "):
        assert any(way in line and tls in line and "proof=dialback" in line
                   for line in streams), streams


@pytest.mark.parametrize("server", [SELF, EJABBERD_SELF], ids=["prosody", "ejabberd"])
def test_dialback_over_tls(scene, server):
    # They would believe our certificate: it is not shown them as a proof.
    scene.set(Certificate_Required="Off", SASL_Outgoing="Off", Bidirectional="Off")
    for mode in ("TLSRequired", "TLSOptional"):
        scene.set(Security_Mode=mode)
        scene.reset()
        scene.talk(server)
        assert_dialback(scene.streams(server), "tls=yes")
        # More than a stranger may send: what was told before the proof does not hold behind it.
        assert scene.act("large", server) == [20000, 20000]
    scene.set(SASL_Outgoing="On", Bidirectional="On", Security_Mode="TLSRequired")
    scene.reset()


@pytest.mark.parametrize("plain, good", [(PLAIN, GOOD), (EJABBERD_PLAIN, EJABBERD)],
                         ids=["prosody", "ejabberd"])
def test_without_tls_only_where_that_is_allowed(scene, plain, good):
    scene.set(Bidirectional="Off")
    for mode in ("TLSOptional", "NoTLS"):
        scene.set(Security_Mode=mode)
        scene.reset()
        scene.talk(plain)
        assert_dialback(scene.streams(plain), "tls=no")
        if mode == "TLSOptional":
            scene.talk(good)
            assert any("tls=yes" in line for line in scene.streams(good))
    assert scene.act("there", good)["there"][0].startswith("remote-server")
    # The last: ejabberd does not try again for a while.
    scene.set(Security_Mode="TLSRequired")
    scene.reset()
    said = scene.act("there", plain)
    assert said["there"][0].startswith("remote-server"), said
    scene.set(Security_Mode="TLSOptional", Bidirectional="On")


def test_spoofed_dialback_is_refused(scene):
    done = scene.tools.run(sys.executable, "-c", SPOOF, SERVER, check=False, timeout=60)
    assert "type='invalid'" in done.stdout, done.stdout + done.stderr
    assert "its dialback key is not its domain's" in scene.ask("xCommand Log Show: last=20")


def test_the_policy_holds(scene):
    scene.set(Policy_Default="Deny")
    scene.reset()
    assert scene.act("there", PLAIN)["there"] == ["not-allowed"]
    scene.ask(f"xConfiguration XMPP Federation Exception 1 Domain: *.{PLAIN[0]}")
    scene.talk(PLAIN)
    status = scene.ask("xStatus XMPP Federation")
    assert re.search(r"forbidden=[1-9]", status), status


def test_all_are_told_when_the_system_stops(scene):
    scene.set(Policy_Default="Allow", Security_Mode="TLSOptional")
    scene.reset()
    scene.talk(GOOD)
    log = scene.folders[GOOD[0]] / "log"
    before = log.read_text().count("system-shutdown")
    scene.machine.send("xCommand Restart Confirm: Yes\r")
    netns.wait_for(lambda: log.read_text().count("system-shutdown") > before, qemu.patience(30),
                   "the end of the stream")
