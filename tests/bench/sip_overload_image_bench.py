#!/usr/bin/python3
"""sip_overload_bench.py for the booted image, as much of it as takes some eight minutes: one round,
and a minute at twice the maximum."""

import sip_overload_bench

if __name__ == "__main__":
    sip_overload_bench.main(["--board", "image", "--rounds", "1", "--seconds", "10",
                             "--sustained", "60", "--only", "options", "register", "call"])
