"""Certificates by ACME (RFC 8555) from Debian's Pebble, which nobody here wrote: by http-01 and
tls-alpn-01, for the server and a domain (SNI), with rejected nonces on the way; hot swap, renewal
when a name is missing, an authority that cannot verify and what the operator is told; no port is
open but while it is asked for; an account bound to one that exists.

On the Linux process, driven over SSH; on the signed image one certificate.
"""

import json
import os
import subprocess

import pytest

import authority
import host as host_board
import netns
import qemu

EDGE = "10.79.0.2"
AUTHORITY = "10.79.0.11"
BINDING = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
PROVISION = f"""\
xConfiguration System Name: acmetest
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {EDGE}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: Gate-house-42
xConfiguration Administrator 1 PublicKey1: "{{key}}"
xConfiguration SSH Mode: On
xConfiguration Certificate CSR Name: edge.example.com
xConfiguration Certificate ACME Directory: https://{AUTHORITY}:14000/dir
"""
SSH = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
WAIT = qemu.patience(40)


class World:
    def ask(self, *lines):
        done = self.client.run("ssh", *SSH, "-i", self.folder / "key", f"admin@{EDGE}",
                               *["; ".join(lines)], check=False, timeout=qemu.patience(60))
        return done.stdout + done.stderr

    def set(self, *pairs):
        for pair in pairs:
            said = self.ask(f"xConfiguration Certificate {pair}")
            assert "ERROR" not in said, said

    def bring(self, name, file):
        self.client.run("scp", *SSH, "-i", self.folder / "key", self.folder / file,
                        f"admin@{EDGE}:/certificates/{name}", timeout=qemu.patience(60))

    def served(self, *flags):
        """Names and issuer of the certificate that a client of SIP over TLS is shown."""
        done = self.client.run("openssl", "s_client", "-connect", f"{EDGE}:5061", *flags,
                               check=False, input="", timeout=qemu.patience(30))
        shown = subprocess.run(["openssl", "x509", "-noout", "-issuer", "-ext", "subjectAltName"],
                               input=done.stdout, capture_output=True, text=True, check=False)
        return shown.stdout

    def shows(self, *names, flags=()):
        def seen():
            text = self.served(*flags)
            return "Pebble Intermediate" in text and all(f"DNS:{name}" in text for name in names)
        netns.wait_for(seen, WAIT, f"{names} served; {self.ask('xStatus Certificate ACME')}",
                       interval=0.5)

    def account(self):
        status = self.ask("xStatus Certificate ACME")
        return next(line for line in status.splitlines() if "Account: https" in line).strip()

    def is_open(self, port):
        return self.client.run("curl", "-s", "-m", "1", f"http://{EDGE}:{port}/", check=False,
                               timeout=30).returncode in (0, 52)

    def start_authority(self, **options):
        config = {"listenAddress": f"{AUTHORITY}:14000", "managementListenAddress": "",
                  "certificate": "server.pem", "privateKey": "server.key", "httpPort": 80,
                  "tlsPort": 443, "ocspResponderURL": "", **options}
        (self.folder / "config").write_text(json.dumps({"pebble": config}))
        log = (self.folder / "pebble.log").open("a")
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "20"}
        self.pebble = self.client.start("pebble", "-config", self.folder / "config", "-dnsserver",
                                        f"{AUTHORITY}:8053", stdout=log, stderr=log,
                                        cwd=self.folder, env=environment)
        netns.wait_for(lambda: self.client.run(
            "curl", "-sk", f"https://{AUTHORITY}:14000/dir", check=False).returncode == 0, 20,
            "pebble")

    def stop_authority(self):
        self.pebble.terminate()
        self.pebble.wait(10)


@pytest.fixture(scope="module", params=["host", "image"])
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "test", "-t", "ed25519", "-f",
                    folder / "key"], check=True)
    provision = PROVISION.format(key=(folder / "key.pub").read_text().strip())
    with netns.Network() as network:
        w = World()
        w.board, w.folder = request.param, folder
        w.client = network.host("client", f"{AUTHORITY}/24")
        authority.Authority(folder, "ACME Server Root").issue(
            "server", authority.server(f"IP:{AUTHORITY}", "serverAuth"))
        w.client.start("pebble-challtestsrv", "-defaultIPv4", EDGE, "-defaultIPv6", "", "-dns01",
                       f"{AUTHORITY}:8053", "-http01", "", "-https01", "", "-tlsalpn01", "",
                       "-management", f"{AUTHORITY}:8055", stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        w.start_authority()
        w.edge = host_board.edge_of(request.param, folder / "edge", network, provision)
        # Pebble's certificates begin when it signs, unlike those of real authorities: a clock that
        # is behind would refuse them.
        w.edge.clock_behind_s = -60
        with w.edge:
            w.edge.expect(r"acmetest login: ", timeout=90)
            yield w


def test_a_certificate_by_http_is_put_in_force(world):
    assert "Pebble" not in world.served()
    world.bring("trust.pem", "root.pem")
    # Terms of service are agreed to by nobody but the operator.
    world.set("ACME Mode: On")
    netns.wait_for(lambda: "TermsAgreed" in world.ask("xStatus Certificate ACME"), WAIT, "refusal")
    assert "was not obtained" in world.ask("xStatus Alarm")
    world.set("ACME TermsAgreed: On")
    world.shows("edge.example.com")
    status = world.ask("xStatus Certificate")
    assert "Origin: ACME" in status
    assert "In force" in status and "Issued: 1" in status
    assert "was not obtained" not in world.ask("xStatus Alarm")
    assert not world.is_open(80)


def test_a_missing_name_renews_under_an_open_session(world):
    if world.board == "image":
        pytest.skip("shown by the Linux process")
    session = world.client.start("openssl", "s_client", "-connect", f"{EDGE}:5061", "-quiet",
                                 stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
    world.set("CSR Additional Names: more.example.com")
    world.shows("edge.example.com", "more.example.com")
    assert session.poll() is None
    session.kill()


def test_a_domain_by_tls_alpn(world):
    if world.board == "image":
        pytest.skip("shown by the Linux process")
    world.set("ACME Challenge: TLS-ALPN", "ACME Domains: tenant.example.net")
    world.shows("tenant.example.net", flags=("-servername", "tenant.example.net"))
    world.shows("edge.example.com")
    # The port is closed again, and nobody is shown a challenge who asks without one.
    assert not world.is_open(443)
    done = world.client.run("openssl", "s_client", "-connect", f"{EDGE}:5061", "-alpn",
                            "acme-tls/1", check=False, input="")
    assert "No ALPN negotiated" in done.stdout


def test_what_the_authority_cannot_verify_is_told(world):
    if world.board == "image":
        pytest.skip("shown by the Linux process")
    nowhere = '{"host":"nowhere.example.org","addresses":["10.79.0.99"]}'
    world.client.run("curl", "-s", "-d", nowhere, f"http://{AUTHORITY}:8055/add-a")
    world.set("ACME Challenge: HTTP", "ACME Domains: nowhere.example.org")
    netns.wait_for(lambda: "could not verify nowhere.example.org" in
                   world.ask("xStatus Certificate ACME"), WAIT, "the authority's words")
    alarm = world.ask("xStatus Alarm")
    assert "was not obtained or renewed" in alarm and "nowhere.example.org" in alarm
    assert "tried again in 5 min" in world.ask("xCommand Log Show: last=20")
    # The server's goes on, and the operator may ask again at once.
    world.client.run("curl", "-s", "-d", f'{{"host":"nowhere.example.org","addresses":["{EDGE}"]}}',
                     f"http://{AUTHORITY}:8055/add-a")
    world.client.run("curl", "-s", "-d", '{"host":"nowhere.example.org"}',
                     f"http://{AUTHORITY}:8055/clear-a")
    assert "asked for" in world.ask("xCommand Certificate ACME Renew: nowhere.example.org")
    world.shows("nowhere.example.org", flags=("-servername", "nowhere.example.org"))
    assert "was not obtained" not in world.ask("xStatus Alarm")


def test_a_wildcard_is_refused_with_words(world):
    if world.board == "image":
        pytest.skip("shown by the Linux process")
    world.set("ACME Domains: *.example.org")
    netns.wait_for(lambda: "dns-01" in world.ask("xStatus Certificate ACME"), WAIT, "refusal")
    world.set("ACME Domains: ")


def test_an_account_that_exists_is_bound(world):
    if world.board == "image":
        pytest.skip("shown by the Linux process")
    world.stop_authority()
    world.start_authority(externalAccountBindingRequired=True,
                          externalAccountMACKeys={"kid-1": BINDING})
    world.ask("xCommand Certificate ACME Renew: Server")
    netns.wait_for(lambda: "BindingName" in world.ask("xStatus Certificate ACME"), WAIT, "refusal")
    world.set("ACME BindingName: kid-1", f"ACME BindingKey: {BINDING}")
    assert BINDING not in world.ask("xConfiguration Certificate ACME")
    world.ask("xCommand Certificate ACME Renew: Server")
    netns.wait_for(lambda: "Fault: \n" in world.ask("xStatus Certificate ACME").replace("\r", "")
                   and "In force" in world.ask("xStatus Certificate ACME"), WAIT, "a certificate")


def test_the_account_outlives_a_restart(world):
    if world.board == "image":
        pytest.skip("shown by the Linux process")
    account = world.account()
    world.edge.stop()
    world.edge.start()
    world.edge.expect(r"acmetest login: ", timeout=90)
    world.ask("xCommand Certificate ACME Renew: Server")
    netns.wait_for(lambda: "Issued: 1" in world.ask("xStatus Certificate ACME"), WAIT, "renewal")
    assert world.account() == account
