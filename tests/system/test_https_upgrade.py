"""Updates fetched over HTTPS by the booted image: from Python's and OpenSSL's servers, over
connections that break, and from servers that lie.
"""

import contextlib
import functools
import hashlib
import http.server
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

import qemu
from test_upgrade import PROVISION, ask, log_in, make_update

HOST = "10.0.2.2"  # the test's own loopback, as the machine sees it


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("https")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=updates", "-days", "2",
                    "-keyout", made / "key.pem", "-out", made / "cert.pem"],
                   check=True, capture_output=True)
    make_update(made, "second.update")
    damaged = bytearray((made / "second.update").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (made / "damaged.update").write_bytes(damaged)
    return made


@pytest.fixture(scope="module")
def pin(folder):
    der = ssl.PEM_cert_to_DER_cert((folder / "cert.pem").read_text())
    return hashlib.sha256(der).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Breaking(Quiet):
    """Serves ranges, and hangs up after a fifth of the file."""
    protocol_version = "HTTP/1.1"
    begun_at = []

    def do_GET(self):
        data = (self.server.folder / self.path[1:]).read_bytes()
        first = int(re.search(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        self.begun_at.append(first)
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        self.wfile.write(data[first:first + len(data) // 5])
        self.close_connection = True


class Moving(Quiet):
    def do_GET(self):
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
        elif self.path.startswith("/round"):
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
        elif self.path.startswith("/plain"):
            self.send_response(302)
            self.send_header("Location", "http://10.0.2.2/second.update")
            self.end_headers()
        else:
            super().do_GET()


@contextlib.contextmanager
def serve(folder, handler):
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    server.folder = folder
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wait_for_port(port):
    deadline = time.monotonic() + qemu.patience(10)
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    with qemu.Machine(tmp_path_factory.mktemp("vm"), provision=PROVISION) as booted:
        log_in(booted)
        yield booted


def ask_for(machine, url, pin):
    """What is said of a fetch. The line scrolls at 80 columns, so that its echo is not the line."""
    machine.position = len(machine.console)
    machine.send(f"xCommand Upgrade Fetch: {url} {pin}".rstrip() + "\r")
    return machine.expect(r"\n((?:.*\n)*?)edge1> ?$", 15)[1]


def fetch(machine, port, path, pin=""):
    """The upgrade's state when it has ended, and all of xStatus Upgrade."""
    said = ask_for(machine, f"https://{HOST}:{port}{path}", pin)
    assert "Fetching" in said, said
    deadline = time.monotonic() + qemu.patience(90)
    while time.monotonic() < deadline:
        status = ask(machine, "xStatus Upgrade")
        state = re.search(r"Upgrade State: (\S+)", status)[1].strip().lower()
        if state in ("installed", "failed"):
            return state, status
        time.sleep(0.3)
    raise AssertionError("the upgrade did not end: " + status)


def refused(machine, port, path, pin, reason):
    """A fetch that fails before it is an upgrade: an event tells why."""
    before = ask(machine, "xStatus Log").count("upgrade-failed")
    assert "Fetching" in ask_for(machine, f"https://{HOST}:{port}{path}", pin)
    deadline = time.monotonic() + qemu.patience(60)
    while time.monotonic() < deadline:
        log = ask(machine, "xStatus Log")
        if log.count("upgrade-failed") > before:
            assert reason in log, log
            return log
        time.sleep(0.3)
    raise AssertionError("nothing was said: " + log)


def test_from_pythons_server(machine, folder, pin):
    with serve(folder, Quiet) as port:
        state, status = fetch(machine, port, "/second.update", pin)
    assert state == "installed", status
    assert "Source: https" in status and "build=second.update" in status
    size = (folder / "second.update").stat().st_size
    assert f"Bytes: {size} of {size}" in status


def test_from_openssls_server_without_a_length(machine, folder, pin):
    port = qemu.free_port("tcp")
    server = subprocess.Popen(["openssl", "s_server", "-WWW", "-quiet", "-accept",
                               f"127.0.0.1:{port}", "-cert", "cert.pem", "-key", "key.pem"],
                              cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        state, status = fetch(machine, port, "/second.update", pin)
    finally:
        server.kill()
        server.wait()
    assert state == "installed", status


def test_broken_connections_are_resumed_where_they_ended(machine, folder, pin):
    Breaking.begun_at.clear()
    with serve(folder, Breaking) as port:
        state, status = fetch(machine, port, "/second.update", pin)
    assert state == "installed", status
    assert len(Breaking.begun_at) >= 5, Breaking.begun_at
    assert Breaking.begun_at == sorted(set(Breaking.begun_at)), Breaking.begun_at


def test_damage_on_the_server_is_refused(machine, folder, pin):
    with serve(folder, Quiet) as port:
        state, status = fetch(machine, port, "/damaged.update", pin)
    assert state == "failed" and "is damaged" in status, status
    assert "Upgrade failed" in ask(machine, "xStatus Alarm")


def test_another_certificate_is_refused_and_named(machine, folder, pin):
    with serve(folder, Quiet) as port:
        log = refused(machine, port, "/second.update", "00" * 32,
                      "certificate is not the one expected")
    assert pin in log.replace("\r", "").replace("\n", "")


def test_the_fingerprint_can_be_a_setting(machine, folder, pin):
    colons = ":".join(pin[i:i + 2] for i in range(0, 64, 2)).upper()
    machine.send(f"xConfiguration Upgrade Server Fingerprint: {colons}\r")
    machine.expect(r"^OK\s*^edge1> ?$")
    with serve(folder, Moving) as port:
        state, status = fetch(machine, port, "/moved/second.update")
        assert state == "installed", status
        refused(machine, port, "/round", "", "redirects without end")
        refused(machine, port, "/plain", "", "not https")
        refused(machine, port, "/nothing-here", "", "no such file")
    ask(machine, 'xConfiguration Upgrade Server Fingerprint: ""')


@pytest.mark.parametrize("url,pin,reason", [
    ("http://10.0.2.2/x", "0" * 64, "begins with https://"),
    ("https://10.0.2.2/x", "1234", "64 hexadecimal digits"),
    ("https://10.0.2.2/x", "", "whose certificate?"),
    ("https://u@10.0.2.2/x", "0" * 64, "user name"),
])
def test_what_cannot_be_fetched(machine, url, pin, reason):
    assert reason in ask_for(machine, url, pin)


def test_cancel(machine, pin):
    # A port nobody answers on but that takes connections: the handshake never comes.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "Fetching" in ask_for(machine, f"https://{HOST}:{port}/x", pin)
        assert "on its way" in ask_for(machine, f"https://{HOST}:{port}/x", pin)
        assert "ERROR" not in ask(machine, "xCommand Upgrade Cancel")
        assert "no upgrade is on its way" in ask(machine, "xCommand Upgrade Cancel")
