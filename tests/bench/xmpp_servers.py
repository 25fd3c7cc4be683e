"""The servers that XMPP's benchmarks load, ours and peers', and the load itself.

Each server stands at the same address of the same network namespace; its users u0, u1, ... have
each other as contacts in groups of `contacts` + 1, both ways, before anybody logs in: lists come as
the server's own files or records, ours as the files an operator brings.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

from sip_race import cpu_seconds, descendants, machine_busy_seconds, run
from turn_race import resident_bytes

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests/system"))
import ejabberd_package  # noqa: E402
import prosody_package  # noqa: E402

SERVER, PORT = "10.77.0.2", 5223
DOMAIN, PASSWORD = "bench.example", "secret"
TCP_BYTES = 1024  # firmware/capacity.cc: kBytesPerNetConnection
SALT, ITERATIONS = b"salt of a bench.", 10_000
SSH = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
       "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]


def proofs():
    """What a server keeps of the password (RFC 5803): StoredKey, ServerKey. All users have one
    salt, so that the load works out what it proves only once."""
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")


def friends(count, each):
    """Of every user those whom he has: groups in which everybody has everybody, and sees him."""
    group = each + 1
    for user in range(count // group * group):
        first = user // group * group
        yield user, [other for other in range(first, first + group) if other != user]


def make_certificate(folder):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:{DOMAIN}", "-days", "9",
        "-keyout", str(folder / "server.key"), "-out", str(folder / "server.pem"))
    (folder / "chain.pem").write_text((folder / "server.key").read_text() +
                                      (folder / "server.pem").read_text())


def fill(name, folder, **words):
    text = (HERE / "peers" / name).read_text()
    for word, value in {"folder": folder, "address": SERVER, "domain": DOMAIN, **words}.items():
        text = text.replace(f"@{word}@", str(value))
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


class Server:
    """One that runs in the edge's namespace on a processor of its own."""

    contacts = 24  # of each user

    def __init__(self, wire, folder):
        self.wire, self.folder = wire, folder
        self.process = None

    def launch(self, words, **options):
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
        limits = 'ulimit -n $(ulimit -Hn); exec "$@"'
        self.process = self.wire.start(
            self.wire.edge, ["taskset", "-c", self.wire.server_cpu, "bash", "-c", limits, "server",
                             *map(str, words)], **options)

    def wait_listening(self, seconds=90):
        deadline = time.monotonic() + seconds
        while f":{PORT}" not in run("ip", "netns", "exec", self.wire.edge, "ss", "-Hltn"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"xmpp_servers: {self.name} did not start (see {self.folder})")
            time.sleep(0.2)

    def pids(self):
        return descendants(self.process.pid)

    def memory(self):
        return resident_bytes(self.pids())

    def session_bytes(self, before, count):
        return (self.memory() - before) / count

    def stop(self):
        if self.process is None:
            return
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            self.process.wait(20)


class Peer(Server):
    def __init__(self, wire, folder, root):
        super().__init__(wire, folder)
        self.root = root
        run("ip", "-n", wire.edge, "address", "replace", f"{SERVER}/24", "dev", "veth0")
        make_certificate(folder)

    def stop(self):
        super().stop()
        run("ip", "-n", self.wire.edge, "address", "flush", "dev", "veth0")


class Prosody(Peer):
    name = "prosody"
    rooms = f"rooms.{DOMAIN}"
    package = prosody_package

    def __init__(self, wire, folder, root, user_count, full):
        super().__init__(wire, folder, root)
        self.write_users(user_count)
        more = '"mam", "carbons", "smacks"' if full else ""
        config = fill("prosody_xmpp.lua", folder, more=more)
        self.launch([root / "usr/bin/lua5.4", root.parent / "prosody.lua", "-F", "--config",
                     config], env=prosody_package.environment(root))
        self.wait_listening()

    def write_users(self, count):
        stored, server = proofs()
        record = (f'return {{ ["iteration_count"] = {ITERATIONS}; ["salt"] = "{SALT.decode()}"; '
                  f'["stored_key"] = "{stored.hex()}"; ["server_key"] = "{server.hex()}"; }};\n')
        accounts, rosters = (self.folder / "data" / DOMAIN.replace(".", "%2e") / name
                             for name in ("accounts", "roster"))
        accounts.mkdir(parents=True)
        rosters.mkdir()
        for number in range(count):
            (accounts / f"u{number}.dat").write_text(record)
        for user, others in friends(count, self.contacts):
            (rosters / f"u{user}.dat").write_text(
                'return { [false] = { ["version"] = 1; ["pending"] = {}; };\n' + "".join(
                    f'["u{other}@{DOMAIN}"] = {{ ["subscription"] = "both"; '
                    f'["groups"] = {{ ["Colleagues"] = true; }}; '
                    f'["name"] = "Person called u{other}"; }};\n' for other in others) + "};\n")


class Ejabberd(Peer):
    name = "ejabberd"
    rooms = f"rooms.{DOMAIN}"
    package = ejabberd_package

    def __init__(self, wire, folder, root, user_count, full):
        super().__init__(wire, folder, root)
        more = ("  mod_mam: {default: always, assume_mam_usage: true}\n  mod_carboncopy: {}\n"
                "  mod_stream_mgmt: {}\n") if full else ""
        fill("ejabberd_xmpp.yml", folder, more=more)
        done = folder / "users are made"
        make = (f'application:ensure_all_started(ejabberd), '
                f'[ejabberd_auth:try_register(<<"u", (integer_to_binary(N))/binary>>, '
                f'<<"{DOMAIN}">>, <<"{PASSWORD}">>) || N <- lists:seq(0, {user_count - 1})], '
                f'{self.lists(user_count)}file:write_file("{done}", <<>>).')
        words, environment = ejabberd_package.command(root, folder, folder / "ejabberd_xmpp.yml")
        self.launch([*words, "-eval", make], env=environment)
        self.wait_listening()
        while not done.exists():
            time.sleep(0.2)

    def lists(self, user_count):
        """Records of mod_roster, in Erlang."""
        group = self.contacts + 1
        name = '<<"u", (integer_to_binary({}))/binary>>'
        owner, other = name.format("N"), name.format("M")
        return (f'[mnesia:dirty_write({{roster, {{{owner}, <<"{DOMAIN}">>, '
                f'{{{other}, <<"{DOMAIN}">>, <<>>}}}}, {{{owner}, <<"{DOMAIN}">>}}, '
                f'{{{other}, <<"{DOMAIN}">>, <<>>}}, <<"Person called ", ({other})/binary>>, both, '
                f'none, [<<"Colleagues">>], <<>>, []}}) || '
                f'N <- lists:seq(0, {user_count // group * group - 1}), '
                f'M <- lists:seq(N div {group} * {group}, N div {group} * {group} + {group - 1}), '
                f'N =/= M], ')


class Gatehouse(Server):
    name = "gatehouse"
    arena = "512M"
    store_size = "512M"
    settings = ("XMPP Presence AutoAuthorization: On",)
    file_bytes = 500_000  # what /backup takes of a file with its profile, and some less
    rooms = f"conference.{DOMAIN}"
    package = None

    def __init__(self, wire, folder, root, user_count, full):
        """`root`: a folder that stays, with the key of its administrator and a store with users."""
        super().__init__(wire, folder)
        self.root = root
        # Accounts are half of what a profile registers. Twice that, for connections: who logs in
        # again finds its last one still closing. More pinned than that is only slow to pin.
        self.profile = self.profile_for(user_count)
        if not (root / "id").exists():
            run("ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(root / "id"))
            self.boot(True)
            self.add_users(user_count)
            self.add_contacts(user_count)
            self.stop()
            shutil.copy(folder / "store", root / "store")
        shutil.copy(root / "store", folder / "store")
        self.boot(full)

    def profile_for(self, user_count):
        return str(max(4 * user_count + 200, 500))

    def boot(self, full):
        lines = [
            "System Name: bench", "Network Port 1 IPv4 Mode: Static",
            f"Network Port 1 IPv4 Address: {SERVER}", "Network Port 1 IPv4 PrefixLength: 24",
            "Administrator 1 Name: admin", "Administrator 1 Password: Gate-house-42",
            f'Administrator 1 PublicKey1: "{(self.root / "id.pub").read_text().strip()}"',
            "SSH Mode: On", "XMPP Mode: On", f"XMPP Domain 1 Name: {DOMAIN}",
            "XMPP Room Occupants Default: 1000", "XMPP Authentication ChannelBinding: Off",
            "XMPP Stanza Rate: 0",  # its clients are as fast as they can, as with the others
            "XMPP Address Share: 100", "XMPP Address UnprovenShare: 100",  # from one address
            f"XMPP Archive Mode: {'On' if full else 'Off'}", *self.settings]
        (self.folder / "provision.txt").write_text(
            "".join(f"xConfiguration {line}\n" for line in lines), encoding="utf-8")
        log = (self.folder / "gatehouse.log").open("w")
        self.launch([ROOT / "out/host/gatehouse", "--packet", "veth0", "--profile", self.profile,
                     "--memory", self.arena, "--console", "stdio", "--no-supervisor", "--provision",
                     self.folder / "provision.txt", "--store", self.folder / "store",
                     "--store-size", self.store_size, "--log",
                     self.folder / "log", "--crash-record", self.folder / "crash"],
                    stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        deadline = time.monotonic() + 180
        while "XMPP Server: Serving" not in self.ask("xStatus XMPP Server", check=False):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"xmpp_servers: gatehouse did not start:\n"
                         f"{(self.folder / 'gatehouse.log').read_text(errors='replace')}")
            time.sleep(0.5)
        if full != ("XMPP Archive Mode: On" in self.ask("xConfiguration XMPP Archive Mode").replace(
                '"', "")):
            self.ask(f"xConfiguration XMPP Archive Mode: {'On' if full else 'Off'}")

    def bring(self, lines, command):
        """Files of lines, as many as are needed, each put into /backup and imported."""
        done, part, size = 0, [], 0
        for line in [*lines, None]:
            if part and (line is None or size + len(line) > self.file_bytes):
                done += self.bring_file("".join(part), command)
                part, size = [], 0
            if line is not None:
                part.append(line)
                size += len(line)
        return done

    def bring_file(self, text, command):
        file = self.folder / "list.csv"
        file.write_text(text, encoding="utf-8")
        run("ip", "netns", "exec", self.wire.load, "sftp", "-q", "-b", "-", *SSH, "-i",
            str(self.root / "id"), f"admin@{SERVER}",
            input=f"put {file} /backup/list.csv\n")
        said = self.ask(command)
        imported = re.search(r"(\d+) (?:users|contacts) imported, 0 ", said)
        if imported is None:
            sys.exit(f"xmpp_servers: {command}: {said.strip()[-300:]}")
        return int(imported[1])

    def add_users(self, count):
        stored, server = (base64.b64encode(each).decode() for each in proofs())
        salt = base64.b64encode(SALT).decode()
        verifier = f"SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}"
        lines = (f"u{number},{DOMAIN},{verifier}\n" for number in range(count))
        done = self.bring(lines, "xCommand XMPP User Import")
        if done != count:
            sys.exit(f"xmpp_servers: {done} of {count} users")

    def add_contacts(self, users):
        self.bring((f"u{user},{DOMAIN},u{other},{DOMAIN},Person called u{other},Colleagues\n"
                    for user, others in friends(users, self.contacts) for other in others),
                   "xCommand XMPP Contacts Import")

    def ask(self, *words, check=True, **options):
        done = subprocess.run(
            ["ip", "netns", "exec", self.wire.load, "ssh", *SSH, "-i", str(self.root / "id"),
             f"admin@{SERVER}", *words], capture_output=True, text=True, check=False, **options)
        if check and done.returncode != 0 and not done.stdout:
            sys.exit(f"xmpp_servers: {words}: {done.stderr}")
        return done.stdout

    def memory(self):
        """Bytes in use: sessions' places, blocks of what they hold, TLS, TCP."""
        number = {}
        for line in re.findall(r"XMPP (?:Sessions|Memory):.*", self.ask("xStatus XMPP")):
            number |= {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}
        tls = {name: int(value)
               for name, value in re.findall(r"TLS ([\w ]+): (\d+)", self.ask("xStatus TLS"))}
        return {"sessions": number["streams"], "session": number["bytes_each"],
                "blocks": (number["blocks"] - number["blocks_free"]) * 128,
                "tls": tls["Memory Bytes"], "link": tls["Session Bytes"]}

    def session_bytes(self, before, count):
        now = self.memory()
        if now["sessions"] < count:
            sys.exit(f"xmpp_servers: {now['sessions']} of {count} idle sessions are there")
        return (now["session"] + now["link"] + TCP_BYTES +
                (now["tls"] - before["tls"] + now["blocks"] - before["blocks"]) / count)


class Load:
    def __init__(self, server, own_address=()):
        self.server = server
        self.process = server.wire.start(
            server.wire.load, [str(ROOT / "out/host/bench/xmpp/xmpp_load"), SERVER, str(PORT),
                               DOMAIN, server.rooms, PASSWORD, *own_address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        """What the load says, and what CPU it took the server, the load and the machine without."""
        pids, own = self.server.pids(), [self.process.pid]
        before = [cpu_seconds(pids), cpu_seconds(own), machine_busy_seconds()]
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"xmpp_servers: the load gave up on {self.server.name}: {words}")
        said = json.loads(line)
        said["cpu_s"] = cpu_seconds(pids) - before[0]
        said["load_s"] = cpu_seconds(own) - before[1]
        said["machine_s"] = machine_busy_seconds() - before[2] - said["load_s"]
        return said

    def stop(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
