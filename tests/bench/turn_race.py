#!/usr/bin/python3
"""Races out/host/gatehouse against coturn: packets per core, delay, memory, reflection.

Both servers stand at the same address of the same network namespace, one at a time, alternating
round by round; tests/bench/turn/turn_load loads them from another namespace over one veth pair:
half of the media goes from clients to their peers, half from peers to clients. The interface's own
limit is taken in the same rounds by tests/bench/turn/raw_forwarder, which only rewrites addresses.
The CPU of a server is that of its own threads. What the receiver's kernel does with a packet would
be done within the server's sending call, there being no wire; a kernel thread at the load's end of
the pair does it instead (threaded NAPI), for each of the three alike. The server has a processor to
itself. coturn is Debian's package,
unpacked, with one relay thread (one core), no logging, no TLS.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import sip_race
from sip_race import cpu_seconds, descendants, receive_by_thread, run

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SERVER = "10.77.0.2"
CLIENT = "10.77.0.1"
PEER = "10.77.0.3"
REALM = "bench.example"
USER, PASSWORD = "bench", "secret"
FIRST_RELAY_PORT, LAST_RELAY_PORT = 24000, 49999
FIRST_CLIENT_PORT = 50000
# What it needs beside itself, none of which starts anything.
COTURN_PACKAGES = ("coturn", "libmariadb3", "libevent-openssl-2.1-7", "libevent-pthreads-2.1-7")


def unpack_coturn(folder):
    done = subprocess.run(["apt-get", "download", *COTURN_PACKAGES], cwd=folder, check=False,
                          capture_output=True, text=True)
    packages = list(folder.glob("*.deb"))
    if done.returncode != 0 or len(packages) < len(COTURN_PACKAGES):
        sys.exit(f"turn_race: coturn cannot be had: {done.stderr.strip()}")
    for package in packages:
        run("dpkg", "-x", str(package), str(folder / "root"))
    return folder / "root"


def stand_apart(wire):
    """The server has one processor and the load with its receiver the others: a receiver that is
    woken for each packet must not take the server's processor in turns with it."""
    cpus = sorted(os.sched_getaffinity(0))
    wire.receivers = receive_by_thread(wire.edge, wire.load)
    for pid in wire.receivers:
        os.sched_setaffinity(pid, cpus[:-1] or cpus)
    os.sched_setaffinity(0, cpus[:-1] or cpus)
    wire.server_cpu = str(cpus[-1])
    wire.all_cpus = ",".join(map(str, cpus))


def resident_bytes(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            total += int(line.split()[1]) * 1024 if line.startswith("Rss:") else 0
    return total


class Coturn:
    name = "coturn"

    def __init__(self, wire, folder, root):
        run("ip", "-n", wire.edge, "address", "replace", f"{SERVER}/24", "dev", "veth0")
        self.wire = wire
        words = [str(root / "usr/bin/turnserver"), "-n", "--log-file", "/dev/null", "--simple-log",
                 "-L", SERVER, "-E", SERVER, "-p", "3478", "-m", "1", "--lt-cred-mech",
                 "-u", f"{USER}:{PASSWORD}", "-r", REALM, "--no-tls", "--no-dtls", "--no-cli",
                 "--no-software-attribute", "--min-port", str(FIRST_RELAY_PORT), "--max-port",
                 str(LAST_RELAY_PORT), "--userdb", str(folder / "users.db"),
                 "--pidfile", str(folder / "pid"), "--no-stdout-log"]
        limits = "ulimit -n 100000; exec \"$@\""
        environment = dict(os.environ, LD_LIBRARY_PATH=str(root / "usr/lib/x86_64-linux-gnu"))
        self.process = wire.start(wire.edge, ["taskset", "-c", wire.server_cpu, "bash", "-c",
                                              limits, "turnserver", *words],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  env=environment)
        time.sleep(2.0)
        if self.process.poll() is not None:
            sys.exit("turn_race: coturn did not start")

    def pids(self):
        return descendants(self.process.pid)

    def bytes_per_allocation(self, before, count):
        return (resident_bytes(self.pids()) - before) / count

    def stop(self):
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        self.process.wait(30)
        run("ip", "-n", self.wire.edge, "address", "flush", "dev", "veth0")


class Gatehouse:
    name = "gatehouse"

    def __init__(self, wire, folder, _root):
        lines = [
            "System Name: bench", "Network Port 1 IPv4 Mode: Static",
            f"Network Port 1 IPv4 Address: {SERVER}", "Network Port 1 IPv4 PrefixLength: 24",
            f"SIP Domain 1 Name: {REALM}", f"Authentication User 1 Name: {USER}",
            f"Authentication User 1 Password: {PASSWORD}", "Administrator 1 Name: admin",
            "Administrator 1 Password: Gate-house-42", "Traversal Server TURN Mode: On",
            "Traversal Server TURN Allow 1 Prefix: 10.77.0.0/24",
            f"Traversal Server TURN Media Port Start: {FIRST_RELAY_PORT}",
            f"Traversal Server TURN Media Port End: {LAST_RELAY_PORT}",
            # All clients are one address here: coturn has no such limit.
            "Traversal Server TURN Unauthenticated Rate Source: 100000",
            "Traversal Server TURN Unauthenticated Rate Total: 100000",
        ]
        (folder / "provision.txt").write_text(
            "".join(f"xConfiguration {line}\n" for line in lines), encoding="utf-8")
        self.wire, self.folder = wire, folder
        words = [ROOT / "out/host/gatehouse", "--packet", "veth0", "--profile", "large",
                 "--memory", "4G", "--frames", "16384", "--console", "stdio", "--no-supervisor",
                 "--provision", folder / "provision.txt", "--store", folder / "store",
                 "--log", folder / "log", "--crash-record", folder / "crash"]
        with open(folder / "gatehouse.log", "w", encoding="utf-8") as log:
            self.process = wire.start(wire.edge, ["taskset", "-c", wire.server_cpu,
                                                  *(str(word) for word in words)],
                                      stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 180
        while "ready" not in self.said():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"turn_race: gatehouse did not start:\n{self.said()}")
            time.sleep(0.1)
        time.sleep(1.0)

    def said(self):
        return (self.folder / "gatehouse.log").read_text(encoding="utf-8", errors="replace")

    def pids(self):
        return descendants(self.process.pid)

    def bytes_per_allocation(self, _before, _count):
        """Like for like: an allocation with one permission and one channel, as the load makes
        them and coturn's heap is asked about; the engine's own count of what its pools give. All
        is pinned at boot: four channels for each allocation, see `turn_bench memory`."""
        text = run(str(ROOT / "out/host/bench/turn/turn_bench"), "memory")
        return float(text.split("bytes in use by one channel")[1].split()[0])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Raw:
    """The interface alone. It answers no ARP, so the neighbour is told to the load's namespace."""
    name = "raw"

    def __init__(self, wire, _folder, _root):
        self.wire = wire
        macs = {name: json.loads(run("ip", "-j", "-n", name, "link", "show", "veth0"))[0]["address"]
                for name in (wire.load, wire.edge)}
        run("ip", "-n", wire.load, "neigh", "replace", SERVER, "lladdr", macs[wire.edge],
            "dev", "veth0")
        self.process = wire.start(wire.edge, ["taskset", "-c", wire.server_cpu,
                                              str(ROOT / "out/host/bench/turn/raw_forwarder"),
                                              "veth0", SERVER, PEER, macs[wire.load]],
                                  stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def pids(self):
        return descendants(self.process.pid)

    def stop(self):
        self.process.kill()
        self.process.wait(30)
        run("ip", "-n", self.wire.load, "neigh", "del", SERVER, "dev", "veth0")


class Load:
    def __init__(self, wire):
        run("ip", "-n", wire.load, "address", "replace", f"{PEER}/24", "dev", "veth0")
        self.process = wire.start(
            wire.load, [str(ROOT / "out/host/bench/turn/turn_load"), SERVER, "3478", USER, PASSWORD,
                        CLIENT, PEER, "veth0", str(FIRST_CLIENT_PORT)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("turn_race: the load generator gave up")
        return json.loads(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)


def frames_sent(wire):
    """By the server's end of the pair, those included that found no room at the other end."""
    link = json.loads(run("ip", "-s", "-j", "-n", wire.edge, "link", "show", "veth0"))[0]
    return link["stats64"]["tx"]["packets"] + link["stats64"]["tx"]["dropped"]


def measure(server, load, *words):
    """The load's own account, what the server took for it, and how many frames it sent."""
    pids = server.pids()
    frames, before = frames_sent(server.wire), cpu_seconds(pids)
    figures = load.ask(*words)
    figures["cpu_s"] = cpu_seconds(pids) - before
    # A packet the receiver has not cut yet is counted once by the interface.
    figures["relayed"] = (frames_sent(server.wire) - frames) * (
        figures.get("received", 1) / max(figures.get("packets", 1), 1))
    return figures


def relay(server, load, options, mode, payload, rate):
    figures = measure(server, load, "run", rate, options.seconds, payload, mode)
    got = max(figures["relayed"], 1)
    return {"cpu_us": figures["cpu_s"] * 1e6 / got, "per_core": got / max(figures["cpu_s"], 1e-9),
            "relayed_per_s": got / figures["seconds"],
            "lost": 1 - figures["received"] / max(figures["sent"], 1),
            **{key: figures[key] for key in ("p50_us", "p99_us", "p999_us")}}


def one_server(wire, kind, root, options, count, results):
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as folder:
        server = kind(wire, pathlib.Path(folder), root)
        load = None
        try:
            load = Load(wire)
            if kind is Raw:
                for payload in options.payloads:
                    results.setdefault((f"raw {payload} B",), {}).setdefault(kind.name, []).append(
                        raw_figures(server, load, options, payload))
                return
            before = resident_bytes(server.pids())
            made = measure(server, load, "allocate", count)
            memory = server.bytes_per_allocation(before, count)
            results.setdefault((f"allocate {count}",), {}).setdefault(kind.name, []).append(
                {"per_s": made["allocations"] / made["seconds"], "bytes": memory,
                 "cpu_us": made["cpu_s"] * 1e6 / count})
            for payload in options.payloads:
                for mode in options.modes:
                    key = (f"{mode} {payload} B, {count} allocations",)
                    figures = relay(server, load, options, mode, payload, options.rate)
                    results.setdefault(key, {}).setdefault(kind.name, []).append(figures)
            key = (f"delay at {options.delay_rate}/s, {count} allocations",)
            results.setdefault(key, {}).setdefault(kind.name, []).append(
                relay(server, load, options, "channel", options.payloads[0], options.delay_rate))
            if count == 1:
                strangers(server, load, kind, results)
        finally:
            if load is not None:
                load.stop()
            server.stop()


def raw_figures(server, load, options, payload):
    """The raw forwarder has no allocations; the load sends to it as if there were one."""
    load.ask("pretend", 1)
    return relay(server, load, options, "channel", payload, options.rate)


def strangers(server, load, kind, results):
    before = resident_bytes(server.pids())
    figures = measure(server, load, "strangers", 30000)
    answered = max(figures["answers"], 1)
    size = figures["bytes_out"] / figures["asked"]
    results.setdefault(("30,000 unauthenticated sources",), {}).setdefault(kind.name, []).append(
        {"reflection": figures["bytes_in"] / answered / size, "answers": figures["answers"],
         "grown_bytes": resident_bytes(server.pids()) - before,
         "cpu_us": figures["cpu_s"] * 1e6 / figures["asked"]})


def spread(values):
    return f"{statistics.median(values):12.2f} ({min(values):.2f}..{max(values):.2f})"


LABELS = {
    "cpu_us": "CPU of the server, us each", "per_core": "packets/s per core",
    "relayed_per_s": "relayed/s", "lost": "share lost", "p50_us": "delay p50, us",
    "p99_us": "delay p99, us", "p999_us": "delay p99.9, us", "per_s": "allocations/s",
    "bytes": "bytes per allocation", "reflection": "bytes back per byte, of those answered",
    "answers": "answers", "grown_bytes": "resident bytes grown",
}


def report(results):
    for (title,), servers in results.items():
        print(f"\n{title}")
        for key, label in LABELS.items():
            for name, rounds in servers.items():
                if key in rounds[0]:
                    print(f"  {label:40} {name:10} {spread([r[key] for r in rounds])}")
            both = [servers.get(Coturn.name), servers.get(Gatehouse.name)]
            if key in ("cpu_us", "bytes") and all(both) and key in both[0][0]:
                ratios = [a[key] / max(b[key], 1e-9) for a, b in zip(*both)]
                print(f"  {label:40} {'ratio':10} {spread(ratios)}  (peer / ours)")


# What the TURN server is to reach beside coturn.
PACKETS_GOAL, MEMORY_GOAL, FLAT_GOAL = 3.0, 10.0, 1.25


def medians(results, key, name):
    """By title: the median of a figure of one server."""
    return {title: statistics.median(row[key] for row in servers[name])
            for (title,), servers in results.items() if name in servers and key in servers[name][0]}


def say(what, reached, goal, better):
    met = reached >= goal if better == "more" else reached <= goal
    print(f"  {'met' if met else 'NOT MET':8} {what}: {reached:.2f}, goal {goal} or {better}")
    return met


def verdict(results, counts):
    """Prints which goals are met; true when all are."""
    print("\nverdict (medians)")
    ours, theirs = (medians(results, "cpu_us", kind.name) for kind in (Gatehouse, Coturn))
    relayed = [title for title in ours if " allocations" in title and title in theirs]
    met = [say(f"packets per core, times coturn, {title}", theirs[title] / ours[title],
               PACKETS_GOAL, "more") for title in relayed if not title.startswith("delay")]
    # Not against one: what goes to one client in a row leaves as one packet, which is cheaper.
    several = min((count for count in counts if count > 1), default=max(counts))
    for title in relayed:
        few = title.replace(f" {max(counts)} alloc", f" {several} alloc")
        if few != title and few in ours:
            met.append(say(f"CPU a packet, times that with {several}, {title}",
                           ours[title] / ours[few], FLAT_GOAL, "less"))
    ours, theirs = (medians(results, "bytes", kind.name) for kind in (Gatehouse, Coturn))
    # Few allocations are less than a page of the server's memory.
    met += [say(f"coturn's memory an allocation, times ours, {title}",
                theirs[title] / max(ours[title], 1e-9), MEMORY_GOAL, "more")
            for title in ours if title in theirs and title == f"allocate {max(counts)}"]
    return all(met)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rate", type=int, default=400000, help="packets/s offered: overload")
    parser.add_argument("--delay-rate", type=int, default=60000,
                        help="packets/s for delays: about half of what the peer carries")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 1000, 10000])
    parser.add_argument("--payloads", type=int, nargs="+", default=[172, 1200])
    parser.add_argument("--modes", nargs="+", default=["channel", "send"])
    parser.add_argument("--servers", nargs="+", default=["coturn", "gatehouse", "raw"])
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    kinds = [kind for kind in (Coturn, Gatehouse, Raw) if kind.name in options.servers]
    results = {}
    with tempfile.TemporaryDirectory(prefix="gatehouse-coturn-") as folder, \
            sip_race.Wire() as wire:
        stand_apart(wire)
        root = unpack_coturn(pathlib.Path(folder)) if Coturn in kinds else None
        for _ in range(options.rounds):
            for kind in kinds:
                for count in options.counts if kind is not Raw else [1]:
                    one_server(wire, kind, root, options, count, results)
    report(results)
    if {Coturn, Gatehouse} <= set(kinds):
        print("all goals met" if verdict(results, options.counts) else "goals missed")
    if options.json:
        options.json.write_text(json.dumps({key[0]: value for key, value in results.items()},
                                           indent=1))


if __name__ == "__main__":
    main()
