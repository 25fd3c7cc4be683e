"""Certificates as an operator gets them: a request made on the device, signed by an OpenSSL
authority, brought back, served on SIP's TLS port; a domain certificate chosen by SNI; exchange
under an open session; what is wrong is refused with words; no key is on the disk in the clear.
What OpenSSL's responder says of a certificate (OCSP) is stapled; protocols are agreed on by ALPN.

On the signed image in QEMU and on the Linux process, driven over SSH and scp.
"""

import subprocess

import pytest

from authority import Authority, server
import host as host_board
import netns
import qemu

EDGE = "10.78.0.2"
PROVISION = f"""\
xConfiguration System Name: certtest
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {EDGE}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: Gate-house-42
xConfiguration Administrator 1 PublicKey1: "{{key}}"
xConfiguration SSH Mode: On
"""
# The image's clock to the authority's and the responder's: nothing may lean on them agreeing.
BEHIND_S = 60
TEMPORARY = f"DNS:certtest, IP Address:{EDGE}"
# A certificate and a key made elsewhere; 40 bytes of that key must be found nowhere.
SSH = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]


class World:
    def ask(self, line):
        done = self.client.run("ssh", *SSH, "-i", self.folder / "key", f"admin@{EDGE}", line,
                               check=False, timeout=qemu.patience(60))
        return done.stdout + done.stderr

    def bring(self, name, *files):
        """Copies files, one behind the other, to /certificates; "", or what scp says."""
        whole = self.folder / "whole"
        whole.write_bytes(b"".join((self.folder / file).read_bytes() for file in files))
        done = self.client.run("scp", *SSH, "-i", self.folder / "key", whole,
                               f"admin@{EDGE}:/certificates/{name}", check=False,
                               timeout=qemu.patience(60))
        self.told = done.stderr
        if done.returncode == 0:
            return ""
        return done.stdout + done.stderr + self.ask("xCommand Log Show: last=5")

    def sign(self, certificate, extensions):
        """The request in progress, signed by the intermediate authority."""
        text = self.ask("xCommand Certificate CSR Show")
        begin = text.index("-----BEGIN")
        (self.folder / "request").write_text(text[begin:text.index("-----END") + 60])
        self.middle.sign("request", certificate, extensions)

    def served(self, *flags):
        """The names of the certificate that a client is shown, verified against the root."""
        done = self.client.run("openssl", "s_client", "-connect", f"{EDGE}:5061", "-CAfile",
                               self.folder / "root.pem", *flags, check=False, input="",
                               timeout=qemu.patience(30))
        shown = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"],
                               input=done.stdout, capture_output=True, text=True, check=False)
        verified = "Verify return code: 0 (ok)" in done.stdout
        return shown.stdout.strip().splitlines()[-1].strip(), verified


@pytest.fixture(scope="module", params=["host", "image"])
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "test", "-t", "ed25519", "-f",
                    folder / "key"], check=True)
    provision = PROVISION.format(key=(folder / "key.pub").read_text().strip())
    with netns.Network() as network:
        w = World()
        w.board, w.folder = request.param, folder
        w.client = network.host("client", "10.78.0.11/24")
        w.middle = Authority(folder, "Middle", "middle", above=Authority(folder))
        w.edge = host_board.edge_of(request.param, folder / "edge", network, provision)
        w.edge.clock_behind_s = BEHIND_S
        with w.edge:
            w.edge.expect(r"certtest login: ", timeout=90)
            yield w


def test_the_first_certificate_is_temporary_and_says_so(world):
    assert world.served() == (TEMPORARY, False)
    assert "Temporary" in world.ask("xStatus Certificate")
    assert "temporary" in world.ask("xStatus Alarm")


def test_a_request_becomes_the_certificate_that_is_served(world):
    assert world.bring("trust.pem", "root.pem") == ""
    world.ask("xConfiguration Certificate CSR Name: edge.example.com")
    world.ask("xConfiguration Certificate CSR Registration Domains: example.com")
    world.ask("xConfiguration Certificate CSR Registration Format: CollabEdgeDNS")
    assert "gives the request" in world.ask("xCommand Certificate CSR Generate")
    assert "a request is in progress" in world.ask("xCommand Certificate CSR Generate")
    world.sign("leaf.pem", server("DNS:edge.example.com"))
    asked = subprocess.run(["openssl", "req", "-in", world.folder / "request", "-noout", "-text"],
                           capture_output=True, text=True, check=True).stdout
    assert "DNS:edge.example.com, DNS:collab-edge.example.com" in asked
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in asked
    # Refused: a chain with a gap, and one without client authentication.
    assert world.bring("server.pem", "leaf.pem") != ""
    assert "the chain has a gap" in world.told
    world.sign("narrow.pem", server("DNS:edge.example.com", "serverAuth"))
    assert world.bring("server.pem", "narrow.pem", "middle.pem") != ""
    assert "lacks the extended key usage client authentication" in world.told
    assert world.served() == (TEMPORARY, False)
    assert world.bring("server.pem", "leaf.pem", "middle.pem") == ""
    assert world.served() == ("DNS:edge.example.com", True)
    netns.wait_for(lambda: "is temporary" not in world.ask("xStatus Alarm"), qemu.patience(10),
                   "the alarm's end")


def test_a_domain_is_chosen_by_its_name_under_an_open_session(world):
    session = world.client.start("openssl", "s_client", "-connect", f"{EDGE}:5061",
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                 stderr=subprocess.DEVNULL)
    assert any("SSL handshake has read" in line for line in session.stdout)
    world.ask("xCommand Certificate CSR Domain: tenant.example.net")
    world.sign("tenant.pem", server("DNS:tenant.example.net"))
    assert world.bring("tenant.example.net.pem", "tenant.pem", "middle.pem") == ""
    assert world.served("-servername", "tenant.example.net") == ("DNS:tenant.example.net", True)
    assert world.served("-servername", "other.example.net") == ("DNS:edge.example.com", True)
    # The server's own is exchanged; whoever holds a session keeps it.
    world.ask("xCommand Certificate CSR Generate")
    world.sign("second.pem", server("DNS:second.example.com"))
    assert world.bring("server.pem", "second.pem", "middle.pem") == ""
    assert world.served() == ("DNS:second.example.com", True)
    assert session.poll() is None
    session.kill()
    session.wait()
    world.ask("xCommand Certificate Remove Domain: tenant.example.net Confirm: Yes")
    assert world.served("-servername", "tenant.example.net") == ("DNS:second.example.com", True)


def test_a_backup_brings_back_keys_certificates_and_trust(world):
    tenant = ("-servername", "tenant.example.net")
    assert world.bring("tenant.example.net.pem", "tenant.pem", "middle.pem") != ""  # no key now
    world.ask("xCommand Certificate CSR Domain: tenant.example.net")
    world.sign("tenant.pem", server("DNS:tenant.example.net"))
    assert world.bring("tenant.example.net.pem", "tenant.pem", "middle.pem") == ""
    assert "of keys, certificates and trust" in world.ask("xCommand Backup Create: plain battery")
    backup = f"admin@{EDGE}:/backup/gatehouse-backup.ghb"
    copy = ["scp", *SSH, "-i", world.folder / "key"]
    world.client.run(*copy, backup, world.folder / "backup", timeout=qemu.patience(60))
    assert b"PRIVATE" not in (world.folder / "backup").read_bytes()
    # All of it goes: the domain, what is trusted; and the server has another.
    world.ask("xCommand Certificate Remove Domain: tenant.example.net Confirm: Yes")
    assert "Test Root" in world.ask("xCommand Trust List")
    world.ask("xCommand Trust Remove: 1 Confirm: Yes")
    assert "Test Root" not in world.ask("xCommand Trust List")
    world.client.run(*copy, world.folder / "backup", f"admin@{EDGE}:/backup/brought",
                     timeout=qemu.patience(60))
    assert world.served(*tenant) == ("DNS:second.example.com", True)
    assert "wrong password" in world.ask("xCommand Backup Restore: plain batterY Confirm: Yes")
    assert "Test Root" not in world.ask("xCommand Trust List")
    said = world.ask("xCommand Backup Restore: plain battery Confirm: Yes")
    assert "rows of keys, certificates and trust are in force" in said, said
    assert "Test Root" in world.ask("xCommand Trust List")
    assert world.served(*tenant) == ("DNS:tenant.example.net", True)
    assert world.served() == ("DNS:second.example.com", True)
    world.ask("xCommand Certificate Remove Domain: tenant.example.net Confirm: Yes")


def test_an_rsa_key_is_made_in_the_device(world):
    world.ask("xConfiguration Certificate CSR Key: RSA-2048")
    world.ask("xCommand Certificate CSR Generate")
    netns.wait_for(lambda: "State: Ready" in world.ask("xStatus Certificate CSR"),
                   qemu.patience(120), "the key")
    world.sign("rsa.pem", server("DNS:rsa.example.com"))
    assert world.bring("server.pem", "rsa.pem", "middle.pem") == ""
    assert world.served("-tls1_2", "-cipher", "aRSA") == ("DNS:rsa.example.com", True)


def responder(world, status):
    """OpenSSL's, that says "good" (V) or "revoked" (R) of the certificate stapled.pem."""
    serial = subprocess.run(["openssl", "x509", "-in", "stapled.pem", "-noout", "-serial"],
                            cwd=world.folder, capture_output=True, text=True, check=True).stdout
    when = "260101000000Z" if status == "R" else ""
    (world.folder / "index").write_text(
        f"{status}\t491231235959Z\t{when}\t{serial.strip().split('=')[1]}\tunknown\t/CN=stapled\n")
    process = world.client.start("openssl", "ocsp", "-index", "index", "-port", "8888", "-rsigner",
                                 "speaker.pem", "-rkey", "speaker.key", "-CA", "middle.pem",
                                 "-nmin", "30", cwd=world.folder, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True)
    while "waiting" not in process.stderr.readline():
        assert process.poll() is None
    return process


def stapled(world, *flags, port=5061):
    done = world.client.run("openssl", "s_client", "-connect", f"{EDGE}:{port}", "-status",
                            "-CAfile", world.folder / "root.pem", *flags, check=False, input="",
                            timeout=qemu.patience(30))
    assert "Verify return code: 0 (ok)" in done.stdout
    return "good" if "Cert Status: good" in done.stdout else (
        "none" if "no response sent" in done.stdout else done.stdout)


def test_the_word_of_the_responder_is_stapled(world):
    world.middle.issue("speaker", "extendedKeyUsage=OCSPSigning\n")
    world.ask("xConfiguration Certificate CSR Key: EC-P256")
    world.ask("xCommand Certificate CSR Generate")
    world.sign("stapled.pem", server("DNS:edge.example.com") + "tlsfeature=status_request\n"
               "authorityInfoAccess=OCSP;URI:http://10.78.0.11:8888/ask\n")
    speaker = responder(world, "V")
    assert world.bring("server.pem", "stapled.pem", "middle.pem") == ""
    netns.wait_for(lambda: "Status: Good" in world.ask("xStatus Certificate OCSP"),
                   qemu.patience(15), "the responder's word", interval=0.5)
    assert stapled(world, "-tls1_3") == "good"
    assert stapled(world, "-tls1_2") == "good"
    world.ask("xConfiguration Traversal Server TURN Mode: On")
    netns.wait_for(lambda: "TURN DTLS:" in world.ask("xStatus TURN"), qemu.patience(10), "DTLS")
    assert stapled(world, "-dtls1_2", port=5349) == "good"
    world.ask("xConfiguration Traversal Server TURN Mode: Off")
    # Who does not ask is not told.
    assert world.served("-tls1_2") == ("DNS:edge.example.com", True)
    speaker.kill()
    speaker.wait()
    # Without a responder what it said stays, until its end.
    world.ask("xCommand Certificate OCSP Refresh")
    netns.wait_for(lambda: "Fault: the server" in world.ask("xStatus Certificate OCSP"),
                   qemu.patience(40), "a fault", interval=1)
    assert stapled(world) == "good"
    speaker = responder(world, "R")
    world.ask("xCommand Certificate OCSP Refresh")
    netns.wait_for(lambda: "Status: Revoked" in world.ask("xStatus Certificate OCSP"),
                   qemu.patience(40), "revocation", interval=1)
    assert stapled(world) == "none"
    netns.wait_for(
        lambda: "A certificate of this device is revoked" in world.ask("xStatus Alarm"),
        qemu.patience(10), "the alarm of a revoked certificate")
    world.ask("xConfiguration Certificate OCSP Stapling: Off")
    netns.wait_for(lambda: "must come with an OCSP response" in world.ask("xStatus Alarm"),
                   qemu.patience(10), "the alarm of a certificate that wants a response")
    speaker.kill()
    speaker.wait()


def test_protocols_are_agreed_on(world):
    def agreed(protocol):
        done = world.client.run("openssl", "s_client", "-connect", f"{EDGE}:5061", "-alpn",
                                protocol, check=False, input="", timeout=qemu.patience(30))
        return done.stdout + done.stderr
    assert "ALPN protocol: sip/2" in agreed("h2,sip/2")
    assert "No ALPN negotiated" in agreed("h2")
    world.ask("xConfiguration TLS StrictProtocols: On")
    assert "ALPN protocol: sip/2" in agreed("h2,sip/2")
    assert "no application protocol" in agreed("h2")
    world.ask("xConfiguration TLS StrictProtocols: Off")


def test_no_key_is_on_the_disk_in_the_clear(world):
    world.middle.issue("own", server("DNS:own.example.com"))
    subprocess.run(["openssl", "ec", "-in", "own.key", "-outform", "DER", "-out", "own.der"],
                   cwd=world.folder, check=True, capture_output=True)
    assert world.bring("server.pem", "own.pem", "middle.pem", "own.key") == ""
    assert world.served() == ("DNS:own.example.com", True)
    secret = (world.folder / "own.der").read_bytes()[7:39]
    files = [path for path in (world.folder / "edge").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) > 1 << 20  # the disk is among them
    for path in files:
        with path.open("rb") as disk:
            tail = b""
            while piece := disk.read(1 << 20):
                assert secret not in tail + piece, path
                tail = piece[-64:]
