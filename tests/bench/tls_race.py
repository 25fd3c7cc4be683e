#!/usr/bin/python3
"""Races out/host/gatehouse's TLS server against nginx with OpenSSL: handshakes per core, memory.

Both servers stand at the same address of the same network namespace, one at a time, alternating
round by round, with the same chain and key (ECDSA P-256, then RSA-2048). Clients are Python's
OpenSSL in another namespace over one veth pair; each connects, shakes hands, closes and waits for
the server's close, with TLS 1.2 and 1.3, in full and by a ticket. Two accounts of CPU are kept, as
in sip_race.py: the server's own, and that of the whole machine less the clients' own, which counts
the kernel's TCP too. nginx is Debian's package, unpacked, with one worker.

What bounds either is taken in the same run: signatures and key agreements alone, ours by
tls_bench, OpenSSL's by `openssl speed`. An idle connection is one that has shaken hands and been
answered once: for nginx what its worker grows by, without the kernel's sockets; ours is what the
pools and the heap of TLS hold, as xStatus counts it.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import sip_race
from sip_race import cpu_seconds, descendants, machine_busy_seconds, run
from turn_race import resident_bytes, spread

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SERVER, PORT = "10.77.0.2", 5061
NAME = "edge.bench.example"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
KEYS = {"ECDSA P-256": "-newkey ec -pkeyopt ec_paramgen_curve:P-256",
        "RSA-2048": "-newkey rsa:2048"}
REQUESTS = {
    "nginx": f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n",
    "gatehouse": f"OPTIONS sip:{NAME} SIP/2.0\r\nVia: SIP/2.0/TLS 10.77.0.1:40000;branch=z9hG4bK1"
                 "\r\nFrom: <sip:x@example.net>;tag=1\r\nMax-Forwards: 70\r\n"
                 f"To: <sip:{NAME}>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
                 "Content-Length: 0\r\n\r\n"}
REQUESTS["with HSM"] = REQUESTS["gatehouse"]
SSH = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
CLIENT_COUNT = 2  # at a time


# --- Clients: this program again, in the other namespace -----------------------------------------

def context_of(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # its own checks are no matter here
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def connect(context, session=None):
    raw = socket.create_connection((SERVER, PORT), 30)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(raw, server_hostname=NAME, session=session)


def close(stream):
    try:
        stream.unwrap().close()  # waits for the server's close_notify
    except OSError:
        stream.close()


def shake_hands(version, resumed, request, count, queue):
    context, session = context_of(version), None
    if resumed:
        first = connect(context)
        first.sendall(request.encode())
        first.recv(4096)
        session = first.session
        close(first)
    queue.put("ready")
    while queue.qsize():  # emptied by the parent: all begin together
        time.sleep(0.001)
    reused = 0
    for _ in range(count):
        stream = connect(context, session)
        reused += stream.session_reused
        close(stream)
    if reused != (count if resumed else 0):
        sys.exit(f"tls_race: {reused} of {count} handshakes were resumed")


def hold(version, request, count):
    context, streams = context_of(version), []
    for _ in range(count):
        stream = connect(context)
        stream.sendall(request.encode())
        stream.recv(4096)
        streams.append(stream)
    print("ready", flush=True)
    sys.stdin.readline()


def client(words):
    kind, version, request, count = words[0], words[1], words[2], int(words[3])
    if kind == "hold":
        hold(version, request, count)
        return
    queues = [multiprocessing.Queue() for _ in range(CLIENT_COUNT)]
    workers = [multiprocessing.Process(target=shake_hands, args=(
        version, kind == "resumed", request, count // CLIENT_COUNT, queue)) for queue in queues]
    for worker in workers:
        worker.start()
    while not all(queue.qsize() for queue in queues):
        time.sleep(0.001)
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.monotonic()
    for queue in queues:
        queue.get()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        sys.exit("tls_race: a client failed")
    print(json.dumps({"seconds": time.monotonic() - begin}), flush=True)
    sys.stdin.readline()


# --- Servers -------------------------------------------------------------------------------------

def make_chain(folder, kind):
    """root.pem, server.pem (leaf and root), server.key."""
    words = KEYS[kind]
    (folder / "ext").write_text(f"subjectAltName=DNS:{NAME}\nextendedKeyUsage=serverAuth,"
                                "clientAuth\n", encoding="ascii")
    script = (f"openssl req -x509 {words} -nodes -subj '/CN=Bench Root' -days 9 -keyout root.key "
              f"-out root.pem && openssl req {words} -nodes -subj /CN=server -keyout server.key "
              "-out csr && openssl x509 -req -in csr -CA root.pem -CAkey root.key -days 8 "
              "-extfile ext -out leaf.pem && cat leaf.pem root.pem > server.pem && "
              "cat server.pem server.key > upload.pem")
    run("bash", "-c", script, cwd=folder)
    (folder / "kind").write_text("P-256" if kind.startswith("ECDSA") else kind)


class Nginx:
    name = "nginx"

    def __init__(self, wire, folder, root):
        run("ip", "-n", wire.edge, "address", "replace", f"{SERVER}/24", "dev", "veth0")
        self.wire = wire
        (folder / "nginx.conf").write_text((HERE / "peers/nginx_tls.conf").read_text())
        (folder / "logs").mkdir()
        words = [str(root / "usr/sbin/nginx"), "-p", str(folder), "-c", "nginx.conf", "-e",
                 "error.log", "-g", f"pid {folder}/nginx.pid; user root;"]
        self.process = wire.start(wire.edge, words, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        time.sleep(1.0)
        if self.process.poll() is not None:
            sys.exit("tls_race: nginx did not start")

    def pids(self):
        return descendants(self.process.pid)

    def memory_bytes(self):
        return resident_bytes(self.pids())

    def bytes_per_connection(self, before, count):
        return (self.memory_bytes() - before) / count

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        run("ip", "-n", self.wire.edge, "address", "flush", "dev", "veth0")


class Gatehouse:
    name = "gatehouse"
    MORE_SETTINGS, MORE_OPTIONS = [], []

    def __init__(self, wire, folder, _root):
        run("ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(folder / "id"))
        lines = [
            "System Name: bench", "Network Port 1 IPv4 Mode: Static",
            f"Network Port 1 IPv4 Address: {SERVER}", "Network Port 1 IPv4 PrefixLength: 24",
            f"SIP Domain 1 Name: {NAME}", "Administrator 1 Name: admin",
            "Administrator 1 Password: Gate-house-42", "SSH Mode: On",
            f'Administrator 1 PublicKey1: "{(folder / "id.pub").read_text().strip()}"',
        ]
        (folder / "provision.txt").write_text(
            "".join(f"xConfiguration {line}\n" for line in lines + self.MORE_SETTINGS),
            encoding="utf-8")
        self.wire, self.folder = wire, folder
        words = [ROOT / "out/host/gatehouse", "--packet", "veth0", "--profile", "large",
                 "--memory", "4G", "--console", "stdio", "--no-supervisor",
                 "--provision", folder / "provision.txt", "--store", folder / "store",
                 "--log", folder / "log", "--crash-record", folder / "crash", *self.MORE_OPTIONS]
        with open(folder / "gatehouse.log", "w", encoding="utf-8") as log:
            self.process = wire.start(wire.edge, [str(word) for word in words], stdout=log,
                                      stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while "SIP ready" not in self.said():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"tls_race: gatehouse did not start:\n{self.said()}")
            time.sleep(0.1)
        time.sleep(2.0)
        self.certify()

    def certify(self):
        self.upload("upload.pem")

    def upload(self, name):
        run("ip", "netns", "exec", self.wire.load, "scp", *SSH, "-i", str(self.folder / "id"),
            str(self.folder / name), f"admin@{SERVER}:/certificates/server.pem")

    def ask(self, line):
        return run("ip", "netns", "exec", self.wire.load, "ssh", *SSH, "-i",
                   str(self.folder / "id"), f"admin@{SERVER}", line)

    def said(self):
        return (self.folder / "gatehouse.log").read_text(encoding="utf-8", errors="replace")

    def pids(self):
        return descendants(self.process.pid)

    def counts(self):
        text = self.ask("xStatus TLS")
        return {name: int(value) for name, value in re.findall(r"TLS ([\w ]+): (\d+)", text)}

    def memory_bytes(self):
        return self.counts()["Memory Bytes"]

    def bytes_per_connection(self, before, count):
        now = self.counts()
        if now["Sessions"] < count:
            sys.exit(f"tls_race: {now['Sessions']} of {count} idle connections are there")
        return (now["Memory Bytes"] - before) / count + now["Session Bytes"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class GatehouseHsm(Gatehouse):
    """The same by a key of SoftHSM, which is loaded as a module: it signs in a process of the
    appliance, on the same account."""

    name = "with HSM"
    MORE_SETTINGS = ["HSM Module 1 Name: rack1", "HSM Module 1 Transport: Module",
                     "HSM Module 1 SerialNumber: bench", "HSM Module 1 PIN: 1234", "HSM Mode: On"]
    MORE_OPTIONS = ["--token-module", "/usr/lib/softhsm/libsofthsm2.so"]

    def __init__(self, wire, folder, root):
        self.make_token(folder)
        super().__init__(wire, folder, root)

    @staticmethod
    def make_token(folder):
        (folder / "tokens").mkdir()
        (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\n")
        os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
        run("softhsm2-util", "--init-token", "--free", "--label", "bench", "--pin", "1234",
            "--so-pin", "12345678")

    def certify(self):
        words = (self.folder / "kind").read_text().split()
        self.until("xStatus HSM", "Server running: True")
        self.ask(f"xCommand HSM Key Generate: bench {words[0]}")
        self.ask("xCommand Certificate CSR Token: bench")
        self.until("xStatus Certificate CSR", "State: Ready")
        text = self.ask("xCommand Certificate CSR Show")
        begin, end = text.index("-----BEGIN"), text.index("-----END") + 33
        (self.folder / "csr").write_text(text[begin:end].replace("\r", "") + "\n")
        run("bash", "-c", "openssl x509 -req -in csr -CA root.pem -CAkey root.key -days 8 -extfile "
            "ext -out hsm_leaf.pem && cat hsm_leaf.pem root.pem > hsm.pem", cwd=self.folder)
        time.sleep(2.0)  # a clock a second behind would say "not valid yet"
        self.upload("hsm.pem")

    def until(self, line, wanted):
        deadline = time.monotonic() + 30
        while wanted not in (said := self.ask(line)):
            if time.monotonic() > deadline:
                sys.exit(f"tls_race: {line}: {said}")
            time.sleep(0.2)


# --- The race ------------------------------------------------------------------------------------

def start_client(server, *words):
    process = server.wire.start(
        server.wire.load, [sys.executable, str(pathlib.Path(__file__).resolve()), "--client",
                           *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True)
    if process.stdout.readline() != "ready\n":
        sys.exit(f"tls_race: no client of {server.name}")
    return process


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


def handshakes(server, version, kind, count):
    process = start_client(server, kind, version, REQUESTS[server.name], count)
    pids, clients = server.pids(), descendants(process.pid)
    before, busy, own = cpu_seconds(pids), machine_busy_seconds(), cpu_seconds(clients)
    go_on(process)
    line = process.stdout.readline()
    if not line:
        sys.exit(f"tls_race: clients of {server.name} failed")
    server_s = cpu_seconds(pids) - before
    # Workers are gone by now, on the account of the one that waited for them.
    account = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    client_s = sum(map(int, account[11:15])) / sip_race.TICKS_PER_SECOND - own
    machine_s = machine_busy_seconds() - busy - client_s
    go_on(process)
    process.wait(30)
    return {"per_core": count / server_s, "cpu_us": server_s * 1e6 / count,
            "machine_us": machine_s * 1e6 / count,
            "per_s": count / json.loads(line)["seconds"]}


def idle(server, version, count):
    before = server.memory_bytes()
    process = start_client(server, "hold", version, REQUESTS[server.name], count)
    time.sleep(1.0)
    figure = server.bytes_per_connection(before, count)
    go_on(process)
    process.wait(60)
    return {"bytes": figure}


def one_server(wire, kind, root, key, options, results):
    with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as name:
        folder = pathlib.Path(name)
        make_chain(folder, key)
        server = kind(wire, folder, root)
        try:
            # While its memory is fresh, so one version for each key.
            version = list(VERSIONS)[list(KEYS).index(key)]
            results.setdefault(f"idle, TLS {version}", {}).setdefault(kind.name, []).append(
                idle(server, version, options.idle))
            for version in VERSIONS:
                for how in ("full", "resumed"):
                    handshakes(server, version, how, 40)  # warms up
                    results.setdefault(f"{key}, TLS {version}, {how}", {}).setdefault(
                        kind.name, []).append(handshakes(server, version, how, options.count))
        finally:
            server.stop()


LABELS = {"per_core": "handshakes/s per core of the server", "cpu_us": "CPU of the server, us each",
          "machine_us": "CPU less the clients', us each", "per_s": "handshakes/s seen",
          "bytes": "bytes per idle connection"}


def report(results):
    for title, servers in results.items():
        print(f"\n{title}")
        for key, label in LABELS.items():
            for name, rounds in servers.items():
                if key in rounds[0]:
                    print(f"  {label:38} {name:10} {spread([r[key] for r in rounds])}")
            both = [servers.get(Nginx.name), servers.get(Gatehouse.name)]
            if key in ("cpu_us", "machine_us", "bytes") and all(both) and key in both[0][0]:
                ratios = [a[key] / max(b[key], 1e-9) for a, b in zip(*both)]
                print(f"  {label:38} {'ratio':10} {spread(ratios)}  (nginx / ours)")


def limits():
    print("\nSignatures and key agreements alone, OpenSSL's (sign/s, verify/s; agreements/s):")
    words = ["openssl", "speed", "-seconds", "1", "ecdsap256", "rsa2048", "ecdhp256", "ecdhx25519"]
    for line in run(*words).splitlines():
        if re.match(r" *(rsa|\d+ bits)", line):
            print("  " + line.strip())


def unpack_nginx(folder):
    done = subprocess.run(["apt-get", "download", "nginx"], cwd=folder, check=False,
                          capture_output=True, text=True)
    packages = list(folder.glob("nginx_*.deb"))
    if done.returncode != 0 or not packages:
        sys.exit(f"tls_race: nginx cannot be had: {done.stderr.strip()}")
    run("dpkg", "-x", str(packages[0]), str(folder / "root"))
    return folder / "root"


def main():
    if sys.argv[1:2] == ["--client"]:
        client(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=600, help="handshakes of one measurement")
    parser.add_argument("--idle", type=int, default=1000, help="idle connections")
    parser.add_argument("--servers", nargs="+", default=["nginx", "gatehouse", "with HSM"])
    parser.add_argument("--keys", nargs="+", default=list(KEYS))
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    kinds = [kind for kind in (Nginx, Gatehouse, GatehouseHsm) if kind.name in options.servers]
    results = {}
    with tempfile.TemporaryDirectory(prefix="gatehouse-nginx-") as folder, \
            sip_race.Wire() as wire:
        root = unpack_nginx(pathlib.Path(folder)) if Nginx in kinds else None
        for _ in range(options.rounds):
            for key in options.keys:
                for kind in kinds:
                    one_server(wire, kind, root, key, options, results)
    report(results)
    limits()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
