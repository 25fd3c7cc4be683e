"""An HTTPS server of updates on the test's own loopback, for machines on QEMU's user network."""

import contextlib
import functools
import hashlib
import http.server
import ssl
import threading

import authority

HOST = "10.0.2.2"  # the test's own loopback, as the machine sees it


def make_certificate(made):
    """A server's key and certificate in this folder; the certificate's fingerprint."""
    authority.self_signed(made, "updates")
    der = ssl.PEM_cert_to_DER_cert((made / "updates.pem").read_text())
    return hashlib.sha256(der).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_request(self, *_):
        self.server.answered += 1

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(folder, handler):
    """The port of an HTTPS server."""
    with start_server(folder, handler) as server:
        yield server.server_address[1]


@contextlib.contextmanager
def start_server(folder, handler):
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    server.folder, server.answered = folder, 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "updates.pem", folder / "updates.key")
    server.socket = context.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
