"""A second kind of stock phone (linphonec of Debian) in a network namespace, driven by its console.

    with linphone.Phone(folder, host, "dave", DOMAIN, "secret", "10.77.0.2", tone) as dave:
        dave.say("call sip:bob@example.org")

All it sends goes by the server, as the Route of its account says.
"""

import os
import re
import subprocess
import time

CONFIG = """\
[sip]
sip_port=5060
sip_tcp_port={tcp}
sip_tls_port=0
default_proxy=0
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
[proxy_0]
reg_proxy=<sip:{server};transport={transport}>
reg_route=<sip:{server};transport={transport};lr>
reg_identity=sip:{user}@{domain}
reg_expires=600
reg_sendregister=1
[auth_info_0]
username={user}
passwd={password}
realm={domain}
"""


class Phone:
    """Calls and is called; what it says is read from its log."""

    def __init__(self, folder, host, user, domain, password, server, tone, transport="udp"):
        """`tone`: a file of sound, which it sends in place of a microphone's."""
        self.home, self.host, self.user = folder / f"linphone-{user}", host, user
        self.first = ("soundcard use files", "autoanswer enable", f"play {tone}")
        self.config = CONFIG.format(tcp=-1 if transport == "tcp" else 0, server=server, user=user,
                                    domain=domain, password=password, transport=transport)
        self.server = server

    def __enter__(self):
        (self.home / ".local/share/linphone").mkdir(parents=True)
        (self.home / "rc").write_text(self.config, encoding="ascii")
        # It takes a network without a way out for none.
        self.host.run("ip", "route", "replace", "default", "via", self.server)
        with (self.home / "out").open("w") as out:
            self.process = self.host.start(
                "linphonec", "-c", self.home / "rc", "-d", "2", "-l", self.home / "log",
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, text=True,
                env=dict(os.environ, HOME=str(self.home)))
        try:
            self.wait("SIP network reachability state is now .UP.")
            for line in self.first:
                self.say(line)
            self.wait("LinphoneRegistrationOk")
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

    def call(self, uri):
        """Dials; the number that its console has for the call."""
        out = self.home / "out"
        before = len(out.read_text(errors="replace"))
        self.say(f"call {uri}")
        deadline = time.monotonic() + 40
        while not (found := re.search(r"assigned id (\d+)",
                                      out.read_text(errors="replace")[before:])):
            assert time.monotonic() < deadline, f"{self.user} does not call"
            time.sleep(0.1)
        return int(found[1])

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
