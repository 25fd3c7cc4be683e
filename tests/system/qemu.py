"""The QEMU harness of all system tests: boots a disk image under OVMF and talks to its console.

    with qemu.Machine(tmp_path, forwards=[("udp", 5060), ("tcp", 5060)]) as machine:
        machine.expect(r"SIP ready", timeout=60)
        machine.send("xStatus\r")
        port = machine.forwarded("udp", 5060)

The image is never written: the machine runs on a qcow2 overlay (or the caller's own copy with
overlay=False). KVM is used when a trial start works, else TCG. Every machine is stopped by its own
process id; its console is kept in <workdir>/console.log and shown when an expectation fails.
GATEHOUSE_CLOCK_BEHIND_S sets their clocks behind the host's (ahead, if negative), to see what leans
on clocks that agree.
"""

import contextlib
import functools
import json
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "out/pc/gatehouse.img"
QEMU = "qemu-system-x86_64"
OVMF_FOLDERS = ("/usr/share/OVMF", "/usr/share/ovmf", "/usr/share/edk2/x64")
OVMF_CODE = "OVMF_CODE_4M.fd"
OVMF_VARS = "OVMF_VARS_4M.fd"
# Under TCG everything is about this much slower; test timeouts are given for KVM-like speed.
TCG_PATIENCE = 4
PORTS = (20_000, 32_000)


class Failure(AssertionError):
    """An expectation that was not met; the message ends with the console's last lines."""


@functools.lru_cache(maxsize=None)
def accelerator():
    """'kvm' if a machine really starts with it, else 'tcg'. GATEHOUSE_ACCEL overrides."""
    forced = os.environ.get("GATEHOUSE_ACCEL")
    if forced:
        return forced
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    command = [QEMU, "-machine", "q35", "-accel", "kvm", "-cpu", "max", "-display", "none",
               "-nodefaults", "-S", "-qmp", "stdio"]
    script = '{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n'
    try:
        result = subprocess.run(command, input=script, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "tcg"
    return "kvm" if result.returncode == 0 and '"return"' in result.stdout else "tcg"


def patience(seconds):
    """A timeout fit for the accelerator in use."""
    return seconds if accelerator() == "kvm" else seconds * TCG_PATIENCE


def ovmf(name):
    for folder in OVMF_FOLDERS:
        if (path := Path(folder) / name).exists():
            return path
    raise FileNotFoundError(f"{name} not found: `make deps` installs it (package ovmf)")


def free_port(kind):
    """A loopback port nobody uses at this moment, nor is given before it is taken: below those that
    the kernel gives to who asks for any."""
    family = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    while True:
        port = random.randrange(*PORTS)
        with socket.socket(socket.AF_INET, family) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def copy_image(source, target):
    """A sparse, writable copy of a disk image, to be altered by the caller."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)],
                   check=True)
    os.chmod(target, 0o644)
    return Path(target)


def user_net(forwards=(), name="net0", restrict=False):
    """QEMU arguments of a user-mode network with (kind, host port, guest port) forwards."""
    parts = [f"user,id={name}"] + (["restrict=on"] if restrict else [])
    parts += [f"hostfwd={kind}:127.0.0.1:{host}-:{guest}" for kind, host, guest in forwards]
    return ",".join(parts)


def tap_net(interface, name="net0"):
    """A TAP that the test made beforehand (in the machine's network namespace)."""
    return f"tap,id={name},ifname={interface},script=no,downscript=no"


def socket_net(port, listen, name="net0"):
    """A link between two machines over loopback TCP."""
    return f"socket,id={name}," + (f"listen=127.0.0.1:{port}" if listen
                                   else f"connect=127.0.0.1:{port}")


class Machine:
    """One virtual machine. Use as a context manager, or call start() and stop()."""

    def __init__(self, workdir, image=IMAGE, *, memory="1G", cpus=1, cpu="max", overlay=True,
                 forwards=(), netdevs=None, provision=None, fw_cfg=None, extra=(), netns=None,
                 ovmf_code=OVMF_CODE, ovmf_vars=OVMF_VARS, disk_options="", reboot=True, tpm=None):
        self.workdir = Path(workdir)
        self.image = Path(image)
        self.memory, self.cpus, self.cpu, self.overlay = memory, cpus, cpu, overlay
        self.netdevs = netdevs
        self.station = 0x68  # in its MAC addresses; another where machines share a network
        # Of its real-time clock, to the host's: no test may lean on the two agreeing.
        self.clock_behind_s = int(os.environ.get("GATEHOUSE_CLOCK_BEHIND_S", 0))
        self.fw_cfg = dict(fw_cfg or {})
        if provision is not None:
            self.fw_cfg["opt/gatehouse/provision"] = provision
        self.extra, self.netns, self.reboot, self.tpm = list(extra), netns, reboot, tpm
        self.ovmf_code, self.ovmf_vars, self.disk_options = ovmf_code, ovmf_vars, disk_options
        self.wanted_forwards = [(f[0], f[1]) for f in forwards]
        self.ports = {}
        self.process = None
        self.console = ""  # everything the serial console said since start()
        self.position = 0  # expect() goes on from here
        self._lock = threading.Condition()
        self._qmp = None
        self._sink = None  # of a program that pipe() runs

    # --- Life ------------------------------------------------------------------------------------
    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    def start(self):
        assert self.process is None, "already running"
        self.workdir.mkdir(parents=True, exist_ok=True)
        if not self.image.exists():
            raise FileNotFoundError(f"{self.image}: run `make image` first")
        command = self._command()
        if self.netns:
            command = ["ip", "netns", "exec", self.netns] + command
        (self.workdir / "qemu.cmd").write_text(" ".join(command) + "\n")
        self._stderr = open(self.workdir / "qemu.err", "wb")
        self.console, self.position = "", 0
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self._stderr, bufsize=0)
        self._reader = threading.Thread(target=self._read_console, daemon=True)
        self._reader.start()
        return self

    def stop(self, timeout=20):
        """Ends QEMU: asked by QMP first, then killed."""
        if self.process is None:
            return
        if self.process.poll() is None:
            with contextlib.suppress(Exception):
                self.qmp("quit")
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self._close()

    def kill(self):
        """A power cut: SIGKILL, nothing is flushed by QEMU."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close()

    def wait(self, timeout):
        """Waits until the machine powers itself off; returns QEMU's exit code."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"still running after {timeout} s{self.tail()}") from None
        self._close()
        return code

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def _close(self):
        if self._qmp is not None:
            self._qmp.close()
            self._qmp = None
        if self.process is not None:
            self._reader.join(5)
            self.process.stdin.close()
            self.process.stdout.close()
            self._stderr.close()
            self.process = None

    # --- Command line ----------------------------------------------------------------------------
    def _command(self):
        self.accel = accelerator()
        variables = self.workdir / "vars.fd"
        if not variables.exists():
            shutil.copy(ovmf(self.ovmf_vars), variables)
        self.qmp_path = self.workdir / "qmp.sock"
        self.qmp_path.unlink(missing_ok=True)
        command = [
            QEMU, "-machine", "q35", "-accel", self.accel, "-cpu", self.cpu, "-m", self.memory,
            "-smp", str(self.cpus), "-nodefaults", "-display", "none",
            "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={ovmf(self.ovmf_code)}",
            "-drive", f"if=pflash,unit=1,format=raw,file={variables}",
            "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
            "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-device", "i6300esb", "-action", "watchdog=reset",
        ]
        if self.clock_behind_s:
            began = time.gmtime(time.time() - self.clock_behind_s)
            command += ["-rtc", time.strftime("base=%Y-%m-%dT%H:%M:%S", began)]
        if not self.reboot:
            command.append("-no-reboot")
        command += self._disk_arguments() + self._net_arguments() + self._fw_cfg_arguments()
        if self.tpm:
            command += ["-chardev", f"socket,id=tpm,path={self.tpm}",
                        "-tpmdev", "emulator,id=tpm0,chardev=tpm",
                        "-device", "tpm-crb,tpmdev=tpm0"]
        return command + self.extra

    def _disk_arguments(self):
        disk, form = self.image, "raw"
        if self.overlay:
            disk, form = self.workdir / "disk.qcow2", "qcow2"
            if not disk.exists():  # a second start() goes on with the same disk
                subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw",
                                "-b", str(self.image.resolve()), str(disk)], check=True)
        options = f",{self.disk_options}" if self.disk_options else ""
        return ["-drive", f"if=none,id=disk,format={form},file={disk}{options}",
                "-device", "virtio-blk-pci,drive=disk,disable-legacy=on,bootindex=1"]

    def _net_arguments(self):
        netdevs = self.netdevs
        if netdevs is None:
            self.ports = {key: free_port(key[0]) for key in self.wanted_forwards}
            netdevs = [user_net([(k, host, guest) for (k, guest), host in self.ports.items()])]
        arguments = []
        for index, netdev in enumerate(netdevs):
            netdev = re.sub(r"\bid=\w+", f"id=net{index}", netdev)
            # romfile= : no PXE, which would only cost start-up time.
            arguments += ["-netdev", netdev, "-device",
                          f"virtio-net-pci,netdev=net{index},disable-legacy=on,romfile=,"
                          f"mac=52:54:00:67:{self.station:02x}:{index + 1:02x}"]
        return arguments

    def _fw_cfg_arguments(self):
        arguments = []
        for index, (name, text) in enumerate(sorted(self.fw_cfg.items())):
            path = self.workdir / f"fw_cfg.{index}"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            arguments += ["-fw_cfg", f"name={name},file={path}"]
        return arguments

    def forwarded(self, kind, guest_port):
        """The loopback port that reaches the guest's port."""
        return self.ports[(kind, guest_port)]

    # --- Console ---------------------------------------------------------------------------------
    def _read_console(self):
        with open(self.workdir / "console.log", "ab") as log:
            while True:
                try:
                    data = self.process.stdout.read(4096)
                except (OSError, ValueError, AttributeError):
                    data = b""
                with self._lock:
                    if not data:
                        self._lock.notify_all()
                        return
                    if self._sink is not None:
                        with contextlib.suppress(OSError, ValueError):
                            self._sink.write(data)
                        continue
                    log.write(data)
                    log.flush()
                    self.console += data.decode("utf-8", "replace").replace("\0", "")
                    self._lock.notify_all()

    def send(self, text):
        """Types `text`; a line ends with "\\r"."""
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def pipe(self, command, seconds=300):
        """Runs a program whose input and output are the machine's serial line, as a terminal's file
        transfer does; ends it after `seconds`. What it reads is not in `console`."""
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, bufsize=0)
        self._sink = program.stdin

        def to_machine():
            while data := program.stdout.read(4096):
                self.process.stdin.write(data)
                self.process.stdin.flush()
        carrier = threading.Thread(target=to_machine, daemon=True)
        carrier.start()
        try:
            program.wait(seconds)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
        finally:
            self._sink = None
            carrier.join(5)
        errors = program.stderr.read().decode("utf-8", "replace")
        for stream in (program.stdin, program.stdout, program.stderr):
            with contextlib.suppress(OSError):
                stream.close()
        return program.returncode, errors

    def expect(self, pattern, timeout=30, scale=True):
        """Waits for a regular expression in new console output and returns the match."""
        seconds = patience(timeout) if scale else timeout
        deadline = time.monotonic() + seconds
        compiled = re.compile(pattern, re.MULTILINE)
        with self._lock:
            while True:
                match = compiled.search(self.console, self.position)
                if match:
                    self.position = match.end()
                    return match
                left = deadline - time.monotonic()
                ended = not self._reader.is_alive()
                if left <= 0 or ended:
                    why = "the machine ended" if ended else f"not seen in {seconds:.0f} s"
                    raise Failure(f"console: /{pattern}/: {why}{self.tail()}")
                self._lock.wait(min(left, 0.5))

    def expect_not(self, pattern, seconds):
        """Fails if `pattern` appears in new output within `seconds`."""
        try:
            match = self.expect(pattern, timeout=seconds, scale=False)
        except Failure:
            return
        raise Failure(f"console: unexpected {match.group(0)!r}{self.tail()}")

    def ask(self, line, prompt=r"^\S*[>#] ?$", timeout=10):
        """Types a line, waits for the prompt and returns what was printed in between; a listing
        is paged through."""
        start = len(self.console)
        self.position = start
        self.send(line + "\r")
        self.expect(re.escape(line) + r"\s*\r?\n", timeout)
        begin = self.position
        ends = f"--More--|(?:{prompt})"
        while (match := self.expect(ends, timeout)).group(0) == "--More--":
            self.send(" ")
        return re.sub(r"--More--( \(.*?\) ?)?", "", self.console[begin:match.start()])

    def tail(self, lines=25):
        last = "\n".join(self.console.splitlines()[-lines:])
        error = ""
        with contextlib.suppress(OSError):
            error = (self.workdir / "qemu.err").read_text(errors="replace").strip()
        return f"\n--- console, last lines ({self.workdir}) ---\n{last}\n" + (
            f"--- qemu ---\n{error}\n" if error else "")

    # --- QMP -------------------------------------------------------------------------------------
    def qmp(self, command, **arguments):
        """Runs a QMP command and returns its result; events in between are dropped."""
        if self._qmp is None:
            self._qmp = self._qmp_connect()
        request = {"execute": command}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        return self._qmp_exchange(self._qmp, request)

    def _qmp_connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        deadline = time.monotonic() + 60
        while True:
            try:
                connection.connect(str(self.qmp_path))
                break
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)
        self._qmp_file = connection.makefile("rwb")
        json.loads(self._qmp_file.readline())  # greeting
        self._qmp_exchange(connection, {"execute": "qmp_capabilities"})
        return connection

    def _qmp_exchange(self, connection, request):
        self._qmp_file.write(json.dumps(request).encode() + b"\n")
        self._qmp_file.flush()
        while True:
            line = self._qmp_file.readline()
            if not line:
                raise Failure(f"QMP closed{self.tail()}")
            reply = json.loads(line)
            if "error" in reply:
                raise Failure(f"QMP {request['execute']}: {reply['error']}")
            if "return" in reply:
                return reply["return"]

    def monitor(self, line):
        """A human monitor command, for what QMP lacks."""
        return self.qmp("human-monitor-command", command_line=line)

    def reset(self):
        self.qmp("system_reset")

    def cpu_seconds(self):
        """CPU time QEMU has used, user and system (to see that an idle guest sleeps)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
