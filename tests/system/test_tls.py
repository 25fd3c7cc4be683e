"""TLS by clients nobody here wrote: which versions and suites OpenSSL and GnuTLS get is exactly
what is configured, sessions resume by ticket, certificates are asked for where they shall be, a
stock phone registers and is called over TLS, and idle and hostile connections cost little.

On the signed image in QEMU and on the Linux process, in namespaces around one switch. Settings are
changed over SSH, as an operator would.
"""

import re
import subprocess
import time

import pytest

import authority
import host as host_board
import netns
import phone
import qemu

EDGE = "10.77.0.2"
DOMAIN = "example.org"
PROVISION = f"""\
xConfiguration System Name: tlstest
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {EDGE}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration SIP Domain 1 Name: {DOMAIN}
xConfiguration Authentication User 1 Name: alice
xConfiguration Authentication User 1 Password: a-Secret-1
xConfiguration Authentication User 2 Name: bob
xConfiguration Authentication User 2 Password: b-Secret-2
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: Gate-house-42
xConfiguration Administrator 1 PublicKey1: "{{key}}"
xConfiguration SSH Mode: On
"""

SSH = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]

TLS13 = ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"]
# What an EC key can serve; the device's first certificate has one.
TLS12 = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305",
         "ECDHE-ECDSA-AES256-GCM-SHA384"]
RSA12 = [name.replace("ECDSA", "RSA") for name in TLS12]
EVERY = ",".join(TLS13 + TLS12 + RSA12)


class World:
    """A board, a client and the operator's way in."""

    def openssl(self, *flags, text="", timeout=30):
        """Output of `openssl s_client`; whether it shook hands is in the text."""
        done = self.client.run("openssl", "s_client", "-connect", f"{EDGE}:5061", *flags,
                               check=False, timeout=qemu.patience(timeout), input=text)
        return done.stdout + done.stderr

    def suite(self, *flags):
        """The suite that was agreed on, or None."""
        found = re.search(r"Cipher is (\S+)", self.openssl(*flags))
        return None if found is None or found[1] == "(NONE)" else found[1]

    def ask(self, *lines):
        out = ""
        for line in lines:
            done = self.client.run("ssh", *SSH, "-i", self.folder / "key", f"admin@{EDGE}", line,
                                   check=False, timeout=qemu.patience(60))
            assert done.returncode == 0 and "ERROR" not in done.stdout, done.stdout + done.stderr
            out += done.stdout
        return out

    def bring(self, file, target):
        self.client.run("scp", *SSH, "-i", self.folder / "key", self.folder / file,
                        f"admin@{EDGE}:/certificates/{target}", timeout=qemu.patience(60))

    def counts(self):
        """xStatus TLS as a dictionary of numbers."""
        return {name.strip(): int(value) for name, value in
                re.findall(r"TLS (?:Failed )?([^:]+): (\d+)", self.ask("xStatus TLS"))}


@pytest.fixture(scope="module", params=["host", "image"])
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "test", "-t", "ed25519", "-f",
                    folder / "key"], check=True)
    provision = PROVISION.format(key=(folder / "key.pub").read_text().strip())
    with netns.Network() as network:
        w = World()
        w.board, w.folder = request.param, folder
        w.client = network.host("client", "10.77.0.11/24")
        w.other = network.host("other", "10.77.0.12/24")
        w.edge = host_board.edge_of(request.param, folder / "edge", network, provision)
        with w.edge:
            w.edge.expect(r"tlstest login: ", timeout=90)
            yield w


def offered(world, names, *flags):
    """Those of `names` that OpenSSL gets when it offers each alone."""
    got = []
    for name in names:
        option = "-ciphersuites" if name.startswith("TLS_") else "-cipher"
        version = "-tls1_3" if name.startswith("TLS_") else "-tls1_2"
        if world.suite(version, option, name, *flags) == name:
            got.append(name)
    return got


def test_versions_and_suites_are_the_defaults_and_no_others(world):
    assert offered(world, TLS13 + TLS12) == TLS13 + TLS12
    # No RSA key, no forward secrecy, no AEAD: nothing of it.
    for cipher in (*RSA12, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256",
                   "DHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM", "NULL:eNULL"):
        assert world.suite("-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0") is None, cipher
    for version in ("-tls1", "-tls1_1"):
        assert world.suite(version, "-cipher", "ALL:@SECLEVEL=0") is None
    for group in ("X25519", "P-256", "P-384"):
        assert world.suite("-tls1_3", "-curves", group) is not None, group
    assert world.suite("-tls1_3", "-curves", "X448") is None
    assert "Secure Renegotiation IS supported" in world.openssl("-tls1_2")


@pytest.mark.parametrize("priority", [
    "NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2",
    "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+CHACHA20-POLY1305"])
def test_gnutls_shakes_hands(world, priority):
    done = world.client.run("gnutls-cli", "--insecure", "--priority", priority, "-p", "5061", EDGE,
                            check=False, input="", timeout=qemu.patience(30))
    assert "Handshake was completed" in done.stdout, done.stdout + done.stderr


def test_gnutls_gets_nothing_older(world):
    done = world.client.run("gnutls-cli", "--insecure", "--priority",
                            "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0:%COMPAT", "-p", "5061",
                            EDGE, check=False, input="", timeout=qemu.patience(30))
    assert "Handshake was completed" not in done.stdout


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_sessions_resume_by_ticket(world, version):
    ticket = world.folder / f"ticket{version}"
    options = ("-sess_out", ticket) if version == "-tls1_2" else ("-sess_out", ticket, "-ign_eof")
    # TLS 1.3 sends its ticket after the handshake: an answer to a request comes behind it.
    request = (f"OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS 10.77.0.11:40000;"
               "branch=z9hG4bK1\r\nFrom: <sip:x@example.net>;tag=1\r\nMax-Forwards: 70\r\n"
               f"To: <sip:{DOMAIN}>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
    before = world.counts()["Resumed"]
    with subprocess.Popen(
            world.client.command(["openssl", "s_client", "-connect", f"{EDGE}:5061", version,
                                  *options]),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            text=True) as first:
        first.stdin.write(request)
        first.stdin.flush()
        netns.wait_for(lambda: ticket.exists() and "END SSL" in ticket.read_text("ascii"),
                       qemu.patience(10), "the ticket")
        first.kill()  # it waits for the peer's end
    text = world.openssl(version, "-sess_in", ticket)
    assert "Reused, " in text, text[-1500:]
    assert world.counts()["Resumed"] == before + 1
    # A new policy takes the old tickets away.
    world.ask("xConfiguration TLS Profile: Restricted", "xConfiguration TLS Profile: Standard")
    assert "New, " in world.openssl(version, "-sess_in", ticket)


def test_settings_choose_versions_and_suites(world):
    try:
        world.ask("xConfiguration TLS SIP MinimumVersion: TLSv13")
        assert offered(world, TLS13 + TLS12) == TLS13
        world.ask("xConfiguration TLS SIP MinimumVersion: TLSv12",
                  f"xConfiguration TLS SIP Ciphers: {TLS13[2]},{TLS12[2]}")
        assert offered(world, TLS13 + TLS12) == [TLS13[2], TLS12[2]]
        world.ask(f"xConfiguration TLS SIP Ciphers: {EVERY}",
                  "xConfiguration TLS Profile: Restricted")
        assert offered(world, TLS13 + TLS12) == [TLS13[0], TLS13[2], TLS12[0], TLS12[2]]
        assert world.suite("-tls1_3", "-curves", "X25519") is None
        assert world.suite("-tls1_3", "-curves", "P-256") is not None
    finally:
        world.ask("xConfiguration TLS Profile: Standard",
                  "xConfiguration TLS SIP MinimumVersion: TLSv12",
                  f"xConfiguration TLS SIP Ciphers: {EVERY}")
    assert offered(world, TLS13 + TLS12) == TLS13 + TLS12


def test_clients_show_a_certificate_where_they_must(world):
    key, cert = world.folder / "client.key", world.folder / "client.pem"
    authority.self_signed(world.folder, "client", subject="nobody")
    shown = ("-cert", cert, "-key", key)
    authority.Authority(world.folder).issue("phone", authority.server("DNS:phone.example.org"))
    trusted = ("-cert", world.folder / "phone.pem", "-key", world.folder / "phone.key")
    try:
        world.bring("root.pem", "trust.pem")
        world.ask("xConfiguration SIP TLS ClientAuthentication: Required")
        before = world.counts()
        text = world.openssl("-tls1_2")
        assert "alert handshake failure" in text, text[-1500:]
        text = world.openssl("-tls1_2", *shown)
        assert re.search(r"alert (unknown ca|bad certificate)", text), text[-1500:]
        after = world.counts()
        assert after["no-peer-certificate"] == before["no-peer-certificate"] + 1
        refused = "peer-certificate-refused"
        assert after[refused] == before[refused] + 1
        text = world.openssl("-tls1_2", *trusted)
        assert "Cipher is ECDHE" in text and "alert" not in text, text[-1500:]
        assert world.counts()[refused] == after[refused]
        world.ask("xConfiguration SIP TLS ClientAuthentication: Optional")
        assert world.suite("-tls1_2", *trusted) is not None
        assert world.suite("-tls1_2") is not None
        assert re.search(r"alert (unknown ca|bad certificate)", world.openssl("-tls1_2", *shown))
    finally:
        world.ask("xConfiguration SIP TLS ClientAuthentication: Off")
    assert world.suite("-tls1_2", *shown) is not None


def test_phones_register_and_call_over_tls(world):
    with phone.Phone(world.folder, world.client, "alice", DOMAIN, "a-Secret-1", EDGE,
                     transport="tls") as alice, \
         phone.Phone(world.folder, world.other, "bob", DOMAIN, "b-Secret-2", EDGE,
                     transport="tls", answer="auto") as bob:
        alice.wait_registered()
        bob.wait_registered()
        assert world.counts()["Sessions"] >= 2
        alice.command("dial", f"sip:bob@{DOMAIN}")
        netns.wait_for(lambda: "Call established" in alice.log_text(), qemu.patience(20),
                       "the call")
        # Bob's is established by Alice's ACK, which may still be on its way.
        netns.wait_for(lambda: "Call established" in bob.log_text(), qemu.patience(20),
                       "the called phone's side of it")
        alice.command("hangup")


def test_idle_sessions_cost_little(world):
    count = 40
    netns.wait_for(lambda: world.counts()["Sessions"] == 0, qemu.patience(60), "the phones' end")
    before = world.counts()
    clients = [world.client.start("openssl", "s_client", "-connect", f"{EDGE}:5061", "-quiet",
                                  stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) for _ in range(count)]
    try:
        netns.wait_for(lambda: world.counts()["Sessions"] >= before["Sessions"] + count,
                       qemu.patience(30), "the sessions")
        time.sleep(0.5)
        now = world.counts()
        heap = (now["Memory Bytes"] - before["Memory Bytes"]) / count
        total = heap + now["Session Bytes"]
        print(f"{world.board}: an idle TLS connection takes {total:.0f} bytes ({heap:.0f} heap)")
        assert total <= 12 * 1024
    finally:
        for one in clients:
            one.kill()
            one.wait()


def test_what_is_no_tls_is_refused_and_told(world):
    before = world.counts()["not-tls"]
    world.client.run("python3", "-c", f"""
import socket
s = socket.create_connection(("{EDGE}", 5061), 5)
s.sendall(b"REGISTER sip:example.org SIP/2.0\\r\\n\\r\\n")
s.settimeout(10)
try:
    while s.recv(100): pass
except ConnectionResetError:
    pass
""")
    assert world.counts()["not-tls"] == before + 1
    assert "no TLS with 10.77.0.11" in world.ask("xCommand Log Show: last=50")
