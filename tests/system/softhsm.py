"""Stock SoftHSM behind stock `p11-kit remote`, joined to the appliance's socket by socat: a local
HSM whose server is killed and started as a test likes. Its token lives in a folder of its own."""

import os
import signal
import subprocess

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "1234"


class SoftHsm:
    def __init__(self, folder, socket, label="gatehouse"):
        self.folder, self.socket, self.process = folder, socket, None
        (folder / "tokens").mkdir(parents=True)
        (folder / "softhsm2.conf").write_text(
            f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n"
            "log.level = ERROR\n", encoding="utf-8")
        self.environment = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm2.conf")}
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

    def start(self):
        """Its server: connects to the appliance's socket again whenever a session has ended."""
        assert self.process is None
        script = (f"while :; do socat UNIX-CONNECT:{self.socket} "
                  f"EXEC:'p11-kit remote {MODULE}' 2>/dev/null; sleep 0.2; done")
        self.process = subprocess.Popen(["sh", "-c", script], env=self.environment,
                                        start_new_session=True, stdin=subprocess.DEVNULL)
        return self

    def kill(self):
        """As a power cut of the HSM."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
