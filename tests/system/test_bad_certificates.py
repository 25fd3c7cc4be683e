"""Certificates that are bad in one way each, met by OpenSSL on both sides of the Linux process, and
some of them by the signed image:
clients that show them are refused with the alert that says why, and `xCommand SecureTraversalTest`
tells of servers that show them what fails, in words.

The cases are those of path_check_test (tests/unit/crypto/bad_certificates.py), made for today.
"""

import contextlib
import datetime
import pathlib
import re
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.hazmat.primitives import hashes, serialization

import host as host_board
import netns
import qemu

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "unit/crypto"))
import bad_certificates as bad  # pylint: disable=wrong-import-position

EDGE, PEER = "10.79.0.2", "10.79.0.11"
PROVISION = f"""\
xConfiguration System Name: badtest
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {EDGE}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: Gate-house-42
xConfiguration Administrator 1 PublicKey1: "{{key}}"
xConfiguration SSH Mode: On
xConfiguration SIP TLS ClientAuthentication: Required
"""
SSH = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
DAY = datetime.timedelta(days=1)

# What a client that shows it is told (TLS 1.2 and 1.3), and the operator who tests such a server.
CASES = {
    "good": (None, "good: vouched for by .*Test Root"),
    "expired": ("certificate expired", r"edge.example.com\" expired on \d{4}-\d\d-\d\d"),
    "expired-middle": ("certificate expired", r"Test Intermediate\" expired on"),
    "not-yet": ("certificate expired", r"is not valid before \d{4}-\d\d-\d\d"),
    "gap": ("unknown ca", r"the issuer \".*Test Intermediate\" of .* is neither sent"),
    "other-root": ("unknown ca", r"the issuer \".*Test Root\" of .*Test Intermediate\" is neither"),
    "self-signed": ("unknown ca", r"CN=lone\" is self-signed and not trusted"),
    "server-only": ("unsupported certificate", "not for client authentication"),
    "client-only": ("unsupported certificate", "not for server authentication"),
    "no-usage": ("unsupported certificate", "not for server authentication"),
    "wrong-name": (None, r"it is not for \"edge.example.com\" but for DNS:other.example.com"),
    "common-name-only": (None, "no subject alternative names; the common name is not looked at"),
    "constrained": ("bad certificate", "the constraints of an authority above it exclude"),
    "sha1": ("unsupported certificate", r"a hash that is too weak"),
    "rsa-1024": ("unsupported certificate", "a key that is too short"),
    "revoked": ("certificate revoked", r"edge.example.com\" is revoked by \".*Test Intermediate"),
}


class Case:
    def __init__(self, *chain):
        self.chain = chain


def make_cases(top, inner):
    """Leaf first; its key is the first party's."""
    old = bad.middle(top, end=bad.NOW - DAY)
    other = bad.root()
    under = bad.middle(other)
    narrow = bad.Party(bad.name("Narrow Intermediate", "Example"), top, authority=True,
                       extra=bad.constraints([x509.DNSName("example.org")]))
    small = bad.rsa.generate_private_key(65537, 1024)
    return {
        "good": Case(bad.leaf(inner), inner),
        "expired": Case(bad.leaf(inner, end=bad.NOW - DAY), inner),
        "expired-middle": Case(bad.leaf(old), old),
        "not-yet": Case(bad.leaf(inner, begin=bad.NOW + DAY), inner),
        "gap": Case(bad.leaf(inner)),
        "other-root": Case(bad.leaf(under), under),
        "self-signed": Case(bad.Party(bad.name("lone"), sans=bad.names(bad.HOST),
                                      usages=bad.BOTH)),
        "server-only": Case(bad.leaf(inner, usages=bad.SERVER), inner),
        "client-only": Case(bad.leaf(inner, usages=bad.CLIENT), inner),
        "no-usage": Case(bad.leaf(inner, usages=None), inner),
        "wrong-name": Case(bad.leaf(inner, sans=bad.names("other.example.com")), inner),
        "common-name-only": Case(bad.leaf(inner, sans=None), inner),
        "constrained": Case(bad.leaf(narrow), narrow),
        "sha1": Case(bad.leaf(inner, digest=hashes.SHA1()), inner),
        "rsa-1024": Case(bad.leaf(inner, key=small), inner),
        "revoked": Case(bad.leaf(inner), inner),
    }


def write(folder, name, case):
    key = case.chain[0].key.private_bytes(serialization.Encoding.PEM,
                                          serialization.PrivateFormat.PKCS8,
                                          serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(key)
    (folder / f"{name}.pem").write_bytes(b"".join(party.pem() for party in case.chain))


def write_staples(folder, leaf, other, issuer):
    """OCSP responses about `leaf`, as a server shows them."""
    stranger = bad.root()
    status = ocsp.OCSPCertStatus
    for name, about, signer, digest, what, end in (
            ("good", leaf, issuer, hashes.SHA1(), status.GOOD, DAY),
            ("sha256", leaf, issuer, hashes.SHA256(), status.GOOD, DAY),
            ("revoked", leaf, issuer, hashes.SHA1(), status.REVOKED, DAY),
            ("unknown", leaf, issuer, hashes.SHA1(), status.UNKNOWN, DAY),
            ("stale", leaf, issuer, hashes.SHA1(), status.GOOD, -DAY),
            ("forged", leaf, stranger, hashes.SHA1(), status.GOOD, DAY),
            ("of-another", other, issuer, hashes.SHA1(), status.GOOD, DAY)):
        made = ocsp.OCSPResponseBuilder().add_response(
            about.certificate, issuer.certificate, digest, what, bad.NOW - 2 * DAY, bad.NOW + end,
            bad.NOW - DAY if what == status.REVOKED else None, None).responder_id(
                ocsp.OCSPResponderEncoding.HASH, signer.certificate).sign(signer.key,
                                                                          hashes.SHA256())
        (folder / f"{name}.ocsp").write_bytes(made.public_bytes(serialization.Encoding.DER))


class World:
    def ask(self, line):
        done = self.client.run("ssh", *SSH, "-i", self.folder / "key", f"admin@{EDGE}", line,
                               check=False, timeout=qemu.patience(60))
        return done.stdout + done.stderr

    def bring(self, source, name):
        self.client.run("scp", *SSH, "-i", self.folder / "key", self.folder / source,
                        f"admin@{EDGE}:/certificates/{name}", timeout=qemu.patience(60))

    def show(self, name, *flags):
        """What a client is told that shows this certificate."""
        done = self.client.run(
            "openssl", "s_client", "-connect", f"{EDGE}:5061", "-cert", self.folder / f"{name}.pem",
            "-cert_chain", self.folder / f"{name}.pem", "-key", self.folder / f"{name}.key",
            "-cipher", "ALL:@SECLEVEL=0", *flags, check=False, input="",
            timeout=qemu.patience(30))
        return done.stdout + done.stderr

    def examine(self, name, *server_flags, verify_name=bad.HOST):
        """The operator's test of a server that shows this certificate, and what the server saw."""
        server = self.client.start(
            "openssl", "s_server", "-naccept", "1", "-accept", f"{PEER}:5061",
            "-cert", self.folder / f"{name}.pem",
            "-cert_chain", self.folder / f"{name}.pem", "-key", self.folder / f"{name}.key",
            "-cipher", "ALL:@SECLEVEL=0", *server_flags, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            while "ACCEPT" not in server.stdout.readline():
                assert server.poll() is None
            said = self.ask(f"xCommand SecureTraversalTest: {PEER} 5061 {verify_name}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(qemu.patience(3))  # it may not have read our alert yet
        finally:
            server.terminate()
            saw, _ = server.communicate(timeout=qemu.patience(10))
        return said, saw


@contextlib.contextmanager
def made_world(folder, board):
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "test", "-t", "ed25519", "-f",
                    folder / "key"], check=True)
    bad.NOW = datetime.datetime.utcnow().replace(microsecond=0)
    top = bad.root()
    inner = bad.middle(top)
    cases = make_cases(top, inner)
    for name, case in cases.items():
        write(folder, name, case)
    write_staples(folder, cases["good"].chain[0], cases["revoked"].chain[0], inner)
    (folder / "root.pem").write_bytes(top.pem())
    revocations = bad.revocations(inner, [cases["revoked"].chain[0]])
    (folder / "list.crl").write_bytes(revocations.public_bytes(serialization.Encoding.PEM))
    own = bad.leaf(inner, sans=bad.names("badtest.example.com"))
    write(folder, "own", Case(own, inner))
    (folder / "own.whole").write_bytes((folder / "own.pem").read_bytes() +
                                       (folder / "own.key").read_bytes())
    with netns.Network() as network:
        w = World()
        w.folder = folder
        w.client = network.host("client", f"{PEER}/24")
        provision = PROVISION.format(key=(folder / "key.pub").read_text().strip())
        w.edge = host_board.edge_of(board, folder / "edge", network, provision)
        with w.edge:
            w.edge.expect(r"badtest login: ", timeout=90)
            w.bring("root.pem", "trust.pem")
            w.bring("list.crl", "list.crl")
            w.bring("own.whole", "server.pem")
            yield w


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with made_world(tmp_path_factory.mktemp("bad"), "host") as made:
        yield made


@pytest.fixture(scope="module")
def image_world(tmp_path_factory):
    with made_world(tmp_path_factory.mktemp("image"), "image") as made:
        yield made


# Roles of clients: client authentication is what counts, a name is not asked for.
CLIENT_ALERTS = {name: alert for name, (alert, _) in CASES.items()}
CLIENT_ALERTS.update({"client-only": None, "no-usage": None})


@pytest.mark.parametrize("name", CASES)
def test_a_client_is_told_why(world, name):
    alert = CLIENT_ALERTS[name]
    text = world.show(name, "-tls1_2")
    if alert is None:
        assert re.search(r"Cipher is ECDHE", text) and "alert" not in text, text[-800:]
    else:
        assert f"alert {alert}" in text, text[-800:]


@pytest.mark.parametrize("name, alert", [("expired", "certificate expired"), ("gap", "unknown ca"),
                                         ("revoked", "certificate revoked")])
def test_a_client_is_told_by_tls13_too(world, name, alert):
    assert f"alert {alert}" in world.show(name, "-tls1_3", "-ign_eof")


@pytest.mark.parametrize("name", CASES)
def test_an_operator_reads_what_fails(world, name):
    said, saw = world.examine(name)
    assert re.search(CASES[name][1], said), said
    assert ("PASSED" in said) == (name == "good"), said
    assert ("FAILED: the peer's certificate" in said) == (name != "good"), said
    if name != "good":
        expected = CASES[name][0] or "bad certificate"
        assert f"alert {expected}" in saw, saw


STAPLES = {
    "good": (None, "its OCSP response says that it is not revoked"),
    "sha256": (None, "its OCSP response says that it is not revoked"),
    "revoked": (44, r"is revoked by \".*Test Intermediate\" \(the OCSP response"),
    "unknown": (113, "the responder does not know the certificate"),
    "stale": (113, "the responder's answer is not valid now"),
    "forged": (113, "signed by nobody who may speak for the issuer"),
    "of-another": (113, "the responder's answer is about another certificate"),
}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("staple", STAPLES)
def test_the_ocsp_response_of_a_server_is_judged(world, staple, version):
    alert, words = STAPLES[staple]
    said, saw = world.examine("good", "-status_file", world.folder / f"{staple}.ocsp", version)
    assert re.search(words, said), said
    assert ("PASSED" in said) == (alert is None), said
    assert ("FAILED: the peer's certificate" in said) == (alert is not None), said
    if alert is None:
        assert "alert number" not in saw, saw
    else:
        assert f"alert number {alert}" in saw, saw


def test_the_peer_may_refuse_our_certificate(world):
    trusted = ("-Verify", "3", "-verify_return_error", "-CAfile", world.folder / "root.pem")
    said, saw = world.examine("good", *trusted)
    assert "PASSED" in said and "DNS:badtest.example.com, issued by" in said, said
    assert "depth=0" in saw and "verify error" not in saw, saw
    for version in ("-tls1_2", "-tls1_3"):
        said, _ = world.examine("good", version, "-Verify", "3", "-verify_return_error", "-CAfile",
                                world.folder / "self-signed.pem")
        assert "The peer's certificate is good" in said, said
        assert "FAILED: the peer refuses with the alert unknown_ca" in said, said


def test_a_peer_without_tls_and_nobody_at_all(world):
    said = world.ask(f"xCommand SecureTraversalTest: {PEER} 1")
    assert "FAILED: refused" in said, said
    said = world.ask(f"xCommand SecureTraversalTest: {PEER} 70000")
    assert "ERROR" in said, said


def test_the_log_says_it_too(world):
    """One event a second, ten at once: on a fast machine the tests before this have used them."""
    for name, reason in (("expired", "expired"), ("revoked", "revoked"),
                         ("gap", "not from a trusted authority"),
                         ("server-only", "not for this use"),
                         ("constrained", "outside of its authority's name constraints")):
        def is_told():
            world.show(name, "-tls1_2")
            words = world.ask("xCommand Log Show: last=300")
            return f"the peer's certificate is refused: {reason}" in words
        netns.wait_for(is_told, qemu.patience(20), reason, interval=1)


@pytest.mark.parametrize("name", ["good", "expired", "gap", "revoked", "constrained"])
def test_the_image_says_the_same(image_world, name):
    text = image_world.show(name, "-tls1_2")
    alert = CLIENT_ALERTS[name]
    assert f"alert {alert}" in text if alert else "Cipher is ECDHE" in text, text[-800:]
    said, _ = image_world.examine(name)
    assert re.search(CASES[name][1], said), said
