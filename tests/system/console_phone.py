"""A stock phone that is driven by its console and tells what it does in a log."""

import os
import re
import subprocess
import time

import netns


class ConsolePhone:
    """`home` is its own folder, `log` is what it writes there while it runs."""

    def __init__(self, home, host, user, server, log):
        self.home, self.host, self.user, self.server = home, host, user, server
        self.log = home / log

    def begin(self, *words):
        # Its own address is that of its way out, and without one it takes a network for none.
        self.host.run("ip", "route", "replace", "default", "via", self.server)
        with (self.home / "out").open("w") as out:
            self.process = self.host.start(
                *words, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, text=True,
                env=dict(os.environ, HOME=str(self.home)))

    def __enter__(self):
        self.start()
        try:
            self.register()
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def log_text(self):
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def mark(self):
        return len(self.log_text())

    def wait(self, pattern, timeout=40, since=0):
        deadline = netns.deadline(timeout)
        while not (found := re.search(pattern, self.log_text()[since:])):
            assert time.monotonic() < deadline, (
                f"{self.user}: no {pattern!r} in {timeout} s; {self.log_text()[since:][-3000:]}")
            time.sleep(0.1)
        return found
