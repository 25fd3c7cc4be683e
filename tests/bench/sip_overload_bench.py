#!/usr/bin/python3
"""Holds Gatehouse to twice what it can do, by real load: SIPp beside a server whose processor is
slow, so that the load has plenty. `--board host`: out/host/gatehouse on a processor made slow.
`--board image`: the booted image, whose processor QEMU emulates (booted_image.py), which is slow
enough; no kernel receives for it.

For OPTIONS, REGISTER without and with digest, calls (INVITE to BYE), and for a mixture of these
(MIXTURE; what goes well of each is counted as one) the rate is raised until goodput grows no more.
Then that rate and twice the goodput there are offered in turn, some rounds, and emergency calls
beside the latter: a machine's speed drifts, so that a round is compared with its neighbour. Twice
is offered in two ways: by senders who repeat what is not answered, as RFC 3261 says, so that
several times as much arrives; and by senders who do not, so that twice as much does.
With `--sustained` twice is offered once more for so long, and counted from when the first senders
have repeated their requests for the last time.
Goodput is counted by SIPp over the middle of a run. The goal: at twice the maximum no more than a
tenth is lost, and no emergency call fails.
"""

import argparse
import contextlib
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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import booted_image as image  # noqa: E402
import sip_race as race  # noqa: E402

# Of so many that begin, what they are: one call, two phones that register, two that are pinged.
MIXTURE = {"call": 1, "register": 2, "options": 2}
GROWTH = 1.4
WARM_UP_S = 3
REPEATED_S = 35  # of a sender: 64 times T1, RFC 3261, and a little
CALLED = 100
REGISTERED = 50_000  # of 100,000 that there is room for
SOCKET_BYTES = 1_000_000  # of SIPp's, for what comes and is not read yet


# Of each millisecond it leaves some, and takes the rest before everybody else on its processor.
HOG = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
leave = float(sys.argv[2]) / 100 * 1e-3
while True:
    end = time.perf_counter() + 1e-3 - leave
    while time.perf_counter() < end:
        pass
    time.sleep(leave)
"""


class LastProcessor:
    """The last processor, which the server has alone; the load has the others. Made so slow that it
    does `percent` of what it could, unless that is all: to its process it looks as a slow machine
    does, the same at every millisecond."""

    def __init__(self, percent):
        count = os.cpu_count()
        if count < 2:
            sys.exit("sip_overload_bench: needs a second processor for the load")
        self.own, self.others = count - 1, set(range(count - 1))
        os.sched_setaffinity(0, self.others)  # and what is started from now on
        self.hog = None
        if percent == 100:
            return
        self.hog = subprocess.Popen([sys.executable, "-c", HOG, str(self.own), str(percent)])
        time.sleep(0.5)
        if self.hog.poll() is not None:
            sys.exit("sip_overload_bench: no real-time priority here")

    def take(self, tasks):
        for task in tasks:
            os.sched_setaffinity(task, {self.own})

    def keep_away(self, pids):
        for pid in pids:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(pid, self.others)

    def remove(self):
        if self.hog is not None:
            self.hog.kill()
            self.hog.wait(10)
        os.sched_setaffinity(0, self.others | {self.own})


def rows_of(load):
    text = (load.folder / "stat.csv").read_text(encoding="latin-1").strip().split("\n")
    head = text[0].split(";")
    return [dict(zip(head, line.split(";"))) for line in text[1:]]


def seconds_of(row):
    hours, minutes, seconds = row["ElapsedTime(C)"].split(":")[:3]
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def goodput(load, seconds, begin_s):
    """What went well each second, between the warming up and the end of the offering."""
    rows = [row for row in rows_of(load) if begin_s <= seconds_of(row) <= seconds + 0.5]
    if len(rows) < 2:
        return 0.0
    good = int(rows[-1]["SuccessfulCall(C)"]) - int(rows[0]["SuccessfulCall(C)"])
    return good / (seconds_of(rows[-1]) - seconds_of(rows[0]))


def end(load):
    load.process.send_signal(signal.SIGKILL)
    load.process.wait(10)
    shutil.rmtree(load.folder, ignore_errors=True)


class HostWire(race.Wire):
    def __enter__(self):
        super().__enter__()
        race.receive_by_thread(self.edge, self.load)
        race.receive_by_thread(self.load, self.edge)
        return self

    def counts(self):
        return {}


class HostServer(race.Gatehouse):
    def tasks(self):
        return [task for pid in self.pids() for task in tasks_of(pid)]

    def others(self):
        return race.receivers()

    def counts(self):
        return {}


BOARDS = {"host": (HostWire, HostServer), "image": (image.Wire, image.Gatehouse)}


def tasks_of(pid):
    return [int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]


class Watch:
    """Who has been busy since: is it the server that limits, or what loads it?"""

    def __init__(self, bench, loads):
        self.bench, self.loads = bench, loads
        self.before = self.last = self.seconds()

    def look(self):
        """Until one of the loads has ended."""
        with contextlib.suppress(FileNotFoundError):
            self.last = self.seconds()

    def seconds(self):
        parties = {"server": self.bench.server.tasks(), "its carriers": self.bench.server.others(),
                   "SIPp": [task for load in self.loads for task in tasks_of(load.process.pid)]}
        found = {name: task_seconds(tasks) for name, tasks in parties.items()}
        lines = pathlib.Path("/proc/stat").read_text(encoding="ascii").split("\n")
        others = [line.split() for line in lines if re.match(r"cpu\d", line)]
        own = f"cpu{self.bench.slow.own}"
        idle_s = sum(int(words[4]) for words in others if words[0] != own) / race.TICKS_PER_SECOND
        now = time.monotonic()
        return {**found, "time": now,
                "the load's processors": now - idle_s / len(self.bench.slow.others)}

    def text(self):
        spent = {name: last - self.before[name] for name, last in self.last.items()}
        time_s = spent.pop("time")
        return ", ".join(f"{name} {value / time_s:.0%}" for name, value in spent.items())


def task_seconds(tasks):
    total_ns = 0
    for task in tasks:
        with contextlib.suppress(OSError):
            total_ns += int(pathlib.Path(f"/proc/{task}/schedstat").read_text().split()[0])
    return total_ns / 1e9


class Bench:
    def __init__(self, wire, server_class, folder, kind, percent):
        self.wire, self.folder, self.kind = wire, folder, kind
        self.server = server_class(wire, folder, kind == "digest")
        self.slow = LastProcessor(percent)
        self.slow.keep_away(self.server.others())
        for task in self.server.others():
            os.sched_setscheduler(task, os.SCHED_FIFO, os.sched_param(2))
        self.answer = None
        if kind != "digest":  # called by nobody there
            self.register([f"u{i:06d}" for i in range(CALLED)] + ["112"])
            self.answer = self.start_sipp("answer.xml", ["-p", "7070"])
        self.slow.take(self.server.tasks())
        for task in self.server.tasks():
            os.setpriority(os.PRIO_PROCESS, task, -20)

    def start_sipp(self, scenario, words):
        """Before whatever else this machine does, but not before what carries to and fro; and
        bursts of answers are not to be lost at its socket."""
        load = race.start_sipp(self.wire, scenario, ["-buff_size", str(SOCKET_BYTES), *words])
        os.sched_setscheduler(load.process.pid, os.SCHED_FIFO, os.sched_param(1))
        return load

    def register(self, users):
        path = self.folder / "called.csv"
        path.write_text("SEQUENTIAL\n" + "".join(f"{user}\n" for user in users), encoding="ascii")
        self.start_sipp("register.xml", [
            "-inf", str(path), "-m", str(len(users)), "-r", "100", "-p", "6061",
            "-key", "contact_port", "7070"]).finish()

    def close(self):
        if self.answer is not None:
            end(self.answer)
        self.server.stop()
        self.slow.remove()

    def words(self, kind, count):
        if kind == "options":
            return "options.xml", []
        distinct = {"digest": race.DIGEST_USER_COUNT, "call": CALLED}.get(kind, REGISTERED)
        users = race.write_users(self.folder, count, distinct, kind == "digest")
        named = users.rename(users.with_stem(kind))
        scenario = {"digest": "register_digest.xml", "register": "register.xml",
                    "call": "call.xml"}[kind]
        return scenario, ["-inf", str(named), "-key", "contact_port", "7070"]

    def start(self, kind, rate, seconds, port, repeats):
        count = int(rate * seconds)
        scenario, words = self.words(kind, count)
        return self.start_sipp(scenario, [
            *words, "-m", str(count), "-r", str(max(int(rate), 1)), "-l", "400000",
            "-p", str(port), *([] if repeats else ["-nr"]),
            # SIPp would say BYE for what was refused, be it a REGISTER.
            *([] if kind == "call" else ["-default_behaviors", "all,-bye"])])

    def offer(self, rate, seconds, emergencies=0, repeats=True, begin_s=WARM_UP_S):
        """Goodput, and of the emergency calls how many there were and how many went well."""
        before = self.counts()
        parts = MIXTURE if self.kind == "mix" else {self.kind: 1}
        loads = [self.start(kind, rate * part / sum(parts.values()), seconds, 6070 + i, repeats)
                 for i, (kind, part) in enumerate(parts.items())]
        calls = None
        if emergencies:
            path = self.folder / "emergency.csv"
            path.write_text("SEQUENTIAL\n" + "112\n" * emergencies, encoding="ascii")
            calls = self.start_sipp("call.xml", [
                "-inf", str(path), "-m", str(emergencies), "-r",
                str(max(emergencies // max(seconds - 4, 1), 1)), "-p", "6062"])
        watch = Watch(self, loads)
        deadline = time.monotonic() + seconds + 1.5
        while time.monotonic() < deadline and any(load.process.poll() is None for load in loads):
            watch.look()
            time.sleep(0.2)
        good = sum(goodput(load, seconds, begin_s) for load in loads)
        busy = watch.text()
        for load in loads:
            end(load)
        ended = calls.finish() if calls is not None else None
        self.seen = busy + self.text_of(before, self.counts())
        return good, ended

    def counts(self):
        """What the server counts, where it can be asked, and what did not get there."""
        return {**self.server.counts(), **self.wire.counts()}

    @staticmethod
    def text_of(before, after):
        grown = {name: after[name] - before[name] for name in after}
        return "".join(f"; {word} {grown[name]}" for word, name in (
            ("frames", "Network Port 1 Received frames"),
            ("refused", "SIP Statistics Load refused"),
            ("of these unread", "SIP Statistics Load unanswered"),
            ("dropped by the port", "Network Port 1 Received dropped"),
            ("dropped on their way there", "TAP tx_dropped"),
            ("dropped before SIPp", "Udp RcvbufErrors")) if name in grown)


def find_maximum(bench, start, seconds):
    best, best_rate, rate = 0.0, start, start
    while True:
        good, _ = bench.offer(rate, seconds)
        print(f"    offered {rate:8.0f}/s: {good:8.1f}/s go well ({bench.seen})", flush=True)
        if good > best:
            best, best_rate = good, rate
        if good < 0.7 * rate or rate > 60000:
            return best, best_rate
        rate *= GROWTH
        time.sleep(1)


def one_round(bench, rate, seconds, emergencies):
    """Goodput at the maximum, at twice that and at twice that of senders who do not repeat;
    emergency calls in between and how many went well."""
    best, _ = bench.offer(rate, seconds)
    time.sleep(1)
    twice, calls = bench.offer(2 * best, seconds, emergencies)
    print(f"    twice: {bench.seen}")
    time.sleep(1)
    once, _ = bench.offer(2 * best, seconds, repeats=False)
    print(f"    without repeats: {bench.seen}")
    time.sleep(1)
    ok, failed = (calls["ok"], calls["failed"]) if calls else (0, 0)
    print(f"    maximum {best:8.1f}/s, at twice that {twice:8.1f}/s, without repeats "
          f"{once:8.1f}/s, emergency calls {ok} of {ok + failed}", flush=True)
    return best, twice, once, ok + failed, ok


def sustain(bench, best, seconds):
    good, _ = bench.offer(2 * best, seconds, begin_s=REPEATED_S)
    print(f"    twice for {seconds} s, from second {REPEATED_S}: {good:8.1f}/s, "
          f"{good / max(best, 0.1):.1%} ({bench.seen})", flush=True)


def spread_of(rounds, column):
    shares = sorted(each[column] / max(each[0], 0.1) for each in rounds)
    return f"{statistics.median(shares):.1%} ({shares[0]:.1%}..{shares[-1]:.1%})"


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--board", choices=BOARDS, default="host")
    parser.add_argument("--percent", type=int, choices=range(6, 101), metavar="6..100",
                        help="of its speed, that the server's processor keeps (10, the image's "
                             "all); the kernel gives real-time processes 95 %% and stops them "
                             "then, unevenly")
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--sustained", type=int, default=0, metavar="SECONDS",
                        help="60 or more: so long at twice the maximum")
    parser.add_argument("--only", nargs="+",
                        choices=["options", "register", "digest", "call", "mix"])
    parser.add_argument("--emergencies", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(words)
    wire_class, server_class = BOARDS[arguments.board]
    percent = arguments.percent or {"host": 10, "image": 100}[arguments.board]
    slowness = percent / 100 if arguments.board == "host" else percent / 1000
    starts = {"options": 20000, "register": 15000, "digest": 7000, "call": 1500, "mix": 5000}
    table = []
    with wire_class() as wire:
        for kind, start in starts.items():
            if arguments.only and kind not in arguments.only:
                continue
            print(f"  {kind}", flush=True)
            with tempfile.TemporaryDirectory(prefix="gatehouse-overload-") as folder:
                bench = Bench(wire, server_class, pathlib.Path(folder), kind, percent)
                try:
                    _, rate = find_maximum(bench, start * slowness, arguments.seconds)
                    wanted = 0 if kind == "digest" else arguments.emergencies
                    rounds = [one_round(bench, rate, arguments.seconds, wanted)
                              for _ in range(arguments.rounds)]
                    if arguments.sustained:
                        sustain(bench, statistics.median(each[0] for each in rounds),
                                arguments.sustained)
                finally:
                    bench.close()
            table.append((kind, rounds))
    print(f"\nGoodput of the {arguments.board} at twice the maximum"
          + (f" (processor slowed to {percent} %)" if percent < 100 else ""))
    for kind, rounds in table:
        best, twice, once, urgent, ended = (statistics.median(each) for each in zip(*rounds))
        told = f", emergency calls {ended:.0f} of {urgent:.0f}" if urgent else ""
        print(f"  {kind:10} maximum {best:8.1f}/s, at twice that {twice:8.1f}/s: "
              f"{spread_of(rounds, 1)}; without repeats {once:8.1f}/s: "
              f"{spread_of(rounds, 2)}{told}")


if __name__ == "__main__":
    main()
