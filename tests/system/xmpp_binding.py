"""Log-ins of alice that are bound to their TLS session (RFC 5802, 5929, 9266; XEP-0484), by OpenSSL
and a SCRAM of its own: what came of each is printed as one line of JSON.

    xmpp_binding.py SERVER
"""

import base64
import hashlib
import hmac
import json
import re
import socket
import sys

from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL as tls

USER, PASSWORD, DOMAIN = "alice", "secret", "example.com"
EXPORTER, END_POINT = "tls-exporter", "tls-server-end-point"
SASL, SASL2 = "urn:ietf:params:xml:ns:xmpp-sasl", "urn:xmpp:sasl:2"
HEADER = (f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' "
          "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
AGENT = "<user-agent id='5c0a8b0e-6c3c-4a35-8a55-1c5f2ad4c9a1'/>"
VERSIONS = {"1.2": tls.TLS1_2_VERSION, "1.3": tls.TLS1_3_VERSION}
TIMEOUT = 40


def base64_of(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def other(channel):
    """What somebody in between would have to show: that of another session."""
    return bytes(byte ^ 1 for byte in channel)


class Stream:
    """A connection that is protected from its first byte, or by STARTTLS."""

    def __init__(self, server, version, direct=True):
        plain = socket.create_connection((server, 5223 if direct else 5222), TIMEOUT)
        plain.setblocking(True)
        self.link, self.got = plain, ""
        if not direct:
            self.ask(HEADER, "</stream:features>")
            self.ask("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<proceed[^>]*>")
        context = tls.Context(tls.TLS_METHOD)
        context.set_min_proto_version(VERSIONS[version])
        context.set_max_proto_version(VERSIONS[version])
        self.link = tls.Connection(context, plain)
        self.link.set_connect_state()
        self.link.set_tlsext_host_name(DOMAIN.encode())
        self.link.do_handshake()
        self.features = self.ask(HEADER, "</stream:features>")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()

    def ask(self, text, until):
        """What was said up to the end of a word; more than that is kept."""
        self.link.sendall(text.encode())
        while not (found := re.search(until, self.got)):
            more = self.link.recv(65536)
            assert more, self.got
            self.got += more.decode()
        said, self.got = self.got[:found.end()], self.got[found.end():]
        return said

    def binding(self, kind):
        """As OpenSSL knows it."""
        if kind == EXPORTER:
            return self.link.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
        certificate = self.link.get_peer_certificate().to_cryptography()
        digest = certificate.signature_hash_algorithm
        weak = isinstance(digest, (hashes.MD5, hashes.SHA1))  # RFC 5929 section 4.1
        return certificate.fingerprint(hashes.SHA256() if weak else digest)

    def offered(self):
        """Mechanisms of SASL and of tokens that bind, and the bindings (XEP-0440)."""
        old, new = self.features.split("</mechanisms>", maxsplit=1)
        return [re.findall(r"<mechanism>([^<]*-PLUS)<", old),
                re.findall(r"<channel-binding type='([^']*)'", new),
                re.findall(r"<mechanism>HT-SHA-256-([^<]*)<", new)]


def failure(said):
    return re.search(r"<failure[^>]*><([a-z-]+)", said)[1]


def scram(stream, mechanism, kind, channel, wishes=None):
    """The server's last word, its signature proved; or the condition of the failure. `wishes`: by
    the extensible profile, with them."""
    digest = "sha1" if "SHA-1-" in mechanism else "sha256"
    gs2, first = f"p={kind},,", f"n={USER},r=0123456789abcdef"
    if wishes is None:
        said = stream.ask(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{base64_of(gs2 + first)}"
                          "</auth>", "</challenge>|</failure>")
    else:
        said = stream.ask(f"<authenticate xmlns='{SASL2}' mechanism='{mechanism}'>"
                          f"<initial-response>{base64_of(gs2 + first)}</initial-response>"
                          f"{AGENT}{wishes}</authenticate>", "</challenge>|</failure>")
    if "<failure" in said:
        return failure(said)
    server = base64.b64decode(re.search(r">([^<]*)</challenge>", said)[1]).decode()
    values = dict(each.split("=", 1) for each in server.split(","))
    salted = hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), base64.b64decode(values["s"]),
                                 int(values["i"]))
    key = hmac.digest(salted, b"Client Key", digest)
    last = f"c={base64_of(gs2.encode() + channel)},r={values['r']}"
    whole = ",".join((first, server, last)).encode()
    signature = hmac.digest(hashlib.new(digest, key).digest(), whole, digest)
    proof = base64_of(bytes(a ^ b for a, b in zip(key, signature)))
    said = stream.ask(f"<response xmlns='{SASL if wishes is None else SASL2}'>"
                      f"{base64_of(f'{last},p={proof}')}</response>", "</success>|</failure>")
    if "<failure" in said:
        return failure(said)
    final = base64.b64decode(re.search(r"<(?:success|additional-data)[^>]*>([^<]+)<", said)[1])
    mine = hmac.digest(hmac.digest(salted, b"Server Key", digest), whole, digest)
    assert final.decode() == "v=" + base64_of(mine), final
    return said


def outcome(said):
    return "success" if "<success" in said else said


def attempt(server, version, mechanism, kind, change=bytes, direct=True):
    with Stream(server, version, direct) as stream:
        return outcome(scram(stream, mechanism, kind, change(stream.binding(kind))))


def by_token(server, version, kind, change=bytes):
    """With a token that is bound to the session; it is got by a password first."""
    mechanism = "HT-SHA-256-EXPR" if kind == EXPORTER else "HT-SHA-256-ENDP"
    with Stream(server, "1.3") as stream:
        said = scram(stream, "SCRAM-SHA-256-PLUS", EXPORTER, stream.binding(EXPORTER),
                     f"<request-token xmlns='urn:xmpp:fast:0' mechanism='{mechanism}'/>")
    secret = re.search(r" token='([^']*)'", said)[1].encode()
    with Stream(server, version) as stream:
        channel = change(stream.binding(kind))
        initial = USER.encode() + b"\0" + hmac.digest(secret, b"Initiator" + channel, "sha256")
        said = stream.ask(f"<authenticate xmlns='{SASL2}' mechanism='{mechanism}'>"
                          f"<initial-response>{base64_of(initial)}</initial-response>{AGENT}"
                          "<fast xmlns='urn:xmpp:fast:0'/></authenticate>",
                          "</success>|</failure>")
    if "<failure" in said:
        return failure(said)
    answer = base64.b64decode(re.search(r"<additional-data>([^<]*)<", said)[1])
    assert answer == hmac.digest(secret, b"Responder" + channel, "sha256")
    return "success"


def main(server):
    said = {"offered": {}, "good": {}, "wrong": {}}
    strong, weak = "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"
    for version in VERSIONS:
        with Stream(server, version) as stream:
            said["offered"][version] = stream.offered()
    for version, kind in (("1.3", EXPORTER), ("1.3", END_POINT), ("1.2", END_POINT)):
        for mechanism in (strong, weak):
            said["good"][f"{version} {kind} {mechanism}"] = attempt(
                server, version, mechanism, kind, direct=mechanism == strong)
        said["good"][f"{version} {kind} token"] = by_token(server, version, kind)
    said["wrong"] = {
        "exporter": attempt(server, "1.3", strong, EXPORTER, other),
        "end point": attempt(server, "1.3", weak, END_POINT, other),
        "exporter before 1.3": attempt(server, "1.2", strong, EXPORTER),
        "token": by_token(server, "1.2", END_POINT, other)}
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
