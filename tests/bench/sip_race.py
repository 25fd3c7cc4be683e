#!/usr/bin/python3
"""Races out/host/gatehouse against Kamailio: registrations and calls per core, memory of a binding
and of a call that lasts.

Both servers stand at the same address in the same network namespace, one at a time, alternating
A B A B; SIPp loads them from another namespace over one veth pair, through stunnel for TLS, which
SIPp does not speak (one connection; stunnel's time is the generator's). At the pair's ends the
kernel receives in threads of its own, so that nobody pays for what another receives. Two figures
are taken of each run: the CPU time of the server's own processes, and the same with the kernel's
receiving for it. A kernel TCP/IP stack does more there than ours, which takes frames: the second is
the fairer, and the one to judge by.

Each race is run at two rates: one at which most of the cost is waking up for a message or two, and
one near the most that SIPp and stunnel can make here. What a core can serve is told by the second.

Of a call that lasts Kamailio knows nothing by itself: transactions end with the answer, and its
dialog module is what lists calls and notices their end, as ours does. So it is asked both ways.
"""

import argparse
import contextlib
import dataclasses
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

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DOMAIN = "bench.example"
PASSWORD = "secret"
SERVER_ADDRESS = "10.77.0.2"
LOAD_ADDRESS = "10.77.0.1"
TUNNEL_PORT = 15061
PREFIX_LENGTH = 24
DIGEST_USER_COUNT = 500
TRANSACTION_SECONDS = 40  # after which those of a call that was answered are over
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def run(*words, **options):
    done = subprocess.run(words, text=True, capture_output=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"sip_race: {' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Wire:
    """Two namespaces joined by a veth pair: `load` (SIPp) and `edge` (the server)."""

    def __init__(self):
        tag = str(os.getpid())
        self.load, self.edge = f"ghl{tag}", f"ghe{tag}"

    def __enter__(self):
        for name in (self.load, self.edge):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", self.load, "link", "add", "veth0", "type", "veth",
            "peer", "name", "veth0", "netns", self.edge)
        run("ip", "-n", self.load, "address", "add", f"{LOAD_ADDRESS}/{PREFIX_LENGTH}",
            "dev", "veth0")
        for name in (self.load, self.edge):
            run("ip", "-n", name, "link", "set", "veth0", "up", "txqueuelen", "10000")
        return self

    def __exit__(self, *_):
        for name in (self.load, self.edge):
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def start(self, name, words, **options):
        return subprocess.Popen(["ip", "netns", "exec", name, *words], **options)


def cpu_seconds(pids):
    """CPU time of processes and all their threads, by the scheduler's own account."""
    total_ns = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


# Packets that arrive are a kernel thread's at the receiver's end, not their sender's: veth does so
# when the receiver has GRO and the sender no TSO.
SET_OFFLOAD = """
import array, fcntl, socket, struct, sys
SIOCETHTOOL = 0x8946
value = array.array("B", struct.pack("II", int(sys.argv[1]), int(sys.argv[2])))
request = struct.pack("16sP", b"veth0", value.buffer_info()[0])
fcntl.ioctl(socket.socket(), SIOCETHTOOL, request)
if sys.argv[2] == "1":
    with open("/sys/class/net/veth0/threaded", "w", encoding="ascii") as file:
        file.write("1")
"""
ETHTOOL_SET_TSO, ETHTOOL_SET_GRO = 0x1F, 0x2C


def receivers():
    """The kernel's receiving threads of our interfaces."""
    found = set()
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().startswith("napi/veth0"):
                found.add(int(folder.name))
    return found


def receive_by_thread(sender, receiver):
    """The kernel's thread that receives from now on what one end of the wire sends to the other."""
    before = receivers()
    for name, command, value in ((sender, ETHTOOL_SET_TSO, 0), (receiver, ETHTOOL_SET_GRO, 1)):
        run("ip", "netns", "exec", name, sys.executable, "-c", SET_OFFLOAD, str(command),
            str(value))
    return receivers() - before


def machine_busy_seconds():
    """All processors' time less their idle time, which the kernel keeps exactly, not by ticks."""
    fields = [int(x) for x in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return os.cpu_count() * time.monotonic() - (fields[3] + fields[4]) / TICKS_PER_SECOND


def descendants(pid):
    found, queue = [], [pid]
    while queue:
        parent = queue.pop()
        found.append(parent)
        for task in pathlib.Path(f"/proc/{parent}/task").iterdir():
            queue += [int(x) for x in (task / "children").read_text().split()]
    return found


class Kamailio:
    name = "kamailio"

    def __init__(self, wire, folder, digest, dialogs=False, words=()):
        run("ip", "-n", wire.edge, "address", "replace", f"{SERVER_ADDRESS}/{PREFIX_LENGTH}",
            "dev", "veth0")
        self.wire, self.folder = wire, folder
        self.control = folder / "ctl"
        words = ["kamailio", "-DD", "-E", "-f", str(HERE / "peers/kamailio.cfg"), *words,
                 "-x", "tlsf", "-X", "tlsf", "-m", "2048", "-M", "64", "-Y", str(folder),
                 "-l", f"udp:{SERVER_ADDRESS}:5060", "-l", f"tcp:{SERVER_ADDRESS}:5060"]
        words += ["-A", "AUTH"] if digest else []
        words += ["-A", "DIALOG"] if dialogs else []
        words += ["-l", f"tls:{SERVER_ADDRESS}:5061", "-A", "TLS",
                  "-A", f'TLS_CERTIFICATE="{make_certificate(folder)}"',
                  "-A", f'TLS_KEY="{folder / "key.pem"}"']
        words += ["-A", f'CONTROL="unix:{self.control}"']
        with open(folder / "kamailio.log", "w", encoding="utf-8") as log:
            self.process = wire.start(wire.edge, words, stdout=log, stderr=log)
        time.sleep(2.0)

    def pids(self):
        return descendants(self.process.pid)

    def memory_bytes(self):
        out = run("kamcmd", "-s", f"unix:{self.control}", "core.shmmem")
        return int(re.search(r"real_used: (\d+)", out).group(1))

    def memory_per_binding(self, before, count):
        return (self.memory_bytes() - before) / max(count, 1)

    memory_per_call = memory_per_binding

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:  # seen once: its children waited for each other
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            self.process.wait(30)
        run("ip", "-n", self.wire.edge, "address", "flush", "dev", "veth0")


class Gatehouse:
    name = "gatehouse"

    def __init__(self, wire, folder, digest, profile="100000", extra=""):
        (folder / "provision.txt").write_text(provision_text(digest) + extra, encoding="utf-8")
        self.wire, self.folder = wire, folder
        # Sized like the peer's hash table: 100,000 registrations, 1,000 call set-ups a second.
        words = [ROOT / "out/host/gatehouse", "--packet", "veth0", "--profile", profile,
                 "--memory", "4G", "--console", "stdio", "--no-supervisor",
                 "--provision", folder / "provision.txt", "--store", folder / "store",
                 "--log", folder / "log", "--crash-record", folder / "crash"]
        with open(folder / "gatehouse.log", "w", encoding="utf-8") as log:
            self.process = wire.start(wire.edge, [str(word) for word in words], stdout=log,
                                      stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while "SIP ready" not in self.said():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"sip_race: gatehouse did not start:\n{self.said()}")
            time.sleep(0.1)
        time.sleep(1.0)

    def said(self):
        return (self.folder / "gatehouse.log").read_text(encoding="utf-8", errors="replace")

    def pids(self):
        return descendants(self.process.pid)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    @staticmethod
    def memory_of(what):
        """All is pinned at boot, nothing grows: the bytes of the pools that one takes, text, hash
        node and timer included, as the engine's own benchmark counts them."""
        program = ROOT / "out/host/bench/sip/sip_bench"
        if not program.exists():
            return None
        text = run(program, f"memory per {what}")
        return float(re.search(rf"memory per {what}\s+([\d.]+)", text).group(1))

    def memory_per_binding(self, _before, _count):
        return self.memory_of("registration")

    def memory_per_call(self, _before, _count):
        return self.memory_of("call in progress")

    def memory_bytes(self):
        return 0


def provision_text(digest):
    trusted = "TreatAsAuthenticated"
    lines = [
        "System Name: bench",
        "Network Port 1 IPv4 Mode: Static",
        f"Network Port 1 IPv4 Address: {SERVER_ADDRESS}",
        f"Network Port 1 IPv4 PrefixLength: {PREFIX_LENGTH}",
        f"SIP Domain 1 Name: {DOMAIN}",
        f"SIP Authentication Mode: {'On' if digest else 'Off'}",
        "SIP Emergency 1 Number: 112",
        # A neighbour's requests are all answered, a stranger's 200 a second.
        "Zones Zone 1 Name: load",
        "Zones Zone 1 Type: Neighbor",
        f"Zones Zone 1 Peer1 Address: {LOAD_ADDRESS}",
        "Zones Zone 1 SIP Transport: UDP",
        "Zones Zone 1 Monitor: Off",
        f"Zones Zone 1 Authentication Mode: {'CheckCredentials' if digest else trusted}",
        "Administrator 1 Name: admin",
        "Administrator 1 Password: Gate-house-42",
    ]
    for i in range(DIGEST_USER_COUNT if digest else 0):
        lines += [f"Authentication User {i + 1} Name: u{i:06d}",
                  f"Authentication User {i + 1} Password: {PASSWORD}"]
    return "".join(f"xConfiguration {line}\n" for line in lines)


@dataclasses.dataclass
class Load:
    """One SIPp run and what it says of itself."""
    process: subprocess.Popen
    folder: pathlib.Path

    def finish(self):
        code = self.process.wait(300)
        rows = (self.folder / "stat.csv").read_text(encoding="latin-1").strip().split("\n")
        head, last = rows[0].split(";"), rows[-1].split(";")
        get = dict(zip(head, last)).get
        # SIPp's 1: some failed. Anything else: it gave up, a server that closed its stream on it.
        result = {"is_whole": code in (0, 1), "ok": int(get("SuccessfulCall(C)")),
                  "failed": int(get("FailedCall(C)")),
                  "retransmissions": int(get("Retransmissions(C)"))}
        shutil.rmtree(self.folder)
        return result


def make_certificate(folder):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", f"/CN={DOMAIN}", "-days", "2", "-keyout", folder / "key.pem",
        "-out", folder / "certificate.pem")
    return folder / "certificate.pem"


class Tunnel:
    """What SIPp sends to the tunnel's port by TCP goes to the server by TLS."""

    def __init__(self, wire, folder):
        (folder / "stunnel.conf").write_text(
            f"foreground = yes\npid =\n[sip]\nclient = yes\naccept = {LOAD_ADDRESS}:{TUNNEL_PORT}\n"
            f"connect = {SERVER_ADDRESS}:5061\nverifyChain = no\n", encoding="ascii")
        with open(folder / "stunnel.log", "w", encoding="utf-8") as log:
            self.process = wire.start(wire.load, ["stunnel", folder / "stunnel.conf"], stdout=log,
                                      stderr=log)
        probe = f"import socket; socket.create_connection(('{LOAD_ADDRESS}', {TUNNEL_PORT}), 1)"
        deadline = time.monotonic() + 20
        while wire.start(wire.load, [sys.executable, "-c", probe],
                         stderr=subprocess.DEVNULL).wait() != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"sip_race: stunnel: {(folder / 'stunnel.log').read_text()}")
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


@contextlib.contextmanager
def way_to(wire, folder, tls):
    """Where SIPp sends to, and how."""
    if not tls:
        yield SERVER_ADDRESS, []
        return
    tunnel = Tunnel(wire, folder)
    try:
        yield f"{LOAD_ADDRESS}:{TUNNEL_PORT}", ["-t", "t1"]
    finally:
        tunnel.stop()


def start_sipp(wire, scenario, words, to=SERVER_ADDRESS):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-sipp-"))
    command = ["sipp", to, "-sf", str(HERE / "sipp" / scenario), "-i", LOAD_ADDRESS,
               "-nostdin", "-trace_stat", "-stf", str(folder / "stat.csv"), "-fd", "1",
               "-timeout", "240",
               "-auth_uri", DOMAIN, *words]
    process = wire.start(wire.load, command, cwd=folder, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    return Load(process, folder)


def write_users(folder, count, distinct, digest):
    lines = ["SEQUENTIAL"]
    for i in range(count):
        user = f"u{i % distinct:06d}"
        lines.append(f"{user};[authentication username={user} password={PASSWORD}]"
                     if digest else user)
    path = folder / "users.csv"
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def measure(server, start):
    """Runs the load that `start` starts, watching CPU."""
    pids, receivers_of_server = server.pids(), server.wire.edge_receivers
    before = [cpu_seconds(pids), cpu_seconds(receivers_of_server)]
    at = time.monotonic()
    load = start()
    load.process.wait(300)
    wall = time.monotonic() - at
    own = cpu_seconds(pids) - before[0]
    figures = {"wall_s": wall, "cpu_s": own,
               "whole_s": own + cpu_seconds(receivers_of_server) - before[1]}
    figures.update(load.finish())
    for key in ("cpu", "whole"):
        figures[f"{key}_us"] = figures[f"{key}_s"] * 1e6 / max(figures["ok"], 1)
    return figures


@dataclasses.dataclass
class Race:
    title: str
    unit: str
    kind: str  # register, options or call
    rates: tuple  # a second: what wakes for little, what keeps busy
    digest: bool = False
    tls: bool = False


# Without digest each registers once; of 100,000 bindings, which is what both servers are sized for.
RACES = {
    "register": Race("REGISTER without digest", "registration", "register", (6000, 10000)),
    "digest": Race("REGISTER with digest (401, then 200)", "registration", "register",
                   (4000, 6000), digest=True),
    "options": Race("OPTIONS for the server", "request", "options", (6000, 15000)),
    "register_tls": Race("REGISTER without digest, TLS", "registration", "register", (2000, 8000),
                         tls=True),
    "digest_tls": Race("REGISTER with digest, TLS", "registration", "register", (2000, 6000),
                       digest=True, tls=True),
    "options_tls": Race("OPTIONS for the server, TLS", "request", "options", (2000, 8000),
                        tls=True),
    "call": Race("Proxied call with Record-Route (INVITE 180 200 ACK BYE 200)", "call", "call",
                 (1000, 2500)),
    "call_tls": Race("The same, the caller by TLS", "call", "call", (500, 2000), tls=True),
}


def race_register(wire, server_class, folder, race, count, rate):
    server = server_class(wire, folder, race.digest)
    try:
        distinct = DIGEST_USER_COUNT if race.digest else count
        users = write_users(folder, count, distinct, race.digest)
        memory = server.memory_bytes()
        scenario = "register_digest.xml" if race.digest else "register.xml"
        words = ["-inf", str(users), "-m", str(count), "-r", str(rate), "-l", "10000", "-p", "6060",
                 "-key", "contact_port", "7070"]
        with way_to(wire, folder, race.tls) as (to, transport):
            figures = measure(server, lambda: start_sipp(wire, scenario, words + transport, to))
        if not race.digest and not race.tls:
            held = server.memory_per_binding(memory, figures["ok"])
            figures.update({"memory_per_binding": held} if held else {})
        return figures
    finally:
        server.stop()


def race_options(wire, server_class, folder, race, count, rate):
    server = server_class(wire, folder, False)
    try:
        words = ["-m", str(count), "-r", str(rate), "-l", "10000", "-p", "6060"]
        with way_to(wire, folder, race.tls) as (to, transport):
            return measure(server, lambda: start_sipp(wire, "options.xml", words + transport, to))
    finally:
        server.stop()


def race_call(wire, server_class, folder, race, count, rate, **options):
    """`tls`: the caller's side; SIPp, which answers, is reached by UDP."""
    server = server_class(wire, folder, False, **options)
    answer = None
    try:
        users = write_users(folder, 100, 100, False)
        register = start_sipp(wire, "register.xml", ["-inf", str(users), "-m", "100", "-r", "100",
                                                     "-p", "6061", "-key", "contact_port", "7070"])
        register.finish()
        answer = start_sipp(wire, "answer.xml", ["-p", "7070"])
        words = ["-inf", str(write_users(folder, count, 100, False)), "-m", str(count),
                 "-r", str(rate), "-l", "5000", "-p", "6062"]
        with way_to(wire, folder, race.tls) as (to, transport):
            return measure(server, lambda: start_sipp(wire, "call.xml", words + transport, to))
    finally:
        if answer is not None:
            answer.process.send_signal(signal.SIGKILL)
            answer.process.wait(10)
            shutil.rmtree(answer.folder, ignore_errors=True)
        server.stop()


def held_calls(wire, server_class, folder, count, **options):
    """Bytes of each of `count` calls that all last, when their transactions are over; and their
    number, as SIPp has it."""
    server = server_class(wire, folder, False, **options)
    loads = []
    try:
        users = write_users(folder, 100, 100, False)
        start_sipp(wire, "register.xml", ["-inf", str(users), "-m", "100", "-r", "100", "-p",
                                          "6061", "-key", "contact_port", "7070"]).finish()
        loads.append(start_sipp(wire, "answer.xml", ["-p", "7070"]))
        before = server.memory_bytes()
        rate = 200
        loads.append(start_sipp(wire, "hold.xml", [
            "-inf", str(write_users(folder, count, 100, False)), "-m", str(count), "-r", str(rate),
            "-l", str(count), "-p", "6062"]))
        time.sleep(count / rate + TRANSACTION_SECONDS)
        rows = (loads[-1].folder / "stat.csv").read_text(encoding="latin-1").strip().split("\n")
        held = int(dict(zip(rows[0].split(";"), rows[-1].split(";")))["CurrentCall"])
        return server.memory_per_call(before, held), held
    finally:
        for load in loads:
            load.process.send_signal(signal.SIGKILL)
            load.process.wait(10)
            shutil.rmtree(load.folder, ignore_errors=True)
        server.stop()


def report_memory(wire, count, server_name):
    """Of calls that last. Kamailio's own is what its shared memory grew by."""
    print(f"\nMemory of a call that lasts ({count} of them)")
    for server, label, options in ((Gatehouse, "with its list of calls", {}),
                                   (Kamailio, "by its transactions alone", {}),
                                   (Kamailio, "with its dialog module", {"dialogs": True})):
        if server_name not in (None, server.name):
            continue
        with tempfile.TemporaryDirectory(prefix="gatehouse-race-") as folder:
            held, calls = held_calls(wire, server, pathlib.Path(folder), count, **options)
        print(f"  {label:28} {server.name:10} {held or 0:8.0f} bytes a call, {calls} calls")


RUN = {"register": race_register, "options": race_options, "call": race_call}


def report_overload(wire, rate, seconds):
    """Calls that go well each second at so many times the set-ups of the small profile: it is the
    pools that are full. Of the processor's time, see tests/unit/sip/overload_test.cc."""
    print(f"\nGoodput under overload (profile small, {rate} call set-ups/s)")
    best = 0.0
    for times in (0.5, 1, 2, 4):
        with tempfile.TemporaryDirectory(prefix="gatehouse-race-") as folder:
            figures = race_call(wire, Gatehouse, pathlib.Path(folder), RACES["call"],
                                int(rate * times * seconds), int(rate * times), profile="small")
        goodput = figures["ok"] / figures["wall_s"]
        best = max(best, goodput)
        print(f"  {times:3} times: {goodput:7.1f} calls/s, {goodput / best:5.1%} of the maximum, "
              f"{figures['failed']} refused, {figures['cpu_us']:.0f} us CPU a call")


def spread(values):
    return f"{statistics.median(values):8.2f} ({min(values):.2f}..{max(values):.2f})"


def report(title, unit, rows):
    """`rows`: one {server name: figures} per round. Ratios are taken round by round."""
    print(f"\n{title}")
    names = [Gatehouse.name, Kamailio.name]
    for name in names:
        broken = [row[name]["ok"] for row in rows if name in row and not row[name]["is_whole"]]
        if broken:
            print(f"  broke off, not counted: {name} after {', '.join(map(str, broken))} {unit}s")
    rows = [row for row in rows if all(row[name]["is_whole"] for name in row)]
    if not rows:
        return
    for key, label in (("cpu_us", f"CPU of the server, us a {unit}"),
                       ("whole_us", f"with its kernel's receiving, us a {unit}"),
                       ("memory_per_binding", f"memory, bytes a {unit}")):
        if not all(key in row[name] for row in rows for name in row):
            continue
        for name in names:
            if all(name in row for row in rows):
                print(f"  {label:44} {name:10} {spread([row[name][key] for row in rows])}")
        if all(len(row) == 2 for row in rows) and all(row[names[0]][key] > 0 for row in rows):
            ratios = [row[names[1]][key] / row[names[0]][key] for row in rows]
            print(f"  {label:44} {'ratio':10} {spread(ratios)}  (peer / ours)")
    for name in names:
        if all(name in row for row in rows):
            rate = [row[name]["ok"] / row[name]["whole_s"] for row in rows]
            failed = sum(row[name]["failed"] for row in rows)
            again = sum(row[name]["retransmissions"] for row in rows)
            print(f"  {unit + 's/s per core (by both)':44} {name:10} {spread(rate)}"
                  f"  failed {failed}, retransmitted {again}")


def run_race(wire, key, rate, arguments, servers):
    race = RACES[key]
    rows = []
    for number in range(arguments.rounds):
        row = {}
        for server in servers if number % 2 == 0 else list(reversed(servers)):
            with tempfile.TemporaryDirectory(prefix="gatehouse-race-") as folder:
                row[server.name] = RUN[race.kind](wire, server, pathlib.Path(folder), race,
                                                  int(rate * arguments.seconds), rate)
        rows.append(row)
    report(f"{race.title}, {rate} a second", race.unit, rows)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rate", type=int, help="instead of a race's own two")
    parser.add_argument("--overload-rate", type=int, default=20, help="the profile's set-ups/s")
    parser.add_argument("--overload-seconds", type=int, default=60)
    parser.add_argument("--held-calls", type=int, default=4000, help="of the memory of a call")
    parser.add_argument("--only", choices=[*RACES, "memory", "overload"])
    parser.add_argument("--server", choices=[Gatehouse.name, Kamailio.name])
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    servers = [s for s in (Gatehouse, Kamailio) if arguments.server in (None, s.name)]
    everything = {}
    with Wire() as wire:
        receive_by_thread(wire.edge, wire.load)
        wire.edge_receivers = receive_by_thread(wire.load, wire.edge)
        for key in RACES if arguments.only is None else set(RACES) & {arguments.only}:
            for rate in (arguments.rate,) if arguments.rate else RACES[key].rates:
                everything[f"{key} {rate}"] = run_race(wire, key, rate, arguments, servers)
        if arguments.only in (None, "memory"):
            report_memory(wire, arguments.held_calls, arguments.server)
        if arguments.only in (None, "overload") and arguments.server in (None, Gatehouse.name):
            report_overload(wire, arguments.overload_rate, arguments.overload_seconds)
    if arguments.json:
        arguments.json.write_text(json.dumps(everything, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
