"""Headless Chromium, driven by its debugging protocol over two pipes: JSON between zero bytes.

    with browser.Chromium(folder, host) as chromium:      # host: of netns, whose network it has
        chromium.open(page)                               # a file
        print(chromium.run("await answer()", timeout=30))

`run` gives what the promise gives; a JavaScript error fails with its text.
"""

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import time

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--disable-background-networking", "--disable-component-update", "--no-first-run",
         "--disable-extensions", "--disable-sync", "--mute-audio", "--allow-file-access-from-files",
         "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
         "--autoplay-policy=no-user-gesture-required", "--remote-debugging-pipe")


class Failed(AssertionError):
    """The page's or the browser's own words."""


class Chromium:
    def __init__(self, folder, host, *flags):
        self.folder, self.host, self.flags = folder, host, flags
        self.process, self.session = None, None
        self.buffer, self.numbers = b"", itertools.count(1)

    def __enter__(self):
        theirs_in, self.out = os.pipe()
        self.into, theirs_out = os.pipe()
        # The protocol wants file descriptors 3 and 4; bash puts them there.
        words = ["bash", "-c", f'exec chromium "$@" 3<&{theirs_in} 4>&{theirs_out}', "chromium",
                 *FLAGS, *self.flags, f"--user-data-dir={self.folder}/profile", "about:blank"]
        environment = {**os.environ, "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        with open(self.folder / "chromium.log", "wb") as log:
            self.process = subprocess.Popen(
                self.host.command(words), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=(theirs_in, theirs_out), env=environment, start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        return self

    def __exit__(self, *_):
        try:
            self._call("Browser.close", timeout=10)
            self.process.wait(10)
        except (Failed, OSError, subprocess.TimeoutExpired):
            os.killpg(self.process.pid, signal.SIGKILL)  # its own session: nobody else is in it
            self.process.wait(10)
        os.close(self.out)
        os.close(self.into)

    def _call(self, method, timeout=60, session=None, **parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise Failed(f"{method}: {answer['error']}")
                return answer["result"]

    def _next(self, deadline, what):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.into], [], [], left)[0]:
                raise Failed(f"{what}: no answer in time; {self.log()}")
            chunk = os.read(self.into, 65536)
            if not chunk:
                raise Failed(f"{what}: the browser is gone; {self.log()}")
            self.buffer += chunk
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def log(self):
        return (self.folder / "chromium.log").read_text(errors="replace")[-2000:]

    def open(self, page, timeout=60):
        target = self._call("Target.createTarget", timeout, url=page.as_uri())["targetId"]
        self.session = self._call("Target.attachToTarget", timeout, targetId=target,
                                  flatten=True)["sessionId"]
        # A new target is an empty page at first, which is complete as well.
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(Failed):
                state, place = self.run("[document.readyState, location.href]", timeout)
                if state == "complete" and place == page.as_uri():
                    return
            if time.monotonic() > deadline:
                raise Failed(f"{page} was not loaded in {timeout} s")
            time.sleep(0.05)

    def run(self, expression, timeout=60):
        done = self._call("Runtime.evaluate", timeout, self.session, expression=expression,
                          awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            details = done["exceptionDetails"]
            raise Failed(details.get("exception", {}).get("description", details["text"]))
        return done["result"].get("value")
