"""Stock SoftHSM behind stock p11-kit: a local HSM, whose server socat joins to the appliance's
socket, and a network one, whose server stunnel puts behind mutually authenticated TLS. Their
servers are killed, paused and started as a test likes; tokens live in folders of their own."""

import os
import shutil
import signal
import subprocess

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "1234"


class SoftHsm:
    def __init__(self, folder, socket=None, label="gatehouse", like=None, mechanisms="ALL"):
        """`like`: another one, whose token is copied: one security world in two boxes.
        `mechanisms`: those it has, with commas between; or ALL."""
        self.folder, self.socket, self.process = folder, socket, None
        tokens = folder / "tokens"
        if like is not None:
            folder.mkdir()
            shutil.copytree(like.folder / "tokens", tokens)
        tokens.mkdir(parents=True, exist_ok=True)
        (folder / "softhsm2.conf").write_text(
            f"directories.tokendir = {tokens}\nobjectstore.backend = file\n"
            f"log.level = ERROR\nslots.mechanisms = {mechanisms}\n", encoding="utf-8")
        self.environment = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm2.conf")}
        if like is None:
            self.run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN,
                     "--so-pin", "12345678")

    def run(self, *command):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def tool(self, *words):
        """OpenSC's pkcs11-tool, logged in."""
        return self.run("pkcs11-tool", "--module", MODULE, "--login", "--pin", PIN, *words)

    def command(self):
        """Its server: connects to the appliance's socket again whenever a session has ended."""
        return ["sh", "-c", f"while :; do socat UNIX-CONNECT:{self.socket} "
                f"EXEC:'p11-kit remote {MODULE}' 2>/dev/null; sleep 0.2; done"]

    def start(self):
        assert self.process is None
        self.process = subprocess.Popen(self.command(), env=self.environment,
                                        start_new_session=True, stdin=subprocess.DEVNULL)
        return self

    def kill(self):
        """As a power cut of the HSM."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def pause(self, paused=True):
        """As an HSM that hangs: connected, and no answer comes."""
        os.killpg(self.process.pid, signal.SIGSTOP if paused else signal.SIGCONT)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()


class NetworkSoftHsm(SoftHsm):
    """Behind stunnel on a host of the network. It shows hsm.pem (in `folder`, with hsm.key) and
    takes whoever shows the very certificate in client.pem."""

    PORT = 9004

    def __init__(self, folder, host, **options):
        super().__init__(folder, **options)
        self.host = host

    def command(self):
        (self.folder / "stunnel.conf").write_text(
            f"foreground = quiet\npid =\nsyslog = no\noutput = {self.folder}/stunnel.log\n"
            f"[hsm]\naccept = {self.host.address}:{self.PORT}\n"
            f"cert = {self.folder}/hsm.pem\nkey = {self.folder}/hsm.key\n"
            f"CAfile = {self.folder}/client.pem\nverifyPeer = yes\n"
            f"exec = /usr/bin/p11-kit\nexecArgs = p11-kit remote {MODULE}\n", encoding="utf-8")
        return self.host.command(["stunnel", self.folder / "stunnel.conf"])
