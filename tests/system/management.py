"""A machine with a signalling and a management network, for tests of what is served where.

    phone (10.77.0.11) --- LAN1 10.77.0.2 [edge] LAN3 10.9.0.9 --- manager (10.9.0.1, 192.0.2.10)

The manager's second address is beyond LAN3's subnet: it is reached by a static route only. The edge
is the Linux process, or the booted image (board="image"); then all its ports and all hosts are on
one switch, and addresses and interfaces alone tell the networks apart.
"""

import re
import subprocess

import host as host_board
import netns
import operator_console
import qemu

LAN1, LAN3, LAN3_V6 = "10.77.0.2", "10.9.0.9", "fd09::9"
MANAGER, MANAGER_FAR = "10.9.0.1", "192.0.2.10"
COMMUNITY = "open-sesame"
PROVISION = operator_console.PROVISION + f"""\
xConfiguration Network Port 1 IPv4 Address: {LAN1}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration Network IPv4 Gateway: 10.77.0.11
xConfiguration SIP Domain 1 Name: example.com
xConfiguration Console Severity: Emergency
xConfiguration SNMP Mode: On
xConfiguration SNMP Community: {COMMUNITY}
"""
SYS_NAME = "1.3.6.1.2.1.1.5.0"


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Site:
    """The networks, their hosts and the edge between them; a context manager."""

    def __init__(self, folder, provision=PROVISION, board="host"):
        self.folder, self.provision, self.board = folder, provision, board
        self.network = netns.Network()

    def __enter__(self):
        self.network.__enter__()
        self.phone = self.network.host("phone", "10.77.0.11/24")
        self.manager = self.network.host("manager")
        if self.board == "image":
            self._attach_image()
        else:
            self._attach_process()
        self.start()
        return self

    def _address_manager(self):
        for address in (f"{MANAGER}/24", f"{MANAGER_FAR}/32", "fd09::1/64"):
            extra = ["nodad"] if ":" in address else []
            ip("-n", self.manager.namespace, "address", "add", address, "dev", netns.INTERFACE,
               *extra)
        ip("-n", self.manager.namespace, "link", "set", netns.INTERFACE, "up")
        self.manager.addresses = [f"{MANAGER}/24"]

    def _attach_image(self):
        self._address_manager()
        ports = [qemu.tap_net(self.network.tap(f"tap{i}"), f"net{i}") for i in range(3)]
        self.machine = qemu.Machine(self.folder / "vm", netdevs=ports,
                                    netns=self.network.switch, provision=self.provision)

    def _attach_process(self):
        self.edge_host = self.network.host("edge")
        edge, manager = self.edge_host.namespace, self.manager.namespace
        ip("-n", edge, "link", "add", "lan2", "type", "veth", "peer", "name", "lan2far")
        ip("-n", manager, "link", "delete", netns.INTERFACE)
        ip("-n", edge, "link", "add", "lan3", "type", "veth", "peer", "name", netns.INTERFACE,
           "netns", manager)
        for name in ("lan2", "lan2far", "lan3"):
            ip("-n", edge, "link", "set", name, "up")
        self._address_manager()
        self.machine = host_board.HostMachine(
            self.folder, netns.INTERFACE, edge, provision=self.provision,
            options=["--packet", "lan2", "--packet", "lan3"])

    def __exit__(self, *_):
        self.machine.stop()
        self.network.__exit__()

    def start(self):
        self.machine.start()
        operator_console.log_in(self.machine)

    def restart(self):
        """As after xCommand Restart: the same store, a new run."""
        if self.board == "image":
            self.machine.send("xCommand Restart Confirm: Yes\r")
            operator_console.log_in(self.machine)
            return
        self.machine.stop()
        self.start()

    def ask(self, line):
        return operator_console.ask(self.machine, line)

    def set(self, setting):
        said = self.ask("xConfiguration " + setting)
        assert re.search(r"^OK", said, re.MULTILINE), said

    def refuse(self, setting):
        said = self.ask("xConfiguration " + setting)
        assert "ERROR" in said, said
        return said


def snmp(host, *words, tool="snmpget", credentials=("-v2c", "-c", COMMUNITY), tries=1):
    """A stock client's answer, or None when there is none."""
    done = host.run(tool, *credentials, "-On", "-t", "2", "-r", str(tries), *words, check=False,
                    timeout=60)
    return done.stdout if done.returncode == 0 else None


# How long silence is listened to; who is to answer has longer, on a machine with other work.
SILENCE_S, ANSWER_S = 2, 15


def reaches(host, address, name="edge1", tries=7):
    answer = snmp(host, address, SYS_NAME, tries=tries)
    return answer is not None and name in answer


def is_cut_off(host, address):
    return not reaches(host, address, tries=1)


def ssh_greets(host, address, seconds=ANSWER_S):
    """Whether an SSH server answers at the address: its identification is the first thing said."""
    code = ("import socket, sys; host, seconds = sys.argv[1:]; "
            "s = socket.create_connection((host, 22), float(seconds)); print(s.recv(7).decode())")
    return "SSH-2.0" in host.run("python3", "-c", code, address, seconds, check=False).stdout


OPTIONS = ("OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {me}:{port};branch=z9hG4bK{port}\r\n"
           "Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:{to}>\r\n"
           "Call-ID: {port}@{me}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
SPEAK = """
import socket, sys
me, to, port, text, seconds = sys.argv[1:6]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((me, 0))
s.settimeout(float(seconds))
text = text.replace("PORT", str(s.getsockname()[1]))
s.sendto(text.encode(), (to, int(port)))
try:
    print(s.recv(2000).decode().splitlines()[0])
except TimeoutError:
    print("silence")
"""


def sip_options(host, me, to, seconds=ANSWER_S):
    text = OPTIONS.format(to=to, me=me, port="PORT")
    return host.run("python3", "-c", SPEAK, me, to, "5060", text, seconds).stdout.strip()


LISTEN = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
s.settimeout(float(sys.argv[3]))
print("ready", flush=True)
data, peer = s.recvfrom(4000)
print(peer[0], data.hex(), flush=True)
"""


class Listener:
    """Takes one datagram at `address` of a host: who sent it, and what."""

    def __init__(self, host, address, port, timeout=20):
        self.process = host.start("python3", "-c", LISTEN, address, port, timeout,
                                  stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def take(self):
        words = self.process.stdout.readline().split()
        assert words, "nothing came"
        return words[0], bytes.fromhex(words[1])
