"""SIP over WebSocket (RFC 7118) through the booted image: phones of SIP.js in headless Chromium
register by WSS, call each other with sound both ways, and exchange messages with SIPp on UDP.
They call a plain phone (baresip, RTP by UDP) and are called by it: ICE, lite or as a full agent,
and DTLS-SRTP end at the appliance, and both ends count what they hear. Relayed, they see each other
by one transport."""

import hashlib
import pathlib
import re
import shutil
import subprocess

import browser
import host as host_board
import netns
import phone
import pytest
import qemu

SERVER, CLIENT, DESK, NOBODY = "10.78.0.1", "10.78.0.2", "10.78.0.3", "10.78.0.9"
WSS, WS = f"wss://{SERVER}:7443/", f"ws://{SERVER}:5066/"
PAGE = pathlib.Path(__file__).with_name("sipjs.html")
SCENARIOS = pathlib.Path(__file__).with_name("sipp")
SIPJS = "sip.js@0.21.2"
SIPJS_SHA256 = "abbf374bccf50fdd0f659e24dd70a83a0bad09553bd16fa4b6c94021053f66cb"
PASSWORD = "Correct-Horse-7"
PROVISION = f"""\
xConfiguration System Name: edge1
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {SERVER}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration SIP Domain 1 Name: example.com
xConfiguration SIP Authentication Algorithms: MD5
xConfiguration SIP WSS Mode: On
xConfiguration SIP WebSocket Origin 1 Address: file://
xConfiguration Authentication User 1 Name: alice
xConfiguration Authentication User 1 Password: secret
xConfiguration Authentication User 2 Name: bob
xConfiguration Authentication User 2 Password: builder
xConfiguration Authentication User 3 Name: desk
xConfiguration Authentication User 3 Password: table
xConfiguration Zones LocalZone SubZones SubZone 1 Name: Browsers
xConfiguration Zones LocalZone MembershipRule 1 SubZoneName: Browsers
xConfiguration Zones LocalZone SubZones SubZone 1 SIP Media ICE Support: On
xConfiguration Zones LocalZone MembershipRule 1 Subnet: {NOBODY}/32
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: {PASSWORD}
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page with the library beside it."""
    folder = tmp_path_factory.mktemp("sipjs")
    done = subprocess.run(["npm", "pack", SIPJS], cwd=folder, capture_output=True, text=True,
                          timeout=120, check=False)
    packed = list(folder.glob("sip.js-*.tgz"))
    assert done.returncode == 0 and packed, f"SIP.js cannot be had: {done.stderr}"
    assert hashlib.sha256(packed[0].read_bytes()).hexdigest() == SIPJS_SHA256
    subprocess.run(["tar", "xzf", packed[0]], cwd=folder, check=True)
    (folder / "package").rename(folder / "sip.js")
    shutil.copy(PAGE, folder)
    return folder / PAGE.name


@pytest.fixture(scope="module")
def scene(page, tmp_path_factory):
    with netns.Network() as network:
        client = network.host("client", f"{CLIENT}/24")
        desk_host = network.host("desk", f"{DESK}/24")
        machine = qemu.Machine(tmp_path_factory.mktemp("image"), netns=network.switch,
                               netdevs=[qemu.tap_net(network.tap())], provision=PROVISION)
        machine.start()
        machine.expect(r"SIP ready .* wss/10\.78\.0\.1:7443", 240)
        machine.expect(r"login:", 60)
        folder = tmp_path_factory.mktemp("chromium")
        with browser.Chromium(folder, client, "--ignore-certificate-errors") as chromium:
            chromium.open(page)
            netns.wait_for(lambda: chromium.run("typeof startPhone") == "function",
                           qemu.patience(20), "the page's script")
            for name, password in (("alice", "secret"), ("bob", "builder")):
                chromium.run(f"startPhone('{name}', '{password}', '{WSS}')", 60)
            yield machine, client, chromium, desk_host
        machine.stop()


def test_browsers_call_each_other(scene):
    heard = scene[2].run("callPhone('alice', 'bob', 50)", 60)
    assert min(heard) >= 50, heard


@pytest.fixture(scope="module")
def operator(scene):
    machine = scene[0]
    machine.send("admin\r")
    machine.expect(r"password: ")
    machine.send(PASSWORD + "\r")
    machine.expect(r"edge1> ")
    return machine


@pytest.fixture(scope="module")
def desk(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    with phone.Phone(folder, scene[3], "desk", "example.com", "table", server=SERVER,
                     answer="auto") as one:
        one.wait_registered(qemu.patience(20))
        yield one


def check_web(heard):
    assert heard["received"] >= 50 and heard["sent"] >= 50, heard
    assert heard["state"] == "connected" and heard["srtp"], heard


def test_a_browser_calls_a_plain_phone(scene, desk):
    mark = desk.mark()
    heard = scene[2].run("callOut('alice', 'desk', 100)", 120)
    check_web(heard)
    counted = desk.wait(r"packets:\s+(\d+)\s+(\d+)", since=mark)
    assert min(int(counted[1]), int(counted[2])) > 50, counted
    assert heard["reported"], heard  # the phone's RTCP comes by the port of RTP


def test_a_plain_phone_calls_a_browser(scene, desk):
    mark = desk.mark()
    desk.command("dial", "sip:alice@example.com")
    desk.wait("Call established", since=mark, timeout=qemu.patience(20))
    check_web(scene[2].run("heardBy('alice', 100)", 120))
    desk.command("hangup")
    counted = desk.wait(r"packets:\s+(\d+)\s+(\d+)", since=mark)
    assert min(int(counted[1]), int(counted[2])) > 50, counted


@pytest.fixture
def full_agent(operator):
    rule = "xConfiguration Zones LocalZone MembershipRule 1 Subnet"
    operator.ask(f"{rule}: {CLIENT}/32")
    yield operator
    operator.ask(f"{rule}: {NOBODY}/32")


def test_a_browser_meets_a_full_agent_and_controls(scene, desk, full_agent):
    heard = scene[2].run("callOut('alice', 'desk', 100)", 120)
    check_web(heard)
    assert heard["role"] == "controlling", heard
    said = full_agent.ask("xCommand Log Show: last=8")
    assert re.search(rf"to {re.escape(CLIENT)}:\d+, straight", said), said


def test_a_browser_meets_a_full_agent_and_is_controlled(scene, desk, full_agent):
    calls = scene[2].run("callsOf('alice')")
    desk.command("dial", "sip:alice@example.com")
    heard = scene[2].run(f"heardBy('alice', 100, {calls})", 120)
    check_web(heard)
    assert heard["role"] == "controlled", heard  # towards a lite agent it would control
    assert "ice=straight" in full_agent.ask("xStatus SIP Media Stream")
    desk.command("hangup")


def test_a_message_from_browser_to_browser(scene):
    assert scene[2].run("sendText('bob', 'alice', 'grüße 🎉')", 30) == 200
    assert scene[2].run("textsOf('alice', 1)", 30) == ["grüße 🎉"]


def test_who_is_not_there_is_said_to_be_so(scene):
    assert scene[2].run("refusedCall('alice', 'nobody')", 30) in (404, 480)


def test_another_protocol_is_refused(scene):
    assert scene[2].run(f"openSocket('{WSS}', 'sip')", 30) == "open"
    assert scene[2].run(f"openSocket('{WSS}', 'xmpp')", 30) == "closed"


def test_another_origin_is_refused(scene):
    client = scene[1]
    for origin, wanted in (("file://", "101"), ("https://evil.example", "403")):
        done = client.run(
            "curl", "-sk", "-m", "5", "--http1.1", "-o", "/dev/null", "-w", "%{http_code}",
            "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", f"Origin: {origin}",
            "-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Protocol: sip",
            "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            WSS.replace("wss", "https"), check=False)
        assert done.stdout == wanted, done


def test_the_operator_sees_them(operator):
    operator.send("xStatus SIP Registration\r")
    operator.expect(r"SIP Registration alice@example\.com: .*transport=WSS")
    operator.expect(r"edge1> ")


@pytest.mark.parametrize("policy", ["balanced", "max-bundle"])
def test_browsers_see_each_other_through_the_relay_by_one_transport(scene, operator, policy):
    operator.ask("xConfiguration SIP Media Mode: On")
    try:
        seen = scene[2].run(f"callWithVideo('alice', 'bob', 20, '{policy}')", 150)
        said = operator.ask("xStatus SIP Media Stream")
        scene[2].run("hangUp('bob')", 30)
    finally:
        operator.ask("xConfiguration SIP Media Mode: Auto")
    for one in seen:
        assert one["pictures"] >= 20 and one["sound"] >= 50 and one["srtp"], (seen, said)
        assert one["transports"] == 1, seen  # BUNDLE, RTCP with it
    # Sound and pictures are one stream to the relay, each end under keys of its own with us.
    assert len(re.findall(r"SIP Media Stream \d+\.\d+:", said)) == 1, said
    assert said.count("keys=dtls-srtp") == 2, said
    assert said.count("flow=yes") == 2, said
    assert all(int(count) < 5 for count in re.findall(r"refused=(\d+)", said)), said


def test_after_unregistering_a_phone_is_not_reached(scene):
    chromium = scene[2]
    chromium.run("unregister('bob')", 30)
    assert chromium.run("refusedCall('alice', 'bob')", 30) == 480


def test_browsers_are_served_in_the_clear_where_a_proxy_ends_tls(page, tmp_path_factory):
    """What such a proxy would send on: WebSocket without TLS. On the Linux process."""
    with netns.Network() as network:
        client = network.host("client", f"{CLIENT}/24")
        provision = PROVISION.replace("SIP WSS Mode", "SIP WS Mode")
        folder = tmp_path_factory.mktemp("clear")
        (folder / "chromium").mkdir()
        edge = host_board.edge_of("host", folder / "edge", network, provision)
        with edge, browser.Chromium(folder / "chromium", client) as chromium:
            edge.expect(r"SIP ready .* ws/10\.78\.0\.1:5066", 90)
            edge.expect(r"login:", 60)
            chromium.open(page)
            netns.wait_for(lambda: chromium.run("typeof startPhone") == "function",
                           qemu.patience(20), "the page's script")
            for name, password in (("alice", "secret"), ("bob", "builder")):
                chromium.run(f"startPhone('{name}', '{password}', '{WS}')", 60)
            assert chromium.run("sendText('bob', 'alice', 'grüße')", 30) == 200
            assert chromium.run("textsOf('alice', 1)", 30) == ["grüße"]
            heard = chromium.run("callPhone('alice', 'bob', 50)", 60)
            assert min(heard) >= 50, heard
