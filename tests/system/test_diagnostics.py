"""Diagnostics on a running machine: tests an operator runs from the console, against stock servers,
and the metrics page with curl and Prometheus's own parser."""

import base64
import hashlib
import re
import ssl
import subprocess

import authority
import management
import netns
import pytest
from management import LAN1, LAN3

PHONE = "10.77.0.11"
PROVISION = management.PROVISION + f"""\
xConfiguration DNS Server 1 Address: {PHONE}
xConfiguration Metrics Mode: On
xConfiguration Network DMI IPv4 Address: {LAN3}
xConfiguration Network DMI Mode: On
"""
# Answers A questions for known.example, everything else with "no such name".
DNS = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    q, peer = s.recvfrom(512)
    end = q.index(b"\\0", 12) + 5
    known = q[12:end].lower().startswith(b"\\x05known\\x07example\\0\\0\\x01")
    head = q[:2] + (b"\\x81\\x80" if known else b"\\x81\\x83") + b"\\0\\x01\\0" + bytes([known])
    answer = b"\\xc0\\x0c\\0\\x01\\0\\x01\\0\\0\\0\\x3c\\0\\x04\\xc0\\0\\x02\\x21" if known else b""
    s.sendto(head + b"\\0\\0\\0\\0" + q[12:end] + answer, peer)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnostics")
    with management.Site(folder, PROVISION) as made:
        dns = made.phone.start("python3", "-c", DNS, PHONE, stdout=subprocess.PIPE, text=True)
        assert dns.stdout.readline() == "ready\n"
        authority.self_signed(folder, "phone")
        made.phone.start("openssl", "s_server", "-accept", "8443", "-cert", folder / "phone.pem",
                         "-key", folder / "phone.key", "-quiet", stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        made.folder = folder
        yield made


def run(site, command):
    return site.ask("xCommand " + command)


def test_ping(site):
    said = run(site, f"Diagnostics Ping: {PHONE} 2")
    assert len(re.findall(rf"56 bytes from {PHONE}: seq=\d ttl=64 time=\d+\.\d\d ms", said)) == 2
    assert "2 sent, 2 received" in said
    said = run(site, "Diagnostics Ping: 10.77.0.99 1")
    assert "1 sent, 0 received" in said and "FAILED: no answer" in said


def test_ping_is_ended_by_control_c(site):
    site.machine.send(f"xCommand Diagnostics Ping: {PHONE} 100\r")
    site.machine.expect(r"seq=2")
    site.machine.send("\x03")
    site.machine.expect(r"Stopped\.")
    site.machine.expect(r"edge1> ")


def test_traceroute(site):
    said = run(site, f"Diagnostics Traceroute: {PHONE}")
    assert re.search(rf"^1  {PHONE}  \d+\.\d\d ms", said, re.MULTILINE), said


def test_traceroute_through_a_router(site):
    # The phone forwards to an address of its own network; the packet's life ends there first.
    site.phone.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    site.phone.run("ip", "link", "add", "inside", "type", "veth", "peer", "name", "far")
    site.phone.run("ip", "link", "set", "far", "up")
    site.phone.run("ip", "address", "add", "198.51.100.1/24", "dev", "inside")
    site.phone.run("ip", "link", "set", "inside", "up")
    said = run(site, "Diagnostics Traceroute: 198.51.100.7")
    assert re.search(rf"^1  {PHONE}  ", said, re.MULTILINE), said
    assert "FAILED" in said  # nobody lives there


def test_lookup(site):
    said = run(site, "Diagnostics Lookup: known.example")
    assert "known.example A 192.0.2.33 ttl=60" in said
    assert "FAILED: there is no such name" in run(site, "Diagnostics Lookup: nobody.example SRV")
    assert "ERROR" in run(site, "Diagnostics Lookup: known.example MX")


def test_tcp_connection(site):
    said = run(site, f"Diagnostics Connect: {PHONE} 8443")
    assert re.search(rf"Connected to {PHONE}:8443 from {LAN1}:\d+ \(LAN1\) in \d+\.\d\d ms", said)
    assert "FAILED: refused" in run(site, f"Diagnostics Connect: {PHONE} 1")
    assert "ERROR" in run(site, f"Diagnostics Connect: {PHONE} 65536")


def test_tls_connection_shows_the_certificate(site):
    pem = (site.folder / "phone.pem").read_text()
    wanted = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    said = run(site, f"Diagnostics TLS: {PHONE} 8443")
    assert wanted in said, said
    assert "TLSv1.3" in said


def test_capture_counts_what_fits_its_filter(site):
    assert "Capturing" in run(site, f"Capture Start: Interface LAN1 Host {PHONE} Protocol icmp")
    assert "ERROR" in run(site, "Capture Start: Any")
    run(site, f"Diagnostics Ping: {PHONE} 2")
    run(site, f"Diagnostics Connect: {PHONE} 8443")
    assert re.search(r"4 packets, \d+ bytes", run(site, "Capture Stop"))
    assert "Capture Packets: 4" in site.ask("xStatus Capture")
    for wrong in ("Interface LAN4", "Port 0", "Port", "Protocol xyz", "SizeLimit 3", "Host a.b",
                  "SizeLimit 4096", "Nonsense"):
        assert "ERROR" in run(site, f"Capture Start: {wrong}"), wrong


def test_capture_opens_in_wireshark(site, tmp_path):
    run(site, "Capture Start: Port 8443 Protocol tcp SizeLimit 64")
    run(site, f"Diagnostics TLS: {PHONE} 8443")
    run(site, "Capture Stop")
    lines = re.findall(r"^[A-Za-z0-9+/]{4,76}={0,2}$", run(site, "Capture Dump"), re.MULTILINE)
    path = tmp_path / "capture.pcapng"
    path.write_bytes(base64.b64decode("".join(lines)))
    info = subprocess.run(["capinfos", path], capture_output=True, text=True, check=True).stdout
    assert "pcapng" in info and re.search(r"File encapsulation: +Ethernet", info), info
    assert len(re.findall(r"Name = LAN[123]", info)) == 3, info
    fields = subprocess.run(
        ["tshark", "-r", path, "-Y", "tls.handshake", "-T", "fields", "-e", "frame.interface_name",
         "-e", "tls.handshake.type", "-e", "frame.packet_flags_direction"],
        capture_output=True, text=True, check=True).stdout
    hello = fields.splitlines()[0].split("\t")
    assert hello[0] == "LAN1" and hello[1].startswith("1")  # ClientHello
    assert int(hello[2], 0) == 2  # sent
    assert "ERROR" in run(site, "Capture Start: SizeLimit 1")


def test_history_counts_by_the_second(site):
    def seconds():
        said = run(site, "Diagnostics History: Seconds")
        return re.findall(r"^History Second -(\d+): busy_us=\d+ received_packets=(\d+)", said,
                          re.MULTILINE)
    before = seconds()
    run(site, f"Diagnostics Ping: {PHONE} 3")
    after = seconds()
    assert len(after) >= len(before) + 2 or len(after) == 120
    assert sum(int(count) for _, count in after[:5]) >= 3
    assert "History Second -1: busy_us=" in site.ask("xStatus History")
    assert "ERROR" in run(site, "Diagnostics History: Days")


def page(host, url, *options):
    return host.run("curl", "-sS", "-m", "5", *options, url, check=False)


def test_metrics_are_what_prometheus_reads(site):
    from prometheus_client.parser import text_string_to_metric_families
    done = page(site.phone, f"http://{LAN1}:9100/metrics", "-i")
    head, body = done.stdout.replace("\r\n", "\n").split("\n\n", 1)
    assert head.startswith("HTTP/1.1 200 OK")
    assert "text/plain; version=0.0.4" in head
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert len(families) == 29, sorted(families)
    assert families["gatehouse_build_info"].samples[0].value == 1
    received = {sample.labels["port"]: sample.value
                for sample in families["gatehouse_network_receive_packets"].samples}
    assert received["LAN1"] > 0 and set(received) == {"LAN1", "LAN2", "LAN3"}
    reasons = {s.labels["reason"] for s in families["gatehouse_firewall_dropped"].samples}
    assert {"blocked", "filtered", "closed-port"} <= reasons
    assert families["gatehouse_uptime_seconds"].samples[0].value > 0


def test_metrics_refuse_everything_else(site):
    url = f"http://{LAN1}:9100"
    status = ("-o", "/dev/null", "-w", "%{http_code}")
    assert page(site.phone, url + "/", *status).stdout == "404"
    assert page(site.phone, url + "/metrics", *status, "-d", "x=1").stdout == "400"
    assert page(site.phone, url + "/metrics", *status, "-X", "DELETE").stdout == "405"
    assert page(site.phone, url + "/metrics", *status, "-I").stdout == "200"
    assert page(site.phone, url + "/metrics", *status, "-H", "A: " + "x" * 5000).stdout == "431"


def test_metrics_move_to_the_management_interface_at_once(site):
    assert page(site.manager, f"http://{LAN3}:9100/metrics").returncode == 0
    site.set("Metrics DMI Only: On")
    assert page(site.phone, f"http://{LAN1}:9100/metrics", "-m", "2").returncode != 0
    assert page(site.manager, f"http://{LAN3}:9100/metrics").returncode == 0
    site.set("Metrics DMI Only: Off")
    netns.wait_for(lambda: page(site.phone, f"http://{LAN1}:9100/metrics").returncode == 0, 10,
                   "the page on LAN1")
