"""A second kind of stock phone (linphonec of Debian) in a network namespace, driven by its console.

    with linphone.Caller(folder, host, "dave", DOMAIN, "secret", "10.77.0.2", tone) as dave:
        dave.wait("LinphoneRegistrationOk")
        dave.say("call sip:bob@10.77.0.2")

    with linphone.Watcher(folder, host, "alice", "example.org", "secret", "10.77.0.2",
                          friends=["bob"]) as alice:
        alice.wait_registered()
        alice.say("status busy")

It looks names up itself and has no other way out: callees are named at the server's address.
"""

import os
import re
import subprocess
import threading
import time
from pathlib import Path

WATCHER_CONFIG = """\
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


class Watcher:
    """Publishes its presence and watches others; what it says is read from its console."""

    def __init__(self, folder, host, user, domain, password, server, friends=(), port=5060,
                 transport="udp"):
        self.folder, self.host, self.user = Path(folder) / f"linphone-{user}", host, user
        self.config = WATCHER_CONFIG.format(user=user, domain=domain, password=password, server=server,
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


CALLER_CONFIG = """\
[sip]
sip_port=5060
sip_tcp_port={tcp}
sip_tls_port=0
default_proxy=-1
media_encryption=none
guess_hostname=1
ipv6=0
[rtp]
audio_rtp_port=7078
[video]
enabled=0
display=0
capture=0
automatically_initiate=0
automatically_accept=0
show_local=0
"""


class Caller:
    """Calls and is called; what it says is read from its log."""

    def __init__(self, folder, host, user, domain, password, server, tone, transport="udp"):
        """`tone`: a file of sound, which it sends in place of a microphone's."""
        self.home, self.host, self.user = folder / f"linphone-{user}", host, user
        self.transport = transport
        way = f"sip:{server};transport={transport}"
        self.first = ("soundcard use files", "autoanswer enable", f"play {tone}",
                      f"register sip:{user}@{domain} {way} {password}")
        self.server = server

    def __enter__(self):
        (self.home / ".local/share/linphone").mkdir(parents=True)
        (self.home / "rc").write_text(CALLER_CONFIG.format(tcp=-1 if self.transport == "tcp" else 0),
                                      encoding="ascii")
        # It takes a network without a way out for none.
        self.host.run("ip", "route", "replace", "default", "via", self.server)
        with (self.home / "out").open("w") as out:
            self.process = self.host.start(
                "linphonec", "-c", self.home / "rc", "-d", "2", "-l", self.home / "log",
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, text=True,
                env=dict(os.environ, HOME=str(self.home)))
        self.wait("SIP network reachability state is now .UP.")
        for line in self.first:
            self.say(line)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def log_text(self):
        log = self.home / "log"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def mark(self):
        return len(self.log_text())

    def wait(self, pattern, timeout=40, since=0):
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.log_text()[since:])):
            assert time.monotonic() < deadline, (
                f"{self.user}: no {pattern!r} in {timeout} s; {self.log_text()[since:][-3000:]}")
            time.sleep(0.1)
        return found
