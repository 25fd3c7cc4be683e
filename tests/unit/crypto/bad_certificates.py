"""Makes chains of certificates that are good or bad in one way each, for path_check_test.

Usage: bad_certificates.py FOLDER. Writes <case>.pem (leaf first), <case>.roots, <case>.crl (if the
case has one) and `cases`: a line for each, "case role name verdict". Dates are around 2026-06-01;
the system's tests set NOW to today.
"""

import datetime
import ipaddress
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

NOW = datetime.datetime(2026, 6, 1)
DAY = datetime.timedelta(days=1)
BOTH = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
SERVER = [ExtendedKeyUsageOID.SERVER_AUTH]
CLIENT = [ExtendedKeyUsageOID.CLIENT_AUTH]
HOST = "edge.example.com"


def name(common_name, organization=None):
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    if organization:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def names(*values):
    return [x509.IPAddress(ipaddress.ip_address(v)) if v[0].isdigit() or ":" in v
            else x509.DNSName(v) for v in values]


def other_name(oid, tag, text):
    """xmppAddr or SRVName: the text under its ASN.1 tag."""
    return x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8." + oid),
                          bytes([tag, len(text)]) + text.encode())


def xmpp_address(text):
    return other_name("5", 0x0C, text)


def service_name(text):
    return other_name("7", 0x16, text)


class Party:
    """A certificate and its key."""

    def __init__(self, subject, issuer=None, *, authority=False, path_length=None, key=None,
                 begin=None, end=None, usages=None, sans=None, extra=(),
                 digest=None, signs_certificates=True, signing_key=None):
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.issuer = issuer or self
        self.subject = subject
        builder = (x509.CertificateBuilder().subject_name(subject)
                   .issuer_name(self.issuer.subject).public_key(self.key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(begin or NOW - 30 * DAY)
                   .not_valid_after(end or NOW + 300 * DAY))
        if authority:
            builder = builder.add_extension(
                x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
            builder = builder.add_extension(x509.KeyUsage(
                digital_signature=False, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, key_cert_sign=signs_certificates,
                crl_sign=True, encipher_only=False, decipher_only=False), critical=True)
        if usages is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if sans is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        signer = signing_key or self.issuer.key
        self.certificate = builder.sign(signer, digest or hashes.SHA256())

    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def root(**options):
    return Party(name("Test Root", "Example"), authority=True, end=NOW + 3000 * DAY, **options)


def middle(issuer, **options):
    return Party(name("Test Intermediate", "Example"), issuer, authority=True, **options)


def leaf(issuer, **options):
    options.setdefault("usages", BOTH)
    options.setdefault("sans", names(HOST))
    return Party(name(options.pop("cn", HOST), "Example"), issuer, **options)


class Cases:
    def __init__(self, folder):
        self.folder = folder
        self.lines = []

    def add(self, case, verdict, chain, roots, *, role="server", host=HOST, crl=None):
        (self.folder / f"{case}.pem").write_bytes(b"".join(party.pem() for party in chain))
        (self.folder / f"{case}.roots").write_bytes(b"".join(party.pem() for party in roots))
        if crl is not None:
            (self.folder / f"{case}.crl").write_bytes(
                crl.public_bytes(serialization.Encoding.DER))
        self.lines.append(f"{case} {role} {host or '-'} {verdict}")


def constraints(permitted=None, excluded=None):
    return [(x509.NameConstraints(permitted, excluded), True)]


def revocations(issuer, revoked, end=None, key=None):
    builder = (x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
               .last_update(NOW - DAY).next_update(end or NOW + 5 * DAY))
    for party in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(party.certificate.serial_number)
            .revocation_date(NOW - DAY).build())
    return builder.sign(key or issuer.key, hashes.SHA256())


def add_names(cases, top, inner):
    for case, host, sans, verdict in [
            ("name-other", "other.example.com", [HOST], "wrong-name"),
            ("name-case", "EDGE.Example.COM", [HOST], "good"),
            ("name-dot", "edge.example.com.", [HOST], "good"),
            ("wildcard", HOST, ["*.example.com"], "good"),
            ("wildcard-two-labels", "a.b.example.com", ["*.example.com"], "wrong-name"),
            ("wildcard-bare", "example.com", ["*.example.com"], "wrong-name"),
            ("wildcard-partial", HOST, ["e*.example.com"], "wrong-name"),
            ("wildcard-inner", HOST, ["edge.*.com"], "wrong-name"),
            ("wildcard-top", "example.com", ["*.com"], "wrong-name"),
            ("address", "192.0.2.1", ["192.0.2.1"], "good"),
            ("address-six", "2001:db8::1", ["2001:db8::1"], "good"),
            ("address-other", "192.0.2.2", ["192.0.2.1"], "wrong-name"),
            ("address-as-dns", "192.0.2.1", [HOST], "wrong-name"),
            ("name-suffix", "xedge.example.com", [HOST], "wrong-name"),
            ("name-none-asked", "", [HOST], "good")]:
        cases.add(case, verdict, [leaf(inner, sans=names(*sans)), inner], [top], host=host)
    cases.add("address-in-dns-name", "wrong-name",
              [leaf(inner, sans=[x509.DNSName("192.0.2.1")]), inner], [top], host="192.0.2.1")
    cases.add("common-name-only", "wrong-name", [leaf(inner, sans=None), inner], [top])
    cases.add("common-name-beside", "wrong-name",
              [leaf(inner, sans=names("other.example.com")), inner], [top])


def add_times(cases, top, inner):
    cases.add("expired", "expired", [leaf(inner, end=NOW - DAY), inner], [top])
    cases.add("not-yet", "not-yet-valid", [leaf(inner, begin=NOW + DAY), inner], [top])
    old = middle(top, end=NOW - DAY)
    cases.add("expired-intermediate", "expired", [leaf(old), old], [top])
    past = Party(name("Old Root"), authority=True, begin=NOW - 900 * DAY, end=NOW - DAY)
    under = middle(past)
    cases.add("expired-root", "expired", [leaf(under), under], [past])


def add_paths(cases, top, inner):
    cases.add("good", "good", [leaf(inner), inner], [top])
    cases.add("good-with-root", "good", [leaf(inner), inner, top], [top])
    cases.add("gap", "unknown-authority", [leaf(inner)], [top])
    cases.add("other-root", "unknown-authority", [leaf(inner), inner], [root()])
    cases.add("no-root", "unknown-authority", [leaf(inner), inner], [])
    forged = leaf(inner, signing_key=ec.generate_private_key(ec.SECP256R1()))
    cases.add("bad-signature", "unknown-authority", [forged, inner], [top])
    plain = Party(name("Not An Authority"), top)
    cases.add("issuer-no-authority", "unknown-authority", [leaf(plain), plain], [top])
    mute = middle(top, signs_certificates=False)
    cases.add("issuer-may-not-sign", "unknown-authority", [leaf(mute), mute], [top])
    short = middle(top, path_length=0)
    below = Party(name("Below"), short, authority=True)
    cases.add("path-too-long", "unknown-authority", [leaf(below), below, short], [top])
    cases.add("path-just-fits", "good", [leaf(short), short], [top])
    chain = [inner]
    for i in range(10):
        chain.insert(0, Party(name(f"Level {i}"), chain[0], authority=True))
    cases.add("eleven-levels", "unknown-authority", [leaf(chain[0]), *chain], [top])
    lone = Party(name("lone"), sans=names(HOST), usages=BOTH)
    cases.add("self-signed", "unknown-authority", [lone], [top])
    cases.add("self-signed-trusted", "good", [lone], [lone])
    unknown = [(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), True)]
    cases.add("critical-unknown", "malformed", [leaf(inner, extra=unknown), inner], [top])
    known = [(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), False)]
    cases.add("unknown-not-critical", "good", [leaf(inner, extra=known), inner], [top])


def add_usages(cases, top, inner):
    for role, usages, verdict in [
            ("server", SERVER, "good"), ("server", CLIENT, "wrong-usage"),
            ("server", None, "good"), ("client", CLIENT, "good"),
            ("client", SERVER, "wrong-usage"), ("federation", BOTH, "good"),
            ("federation", SERVER, "wrong-usage"), ("federation", CLIENT, "wrong-usage"),
            ("federation", None, "wrong-usage"),
            ("server", [ExtendedKeyUsageOID.CODE_SIGNING], "wrong-usage")]:
        words = {None: "none", tuple(SERVER): "server", tuple(CLIENT): "client",
                 tuple(BOTH): "both"}.get(tuple(usages) if usages else None, "code")
        cases.add(f"usage-{role}-{words}", verdict, [leaf(inner, usages=usages), inner], [top],
                  role=role)
    narrow = middle(top, usages=CLIENT)
    cases.add("usage-of-authority", "wrong-usage", [leaf(narrow), narrow], [top])
    agreement = [(x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=True, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False), True)]
    cases.add("key-usage-no-signature", "wrong-usage", [leaf(inner, extra=agreement), inner],
              [top])


def add_weak(cases, top, inner):
    cases.add("sha1", "weak", [leaf(inner, digest=hashes.SHA1()), inner], [top])
    sha1 = middle(top, digest=hashes.SHA1())
    cases.add("sha1-intermediate", "weak", [leaf(sha1), sha1], [top])
    small = rsa.generate_private_key(65537, 1024)
    cases.add("rsa-1024", "weak", [leaf(inner, key=small), inner], [top])
    weak = middle(top, key=small)
    cases.add("rsa-1024-intermediate", "weak", [leaf(weak), weak], [top])
    large = rsa.generate_private_key(65537, 2048)
    cases.add("rsa-2048", "good", [leaf(inner, key=large), inner], [top])
    cases.add("sha512", "good", [leaf(inner, digest=hashes.SHA512()), inner], [top])
    k1 = ec.generate_private_key(ec.SECP256K1())
    cases.add("other-curve", "malformed", [leaf(inner, key=k1), inner], [top])


def add_constraints(cases, top):
    dns = x509.DNSName
    ip = lambda text: x509.IPAddress(ipaddress.ip_network(text))  # noqa: E731
    for case, extra, sans, verdict in [
            ("permitted", constraints([dns("example.com")]), [HOST], "good"),
            ("permitted-other", constraints([dns("example.org")]), [HOST], "name-constraint"),
            ("permitted-dot", constraints([dns(".example.com")]), [HOST], "good"),
            ("permitted-half-label", constraints([dns("xample.com")]), [HOST],
             "name-constraint"),
            ("permitted-one-of-two", constraints([dns("example.com")]),
             [HOST, "evil.example.org"], "name-constraint"),
            ("permitted-wildcard", constraints([dns("example.com")]), ["*.example.com"], "good"),
            ("excluded", constraints(None, [dns("example.com")]), [HOST], "name-constraint"),
            ("excluded-other", constraints(None, [dns("example.org")]), [HOST], "good"),
            ("excluded-by-wildcard", constraints(None, [dns("edge.example.com")]),
             ["*.example.com"], "name-constraint"),
            ("excluded-all", constraints(None, [dns("")]), [HOST], "name-constraint"),
            ("address-permitted", constraints([ip("192.0.2.0/24"), dns("example.com")]),
             [HOST, "192.0.2.9"], "good"),
            ("address-outside", constraints([ip("192.0.2.0/24")]), [HOST, "198.51.100.1"],
             "name-constraint"),
            ("address-six-outside", constraints([ip("2001:db8::/32")]), [HOST, "2001:db9::1"],
             "name-constraint"),
            ("address-excluded", constraints(None, [ip("192.0.2.0/25")]), [HOST, "192.0.2.9"],
             "name-constraint"),
            ("address-family", constraints([ip("192.0.2.0/24")]), [HOST, "2001:db8::1"],
             "name-constraint"),
            ("directory-permitted", constraints([x509.DirectoryName(name(None, "Example"))]),
             [HOST], "good"),
            ("directory-other", constraints([x509.DirectoryName(name(None, "Other"))]), [HOST],
             "name-constraint")]:
        inner = middle(top, extra=extra)
        cases.add(f"constraint-{case}", verdict, [leaf(inner, sans=names(*sans)), inner], [top],
                  host=None if sans[0][0] == "*" else HOST)
    inner = middle(top, extra=constraints([x509.RFC822Name("example.com")]))
    mail = [x509.DNSName(HOST), x509.RFC822Name("a@example.com")]
    cases.add("constraint-mail", "name-constraint", [leaf(inner, sans=mail), inner], [top])
    cases.add("constraint-mail-unused", "good", [leaf(inner), inner], [top])
    for case, san, verdict in [
            ("xmpp-domain", xmpp_address("example.com"), "good"),
            ("xmpp-user", xmpp_address("alice@example.com"), "good"),
            ("xmpp-domain-outside", xmpp_address("example.org"), "name-constraint"),
            ("xmpp-user-outside", xmpp_address("alice@example.org"), "name-constraint"),
            ("service", service_name("_xmpp-server.example.com"), "good"),
            ("service-outside", service_name("_xmpp-server.example.org"), "name-constraint")]:
        inner = middle(top, extra=constraints([dns("example.com")]))
        cases.add(f"constraint-{case}", verdict,
                  [leaf(inner, sans=[*names(HOST), san]), inner], [top])
    strict = root(extra=constraints([dns("example.org")]))
    under = middle(strict)
    cases.add("constraint-of-root", "name-constraint", [leaf(under), under], [strict])
    outer = middle(top, extra=constraints([dns("example.org")]))
    below = Party(name("Below", "Example"), outer, authority=True)
    cases.add("constraint-two-above", "name-constraint", [leaf(below), below, outer], [top])
    raw = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.30"), b"\x30\x00")
    empty = middle(top, extra=[(raw, True)])
    cases.add("constraint-empty", "name-constraint", [leaf(empty), empty], [top])


def add_revocations(cases, top, inner):
    gone, stays = leaf(inner), leaf(inner)
    cases.add("revoked", "revoked", [gone, inner], [top], crl=revocations(inner, [gone]))
    cases.add("not-revoked", "good", [stays, inner], [top], crl=revocations(inner, [gone]))
    cases.add("revoked-authority", "revoked", [stays, inner], [top],
              crl=revocations(top, [inner]))
    cases.add("revoked-old-list", "revoked", [gone, inner], [top],
              crl=revocations(inner, [gone], end=NOW - DAY / 2))
    cases.add("old-list", "good", [stays, inner], [top],
              crl=revocations(inner, [gone], end=NOW - DAY / 2))
    cases.add("forged-list", "revoked", [stays, inner], [top],
              crl=revocations(inner, [], key=ec.generate_private_key(ec.SECP256R1())))


def add_other_names(cases, top, inner):
    sans = [xmpp_address("example.com"), xmpp_address("alice@example.com"),
            xmpp_address("bob@example.com"), service_name("_xmpp-server.example.org"),
            service_name("_XMPP-Server.*.example.net"), x509.RFC822Name("carol@example.com"),
            xmpp_address("nul\0@example.com")]
    cases.add("other-names", "good", [leaf(inner, sans=sans), inner], [top], host=None)


def main(folder):
    cases = Cases(pathlib.Path(folder))
    top = root()
    inner = middle(top)
    add_paths(cases, top, inner)
    add_names(cases, top, inner)
    add_times(cases, top, inner)
    add_usages(cases, top, inner)
    add_weak(cases, top, inner)
    add_constraints(cases, top)
    add_other_names(cases, top, inner)
    add_revocations(cases, top, inner)
    (cases.folder / "cases").write_text("\n".join(cases.lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
