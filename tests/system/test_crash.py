"""Crashes and hangs of the running image: what is kept, shown, raised and sent at the next boot.

The image's self-test (board/pc/selftest.cc) brings the fault about some seconds after the appliance
is up, in the first run only. rsyslog and the machine stand in network namespaces around a switch.
"""

import re

import pytest

import netns
import operator_console
import qemu
import syslogd
from operator_console import ask, log_in

SELFTEST = "opt/gatehouse/selftest"
PROVISION = operator_console.PROVISION + """\
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: 10.77.0.2
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration Syslog Server 1 Address: 10.77.0.21
xConfiguration Syslog Server 1 Transport: UDP
"""


def found(pattern, text):
    match = re.search(pattern, text, re.MULTILINE)
    assert match, f"/{pattern}/ not in:\n{text}"
    return match


@pytest.mark.parametrize("command, cause, summary", [
    ("panic-later", "assertion", r"assertion: 2 \+ 2 == 5 at board/pc/selftest.cc:\d+"),
    ("null-later", "exception", r"exception: page fault \(left 14, right 0\)"),
    ("hang-later", "watchdog", r"watchdog: the loop has not turned"),
])
def test_a_fault_of_the_running_appliance_is_told_at_the_next_boot(tmp_path, command, cause,
                                                                  summary):
    with netns.Network() as network:
        log_host = network.host("log", "10.77.0.21/24")
        with syslogd.Rsyslog(tmp_path, log_host) as syslog, \
                qemu.Machine(tmp_path / "vm", netdevs=[qemu.tap_net(network.tap())],
                             netns=network.switch, provision=PROVISION,
                             fw_cfg={SELFTEST: command}) as machine:
            machine.expect(r"^reset: power-on", timeout=40)
            machine.expect(r"\*\*\* CRASH RECORD", timeout=60)
            # It fell while the appliance ran: what had happened last is in the record.
            machine.expect(rf"^crash: {summary}", timeout=5)
            machine.expect(r"^  rax=[0-9a-f]{16} rbx=", timeout=5)
            machine.expect(r"backtrace \(offsets in the image\):\r?\n +[0-9a-f]{8}", timeout=5)
            machine.expect(r"^  trace \d+\.\d+ id 0008000[1-5] ", timeout=5)
            machine.expect(r"^  event \d+\.\d+ \[notice\] Gatehouse \S+ started", timeout=5)
            machine.expect(r"^reset: (crash|watchdog), with a crash record", timeout=40)
            machine.expect(r"The previous run ended in a crash:", timeout=40)
            machine.expect(rf"^crash: {summary}", timeout=5)

            log_in(machine)
            found(rf"Alarm 20111: The system has crashed \(error\): 1 record, {summary}",
                  ask(machine, "xStatus Alarm"))
            found(rf"CrashRecord 1: {summary}.*NEW", ask(machine, "xStatus CrashRecord"))
            shown = ask(machine, "xCommand CrashRecord Show: 1")
            found(rf"^crash: {summary}", shown)
            found(r"^  event .*started", shown)
            sent = syslog.wait("crash-reported", f'cause="{cause}"')
            assert 'record="1"' in sent and 'backtrace="' in sent, sent

            # Over one more boot: the alarm is still there until somebody acknowledges it.
            machine.reset()
            log_in(machine)
            assert machine.console.count("The previous run ended in a crash") == 1
            found(r"Alarm 20111", ask(machine, "xStatus Alarm"))
            found(r"1 crash record acknowledged", ask(machine, "xCommand CrashRecord Acknowledge"))
            assert "20111" not in ask(machine, "xStatus Alarm").replace("xStatus Alarm", "")
            found(r"^1: .*acknowledged", ask(machine, "xCommand CrashRecord List"))
