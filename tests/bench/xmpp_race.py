#!/usr/bin/python3
"""Races out/host/gatehouse against Prosody and ejabberd: messages per core, memory of a session.

The servers stand at the same address of the same network namespace, one at a time, alternating
round by round; tests/bench/xmpp/xmpp_load loads them from another namespace over one veth pair, by
direct TLS 1.3 with an ECDSA P-256 certificate and SCRAM-SHA-256. The server has one processor, the
load the others. Each server is started twice: bare (messages one to one, to a room, log-ins, a mass
log-in with presence), and with archive, carbons and stream management. Two accounts of CPU are
kept, as in sip_race.py: the server's own with its kernel's receiving, and that of the whole machine
less the load's. Peers are Debian's packages, unpacked, with what Debian sets by default
(tests/bench/peers): SCRAM of 10,000 iterations there and here, 4,096 in ejabberd.

An idle session is available, with stream management and carbons: for peers what they grow by,
without the kernel's sockets; ours is what the pools and the heap of TLS hold, TCP included, as
xStatus counts them. Delays are taken while the server's processor is half busy.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import sys
import tempfile
import time

import sip_race
from sip_race import run
from turn_race import spread
from xmpp_servers import Ejabberd, Gatehouse, Load, Prosody, Server


BACKLOG = pathlib.Path("/proc/sys/net/core/netdev_max_backlog")


def per_core(said, count):
    return {"per_core": count / max(said["cpu_s"], 1e-9), "cpu_us": said["cpu_s"] * 1e6 / count,
            "machine_us": said["machine_s"] * 1e6 / count, "per_s": count / said["seconds"]}


def at_half(load, options, most):
    """Delays at the rate that has the server's processor half busy, and the load's not too busy to
    see them: messages that come one by one cost both more than those in windows, `most`."""
    rate = max(int(most["received"] / most["seconds"] / 2), 1)
    tried = load.ask("rate", options.pairs, rate, 2)
    share = min(1, *(wanted * tried["seconds"] / max(tried[who], 1e-9)
                     for wanted, who in ((0.5, "cpu_s"), (0.7, "load_s"))))
    rate = max(int(rate * share), 1)
    said = load.ask("rate", options.pairs, rate, options.seconds)
    return {"rate": rate, "busy": said["cpu_s"] / said["seconds"],
            "load_busy": said["load_s"] / said["seconds"], "p50_us": said["p50_us"],
            "p99_us": said["p99_us"]}


def bare(server, load, options, add):
    load.ask("login", 0, 8, "warm", 4)
    load.ask("logout")
    count = options.users
    said = load.ask("login", 0, count, "b", 8)  # salts are known to the load after it
    load.ask("logout")
    said = load.ask("login", 0, count, "b", 8)
    add("log-ins", per_core(said, count))
    said = load.ask("pairs", options.pairs, 8, 1)
    said = load.ask("pairs", options.pairs, 8, options.seconds)
    add("one to one, bare", per_core(said, said["received"]))
    add("delay at half the bare load", at_half(load, options, said))
    load.ask("join", "big")
    load.ask("room", 4, 1, 1)
    said = load.ask("room", 4, 1, options.seconds)
    add(f"to a room of {count}, copies", per_core(said, said["received"]))
    load.ask("logout")
    storm = options.users // options.group * options.group
    said = load.ask("login", 0, storm, "s", 16, "presence", f"group={options.group}")
    add(f"mass log-in of {storm} with {options.group - 1} contacts each",
        {"presences": said["presences"], "storm_s": said["all_seconds"],
         "storm_cpu_s": said["cpu_s"]})
    load.ask("logout")


def full(server, load, options, add):
    load.ask("login", 0, 8, "warm", 4, "presence", "managed", "carbons")
    load.ask("logout")
    time.sleep(1.0)
    before = server.memory()
    load.ask("login", 0, options.users, "f", 8, "presence", "managed", "carbons")
    time.sleep(3.0)
    add("idle session", {"bytes": server.session_bytes(before, options.users)})
    load.ask("pairs", options.pairs, 8, 1)
    said = load.ask("pairs", options.pairs, 8, options.seconds)
    add("one to one, archive, carbons, stream management", per_core(said, said["received"]))
    add("delay at half of that load", at_half(load, options, said))


def one_server(wire, kind, root, options, results):
    def add(title, figures):
        results.setdefault(title, {}).setdefault(kind.name, []).append(figures)
        print(f"  {kind.name}: {title}: " + ", ".join(
            f"{key} {value:.1f}" for key, value in figures.items()), flush=True)

    for phase, is_full in ((bare, False), (full, True)):
        if options.only not in (None, phase.__name__):
            continue
        with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as folder:
            server = load = None
            try:
                server = kind(wire, pathlib.Path(folder), root, options.users, is_full)
                load = Load(server)
                phase(server, load, options, add)
            finally:
                if load is not None:
                    load.stop()
                if server is not None:
                    server.stop()


LABELS = {
    "per_core": "per second and core of the server", "cpu_us": "CPU of the server, us each",
    "machine_us": "CPU less the load's, us each", "per_s": "seen per second", "rate": "rate, 1/s",
    "busy": "share of the server's processor", "load_busy": "share of the load's processor",
    "p50_us": "delay p50, us", "p99_us": "delay p99, us", "bytes": "bytes each",
    "presences": "presences delivered", "storm_s": "until all have seen all, s",
    "storm_cpu_s": "CPU of the server for it, s",
}


def report(results):
    for title, servers in results.items():
        print(f"\n{title}")
        for key, label in LABELS.items():
            rows = {name: [each[key] for each in rounds] for name, rounds in servers.items()
                    if key in rounds[0]}
            for name, values in rows.items():
                print(f"  {label:36} {name:10} {spread(values)}")
            ours = rows.pop(Gatehouse.name, None)
            if ours and rows and key in ("cpu_us", "machine_us", "bytes", "storm_cpu_s"):
                best = min(rows, key=lambda name: statistics.median(rows[name]))
                ratios = [theirs / max(own, 1e-9) for theirs, own in zip(rows[best], ours)]
                print(f"  {label:36} {'ratio':10} {spread(ratios)}  ({best}, the better / ours)")


@contextlib.contextmanager
def standing_apart(wire):
    """The last processor is the server's and its kernel's, the others the load's: packets are
    received on the processor of those they are for, so that no sender pays for it (RPS)."""
    cpus = sorted(os.sched_getaffinity(0))
    others = cpus[:-1] or cpus
    os.sched_setaffinity(0, others)
    wire.server_cpu = str(cpus[-1])
    for name, receiving in ((wire.load, others), (wire.edge, cpus[-1:])):
        mask = sum(1 << cpu for cpu in receiving)
        run("ip", "netns", "exec", name, "sh", "-c",
            f"echo {mask:x} >/sys/class/net/veth0/queues/rx-0/rps_cpus")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # puts it back too
    before = BACKLOG.read_text()  # of the whole machine, in packets
    BACKLOG.write_text("20000")
    try:
        yield
    finally:
        BACKLOG.write_text(before)
        os.sched_setaffinity(0, cpus)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--users", type=int, default=1000, help="sessions, and of the room")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--group", type=int, default=25, help="of users who see each other")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--servers", nargs="+", default=["gatehouse", "prosody", "ejabberd"])
    parser.add_argument("--only", choices=["bare", "full"])
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    kinds = [kind for kind in (Gatehouse, Prosody, Ejabberd) if kind.name in options.servers]
    Server.contacts = options.group - 1
    results = {}
    with tempfile.TemporaryDirectory(prefix="gatehouse-peers-") as name, \
            sip_race.Wire() as wire, standing_apart(wire):
        roots = {}
        for kind in kinds:
            roots[kind] = pathlib.Path(name) / kind.name
            roots[kind].mkdir()
            if kind.package is not None:
                roots[kind] = kind.package.unpack(roots[kind])
        for number in range(options.rounds):
            for kind in kinds if number % 2 == 0 else reversed(kinds):
                one_server(wire, kind, roots[kind], options, results)
    report(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
