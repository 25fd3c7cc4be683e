#!/usr/bin/python3
"""Holds out/host/gatehouse to twice what it can do, by real load: SIPp beside a server whose
processor is made slow, so that the load has plenty.

For OPTIONS, REGISTER without and with digest, calls (INVITE to BYE), and for a mixture of these
(MIXTURE; what goes well of each is counted as one) the rate is raised until goodput grows no more.
Then that rate and twice the goodput there are offered in turn, some rounds, and emergency calls
beside the latter: a machine's speed drifts, so that a round is compared with its neighbour. Twice
is offered in two ways: by senders who repeat what is not answered, as RFC 3261 says, so that
several times as much arrives; and by senders who do not, so that twice as much does.
Goodput is counted by SIPp over the middle of a run. The goal: at twice the maximum no more than a
tenth is lost, and no emergency call fails.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import sip_race as race  # noqa: E402

# Of so many that begin, what they are: one call, two phones that register, two that are pinged.
MIXTURE = {"call": 1, "register": 2, "options": 2}
GROWTH = 1.4
WARM_UP_S = 3
CALLED = 100


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


class SlowProcessor:
    """The last processor, made so slow that it does `percent` of what it could; the load has the
    others. To its process it looks as a slow machine does: the same at every millisecond."""

    def __init__(self, percent):
        count = os.cpu_count()
        if count < 2:
            sys.exit("sip_overload_bench: needs a second processor for the load")
        self.own, self.others = count - 1, set(range(count - 1))
        self.hog = subprocess.Popen([sys.executable, "-c", HOG, str(self.own), str(percent)])
        os.sched_setaffinity(0, self.others)  # and what is started from now on
        time.sleep(0.5)
        if self.hog.poll() is not None:
            sys.exit("sip_overload_bench: no real-time priority here")

    def take(self, pids):
        for pid in pids:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {self.own})

    def keep_away(self, pids):
        for pid in pids:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(pid, self.others)

    def remove(self):
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


def goodput(load, seconds):
    """What went well each second, between the warming up and the end of the offering."""
    rows = [row for row in rows_of(load) if WARM_UP_S <= seconds_of(row) <= seconds + 0.5]
    if len(rows) < 2:
        return 0.0
    good = int(rows[-1]["SuccessfulCall(C)"]) - int(rows[0]["SuccessfulCall(C)"])
    return good / (seconds_of(rows[-1]) - seconds_of(rows[0]))


def end(load):
    load.process.send_signal(signal.SIGKILL)
    load.process.wait(10)
    shutil.rmtree(load.folder, ignore_errors=True)


class Bench:
    def __init__(self, wire, folder, kind, percent):
        self.wire, self.folder, self.kind = wire, folder, kind
        self.server = race.Gatehouse(wire, folder, kind == "digest")
        self.slow = SlowProcessor(percent)
        self.slow.keep_away(race.receivers())
        self.answer = None
        if kind != "digest":  # called by nobody there
            self.register([f"u{i:06d}" for i in range(CALLED)] + ["112"])
            self.answer = race.start_sipp(wire, "answer.xml", ["-p", "7070"])
        self.slow.take(self.server.pids())

    def register(self, users):
        path = self.folder / "called.csv"
        path.write_text("SEQUENTIAL\n" + "".join(f"{user}\n" for user in users), encoding="ascii")
        race.start_sipp(self.wire, "register.xml", [
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
        distinct = {"digest": race.DIGEST_USER_COUNT, "call": CALLED}.get(kind, count)
        users = race.write_users(self.folder, count, distinct, kind == "digest")
        named = users.rename(users.with_stem(kind))
        scenario = {"digest": "register_digest.xml", "register": "register.xml",
                    "call": "call.xml"}[kind]
        return scenario, ["-inf", str(named), "-key", "contact_port", "7070"]

    def start(self, kind, rate, seconds, port, repeats):
        count = int(rate * seconds)
        scenario, words = self.words(kind, count)
        return race.start_sipp(self.wire, scenario, [
            *words, "-m", str(count), "-r", str(max(int(rate), 1)), "-l", "400000",
            "-p", str(port), *([] if repeats else ["-nr"]),
            # SIPp would say BYE for what was refused, be it a REGISTER.
            *([] if kind == "call" else ["-default_behaviors", "all,-bye"])])

    def offer(self, rate, seconds, emergencies=0, repeats=True):
        """Goodput, and of the emergency calls how many there were and how many went well."""
        parts = MIXTURE if self.kind == "mix" else {self.kind: 1}
        loads = [self.start(kind, rate * part / sum(parts.values()), seconds, 6070 + i, repeats)
                 for i, (kind, part) in enumerate(parts.items())]
        calls = None
        if emergencies:
            path = self.folder / "emergency.csv"
            path.write_text("SEQUENTIAL\n" + "112\n" * emergencies, encoding="ascii")
            calls = race.start_sipp(self.wire, "call.xml", [
                "-inf", str(path), "-m", str(emergencies), "-r",
                str(max(emergencies // max(seconds - 4, 1), 1)), "-p", "6062"])
        deadline = time.monotonic() + seconds + 1.5
        while time.monotonic() < deadline and any(load.process.poll() is None for load in loads):
            time.sleep(0.2)
        good = sum(goodput(load, seconds) for load in loads)
        for load in loads:
            end(load)
        return good, calls.finish() if calls is not None else None


def find_maximum(bench, start, seconds):
    best, best_rate, rate = 0.0, start, start
    while True:
        good, _ = bench.offer(rate, seconds)
        print(f"    offered {rate:8.0f}/s: {good:8.1f}/s go well", flush=True)
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
    time.sleep(1)
    once, _ = bench.offer(2 * best, seconds, repeats=False)
    time.sleep(1)
    ok, failed = (calls["ok"], calls["failed"]) if calls else (0, 0)
    print(f"    maximum {best:8.1f}/s, at twice that {twice:8.1f}/s, without repeats "
          f"{once:8.1f}/s, emergency calls {ok} of {ok + failed}", flush=True)
    return best, twice, once, ok + failed, ok


def spread_of(rounds, column):
    shares = sorted(each[column] / max(each[0], 0.1) for each in rounds)
    return f"{statistics.median(shares):.1%} ({shares[0]:.1%}..{shares[-1]:.1%})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--percent", type=int, default=10, choices=range(6, 101), metavar="6..100",
                        help="of its speed, that the server's processor keeps; the kernel gives "
                             "real-time processes 95 %% and stops them then, unevenly")
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--only", choices=["options", "register", "digest", "call", "mix"])
    parser.add_argument("--emergencies", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    starts = {"options": 2000, "register": 1500, "digest": 700, "call": 150, "mix": 500}
    table = []
    with race.Wire() as wire:
        race.receive_by_thread(wire.edge, wire.load)
        wire.edge_receivers = race.receive_by_thread(wire.load, wire.edge)
        for kind, start in starts.items():
            if arguments.only not in (None, kind):
                continue
            print(f"  {kind}", flush=True)
            with tempfile.TemporaryDirectory(prefix="gatehouse-overload-") as folder:
                bench = Bench(wire, pathlib.Path(folder), kind, arguments.percent)
                try:
                    _, rate = find_maximum(bench, start * arguments.percent / 10,
                                           arguments.seconds)
                    wanted = 0 if kind == "digest" else arguments.emergencies
                    rounds = [one_round(bench, rate, arguments.seconds, wanted)
                              for _ in range(arguments.rounds)]
                finally:
                    bench.close()
            table.append((kind, rounds))
    print(f"\nGoodput at twice the maximum (processor slowed to {arguments.percent} %)")
    for kind, rounds in table:
        best, twice, once, urgent, ended = (statistics.median(each) for each in zip(*rounds))
        told = f", emergency calls {ended:.0f} of {urgent:.0f}" if urgent else ""
        print(f"  {kind:10} maximum {best:8.1f}/s, at twice that {twice:8.1f}/s: "
              f"{spread_of(rounds, 1)}; without repeats {once:8.1f}/s: "
              f"{spread_of(rounds, 2)}{told}")


if __name__ == "__main__":
    main()
