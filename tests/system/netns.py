"""Networks for system tests: namespaces of our own around one switch, nothing outside them.

    with netns.Network() as network:
        alice = network.host("alice", "10.77.0.11/24")
        tap = network.tap("tap0")                  # for a QEMU run with netns=network.switch
        edge = network.host("edge")                # without an address, for our process
        alice.run("ping", "-c1", "10.77.0.2")

Needs root, or a user namespace in which we are root (`unshare -rn`, what `tests/run` does when it
is not root). Everything is deleted at the end, and processes started here are ended by their pid.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import qemu

INTERFACE = "eth0"
SHORTEST_S = 15  # of deadlines


class Unavailable(RuntimeError):
    """Network namespaces cannot be made here; the message says why."""


def _ip(*words, check=True):
    done = subprocess.run(["ip", *words], text=True, capture_output=True, check=False)
    if check and done.returncode != 0:
        raise Unavailable(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Host:
    """One namespace with one interface on the switch."""

    def __init__(self, network, name, namespace, addresses):
        self.network, self.name, self.namespace = network, name, namespace
        self.addresses = list(addresses)
        self.processes = []

    @property
    def address(self):
        return self.addresses[0].split("/")[0]

    def command(self, words):
        return ["ip", "netns", "exec", self.namespace, *map(str, words)]

    def run(self, *words, check=True, timeout=60, **options):
        return subprocess.run(self.command(words), text=True, capture_output=True, check=check,
                              timeout=timeout, **options)

    def start(self, *words, **options):
        """`ip netns exec` replaces itself by the command, so .pid is the command's own."""
        process = subprocess.Popen(self.command(words), **options)
        self.processes.append(process)
        return process

    def packets_in(self):
        """How many its interface has received."""
        path = f"/sys/class/net/{INTERFACE}/statistics/rx_packets"
        return int(self.run("cat", path).stdout)

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(5)
        self.processes.clear()


class Network:
    """A switch and the hosts on it."""

    count = 0

    def __init__(self):
        Network.count += 1
        self.tag = f"gh{os.getpid()}x{Network.count}"
        self.switch = f"{self.tag}sw"
        self.hosts = {}
        self.taps = 0

    def __enter__(self):
        if shutil.which("ip") is None:
            raise Unavailable("no `ip` command: `make deps` installs it (package iproute2)")
        _ip("netns", "add", self.switch)
        try:
            _ip("-n", self.switch, "link", "set", "lo", "up")
            _ip("-n", self.switch, "link", "add", "br0", "type", "bridge", "stp_state", "0",
                "forward_delay", "0")
            _ip("-n", self.switch, "link", "set", "br0", "up")
        except Unavailable:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for host in self.hosts.values():
            host.stop()
        for namespace in [h.namespace for h in self.hosts.values()] + [self.switch]:
            _ip("netns", "delete", namespace, check=False)
        self.hosts.clear()

    def host(self, name, *addresses):
        namespace = f"{self.tag}{name}"
        _ip("netns", "add", namespace)
        host = self.hosts[name] = Host(self, name, namespace, addresses)
        _ip("-n", namespace, "link", "set", "lo", "up")
        # Checksums are filled before a frame leaves: a virtual machine's peer sees a real wire.
        _ip("-n", namespace, "link", "add", INTERFACE, "type", "veth", "peer", "name", f"p{name}",
            "netns", self.switch)
        _ip("-n", self.switch, "link", "set", f"p{name}", "master", "br0", "up")
        for address in addresses:
            duplicate = ["nodad"] if ":" in address else []
            _ip("-n", namespace, "address", "add", address, "dev", INTERFACE, *duplicate)
        _ip("-n", namespace, "link", "set", INTERFACE, "up")
        return host

    def interface(self, host, name):
        """One more interface of the host on the switch, without an address."""
        far = f"{name}{host.name}"
        _ip("-n", host.namespace, "link", "add", name, "type", "veth", "peer", "name", far,
            "netns", self.switch)
        _ip("-n", self.switch, "link", "set", far, "master", "br0", "up")
        _ip("-n", host.namespace, "link", "set", name, "up")

    def vlan(self, host, number, address):
        """An interface of the host for what is tagged with this VLAN on its link to the switch. By
        a program of ours: not every kernel has VLANs."""
        name = f"vlan{number}"
        shim = host.start(sys.executable, pathlib.Path(__file__).with_name("vlan_interface.py"),
                          INTERFACE, name, number, stdout=subprocess.PIPE)
        if shim.stdout.readline().strip() != b"ready":
            raise Unavailable(f"no interface for VLAN {number}")
        _ip("-n", host.namespace, "address", "add", address, "dev", name)
        _ip("-n", host.namespace, "link", "set", name, "up")

    def tap(self, name="tap0", beyond=None):
        """A TAP on the switch, made in its namespace for QEMU to open; or, from the same namespace,
        one on the switch of another network."""
        _ip("-n", self.switch, "tuntap", "add", name, "mode", "tap")
        bridge = "br0"
        if beyond is not None:
            bridge = f"b{name}"
            _ip("-n", self.switch, "link", "add", bridge, "type", "bridge", "stp_state", "0",
                "forward_delay", "0")
            _ip("-n", self.switch, "link", "set", bridge, "up")
            _ip("-n", self.switch, "link", "add", f"v{name}", "type", "veth", "peer", "name",
                f"p{name}", "netns", beyond.switch)
            _ip("-n", self.switch, "link", "set", f"v{name}", "master", bridge, "up")
            _ip("-n", beyond.switch, "link", "set", f"p{name}", "master", "br0", "up")
        _ip("-n", self.switch, "link", "set", name, "master", bridge, "up")
        return name


def deadline(timeout):
    """By time.monotonic(). What comes costs no more by a longer one: none is shorter than other
    work on the same processors may take."""
    return time.monotonic() + max(timeout, qemu.patience(SHORTEST_S))


def wait_for(condition, timeout, what, interval=0.05):
    """Polls `condition` until it is true; its value. Fails with `what`, or what it says when it is
    called, after `timeout` seconds."""
    end = deadline(timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(interval)
