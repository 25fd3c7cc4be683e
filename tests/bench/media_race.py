#!/usr/bin/python3
"""Races out/host/gatehouse against rtpengine: relayed RTP packets per core, plain and to SRTP.

Both stand at the same address of the same network namespace, one at a time, alternating round by
round. Calls are made as each wants it: by SIP through the proxy, or by rtpengine's own protocol.
tests/bench/media/media_load then sends G.711 of 20 ms (172 bytes) from every end over one veth
pair, evenly and at a rate that either bears, so that what a packet costs is comparable: nobody
gathers in batches what others lose (--rate 150000 is beyond that). To SRTP only the plain ends
send. CPU is that of the server's own threads, a packet counts when the server has sent it. What the
receiver's kernel does is a kernel thread's at the load's end (threaded NAPI), for both alike.
rtpengine is Debian's, unpacked, without its kernel module (--table=-1), with one media thread, no
logging. Calls per core are packets per core by 100. Memory of a call is rtpengine's growth by it,
and of ours what is pinned for each call at start, used or not.

--counts 4500 is about as far as this goes: with one address four ports a call of a range of 24,000,
and four files of rtpengine's, of which 20,000 are a usual limit. The large profile's 10,000, with a
side on each interface or on the port that zones share, are in tests/unit/rtp (TenThousandCalls...).
"""

import argparse
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import sip_race
import turn_race
from sip_race import descendants, run
from turn_race import CLIENT, PEER, ROOT, SERVER, spread

PACKAGE = "rtpengine-daemon"
FIRST_PORT = 10000
DOMAIN = "bench.example"
PAYLOAD = 172
HEADER_BYTES = 20 + 8  # IPv4, UDP; the receiver that counts has taken Ethernet's off
SRTP_TAG_BYTES = 10
LOST_MAX = 0.01
MANY_FILES = 'ulimit -n $(ulimit -Hn); exec "$@"'


def unpack_rtpengine(folder):
    """The daemon and the libraries of it that are not installed; nothing is started."""
    needed = re.findall(r"Inst (\S+)", run("apt-get", "install", "-s", "--no-install-recommends",
                                           PACKAGE))
    needed = [name for name in needed if "dkms" not in name and "iptables" not in name]
    done = subprocess.run(["apt-get", "download", *needed], cwd=folder, check=False,
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"media_race: rtpengine cannot be had: {done.stderr.strip()}")
    for package in folder.glob("*.deb"):
        run("dpkg", "-x", str(package), str(folder / "root"))
    return folder / "root"


def sdp(address, port, profile="RTP/AVP", more=""):
    return (f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
            f"m=audio {port} {profile} 0\r\na=rtpmap:0 PCMU/8000\r\n{more}")


CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj\r\n"


def answer_for(port, offer):
    """The other end's answer: encrypted when it was asked for so."""
    crypto = re.search(r"a=crypto:(\d+) AES_CM_128_HMAC_SHA1_80", offer)
    if not crypto:
        return sdp(PEER, port)
    profile = re.search(r"m=audio \d+ (\S+)", offer).group(1)
    return sdp(PEER, port, profile, CRYPTO.replace("crypto:1", f"crypto:{crypto.group(1)}"))


def port_in(text):
    return int(re.search(r"m=audio (\d+)", text).group(1))


def bencode(value):
    if isinstance(value, dict):
        return b"d" + b"".join(bencode(k) + bencode(v) for k, v in sorted(value.items())) + b"e"
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    raw = value.encode()
    return b"%d:%s" % (len(raw), raw)


class InNamespace:
    """Sockets of this process in another network namespace."""

    def __init__(self, name):
        self.name = name

    def socket(self, kind, address=None):
        with open("/proc/self/ns/net", encoding="ascii") as own, \
                open(f"/run/netns/{self.name}", encoding="ascii") as other:
            os_setns(other.fileno())
            try:
                made = socket.socket(socket.AF_INET, kind)
                if address:
                    made.bind(address)
            finally:
                os_setns(own.fileno())
        made.settimeout(10)
        return made


def os_setns(descriptor):
    import ctypes
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Rtpengine:
    name = "rtpengine"

    def __init__(self, wire, folder, root, _encrypted):
        run("ip", "-n", wire.edge, "address", "replace", f"{SERVER}/24", "dev", "veth0")
        self.wire = wire
        environment = dict(os.environ, LD_LIBRARY_PATH=":".join(
            str(path) for path in (root / "usr/lib/x86_64-linux-gnu",
                                   root / "lib/x86_64-linux-gnu")))
        words = [root / "usr/bin/rtpengine", "--config-file=none", "--table=-1",
                 f"--interface={SERVER}", f"--listen-ng={SERVER}:2223", "--foreground",
                 "--num-threads=1", "--port-min=36002", "--port-max=59999", "--log-level=1",
                 f"--pidfile={folder / 'pid'}", "--log-stderr"]
        self.log = open(folder / "rtpengine.log", "w+", encoding="utf-8")
        self.process = wire.start(wire.edge, ["bash", "-c", MANY_FILES, "r",
                                              *map(str, words)],
                                  stdout=self.log, stderr=self.log, env=environment)
        time.sleep(3)
        if self.process.poll() is not None:
            self.log.seek(0)
            sys.exit(f"media_race: rtpengine did not start: {self.log.read()[-2000:]}")
        self.control = InNamespace(wire.load).socket(socket.SOCK_DGRAM, (CLIENT, 9000))

    def ask(self, request):
        self.control.sendto(b"%d_1 " % time.monotonic_ns() + bencode(request), (SERVER, 2223))
        reply = self.control.recv(65536).decode()
        if "6:result2:ok" not in reply:
            sys.exit(f"media_race: rtpengine says {reply}")
        size, rest = re.search(r"3:sdp(\d+):(.*)", reply, re.S).groups()
        return rest[:int(size)]

    def call(self, number, encrypted):
        port = FIRST_PORT + 2 * number
        common = {"call-id": f"call{number}", "from-tag": f"a{number}", "ICE": "remove",
                  "replace": ["origin"], "rtcp-mux": ["demux"]}
        asked = {"transport-protocol": "RTP/SAVP", "DTLS": "off"} if encrypted else {}
        offer = self.ask({**common, **asked, "command": "offer", "sdp": sdp(CLIENT, port)})
        back = {"transport-protocol": "RTP/AVP"} if encrypted else {}
        answer = self.ask({**common, **back, "command": "answer", "to-tag": f"b{number}",
                           "sdp": answer_for(port, offer)})
        return port_in(answer), port_in(offer)

    def resident_kib(self):
        said = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", said)[1])

    def kib_per_call(self, resident_before, calls):
        return (self.resident_kib() - resident_before) / calls

    def pids(self):
        return descendants(self.process.pid)

    def stop(self):
        self.control.close()
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        self.process.wait(30)
        run("ip", "-n", self.wire.edge, "address", "flush", "dev", "veth0")


class Gatehouse:
    name = "gatehouse"

    def __init__(self, wire, folder, _root, encrypted):
        lines = [
            "System Name: bench", "System MediaCore: Off", "Network Port 1 IPv4 Mode: Static",
            f"Network Port 1 IPv4 Address: {SERVER}", "Network Port 1 IPv4 PrefixLength: 24",
            f"SIP Domain 1 Name: {DOMAIN}", "SIP Authentication Mode: Off", "SIP Media Mode: On",
            "Administrator 1 Name: admin", "Administrator 1 Password: Gate-house-42",
            # The caller is plain, the callee is offered keys and takes them.
            f"SIP Media LAN1 Encryption: {'BestEffort' if encrypted else 'Auto'}",
        ]
        (folder / "provision.txt").write_text(
            "".join(f"xConfiguration {line}\n" for line in lines), encoding="utf-8")
        self.wire, self.folder = wire, folder
        words = [ROOT / "out/host/gatehouse", "--packet", "veth0", "--profile", "large",
                 "--memory", "4G", "--frames", "16384", "--console", "stdio", "--no-supervisor",
                 "--provision", folder / "provision.txt", "--store", folder / "store",
                 "--log", folder / "log", "--crash-record", folder / "crash"]
        with open(folder / "gatehouse.log", "w", encoding="utf-8") as log:
            self.process = wire.start(wire.edge, [str(word) for word in words], stdout=log,
                                      stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 180
        said = lambda: (folder / "gatehouse.log").read_text(encoding="utf-8", errors="replace")
        while "SIP ready" not in said():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"media_race: gatehouse did not start:\n{said()}")
            time.sleep(0.1)
        time.sleep(1)
        space = InNamespace(wire.load)
        self.caller = space.socket(socket.SOCK_DGRAM, (CLIENT, 5070))
        self.callee = space.socket(socket.SOCK_DGRAM, (PEER, 5070))
        self.register()

    def register(self):
        self.callee.sendto(self.request("REGISTER", f"sip:{DOMAIN}", PEER, "reg", "sink", "sink",
                                        "Contact: <sip:sink@%s:5070>\r\n" % PEER, ""),
                           (SERVER, 5060))
        reply = self.callee.recv(65536).decode()
        if " 200 " not in reply.split("\r\n")[0]:
            sys.exit(f"media_race: not registered: {reply}")

    @staticmethod
    def request(method, uri, address, call, sender, to, more, body):
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (f"{method} {uri} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {address}:5070;branch=z9hG4bK{call}\r\n"
                f"From: <sip:{sender}@{DOMAIN}>;tag=t{call}\r\nTo: <sip:{to}@{DOMAIN}>\r\n"
                f"Call-ID: {call}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n{more}{kind}"
                f"Content-Length: {len(body)}\r\n\r\n{body}").encode()

    def call(self, number, encrypted):
        port = FIRST_PORT + 2 * number
        self.caller.sendto(self.request("INVITE", f"sip:sink@{DOMAIN}", CLIENT, f"call{number}",
                                        "caller", "sink",
                                        f"Contact: <sip:caller@{CLIENT}:5070>\r\n",
                                        sdp(CLIENT, port)), (SERVER, 5060))
        invite = self.callee.recv(65536).decode()
        while not invite.startswith("INVITE"):
            invite = self.callee.recv(65536).decode()
        head, offer = invite.split("\r\n\r\n", 1)
        kept = [line for line in head.split("\r\n")[1:]
                if re.match(r"(Via|From|Call-ID|CSeq|Record-Route):", line)]
        to = re.search(r"To: .*", head).group(0).strip() + f";tag=b{number}"
        body = answer_for(port, offer)
        self.callee.sendto(("SIP/2.0 200 OK\r\n" + "\r\n".join([*kept, to]) +
                            f"\r\nContact: <sip:sink@{PEER}:5070>\r\n"
                            "Content-Type: application/sdp\r\n"
                            f"Content-Length: {len(body)}\r\n\r\n{body}").encode(), (SERVER, 5060))
        while True:
            reply = self.caller.recv(65536).decode()
            if f"Call-ID: call{number}\r" in reply and reply.startswith("SIP/2.0 200"):
                if encrypted and "a=crypto" not in offer:
                    sys.exit("media_race: no keys were offered")
                return port_in(reply), port_in(offer)
            if not reply.startswith("SIP/2.0 1") and f"Call-ID: call{number}\r" in reply:
                sys.exit(f"media_race: no call: {reply}")

    def resident_kib(self):
        return 0

    def kib_per_call(self, _before, _calls):
        """By the table it prints at start: what is held for each call of the profile."""
        said = (self.folder / "gatehouse.log").read_text(encoding="utf-8", errors="replace")
        kib, calls = re.search(r"(\d+)\s+firmware/rtp \((\d+)\)", said).groups()
        return int(kib) / int(calls)

    def pids(self):
        return descendants(self.process.pid)

    def stop(self):
        self.caller.close()
        self.callee.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Load:
    def __init__(self, wire, folder, calls, both_send):
        lines = []
        for number, (near, far) in enumerate(calls):
            port = FIRST_PORT + 2 * number
            lines.append(f"{CLIENT} {port} {SERVER} {near} 1")
            lines.append(f"{PEER} {port} {SERVER} {far} {int(both_send)}")
        (folder / "ends").write_text("\n".join(lines) + "\n", encoding="ascii")
        self.process = wire.start(
            wire.load, ["bash", "-c", MANY_FILES, "l",
                        str(ROOT / "out/host/bench/media/media_load"), str(folder / "ends")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("media_race: the load generator gave up")
        return json.loads(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)


def datagrams_sent(wire, payload):
    """By the server's interface, which counts a run of one flow's datagrams that goes down as one
    packet (UDP segmentation) as one: what is not headers is payload. Those are included that found
    no room at the other end."""
    said = json.loads(run("ip", "-j", "-s", "-n", wire.edge, "link", "show", "veth0"))
    sent = said[0]["stats64"]["tx"]
    return (sent["bytes"] - HEADER_BYTES * sent["packets"]) / payload + sent["dropped"]


def one_server(wire, kind, root, options, count, results):
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as name:
        folder = pathlib.Path(name)
        server = kind(wire, folder, root, options.encrypted)
        load = None
        try:
            begun, resident = time.monotonic(), server.resident_kib()
            calls = [server.call(number, options.encrypted) for number in range(count)]
            setup = (time.monotonic() - begun) / count
            memory = server.kib_per_call(resident, count)
            load = Load(wire, folder, calls, both_send=not options.encrypted)
            load.ask("run", min(options.rate, 5000), 1.0, PAYLOAD)  # latches every end
            pids = server.pids()
            payload = PAYLOAD + (SRTP_TAG_BYTES if options.encrypted else 0)
            frames, before = datagrams_sent(wire, payload), sip_race.cpu_seconds(pids)
            figures = load.ask("run", options.rate, options.seconds, PAYLOAD)
            cpu = sip_race.cpu_seconds(pids) - before
            got = max(datagrams_sent(wire, payload) - frames, 1)
            title = f"{'plain to SRTP' if options.encrypted else 'plain'}, {count} calls"
            results.setdefault(title, {}).setdefault(kind.name, []).append({
                "cpu_us": cpu * 1e6 / got, "per_core": got / max(cpu, 1e-9),
                "calls_per_core": got / max(cpu, 1e-9) / 100,
                "relayed_per_s": got / figures["seconds"],
                "lost": max(0.0, 1 - got / max(figures["sent"], 1)), "setup_ms": setup * 1e3,
                "memory_kib": memory})
        finally:
            if load is not None:
                load.stop()
            server.stop()


LABELS = {"cpu_us": "CPU of the server, us a packet", "per_core": "packets/s per core",
          "calls_per_core": "relayed calls per core", "relayed_per_s": "relayed/s",
          "lost": "share lost", "setup_ms": "one call's set-up, ms",
          "memory_kib": "memory of a call, KiB"}


def report(results):
    for title, servers in results.items():
        print(f"\n{title}")
        for key, label in LABELS.items():
            for name, rounds in servers.items():
                print(f"  {label:34} {name:10} {spread([r[key] for r in rounds])}")
        both = [servers.get(Rtpengine.name), servers.get(Gatehouse.name)]
        if all(both):
            ratios = [a["cpu_us"] / max(b["cpu_us"], 1e-9) for a, b in zip(*both)]
            print(f"  {'CPU a packet, peer / ours':34} {'ratio':10} {spread(ratios)}")
            verdict = "ahead by half or more" if min(ratios) >= 1.5 else "NOT ahead by half"
            if any(one["lost"] > LOST_MAX for one in both[0] + both[1]):
                verdict = "none: packets were lost, so that their cost is not comparable"
            print(f"  verdict: {verdict}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rate", type=int, default=30000, help="packets/s offered")
    parser.add_argument("--counts", type=int, nargs="+", default=[20, 500])
    parser.add_argument("--servers", nargs="+", default=["rtpengine", "gatehouse"])
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    kinds = [kind for kind in (Rtpengine, Gatehouse) if kind.name in options.servers]
    results = {}
    with tempfile.TemporaryDirectory(prefix="gatehouse-rtpengine-") as folder, \
            sip_race.Wire() as wire:
        sip_race.receive_by_thread(wire.edge, wire.load)
        for address in (CLIENT, PEER):
            run("ip", "-n", wire.load, "address", "replace", f"{address}/24", "dev", "veth0")
        root = unpack_rtpengine(pathlib.Path(folder)) if Rtpengine in kinds else None
        for _ in range(options.rounds):
            for count in options.counts:
                for kind in kinds:
                    for options.encrypted in (False, True):
                        one_server(wire, kind, root, options, count, results)
    report(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
