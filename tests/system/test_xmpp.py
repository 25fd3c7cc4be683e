"""XMPP by clients nobody here wrote: slixmpp logs in by STARTTLS and direct TLS, chats, sees
presence, is refused, finds what it missed, resumes across a cut, shows a certificate; xmpp.js logs
in by SASL2 and token; profanity, as a user types it, in tmux. On the Linux process and on the
signed image, in namespaces around one switch; each board is booted once."""

import concurrent.futures
import json
import re
import shutil
import subprocess
import sys
import tarfile
import time

import pytest

import authority
import host as host_board
import netns
import operator_console
import qemu
import syslogd

SERVER = "10.77.0.2"
CLIENT = "10.77.0.11"
LOG = "10.77.0.31"
SCRIPT = qemu.ROOT / "tests/system/xmpp_client.py"
BINDING = qemu.ROOT / "tests/system/xmpp_binding.py"
PROVISION = operator_console.PROVISION + f"""\
xConfiguration Network Port 1 IPv4 Mode: Static
xConfiguration Network Port 1 IPv4 Address: {SERVER}
xConfiguration Network Port 1 IPv4 PrefixLength: 24
xConfiguration XMPP Mode: On
xConfiguration XMPP Domain 1 Name: example.com
xConfiguration XMPP Web Mode: On
xConfiguration XMPP Upload Mode: On
xConfiguration XMPP Upload Host: {SERVER}
xConfiguration XMPP Compliance Mode: On
"""
# A browser's opening of a WebSocket.
UPGRADE = """\
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with context.wrap_socket(socket.create_connection((sys.argv[1], 5281), 50)) as stream:
    stream.sendall(b"GET /xmpp-websocket HTTP/1.1\\r\\nHost: h\\r\\nUpgrade: websocket\\r\\n"
                   b"Connection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
                   b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n"
                   b"Sec-WebSocket-Protocol: xmpp\\r\\n\\r\\n")
    print(stream.recv(4096).decode())
"""
# Plain stanzas where the handshake has to be: behind <proceed/>, and in the packet before it.
PLAIN_BEHIND = """\
import socket, sys
header = ("<stream:stream to='example.com' version='1.0' xmlns='jabber:client' "
          "xmlns:stream='http://etherx.jabber.org/streams'>")
with socket.create_connection((sys.argv[1], 5222), 50) as stream:
    stream.sendall(header.encode())
    said = b""
    while b"</stream:features>" not in said:
        said += stream.recv(4096)
    stream.sendall(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    said = b""
    while b"<proceed" not in said:
        said += stream.recv(4096)
    stream.sendall(header.encode() + b"<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
    try:
        while more := stream.recv(4096):
            said += more
    except ConnectionResetError:
        pass
    print(said, "closed")
"""
USERS = ("alice", "bob", "carol")


class Scene:
    """A board that serves, and a host its clients stand on."""

    def __init__(self, machine, client, folder):
        self.machine, self.client, self.folder = machine, client, folder
        self.authority = folder / "server.pem"

    def start(self):
        self.machine.start()
        operator_console.log_in(self.machine)
        for user in USERS:
            said = operator_console.ask(self.machine,
                                        f"xCommand XMPP User Add: {user}@example.com secret")
            assert f"{user}@example.com added." in said, said
        shown = self.openssl("-connect", f"{SERVER}:5223")
        found = re.search(r"-----BEGIN CERT.*?END CERTIFICATE-----\n", shown, re.DOTALL)
        assert found, shown
        self.authority.write_text(found[0], encoding="ascii")

    def openssl(self, *flags, text=""):
        done = self.client.run("openssl", "s_client", *flags, check=False, input=text,
                               timeout=qemu.patience(30))
        return done.stdout + done.stderr

    def scp(self, source, target):
        done = self.client.run(
            "scp", "-F", "none", "-i", self.folder / "key", "-o", "BatchMode=yes", "-o",
            "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=accept-new", "-o",
            f"UserKnownHostsFile={self.folder / 'known_hosts'}", source, target, check=False,
            timeout=qemu.patience(60))
        assert done.returncode == 0, done.stderr

    def ask(self, line):
        return operator_console.ask(self.machine, line)

    def paste(self, command, file):
        """The answer to a command that takes a pasted certificate."""
        begin = self.machine.position = len(self.machine.console)
        self.machine.send(command + "\r")
        self.machine.expect("Paste the certificate")
        for line in (self.folder / file).read_text().splitlines():
            self.machine.send(line + "\r")
            time.sleep(0.005)
        self.machine.expect(operator_console.PROMPT)
        return self.machine.console[begin:]

    def act(self, name, *words):
        """What came of a scene of xmpp_client.py."""
        done = self.client.run("/usr/bin/python3", SCRIPT, SERVER, self.authority, name, *words,
                               check=False, timeout=qemu.patience(90))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module", params=["host", "image"], name="scene")
def started(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", folder / "key"],
                   check=True)
    provision = (PROVISION + "xConfiguration Administrator 1 PublicKey1: "
                 f'"{(folder / "key.pub").read_text(encoding="ascii").strip()}"\n')
    with netns.Network() as network:
        client = network.host("client", f"{CLIENT}/24")
        if request.param == "host":
            edge = network.host("edge")
            machine = host_board.HostMachine(folder, netns.INTERFACE, edge.namespace, provision)
        else:
            machine = qemu.Machine(folder, netns=network.switch, provision=provision,
                                   netdevs=[qemu.tap_net(network.tap())])
        scene = Scene(machine, client, folder)
        scene.network = network
        scene.start()
        yield scene
        machine.stop()


def test_a_slow_disk_holds_nobody(tmp_path):
    """Its flush takes half a second and a commit has several of them. Messages are acknowledged
    when they are over; SIP, TURN and XMPP itself are served as ever."""
    flush_s = 0.5
    with netns.Network() as network:
        client = network.host("client", f"{CLIENT}/24")
        provision = PROVISION + f"""\
xConfiguration SIP Domain 1 Name: example.com
xConfiguration Traversal Server TURN Mode: On
xConfiguration Traversal Server TURN Allow 1 Prefix: 10.77.0.0/24
xConfiguration Traversal Server TURN Secret 1 Value: shared-secret
"""
        machine = host_board.HostMachine(tmp_path, netns.INTERFACE, network.host("edge").namespace,
                                         provision)
        scene = Scene(machine, client, tmp_path)
        scene.start()  # with its users, for which a slow disk takes long
        machine.stop()
        machine.options += ["--flush-ms", str(int(flush_s * 1000))]
        machine.start()
        operator_console.log_in(machine)
        said = scene.act("slow_disk")
        machine.stop(20)
    assert said["acks_s"] and min(said["acks_s"]) >= 2 * flush_s, said
    for name in ("sip", "turn", "xmpp"):
        answers, slowest_s = said[name]
        assert answers >= 20 and slowest_s < 2 * flush_s, said


def test_what_must_be_recorded_and_cannot_is_refused(tmp_path):
    """A log partition that is too small for files and for the record."""
    with netns.Network() as network:
        client = network.host("client", f"{CLIENT}/24")
        machine = host_board.HostMachine(
            tmp_path, netns.INTERFACE, network.host("edge").namespace,
            PROVISION + "xConfiguration XMPP Compliance Required: On\n", ["--log-size", "1M"])
        scene = Scene(machine, client, tmp_path)
        scene.start()

        def alarms():
            shown = scene.ask("xStatus Alarm")
            return ["XMPP messages are not recorded" in shown, "XMPP files are not kept" in shown]
        netns.wait_for(lambda: alarms() == [True, True], qemu.patience(20), "the alarms")
        assert "there is no room for it" in scene.ask("xCommand Log Show: text=compliance-failed")
        assert scene.act("tells") == "resource-constraint"
        scene.ask("xConfiguration XMPP Compliance Required: Off")
        assert scene.act("tells") == "on the record"
        assert re.search(r"recorded=0 missed=[2-9]", scene.ask("xStatus XMPP Compliance"))
        for name in ("Compliance", "Upload"):
            scene.ask(f"xConfiguration XMPP {name} Mode: Off")
        netns.wait_for(lambda: alarms() == [False, False], qemu.patience(20), "their end")
        machine.stop()


def test_users_chat(scene):
    said = scene.act("chat")
    assert said["logins"] == [True, True, True]
    assert said["mechanism"].startswith("SCRAM-SHA-256"), said
    assert said["subscription"] == "both"
    assert said["status"] == "out \u263a"
    assert said["body"] == "one <two> & \U0001f600"
    assert said["carbons"] == [said["body"]]
    assert ["server", "im"] in said["identities"]
    assert said["blocked"] == "service-unavailable"


def test_a_message_waits(scene):
    assert scene.act("offline")["sent"]
    assert scene.act("waiting") == {"body": "while you were away", "delayed": True}


def test_a_session_resumes_across_a_cut(scene):
    said = scene.act("resume")
    assert said == {"managed": True, "body": "across the cut", "resource": "b"}
    assert re.search(r"\bresumed=[1-9]", operator_console.ask(scene.machine, "xStatus XMPP"))


def test_a_room_from_its_making_to_its_end(scene):
    said = scene.act("rooms")
    assert {"110", "201"} <= {str(code) for code in said["made"]}, said
    assert said["listed"] == [["lab@conference.example.com", "The Lab"]]
    assert said["occupants"] == ["Al", "Bo"]
    assert said["heard"] == "hello & <all>"
    assert said["self_ping"] == "result"
    assert said["invited"] == "lab@conference.example.com"
    assert said["kicked"] == "not-acceptable"
    assert said["banned"] == "forbidden"
    assert said["outcasts"] == ["bob@example.com"]
    shown = operator_console.ask(scene.machine, "xStatus XMPP Room")
    assert "lab@conference.example.com" in shown and "persistent=yes" in shown, shown
    said = scene.act("rooms_again")
    assert said["subject"] == "Work", said
    assert said["history"] == ["hello & <all>"]
    assert said["archived"] == ["hello & <all>", ""]
    assert said["outcasts"] == ["bob@example.com"]
    assert said["listed"] == 0


def test_the_operator_purges_and_destroys_rooms(scene):
    scene.act("a_room")
    room = "desk@conference.example.com"

    def ask(line):
        return operator_console.ask(scene.machine, line)
    assert re.search(rf"{room} .* archived=1\b", ask("xStatus XMPP Room"))
    assert f"{room} purged." in ask(f"xCommand XMPP Room Purge: {room} Confirm: Yes")
    assert re.search(rf"{room} .* archived=0\b", ask("xStatus XMPP Room"))
    assert f"{room} destroyed." in ask(f"xCommand XMPP Room Destroy: {room} Confirm: Yes")
    assert room not in ask("xStatus XMPP Room")


def test_what_is_published_is_seen(scene):
    assert scene.act("publishing") == {"notified_by": "alice@example.com", "picture": True,
                                       "name": "Alice"}


def test_nodes_are_subscribed_to(scene):
    bob = "bob@example.com"
    assert scene.act("subscribing") == {
        "subscribed": "subscribed", "last": [bob, "first"], "event": [bob, "second"],
        "own": [bob, "third"], "his": [bob], "hers": [bob], "is": ["publisher"]}


def test_archives_come_in_pages(scene):
    said = scene.act("archive")
    assert said["last"] == [f"archived {number}" for number in range(11, 6, -1)]
    assert said["same_ids"]
    assert said["all"] == [f"archived {number}" for number in range(12)]


def test_a_file_is_left_for_others(scene):
    netns.wait_for(lambda: "mode=on" in operator_console.ask(scene.machine, "xStatus XMPP Upload"),
                   qemu.patience(30), "files are looked for")
    said = scene.act("upload")
    assert said["offered"]
    assert said["too_large"] == "not-acceptable"
    assert said["put"] == 201 and said["again"] == "409", said
    assert said["get"] == [200, True, "image/png", "nosniff"]
    shown = operator_console.ask(scene.machine, "xStatus XMPP Upload")
    assert re.search(r"XMPP Upload \d+: alice@example.com bytes=102400 state=kept", shown), shown
    assert "a%20b" not in shown


def test_push_wakes_who_is_away(scene):
    assert scene.act("push") == {
        "enabled": "result", "node": True, "count": True, "words": False, "body": "secret words",
        "disabled": "result"}


def paste(machine, lines):
    """Lines into /backup."""
    machine.position = len(machine.console)
    machine.send("xCommand File Paste\r")
    machine.expect(r"dot alone\.")
    machine.send("\r".join([*lines, "."]) + "\r")
    machine.expect(r"/backup/pasted")
    machine.expect(operator_console.PROMPT)


def test_contact_lists_go_in_and_out(scene):
    paste(scene.machine, ["alice,example.com,zed,other.example,Zed,Friends",
                          "alice,example.com,alice,example.com,me,Friends",
                          "nobody,example.com,zed,other.example,,Friends", "nonsense"])
    said = operator_console.ask(scene.machine, "xCommand XMPP Contacts Import")
    assert "1 contacts imported, 3 lines ignored" in said, said
    paste(scene.machine, ["Contact ID, New Contact ID", "zed@other.example, zoe@other.example"])
    said = operator_console.ask(scene.machine, "xCommand XMPP Contacts Rename")
    assert "1 contacts renamed, 0 lines ignored" in said, said
    said = operator_console.ask(scene.machine, "xCommand XMPP Contacts Export: alice@example.com")
    assert re.search(r"The lists of 1 users are in /backup/contacts-\S+\.csv", said), said
    name = re.search(r"/backup/(contacts-\S+\.csv)", said)[1]
    scene.scp(f"admin@{SERVER}:/backup/{name}", scene.folder / "out.csv")
    listed = (scene.folder / "out.csv").read_text(encoding="utf-8")
    assert "alice,example.com,zoe,other.example,Zed,Friends\n" in listed, listed
    # The same file goes in again; its report comes out.
    scene.scp(scene.folder / "out.csv", f"admin@{SERVER}:/backup/in.csv")
    operator_console.ask(scene.machine, "xCommand XMPP Contacts Import")
    scene.scp(f"admin@{SERVER}:/backup/contacts-import.log", scene.folder / "report")
    report = (scene.folder / "report").read_text(encoding="utf-8")
    assert f"contacts imported: {len(listed.splitlines())}\nlines ignored: 0\n" in report, report
    said = operator_console.ask(scene.machine, "xCommand XMPP Contacts Export: nobody@example.com")
    assert "no such user" in said, said


def test_users_come_in_a_list_and_go_out_without_secrets(scene):
    paste(scene.machine, ["dave,example.com,open sesame", "alice,example.com,secret",
                          "nobody,elsewhere.org,secret", "erin,example.com"])
    said = scene.ask("xCommand XMPP User Import")
    assert "1 users imported, 3 lines ignored" in said, said
    scene.scp(f"admin@{SERVER}:/backup/users-import.log", scene.folder / "report")
    report = (scene.folder / "report").read_text(encoding="utf-8")
    assert "line 2: User exists already" in report, report
    assert scene.act("logs_in", "dave", "open sesame") == "dave@example.com"
    said = scene.ask("xCommand XMPP User Export: example.com")
    name = re.search(r"/backup/(users-\S+\.csv)", said)[1]
    scene.scp(f"admin@{SERVER}:/backup/{name}", scene.folder / "users.csv")
    listed = (scene.folder / "users.csv").read_text(encoding="utf-8")
    assert {"alice,example.com", "dave,example.com"} <= set(listed.splitlines()), listed
    assert "sesame" not in listed and "secret" not in listed
    scene.ask("xCommand XMPP User Remove: dave@example.com Confirm: Yes")


def test_the_operator_looks_and_speaks_to_all(scene):
    said = operator_console.ask(scene.machine, "xCommand XMPP Check")
    assert "XMPP Check: service: OK" in said and "FAILED" not in said, said
    said = operator_console.ask(scene.machine, "xCommand XMPP Broadcast: all down at six")
    assert re.search(r"Sent to \d+ user", said), said
    said = operator_console.ask(scene.machine, "xCommand XMPP Broadcast: elsewhere.org x")
    assert "not a domain of ours" in said, said


def test_rooms_keep_their_addresses(scene):
    scene.act("a_room")
    for line in ('Domain 1 Name: example.net', 'Room SystemAlias Name: chat'):
        scene.ask(f"xConfiguration XMPP {line}")
    # What was the system's alias is an entry now (ALIAS-07).
    netns.wait_for(lambda: '"conference.example.com"' in
                   scene.ask("xConfiguration XMPP Room Alias"), qemu.patience(30), "the alias")
    assert "rooms are at hosts that are served: OK" in scene.ask("xCommand XMPP Check")
    entry = re.search(r'Alias (\d+) Name: "conference.example.com"',
                      scene.ask("xConfiguration XMPP Room Alias"))[1]
    scene.ask(f'xConfiguration XMPP Room Alias {entry} Name: ""')
    said = scene.ask("xCommand XMPP Check")
    assert re.search(r"rooms are at hosts that are served: FAILED rooms=[1-9] "
                     r"first=conference.example.com", said), said
    assert "users are of domains that are served: FAILED" in said, said
    # All settings of rooms at once (MUC-26), and the domain as it was.
    scene.ask("xCommand Configuration Defaults: XMPP Room Confirm: Yes")
    scene.ask("xConfiguration XMPP Domain 1 Name: example.com")
    shown = scene.ask("xConfiguration XMPP Room")
    assert 'SystemAlias Name: "conference"' in shown, shown
    assert "FAILED" not in scene.ask("xCommand XMPP Check")
    scene.ask("xCommand XMPP Room Destroy: desk@conference.example.com Confirm: Yes")


def test_administrators_of_rooms_are_switched(scene):
    scene.ask("xConfiguration XMPP Room Administrator 1 Address: alice@example.com")
    scene.ask('xConfiguration XMPP Room Administrator 1 Nickname: "the keeper"')
    assert scene.act("owns_anothers_room") == {"owner": True}
    shown = scene.ask("xStatus XMPP")
    assert re.search("RoomAdministrator 1: alice@example.com mode=on nickname=.?the keeper",
                     shown), shown
    scene.ask("xConfiguration XMPP Room SystemAdministrators Mode: Off")
    assert scene.act("owns_anothers_room") == {"owner": False}
    assert "RoomAdministrator 1: alice@example.com mode=off" in scene.ask("xStatus XMPP")
    scene.ask("xConfiguration XMPP Room SystemAdministrators Mode: On")
    scene.ask('xConfiguration XMPP Room Administrator 1 Address: ""')


def test_messages_are_recorded(scene):
    scene.act("offline")

    def status():
        return operator_console.ask(scene.machine, "xStatus XMPP Compliance")
    netns.wait_for(lambda: re.search(r"mode=on recorded=[1-9]\d* missed=0 bytes=[1-9]", status()),
                   qemu.patience(20), "the record is written")

    def last_line():  # it is written behind
        scene.scp(f"admin@{SERVER}:/compliance/messages.txt", scene.folder / "record")
        return (scene.folder / "record").read_text(encoding="utf-8").splitlines()[-1]
    netns.wait_for(lambda: "while you were away" in last_line(), qemu.patience(30), "it is there")
    last = last_line()
    assert re.fullmatch(r"\d{4}-\S+Z <message from='alice@example.com/a' to='carol@example.com'.*"
                        r"<body>while you were away</body>.*</message>", last), last
    said = operator_console.ask(scene.machine, "xCommand XMPP Compliance Purge Confirm: Yes")
    assert "The record is empty" in said, said
    assert " bytes=0 " in status()


def test_two_domains_have_users_and_certificates_of_their_own(scene):
    other = "example.net"
    authority.Authority(scene.folder, "Tenants", "tenants").issue(
        other, authority.server(f"DNS:{other}"))
    whole = scene.folder / "whole.pem"
    whole.write_bytes(b"".join((scene.folder / file).read_bytes()
                               for file in (f"{other}.pem", "tenants.pem", f"{other}.key")))
    scene.ask(f"xConfiguration XMPP Domain 2 Name: {other}")
    scene.scp(whole, f"admin@{SERVER}:/certificates/{other}.pem")
    try:
        assert "added." in scene.ask(f"xCommand XMPP User Add: bob@{other} another")
        assert scene.act("two_domains", other) == {
            "logins": [True, True], "mistaken": False, "there": ["bob@example.com/b",
                                                                 "to the other"],
            "here": f"bob@{other}/b"}
        for flags in (("-connect", f"{SERVER}:5222", "-starttls", "xmpp", "-xmpphost"),
                      ("-connect", f"{SERVER}:5223", "-xmpphost")):
            shown = scene.openssl(*flags, other, "-servername", other, "-CAfile",
                                  str(scene.folder / "tenants.pem"))
            assert "Verify return code: 0" in shown, shown
            shown = scene.openssl(*flags, "example.com", "-servername", "example.com", "-CAfile",
                                  str(scene.authority))
            assert "Verify return code: 0" in shown, shown
    finally:
        scene.ask(f"xCommand XMPP User Remove: bob@{other} Confirm: Yes")
        scene.ask('xConfiguration XMPP Domain 2 Name: ""')


def test_nothing_is_kept_where_nothing_may_be(scene):
    scene.ask("xConfiguration XMPP User OfflineMessages: 0")
    try:
        assert scene.act("refused_store") == {"answer": "service-unavailable", "found": []}
    finally:
        scene.ask("xConfiguration XMPP User OfflineMessages: 100")


def test_archives_that_fill_their_share_are_told(scene):
    title = "XMPP nearly uses up its share of the store"
    for each in ("is on but does not serve", "are not kept", "are not recorded", title):
        assert each not in scene.ask("xStatus Alarm")
    scene.ask("xConfiguration XMPP Archive Size: 1")
    try:
        scene.act("fills_archives", "12", "50000")
        netns.wait_for(lambda: title in scene.ask("xStatus Alarm"), qemu.patience(20), "the alarm")
        assert "xmpp-archive-pruned" in scene.ask("xCommand Log Show: last=60")
    finally:
        scene.ask("xConfiguration XMPP Archive Size: 64")
    netns.wait_for(lambda: title not in scene.ask("xStatus Alarm"), qemu.patience(20), "its end")


def test_plaintext_behind_proceed_ends_the_stream(scene):
    done = scene.client.run(sys.executable, "-c", PLAIN_BEHIND, SERVER, check=False)
    assert "proceed" in done.stdout and done.stdout.rstrip().endswith("closed"), done
    assert "<iq" not in done.stdout and "mechanism" not in done.stdout


def test_what_people_write_is_in_no_log(scene):
    """Names of rooms are told to the operator; no word of a message, a status or a card is."""
    log = scene.network.host("log", f"{LOG}/24")
    with syslogd.Rsyslog(scene.folder, log) as sink:
        for line in (f"Address: {LOG}", "Transport: TCP", "Port: 601"):
            scene.ask(f"xConfiguration Syslog Server 1 {line}")
        scene.ask("xConfiguration Log XMPP Level: 4")
        scene.ask("xConfiguration XMPP Push Contents: On")
        begin = len(scene.machine.console)
        try:
            assert scene.act("canaries") == "restricted-xml"
            sink.wait("xmpp-ended", "carol@example.com")
        finally:
            scene.ask("xConfiguration XMPP Push Contents: Off")
            scene.ask("xConfiguration Log XMPP Level: 2")
            scene.ask('xConfiguration Syslog Server 1 Address: ""')
        told = {"syslog": "\n".join(sink.lines("raw"))}
    told["log"] = scene.ask("xCommand Log Show: last=500")
    said = scene.ask("xCommand Log Collect")
    name = re.search(r"(\S+\.tar) has", said)[1].rpartition("/")[2]
    scene.scp(f"admin@{SERVER}:/logs/{name}", scene.folder / "bundle.tar")
    with tarfile.open(scene.folder / "bundle.tar") as bundle:
        for member in bundle.getmembers():
            told[member.name] = bundle.extractfile(member).read().decode(errors="replace")
    told["console"] = scene.machine.console[begin:]
    assert "canary-room" in told["log"] and len(told) > 4, told.keys()
    for place, text in told.items():
        found = set(re.findall(r"canary-[a-z]+", text)) - {"canary-room"}
        assert not found, (place, found)


def test_nothing_acknowledged_is_lost_when_it_is_killed(scene):
    url = scene.act("upload")["url"]
    before = scene.act("all_waiting")
    assert scene.act("acknowledged") == {"acknowledged": 30}
    scene.machine.kill()
    scene.machine.start()
    operator_console.log_in(scene.machine)
    after = scene.act("all_waiting")
    assert after == {"waited": 30, "archived": before["archived"] + 30}
    netns.wait_for(lambda: "mode=on" in operator_console.ask(scene.machine, "xStatus XMPP Upload"),
                   qemu.patience(30), "files are looked for")
    done = scene.client.run("curl", "-sSk", "-m", "20", "--resolve", f"example.com:5281:{SERVER}",
                            "-w", "%{http_code} %{size_download}", "-o", "/dev/null", url,
                            check=False)
    assert done.stdout == "200 102400", done.stdout + done.stderr


def test_strangers_are_refused(scene):
    assert scene.act("refused") == {"alice": False, "nobody": False}
    status = operator_console.ask(scene.machine, "xStatus XMPP")
    assert re.search(r"failed=[1-9]", status), status


def test_log_ins_are_bound_to_their_tls_session(scene):
    """The binding's data are OpenSSL's. tls-exporter is for TLS 1.3 alone (RFC 9266)."""
    done = scene.client.run("/usr/bin/python3", BINDING, SERVER, check=False,
                            timeout=qemu.patience(90))
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    mechanisms = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"]
    assert said["offered"] == {
        "1.2": [mechanisms, ["tls-server-end-point"], ["ENDP", "NONE"]],
        "1.3": [mechanisms, ["tls-exporter", "tls-server-end-point"], ["EXPR", "ENDP", "NONE"]]}
    assert len(said["good"]) == 9 and set(said["good"].values()) == {"success"}, said["good"]
    assert len(said["wrong"]) == 4 and set(said["wrong"].values()) == {"not-authorized"}, said


def test_starttls_is_what_openssl_knows(scene):
    shown = scene.openssl("-connect", f"{SERVER}:5222", "-starttls", "xmpp", "-xmpphost",
                          "example.com", "-CAfile", str(scene.authority))
    assert "Verify return code: 0" in shown and "TLSv1.3" in shown, shown
    assert "Compression: NONE" in shown, shown


def test_nobody_renegotiates(scene):
    """TLS 1.2, in which a client may ask for another handshake: it is refused, not begun."""
    done = scene.client.run(
        "sh", "-c", "(sleep 2; echo R; sleep 5) | openssl s_client -connect "
        f"{SERVER}:5223 -tls1_2 -CAfile {scene.authority} -msg", check=False,
        timeout=qemu.patience(40))
    shown = done.stdout + done.stderr
    assert "RENEGOTIATING" in shown, shown
    assert shown.count("ServerHelloDone") == 1, shown


@pytest.mark.parametrize("entrance", ["5223", "5222 -starttls xmpp -xmpphost example.com"])
def test_tls_12_is_bound_to_its_handshake(scene, entrance):
    """RFC 7627: who cannot, or is kept from it by somebody between, has no session."""
    settings = scene.folder / "openssl.cnf"
    settings.write_text("openssl_conf = all\n[all]\nssl_conf = parts\n[parts]\n"
                        "system_default = tls\n[tls]\nOptions = -ExtendedMasterSecret\n")

    def shown(*environment):
        done = scene.client.run("env", *environment, "sh", "-c", "openssl s_client -tls1_2 "
                                f"-CAfile {scene.authority} -connect {SERVER}:{entrance} "
                                "</dev/null", check=False, timeout=qemu.patience(40))
        return done.stdout + done.stderr
    assert "Extended master secret: yes" in (said := shown()), said
    said = shown(f"OPENSSL_CONF={settings}")
    assert "alert handshake failure" in said and "Master-Key: \n" in said, said
    netns.wait_for(lambda: "no extended master secret" in scene.ask(
        "xCommand Log Show: text=tls-refused last=5"), qemu.patience(10), "the log's word of it")


def test_browsers_find_their_way(scene):
    def curl(path, *flags):
        done = scene.client.run("curl", "-sSk", "-m", "50", *flags,
                                f"https://{SERVER}:5281{path}", check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
    links = json.loads(curl("/.well-known/host-meta.json"))["links"]
    assert [link["href"] for link in links] == [f"wss://{SERVER}:5281/xmpp-websocket",
                                                f"https://{SERVER}:5281/http-bind"]
    body = ("<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='example.com' wait='5' "
            "hold='1' ver='1.6'/>")
    assert "<mechanism>SCRAM-SHA-256</mechanism>" in curl("/http-bind", "-d", body)
    done = scene.client.run(sys.executable, "-c", UPGRADE, SERVER, check=False)
    assert done.stdout.startswith("HTTP/1.1 101 "), done.stdout + done.stderr


def test_profanity_chats_sends_a_file_and_makes_a_room(scene):
    netns.wait_for(lambda: "mode=on" in scene.ask("xStatus XMPP Upload"), qemu.patience(30),
                   "files are looked for")
    home = scene.folder / "home"
    home.mkdir()
    tmux = ["tmux", "-S", str(scene.folder / "tmux")]

    def type_line(text):
        subprocess.run([*tmux, "send-keys", text, "Enter"], check=True)

    def screen():
        return subprocess.run([*tmux, "capture-pane", "-p"], check=True, capture_output=True,
                              text=True).stdout

    words = ["env", f"HOME={home}", f"XDG_CONFIG_HOME={home}/c", f"XDG_DATA_HOME={home}/d",
             "LC_ALL=C.UTF-8", "profanity"]
    line = " ".join(str(word) for word in scene.client.command(words))
    subprocess.run([*tmux, "new-session", "-d", "-x", "120", "-y", "40", line], check=True)
    def shows(text):
        try:
            netns.wait_for(lambda: text in screen(), qemu.patience(30), f"{text!r} is shown")
        except AssertionError as fault:
            raise AssertionError(f"{fault}\n{screen()}") from fault

    note = scene.folder / "note.txt"
    note.write_text("left in a terminal", encoding="ascii")
    try:
        shows("Profanity")
        type_line(f"/connect alice@example.com server {SERVER} port 5222 tls trust")
        netns.wait_for(lambda: "password" in screen().lower(), qemu.patience(10), "it asks")
        type_line("secret")
        shows("logged in successfully")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            bob = pool.submit(scene.act, "companion")
            netns.wait_for(lambda: "bob@example.com/companion" in scene.ask("xStatus XMPP Session"),
                           qemu.patience(60), "bob logs in")
            type_line("/msg bob@example.com typed in a terminal")
            shows("seen by bob")
            type_line(f"/sendfile {note}")
            shows("/upload/")
            type_line("/join den@conference.example.com nick Al")
            shows("/room accept")
            type_line("/room accept")
            shows("Room unlocked")
            type_line("/invite send bob@example.com")
            shows("bob is here")
            type_line("said in a room")
            assert bob.result() == {"body": "typed in a terminal", "file": "left in a terminal",
                                    "heard": "said in a room"}
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def test_xmpp_js_logs_in_by_token_resumes_and_gets_copies(scene):
    def tokens():
        return int(re.search(r"alice@example.com .*tokens=(\d+)",
                             scene.ask("xStatus XMPP User"))[1])

    before = tokens()
    folder = scene.folder / "js"
    folder.mkdir()
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts",
                           "--no-save", "@xmpp/client@0.14.0"], cwd=folder, timeout=300,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"xmpp.js cannot be had: {done.stderr}"
    shutil.copy(SCRIPT.with_name("xmpp_js.mjs"), folder)
    done = scene.client.run("env", "NODE_TLS_REJECT_UNAUTHORIZED=0", "NODE_NO_WARNINGS=1", "node",
                            folder / "xmpp_js.mjs", SERVER, check=False, timeout=qemu.patience(90))
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["errors"] == [], said
    assert said["mechanisms"] == ["SCRAM-SHA-1", "HT-SHA-256-NONE", "HT-SHA-256-NONE"], said
    assert said["tokens"] == 3, said
    assert said["copy"] == "said at the desk" and said["archived"] == [said["copy"]], said
    # The same client has the same resource, bound or resumed.
    assert re.fullmatch(r"alice@example.com/js/[0-9a-f]{16}", said["first"]), said
    assert said["first"] == said["second"] == said["resumed"], said
    assert re.search(r"by_token=[1-9]", scene.ask("xStatus XMPP")), said
    assert tokens() == before + 2
    revoked = scene.ask("xCommand XMPP User Revoke: alice@example.com")
    assert f"{before + 2} tokens revoked." in revoked
    assert re.search(r"alice@example.com .*tokens=0", scene.ask("xStatus XMPP User"))


def test_a_certificate_is_a_user(scene):
    users = authority.Authority(scene.folder, "Users", "users")
    for name, names in (("alice", "otherName:1.3.6.1.5.5.7.8.5;UTF8:alice@example.com"),
                        ("mail", "email:bob@example.com")):
        users.issue(name, authority.server(names, "clientAuth"))
    assert "OK, trusted" in scene.paste("xCommand Trust Add Client", "users.pem")
    scene.ask("xConfiguration XMPP Authentication Certificate: Optional")
    try:
        said = scene.act("certificates", scene.folder)
        assert said == {"alice": "alice@example.com", "bob as alice": None, "mail": None,
                        "none": None}, f"{said}\n" + scene.ask("xCommand Log Show: last=20")
        scene.ask("xConfiguration XMPP Authentication CertificateEmail: On")
        assert scene.act("certificates", scene.folder)["mail"] == "bob@example.com"
    finally:
        scene.ask("xConfiguration XMPP Authentication Certificate: Off")


def test_a_user_says_who_may_see_him(scene):
    assert scene.act("policy") == {
        "before": "default", "after": "block", "stranger": "service-unavailable",
        "allowed": "let in"}
    shown = scene.ask("xStatus XMPP User")
    assert re.search(r"bob@example.com .*allowed=1 policy=block", shown), shown
    assert "Policy set." in scene.ask("xCommand XMPP User Policy: bob@example.com Default")
    assert re.search(r"bob@example.com .*policy=default", scene.ask("xStatus XMPP User"))


def test_a_chat_goes_to_the_client_that_replied(scene):
    assert scene.act("replies") == {"first": ["b", "desk"], "then": ["desk"],
                                    "moved": ["b", "desk"]}


def test_privacy_lists_deny_and_hide(scene):
    assert scene.act("privacy") == {
        "active": "service-unavailable", "away": "service-unavailable",
        "names": ["noise", "noise"], "again": "service-unavailable", "none": "echo"}
    assert scene.act("invisible") == {"before": "available", "hides": "unavailable",
                                      "after": "back"}


def test_what_waits_is_asked_for_one_by_one(scene):
    scene.act("logs_in", "carol", "secret")  # what waited, of other scenes
    assert scene.act("one_by_one") == {
        "count": "3", "from": ["alice@example.com/a"], "flood": 0, "viewed": ["second"],
        "left": True, "purged": 0}


def wait_for_both(scene):
    """Those of the scene `ended`."""
    def are_there():
        shown = operator_console.ask(scene.machine, "xStatus XMPP Session")
        return all(re.search(rf"{name} .*presence=available", shown) for name in
                   ("alice@example.com/ended", "bob@example.com/listens"))
    netns.wait_for(are_there, qemu.patience(60), "both log in")


def test_maintenance_lets_nobody_else_in(scene):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        clients = pool.submit(scene.act, "ended")
        wait_for_both(scene)
        scene.ask("xConfiguration Maintenance Mode: On")
        try:
            assert scene.act("turned_away") == "system-shutdown"
            assert "XMPP Server: Maintenance" in scene.ask("xStatus XMPP")
            assert "maintenance=on" in scene.ask("xCommand XMPP Check")
            scene.ask("xCommand XMPP Broadcast: example.com still here")
            scene.ask("xCommand XMPP Session Close: alice@example.com")
        finally:
            scene.ask("xConfiguration Maintenance Mode: Off")
        assert clients.result() == {"broadcast": "still here", "ended": "not-authorized"}
    assert scene.act("logs_in", "bob", "secret") == "bob@example.com"


def test_the_operator_sees_and_ends_sessions(scene):
    ask = operator_console.ask
    with concurrent.futures.ThreadPoolExecutor() as pool:
        clients = pool.submit(scene.act, "ended")
        wait_for_both(scene)
        said = ask(scene.machine, "xCommand XMPP Broadcast: example.com down at six")
        assert re.search(r"Sent to [2-9] users\.", said), said
        said = ask(scene.machine, "xCommand XMPP Session Close: alice@example.com")
        assert re.search(r"[1-9] sessions? closed\.", said), said
        assert clients.result() == {"broadcast": "down at six", "ended": "not-authorized"}
    assert "messages_waiting=0" in ask(scene.machine, "xStatus XMPP User")
    assert "XMPP Server: Serving" in ask(scene.machine, "xStatus XMPP")
    said = ask(scene.machine, "xCommand XMPP User Remove: carol@example.com Confirm: Yes")
    assert "carol@example.com removed." in said, said
    assert "carol" not in ask(scene.machine, "xStatus XMPP User").split("\n", 1)[1]


def test_who_guesses_passwords_is_blocked(scene):
    scene.ask("xConfiguration IntrusionProtection XMPP Failures: 3")
    assert scene.act("guess")["answered"][-1] is False
    blocked = f"XMPP Source {CLIENT}: failures=0 blocks=1 blocked_s="
    assert blocked in scene.ask("xStatus IntrusionProtection")
    assert "failed to log in too often (xmpp)" in scene.ask("xCommand Log Show: last=60")
    assert "free again" in scene.ask(f"xCommand IntrusionProtection Unblock: {CLIENT}")
    assert scene.act("refused") == {"alice": False, "nobody": False}  # he is answered
    scene.ask(f"xConfiguration IntrusionProtection Exemption 1 Address: {CLIENT}/32")
    assert scene.act("guess")["answered"] == [True] * 4
    scene.ask("xConfiguration IntrusionProtection XMPP Failures: 50")
    assert scene.act("refused") == {"alice": False, "nobody": False}
