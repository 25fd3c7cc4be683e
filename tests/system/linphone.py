"""A stock phone that publishes its presence and watches others (linphonec), in a namespace.

    with linphone.Phone(folder, host, "alice", "example.org", "secret", "10.77.0.2",
                        friends=["bob"]) as alice:
        alice.wait_registered()
        alice.say("status busy")
"""

import os
import re
import subprocess
import threading
import time
from pathlib import Path

CONFIG = """\
[sip]
sip_port={port}
sip_tcp_port=0
sip_tls_port=0
default_proxy=0
publish_presence=1
register_only_when_network_is_up=0
verify_server_certs=0
[net]
nat_policy_ref=
[proxy_0]
reg_proxy=<sip:{server};transport={transport}>
reg_route=<sip:{server};transport={transport};lr>
reg_identity=sip:{user}@{domain}
reg_expires=120
reg_sendregister=1
publish=1
publish_expires=120
[auth_info_0]
username={user}
passwd={password}
domain={domain}
[sound]
playback_dev_id=none
capture_dev_id=none
[misc]
enable_lime=0
"""
FRIEND = """\
[friend_{index}]
url="{name}" <sip:{name}@{domain}>
pol=accept
subscribe=1
"""


class Phone:
    def __init__(self, folder, host, user, domain, password, server, friends=(), port=5060,
                 transport="udp"):
        self.folder, self.host, self.user = Path(folder) / f"linphone-{user}", host, user
        self.config = CONFIG.format(user=user, domain=domain, password=password, server=server,
                                    port=port, transport=transport)
        for index, name in enumerate(friends):
            self.config += FRIEND.format(index=index, name=name, domain=domain)
        self.text = ""
        self.condition = threading.Condition()

    def __enter__(self):
        self.folder.mkdir(parents=True)
        (self.folder / "rc").write_text(self.config, encoding="ascii")
        self.process = self.host.start(
            "linphonec", "-c", self.folder / "rc", "-d", "6", "-l", self.folder / "log",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
            env={**os.environ, "HOME": str(self.folder), "TERM": "dumb"})
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)

    def _read(self):
        while chunk := self.process.stdout.read(65536):
            with self.condition:
                self.text += chunk.decode("utf-8", "replace")
                self.condition.notify_all()

    def say(self, command):
        self.process.stdin.write(command.encode() + b"\n")

    def mark(self):
        return len(self.text)

    def wait(self, pattern, timeout=30, since=0):
        """Waits until the phone says `pattern`, from position `since` on (see mark())."""
        deadline = time.monotonic() + timeout
        with self.condition:
            while not (found := re.search(pattern, self.text[since:])):
                left = deadline - time.monotonic()
                assert left > 0, f"{self.user}: no {pattern!r} in {timeout} s; {self.text[-3000:]}"
                self.condition.wait(left)
        return found

    def wait_registered(self, timeout=30):
        self.wait(r"Registration on .* successful", timeout)
