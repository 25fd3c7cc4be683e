"""An appliance with an HSM as its operator has it: on the signed image behind QEMU's virtio-serial
port, or as a Linux process at its Unix socket or with the module loaded (`board` is then "module");
keys certified by an OpenSSL authority; everything by the serial console.
"""

import re
import subprocess
import time

import authority
import host as host_board
import netns
import operator_console
import qemu
import softhsm

EDGE, PHONE = "10.77.0.2", "10.77.0.11"
PROVISION = operator_console.PROVISION + f"""\
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {EDGE}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration SIP Domain 1 Name: example.com
xConfiguration Console Severity: Emergency
"""
PORT = "org.gatehouse.hsm"


class Site:
    """The appliance, a host beside it, an authority. A context manager; the machine runs in it."""

    def __init__(self, board, folder, provision="", qemu_options=(), tpm=None):
        self.board, self.folder, self.tpm = board, folder, tpm
        self.provision, self.qemu_options = PROVISION + provision, list(qemu_options)
        self.network = netns.Network()
        self.token = folder / "hsm.sock"  # where the local HSM's server connects

    def __enter__(self):
        self.network.__enter__()
        try:
            self.phone = self.network.host("phone", f"{PHONE}/24")
            self.authority = authority.Authority(self.folder)
            self._make_machine()
            self.machine.start()
            self.log_in()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if hasattr(self, "machine"):
            self.machine.stop()
        self.network.__exit__()

    def _make_machine(self):
        if self.board == "image":
            self.machine = qemu.Machine(
                self.folder / "vm", netdevs=[qemu.tap_net(self.network.tap())],
                netns=self.network.switch, provision=self.provision, memory="512M", tpm=self.tpm,
                extra=["-chardev", f"socket,id=hsm,path={self.token},server=on,wait=off",
                       "-device", f"virtserialport,chardev=hsm,name={PORT}", *self.qemu_options])
        else:
            self.machine = host_board.HostMachine(
                self.folder / "vm", netns.INTERFACE, self.network.host("edge").namespace,
                self.provision, ["--token-module", softhsm.MODULE] if self.board == "module"
                else ["--token", self.token])

    def restart(self):
        self.machine.stop()
        self.machine.start()

    # --- The operator ----------------------------------------------------------------------------
    def log_in(self):
        operator_console.log_in(self.machine)

    def set_up(self):
        """The first set-up at the console, as on an empty machine, and log-in."""
        answers = {"Administrator name": "admin", "Password (": operator_console.PASSWORD,
                   "password again": operator_console.PASSWORD, "Host name": "edge1",
                   "Keep the network": "yes", "Address of LAN1": f"{EDGE}/24", "gateway": "",
                   "DNS server": "", "Time server": "", "SIP domain": "", "Save this": "yes"}
        asked = ""
        while asked != "Save this":  # which of them are asked depends on what was set before
            asked = self.machine.expect("|".join(map(re.escape, answers)), timeout=30).group(0)
            self.machine.send(answers.pop(asked) + "\r")
        self.log_in()

    def ask(self, line):
        return operator_console.ask(self.machine, line)

    def set(self, setting):
        said = self.ask("xConfiguration " + setting)
        assert re.search(r"^OK", said, re.MULTILINE), said

    def wait_for(self, line, pattern, seconds, interval=0.2):
        """How long it took until the answer to `line` matched."""
        begin = time.monotonic()
        while True:
            said = self.ask(line)
            if re.search(pattern, said):
                return time.monotonic() - begin
            assert time.monotonic() - begin < seconds, said
            time.sleep(interval)

    def paste(self, command, *files):
        """The answer to a command that takes pasted text."""
        begin = len(self.machine.console)
        self.machine.position = begin
        self.machine.send(command + "\r")
        self.machine.expect("Control-C gives up")
        for file in files:
            for line in (self.folder / file).read_text().splitlines():
                self.machine.send(line + "\r")
                time.sleep(0.005)
        self.machine.send(".\r")
        self.machine.expect(operator_console.PROMPT)
        return self.machine.console[begin:]

    def add_local_module(self, name="rack1", token="gatehouse"):
        transport = "Module" if self.board == "module" else "Virtio"
        said = self.ask(f"xCommand HSM Module Add: {name} {transport} {token}")
        assert "HSM Module successfully added" in said, said
        self.set(f"HSM Module 1 PIN: {softhsm.PIN}")
        said = self.ask("xCommand HSM Mode Set: On")
        assert "HSM Mode successfully updated" in said, said

    # --- The authority ---------------------------------------------------------------------------
    def make(self, command):
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False,
                              cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def certify(self, label, name):
        """A certificate put in force as the server certificate: for a key of the HSM, or (None) one
        that is made in the device."""
        said = self.ask("xCommand Certificate CSR " +
                        ("Generate" if label is None else f"Token: {label}"))
        assert "gives the request" in said, said
        self.wait_for("xStatus Certificate CSR", "State: Ready", qemu.patience(20))
        text = self.ask("xCommand Certificate CSR Show")
        begin = text.index("-----BEGIN")
        (self.folder / f"{name}.csr").write_text(text[begin:text.index("-----END") + 33] + "\n")
        self.authority.sign(f"{name}.csr", f"{name}.pem", authority.server(f"DNS:{name}"))
        said = self.paste("xCommand Certificate Upload", f"{name}.pem")
        assert re.search(r"^OK", said, re.MULTILINE), said

    # --- Clients ---------------------------------------------------------------------------------
    def s_client(self, *flags, seconds=30):
        done = self.phone.run("openssl", "s_client", "-connect", f"{EDGE}:5061", "-CAfile",
                              self.folder / "root.pem", *flags, check=False, input="",
                              timeout=qemu.patience(seconds))
        return done.stdout + done.stderr

