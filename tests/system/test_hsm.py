"""An HSM as an operator has it, on the signed image (QEMU's virtio-serial port) and on the Linux
process (a Unix socket): SoftHSM behind stock p11-kit. Keys made in it are looked at with OpenSC's
pkcs11-tool and serve TLS to OpenSSL; the very bytes of those keys are searched for on the disk and
in the memory of the machine; the HSM's server is killed and started; the store's key is wrapped by
it and opened by it at the next start, and by the recovery password when it is gone for good (on the
Linux process alone; on the image, test_tpm_store does).
"""

import re
import subprocess
import time
from pathlib import Path

import pytest

import hsm_site
import management
import qemu
import softhsm
import softhsm_secrets
from authority import server

RECOVERY = "tortoise-lantern-42"


@pytest.fixture(scope="module", params=["host", "image"])
def site(request, tmp_path_factory):
    with hsm_site.Site(request.param, tmp_path_factory.mktemp("h")) as site:
        site.hsm = softhsm.SoftHsm(site.folder / "hsm", site.token)
        with site.hsm:
            yield site


def test_the_mode_needs_a_module_and_the_last_one_stays(site):
    refused = site.ask("xCommand HSM Mode Set: On")
    assert "HSM Mode is not On without" in refused, refused
    site.add_local_module()
    took = site.wait_for("xStatus HSM", r"HSM Server running: True", qemu.patience(20))
    print(f"\n{site.board}: HSM in use {took:.1f} s after HSM Mode: On")
    status = site.ask("xStatus HSM")
    assert "connection=OK hardware=OK" in status and "Certificate used: False" in status, status
    assert "HSM certificate is not used" in site.ask("xStatus Alarm")
    refused = site.ask("xCommand HSM Module Delete: rack1")
    assert "the last one is" in refused, refused


@pytest.mark.parametrize("label, kind", [("edge-ec", "P-256"), ("edge-rsa", "RSA-2048")])
def test_keys_are_made_in_the_token_and_never_extractable(site, label, kind):
    said = site.ask(f"xCommand HSM Key Generate: {label} {kind}")
    assert f"Key generated in module rack1: {label}" in said, said
    said = site.ask(f"xCommand HSM Key Generate: {label} {kind}")
    assert "ERROR" in said, said
    seen = site.hsm.tool("--list-objects", "--type", "privkey", "--label", label)
    assert "sensitive, always sensitive, never extractable, local" in seen, seen
    site.wait_for("xStatus HSM", rf"HSM Key {label}: .*available=True modules=rack1",
                  qemu.patience(10))


def shown_key(text):
    """The public key of the certificate that s_client was shown, as DER."""
    done = subprocess.run("openssl x509 -noout -pubkey | openssl pkey -pubin -outform DER",
                          shell=True, input=text.encode(), capture_output=True, check=True)
    return done.stdout


@pytest.mark.parametrize("label, version, signature", [
    ("edge-rsa", "-tls1_3", "RSA-PSS"), ("edge-rsa", "-tls1_2", "RSA-PSS"),
    ("edge-ec", "-tls1_3", "ECDSA"), ("edge-ec", "-tls1_2", "ECDSA"),
])
def test_keys_of_the_hsm_serve_tls(site, label, version, signature):
    name = f"{label}.example.com"
    if not (site.folder / f"{name}.pem").exists():
        if "Test Root" not in site.ask("xCommand Trust List"):
            assert "OK, trusted" in site.paste("xCommand Trust Add", "root.pem")
        site.certify(label, name)
    said = site.s_client(version, "-servername", name, "-verify_hostname", name)
    assert "Verify return code: 0 (ok)" in said, said
    assert f"Peer signature type: {signature}\n" in said, said
    assert re.search(rf"HSM Key {label}: .*signatures=[1-9]", site.ask("xStatus HSM"))
    site.wait_for("xStatus HSM", r"Certificate used: True", qemu.patience(10))
    assert "HSM certificate is not used" not in site.ask("xStatus Alarm")


# --- The search ----------------------------------------------------------------------------------

def ec_public(scalar):
    """The uncompressed point of a private scalar of P-256, by OpenSSL."""
    der = bytes.fromhex("30310201010420") + scalar + bytes.fromhex("a00a06082a8648ce3d030107")
    done = subprocess.run(["openssl", "ec", "-inform", "DER", "-pubout", "-outform", "DER"],
                          input=der, capture_output=True, check=True)
    return done.stdout[-65:]


def pieces_of_process(process):
    """The memory of a process and its children, region by region."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # ended meanwhile
        if process.pid not in (parent, int(status.parent.name)):
            continue
        with open(status.parent / "mem", "rb", buffering=0) as memory:
            for line in (status.parent / "maps").read_text().splitlines():
                begin, end = (int(word, 16) for word in line.split()[0].split("-"))
                if line.split()[1][0] == "r" and "[v" not in line:
                    memory.seek(begin)
                    yield memory.read(end - begin)


def pieces_of_guest(machine, folder):
    """The guest's whole memory, some at a time; each piece repeats the end of the one before."""
    size, step, tail = 512 << 20, 64 << 20, b""
    path = folder / "memory"
    for begin in range(0, size, step):
        machine.qmp("pmemsave", val=begin, size=step, filename=str(path))
        piece = path.read_bytes()
        path.unlink()
        assert len(piece) == step
        yield tail + piece
        tail = piece[-1024:]


def pieces_of_files(paths):
    for path in paths:
        tail = b""
        with path.open("rb") as file:
            while piece := file.read(16 << 20):
                yield tail + piece
                tail = piece[-1024:]


def found(needles, pieces):
    """Which needles are in the pieces, as they are or with their bytes the other way round."""
    seen = set()
    for piece in pieces:
        seen |= {name for name, secret in needles.items()
                 if secret in piece or secret[::-1] in piece}
    return seen


@pytest.fixture(scope="module")
def needles(site):
    """Secrets of both keys in the token; of a key in the device, and what is no secret, to see that
    the search finds what is there."""
    tokens = site.hsm.folder / "tokens"
    ec = softhsm_secrets.private_key(tokens, softhsm.PIN, "edge-ec")
    rsa = softhsm_secrets.private_key(tokens, softhsm.PIN, "edge-rsa")
    scalar = ec[softhsm_secrets.VALUE]
    # What was taken out of the token's files is the private half of what is served.
    served = shown_key(site.s_client("-tls1_3", "-servername", "edge-ec.example.com"))
    assert served.endswith(ec_public(scalar))
    site.authority.issue("own", server("DNS:own.example.net"))
    site.make("openssl ec -in own.key -outform DER -out own.der")
    said = site.paste("xCommand Certificate Upload Domain: own.example.net",
                      "own.pem", "own.key")
    assert re.search(r"^OK", said, re.MULTILINE), said
    said = site.s_client("-tls1_3", "-servername", "own.example.net")
    assert "Verify return code: 0 (ok)" in said, said
    return {"ec": scalar, "rsa exponent": rsa[softhsm_secrets.PRIVATE_EXPONENT],
            "rsa prime 1": rsa[softhsm_secrets.PRIME_1],
            "rsa prime 2": rsa[softhsm_secrets.PRIME_2],
            "own": (site.folder / "own.der").read_bytes()[7:39],
            "public": ec_public(scalar)[1:33]}


def test_keys_of_the_hsm_are_nowhere_on_the_disk(site, needles):
    if site.board == "image":
        raw = site.folder / "disk.raw"
        site.make(f"qemu-img convert -U -O raw {site.machine.workdir}/disk.qcow2 {raw}")
        paths = [raw]
    else:
        paths = [path for path in (site.folder / "vm").rglob("*") if path.is_file()]
    # The store's record of its key is there, bare, to be found; everything else is sealed.
    assert found({**needles, "record": b"GHKEY001"}, pieces_of_files(paths)) == {"record"}


def test_keys_of_the_hsm_are_nowhere_in_memory(site, needles):
    seen = found(needles, pieces_of_guest(site.machine, site.folder) if site.board == "image"
                 else pieces_of_process(site.machine.process))
    assert seen == {"own", "public"}, seen  # a key in the device is there, those of the HSM are not


# --- Outage, store -------------------------------------------------------------------------------

def asked(site):
    """Whether SIP is answered soon."""
    return management.sip_options(site.phone, hsm_site.PHONE, hsm_site.EDGE,
                                  seconds=2).startswith("SIP/2.0")


def test_an_outage_is_told_and_mended_and_sip_goes_on(site):
    site.hsm.kill()
    killed = time.monotonic()
    answered = [asked(site)]
    site.wait_for("xStatus Alarm", r"HSM failure", qemu.patience(10))
    told = time.monotonic() - killed
    status = site.ask("xStatus HSM")
    assert "connection=Failed hardware=OK" in status and "Server running: False" in status, status
    assert "available=False" in status
    answered += [asked(site) for _ in range(5)]
    site.hsm.start()
    back = site.wait_for("xStatus HSM", r"HSM Server running: True", qemu.patience(20))
    answered.append(asked(site))
    site.wait_for("xStatus HSM", r"edge-ec: .*available=True", qemu.patience(10))
    alarms = site.ask("xStatus Alarm")
    assert "HSM failure" not in alarms and "HSM connection failed" not in alarms, alarms
    assert all(answered), answered
    print(f"\n{site.board}: HSM server killed: alarm seen after {told:.1f} s; back in use "
          f"{back:.1f} s after its start; {len(answered)} of {len(answered)} SIP requests answered "
          "meanwhile")


def test_the_stores_key_is_wrapped_by_the_hsm(site):
    assert "at least 12" in site.ask("xCommand HSM StoreKey Wrap: short")
    said = site.ask(f"xCommand HSM StoreKey Wrap: {RECOVERY}")
    assert "wrapped by the HSM" in said, said
    seen = site.hsm.tool("--list-objects", "--type", "secrkey")
    assert "gatehouse-store" in seen and "never extractable" in seen, seen
    site.restart()
    site.machine.expect(r"Store: its key was opened by the HSM", timeout=60)
    site.log_in()
    site.wait_for("xStatus HSM", r"HSM Server running: True", qemu.patience(30))
    status = site.ask("xStatus HSM")
    assert "Store key: wrapped by the HSM" in status and "HSM Key edge-ec" in status, status


def make_up_for(site):
    """What the tests before would have done, where this one is run alone."""
    status = site.ask("xStatus HSM")
    if "HSM Mode: On" not in status:
        site.add_local_module()
        site.wait_for("xStatus HSM", r"HSM Server running: True", qemu.patience(20))
    if "HSM Key edge-ec" not in status:
        assert "Key generated" in site.ask("xCommand HSM Key Generate: edge-ec P-256")
    if "Test Root" not in site.ask("xCommand Trust List"):
        assert "OK, trusted" in site.paste("xCommand Trust Add", "root.pem")
    if "Store key: wrapped by the HSM" not in status:
        assert "wrapped by the HSM" in site.ask(f"xCommand HSM StoreKey Wrap: {RECOVERY}")


# Half a minute of waiting for an HSM that does not come; the image does the same for a TPM.
@pytest.mark.parametrize("site", ["host"], indirect=True)
def test_an_hsm_that_is_gone_for_good_costs_no_configuration(site):
    make_up_for(site)
    site.hsm.kill()
    site.restart()
    site.machine.expect(r"Store: CLOSED. Its key is wrapped by the HSM", timeout=90)
    site.set_up()  # in memory only
    assert "HSM Key edge-ec" not in site.ask("xStatus HSM")
    assert "The store's key cannot be opened" in site.ask("xStatus Alarm")
    refused = site.ask("xCommand HSM StoreKey Recover: tortoise-lantern-43")
    assert "not the recovery password" in refused, refused
    said = site.ask(f"xCommand HSM StoreKey Recover: {RECOVERY}")
    assert "The store's key is recovered" in said, said
    site.restart()
    site.log_in()
    status = site.ask("xStatus HSM")
    assert "HSM Key edge-ec" in status and "Store key: not wrapped" in status, status
    assert "The store's key cannot be opened" not in site.ask("xStatus Alarm")
    # Re-enrolment without a factory reset: the HSM's certificate gives way to one of the device.
    assert "successfully updated" in site.ask("xCommand HSM Mode Set: Off")
    site.certify(None, "again.example.com")
    said = site.s_client("-tls1_3", "-verify_hostname", "again.example.com")
    assert "Verify return code: 0 (ok)" in said, said
