#!/usr/bin/python3
"""The large profile filled by load: out/host/gatehouse with its memory pinned holds 70,000
registrations over UDP and 20,000 over TLS at the same time, each TLS one with a handshake and a
connection of its own; then answers them all, calls some of each kind, and fills up with relayed
calls from one interface to the other, to the last of 10,000 and one more, which is refused.

Load comes from a namespace behind two veth pairs: phones and callers at one, those who are called
at the other. TLS phones are processes of this program (`--phones FIRST COUNT`), 2,500 each, whose
OpenSSL is Python's. What is relayed is what this machine makes: load and relay share its
processors, so that as many of the calls talk as it bears. Every figure is printed; whatever is not
as it should be ends the run with a word.
"""

import argparse
import json
import os
import pathlib
import re
import secrets
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import media_race
import sip_race
from media_race import MANY_FILES, InNamespace, port_in, sdp
from sip_race import DOMAIN, ROOT, cpu_seconds, descendants, machine_busy_seconds, run

INSIDE, OUTSIDE = "10.77.0.2", "10.78.0.2"          # ours
CALLER, CALLEE = "10.77.0.1", "10.78.0.1"           # the load's
UDP_PORT, TLS_PORT, SIP_PORT = 6060, 5061, 5060
PHONES_EACH = 2500
FIRST_PORT = 10000
PAYLOAD = 172
LOSS_MAX = 0.001
WINDOW = 256                                        # requests on their way at a time
CONNECTING = 16                                     # handshakes on their way, of each process
PATIENCE_S = 900
SO_RCVBUFFORCE = 33                                 # of asm-generic/socket.h


def fail(what):
    sys.exit(f"sip_capacity: {what}")


def register_text(user, transport, contact, number=1):
    return (f"REGISTER sip:{DOMAIN} SIP/2.0\r\n"
            f"Via: SIP/2.0/{transport} {CALLER}:{UDP_PORT};rport;branch=z9hG4bK{user}n{number}\r\n"
            f"From: <sip:{user}@{DOMAIN}>;tag=t{user}\r\nTo: <sip:{user}@{DOMAIN}>\r\n"
            f"Call-ID: reg-{user}\r\nCSeq: {number} REGISTER\r\nMax-Forwards: 70\r\n{contact}"
            "Expires: 7200\r\nContent-Length: 0\r\n\r\n")


def answer_to(request, status, contact):
    """The response of who is called."""
    head = request.split("\r\n\r\n")[0].split("\r\n")[1:]
    kept = [line for line in head if re.match(r"(Via|From|To|Call-ID|CSeq|Record-Route):", line)]
    kept = [line + ";tag=called" if line.startswith("To:") and ";tag=" not in line else line
            for line in kept]
    return (f"SIP/2.0 {status}\r\n" + "\r\n".join(kept) +
            f"\r\nContact: <{contact}>\r\nContent-Length: 0\r\n\r\n")


# --- TLS phones, in a process of their own ---


class TlsPhone:
    def __init__(self, number):
        self.user, self.number = f"s{number:06d}", number
        self.socket, self.heard, self.stage, self.tries = None, b"", "idle", 0

    def connect(self, context):
        plain = socket.socket()
        plain.setblocking(False)
        plain.connect_ex((INSIDE, TLS_PORT))
        self.socket = plain
        self.stage, self.context = "connecting", context

    def send(self, text):
        self.socket.send(text.encode())

    def register(self):
        self.stage, self.tries = "registering", self.tries + 1
        self.send(register_text(
            self.user, "TLS", f"Contact: <sip:{self.user}@{CALLER};transport=tls>;reg-id=1;"
            f'+sip.instance="<urn:uuid:00000000-0000-4000-8000-{self.number:012d}>"\r\n'
            "Supported: outbound, path\r\n", self.tries))

    def step(self):
        """What may be read or written; selectors' events to wait for next."""
        if self.stage == "connecting":
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                fail(f"{self.user}: connection: error {error}")
            self.socket = self.context.wrap_socket(self.socket, do_handshake_on_connect=False)
            self.stage = "handshake"
        if self.stage == "handshake":
            try:
                self.socket.do_handshake()
            except ssl.SSLWantReadError:
                return selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                return selectors.EVENT_WRITE
            self.register()
            return selectors.EVENT_READ
        while True:
            try:
                data = self.socket.recv(65536)
            except ssl.SSLWantReadError:
                break
            if not data:
                fail(f"{self.user} lost its connection while {self.stage}")
            self.heard += data
        return selectors.EVENT_READ

    def pong(self):
        """True: one came."""
        if not self.heard.startswith(b"\r\n"):
            return False
        self.heard = self.heard[2:]
        return True

    def message(self):
        """The next whole one, without a body."""
        while self.heard.startswith(b"\r\n"):
            self.heard = self.heard[2:]
        head, end, rest = self.heard.partition(b"\r\n\r\n")
        if not end:
            return None
        size = int((re.search(rb"(?im)^(?:content-length|l) *: *(\d+)", head) or [0, 0])[1])
        if len(rest) < size:
            return None
        self.heard = rest[size:]
        return (head + end + rest[:size]).decode()


class TlsPhones:
    def __init__(self, first, count):
        self.phones = [TlsPhone(first + i) for i in range(count)]
        self.selector = selectors.DefaultSelector()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def turn(self, timeout=0.5):
        """Phones that moved."""
        moved = []
        for key, _ in self.selector.select(timeout):
            phone = key.data
            was = phone.socket
            if phone.stage == "connecting":
                self.selector.unregister(was)
                wanted = phone.step()
                self.selector.register(phone.socket, wanted, phone)
            else:
                self.selector.modify(phone.socket, phone.step(), phone)
            moved.append(phone)
        return moved

    def register(self):
        waiting, under_way, done, later = list(reversed(self.phones)), 0, 0, []
        deadline = time.monotonic() + PATIENCE_S
        while done < len(self.phones):
            if time.monotonic() > deadline:
                fail(f"only {done} TLS phones registered")
            while waiting and under_way < CONNECTING:
                phone = waiting.pop()
                phone.connect(self.context)
                self.selector.register(phone.socket, selectors.EVENT_WRITE, phone)
                under_way += 1
            while later and later[0][0] <= time.monotonic():
                later.pop(0)[1].register()
            for phone in self.turn():
                message = phone.message() if phone.stage == "registering" else None
                if message is None:
                    continue
                under_way -= 1 if phone.tries == 1 else 0
                if message.startswith("SIP/2.0 503"):  # the server is busy and says for how long
                    wait = int(re.search(r"(?m)^Retry-After: (\d+)", message)[1])
                    later.append((time.monotonic() + wait, phone))
                    later.sort(key=lambda one: one[0])
                    continue
                if not message.startswith("SIP/2.0 200"):
                    fail(f"{phone.user}: {message}")
                phone.stage, done = "registered", done + 1
        return {"registered": done, "held_back": sum(one.tries - 1 for one in self.phones)}

    def ping(self):
        """CRLF keep-alives (RFC 5626 4.4.1) of all, and how many are answered."""
        for phone in self.phones:
            phone.send("\r\n\r\n")
        answered, deadline = set(), time.monotonic() + 120
        while len(answered) < len(self.phones) and time.monotonic() < deadline:
            answered |= {phone.user for phone in self.turn() if phone.pong()}
        return {"answered": len(answered)}

    def called(self):
        """Who is called next answers, and the caller hangs up."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for phone in self.turn():
                while message := phone.message():
                    if message.startswith("INVITE"):
                        phone.send(answer_to(message, "200 OK",
                                             f"sip:{phone.user}@{CALLER};transport=tls"))
                    elif message.startswith("BYE"):
                        phone.send(answer_to(message, "200 OK", "sip:x"))
                        return {"called": phone.user}
        return {"called": None}


def be_phones(first, count):
    phones = TlsPhones(first, count)
    for line in sys.stdin:
        print(json.dumps(getattr(phones, line.strip())()), flush=True)


# --- The load's side in this process ---


class UdpPhones:
    """Any number of phones behind one socket."""

    def __init__(self, space):
        self.socket = space.socket(socket.SOCK_DGRAM, (CALLER, UDP_PORT))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.socket.settimeout(1)

    def ask_all(self, requests):
        """`requests`: text by Call-ID. Sends them all, WINDOW at a time, each second anew; how
        many were sent again."""
        waiting, open_, again = list(requests), {}, 0
        deadline = time.monotonic() + PATIENCE_S
        while waiting or open_:
            now = time.monotonic()
            if now > deadline:
                fail(f"{len(open_)} of {len(requests)} requests stay without an answer")
            while waiting and len(open_) < WINDOW:
                call_id = waiting.pop()
                open_[call_id] = now
                self.socket.sendto(requests[call_id].encode(), (INSIDE, SIP_PORT))
            try:
                reply = self.socket.recv(65536).decode()
            except TimeoutError:
                reply = ""
            if reply.startswith("SIP/2.0 200"):
                open_.pop(re.search(r"(?m)^Call-ID: (\S+)", reply)[1], None)
            elif reply.startswith("SIP/2.0 503"):
                time.sleep(0.01)  # it is busy; asked again like one that is lost
            elif reply.startswith("SIP/2.0 5") or reply.startswith("SIP/2.0 4"):
                fail(reply)
            if not reply or again % 4096 == 4095:
                for call_id, sent in open_.items():
                    if now - sent > 1:
                        again, open_[call_id] = again + 1, now
                        self.socket.sendto(requests[call_id].encode(), (INSIDE, SIP_PORT))
        return again

    def register(self, count):
        users = [f"u{i:06d}" for i in range(count)]
        return self.ask_all({
            f"reg-{user}": register_text(
                user, "UDP", f"Contact: <sip:{user}@{CALLER}:{UDP_PORT}>\r\n")
            for user in users})

    def options(self, count):
        return self.ask_all({
            f"opt-{i}": f"OPTIONS sip:{DOMAIN} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {CALLER}:{UDP_PORT};rport;branch=z9hG4bKo{i}\r\n"
            f"From: <sip:u{i:06d}@{DOMAIN}>;tag=o{i}\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: opt-{i}\r\n"
            "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            for i in range(count)})

    def next(self, pattern):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                message = self.socket.recv(65536).decode()
            except TimeoutError:
                continue
            if re.match(pattern, message):
                return message
        fail(f"no {pattern} in time")

    def send(self, text):
        self.socket.sendto(text.encode(), (INSIDE, SIP_PORT))

    def dialog_request(self, method, number, call, callee, to, target, more=""):
        return (f"{method} {target} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {CALLER}:{UDP_PORT};rport;"
                f"branch=z9hG4bK{secrets.token_hex(6)}\r\n"
                f"From: <sip:u000000@{DOMAIN}>;tag=c{call}\r\n"
                f"To: {to or f'<sip:{callee}@{DOMAIN}>'}\r\nCall-ID: {call}\r\n"
                f"CSeq: {number} {method}\r\nMax-Forwards: 70\r\n{more}"
                f"Contact: <sip:u000000@{CALLER}:{UDP_PORT}>\r\nContent-Length: 0\r\n\r\n")

    def call(self, callee, answers_itself):
        """INVITE, its answer, ACK, BYE. `answers_itself`: the callee is one of these phones."""
        call = secrets.token_hex(8)
        self.send(self.dialog_request("INVITE", 1, call, callee, "", f"sip:{callee}@{DOMAIN}"))
        if answers_itself:
            invite = self.next(f"INVITE sip:{callee}@")
            self.send(answer_to(invite, "200 OK", f"sip:{callee}@{CALLER}:{UDP_PORT}"))
        answer = self.next("SIP/2.0 [2-6]")
        if not answer.startswith("SIP/2.0 200"):
            fail(f"{callee}: {answer}")
        to = re.search(r"(?m)^To: (.*)\r", answer)[1]
        target = re.search(r"(?m)^Contact: <([^>]+)>", answer)[1]
        routes = "".join(f"Route: {one}\r\n" for one in
                         reversed(re.findall(r"(?m)^Record-Route: (.*)\r", answer)))
        for number, method in ((1, "ACK"), (2, "BYE")):
            self.send(self.dialog_request(method, number, call, callee, to, target, routes))
        if answers_itself:
            self.send(answer_to(self.next("BYE"), "200 OK", "sip:x"))
        self.next("SIP/2.0 200")


class Calls:
    """Relayed calls from one interface to the other, by one caller and one callee."""

    def __init__(self, space):
        self.caller = space.socket(socket.SOCK_DGRAM, (CALLER, 5070))
        self.callee = space.socket(socket.SOCK_DGRAM, (CALLEE, 5070))
        self.callee.sendto(media_race.Gatehouse.request(
            "REGISTER", f"sip:{DOMAIN}", CALLEE, "reg", "sink", "sink",
            f"Contact: <sip:sink@{CALLEE}:5070>\r\n", ""), (OUTSIDE, SIP_PORT))
        if not self.callee.recv(65536).startswith(b"SIP/2.0 200"):
            fail("the callee did not register")

    def make_patiently(self, number):
        """As a caller who is told that the server is busy and tries again."""
        for again in range(20):
            made = self.make(number, f"call{number}n{again}")
            if made[0] is not None or " 503 " not in made[1]:
                break
            time.sleep(1)
        return made

    def make(self, number, call):
        """Our ports towards the caller and the callee. None: refused, with its status."""
        port = FIRST_PORT + 2 * number
        self.caller.sendto(media_race.Gatehouse.request(
            "INVITE", f"sip:sink@{DOMAIN}", CALLER, call, "caller", "sink",
            f"Contact: <sip:caller@{CALLER}:5070>\r\n", sdp(CALLER, port)), (INSIDE, SIP_PORT))
        offer = None
        while True:
            reply = self.caller.recv(65536).decode()
            if f"Call-ID: {call}\r" not in reply:
                continue
            if reply.startswith("SIP/2.0 200"):
                return port_in(reply), port_in(offer)
            if not reply.startswith("SIP/2.0 1"):
                return None, reply.split("\r\n")[0]
            if reply.startswith("SIP/2.0 100"):
                offer = self.answer(call, port)

    def answer(self, call, port):
        self.callee.settimeout(0.3)
        while True:
            try:
                invite = self.callee.recv(65536).decode()
            except TimeoutError:
                return None  # refused on its way
            if invite.startswith("INVITE") and f"Call-ID: {call}\r" in invite:
                break
        head, offer = invite.split("\r\n\r\n", 1)
        body = sdp(CALLEE, port)
        response = answer_to(head + "\r\n\r\n", "200 OK", f"sip:sink@{CALLEE}:5070")
        self.callee.sendto(response.replace(
            "Content-Length: 0\r\n\r\n", "Content-Type: application/sdp\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode(), (OUTSIDE, SIP_PORT))
        return offer


class Appliance:
    def __init__(self, wire, folder):
        trusted = "TreatAsAuthenticated"
        lines = ["System Name: bench", f"SIP Domain 1 Name: {DOMAIN}",
                 "SIP Authentication Mode: Off", "SIP Media Mode: On",
                 *(f"Network Port {port} IPv4 {name}: {value}"
                   for port, address in ((1, INSIDE), (2, OUTSIDE))
                   for name, value in (("Mode", "Static"), ("Address", address),
                                       ("PrefixLength", 24))),
                 "SIP Registration Expire Max: 7200",
                 "Zones Zone 1 Name: load", "Zones Zone 1 Type: Neighbor",
                 f"Zones Zone 1 Peer1 Address: {CALLER}", "Zones Zone 1 SIP Transport: UDP",
                 "Zones Zone 1 Monitor: Off", f"Zones Zone 1 Authentication Mode: {trusted}",
                 "Administrator 1 Name: admin", "Administrator 1 Password: Gate-house-42"]
        (folder / "provision.txt").write_text(
            "".join(f"xConfiguration {line}\n" for line in lines), encoding="utf-8")
        words = [ROOT / "out/host/gatehouse", "--packet", "veth0", "--packet", "veth1",
                 "--profile", "large", "--memory", "4G", "--frames", "16384",
                 "--console", "stdio", "--no-supervisor", "--provision", folder / "provision.txt",
                 "--store", folder / "store", "--log", folder / "log",
                 "--crash-record", folder / "crash"]
        self.folder = folder
        with open(folder / "gatehouse.log", "w", encoding="utf-8") as log:
            self.process = wire.start(wire.edge, [str(word) for word in words], stdout=log,
                                      stderr=log, stdin=subprocess.PIPE, text=True)
        deadline = time.monotonic() + PATIENCE_S
        while "SIP ready" not in self.said():
            if self.process.poll() is not None or time.monotonic() > deadline:
                fail(f"gatehouse did not start:\n{self.said()}")
            time.sleep(0.2)
        self.log_in()

    def said(self):
        return (self.folder / "gatehouse.log").read_text(encoding="utf-8", errors="replace")

    def type(self, text, until):
        at = len(self.said())
        self.process.stdin.write(text + "\r")
        self.process.stdin.flush()
        deadline = time.monotonic() + 30
        while not re.search(until, self.said()[at:]):
            if time.monotonic() > deadline:
                fail(f"the console does not say {until!r}: {self.said()[at:]}")
            time.sleep(0.1)
        return self.said()[at:]

    def log_in(self):
        self.type("", "login: ")
        self.type("admin", "[Pp]assword: ")
        self.type("Gate-house-42", "bench[>#] ")

    def ask(self, line):
        return self.type(line, "bench[>#] ")

    def cpu(self):
        return cpu_seconds(descendants(self.process.pid))

    def memory_mib(self):
        """Locked, resident: /proc's."""
        said = "".join(pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
                       for pid in descendants(self.process.pid))
        return [sum(int(kib) for kib in re.findall(rf"{name}:\s+(\d+) kB", said)) // 1024
                for name in ("VmLck", "VmRSS")]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def second_wire(wire):
    run("ip", "-n", wire.load, "link", "add", "veth1", "type", "veth",
        "peer", "name", "veth1", "netns", wire.edge)
    run("ip", "-n", wire.load, "address", "add", f"{CALLEE}/24", "dev", "veth1")
    for name in (wire.load, wire.edge):
        run("ip", "-n", name, "link", "set", "veth1", "up", "txqueuelen", "10000")


def step(appliance, title, work):
    """Does it and says what it took."""
    cpu, begun = appliance.cpu(), time.monotonic()
    result = work()
    wall = time.monotonic() - begun
    print(f"  {title:56} {wall:7.1f} s, {appliance.cpu() - cpu:6.1f} s of CPU"
          f"{f'  ({result})' if result else ''}", flush=True)
    return result


class Processes:
    """TLS phones, in as many processes as it takes."""

    def __init__(self, wire, count):
        self.count = count
        self.all = [wire.start(wire.load, [sys.executable, __file__, "--phones", str(first),
                                           str(min(PHONES_EACH, count - first))],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                    for first in range(0, count, PHONES_EACH)]

    def begin(self, word):
        for one in self.all:
            one.stdin.write(word + "\n")
            one.stdin.flush()

    def ask(self, word, key):
        """Of all together."""
        self.begin(word)
        lines = [one.stdout.readline() for one in self.all]
        if not all(lines):
            fail(f"TLS phones are gone while they {word}")
        told = [json.loads(line) for line in lines]
        total = sum(one[key] for one in told)
        if total != self.count:
            fail(f"{total} of {self.count} TLS phones {key}")
        held_back = sum(one.get("held_back", 0) for one in told)
        return f"{held_back} were told to come back later" if held_back else ""

    def call(self, phones, number):
        one = self.all[number // PHONES_EACH]
        one.stdin.write("called\n")
        one.stdin.flush()
        phones.call(f"s{number:06d}", False)
        told = json.loads(one.stdout.readline())
        if told != {"called": f"s{number:06d}"}:
            fail(f"called s{number:06d}: {told}")

    def stop(self):
        for one in self.all:
            one.stdin.close()
        for one in self.all:
            one.wait(60)


class MediaLoad:
    """RTP of every end of the calls, from two processes; of some calls, each at its full rate."""

    def __init__(self, wire, folder, ports):
        self.loads = []
        halves = [ports[:len(ports) // 2], ports[len(ports) // 2:]]
        numbers = [0, len(halves[0])]
        for part, (first, half) in enumerate(zip(numbers, halves)):
            file = folder / f"ends{part}"
            file.write_text("".join(
                f"{CALLER} {FIRST_PORT + 2 * number} {INSIDE} {near} 1\n"
                f"{CALLEE} {FIRST_PORT + 2 * number} {OUTSIDE} {far} 1\n"
                for number, (near, far) in enumerate(half, first)), encoding="ascii")
            program = str(ROOT / "out/host/bench/media/media_load")
            self.loads.append(wire.start(
                wire.load, ["bash", "-c", MANY_FILES, "l", program, str(file)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def run(self, calls, rate, seconds):
        """Packets sent, and in how many seconds."""
        for load in self.loads:
            load.stdin.write(f"run {rate / len(self.loads)} {seconds} {PAYLOAD} "
                             f"{2 * calls // len(self.loads)}\n")
            load.stdin.flush()
        said = [json.loads(load.stdout.readline()) for load in self.loads]
        return sum(one["sent"] for one in said), max(one["seconds"] for one in said)

    def stop(self):
        for load in self.loads:
            load.stdin.close()
            load.wait(30)


def media(wire, folder, ports, options, appliance):
    """Of all calls that are held so many talk, both ways, 50 packets a second each, until packets
    are lost; where they are lost is told."""
    load = MediaLoad(wire, folder, ports)
    best = 0
    try:
        load.run(len(ports), 20000, 2 * len(ports) / 20000 * 1.5)  # latches every end
        for talking in options.talking:
            talking = min(talking, len(ports))
            before, cpu, busy = counts(wire, appliance), appliance.cpu(), machine_busy_seconds()
            sent, seconds = load.run(talking, talking * 100, options.seconds)
            busy = (machine_busy_seconds() - busy) / seconds
            cpu = appliance.cpu() - cpu
            time.sleep(0.5)
            now = counts(wire, appliance)
            arrived, taken, relayed = (now[key] - before[key]
                                       for key in ("wire", "taken", "relayed"))
            lost = max(0, 1 - relayed / max(sent, 1))
            print(f"  of {len(ports)} calls {talking} talk: {sent / seconds:7.0f} packets/s sent, "
                  f"{lost:7.3%} lost (before us {sent - arrived}, at the door {arrived - taken}, "
                  f"behind it {taken - relayed}), {cpu * 1e6 / max(relayed, 1):.2f} us each, "
                  f"{busy:.2f} of {os.cpu_count()} processors busy", flush=True)
            if lost >= LOSS_MAX:
                break
            best = talking
        print(f"  media of {best} calls without loss (less than {LOSS_MAX:.1%})", flush=True)
    finally:
        load.stop()


def counts(wire, appliance):
    """Packets: that reached our interfaces, that we took from them, that left by them."""
    said = json.loads(run("ip", "-j", "-s", "-n", wire.edge, "link", "show"))
    links = [link["stats64"] for link in said if link["ifname"].startswith("veth")]
    taken = re.findall(r"Received: frames=(\d+)", appliance.ask("xStatus Network Port"))
    return {"wire": sum(link["rx"]["packets"] for link in links),
            "taken": sum(map(int, taken)),
            "relayed": sum(link["tx"]["packets"] for link in links)}


def fill(calls, count):
    ports = []
    for number in range(count):
        near, far = calls.make_patiently(number)
        if near is None:
            fail(f"call {number}: {far}")
        ports.append((near, far))
    return ports


def hold(wire, folder, options):
    appliance = Appliance(wire, folder)
    space = InNamespace(wire.load)
    phones = UdpPhones(space)
    secured = Processes(wire, options.tls)
    try:
        print("  memory at start, MiB (locked, resident):", *appliance.memory_mib(), flush=True)
        calls = Calls(space)  # its callee is one of those that are registered
        step(appliance, f"{options.udp} phones register over UDP",
             lambda: phones.register(options.udp - 1))
        step(appliance, f"{options.tls} phones register over TLS",
             lambda: secured.ask("register", "registered"))
        held = appliance.ask("xStatus SIP Statistics")
        print("  ", re.search(r"registrations=\S+|Registrations?: .*", held)[0], flush=True)
        step(appliance, f"{options.tls} keep-alives by CRLF are answered",
             lambda: secured.ask("ping", "answered"))
        step(appliance, f"{options.options} OPTIONS are answered",
             lambda: phones.options(options.options))
        for number in (0, options.tls // 2, options.tls - 1):
            step(appliance, f"a UDP phone calls s{number:06d}, over TLS",
                 lambda number=number: secured.call(phones, number))
        for number in (1, options.udp // 2, options.udp - 2):
            step(appliance, f"a UDP phone calls u{number:06d}, over UDP",
                 lambda number=number: phones.call(f"u{number:06d}", True))
        ports = []
        step(appliance, f"{options.calls} relayed calls are made",
             lambda: ports.extend(fill(calls, options.calls)))
        if options.calls == 10000:
            print("   one more:", calls.make(options.calls, "more")[1], flush=True)
        media(wire, folder, ports, options, appliance)
        step(appliance, "keep-alives again, with all of that held",
             lambda: secured.ask("ping", "answered"))
        print("  memory at the end, MiB (locked, resident):", *appliance.memory_mib(), flush=True)
    finally:
        secured.stop()
        appliance.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--udp", type=int, default=70000)
    parser.add_argument("--tls", type=int, default=20000)
    parser.add_argument("--calls", type=int, default=10000)
    parser.add_argument("--options", type=int, default=10000)
    parser.add_argument("--talking", type=int, nargs="+", help="calls that talk at a time",
                        default=[100, 300, 600, 1000, 1200, 1500, 2000])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--phones", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phones:
        be_phones(*options.phones)
        return
    print(f"{options.udp} registrations over UDP, {options.tls} over TLS, {options.calls} calls")
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as folder, sip_race.Wire() as wire:
        second_wire(wire)
        hold(wire, pathlib.Path(folder), options)


if __name__ == "__main__":
    main()
