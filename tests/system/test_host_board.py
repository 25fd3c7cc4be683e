"""The Linux process as a machine: how it starts, fails, restarts and ends.

Faults are asked for by --inject, after the seal. What is proved: nothing allocates after the seal
without ending the process, every bad end leaves a crash record that the next start shows, the
sandbox holds, and an unprivileged user can run it in a namespace of his own.
"""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import host as host_board

PROGRAM = host_board.PROGRAM
PROVISION = """\
xConfiguration System Name: hosttest
xConfiguration System MediaCore: On
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: Gate-house-42
"""
BOOT_S = 60


def command(folder, *options):
    (folder / "provision.txt").write_text(PROVISION, encoding="utf-8")
    return [str(word) for word in (
        PROGRAM, "--no-mlock", "--store", folder / "store", "--log", folder / "log",
        "--provision", folder / "provision.txt", *options)]


def run(folder, *options, timeout=BOOT_S):
    return subprocess.run(command(folder, *options), stdin=subprocess.DEVNULL, timeout=timeout,
                          capture_output=True, text=True, errors="replace", check=False)


class Process:
    """A run with its console on a pipe."""

    def __init__(self, folder, *options):
        self.process = subprocess.Popen(command(folder, *options), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.said = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()

    def expect(self, pattern, timeout=BOOT_S):
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.said):
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self.said}"
            data = self.process.stdout.read()
            if data:
                self.said += data.decode(errors="replace")
            elif self.process.poll() is not None and data == b"":
                raise AssertionError(f"ended without {pattern!r}:\n{self.said}")
            time.sleep(0.02)

    def child(self):
        """The appliance's own process, under the supervisor."""
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return int(open(path, encoding="ascii").read().split()[0])


@pytest.mark.parametrize("fault, status, reason", [
    ("malloc", -signal.SIGABRT, "heap allocation after the seal"),
    ("new", -signal.SIGABRT, "heap allocation after the seal"),
    ("panic", -signal.SIGABRT, "2 \\+ 2 == 5"),
    ("segv", -signal.SIGSEGV, "SIGSEGV"),
    ("syscall", -signal.SIGABRT, "forbidden by the sandbox"),
    ("hang", 71, "watchdog"),
    ("media-panic", -signal.SIGABRT, "2 \\+ 2 == 5"),
    ("media-segv", -signal.SIGSEGV, "SIGSEGV"),
    ("media-hang", -signal.SIGABRT, "the media core has not turned"),
])
def test_a_bad_end_leaves_a_record_that_the_next_start_shows(tmp_path, fault, status, reason):
    cores = "2" if fault.startswith("media-") else "auto"
    done = run(tmp_path, "--no-supervisor", "--cores", cores, "--inject", fault)
    assert done.returncode == status, done.stdout + done.stderr
    assert (tmp_path / "store.crash").read_bytes().startswith(b"GHCR")
    # It is shown at once, too; `reason` may stand behind the cause's name.
    assert re.search(f"crash: .*{reason}", done.stderr), done.stderr
    assert re.search(r"  build \S+, up \d+\.\d+ s", done.stderr)
    assert re.search(r"backtrace \(offsets in the image\):\r?\n +[0-9a-f]+", done.stderr)
    assert re.search(r"  event \d+\.\d+ \[notice\] Gatehouse \S+ started", done.stderr)
    with Process(tmp_path, "--no-supervisor") as again:
        again.expect(r"ready|login:|set-up")
        assert re.search(reason, again.said), again.said


def test_without_a_fault_nothing_is_recorded(tmp_path):
    with Process(tmp_path) as process:
        process.expect(r"login:")
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(20) == 0
    assert (tmp_path / "store.crash").read_bytes() == b""


def test_the_supervisor_starts_a_crashed_appliance_again_and_gives_up_in_the_end(tmp_path):
    done = run(tmp_path, "--inject", "panic", timeout=5 * BOOT_S)
    assert done.returncode == 70, done.stderr
    assert done.stderr.count("panic; starting again") == 6
    assert "giving up" in done.stderr


def test_a_killed_supervisor_takes_the_appliance_with_it(tmp_path):
    with Process(tmp_path) as process:
        process.expect(r"login:")
        child = process.child()
        process.process.kill()
        process.process.wait(10)
        deadline = time.monotonic() + 10
        while os.path.exists(f"/proc/{child}/stat"):
            state = open(f"/proc/{child}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
            if state[0] == "Z":
                break
            assert time.monotonic() < deadline, "the appliance outlived its machine"
            time.sleep(0.05)


def test_two_processes_do_not_share_a_store(tmp_path):
    with Process(tmp_path) as process:
        process.expect(r"login:")
        second = run(tmp_path)
        assert second.returncode == 1
        assert "another process uses this file" in second.stderr


def test_it_runs_without_capabilities_behind_a_filter(tmp_path):
    with Process(tmp_path) as process:
        process.expect(r"login:")
        status = open(f"/proc/{process.child()}/status", encoding="ascii").read()
        assert re.search(r"CapEff:\s+0+\n", status), status
        assert re.search(r"CapPrm:\s+0+\n", status)
        assert re.search(r"NoNewPrivs:\s+1\n", status)
        assert re.search(r"Seccomp:\s+2\n", status)


def test_it_sleeps_when_there_is_nothing_to_do(tmp_path):
    """Idle means idle: a turn that always wants another one would burn a processor."""
    with Process(tmp_path) as process:
        process.expect(r"login:")
        time.sleep(1)
        ticks = []
        for _ in range(2):
            stat = open(f"/proc/{process.child()}/stat", encoding="ascii").read()
            ticks.append(sum(map(int, stat.rsplit(")", 1)[1].split()[11:13])))
            time.sleep(3)
        assert (ticks[1] - ticks[0]) / os.sysconf("SC_CLK_TCK") < 0.3


def test_memory_is_locked_or_the_limit_is_named(tmp_path):
    words = [w for w in command(tmp_path) if w != "--no-mlock"]
    limited = ["prlimit", "--memlock=65536:65536", "setpriv", "--bounding-set=-ipc_lock",
               "--inh-caps=-ipc_lock"] if os.geteuid() == 0 else ["prlimit", "--memlock=65536"]
    if shutil.which(limited[0]) is None:
        pytest.skip("no prlimit command")
    done = subprocess.run(limited + words, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=BOOT_S, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "RLIMIT_MEMLOCK is 64 KiB" in done.stderr
    assert "--no-mlock" in done.stderr


def test_a_user_without_privileges_runs_it_on_a_tap_of_his_own(tmp_path):
    if subprocess.run(["unshare", "-rn", "true"], check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    script = ("import subprocess,sys,time,socket\n"
              "p=subprocess.Popen(sys.argv[1:],stdin=subprocess.PIPE,stdout=subprocess.PIPE)\n"
              "text=b''\n"
              "while b'login:' not in text: text+=p.stdout.read1(4096)\n"
              "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(10)\n"
              "s.sendto(b'x',('192.0.2.2',9)); time.sleep(1)\n"
              "print(open('/proc/net/arp').read())\n"
              "p.terminate(); sys.exit(p.wait())\n")
    words = command(tmp_path, "--tap", "gh0", "--host-address", "192.0.2.1/24", "--mac",
                    "02:00:5e:10:00:01")
    text = PROVISION + ("xConfiguration Network Port 1 IPv4 Mode: Static\n"
                        "xConfiguration Network Port 1 IPv4 Address: 192.0.2.2\n"
                        "xConfiguration Network Port 1 IPv4 PrefixLength: 24\n")
    (tmp_path / "provision.txt").write_text(text, encoding="utf-8")
    done = subprocess.run(["unshare", "-rn", "/usr/bin/python3", "-c", script, *words],
                          capture_output=True, text=True, timeout=BOOT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "02:00:5e:10:00:01" in done.stdout


def test_the_console_on_a_unix_socket_and_a_pty(tmp_path):
    import socket
    path = tmp_path / "console"
    with Process(tmp_path, "--console", f"unix:{path}") as process:
        deadline = time.monotonic() + BOOT_S
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        for _ in range(2):  # one client after the other
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(path))
            client.settimeout(BOOT_S)
            text = b""
            while b"login:" not in text:
                client.sendall(b"\r")
                text += client.recv(4096)
            client.close()
        assert process.process.poll() is None


def test_help_and_mistakes():
    help_text = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True)
    assert "--provision FILE" in help_text.stdout
    wrong = subprocess.run([PROGRAM, "--store-size", "9"], capture_output=True, text=True,
                           check=False)
    assert wrong.returncode == 2
    assert "--store-size" in wrong.stderr
