"""Certificate authorities of the tests' own, by OpenSSL: a root, what stands below it, what they
sign. All of it is valid since a day ago, as that of real authorities is since a while: the device's
clock and that of the machine the tests run on need not agree.

    root = authority.Authority(folder)                    # root.key, root.pem
    middle = authority.Authority(folder, "Middle", "middle", above=root)
    middle.sign("request", "leaf.pem", authority.server("DNS:edge.example.com"))
    root.issue("policy", authority.server("IP:10.77.0.9"))  # policy.key, policy.pem
"""

import datetime
import subprocess
import tempfile
from pathlib import Path

BACKDATED = datetime.timedelta(days=1)
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
# `openssl x509 -req` begins now; of OpenSSL's commands only `ca` takes a date.
CONFIG = """\
[ca]
default_ca = tests
[tests]
database = {0}/index
new_certs_dir = {0}
default_md = sha256
unique_subject = no
rand_serial = yes
policy = any
[any]
commonName = optional
"""


def server(names, usages="serverAuth,clientAuth"):
    """Extensions of who is called by these subject alternative names."""
    return f"extendedKeyUsage={usages}\nsubjectAltName={names}\n"


def _openssl(folder, *words):
    done = subprocess.run(["openssl", *map(str, words)], cwd=folder, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr


def _request(folder, stem, subject):
    """A new key and its request: <stem>.key, <stem>.csr."""
    _openssl(folder, "req", *KEY, "-subj", f"/CN={subject}", "-keyout", f"{stem}.key", "-out",
             f"{stem}.csr")


def _certify(folder, request, certificate, extensions, days, signer):
    now = datetime.datetime.now(datetime.timezone.utc)
    begin, end = (moment.strftime("%Y%m%d%H%M%SZ")
                  for moment in (now - BACKDATED, now + datetime.timedelta(days=days)))
    with tempfile.TemporaryDirectory(dir=folder) as books:
        (Path(books) / "index").touch()
        (Path(books) / "config").write_text(CONFIG.format(books))
        (Path(books) / "extensions").write_text(extensions)
        _openssl(folder, "ca", "-config", f"{books}/config", "-batch", "-notext", "-preserveDN",
                 "-extfile", f"{books}/extensions", "-startdate", begin, "-enddate", end, *signer,
                 "-in", request, "-out", certificate)


def self_signed(folder, stem, extensions="", days=30, subject=None):
    """<stem>.key and <stem>.pem, vouched for by nobody."""
    _request(folder, stem, subject or stem)
    _certify(folder, f"{stem}.csr", f"{stem}.pem", extensions, days,
             ("-selfsign", "-keyfile", f"{stem}.key"))


class Authority:
    """Its files are <stem>.key and <stem>.pem in `folder`; those of others are named from there."""

    def __init__(self, folder, subject="Test Root", stem="root", above=None):
        self.folder, self.stem = Path(folder), stem
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
        if above is None:
            self_signed(folder, stem, extensions, subject=subject)
        else:
            above.issue(stem, extensions, days=20, subject=subject)

    def sign(self, request, certificate, extensions, days=9):
        """Refuses a request that its key did not sign."""
        _certify(self.folder, request, certificate, extensions, days,
                 ("-cert", f"{self.stem}.pem", "-keyfile", f"{self.stem}.key"))

    def issue(self, stem, extensions, days=9, subject=None):
        """A new key and its certificate: <stem>.key, <stem>.pem."""
        _request(self.folder, stem, subject or stem)
        self.sign(f"{stem}.csr", f"{stem}.pem", extensions, days)
