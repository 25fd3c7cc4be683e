"""XMPP in browsers: strophe.js in headless Chromium, by WebSocket (RFC 7395) and by BOSH
(XEP-0206), logs in, chats, is refused; Converse, as its users have it, by WebSocket; host-meta by
curl. On the signed image, in namespaces around one switch."""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess

import pytest

import browser
import host as host_board
import netns
import operator_console
import qemu

SERVER, CLIENT = "10.79.0.2", "10.79.0.11"
PAGE = pathlib.Path(__file__).with_name("xmpp_web.html")
CONVERSE = pathlib.Path(__file__).with_name("converse.html")
LIBRARIES = {
    "strophe.js": ("5.0.0", "cc9001e4cb80e144bdc3e3f5b114a17f22c25cc98a2ef38fabee9774e76c3315"),
    "converse.js": ("14.0.0", "634f31fa0f7b0e47f1abc60d870ff6805c737577399920ebe92da4c7e5bcaff0"),
}
PROVISION = operator_console.PROVISION + f"""\
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {SERVER}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration XMPP Mode: On
xConfiguration XMPP Domain 1 Name: example.com
xConfiguration XMPP Web Mode: On
xConfiguration XMPP Upload Mode: On
xConfiguration XMPP Upload Host: {SERVER}
"""
SOCKET, BOSH = f"wss://{SERVER}:5281/xmpp-websocket", f"https://{SERVER}:5281/http-bind"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The pages with the libraries beside them."""
    folder = tmp_path_factory.mktemp("pages")
    for name, (version, digest) in LIBRARIES.items():
        done = subprocess.run(["npm", "pack", f"{name}@{version}"], cwd=folder, timeout=300,
                              capture_output=True, text=True, check=False)
        packed = folder / f"{name}-{version}.tgz"
        assert done.returncode == 0 and packed.exists(), f"{name} cannot be had: {done.stderr}"
        assert hashlib.sha256(packed.read_bytes()).hexdigest() == digest
        subprocess.run(["tar", "xzf", packed], cwd=folder, check=True)
        (folder / "package").rename(folder / name)
    for one in (PAGE, CONVERSE):
        shutil.copy(one, folder)
    return folder / PAGE.name


@pytest.fixture(scope="module")
def scene(page, tmp_path_factory):
    with netns.Network() as network:
        client = network.host("client", f"{CLIENT}/24")
        machine = host_board.edge_of("image", tmp_path_factory.mktemp("web") / "edge", network,
                                     PROVISION)
        machine.start()
        operator_console.log_in(machine)
        for user in ("alice", "bob"):
            operator_console.ask(machine, f"xCommand XMPP User Add: {user}@example.com secret")
        folder = tmp_path_factory.mktemp("chromium")
        with browser.Chromium(folder, client, "--ignore-certificate-errors") as chromium:
            chromium.open(page)
            netns.wait_for(lambda: chromium.run("typeof logIn") == "function", qemu.patience(20),
                           "the page's script")
            yield machine, client, chromium
        machine.stop()


def curl(scene, path):
    done = scene[1].run("curl", "-sSk", "-m", "20", f"https://{SERVER}:5281{path}", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_host_meta_tells_both_ways(scene):
    links = json.loads(curl(scene, "/.well-known/host-meta.json"))["links"]
    assert {link["rel"].rpartition(":")[2]: link["href"] for link in links} == {
        "websocket": SOCKET, "xbosh": BOSH}
    assert f"href='{SOCKET}'" in curl(scene, "/.well-known/host-meta")


def test_a_wrong_password_is_refused(scene):
    for address in (SOCKET, BOSH):
        said = scene[2].run(f"logIn('alice', '{address}', 'wrong')", qemu.patience(30))
        assert said.startswith("refused"), said


def test_websocket_and_bosh_talk(scene):
    chromium = scene[2]
    for user, address in (("alice", SOCKET), ("bob", BOSH)):
        said = chromium.run(f"logIn('{user}', '{address}', 'secret')", qemu.patience(30))
        assert said == f"{user}@example.com/web", said
    chromium.run("say('alice', 'bob', 'by WebSocket <&> \U0001f600')")
    assert chromium.run("textsOf('bob', 1)", qemu.patience(30)) == ["by WebSocket <&> \U0001f600"]
    chromium.run("say('bob', 'alice', 'by BOSH')")
    assert chromium.run("textsOf('alice', 1)", qemu.patience(30)) == ["by BOSH"]
    for user in ("alice", "bob"):
        assert chromium.run(f"pings('{user}', 20)", qemu.patience(60)) == 20
    status = operator_console.ask(scene[0], "xStatus XMPP")
    assert re.search(r"websockets=[1-9]\d* bosh_sessions=[1-9]", status), status


def test_converse_chats(scene, page, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converse")
    with browser.Chromium(folder, scene[1], "--ignore-certificate-errors") as chromium:
        chromium.open(page.with_name(CONVERSE.name))
        netns.wait_for(lambda: chromium.run("typeof start") == "function", qemu.patience(20),
                       "the page's script")
        chromium.run(f"start('{SOCKET}', 'alice@example.com', 'secret')")
        netns.wait_for(lambda: chromium.run("isConnected()"), qemu.patience(60), "it logs in")
        chromium.run("send('bob@example.com', 'by Converse ☺')", qemu.patience(30))
        assert scene[2].run("textsOf('bob', 2)", qemu.patience(30))[1] == "by Converse ☺"
        scene[2].run("say('bob', 'alice', 'to Converse')")
        assert chromium.run("received(1)", qemu.patience(30)) == ["to Converse"]
        netns.wait_for(lambda: "mode=on" in operator_console.ask(scene[0], "xStatus XMPP Upload"),
                       qemu.patience(30), "files are looked for")
        chromium.run("sendFile('bob@example.com', 'note one.txt', 'left by Converse ☺')",
                     qemu.patience(30))
        url = scene[2].run("textsOf('bob', 3)", qemu.patience(30))[2]
        assert url.startswith(f"https://{SERVER}:5281/upload/"), url
        assert url.endswith("/note%20one.txt"), url
        read = f"fetch('{url}').then((answer) => answer.text())"
        assert scene[2].run(read, qemu.patience(30)) == "left by Converse ☺"
        # A room that Converse makes, and strophe.js comes to.
        room = "den@conference.example.com"
        chromium.run(f"enter('{room}', 'Al')", qemu.patience(30))
        netns.wait_for(lambda: re.search(rf"{room} .*configured=yes",
                                         operator_console.ask(scene[0], "xStatus XMPP Room")),
                       qemu.patience(30), "Converse makes the room")
        scene[2].run(f"enter('bob', '{room}', 'Bo')")
        netns.wait_for(lambda: re.search(rf"{room} occupants=2",
                                         operator_console.ask(scene[0], "xStatus XMPP Room")),
                       qemu.patience(30), "bob is in it")
        chromium.run(f"sayIn('{room}', 'to all by Converse')", qemu.patience(30))
        assert scene[2].run("hears('bob', 'to all by Converse')", qemu.patience(30))
        scene[2].run(f"sayIn('{room}', 'bob', 'to all by strophe.js')")
        assert chromium.run("hears('to all by strophe.js')", qemu.patience(30))


def test_who_leaves_is_gone(scene):
    for user in ("alice", "bob"):
        scene[2].run(f"leave('{user}')")
    netns.wait_for(lambda: "/web" not in operator_console.ask(scene[0], "xStatus XMPP Session"),
                   qemu.patience(30), "their sessions end")
