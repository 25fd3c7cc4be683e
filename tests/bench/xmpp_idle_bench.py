#!/usr/bin/python3
"""Idle sessions of XMPP on out/host/gatehouse with its large profile: what each holds, all in.

Users and their lists of 50 contacts with names and a group come as files, as an operator brings
them. They log in four times each by direct TLS 1.3 and SCRAM, with stream management, carbons and
presence, and fetch their lists; then nobody says anything. Bytes are those in use: a session's
place, TLS (what its heap holds), TCP, blocks (presence, lists), contacts' and users' places. The
share of a session is told twice: as it is, and for one user to each session. Closes with an error
when that is beyond the 20 KiB of the goal, or one message more does not pass.

More sessions: --sessions 100000, where the profile ends, and --each 1 for a user to each.
"""

import argparse
import base64
import hashlib
import hmac
import pathlib
import re
import sys
import tempfile
import time

import sip_race
import xmpp_race
from sip_race import run

GOAL_BYTES = 20 * 1024
SOURCES = 8
FIRST_SOURCE = "10.77.0.100"
FILE_BYTES = 24_000_000  # what /backup takes with this profile, and some less
STEP = 2500              # sessions between two words about how far it is
SALT, ITERATIONS = b"salt of a bench.", 4096


class Gatehouse(xmpp_race.Gatehouse):
    arena = "5G"
    settings = ("XMPP Presence AutoAuthorization: On",)

    def profile_for(self, user_count):
        return "large"

    def boot(self, full):
        super().boot(False)

    def bring(self, lines, command):
        """Files of lines, as many as are needed, each put into /backup and imported."""
        done, part, size = 0, [], 0
        for line in [*lines, None]:
            if line is None or size + len(line) > FILE_BYTES:
                done += self.bring_file("".join(part), command)
                part, size = [], 0
            if line is not None:
                part.append(line)
                size += len(line)
        return done

    def bring_file(self, text, command):
        file = self.folder / "list.csv"
        file.write_text(text, encoding="utf-8")
        run("ip", "netns", "exec", self.wire.load, "sftp", "-q", "-b", "-", *xmpp_race.SSH, "-i",
            str(self.root / "id"), f"admin@{xmpp_race.SERVER}",
            input=f"put {file} /backup/list.csv\n")
        said = self.ask(command)
        imported = re.search(r"(\d+) (?:users|contacts) imported, 0 ", said)
        if imported is None:
            sys.exit(f"xmpp_idle: {command}: {said.strip()[-300:]}")
        return int(imported[1])

    def add_users(self, count):
        done = self.bring(user_lines(count), "xCommand XMPP User Import") if count > 0 else 0
        if done != count:
            sys.exit(f"xmpp_idle: {done} of {count} users")

    def add_contacts(self, users, each):
        """Groups in which everybody has everybody, and sees him."""
        domain, group = xmpp_race.DOMAIN, each + 1
        self.bring((f"u{first + user},{domain},u{first + other},{domain},"
                    f"Person called u{first + other},Colleagues\n"
                    for first in range(0, users, group) for user in range(group)
                    for other in range(group) if other != user),
                   "xCommand XMPP Contacts Import")

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


def user_lines(count):
    """All with one salt, so that the load works out what it proves only once."""
    salted = hashlib.pbkdf2_hmac("sha256", xmpp_race.PASSWORD.encode(), SALT, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt, stored, server = (base64.b64encode(each).decode() for each in (SALT, stored, server))
    for number in range(count):
        yield (f"u{number},{xmpp_race.DOMAIN},"
               f"SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}\n")


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
    group = options.contacts + 1
    return max(options.sessions // options.each // group, 1) * group


def log_in(load, users, resource, steps):
    for first in range(0, users, STEP):
        count = min(STEP, users - first)
        said = load.ask("login", first, count, resource, 64, "presence", "managed", "carbons",
                        f"sources={SOURCES}")
        steps.done(f"{count} sessions more, {said['cpu_s'] * 1e6 / count:.0f} us of the server's "
                   f"CPU each,")


def measure(wire, folder, options):
    root = folder / "root"
    root.mkdir()
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
        server.add_contacts(users, options.contacts)
        steps.done(f"{users * options.contacts} contacts")
        listed = server.in_use()
        load = xmpp_race.Load(server, (FIRST_SOURCE,))
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


def report(empty, listed, idle, cpu, options):
    count = idle["sessions"]
    if count < user_count(options) * options.each:
        sys.exit(f"xmpp_idle: {count} of {user_count(options) * options.each} sessions are there")
    if listed["contacts"] != user_count(options) * options.contacts:
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--each", type=int, default=4, help="sessions of a user")
    parser.add_argument("--contacts", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=12, help="that it may take")
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
