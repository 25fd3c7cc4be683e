"""An HSM on the booted image: SoftHSM behind stock p11-kit on a virtio-serial port. Keys made in it are looked at with OpenSC's pkcs11-tool; its server is killed and started under a SIP client; the store's key is wrapped by it; a private key in the token is searched for on the disk and in
the guest's memory."""

import re
import socket
import subprocess
import time

import pytest

import operator_console
import qemu
import softhsm

RECOVERY = "tortoise-lantern-42"
PROVISION = operator_console.PROVISION + """\
xConfiguration Network Port 1 IPv4 Mode: DHCP
xConfiguration SIP Domain 1 Name: example.com
xConfiguration Console Severity: Emergency
"""
KEY_NAME = "planted"


def virtio(path):
    return ["-device", "virtio-serial-pci,id=hsm-bus", "-chardev",
            f"socket,id=hsm,path={path},server=on,wait=off", "-device",
            "virtserialport,bus=hsm-bus.0,chardev=hsm,name=org.gatehouse.hsm"]


class Scene:
    def __init__(self, folder):
        self.folder = folder
        path = folder / "hsm.sock"
        self.hsm = softhsm.SoftHsm(folder / "hsm", path)
        self.machine = qemu.Machine(folder / "edge", forwards=[("udp", 5060)],
                                    provision=PROVISION, extra=virtio(path))

    def ask(self, line):
        return operator_console.ask(self.machine, line)

    def set(self, setting):
        said = self.ask("xConfiguration " + setting)
        assert re.search(r"^OK", said, re.MULTILINE), said

    def wait_for(self, line, pattern, seconds):
        """How long it took until the answer to `line` matched."""
        begin = time.monotonic()
        while True:
            said = self.ask(line)
            if re.search(pattern, said):
                return time.monotonic() - begin
            assert time.monotonic() - begin < qemu.patience(seconds), said
            time.sleep(0.2)

    def options(self):
        """Whether SIP answers OPTIONS."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(qemu.patience(2))
            udp.connect(("127.0.0.1", self.machine.forwarded("udp", 5060)))
            name = f"{time.monotonic_ns():x}"
            udp.send((f"OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.2.2;rport;"
                      f"branch=z9hG4bK{name}\r\nMax-Forwards: 70\r\n"
                      f"From: <sip:a@example.com>;tag=1\r\nTo: <sip:example.com>\r\n"
                      f"Call-ID: {name}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n").encode())
            try:
                return udp.recv(2000).startswith(b"SIP/2.0 ")
            except TimeoutError:
                return False


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("scene"))
    with scene.machine:
        operator_console.log_in(scene.machine)
        with scene.hsm:
            yield scene


def test_the_mode_needs_a_module_and_the_last_one_stays(scene):
    refused = scene.ask("xCommand HSM Mode Set: On")
    assert "HSM Mode is not On without" in refused, refused
    assert "HSM Module successfully added" in scene.ask(
        "xCommand HSM Module Add: rack1 Virtio gatehouse")
    scene.set(f"HSM Module 1 PIN: {softhsm.PIN}")
    assert "HSM Mode successfully updated" in scene.ask("xCommand HSM Mode Set: On")
    took = scene.wait_for("xStatus HSM", r"HSM Server running: True", 20)
    print(f"\nHSM in use {took:.1f} s after HSM Mode: On")
    status = scene.ask("xStatus HSM")
    assert "connection=OK hardware=OK" in status and "Certificate used: False" in status, status
    assert "HSM certificate is not used" in scene.ask("xStatus Alarm")
    refused = scene.ask("xCommand HSM Module Delete: rack1")
    assert "the last one is" in refused, refused


@pytest.mark.parametrize("label, kind", [("edge-ec", "P-256"), ("edge-rsa", "RSA-2048")])
def test_keys_are_made_in_the_token_and_never_extractable(scene, label, kind):
    said = scene.ask(f"xCommand HSM Key Generate: {label} {kind}")
    assert f"Key generated in module rack1: {label}" in said, said
    said = scene.ask(f"xCommand HSM Key Generate: {label} {kind}")
    assert "ERROR" in said, said
    seen = scene.hsm.tool("--list-objects", "--type", "privkey", "--label", label)
    assert "sensitive, always sensitive, never extractable, local" in seen, seen
    assert re.search(rf"HSM Key {label}: .*available=True modules=rack1", scene.ask("xStatus HSM"))


def test_an_outage_is_told_and_mended_and_sip_goes_on(scene):
    scene.hsm.kill()
    killed = time.monotonic()
    answered = [scene.options()]
    scene.wait_for("xStatus Alarm", r"HSM failure", 10)
    told = time.monotonic() - killed
    status = scene.ask("xStatus HSM")
    assert "connection=Failed hardware=OK" in status and "Server running: False" in status, status
    assert "available=False" in status
    answered += [scene.options() for _ in range(5)]
    scene.hsm.start()
    back = scene.wait_for("xStatus HSM", r"HSM Server running: True", 20)
    answered.append(scene.options())
    scene.wait_for("xStatus HSM", r"edge-ec: .*available=True", 10)
    alarms = scene.ask("xStatus Alarm")
    assert "HSM failure" not in alarms and "HSM connection failed" not in alarms, alarms
    assert all(answered), answered
    print(f"\nHSM server killed: alarm seen after {told:.1f} s; back in use {back:.1f} s after its "
          f"start; {len(answered)} of {len(answered)} SIP requests answered meanwhile")


def private_key(folder):
    """A P-256 key made here, whose secret number is known: PKCS#8 file and the 32 bytes."""
    path = folder / "planted.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path],
                   check=True, capture_output=True)
    der = folder / "planted.der"
    subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", path, "-outform", "DER",
                    "-out", der], check=True, capture_output=True)
    bare = subprocess.run(["openssl", "ec", "-in", path, "-outform", "DER"], check=True,
                          capture_output=True).stdout
    return der, bare[7:39]  # ECPrivateKey: version, then the octet string


def test_a_private_key_of_the_token_is_nowhere_in_the_guest(scene):
    der, secret = private_key(scene.folder)
    scene.hsm.tool("--write-object", str(der), "--type", "privkey", "--id", "77", "--label",
                   KEY_NAME, "--sensitive", "--usage-sign")
    public = scene.folder / "planted.pub"
    subprocess.run(["openssl", "pkey", "-in", der, "-inform", "DER", "-pubout", "-outform", "DER",
                    "-out", public], check=True, capture_output=True)
    scene.hsm.tool("--write-object", str(public), "--type", "pubkey", "--id", "77", "--label",
                   KEY_NAME)
    scene.hsm.kill()  # its server reads the token's folder anew
    scene.hsm.start()
    scene.wait_for("xStatus HSM", r"HSM Server running: True", 20)
    said = scene.ask(f"xCommand HSM Key Add: {KEY_NAME}")
    assert f"Key found in module rack1: {KEY_NAME}" in said, said
    dump = scene.folder / "memory.bin"
    scene.machine.qmp("pmemsave", val=0, size=1 << 30, filename=str(dump))
    memory = dump.read_bytes()
    dump.unlink()
    assert memory.count(KEY_NAME.encode()) > 0, "the dump is not of this guest"
    assert memory.count(secret) == 0
    disk = (scene.folder / "edge").glob("*.qcow2")
    sizes = 0
    for image in disk:
        content = image.read_bytes()
        sizes += len(content)
        assert content.count(secret) == 0
    assert sizes > 0
    print(f"\nprivate key searched in {len(memory) >> 20} MiB of memory and {sizes >> 10} KiB of "
          "disk overlay: not there")


def test_the_stores_key_is_wrapped_by_the_hsm(scene):
    assert "at least 12" in scene.ask("xCommand HSM StoreKey Wrap: short")
    said = scene.ask(f"xCommand HSM StoreKey Wrap: {RECOVERY}")
    assert "wrapped by the HSM" in said, said
    seen = scene.hsm.tool("--list-objects", "--type", "secrkey")
    assert "gatehouse-store" in seen and "never extractable" in seen, seen
    scene.machine.send("xCommand Restart Confirm: Yes\r")
    scene.machine.expect(r"Store: its key was opened by the HSM", timeout=90)
    operator_console.log_in(scene.machine)
    took = scene.wait_for("xStatus HSM", r"HSM Server running: True", 30)
    status = scene.ask("xStatus HSM")
    assert "Store key: wrapped by the HSM" in status, status
    assert "HSM Key edge-ec" in status
    print(f"\nafter a restart the HSM was in use {took:.1f} s after log-in")


def test_without_the_hsm_the_store_stays_closed_and_the_password_opens_it(scene):
    scene.hsm.kill()
    scene.machine.send("xCommand Restart Confirm: Yes\r")
    scene.machine.expect(r"Store: CLOSED\. Its key is wrapped by the HSM", timeout=120)
    scene.machine.expect(r"log in here")
    yield_console(scene.machine)
    assert "not the recovery password" in scene.ask("xCommand HSM StoreKey Recover: something-else")
    said = scene.ask(f"xCommand HSM StoreKey Recover: {RECOVERY}")
    assert "is recovered" in said, said
    scene.machine.send("xCommand Restart Confirm: Yes\r")
    operator_console.log_in(scene.machine)
    assert "example.com" in scene.ask("xConfiguration SIP Domain 1 Name")
    assert "Store key: not wrapped" in scene.ask("xStatus HSM")


def yield_console(machine):
    """Into a console that has no administrator yet."""
    machine.expect(r"login:|Name|set-up|setup|> ", timeout=60)
