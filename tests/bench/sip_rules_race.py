#!/usr/bin/python3
"""What a request costs by the number of search rules, out/host/gatehouse and Kamailio with its
dialplan module: OPTIONS that the last rule sends on to a neighbour, which answers.

Patterns are whole addresses, or regular expressions for any user of a domain. What one more rule
costs is the difference between the longest list and one rule.
"""

import argparse
import contextlib
import pathlib
import shutil
import signal
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import sip_race as race  # noqa: E402

ANSWER_PORT = 7070
COUNTS = (1, 100, 1000)


def patterns(kind, count):
    """All but the last are for others than who is asked for."""
    domains = [f"a{10000 + (n + 1) % count}" for n in range(count)]
    whole = "bob@{}.route.example" if kind == "exact" else r"(.*)@{}\.route\.example"
    return [whole.format(domain) for domain in domains]


class Gatehouse(race.Gatehouse):
    def __init__(self, wire, folder, kind, count):
        lines = ["Zones Zone 2 Name: far", "Zones Zone 2 Type: Neighbor",
                 f"Zones Zone 2 Peer1 Address: {race.LOAD_ADDRESS}",
                 f"Zones Zone 2 SIP Port: {ANSWER_PORT}", "Zones Zone 2 SIP Transport: UDP",
                 "Zones Zone 2 Monitor: Off"]
        for number, pattern in enumerate(patterns(kind, count), 1):
            lines += [f"Zones Policy SearchRules Rule {number} {line}" for line in (
                "Target Name: far", "Mode: AliasPatternMatch", f'Pattern String: "{pattern}"',
                f"Pattern Type: {kind.capitalize()}", "Pattern Behavior: Leave")]
        super().__init__(wire, folder, False,
                         extra="".join(f"xConfiguration {line}\n" for line in lines))


class Kamailio(race.Kamailio):
    def __init__(self, wire, folder, kind, count):
        tables = folder / "tables"
        tables.mkdir()
        (tables / "version").write_text(
            "table_name(string) table_version(int)\ndialplan:2\n", encoding="ascii")
        operation = {"exact": 0, "regex": 1}[kind]
        rows = ["id(int,auto) dpid(int) pr(int) match_op(int) match_exp(string) match_len(int) "
                "subst_exp(string) repl_exp(string) attrs(string)"]
        for number, pattern in enumerate(patterns(kind, count), 1):
            written = pattern if operation == 0 else f"^{pattern}$".replace("\\", "\\\\")
            rows.append(f"{number}:1:{number}:{operation}:{written}:0:^.*$:far:far")
        (tables / "dialplan").write_text("\n".join(rows) + "\n", encoding="ascii")
        super().__init__(wire, folder, False, words=(
            "-A", f'RULES="text://{tables}"',
            "-A", f'RULES_TO="sip:{race.LOAD_ADDRESS}:{ANSWER_PORT}"'))


def run(wire, server_class, kind, count, rate, seconds):
    with tempfile.TemporaryDirectory(prefix="gatehouse-race-") as folder:
        server = server_class(wire, pathlib.Path(folder), kind, count)
        answer = race.start_sipp(wire, "options_answer.xml", ["-p", str(ANSWER_PORT)])
        try:
            words = ["-m", str(int(rate * seconds)), "-r", str(rate), "-l", "10000", "-p", "6060"]
            figures = race.measure(
                server, lambda: race.start_sipp(wire, "options_through.xml", words))
            if figures["failed"] or not figures["is_whole"]:
                print(f"  {server.name}: {figures['failed']} failed")
            return figures["whole_us"]
        finally:
            with contextlib.suppress(ProcessLookupError):
                answer.process.send_signal(signal.SIGKILL)
            answer.process.wait(10)
            shutil.rmtree(answer.folder, ignore_errors=True)
            server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rate", type=int, default=1500)
    parser.add_argument("--only", choices=["exact", "regex"])
    arguments = parser.parse_args()
    with race.Wire() as wire:
        race.receive_by_thread(wire.edge, wire.load)
        wire.edge_receivers = race.receive_by_thread(wire.load, wire.edge)
        for kind in ("exact", "regex") if arguments.only is None else (arguments.only,):
            print(f"\nOPTIONS through {kind} rules, {arguments.rate} a second: "
                  "us of CPU, with the kernel's receiving")
            told = {}
            for count in COUNTS:
                for server in (Gatehouse, Kamailio):
                    costs = [run(wire, server, kind, count, arguments.rate, arguments.seconds)
                             for _ in range(arguments.rounds)]
                    told[server.name, count] = statistics.median(costs)
                    print(f"  {count:5} rules {server.name:10} {race.spread(costs)}", flush=True)
            for server in (Gatehouse, Kamailio):
                more = told[server.name, COUNTS[-1]] - told[server.name, 1]
                print(f"  {server.name:10} {more * 1000 / (COUNTS[-1] - 1):8.1f} ns a rule more")
            for count in COUNTS:
                ratio = told[Kamailio.name, count] / told[Gatehouse.name, count]
                print(f"  {count:5} rules, peer / ours: {ratio:.1f}")


if __name__ == "__main__":
    main()
