"""An HSM as an operator has it: SoftHSM behind stock p11-kit, at the Unix socket of the appliance
as a Linux process. Keys made in it are looked at with OpenSC's pkcs11-tool; its server is killed
and started while SIP is asked; the store's key is wrapped by it and opened by it at the next
start."""

import re
import time

import pytest

import host as host_board
import management
import netns
import operator_console
import softhsm

RECOVERY = "tortoise-lantern-42"
EDGE, PHONE = "10.77.0.2", "10.77.0.11"
PROVISION = operator_console.PROVISION + f"""\
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {EDGE}
xConfiguration SIP Domain 1 Name: example.com
xConfiguration Console Severity: Emergency
"""


class Scene:
    def __init__(self, folder, network):
        self.phone = network.host("phone", f"{PHONE}/24")
        edge = network.host("edge")
        path = folder / "hsm.sock"
        self.hsm = softhsm.SoftHsm(folder / "hsm", path)
        self.machine = host_board.HostMachine(folder / "edge", netns.INTERFACE, edge.namespace,
                                              PROVISION, ["--token", path])

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
            assert time.monotonic() - begin < seconds, said
            time.sleep(0.2)

    def options(self):
        return management.sip_options(self.phone, PHONE, EDGE)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    with netns.Network() as network:
        scene = Scene(tmp_path_factory.mktemp("scene"), network)
        scene.machine.start()
        try:
            operator_console.log_in(scene.machine)
            with scene.hsm:
                yield scene
        finally:
            scene.machine.stop()


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
    scene.wait_for("xStatus HSM", rf"HSM Key {label}: .*available=True modules=rack1", 10)


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


def test_the_stores_key_is_wrapped_by_the_hsm(scene):
    assert "at least 12" in scene.ask("xCommand HSM StoreKey Wrap: short")
    said = scene.ask(f"xCommand HSM StoreKey Wrap: {RECOVERY}")
    assert "wrapped by the HSM" in said, said
    seen = scene.hsm.tool("--list-objects", "--type", "secrkey")
    assert "gatehouse-store" in seen and "never extractable" in seen, seen
    scene.machine.stop()
    scene.machine.start()
    scene.machine.expect(r"Store: its key was opened by the HSM", timeout=60)
    operator_console.log_in(scene.machine)
    scene.wait_for("xStatus HSM", r"HSM Server running: True", 30)
    status = scene.ask("xStatus HSM")
    assert "Store key: wrapped by the HSM" in status and "HSM Key edge-ec" in status, status
