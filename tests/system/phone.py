"""A stock SIP phone (baresip) in a network namespace, driven over its control socket.

    with phone.Phone(tmp_path, host, "alice", "example.org", "secret", server="10.77.0.2") as alice:
        alice.wait_registered()
        alice.command("dial", "sip:bob@example.org")
"""

import json
import math
import re
import struct
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path

import netns
import qemu

MODULES = "/usr/lib/baresip/modules"
CONTROL_PORT = 4444

# No sound device: a tone from a file is what is sent, what is received is counted, not played.
CONFIG = """\
poll_method epoll
sip_listen {address}:5060
sip_verify_server no
call_local_timeout 30
call_max_calls 4
audio_source aufile,{tone}
ausrc_srate 8000
auplay_srate 8000
rtp_ports 10000-10100
rtp_stats yes
rtcp_mux {mux}
module_path {modules}
{early}module g711.so
module aufile.so
module srtp.so
module ice.so
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
"""

# Joins the namespace and carries bytes between its loopback control socket and our pipe.
PIPE = """
import socket, sys, threading, os
s = socket.create_connection(("127.0.0.1", %d))
def back():
    while True:
        data = s.recv(65536)
        if not data: os._exit(0)
        sys.stdout.buffer.write(data); sys.stdout.buffer.flush()
threading.Thread(target=back, daemon=True).start()
while True:
    data = os.read(0, 65536)
    if not data: break
    s.sendall(data)
"""


def _in_uri(address):
    return f"[{address}]" if ":" in address else address


def let_talk(*phones, packets=120):
    """Waits until each has heard that much: fifty a second, if they come to it."""
    enough = [(one.host, one.host.packets_in() + packets) for one in phones]
    netns.wait_for(lambda: all(host.packets_in() >= count for host, count in enough),
                   qemu.patience(20), f"{packets} packets of audio", interval=0.2)


class Phone:
    def __init__(self, folder, host, user, domain, password, server, transport="udp",
                 answer="manual", expires=120, encryption=None, speaks_ice=False,
                 keeps_flow=False, second=None):
        """`encryption`: as baresip calls it: "srtp" (best effort), "srtp-mand" (RTP/SAVP).
        `keeps_flow`: by RFC 5626, with an instance that GRUUs can be given to; `second`: another
        server that it keeps a flow through."""
        self.folder = Path(folder) / f"baresip-{user}"
        self.host, self.user, self.domain = host, user, domain
        server, self.keeps_flow = _in_uri(server), keeps_flow
        self.replies = []
        self.mux = "yes" if speaks_ice else "no"  # our agent has one component
        self.account = (f"<sip:{user}@{domain};transport={transport}>;auth_user={user};"
                        f"auth_pass={password};outbound=\"sip:{server};transport={transport}\";"
                        f"regint={expires};answermode={answer};audio_codecs=pcmu,pcma;mwi=no"
                        f"{f';mediaenc={encryption}' if encryption else ''}"
                        f"{';medianat=ice' if speaks_ice else ''}"
                        f"{';sipnat=outbound' if keeps_flow else ''}")
        if second is not None:
            self.account += f";outbound2=\"sip:{_in_uri(second)};transport={transport}\""
        self.account += "\n"
        self.condition = threading.Condition()

    def __enter__(self):
        self.folder.mkdir(parents=True)
        (self.folder / "config").write_text(CONFIG.format(
            address=_in_uri(self.host.address), modules=MODULES, control=CONTROL_PORT,
            early="module_tmp uuid.so\n" if self.keeps_flow else "",
            tone=self.folder / "tone.wav", mux=self.mux), encoding="ascii")
        self._write_tone()
        (self.folder / "accounts").write_text(self.account, encoding="ascii")
        (self.folder / "contacts").write_text("", encoding="ascii")
        self.log = open(self.folder / "log", "wb")
        self.process = self.host.start("baresip", "-f", self.folder, "-s", "-v",
                                       stdin=subprocess.DEVNULL, stdout=self.log,
                                       stderr=subprocess.STDOUT)
        self._connect()
        return self

    def __exit__(self, *_):
        self.pipe.kill()
        self.pipe.wait(5)
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        self.log.close()

    def _write_tone(self):
        """Two minutes of it: the phone hangs up when it is over."""
        second = [int(8000 * math.sin(2 * math.pi * 440 * i / 8000)) for i in range(8000)]
        with wave.open(str(self.folder / "tone.wav"), "wb") as tone:
            tone.setparams((1, 2, 8000, 0, "NONE", ""))
            tone.writeframes(struct.pack(f"<{len(second)}h", *second) * 120)

    def _connect(self):
        probe = (f"import socket; socket.create_connection(('127.0.0.1', {CONTROL_PORT}), 1)")
        deadline = netns.deadline(20)
        while self.host.run(sys.executable, "-c", probe, check=False).returncode != 0:
            assert self.process.poll() is None, f"baresip ended: {self.log_text()}"
            assert time.monotonic() < deadline, "baresip's control socket did not open"
            time.sleep(0.1)
        self.pipe = self.host.start(sys.executable, "-c", PIPE % CONTROL_PORT,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        """Netstrings of JSON: replies to commands (events are also sent, but not all of them)."""
        waiting = b""
        while chunk := self.pipe.stdout.read(65536):
            waiting += chunk
            while b":" in waiting:
                size, rest = waiting.split(b":", 1)
                if len(rest) <= int(size):
                    break
                message, waiting = json.loads(rest[:int(size)]), rest[int(size) + 1:]
                if message.get("response"):
                    with self.condition:
                        self.replies.append(message)
                        self.condition.notify_all()

    def command(self, name, params=""):
        body = json.dumps({"command": name, "params": params, "token": name}).encode()
        with self.condition:
            self.replies.clear()
            self.pipe.stdin.write(b"%d:%s," % (len(body), body))
            assert self.condition.wait_for(lambda: self.replies, 60), f"no reply to {name}"
            return self.replies[-1]

    def wait(self, pattern, timeout=20, since=0):
        """Waits until the phone's own log says `pattern`, from position `since` on (see mark())."""
        deadline = netns.deadline(timeout)
        while not (found := re.search(pattern, self.log_text()[since:])):
            assert time.monotonic() < deadline, (
                f"{self.user}: no {pattern!r} in {timeout} s; {self.log_text()[since:][-3000:]}")
            time.sleep(0.05)
        return found

    def wait_registered(self, timeout=20):
        self.wait(r"200 OK \(", timeout)

    def mark(self):
        return len(self.log_text())

    def log_text(self):
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")
