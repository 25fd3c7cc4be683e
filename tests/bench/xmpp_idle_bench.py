#!/usr/bin/python3
"""Idle sessions of XMPP on out/host/gatehouse with its large profile: what each holds, all in.

Users log in four times each by direct TLS 1.3 and SCRAM, with stream management, carbons and
presence, and fetch a list of 50 contacts with names and a group each; then nobody says anything.
Bytes are those in use: a session's place, TLS (what its heap holds), TCP, blocks (presence, lists),
contacts' and users' places. The share of a session is told twice: as it is, and for one user to
each session. Closes with an error when that is beyond the 20 KiB of the goal.

More sessions: --sessions 40000 (the load wants some 40 KB for each); the profile ends at 100,000.
"""

import argparse
import pathlib
import re
import sys
import tempfile
import time

import sip_race
import xmpp_race
from sip_race import run

GOAL_BYTES = 20 * 1024
EACH = 4  # sessions of a user
SOURCES = 8
FIRST_SOURCE = "10.77.0.100"


class Gatehouse(xmpp_race.Gatehouse):
    arena = "5G"

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
                    memory["session"] + memory["link"] + xmpp_race.TCP_BYTES),
                "tls": memory["tls"], "blocks": memory["blocks"],
                "lists": said["contacts"] * said["contact_bytes"] +
                         said["users"] * said["user_bytes"]}


def measure(wire, folder, options):
    root = folder / "root"
    root.mkdir()
    work = folder / "work"
    work.mkdir()
    users = options.sessions // EACH
    server = Gatehouse(wire, work, root, 0, False)
    load = None
    try:
        empty = server.in_use()
        begin = time.monotonic()
        server.add_users(users)
        print(f"{users} users in {time.monotonic() - begin:.0f} s", flush=True)
        load = xmpp_race.Load(server, (FIRST_SOURCE,))
        load.ask("login", 0, users, "a", 32, f"sources={SOURCES}")
        said = load.ask("rosters", options.contacts)
        print(f"{users * options.contacts} contacts in {said['seconds']:.0f} s", flush=True)
        load.ask("logout")
        listed = server.in_use()
        for resource in "abcd"[:EACH]:
            said = load.ask("login", 0, users, resource, 32, "presence", "managed", "carbons",
                            f"sources={SOURCES}")
            print(f"{users} sessions more in {said['seconds']:.1f} s, CPU of the server "
                  f"{said['cpu_s']:.1f} s", flush=True)
        time.sleep(options.rest)
        idle = server.in_use()
        pids = server.pids()
        before = sip_race.cpu_seconds(pids)
        time.sleep(options.rest)
        cpu = (sip_race.cpu_seconds(pids) - before) / options.rest
    finally:
        if load is not None:
            load.stop()
        server.stop()
    return empty, listed, idle, cpu


def report(empty, listed, idle, cpu, options):
    count = idle["sessions"]
    if count < options.sessions // EACH * EACH:
        sys.exit(f"xmpp_idle: {count} of {options.sessions} sessions are there")
    if listed["contacts"] < options.sessions // EACH * options.contacts:
        sys.exit(f"xmpp_idle: {listed['contacts']} contacts are there")
    of_session = sum(idle[part] - listed[part] for part in ("places", "tls", "blocks")) / count
    of_user = sum(listed[part] - empty[part] for part in ("blocks", "lists")) / listed["users"]
    parts = {part: round((idle[part] - listed[part]) / count) for part in
             ("places", "tls", "blocks")}
    print(f"{count} idle TLS sessions of {idle['users']} users, {idle['contacts']} contacts")
    print(f"  a session, without its user: {of_session:.0f} bytes {parts}")
    print(f"  a user with his list:        {of_user:.0f} bytes")
    print(f"  all in, {EACH} sessions to a user: {of_session + of_user / EACH:.0f} bytes")
    print(f"  all in, one user each:       {of_session + of_user:.0f} bytes, goal {GOAL_BYTES}")
    print(f"  processor while all are idle: {cpu * 100:.1f} %")
    if of_session + of_user > GOAL_BYTES:
        sys.exit("xmpp_idle: more than the goal")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--contacts", type=int, default=50)
    parser.add_argument("--rest", type=float, default=5, help="seconds of silence")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as name, sip_race.Wire() as wire:
        xmpp_race.stand_apart(wire)
        for number in range(SOURCES):
            base, _, last = FIRST_SOURCE.rpartition(".")
            run("ip", "-n", wire.load, "address", "add", f"{base}.{int(last) + number}/24",
                "dev", "veth0")
        report(*measure(wire, pathlib.Path(name), options), options)


if __name__ == "__main__":
    main()
