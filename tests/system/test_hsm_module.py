"""A PKCS #11 module loaded on the machine itself (--token-module): SoftHSM in a process that the
Linux appliance starts for it. Keys are made there and serve TLS to OpenSSL; the
process is killed and stopped like a module that crashes or hangs; the store's key is
wrapped by an AES key of the token and opened by it at the next start; by an RSA key where the token
does not encrypt by AES.
"""

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

import hsm_site
import management
import qemu
import softhsm

WITHOUT_AES = ("CKM_RSA_PKCS_KEY_PAIR_GEN,CKM_RSA_PKCS,CKM_RSA_PKCS_PSS,CKM_RSA_PKCS_OAEP,"
               "CKM_EC_KEY_PAIR_GEN,CKM_ECDSA")
RECOVERY = "tortoise-lantern-42"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = hsm_site.Site("module", tmp_path_factory.mktemp("h"))
    hsm = softhsm.SoftHsm(site.folder / "hsm")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = hsm.environment["SOFTHSM2_CONF"]  # the appliance's child reads it
    try:
        with site:
            site.hsm = hsm
            yield site
    finally:
        os.environ.pop("SOFTHSM2_CONF")
        if before is not None:
            os.environ["SOFTHSM2_CONF"] = before


def holders(site):
    """Processes that have the module loaded: those of this appliance's descriptors' other end."""
    found = []
    for line in subprocess.run(["pgrep", "-x", "gatehouse-hsm"], capture_output=True, text=True,
                               check=False).stdout.split():
        try:
            process = pathlib.Path(f"/proc/{line}")
            own = f"SOFTHSM2_CONF={site.hsm.environment['SOFTHSM2_CONF']}" in (
                process / "environ").read_text(encoding="utf-8", errors="replace")
            if own and "libsofthsm2" in (process / "maps").read_text():
                found.append(int(line))
        except OSError:
            continue  # ended meanwhile
    return found


def test_keys_are_made_in_the_module(site):
    site.add_local_module()
    site.wait_for("xStatus HSM", r"HSM Server running: True", qemu.patience(20))
    for label, kind in (("edge-ec", "P-256"), ("edge-rsa", "RSA-2048")):
        said = site.ask(f"xCommand HSM Key Generate: {label} {kind}")
        assert f"Key generated in module rack1: {label}" in said, said
        seen = site.hsm.tool("--list-objects", "--type", "privkey", "--label", label)
        assert "sensitive, always sensitive, never extractable, local" in seen, seen
    assert "transport=Module" in site.ask("xStatus HSM")
    assert len(holders(site)) == 1


@pytest.mark.parametrize("label, options, signature", [
    ("edge-rsa", ["-tls1_3"], "RSA-PSS"), ("edge-rsa", ["-tls1_2"], "RSA-PSS"),
    ("edge-rsa", ["-tls1_2", "-sigalgs", "RSA-PSS+SHA384"], "RSA-PSS"),
    ("edge-rsa", ["-tls1_2", "-sigalgs", "RSA+SHA256"], "RSA"),
    ("edge-ec", ["-tls1_3"], "ECDSA"), ("edge-ec", ["-tls1_2"], "ECDSA"),
])
def test_its_keys_serve_tls(site, label, options, signature):
    name = f"{label}.example.com"
    if not (site.folder / f"{name}.pem").exists():
        if "Test Root" not in site.ask("xCommand Trust List"):
            assert "OK, trusted" in site.paste("xCommand Trust Add", "root.pem")
        site.certify(label, name)
    said = site.s_client(*options, "-servername", name, "-verify_hostname", name)
    assert "Verify return code: 0 (ok)" in said, said
    assert f"Peer signature type: {signature}\n" in said, said


def is_served(site):
    """A new full handshake is signed by the key of the token."""
    said = site.s_client("-tls1_3", "-servername", "edge-ec.example.com")
    return "Verify return code: 0 (ok)" in said and "Peer signature type: ECDSA" in said


def test_a_module_that_crashes_is_loaded_again(site):
    holder, = holders(site)
    os.kill(holder, signal.SIGSEGV)
    begin = time.monotonic()
    while not is_served(site):
        assert time.monotonic() - begin < qemu.patience(20)
        time.sleep(0.1)
    print(f"\nmodule crashed: handshakes again after {time.monotonic() - begin:.1f} s")
    other, = holders(site)
    assert other != holder


def test_a_module_that_hangs_stalls_nobody(site):
    holder, = holders(site)
    os.kill(holder, signal.SIGSTOP)
    answered = []
    begin = time.monotonic()
    while not re.search("HSM failure", site.ask("xStatus Alarm")):
        answered.append(management.sip_options(site.phone, hsm_site.PHONE, hsm_site.EDGE,
                                               seconds=2).startswith("SIP/2.0"))
        assert time.monotonic() - begin < qemu.patience(40)
    print(f"\nmodule hangs: alarm after {time.monotonic() - begin:.1f} s; "
          f"{sum(answered)} of {len(answered)} SIP requests answered meanwhile")
    assert answered and all(answered), answered
    # Its process is ended by the deadline of an answer, and another one is well.
    site.wait_for("xStatus HSM", r"edge-ec: .*available=True", qemu.patience(20))
    assert holder not in holders(site)
    assert is_served(site)
    assert "HSM failure" not in site.ask("xStatus Alarm")


def test_the_module_opens_the_store(site):
    said = site.ask(f"xCommand HSM StoreKey Wrap: {RECOVERY}")
    assert "wrapped by the HSM" in said, said
    site.restart()
    site.machine.expect(r"Store: its key was opened by the HSM", timeout=60)
    site.log_in()
    site.wait_for("xStatus HSM", r"HSM Server running: True", qemu.patience(30))
    assert "HSM Key edge-ec" in site.ask("xStatus HSM")


def test_a_token_without_aes_opens_the_store_by_rsa(site):
    settings = site.hsm.folder / "softhsm2.conf"
    settings.write_text(settings.read_text().replace("= ALL", f"= {WITHOUT_AES}"))
    holder, = holders(site)
    os.kill(holder, signal.SIGKILL)
    begin = time.monotonic()
    while holder in holders(site) or not is_served(site):
        assert time.monotonic() - begin < qemu.patience(20)
        time.sleep(0.1)
    said = site.ask(f"xCommand HSM StoreKey Wrap: {RECOVERY}")
    assert "wrapped by the HSM, by an RSA key" in said, said
    seen = site.hsm.tool("--list-objects", "--type", "privkey", "--label", "gatehouse-store")
    assert "decrypt" in seen and "never extractable" in seen, seen
    site.restart()
    site.machine.expect(r"Store: its key was opened by the HSM", timeout=60)
    site.log_in()
    assert "HSM Key edge-ec" in site.ask("xStatus HSM")


def test_no_process_of_it_is_left_behind(site):
    assert len(holders(site)) == 1  # of the appliance that runs, none of the one before
    site.machine.stop()
    begin = time.monotonic()
    while holders(site):
        assert time.monotonic() - begin < qemu.patience(5)
        time.sleep(0.05)
