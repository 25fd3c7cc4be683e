"""out/pc/gatehouse.img in QEMU as the server of a SIP load, in the place of race.Wire and
race.Gatehouse: what sends and the machine's network port are joined by one TAP, without a veth pair
or a switch.

The processor is emulated, and QEMU told not to chain the blocks it translates: that leaves it a
fifth of its speed and does not hold it up in between, so that load and the thread that carries
frames to it have plenty of time beside it. That thread belongs to the load.
"""

import contextlib
import os
import pathlib
import re
import subprocess
import sys

import sip_race as race

sys.path.insert(0, str(race.ROOT / "tests/system"))
import operator_console  # noqa: E402
import qemu  # noqa: E402

TAP = "tap0"


class Wire:
    """A namespace of the load's with a TAP that QEMU opens."""

    def __init__(self):
        self.load = f"ghl{os.getpid()}"

    def __enter__(self):
        race.run("ip", "netns", "add", self.load)
        for words in (("link", "set", "lo", "up"), ("tuntap", "add", TAP, "mode", "tap"),
                      ("address", "add", f"{race.LOAD_ADDRESS}/{race.PREFIX_LENGTH}", "dev", TAP),
                      ("link", "set", TAP, "up")):
            race.run("ip", "-n", self.load, *words)
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "delete", self.load], check=False)

    def start(self, name, words, **options):
        return subprocess.Popen(["ip", "netns", "exec", name, *words], **options)

    def counts(self):
        """What QEMU did not fetch in time, and what those who send did not."""
        said = race.run("ip", "netns", "exec", self.load, "cat", "/proc/net/snmp",
                        f"/sys/class/net/{TAP}/statistics/tx_dropped").split("\n")
        names, values = (line.split() for line in said if line.startswith("Udp:"))
        udp = dict(zip(names, values))
        return {"TAP tx_dropped": int(said[-2]), "Udp RcvbufErrors": int(udp["RcvbufErrors"])}


class Gatehouse:
    def __init__(self, wire, folder, digest):
        provision = race.provision_text(digest) + "".join(
            f"xConfiguration {line}\n" for line in ("System Registrations: 100000",
                                                    "Administration Session TimeOut: 0"))
        self.machine = qemu.Machine(folder / "image", memory="10G", netns=wire.load,
                                    netdevs=[qemu.tap_net(TAP)], provision=provision)
        self.machine.start()
        try:
            self.processor = self.machine.qmp("query-cpus-fast")[0]["thread-id"]
            self.machine.expect(r"SIP ready", timeout=90)
            operator_console.log_in_late(self.machine, "Gate-house-42")
            if "Capacity: by number" not in self.machine.console:
                sys.exit("booted_image: too little memory for the registrations")
            self.machine.monitor("log nochain")
        except BaseException:
            self.machine.stop()
            raise

    def tasks(self):
        """What is to be slow."""
        return [self.processor]

    def others(self):
        """QEMU's threads that are not the machine's processor."""
        tasks = pathlib.Path(f"/proc/{self.machine.process.pid}/task").iterdir()
        return [int(task.name) for task in tasks if int(task.name) != self.processor]

    def counts(self):
        """What the machine has counted up to now, by the name it gives it."""
        found = {}
        for line in ("xStatus SIP Statistics", "xStatus Network Port 1", "xStatus Loop"):
            for name, words in re.findall(r"^\*?s? ?(\S.*?): (.*)$", self.machine.ask(line), re.M):
                for word in words.split():
                    key, _, value = word.rpartition("=")
                    with contextlib.suppress(ValueError):
                        found[f"{name} {key}".strip()] = int(value)
        return found

    def stop(self):
        self.machine.stop()
