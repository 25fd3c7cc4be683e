#!/usr/bin/python3
"""Races out/host/gatehouse against Prosody and ejabberd: messages per core, memory of a session.

The servers stand at the same address of the same network namespace, one at a time, alternating
round by round; tests/bench/xmpp/xmpp_load loads them from another namespace over one veth pair, by
direct TLS 1.3 with an ECDSA P-256 certificate and SCRAM-SHA-256. The server has one processor, the
load the others. Each server is started twice: bare (messages one to one, to a room, log-ins, a mass
log-in with presence), and with archive, carbons and stream management. Two accounts of CPU are
kept, as in sip_race.py: the server's own, and that of the whole machine less the load's, which
counts the kernel's TCP too. Peers are Debian's packages, unpacked, with what Debian sets by default
(tests/bench/peers): SCRAM of 10,000 iterations there and here, 4,096 in ejabberd.

An idle session is available, with stream management and carbons: for peers what they grow by,
without the kernel's sockets; ours is what the pools and the heap of TLS hold, TCP included, as
xStatus counts them. Delays are taken at half of the bare load each can bear.
"""

import argparse
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import sip_race
from sip_race import cpu_seconds, descendants, machine_busy_seconds, run
from turn_race import resident_bytes, spread

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests/system"))
import ejabberd_package  # noqa: E402
import prosody_package  # noqa: E402

SERVER, PORT = "10.77.0.2", 5223
DOMAIN, PASSWORD = "bench.example", "secret"
TCP_BYTES = 1024  # firmware/capacity.cc: kBytesPerNetConnection
SALT, ITERATIONS = b"salt of a bench.", 10_000
SSH = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]


def make_certificate(folder):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:{DOMAIN}", "-days", "9",
        "-keyout", str(folder / "server.key"), "-out", str(folder / "server.pem"))
    (folder / "chain.pem").write_text((folder / "server.key").read_text() +
                                      (folder / "server.pem").read_text())


def fill(name, folder, **words):
    text = (HERE / "peers" / name).read_text()
    for word, value in {"folder": folder, "address": SERVER, "domain": DOMAIN, **words}.items():
        text = text.replace(f"@{word}@", str(value))
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


class Server:
    """One that runs in the edge's namespace on a processor of its own."""

    def __init__(self, wire, folder):
        self.wire, self.folder = wire, folder
        self.process = None

    def launch(self, words, **options):
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
        limits = 'ulimit -n $(ulimit -Hn); exec "$@"'
        self.process = self.wire.start(
            self.wire.edge, ["taskset", "-c", self.wire.server_cpu, "bash", "-c", limits, "server",
                             *map(str, words)], **options)

    def wait_listening(self, seconds=90):
        deadline = time.monotonic() + seconds
        while f":{PORT}" not in run("ip", "netns", "exec", self.wire.edge, "ss", "-Hltn"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"xmpp_race: {self.name} did not start (see {self.folder})")
            time.sleep(0.2)

    def pids(self):
        return descendants(self.process.pid)

    def memory(self):
        return resident_bytes(self.pids())

    def session_bytes(self, before, count):
        return (self.memory() - before) / count

    def stop(self):
        if self.process is None:
            return
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            self.process.wait(20)


class Peer(Server):
    def __init__(self, wire, folder, root):
        super().__init__(wire, folder)
        self.root = root
        run("ip", "-n", wire.edge, "address", "replace", f"{SERVER}/24", "dev", "veth0")
        make_certificate(folder)

    def stop(self):
        super().stop()
        run("ip", "-n", self.wire.edge, "address", "flush", "dev", "veth0")


class Prosody(Peer):
    name = "prosody"
    rooms = f"rooms.{DOMAIN}"
    package = prosody_package

    def __init__(self, wire, folder, root, user_count, full):
        super().__init__(wire, folder, root)
        self.write_users(user_count)
        more = '"mam", "carbons", "smacks"' if full else ""
        config = fill("prosody_xmpp.lua", folder, more=more)
        self.launch([root / "usr/bin/lua5.4", root.parent / "prosody.lua", "-F", "--config",
                     config], env=prosody_package.environment(root))
        self.wait_listening()

    def write_users(self, count):
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, ITERATIONS)
        client = hmac.digest(salted, b"Client Key", "sha256")
        record = (f'return {{ ["iteration_count"] = {ITERATIONS}; ["salt"] = "{SALT.decode()}"; '
                  f'["stored_key"] = "{hashlib.sha256(client).hexdigest()}"; '
                  f'["server_key"] = "{hmac.digest(salted, b"Server Key", "sha256").hex()}"; }};\n')
        accounts = self.folder / "data" / DOMAIN.replace(".", "%2e") / "accounts"
        accounts.mkdir(parents=True)
        for number in range(count):
            (accounts / f"u{number}.dat").write_text(record)


class Ejabberd(Peer):
    name = "ejabberd"
    rooms = f"rooms.{DOMAIN}"
    package = ejabberd_package

    def __init__(self, wire, folder, root, user_count, full):
        super().__init__(wire, folder, root)
        more = ("  mod_mam: {default: always, assume_mam_usage: true}\n  mod_carboncopy: {}\n"
                "  mod_stream_mgmt: {}\n") if full else ""
        fill("ejabberd_xmpp.yml", folder, more=more)
        done = folder / "users are made"
        make = (f'application:ensure_all_started(ejabberd), '
                f'[ejabberd_auth:try_register(<<"u", (integer_to_binary(N))/binary>>, '
                f'<<"{DOMAIN}">>, <<"{PASSWORD}">>) || N <- lists:seq(0, {user_count - 1})], '
                f'file:write_file("{done}", <<>>).')
        words, environment = ejabberd_package.command(root, folder, folder / "ejabberd_xmpp.yml")
        self.launch([*words, "-eval", make], env=environment)
        self.wait_listening()
        while not done.exists():
            time.sleep(0.2)


class Gatehouse(Server):
    name = "gatehouse"
    arena = "512M"
    store_size = "512M"
    settings = ()  # more of them
    rooms = f"conference.{DOMAIN}"
    package = None

    def __init__(self, wire, folder, root, user_count, full):
        """`root`: a folder that stays, with the key of its administrator and a store with users."""
        super().__init__(wire, folder)
        self.root = root
        # Accounts are half of what a profile registers. Twice that, for connections: who logs in
        # again finds its last one still closing. More pinned than that is only slow to pin.
        self.profile = self.profile_for(user_count)
        if not (root / "id").exists():
            run("ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(root / "id"))
            self.boot(True)
            self.add_users(user_count)
            self.stop()
            shutil.copy(folder / "store", root / "store")
        shutil.copy(root / "store", folder / "store")
        self.boot(full)

    def profile_for(self, user_count):
        return str(max(4 * user_count + 200, 500))

    def boot(self, full):
        lines = [
            "System Name: bench", "Network Port 1 IPv4 Mode: Static",
            f"Network Port 1 IPv4 Address: {SERVER}", "Network Port 1 IPv4 PrefixLength: 24",
            "Administrator 1 Name: admin", "Administrator 1 Password: Gate-house-42",
            f'Administrator 1 PublicKey1: "{(self.root / "id.pub").read_text().strip()}"',
            "SSH Mode: On", "XMPP Mode: On", f"XMPP Domain 1 Name: {DOMAIN}",
            "XMPP Room Occupants Default: 1000", "XMPP Authentication ChannelBinding: Off",
            "XMPP Stanza Rate: 0",  # its clients are as fast as they can, as with the others
            f"XMPP Archive Mode: {'On' if full else 'Off'}", *self.settings]
        (self.folder / "provision.txt").write_text(
            "".join(f"xConfiguration {line}\n" for line in lines), encoding="utf-8")
        log = (self.folder / "gatehouse.log").open("w")
        self.launch([ROOT / "out/host/gatehouse", "--packet", "veth0", "--profile", self.profile,
                     "--memory", self.arena, "--console", "stdio", "--no-supervisor", "--provision",
                     self.folder / "provision.txt", "--store", self.folder / "store",
                     "--store-size", self.store_size, "--log",
                     self.folder / "log", "--crash-record", self.folder / "crash"],
                    stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        deadline = time.monotonic() + 180
        while "XMPP Server: Serving" not in self.ask("xStatus XMPP Server", check=False):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"xmpp_race: gatehouse did not start:\n"
                         f"{(self.folder / 'gatehouse.log').read_text(errors='replace')}")
            time.sleep(0.5)
        if full != ("XMPP Archive Mode: On" in self.ask("xConfiguration XMPP Archive Mode").replace(
                '"', "")):
            self.ask(f"xConfiguration XMPP Archive Mode: {'On' if full else 'Off'}")

    def add_users(self, count):
        lines = "".join(f"xCommand XMPP User Add: u{number}@{DOMAIN} {PASSWORD}\n"
                        for number in range(count))
        said = self.ask(input=lines)
        if said.count(" added.") < count:
            sys.exit(f"xmpp_race: {said.count(' added.')} of {count} users: {said[-400:]}")

    def ask(self, *words, check=True, **options):
        done = subprocess.run(
            ["ip", "netns", "exec", self.wire.load, "ssh", *SSH, "-i", str(self.root / "id"),
             f"admin@{SERVER}", *words], capture_output=True, text=True, check=False, **options)
        if check and done.returncode != 0 and not done.stdout:
            sys.exit(f"xmpp_race: {words}: {done.stderr}")
        return done.stdout

    def memory(self):
        """Bytes in use: sessions' places, blocks of what they hold, TLS, TCP."""
        number = {}
        for line in re.findall(r"XMPP (?:Sessions|Memory):.*", self.ask("xStatus XMPP")):
            number |= {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}
        tls = {name: int(value)
               for name, value in re.findall(r"TLS ([\w ]+): (\d+)", self.ask("xStatus TLS"))}
        return {"sessions": number["streams"], "session": number["bytes_each"],
                "blocks": (number["blocks"] - number["blocks_free"]) * 128,
                "tls": tls["Memory Bytes"], "link": tls["Session Bytes"]}

    def session_bytes(self, before, count):
        now = self.memory()
        if now["sessions"] < count:
            sys.exit(f"xmpp_race: {now['sessions']} of {count} idle sessions are there")
        return (now["session"] + now["link"] + TCP_BYTES +
                (now["tls"] - before["tls"] + now["blocks"] - before["blocks"]) / count)


class Load:
    def __init__(self, server, own_address=()):
        self.server = server
        self.process = server.wire.start(
            server.wire.load, [str(ROOT / "out/host/bench/xmpp/xmpp_load"), SERVER, str(PORT),
                               DOMAIN, server.rooms, PASSWORD, *own_address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        """What the load says, and what CPU it took the server and the rest of the machine."""
        pids, own = self.server.pids(), [self.process.pid]
        before = [cpu_seconds(pids), machine_busy_seconds() - cpu_seconds(own)]
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"xmpp_race: the load gave up on {self.server.name}: {words}")
        said = json.loads(line)
        said["cpu_s"] = cpu_seconds(pids) - before[0]
        said["machine_s"] = machine_busy_seconds() - cpu_seconds(own) - before[1]
        return said

    def stop(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)


def per_core(said, count):
    return {"per_core": count / max(said["cpu_s"], 1e-9), "cpu_us": said["cpu_s"] * 1e6 / count,
            "machine_us": said["machine_s"] * 1e6 / count, "per_s": count / said["seconds"]}


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
    half = max(int(said["received"] / said["seconds"] / 2), 1)
    said = load.ask("rate", options.pairs, half, options.seconds)
    add("delay at half the bare load", {"rate": half, "p50_us": said["p50_us"],
                                        "p99_us": said["p99_us"]})
    load.ask("join", "big")
    load.ask("room", 4, 1, 1)
    said = load.ask("room", 4, 1, options.seconds)
    add(f"to a room of {count}, copies", per_core(said, said["received"]))
    load.ask("logout")
    storm = options.users // options.group * options.group
    load.ask("login", 0, storm, "s", 8, "presence")
    load.ask("befriend", options.group)
    load.ask("logout")
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
    half = max(int(said["received"] / said["seconds"] / 2), 1)
    said = load.ask("rate", options.pairs, half, options.seconds)
    add("delay at half of that load", {"rate": half, "p50_us": said["p50_us"],
                                       "p99_us": said["p99_us"]})


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


def stand_apart(wire):
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cpus[:-1] or cpus)
    wire.server_cpu = str(cpus[-1])


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
    results = {}
    with tempfile.TemporaryDirectory(prefix="gatehouse-peers-") as name, sip_race.Wire() as wire:
        stand_apart(wire)
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
