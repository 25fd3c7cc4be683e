#!/usr/bin/python3
"""Idle sessions of XMPP on out/host/gatehouse with its large profile: what each holds, all in.

Users and their lists of 50 contacts with names and a group come as files, as an operator brings
them. They log in four times each by direct TLS 1.3 and SCRAM, with stream management, carbons and
presence, and fetch their lists; then nobody says anything. Bytes are those in use: a session's
place, TLS (what its heap holds), TCP, blocks (presence, lists), contacts' and users' places. The
share of a session is told twice: as it is, and for one user to each session. Closes with an error
when that is beyond the 20 KiB of the goal, or one message more does not pass.

More sessions: --sessions 100000, where the profile ends, and --each 1 for a user to each.

Before that all of it with as many sessions as Prosody and ejabberd bear in a minute or two
(--beside), a user to each, beside these two with the same users and lists: what they grow by, the
kernel's sockets not counted.
"""

import argparse
import pathlib
import re
import sys
import tempfile
import time

import sip_race
import xmpp_race
import xmpp_servers
from sip_race import run
from xmpp_servers import Ejabberd, Prosody

CONTACTS = 50
GOAL_BYTES = 20 * 1024
SOURCES = 8
FIRST_SOURCE = "10.77.0.100"
STEP = 2500              # sessions between two words about how far it is


class Gatehouse(xmpp_servers.Gatehouse):
    arena = "5G"
    file_bytes = 24_000_000

    def profile_for(self, user_count):
        return "large"

    def boot(self, full):
        super().boot(False)

    def in_use(self):
        """Bytes by what they are for, and how many sessions, users and contacts there are."""
        memory, status = self.memory(), self.ask("xStatus XMPP")
        said = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", re.search(
            r"XMPP Directory:.*", status)[0])}
        return {"sessions": memory["sessions"], "users": said["users"],
                "contacts": said["contacts"], "places": memory["sessions"] * (
                    memory["session"] + memory["link"] + xmpp_servers.TCP_BYTES),
                "tls": memory["tls"], "blocks": memory["blocks"],
                "lists": said["contacts"] * said["contact_bytes"] +
                         said["users"] * said["user_bytes"]}


class Steps:
    """Says what is done and how long it took, and ends the run when it takes too long."""

    def __init__(self, minutes):
        self.begin = self.last = time.monotonic()
        self.end = self.begin + minutes * 60

    def done(self, what):
        now = time.monotonic()
        print(f"{now - self.begin:6.0f} s  {what} in {now - self.last:.1f} s", flush=True)
        self.last = now
        if now > self.end:
            sys.exit("xmpp_idle: not in time")


def user_count(options):
    group = CONTACTS + 1
    return max(options.sessions // options.each // group, 1) * group


def log_in(load, users, resource, steps):
    for first in range(0, users, STEP):
        count = min(STEP, users - first)
        said = load.ask("login", first, count, resource, 64, "presence", "managed", "carbons",
                        f"sources={SOURCES}")
        steps.done(f"{count} sessions more, {said['cpu_s'] * 1e6 / count:.0f} us of the server's "
                   f"CPU each,")


def measure_peer(wire, kind, root, folder, options):
    """Bytes of a session with its user and his list, and the processor's share at rest."""
    users = user_count(options)
    steps = Steps(options.minutes)
    server = load = None
    try:
        server = kind(wire, folder, root, users, True)
        load = xmpp_servers.Load(server, (FIRST_SOURCE,))
        load.ask("login", 0, 8, "warm", 4, "presence", "managed", "carbons")
        load.ask("logout")
        time.sleep(1)
        before = server.memory()
        steps.done(f"{kind.name} started, {users} users")
        log_in(load, users, "r0", steps)
        time.sleep(options.rest)
        pids = server.pids()
        cpu = sip_race.cpu_seconds(pids)
        time.sleep(options.rest)
        cpu = (sip_race.cpu_seconds(pids) - cpu) / options.rest
        return server.session_bytes(before, users), cpu
    finally:
        if load is not None:
            load.stop()
        if server is not None:
            server.stop()


def measure(wire, folder, options):
    root = folder / "root"
    root.mkdir(parents=True)
    work = folder / "work"
    work.mkdir()
    users = user_count(options)
    steps = Steps(options.minutes)
    server = Gatehouse(wire, work, root, 0, False)
    load = None
    try:
        empty = server.in_use()
        steps.done("started")
        server.add_users(users)
        steps.done(f"{users} users")
        server.add_contacts(users)
        steps.done(f"{users * CONTACTS} contacts")
        listed = server.in_use()
        load = xmpp_servers.Load(server, (FIRST_SOURCE,))
        for number in range(options.each):
            log_in(load, users, f"r{number}", steps)
        time.sleep(options.rest)
        idle = server.in_use()
        pids = server.pids()
        before = sip_race.cpu_seconds(pids)
        time.sleep(options.rest)
        cpu = (sip_race.cpu_seconds(pids) - before) / options.rest
        said = load.ask("rate", min(users // 2, 100), 100, 1)
        print(f"a message among them: p50 {said['p50_us']:.0f} us, p99 {said['p99_us']:.0f} us")
    finally:
        if load is not None:
            load.stop()
        server.stop()
    return empty, listed, idle, cpu


def beside(wire, folder, options):
    """Ours and the peers' sessions, as many and as they are, one server after the other."""
    few = argparse.Namespace(**{**vars(options), "sessions": options.beside, "each": 1})
    figures = {"gatehouse": report(*measure(wire, folder / "few", few), few)}
    for kind in (Prosody, Ejabberd):
        packages, work = folder / kind.name, folder / f"work-{kind.name}"
        packages.mkdir()
        work.mkdir()
        figures[kind.name], cpu = measure_peer(wire, kind, kind.package.unpack(packages), work, few)
        print(f"{kind.name}: {figures[kind.name]:.0f} bytes a session with its user and list, "
              f"{cpu * 100:.1f} % of the processor while all are idle", flush=True)
    ours = figures.pop("gatehouse")
    best = min(figures, key=figures.get)
    print(f"{user_count(few)} sessions beside: {best}, the better, / ours: "
          f"{figures[best] / ours:.1f}", flush=True)


def report(empty, listed, idle, cpu, options):
    count = idle["sessions"]
    if count < user_count(options) * options.each:
        sys.exit(f"xmpp_idle: {count} of {user_count(options) * options.each} sessions are there")
    if listed["contacts"] != user_count(options) * CONTACTS:
        sys.exit(f"xmpp_idle: {listed['contacts']} contacts are there")
    of_session = sum(idle[part] - listed[part] for part in ("places", "tls", "blocks")) / count
    of_user = sum(listed[part] - empty[part] for part in ("blocks", "lists")) / listed["users"]
    parts = {part: round((idle[part] - listed[part]) / count) for part in
             ("places", "tls", "blocks")}
    print(f"{count} idle TLS sessions of {idle['users']} users, {idle['contacts']} contacts")
    print(f"  a session, without its user: {of_session:.0f} bytes {parts}")
    print(f"  a user with his list:        {of_user:.0f} bytes")
    print(f"  all in, {options.each} to a user: {of_session + of_user / options.each:.0f} bytes")
    print(f"  all in, a user each:         {of_session + of_user:.0f} bytes, goal {GOAL_BYTES}")
    print(f"  processor while all are idle: {cpu * 100:.1f} %")
    if of_session + of_user > GOAL_BYTES:
        sys.exit("xmpp_idle: more than the goal")
    return of_session + of_user


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--each", type=int, default=4, help="sessions of a user")
    parser.add_argument("--beside", type=int, default=2000, help="sessions of all; 0: ours alone")
    parser.add_argument("--minutes", type=float, default=12, help="that it may take")
    parser.add_argument("--rest", type=float, default=5, help="seconds of silence")
    options = parser.parse_args()
    xmpp_servers.Server.contacts = CONTACTS
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as name, \
            sip_race.Wire() as wire, xmpp_race.standing_apart(wire):
        for number in range(SOURCES):
            base, _, last = FIRST_SOURCE.rpartition(".")
            run("ip", "-n", wire.load, "address", "add", f"{base}.{int(last) + number}/24",
                "dev", "veth0")
        if options.beside:
            beside(wire, pathlib.Path(name), options)
        report(*measure(wire, pathlib.Path(name) / "many", options), options)


if __name__ == "__main__":
    main()
