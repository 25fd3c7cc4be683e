#!/usr/bin/python3
"""Writes time_zones.inc, names and rules of time zones, from a zoneinfo folder: time_zones.py DIR.

Each compiled zone ends in the rule for all times to come (RFC 8536 3.3); that is what is kept. Run
by hand when the time zone database changes; its output is committed.
"""
import pathlib
import sys

HEAD = ("// Names of time zones and their rules (POSIX TZ strings), sorted by name. "
        "Made by time_zones.py.\n")


def main(arguments):
    root = pathlib.Path(arguments[0])
    rows = []
    for file in root.rglob("*"):
        name = str(file.relative_to(root))
        if not file.is_file() or "." in name or name.startswith(("posix/", "right/")):
            continue
        data = file.read_bytes()
        if data.startswith(b"TZif"):
            rule = data.rstrip(b"\n").rsplit(b"\n", 1)[-1].decode("ascii")
            rows.append(f'{{"{name}", "{rule}"}},\n')
    out = pathlib.Path(__file__).with_name("time_zones.inc")
    out.write_text(HEAD + "".join(sorted(rows)), encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1:])
