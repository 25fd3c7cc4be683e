#!/usr/bin/python3
"""Relay delay while the control plane is busy: one core beside two, alternating round by round.

out/host/gatehouse relays channel data at a steady rate; first the control plane has nothing else to
do, then it commits to the store (the console changes a setting, again and again), has its HSM sign
(clients shake hands by TLS, each anew, and the key is SoftHSM's) and is flooded with log-ins
(OpenSSH with a wrong password, so that each costs a password hash). The stress runs at the lowest
priority and the load, which is the instrument, at real-time priority on the processor that the
media plane does not have: what is measured is the server, not the fight of its clients with the
load for a processor.

Two clocks are read. The relay's own (`xStatus TURN Delays`): from the kernel's time stamp
on the packet in the receive ring to the moment when it was handed down; that is what the media
plane answers for, and the share by which its p99 moves is the verdict. And the load's, from its
sending to its receiving, in which its own processor is, with the control plane and its clients.
"""

import argparse
import collections
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import sip_race
import tls_race
import turn_race
from turn_race import CLIENT, SERVER

PASSWORD = "Gate-house-42"
LOG_INS = 12  # at a time: each waits for the answer to a wrong password, which takes seconds
BEYOND_NS = 2**31  # where the histogram says only that it was more


class Edge(turn_race.Gatehouse):
    """With a console that this script types at, and a key in an HSM."""

    ask, until, upload = (tls_race.GatehouseHsm.ask, tls_race.GatehouseHsm.until,
                          tls_race.GatehouseHsm.upload)

    def __init__(self, wire, folder, cores, priority):
        self.wire, self.folder = wire, folder
        tls_race.make_chain(folder, "ECDSA P-256")
        tls_race.GatehouseHsm.make_token(folder)
        sip_race.run("ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(folder / "id"))
        key = (folder / "id.pub").read_text(encoding="ascii").strip()
        lines = [
            "System Name: bench", "Network Port 1 IPv4 Mode: Static",
            f"Network Port 1 IPv4 Address: {SERVER}", "Network Port 1 IPv4 PrefixLength: 24",
            f"SIP Domain 1 Name: {turn_race.REALM}",
            f"Authentication User 1 Name: {turn_race.USER}",
            f"Authentication User 1 Password: {turn_race.PASSWORD}",
            "Administrator 1 Name: admin", f"Administrator 1 Password: {PASSWORD}",
            "Traversal Server TURN Mode: On",
            "Traversal Server TURN Allow 1 Prefix: 10.77.0.0/24",
            f"IntrusionProtection Exemption 1 Address: {CLIENT}/32",
            "SSH Mode: On", f'Administrator 1 PublicKey1: "{key}"',
            *tls_race.GatehouseHsm.MORE_SETTINGS,
        ]
        (folder / "provision.txt").write_text(
            "".join(f"xConfiguration {line}\n" for line in lines), encoding="utf-8")
        words = [turn_race.ROOT / "out/host/gatehouse", "--packet", "veth0", "--profile", "medium",
                 "--memory", "1G", "--cores", cores, "--console", "stdio", "--no-supervisor",
                 "--provision", folder / "provision.txt", "--store", folder / "store",
                 "--log", folder / "log", "--crash-record", folder / "crash",
                 *tls_race.GatehouseHsm.MORE_OPTIONS]
        if cores == "2" and priority:
            words += ["--media-priority", priority]
        with open(folder / "gatehouse.log", "w", encoding="utf-8") as log:
            cpus = wire.all_cpus if cores == "2" else wire.server_cpu
            self.process = wire.start(wire.edge, ["taskset", "-c", cpus, *map(str, words)],
                                      stdout=log, stderr=log, stdin=subprocess.PIPE, text=True)
        self.wait_for("login:")
        self.type("admin")
        self.wait_for("assword:")
        self.type(PASSWORD)
        self.wait_for("bench>")
        tls_race.GatehouseHsm.certify(self)

    def wait_for(self, text):
        deadline = time.monotonic() + 60
        while text not in self.said():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"turn_planes_race: no {text!r} in:\n{self.said()}")
            time.sleep(0.05)

    def type(self, line):
        self.process.stdin.write(line + "\r")
        self.process.stdin.flush()

    def delays(self):
        """The relay's own histogram: upper bound in ns -> packets."""
        seen = len(self.said())
        self.type("xStatus TURN Delays")
        deadline = time.monotonic() + 60
        pages = 0
        while "** end" not in self.said()[seen:]:
            if self.said()[seen:].count("--More--") > pages:
                pages += 1
                self.process.stdin.write(" ")
                self.process.stdin.flush()
            if time.monotonic() > deadline:
                sys.exit(f"turn_planes_race: no delays in:\n{self.said()[seen:]}")
            time.sleep(0.05)
        rows = re.findall(r"\b(?:ns_(\d+)|more)=(\d+)", self.said()[seen:])
        return collections.Counter({int(bound or BEYOND_NS): int(count) for bound, count in rows})


def percentile_us(delays, share):
    wanted, total = share * sum(delays.values()), 0
    for bound in sorted(delays):
        total += delays[bound]
        if total >= wanted:
            return bound / 1000
    return 0.0


class Stress:
    """Commits, handshakes and log-ins until it is stopped; says how many of each there were."""

    SHAKE = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
while True:
    try:
        with socket.create_connection((sys.argv[1], 5349), 5) as plain:
            with context.wrap_socket(plain):
                print("handshake", flush=True)
    except OSError:
        pass
"""
    LOG_IN = """
while true; do
  ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \\
    -o PreferredAuthentications=password -o NumberOfPasswordPrompts=3 -o ConnectTimeout=5 \\
    admin@$1 true </dev/null >/dev/null 2>&1
  echo login
done
"""

    def __init__(self, edge, folder):
        self.edge, self.wire = edge, edge.wire
        wrong = folder / "wrong"
        wrong.write_text("#!/bin/sh\necho wrong\n", encoding="utf-8")
        wrong.chmod(0o700)
        environment = dict(os.environ, SSH_ASKPASS=str(wrong), SSH_ASKPASS_REQUIRE="force",
                           DISPLAY="none")
        self.outputs = []
        self.processes = []
        shake = ["nice", "-n", "19", sys.executable, "-c", self.SHAKE, SERVER]
        log_in = ["nice", "-n", "19", "bash", "-c", self.LOG_IN, "bash", SERVER]
        for index, words in enumerate([shake] * 2 + [log_in] * LOG_INS):
            path = folder / f"stress{index}-{time.monotonic_ns()}"
            self.outputs.append(path)
            with open(path, "w", encoding="utf-8") as output:
                self.processes.append(self.wire.start(
                    self.wire.load, words, stdout=output, stderr=subprocess.DEVNULL,
                    env=environment, start_new_session=True))
        self.commits = 0
        self.stopping = False
        self.thread = threading.Thread(target=self.commit)
        self.thread.start()

    def commit(self):
        while not self.stopping:
            self.edge.type(f"xConfiguration SIP Domain 1 Name: d{self.commits}.bench.example")
            self.commits += 1
            time.sleep(0.05)

    def stop(self):
        self.stopping = True
        self.thread.join()
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        text = "".join(path.read_text(encoding="utf-8") for path in self.outputs)
        return {"commits": self.commits, "handshakes": len(re.findall("handshake", text)),
                "ssh sessions": len(re.findall("login", text))}


def prefer(wire, load):
    for pid in {load.process.pid, *turn_race.descendants(load.process.pid), *wire.receivers}:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(50))


def one_round(wire, cores, options, results):
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as name:
        folder = pathlib.Path(name)
        edge = Edge(wire, folder, cores, options.media_priority)
        load = turn_race.Load(wire)
        prefer(wire, load)
        try:
            load.ask("allocate", options.allocations)
            quiet = load.ask("run", options.rate, options.seconds, 172, "channel")
            own_quiet = edge.delays()  # the first that was ever relayed
            stress = Stress(edge, folder)
            time.sleep(1)
            try:
                busy = load.ask("run", options.rate, options.seconds, 172, "channel")
            finally:
                done = stress.stop()
            own_busy = edge.delays() - own_quiet
        finally:
            load.stop()
            edge.stop()
    for when, figures, own in (("quiet", quiet, own_quiet), ("busy", busy, own_busy)):
        for key, share in (("own_p50_us", 0.5), ("own_p99_us", 0.99), ("own_p999_us", 0.999)):
            figures[key] = percentile_us(own, share)
        figures["lost"] = 1 - figures["received"] / max(figures["sent"], 1)
        results.setdefault((cores, when), []).append(figures)
    print(f"  {cores} core(s): {done}", flush=True)


# By how much the relay delay may move while the control plane is busy, on a core of its own.
P99_GOAL = 0.2


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rate", type=int, default=5000, help="packets/s")
    parser.add_argument("--allocations", type=int, default=50)
    parser.add_argument("--media-priority", default="50", help="SCHED_FIFO; 0: a common thread")
    options = parser.parse_args()
    results = {}
    with sip_race.Wire() as wire:
        turn_race.stand_apart(wire)
        for _ in range(options.rounds):
            for cores in ("1", "2"):
                one_round(wire, cores, options, results)
    print(f"\nrelay delay at {options.rate}/s, 172 B, {options.allocations} allocations, "
          f"{os.cpu_count()} processors for everything")
    print("  own_: from the kernel's stamp to the sending; the others: as the load sees it")
    for key in ("own_p50_us", "own_p99_us", "own_p999_us", "p50_us", "p99_us", "p999_us", "lost"):
        for cores in ("1", "2"):
            quiet, busy = (statistics.median([r[key] for r in results[cores, when]])
                           for when in ("quiet", "busy"))
            moved = f"  moved by {(busy / quiet - 1) * 100:+.0f} %" if quiet else ""
            print(f"  {key:11} {cores} core(s): quiet {quiet:10.2f}  busy {busy:10.2f}{moved}")
            if (key, cores) == ("own_p99_us", "2"):
                p99_moved = busy / max(quiet, 1e-9) - 1
    print(f"verdict: {'met' if p99_moved < P99_GOAL else 'NOT MET'}: with two cores the relay's "
          f"own p99 moved by {p99_moved * 100:+.0f} %, goal less than {P99_GOAL * 100:.0f} %")


if __name__ == "__main__":
    main()
