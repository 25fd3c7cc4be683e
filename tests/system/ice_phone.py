#!/usr/bin/python3
"""A phone whose ICE is a stock agent's, aioice's or libnice's, and whose SIP is the least that
makes a call: it registers, calls or waits to be called, sends RTP as soon as its agent has a way,
and hangs up when a line comes in. Run by test_sip_ice.py in the phone's namespace; each fact is a
line of JSON.

    ice_phone.py aioice|libnice SERVER DOMAIN USER PASSWORD [CALLEE]
"""

import asyncio
import ctypes
import hashlib
import json
import re
import secrets
import select
import socket
import struct
import sys
import threading
import time

TIMEOUT_S = 60
RTP = struct.Struct("!BBHII")


def tell(**facts):
    print(json.dumps(facts), flush=True)


class Aioice:
    """One component. `take` gets what comes."""

    def __init__(self, controlling, take):
        import aioice  # pylint: disable=import-outside-toplevel
        self.candidate, self.take = aioice.Candidate, take
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.agent = aioice.Connection(ice_controlling=controlling, use_ipv6=False)
        self.wait(self.agent.gather_candidates())
        self.user, self.password = self.agent.local_username, self.agent.local_password
        self.lines = [f"candidate:{one.to_sdp()}" for one in self.agent.local_candidates]

    def wait(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(TIMEOUT_S)

    def connect(self, user, password, lines):
        self.agent.remote_username, self.agent.remote_password = user, password
        for line in lines:
            candidate = self.candidate.from_sdp(line.partition(":")[2])
            self.wait(self.agent.add_remote_candidate(candidate))
        self.wait(self.agent.add_remote_candidate(None))
        self.wait(self.agent.connect())
        asyncio.run_coroutine_threadsafe(self.hear(), self.loop)
        pair = self.agent._nominated[1]  # pylint: disable=protected-access
        return pair.local_candidate.type, pair.remote_addr[0]

    async def hear(self):
        while True:
            self.take(await self.agent.recv())

    def send(self, data):
        self.wait(self.agent.send(data))


class Libnice:
    """The same of libnice, by introspection, which leaves out receiving, and sending of bytes."""

    def __init__(self, controlling, take):
        import gi  # pylint: disable=import-outside-toplevel
        gi.require_version("Nice", "0.1")
        from gi.repository import GLib, Nice  # pylint: disable=import-outside-toplevel
        self.nice, context = Nice, GLib.MainContext.default()
        self.agent = Nice.Agent.new(context, Nice.Compatibility.RFC5245)
        self.agent.set_property("upnp", False)
        self.agent.set_property("ice-tcp", False)
        self.agent.set_property("controlling-mode", controlling)
        self.stream = self.agent.add_stream(1)
        gathered, self.ready, self.pair = threading.Event(), threading.Event(), None
        self.agent.connect("candidate-gathering-done", lambda *_: gathered.set())
        self.agent.connect("component-state-changed", self.on_state)
        self.agent.connect("new-selected-pair-full", self.on_pair)
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint,
                                ctypes.c_void_p, ctypes.c_void_p)
        self.on_data = kind(lambda _a, _s, _c, size, data, _u: take(ctypes.string_at(data, size)))
        library = ctypes.CDLL("libnice.so.10")
        attach, self.send_bytes = library.nice_agent_attach_recv, library.nice_agent_send
        attach.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, kind,
                           ctypes.c_void_p]
        self.send_bytes.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint,
                                    ctypes.c_char_p]
        assert attach(hash(self.agent), self.stream, 1, None, self.on_data, None)
        threading.Thread(target=GLib.MainLoop.new(context, False).run, daemon=True).start()
        assert self.agent.gather_candidates(self.stream)
        assert gathered.wait(TIMEOUT_S)
        _, self.user, self.password = self.agent.get_local_credentials(self.stream)
        found = self.agent.get_local_candidates(self.stream, 1)
        lines = [self.agent.generate_local_candidate_sdp(one)[2:] for one in found]
        self.lines = [line for line in lines if " udp " in line.lower() and ":" not in
                      line.split()[4]]

    def on_state(self, _agent, _stream, _component, state):
        if state == self.nice.ComponentState.READY:
            self.ready.set()

    def on_pair(self, _agent, _stream, _component, local, remote):
        self.pair = local.type.value_nick, remote.addr.dup_string()

    def connect(self, user, password, lines):
        assert self.agent.set_remote_credentials(self.stream, user, password)
        theirs = [self.agent.parse_remote_candidate_sdp(self.stream, f"a={line}") for line in lines]
        assert self.agent.set_remote_candidates(self.stream, 1, theirs) == len(lines)
        assert self.ready.wait(TIMEOUT_S), "libnice found no way"
        return self.pair

    def send(self, data):
        self.send_bytes(hash(self.agent), self.stream, 1, len(data), data)


class Message:
    def __init__(self, data):
        head, _, self.body = data.decode().partition("\r\n\r\n")
        self.first, *lines = head.split("\r\n")
        self.fields = [line.split(":", 1) for line in lines]
        self.status = int(self.first.split()[1]) if self.first.startswith("SIP/") else 0

    def all(self, name):
        short = {"via": "v", "from": "f", "to": "t", "call-id": "i", "contact": "m"}.get(name)
        return [value.strip() for field, value in self.fields
                if field.strip().lower() in (name, short)]

    def one(self, name):
        return (self.all(name) or [""])[0]


class Phone:
    def __init__(self, kind, server, domain, user, password):
        self.kind, self.server, self.domain = kind, (server, 5060), domain
        self.user, self.password = user, password
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(self.server)
        self.address, self.port = self.socket.getsockname()
        self.tag, self.call_id = secrets.token_hex(4), secrets.token_hex(8)
        self.number, self.got, self.sent = 0, 0, 0
        self.remote_tag, self.routes, self.target = "", [], ""

    def take(self, data):
        if len(data) >= 12 and data[0] >> 6 == 2 and data[1] & 0x7f == 0:
            self.got += 1

    # --- SIP ---

    def send(self, text):
        self.socket.send(text.replace("\n", "\r\n").encode())

    def next(self, timeout):
        """The next message, if any comes; requests that are not ours to judge are answered."""
        if not select.select([self.socket], [], [], timeout)[0]:
            return None
        data = self.socket.recv(65536)
        if b"SIP/2.0" not in data:
            return None
        message = Message(data)
        if not message.status and message.first.split()[0] == "BYE":
            self.answer(message, "200 OK")
        return message

    def request(self, method, to, target, body="", routes=(), extra=""):
        """The final response, after a challenge by an answer to it."""
        credentials = ""
        for _ in range(2):
            self.number += 1
            branch = "z9hG4bK" + secrets.token_hex(8)
            text = (f"{method} {target} SIP/2.0\n"
                    f"Via: SIP/2.0/UDP {self.address}:{self.port};rport;branch={branch}\n"
                    f"Max-Forwards: 70\nFrom: <sip:{self.user}@{self.domain}>;tag={self.tag}\n"
                    f"To: {to}\nCall-ID: {self.call_id}\nCSeq: {self.number} {method}\n"
                    f"Contact: <sip:{self.user}@{self.address}:{self.port}>\n"
                    f"{''.join(f'Route: {one}{chr(10)}' for one in routes)}{credentials}{extra}"
                    f"{f'Content-Type: application/sdp{chr(10)}' if body else ''}"
                    f"Content-Length: {len(body) + body.count(chr(10))}\n\n{body}")
            final = self.final_of(text, branch)
            if final.status >= 300 and method == "INVITE":
                self.send(f"ACK {target} SIP/2.0\n"
                          f"Via: SIP/2.0/UDP {self.address}:{self.port};rport;branch={branch}\n"
                          f"Max-Forwards: 70\nFrom: {final.one('from')}\nTo: {final.one('to')}\n"
                          f"Call-ID: {self.call_id}\nCSeq: {self.number} ACK\n"
                          "Content-Length: 0\n\n")
            if final.status not in (401, 407):
                break
            credentials = self.prove(method, target, final)
        assert final.status == 200, final.first
        return final

    def final_of(self, text, branch):
        deadline, again = time.monotonic() + TIMEOUT_S, 0.0
        while time.monotonic() < deadline:
            if again <= time.monotonic():
                self.send(text)
                again = time.monotonic() + 1
            answer = self.next(0.1)
            if answer and answer.status and branch in answer.one("via"):
                if answer.status >= 200:
                    return answer
                again = deadline
        raise AssertionError(f"no answer to {text.splitlines()[0]}")

    def prove(self, method, target, challenge):
        def md5(text):
            return hashlib.md5(text.encode()).hexdigest()
        name = "www-authenticate" if challenge.status == 401 else "proxy-authenticate"
        said = next(one for one in challenge.all(name) if "SHA" not in one)
        realm, nonce = (re.search(f'{word}="([^"]*)"', said)[1] for word in ("realm", "nonce"))
        cnonce = secrets.token_hex(4)
        proof = md5(f"{md5(f'{self.user}:{realm}:{self.password}')}:{nonce}:00000001:{cnonce}:auth:"
                    f"{md5(f'{method}:{target}')}")
        header = "Authorization" if challenge.status == 401 else "Proxy-Authorization"
        opaque = re.search('opaque="([^"]*)"', said)
        return (f'{header}: Digest username="{self.user}",realm="{realm}",nonce="{nonce}",'
                f'uri="{target}",response="{proof}",algorithm=MD5,qop=auth,nc=00000001,'
                f'cnonce="{cnonce}"{f",{opaque[0]}" if opaque else ""}\n')

    def answer(self, request, status, body=""):
        to = request.one("to")
        to += "" if ";tag=" in to else f";tag={self.tag}"
        self.send(f"SIP/2.0 {status}\n" + "".join(f"Via: {v}\n" for v in request.all("via")) +
                  "".join(f"Record-Route: {v}\n" for v in request.all("record-route")) +
                  f"From: {request.one('from')}\nTo: {to}\nCall-ID: {request.one('call-id')}\n"
                  f"CSeq: {request.one('cseq')}\n"
                  f"Contact: <sip:{self.user}@{self.address}:{self.port}>\n"
                  f"{f'Content-Type: application/sdp{chr(10)}' if body else ''}"
                  f"Content-Length: {len(body) + body.count(chr(10))}\n\n{body}")

    def register(self):
        self.request("REGISTER", f"<sip:{self.user}@{self.domain}>", f"sip:{self.domain}",
                     extra="Expires: 600\n")
        tell(registered=self.user)
        self.call_id = secrets.token_hex(8)

    # --- Media ---

    def describe(self, agent):
        default = agent.lines[0].split()
        return (f"v=0\no=- 1 1 IN IP4 {self.address}\ns=-\nc=IN IP4 {default[4]}\nt=0 0\n"
                f"m=audio {default[5]} RTP/AVP 0\na=ice-ufrag:{agent.user}\n"
                f"a=ice-pwd:{agent.password}\na=rtcp-mux\n" +
                "".join(f"a={line}\n" for line in agent.lines))

    def meet(self, agent, body):
        def of(name):
            return re.search(f"a={name}:(\\S+)", body)[1]
        lines = [line for line in re.findall(r"a=(candidate:[^\r\n]+)", body)
                 if line.split()[1] == "1"]
        tell(candidates=lines)
        mine, theirs = agent.connect(of("ice-ufrag"), of("ice-pwd"), lines)
        tell(way=[mine, theirs])

    def talk(self, agent, source):
        """RTP both ways until a line comes in, or the other side hangs up."""
        said, threshold = False, 50
        while True:
            agent.send(RTP.pack(0x80, 0, self.sent & 0xffff, 160 * self.sent, source) + b"U" * 160)
            self.sent += 1
            if self.got >= threshold and not said:
                said = True
                tell(heard=self.got, sent=self.sent)
            message = self.next(0.02)
            if message and not message.status and message.first.startswith("BYE"):
                tell(over="by the other", heard=self.got)
                return False
            if select.select([sys.stdin], [], [], 0)[0]:
                return True

    def call(self, callee):
        agent = AGENTS[self.kind](True, self.take)
        to = f"<sip:{callee}@{self.domain}>"
        done = self.request("INVITE", to, f"sip:{callee}@{self.domain}", self.describe(agent))
        self.target = re.search("<([^>]+)>", done.one("contact"))[1]
        self.routes = list(reversed(done.all("record-route")))
        self.send(f"ACK {self.target} SIP/2.0\n"
                  f"Via: SIP/2.0/UDP {self.address}:{self.port};rport;"
                  f"branch=z9hG4bK{secrets.token_hex(8)}\nMax-Forwards: 70\n"
                  f"From: {done.one('from')}\nTo: {done.one('to')}\nCall-ID: {self.call_id}\n"
                  f"CSeq: {self.number} ACK\n{''.join(f'Route: {r}{chr(10)}' for r in self.routes)}"
                  "Content-Length: 0\n\n")
        self.meet(agent, done.body)
        if self.talk(agent, 1):
            self.request("BYE", done.one("to"), self.target, routes=self.routes)
            tell(over="by us", heard=self.got)

    def wait_for_call(self):
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            message = self.next(0.2)
            if message and message.first.startswith("INVITE"):
                self.be_called(message)
                return

    def be_called(self, invite):
        self.answer(invite, "100 Trying")
        agent = AGENTS[self.kind](False, self.take)
        self.answer(invite, "200 OK", self.describe(agent))
        self.meet(agent, invite.body)
        self.talk(agent, 2)


AGENTS = {"aioice": Aioice, "libnice": Libnice}


def main():
    kind, server, domain, user, password, *callee = sys.argv[1:]
    phone = Phone(kind, server, domain, user, password)
    phone.register()
    if callee:
        phone.call(callee[0])
    else:
        phone.wait_for_call()


main()
