"""The store of a running machine: sealed on the raw disk, mended from its good copy, with a history
of changes that can be gone back to.
"""

import re
import time

import pytest

import host as host_board
import netns
import operator_console
import qemu
from operator_console import ask

SECRET = "planted-secret-5d1f"
PROVISION = operator_console.PROVISION + f"""\
xConfiguration SIP Domain 1 Name: example.com
xConfiguration SIP Authentication Realm: {SECRET}
"""


def raw_disk(machine):
    """Every byte the machine has written, whatever partition it lies on."""
    if isinstance(machine, host_board.HostMachine):
        return b"".join((machine.workdir / name).read_bytes() for name in ("store", "log"))
    raw = machine.workdir / "disk.raw"
    import subprocess
    subprocess.run(["qemu-img", "convert", "-O", "raw", machine.workdir / "disk.qcow2", raw],
                   check=True)
    data = raw.read_bytes()
    raw.unlink()
    return data


@pytest.fixture(scope="module", params=["image", "host"])
def edge(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with netns.Network() as network:
        if request.param == "image":
            machine = qemu.Machine(folder / "vm", provision=PROVISION)
        else:
            namespace = network.host("edge").namespace
            machine = host_board.HostMachine(folder / "edge", netns.INTERFACE, namespace,
                                             provision=PROVISION)
        with machine:
            operator_console.log_in(machine)
            yield machine


def test_the_store_says_that_it_is_sealed(edge):
    said = ask(edge, "xStatus Store")
    assert "XChaCha20-Poly1305" in said
    assert "Store Damaged: No" in said


def test_changes_are_listed_compared_and_gone_back_to(edge):
    ask(edge, "xConfiguration SIP UDP Port: 5070")
    ask(edge, "xConfiguration SIP UDP Port: 5080")
    said = ask(edge, "xCommand Configuration History")
    numbers = [int(n) for n in re.findall(r"History (\d+): ", said)]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) >= 3
    assert "by=admin" in said and "by=provisioning" in said
    newest = numbers[0]
    assert 'SIP UDP Port: "5070" -> "5080"' in ask(edge,
                                                   f"xCommand Configuration Show: {newest}")
    compared = ask(edge, f"xCommand Configuration Compare: {newest - 2}")
    assert 'SIP UDP Port: "5080" -> "5060"' in compared
    assert "OK" in ask(edge, f"xCommand Configuration Revert: {newest - 1} Confirm: Yes")
    assert "5070" in ask(edge, "xConfiguration SIP UDP Port")
    assert "ERROR" in ask(edge, "xCommand Configuration Revert: 999 Confirm: Yes")
    first = ask(edge, "xCommand Configuration Show: 1")
    assert "********" in first and operator_console.PASSWORD not in first


def test_a_good_copy_is_made(edge):
    netns.wait_for(lambda: re.search(r"GoodCopy: rows=[1-9]", ask(edge, "xStatus Store")), 30,
                   "the good copy")


def test_a_planted_secret_is_not_on_the_raw_disk(edge):
    assert SECRET in ask(edge, "xConfiguration SIP Authentication Realm")
    edge.stop()
    data = raw_disk(edge)
    assert SECRET.encode() not in data
    if isinstance(edge, host_board.HostMachine):
        assert b"SQLite format 3" not in data  # the image holds SQLite itself
        store = edge.workdir / "store"
        content = bytearray(store.read_bytes())
        # The database's pages, in the second quarter behind the first 64 KiB.
        units = len(content) // 8192 - 8
        begin = 65536 + units // 4 * 8192
        content[begin + 8192 + 100] ^= 1
        store.write_bytes(content)
    edge.start()
    if isinstance(edge, host_board.HostMachine):
        edge.expect(r"RECOVERED from the copy", timeout=20)
    operator_console.log_in(edge)
    assert SECRET in ask(edge, "xConfiguration SIP Authentication Realm")
    assert "5070" in ask(edge, "xConfiguration SIP UDP Port")
    if isinstance(edge, host_board.HostMachine):
        assert "recovered from a copy" in ask(edge, "xStatus Alarm")
        time.sleep(1)
