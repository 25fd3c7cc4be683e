"""Both planes apart on the host board: which processor relays, that one core still does it all, and
that a capture shows what the second core relays by itself. coturn's client is the traffic."""

import os
import pathlib
import re
import subprocess

import pytest

import host as host_board
import netns
import test_turn
from test_turn import coturn_tools  # noqa: F401  pylint: disable=unused-import

PROMPT = r"edge1> "


def log_in(machine):
    machine.expect(r"edge1 login: ", timeout=60)
    machine.send("admin\r")
    machine.expect(r"password: ")
    machine.send(test_turn.PASSWORD + "\r")
    machine.expect(PROMPT)


@pytest.mark.parametrize("cores, says", [
    ("2", r"Media Processor: thread"),
    ("1", r"Media Processor: that of the control plane"),
])
def test_media_is_relayed_by_the_processor_that_status_names(
        tmp_path, coturn, cores, says):  # noqa: F811  pylint: disable=redefined-outer-name
    with netns.Network() as network:
        client = network.host("client", f"{test_turn.CLIENT}/24")
        peer = network.host("peer", f"{test_turn.PEER}/24")
        edge = network.host("edge")
        network.interface(edge, "lan2")
        server = host_board.HostMachine(tmp_path / "edge", netns.INTERFACE, edge.namespace,
                                        test_turn.PROVISION, ["--packet", "lan2", "--cores", cores])
        server.start()
        try:
            log_in(server)
            peer.start(coturn / "turnutils_peer", "-L", test_turn.PEER, "-p", "3480",
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            netns.wait_for(lambda: "3480" in peer.run("ss", "-lun").stdout, 10, "the peer listens")
            test_turn.expect_all(test_turn.uclient((server, client, coturn), count=100))
            server.send("xStatus Media\r")
            server.expect(says)
            server.send("xStatus TURN\r")
            delay = server.expect(r"TURN Delay: packets=(\d+) p50_ns=(\d+) p99_ns=(\d+)")
            assert int(delay.group(1)) > 100 and int(delay.group(3)) >= int(delay.group(2)) > 0
            in_place = server.expect(r"in_place=(\d+)")
            assert int(in_place.group(1)) > 100
            server.send("xStatus TURN Delays\r")
            server.expect(r"TURN Delays \d+: ns_\d+=\d+")
            if cores == "2" and len(os.sched_getaffinity(0)) > 1:
                has_a_cpu_of_its_own(server.process.pid)
        finally:
            server.stop()


def has_a_cpu_of_its_own(supervisor):
    """The media plane's thread shares its CPU with no other thread of ours."""
    cpus = [str(cpu) for cpu in sorted(os.sched_getaffinity(0))]
    children = pathlib.Path(f"/proc/{supervisor}/task/{supervisor}/children")
    tasks = pathlib.Path(f"/proc/{children.read_text(encoding='ascii').split()[0]}/task")
    kept = [re.search(r"Cpus_allowed_list:\s*(\S+)", (task / "status").read_text()).group(1)
            for task in tasks.iterdir()]
    assert len(kept) > 2 and kept.count(cpus[1]) == 1 and kept.count(cpus[0]) == len(kept) - 1, kept
