"""What runs while an HSM is taken away: a program for a host in the network, told to stop by its
input's end; then it prints what happened and when, as JSON (times are time.monotonic()).

- sessions: TLS connections, each asking SIP OPTIONS again and again, from before the outage;
- full: a new TLS connection now and then, without a ticket; resumed12, resumed13: with one; some
  more after it was told to stop, however long each takes.
"""

import json
import socket
import ssl
import sys
import threading
import time

OPTIONS = ("OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/TLS {me}:9;branch=z9hG4bK{tag}\r\n"
           "From: <sip:load@{me}>;tag={tag}\r\nTo: <sip:{to}>\r\nCall-ID: {tag}@{me}\r\n"
           "CSeq: 1 OPTIONS\r\nMax-Forwards: 1\r\nContent-Length: 0\r\n\r\n")


TRIES_AFTER = 3
PAUSE_S = 0.3


class Load:
    def __init__(self, edge, me, root, count):
        self.edge, self.me, self.root, self.count = edge, me, root, count
        self.over = threading.Event()
        self.opened, self.asked, self.answered, self.lost, self.slowest = 0, 0, 0, 0, 0.0
        self.busy = 0  # told so by 503, as an emulated machine under other load may be
        self.tries = {"full": [], "resumed12": [], "resumed13": []}
        self.lock = threading.Lock()

    def context(self, version=None):
        context = ssl.create_default_context(cafile=self.root)
        context.check_hostname = False
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def connect(self, context, session=None):
        raw = socket.create_connection((self.edge, 5061), 30)
        try:
            return context.wrap_socket(raw, session=session)
        except BaseException:
            raw.close()
            raise

    def begin(self, context):
        """A connection before the outage: who comes among many is asked to come again."""
        for _ in range(100):
            try:
                return self.connect(context)
            except OSError:
                time.sleep(0.1)
        raise AssertionError("no connection before the outage")

    def session(self, number):
        stream = self.begin(self.context())
        with self.lock:
            self.opened += 1
        turn = 0
        while not self.over.wait(0.25):
            turn += 1
            text = OPTIONS.format(to=self.edge, me=self.me, tag=f"s{number}t{turn}")
            begin = time.monotonic()
            with self.lock:
                self.asked += 1
            try:
                stream.sendall(text.encode())
                answer = b""
                while b"\r\n\r\n" not in answer:
                    piece = stream.recv(4096)
                    if not piece:
                        raise OSError("closed")
                    answer += piece
            except OSError:
                with self.lock:
                    self.lost += 1
                return
            with self.lock:
                self.answered += answer.startswith(b"SIP/2.0 200 ")
                self.busy += answer.startswith(b"SIP/2.0 503 ")
                self.slowest = max(self.slowest, time.monotonic() - begin)

    def handshakes(self, name, version=None):
        context, kept = self.context(version), None
        while name != "full" and kept is None:
            with self.begin(context) as stream:
                stream.sendall(OPTIONS.format(to=self.edge, me=self.me, tag=name).encode())
                stream.recv(100)  # the ticket of TLS 1.3 came before it
                kept = stream.session
        while self.opened < self.count:
            time.sleep(0.05)
        print(name, "ready", flush=True)
        after = 0
        while after < TRIES_AFTER:
            after += self.over.wait(PAUSE_S)
            time.sleep(PAUSE_S if after else 0)
            begin = time.monotonic()
            try:
                with self.connect(self.context() if name == "full" else context, kept) as stream:
                    how = "resumed" if stream.session_reused else "full"
            except OSError as error:
                how = f"refused: {error}"
            self.tries[name].append((begin, time.monotonic() - begin, how))

    def run(self):
        threads = [threading.Thread(target=self.session, args=(i,)) for i in range(self.count)]
        threads += [threading.Thread(target=self.handshakes, args=("full",)),
                    threading.Thread(target=self.handshakes,
                                     args=("resumed12", ssl.TLSVersion.TLSv1_2)),
                    threading.Thread(target=self.handshakes,
                                     args=("resumed13", ssl.TLSVersion.TLSv1_3))]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        self.over.set()
        for thread in threads:
            thread.join()
        print(json.dumps({"sessions": self.opened, "asked": self.asked, "answered": self.answered,
                          "busy": self.busy, "lost": self.lost, "slowest": self.slowest,
                          "tries": self.tries}))


if __name__ == "__main__":
    Load(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])).run()
