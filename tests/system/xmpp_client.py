"""Clients of slixmpp, one script in the client's namespace: what each test asks is done there, and
what came of it is printed as one line of JSON.

    xmpp_client.py SERVER AUTHORITY.pem SCENE [WORDS]
"""

import asyncio
import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import types
import urllib.parse
from xml.etree import ElementTree

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

# slixmpp 1.8 knows one channel binding, tls-unique, and says so under TLS 1.3, where there is none:
# a server that offers others has to take that for an attack. It is told that it has none.
ssl.SSLObject.get_channel_binding = lambda self, cb_type="tls-unique": None
# Of slixmpp's uploads the slots alone are used; the bytes go by http.client.
sys.modules.setdefault("aiohttp", types.SimpleNamespace(ClientSession=None))
DOMAIN = "example.com"
TIMEOUT = 40


class Client(slixmpp.ClientXMPP):
    """A user's session that keeps what it was sent."""

    def __init__(self, user, resource, password="secret", mechanism="SCRAM-SHA-256", plugins=(),
                 config=None, domain=DOMAIN):
        super().__init__(f"{user}@{domain}/{resource}", password, sasl_mech=mechanism)
        self.messages, self.presences, self.carbons = asyncio.Queue(), asyncio.Queue(), []
        self.failed, self.ready = asyncio.Event(), asyncio.Event()
        for name in ("xep_0030", "xep_0199", "xep_0191", "xep_0198", "xep_0280", *plugins):
            self.register_plugin(name, (config or {}).get(name))
        self.add_event_handler("session_start", self._on_start)
        self.add_event_handler("session_resumed", lambda _: self.ready.set())
        self.add_event_handler("failed_all_auth", lambda _: self.failed.set())
        self.add_event_handler("message", self.messages.put_nowait)
        self.add_event_handler("message_error", self.messages.put_nowait)
        self.add_event_handler("changed_status", self.presences.put_nowait)
        self.add_event_handler("carbon_received", self.carbons.append)
        self.add_event_handler("carbon_sent", self.carbons.append)

    async def _on_start(self, _):
        await self.get_roster()
        self.send_presence()
        self.ready.set()

    async def log_in(self, server, authority, direct=False):
        self.ca_certs = authority
        self.ssl_context.check_hostname = False
        self.connect((server, 5223 if direct else 5222), use_ssl=direct, force_starttls=not direct,
                     disable_starttls=direct)
        done, _ = await asyncio.wait([asyncio.ensure_future(self.ready.wait()),
                                      asyncio.ensure_future(self.failed.wait())],
                                     timeout=TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise TimeoutError("no session")
        return self.ready.is_set()

    async def next_message(self):
        return await asyncio.wait_for(self.messages.get(), TIMEOUT)

    async def leave(self):
        await self.disconnect(wait=2)


async def chat(server, authority):
    """Two users over STARTTLS and direct TLS: presence, messages, carbons, blocking, disco."""
    alice, bob = Client("alice", "a"), Client("bob", "b", mechanism="SCRAM-SHA-1")
    desk = Client("bob", "desk")
    said = {"logins": [await alice.log_in(server, authority),
                       await bob.log_in(server, authority, direct=True),
                       await desk.log_in(server, authority)]}
    said["mechanism"] = alice["feature_mechanisms"].mech.name
    await desk["xep_0280"].enable()
    bob.auto_authorize = bob.auto_subscribe = alice.auto_authorize = True
    alice.send_presence_subscription(f"bob@{DOMAIN}")

    async def both():
        while (alice.client_roster[f"bob@{DOMAIN}"]["subscription"] != "both" or
               bob.client_roster[f"alice@{DOMAIN}"]["subscription"] != "both"):
            await asyncio.sleep(0.05)
    await asyncio.wait_for(both(), TIMEOUT)
    said["subscription"] = bob.client_roster[f"alice@{DOMAIN}"]["subscription"]
    bob.send_presence(pshow="away", pstatus="out \u263a")
    while True:
        seen = await asyncio.wait_for(alice.presences.get(), TIMEOUT)
        if seen["from"].full == f"bob@{DOMAIN}/b" and seen["show"] == "away":
            said["status"] = seen["status"]
            break
    alice.send_message(f"bob@{DOMAIN}/b", "one <two> & \U0001f600", mtype="chat")
    said["body"] = (await bob.next_message())["body"]
    await asyncio.sleep(0.2)
    said["carbons"] = [each["carbon_received"]["body"] for each in desk.carbons]
    info = await alice["xep_0030"].get_info(DOMAIN)
    said["identities"] = [each[:2] for each in info["disco_info"]["identities"]]
    said["ping_s"] = await alice["xep_0199"].ping(DOMAIN)
    await bob["xep_0191"].block(f"alice@{DOMAIN}")
    alice.send_message(f"bob@{DOMAIN}", "blocked")
    said["blocked"] = (await alice.next_message())["error"]["condition"]
    await bob["xep_0191"].unblock(f"alice@{DOMAIN}")
    for client in (alice, bob, desk):
        await client.leave()
    return said


async def offline(server, authority):
    """A message to somebody who is away."""
    alice, bob = Client("alice", "a"), Client("carol", "c")
    await alice.log_in(server, authority)
    alice.send_message(f"carol@{DOMAIN}", "while you were away", mtype="chat")
    await alice["xep_0199"].ping(DOMAIN)
    await alice.leave()
    return {"sent": True, "unused": bob.boundjid.full}


async def waiting(server, authority):
    """What carol finds when she comes back."""
    carol = Client("carol", "c", plugins=("xep_0203",))
    await carol.log_in(server, authority)
    message = await carol.next_message()
    await carol.leave()
    return {"body": message["body"], "delayed": bool(message["delay"]["stamp"])}


async def acknowledged(server, authority):
    """Messages to carol, who is away, until the server has acknowledged each (XEP-0198); then this
    process ends without a word, as the server is about to."""
    alice = Client("alice", "a", config={"xep_0198": {"window": 1}})
    await alice.log_in(server, authority)
    acked = asyncio.Queue()
    alice.add_event_handler("stanza_acked", acked.put_nowait)
    wanted = {f"acknowledged {number}" for number in range(30)}
    for body in sorted(wanted):
        alice.send_message(f"carol@{DOMAIN}", body, mtype="chat")
    await alice["xep_0199"].ping(DOMAIN)  # requests go before the stanza that makes them
    while wanted:
        stanza = await asyncio.wait_for(acked.get(), TIMEOUT)
        wanted.discard(stanza["body"] if stanza.name == "message" else "")
    return {"acknowledged": 30}


class Probe(asyncio.DatagramProtocol):
    """Asks a server over UDP again and again, each time when it was answered: how often that was,
    and the longest that an answer took."""

    def __init__(self, request):
        self.request, self.transport, self.asked = request, None, 0.0
        self.answers, self.slowest_s = 0, 0.0

    def connection_made(self, transport):
        self.transport = transport
        self.ask()

    def ask(self):
        self.asked = time.monotonic()
        self.transport.sendto(self.request())

    def datagram_received(self, data, addr):
        self.slowest_s = max(self.slowest_s, time.monotonic() - self.asked)
        self.answers += 1
        asyncio.get_event_loop().call_later(0.01, self.ask)


def options_of(server):
    """An OPTIONS request of SIP, another one each time."""
    def request():
        mark = os.urandom(6).hex()
        return (f"OPTIONS sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP probe;rport;branch=z9hG4bK{mark}"
                f"\r\nMax-Forwards: 70\r\nFrom: <sip:probe@probe>;tag={mark}\r\nTo: <sip:{server}>"
                f"\r\nCall-ID: {mark}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n").encode()
    return request


def allocation():
    """An Allocate request of TURN without credentials, which is answered by a challenge."""
    return (bytes.fromhex("000300082112a442") + os.urandom(12) +
            bytes.fromhex("0019000411000000"))


async def slow_disk(server, authority):
    """Messages that are acknowledged when a slow disk has them; who asks something else of the
    server meanwhile, by SIP, TURN and XMPP, and how long the slowest answer took."""
    alice = Client("alice", "a", config={"xep_0198": {"window": 1}})
    bob = Client("bob", "b")
    await alice.log_in(server, authority)
    await bob.log_in(server, authority)
    loop = asyncio.get_event_loop()
    probes = {}
    for name, port, request in (
            ("sip", 5060, options_of(server)),
            ("turn", 3478, allocation)):
        _, probes[name] = await loop.create_datagram_endpoint(
            lambda request=request: Probe(request), remote_addr=(server, port))
    slowest_ping_s, pings, acks_s, acked = 0.0, 0, [], set()
    alice.add_event_handler("stanza_acked", lambda stanza: acked.add(
        stanza["body"] if stanza.name == "message" else ""))
    for number in range(3):
        begin = time.monotonic()
        alice.send_message(f"carol@{DOMAIN}", f"slow {number}", mtype="chat")
        # Requests go before the stanza that makes them.
        after = asyncio.ensure_future(alice["xep_0199"].ping(DOMAIN, timeout=TIMEOUT))
        while f"slow {number}" not in acked:
            ping = time.monotonic()
            await bob["xep_0199"].ping(DOMAIN, timeout=TIMEOUT)
            slowest_ping_s, pings = max(slowest_ping_s, time.monotonic() - ping), pings + 1
            await asyncio.sleep(0.01)
        acks_s.append(time.monotonic() - begin)
        await after
    said = {"acks_s": acks_s, "xmpp": [pings, slowest_ping_s]}
    said |= {name: [probe.answers, probe.slowest_s] for name, probe in probes.items()}
    await alice.leave()
    await bob.leave()
    return said


async def all_waiting(server, authority):
    """All that waits for carol, and what her archive has."""
    carol = Client("carol", "c", plugins=("xep_0313",))
    await carol.log_in(server, authority)
    await carol["xep_0199"].ping(DOMAIN)
    said = {"waited": carol.messages.qsize()}
    said["archived"] = len([each async for each in carol["xep_0313"].iterate(
        with_jid=f"alice@{DOMAIN}", rsm={"max": 50})])
    await carol.leave()
    return said


@contextlib.contextmanager
def cut(client):
    """Nothing of the client's connection goes through, either way: neither end is told."""
    port = client.transport.get_extra_info("sockname")[1]
    rules = "".join(
        f"chain {way} {{ type filter hook {way} priority 0; tcp {which} {port} drop; }}\n"
        for way, which in (("input", "dport"), ("output", "sport")))
    subprocess.run(["nft", "-f", "-"], input=f"table inet cut {{ {rules} }}", check=True, text=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", "cut"], check=True)


async def resume(server, authority):
    """The network is cut under a session; it comes back with what it missed."""
    alice = Client("alice", "a")
    bob = Client("bob", "b", config={"xep_0198": {"window": 1}})
    await alice.log_in(server, authority)
    await bob.log_in(server, authority)
    await bob["xep_0199"].ping(DOMAIN)
    said = {"managed": bob["xep_0198"].enabled_in and bob["xep_0198"].sm_id is not None}
    bob.ready.clear()
    with cut(bob):
        alice.send_message(f"bob@{DOMAIN}/b", "across the cut", mtype="chat")
        await alice["xep_0199"].ping(DOMAIN)
        bob.transport.abort()
        await bob.log_in(server, authority)
        said["body"] = (await bob.next_message())["body"]
    said["resource"] = bob.boundjid.resource
    await alice.leave()
    await bob.leave()
    return said


def room_of(client, room, nick, **more):
    return client["xep_0045"].join_muc_wait(room, nick, timeout=TIMEOUT, **more)


async def rooms(server, authority):
    """A room from its making to its end: configured, joined, spoken in, a kick, a ban, its list."""
    room = f"lab@conference.{DOMAIN}"
    plugins = ("xep_0004", "xep_0045", "xep_0249")
    alice, bob = Client("alice", "a", plugins=plugins), Client("bob", "b", plugins=plugins)
    for client in (alice, bob):
        await client.log_in(server, authority)
    said, heard, invited = {}, asyncio.Queue(), asyncio.Queue()
    bob.add_event_handler("groupchat_message", heard.put_nowait)
    bob.add_event_handler("groupchat_invite", invited.put_nowait)
    own, _, _, _ = await room_of(alice, room, "Al")
    said["made"] = sorted(own["muc"]["status_codes"])
    muc = alice["xep_0045"]
    form = await muc.get_room_config(room)
    form.set_values({"muc#roomconfig_persistentroom": True, "muc#roomconfig_roomname": "The Lab"})
    await muc.set_room_config(room, form)
    items = await bob["xep_0030"].get_items(f"conference.{DOMAIN}")
    said["listed"] = [[str(item[0]), item[2]] for item in items["disco_items"]["items"]]
    muc.invite(room, f"bob@{DOMAIN}", "come in")
    said["invited"] = (await asyncio.wait_for(invited.get(), TIMEOUT))["from"].bare
    _, _, occupants, _ = await room_of(bob, room, "Bo")
    said["occupants"] = sorted({each["from"].resource for each in occupants} | {"Bo"})
    alice.send_message(room, "hello & <all>", mtype="groupchat")
    said["heard"] = (await asyncio.wait_for(heard.get(), TIMEOUT))["body"]
    muc.set_subject(room, "Work")
    await alice["xep_0199"].ping(DOMAIN)
    said["self_ping"] = (await bob["xep_0199"].send_ping(f"{room}/Bo"))["type"]
    await muc.set_role(room, "Bo", "none", reason="enough")
    try:
        await bob["xep_0199"].send_ping(f"{room}/Bo")
    except slixmpp.exceptions.IqError as error:
        said["kicked"] = error.condition
    await muc.set_affiliation(room, "outcast", jid=f"bob@{DOMAIN}")
    try:
        await room_of(bob, room, "Bo")
    except slixmpp.exceptions.PresenceError as error:
        said["banned"] = error.presence["error"]["condition"]
    said["outcasts"] = [str(jid) for jid in await muc.get_affiliation_list(room, "outcast")]
    for client in (alice, bob):
        await client.leave()
    return said


async def a_room(server, authority):
    """A persistent room in which something was said."""
    room = f"desk@conference.{DOMAIN}"
    alice = Client("alice", "a", plugins=("xep_0004", "xep_0045"))
    await alice.log_in(server, authority)
    await room_of(alice, room, "Al")
    muc = alice["xep_0045"]
    form = await muc.get_room_config(room)
    form.set_values({"muc#roomconfig_persistentroom": True})
    await muc.set_room_config(room, form)
    alice.send_message(room, "to be forgotten", mtype="groupchat")
    await alice["xep_0199"].ping(DOMAIN)
    await alice.leave()
    return {}


async def owns_anothers_room(server, authority):
    """Whether alice is shown the configuration of a room of bob's."""
    room = f"his@conference.{DOMAIN}"
    plugins = ("xep_0004", "xep_0045")
    bob, alice = Client("bob", "b", plugins=plugins), Client("alice", "a", plugins=plugins)
    for client in (bob, alice):
        await client.log_in(server, authority)
    await room_of(bob, room, "Bo")
    await bob["xep_0045"].set_room_config(room, await bob["xep_0045"].get_room_config(room))
    await room_of(alice, room, "Al")
    try:
        await alice["xep_0045"].get_room_config(room)
        owner = True
    except slixmpp.exceptions.IqError:
        owner = False
    for client in (alice, bob):
        await client.leave()
    return {"owner": owner}


async def rooms_again(server, authority):
    """What is left of that room: history, subject, archive, the ban."""
    room = f"lab@conference.{DOMAIN}"
    alice = Client("alice", "a", plugins=("xep_0004", "xep_0045", "xep_0313"))
    await alice.log_in(server, authority)
    _, subject, _, history = await room_of(alice, room, "Al")
    said = {"subject": subject["subject"],
            "history": [message["body"] for message in history if message["body"]],
            "outcasts": [str(jid) for jid in
                         await alice["xep_0045"].get_affiliation_list(room, "outcast")]}
    page = await alice["xep_0313"].retrieve(jid=room)
    said["archived"] = [each["mam_result"]["forwarded"]["stanza"]["body"]
                        for each in page["mam"]["results"]]
    await alice["xep_0045"].destroy(room, "done")
    items = await alice["xep_0030"].get_items(f"conference.{DOMAIN}")
    said["listed"] = len(items["disco_items"]["items"])
    await alice.leave()
    return said


async def archive(server, authority):
    """What two users said to each other, in pages out of either's archive."""
    plugins = ("xep_0313", "xep_0359")
    alice, bob = Client("alice", "a", plugins=plugins), Client("bob", "b", plugins=plugins)
    for client in (alice, bob):
        await client.log_in(server, authority)
    for number in range(12):
        alice.send_message(f"bob@{DOMAIN}/b", f"archived {number}", mtype="chat")
    said = {"ids": []}
    for _ in range(12):
        message = await bob.next_message()
        said["ids"].append(message["stanza_id"]["id"])
    results = [each async for each in bob["xep_0313"].iterate(
        with_jid=f"alice@{DOMAIN}", reverse=True, total=5, rsm={"max": 5})]
    said["last"] = [each["mam_result"]["forwarded"]["stanza"]["body"] for each in results]
    said["same_ids"] = [each["mam_result"]["id"] for each in results] == said.pop("ids")[:-6:-1]
    bodies = [each["mam_result"]["forwarded"]["stanza"]["body"] async for each in
              alice["xep_0313"].iterate(with_jid=f"bob@{DOMAIN}", rsm={"max": 5})]
    said["all"] = [body for body in bodies if body.startswith("archived")]
    for client in (alice, bob):
        await client.leave()
    return said


async def publishing(server, authority):
    """An avatar seen by a contact who wishes it, and a vCard."""
    plugins = ("xep_0060", "xep_0163", "xep_0115", "xep_0084", "xep_0054", "xep_0049", "xep_0012")
    alice, bob = Client("alice", "a", plugins=plugins), Client("bob", "b", plugins=plugins)
    seen = asyncio.Queue()
    bob.add_event_handler("avatar_metadata_publish", seen.put_nowait)
    bob["xep_0163"].add_interest("urn:xmpp:avatar:metadata")
    bob["xep_0115"].caps_node = "http://example.com/bob"
    for client in (alice, bob):
        client.auto_authorize = client.auto_subscribe = True
        await client.log_in(server, authority)
    alice.send_presence_subscription(f"bob@{DOMAIN}")

    async def both():
        while alice.client_roster[f"bob@{DOMAIN}"]["subscription"] != "both":
            await asyncio.sleep(0.05)
    await asyncio.wait_for(both(), TIMEOUT)
    await bob["xep_0115"].update_caps()
    picture = bytes(range(256)) * 40
    await alice["xep_0084"].publish_avatar(picture)
    name = alice["xep_0084"].generate_id(picture)
    await alice["xep_0084"].publish_avatar_metadata(
        {"id": name, "type": "image/png", "bytes": len(picture)})
    event = await asyncio.wait_for(seen.get(), TIMEOUT)
    said = {"notified_by": event["from"].bare}
    got = await bob["xep_0084"].retrieve_avatar(f"alice@{DOMAIN}", name)
    said["picture"] = got["pubsub"]["items"]["item"]["avatar_data"]["value"] == picture
    card = alice["xep_0054"].make_vcard()
    card["FN"] = "Alice"
    await alice["xep_0054"].publish_vcard(card)
    got = await bob["xep_0054"].get_vcard(f"alice@{DOMAIN}")
    said["name"] = got["vcard_temp"]["FN"]
    for client in (alice, bob):
        await client.leave()
    return said


async def subscribing(server, authority):
    """A node of alice's that bob subscribes to, without any wish of his client, and more."""
    plugins = ("xep_0060",)
    alice, bob = Client("alice", "a", plugins=plugins), Client("bob", "b", plugins=plugins)
    theirs, node = f"alice@{DOMAIN}", "urn:example:board"
    told = asyncio.Queue()
    bob.add_event_handler("pubsub_publish", told.put_nowait)
    for client in (alice, bob):
        await client.log_in(server, authority)
    options = alice["xep_0004"].make_form("submit")
    options.add_field(var="FORM_TYPE", ftype="hidden",
                      value="http://jabber.org/protocol/pubsub#publish-options")
    options.add_field(var="pubsub#access_model", value="open")
    hers, his = alice["xep_0060"], bob["xep_0060"]

    async def publish(plugin, name, **more):
        await plugin.publish(theirs, node, id=name, payload=ElementTree.Element("{urn:x}note"),
                             **more)

    async def event():
        got = await asyncio.wait_for(told.get(), TIMEOUT)
        return [str(got["to"]), got["pubsub_event"]["items"]["item"]["id"]]
    await publish(hers, "first", options=options)
    got = await his.subscribe(theirs, node)
    said = {"subscribed": got["pubsub"]["subscription"]["subscription"], "last": await event()}
    await publish(hers, "second")
    said["event"] = await event()
    got = await his.get_subscriptions(theirs)
    said["his"] = [str(each["jid"]) for each in got["pubsub"]["subscriptions"]]
    got = await hers.get_node_subscriptions(theirs, node)
    said["hers"] = [str(each["jid"]) for each in got["pubsub_owner"]["subscriptions"]]
    await hers.modify_affiliations(theirs, node, [(f"bob@{DOMAIN}", "publisher")])
    await publish(his, "third")
    said["own"] = await event()
    got = await his.get_affiliations(theirs)
    said["is"] = [each["affiliation"] for each in got["pubsub"]["affiliations"]]
    await his.unsubscribe(theirs, node)
    await hers.modify_affiliations(theirs, node, [(f"bob@{DOMAIN}", "outcast")])
    for query in (his.subscribe(theirs, node), his.get_items(theirs, node)):
        with contextlib.suppress(slixmpp.exceptions.IqError):
            await query
            said["heard"] = "an outcast"
    await hers.delete_node(theirs, node)
    for client in (alice, bob):
        await client.leave()
    return said


async def upload(server, authority):
    """A slot asked for and filled; the address it is then read at. A file that is too large."""
    alice = Client("alice", "a", plugins=("xep_0363",))
    await alice.log_in(server, authority)
    info = await alice["xep_0030"].get_info(DOMAIN)
    said = {"offered": "urn:xmpp:http:upload:0" in info["disco_info"]["features"]}
    picture = bytes(range(256)) * 400

    async def slot(size):
        got = await alice["xep_0363"].request_slot(DOMAIN, "a b.png", size, "image/png")
        return got["http_upload_slot"]
    try:
        await slot(1 << 30)
    except slixmpp.exceptions.IqError as error:
        said["too_large"] = error.condition
    given = await slot(len(picture))
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False

    def send(method, url, body=None):
        path = urllib.parse.urlsplit(url)
        link = http.client.HTTPSConnection(server, path.port, context=context, timeout=TIMEOUT)
        link.request(method, f"{path.path}?{path.query}", body, {"Content-Type": "image/png"})
        answer = link.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    loop = asyncio.get_event_loop()
    said["put"] = (await loop.run_in_executor(None, send, "PUT", given["put"]["url"], picture))[0]
    # Once more, by a client that waits for leave to send what it has.
    with tempfile.NamedTemporaryFile() as file:
        file.write(picture)
        file.flush()
        again = await asyncio.create_subprocess_exec(
            "curl", "-sk", "-m", str(TIMEOUT), "-o", "/dev/null", "-w", "%{http_code}",
            "-H", "Expect: 100-continue", "--expect100-timeout", str(TIMEOUT), "--resolve",
            f"{DOMAIN}:5281:{server}", "-T", file.name, given["put"]["url"],
            stdout=asyncio.subprocess.PIPE)
        said["again"] = (await again.communicate())[0].decode()
    status, body, fields = await loop.run_in_executor(None, send, "GET", given["get"]["url"])
    said["get"] = [status, body == picture, fields["Content-Type"],
                   fields["X-Content-Type-Options"]]
    said["url"] = given["get"]["url"]
    await alice.leave()
    return said


async def push(server, authority):
    """Bob's client as carol's push service: it is told that something waits, and no more."""
    carol, bob, alice = Client("carol", "phone"), Client("bob", "push"), Client("alice", "a")
    told = asyncio.Queue()

    def on_publish(stanza):
        told.put_nowait(ElementTree.tostring(stanza.xml, encoding="unicode"))
        stanza.reply().send()
    bob.register_handler(Callback(
        "push", MatchXPath("{jabber:client}iq/{http://jabber.org/protocol/pubsub}pubsub"),
        on_publish))
    for client in (carol, bob, alice):
        await client.log_in(server, authority)
    enable = carol.make_iq_set()
    enable.append(ElementTree.fromstring(
        f"<enable xmlns='urn:xmpp:push:0' jid='{bob.boundjid.full}' node='phone1'/>"))
    said = {"enabled": (await enable.send())["type"]}
    await carol.leave()
    alice.send_message(f"carol@{DOMAIN}", "secret words", mtype="chat")
    text = await asyncio.wait_for(told.get(), TIMEOUT)
    said["node"] = "phone1" in text
    said["count"] = "message-count" in text
    said["words"] = "secret words" in text or "alice" in text
    carol = Client("carol", "phone")
    await carol.log_in(server, authority)
    said["body"] = (await carol.next_message())["body"]
    disable = carol.make_iq_set()
    disable.append(ElementTree.fromstring(
        f"<disable xmlns='urn:xmpp:push:0' jid='{bob.boundjid.full}'/>"))
    said["disabled"] = (await disable.send())["type"]
    for client in (carol, bob, alice):
        await client.leave()
    return said


async def companion(server, authority):
    """Bob answers what somebody writes to him, fetches the file he is told of, and comes into the
    room he is invited to."""
    bob = Client("bob", "companion", plugins=("xep_0045", "xep_0249"))
    invited, heard = asyncio.Queue(), asyncio.Queue()
    bob.add_event_handler("groupchat_direct_invite", lambda message: invited.put_nowait(
        slixmpp.JID(message["groupchat_invite"]["jid"]).bare))
    bob.add_event_handler("groupchat_message", heard.put_nowait)
    await bob.log_in(server, authority)

    async def next_text():
        while not (message := await bob.next_message())["body"]:
            pass  # chat states
        return message
    message = await next_text()
    said = {"body": message["body"]}
    bob.send_message(message["from"], "seen by bob", mtype="chat")
    url = (await next_text())["body"]
    path = urllib.parse.urlsplit(url)
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False

    def fetch():
        link = http.client.HTTPSConnection(server, path.port, context=context, timeout=TIMEOUT)
        link.request("GET", path.path)
        return link.getresponse().read().decode()
    said["file"] = await asyncio.get_event_loop().run_in_executor(None, fetch)
    room = await asyncio.wait_for(invited.get(), TIMEOUT)
    await room_of(bob, room, "Bo")
    bob.send_message(room, "bob is here", mtype="groupchat")
    while (body := (await asyncio.wait_for(heard.get(), TIMEOUT))["body"]) == "bob is here":
        pass
    said["heard"] = body
    await bob.leave()
    return said


async def canaries(server, authority):
    """Words in all that people write, each of them once; the last of it ends alice's stream."""
    plugins = ("xep_0004", "xep_0045", "xep_0054", "xep_0172")
    alice, bob = (Client(user, "canary", plugins=plugins) for user in ("alice", "bob"))
    for client in (alice, bob):
        await client.log_in(server, authority)
    alice.send_message(f"bob@{DOMAIN}", "canary-body", msubject="canary-subject", mtype="chat")
    assert (await bob.next_message())["body"] == "canary-body"
    alice.send_message(f"carol@{DOMAIN}", "canary-offline", mtype="chat")
    alice.send_message(f"nobody@{DOMAIN}", "canary-bounced", mtype="chat")
    alice.send_message("x@nowhere.invalid", "canary-abroad", mtype="chat")
    alice.send_presence(pstatus="canary-status", pnick="canary-nickname")
    alice.send_raw(f"<message to='bob@{DOMAIN}' type='error'><body>canary-error</body></message>"
                   f"<message to='b@d@e' id='canary-id'><body>canary-address</body></message>"
                   "<iq type='set' id='canary-iq'><query xmlns='canary-space'>canary-query</query>"
                   f"</iq><iq type='set' id='s' to='{DOMAIN}'><query xmlns='jabber:iq:search'>"
                   "<nick>canary-search</nick></query></iq>")
    card = alice["xep_0054"].make_vcard()
    card["FN"], card["NOTE"] = "canary-name", "canary-note"
    await alice["xep_0054"].publish_vcard(vcard=card)
    room = f"canary-room@conference.{DOMAIN}"
    await room_of(alice, room, "canary-nick")
    form = await alice["xep_0045"].get_room_config(room)
    form.set_values({"muc#roomconfig_roomname": "canary-title"})
    await alice["xep_0045"].set_room_config(room, form)
    alice["xep_0045"].set_subject(room, "canary-topic")
    alice.send_message(room, "canary-groupchat", mtype="groupchat")
    await alice["xep_0199"].ping(DOMAIN)
    over = asyncio.Queue()
    alice.add_event_handler("stream_error", over.put_nowait)
    alice.send_raw("<message><body>canary-malformed</body><!-- canary-comment --></message>")
    said = (await asyncio.wait_for(over.get(), TIMEOUT))["condition"]
    alice.abort()
    await bob.leave()
    carol = Client("carol", "canary")
    await carol.log_in(server, authority)
    while (await carol.next_message())["body"] != "canary-offline":
        pass
    await carol.leave()
    return said


async def two_domains(server, authority, other):
    """bob of either domain; each has a password, a roster and messages of his own."""
    here, there = Client("bob", "b"), Client("bob", "b", "another", domain=other)
    said = {"logins": [await here.log_in(server, authority), await there.log_in(server, authority)]}
    wrong = Client("bob", "x", "secret", domain=other)
    said["mistaken"] = await wrong.log_in(server, authority)
    here.send_message(f"bob@{other}", "to the other", mtype="chat")
    message = await there.next_message()
    said["there"] = [message["from"].full, message["body"]]
    there.send_message(f"bob@{DOMAIN}", "back", mtype="chat")
    message = await here.next_message()
    while message["body"] != "back":  # what waited for him, of other scenes
        message = await here.next_message()
    said["here"] = message["from"].full
    for client in (here, there):
        await client.leave()
    return said


async def refused_store(server, authority):
    """The answer to a message for somebody who is away, and what he finds."""
    alice, carol = Client("alice", "a"), Client("carol", "c")
    await alice.log_in(server, authority)
    alice.send_message(f"carol@{DOMAIN}", "not kept", mtype="chat")
    message = await alice.next_message()
    while message["type"] != "error":
        message = await alice.next_message()
    said = {"answer": message["error"]["condition"]}
    await carol.log_in(server, authority)
    await carol["xep_0199"].ping(DOMAIN)
    said["found"] = [each["body"] for each in carol.messages._queue if each["body"] == "not kept"]
    for client in (alice, carol):
        await client.leave()
    return said


async def tells(server, authority):
    """What becomes of a message to somebody who is there: his, or the error."""
    alice, bob = Client("alice", "a"), Client("bob", "b")
    for client in (alice, bob):
        await client.log_in(server, authority)
    alice.send_message(f"bob@{DOMAIN}/b", "on the record", mtype="chat")
    ends = [asyncio.ensure_future(client.next_message()) for client in (alice, bob)]
    done, late = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in late:
        end.cancel()
    message = done.pop().result()
    for client in (alice, bob):
        await client.leave()
    return message["error"]["condition"] if message["type"] == "error" else message["body"]


async def fills_archives(server, authority, count, size):
    """So many messages of so many bytes to somebody who is there."""
    alice, bob = Client("alice", "a"), Client("bob", "b")
    await alice.log_in(server, authority)
    await bob.log_in(server, authority)
    for number in range(int(count)):
        alice.send_message(f"bob@{DOMAIN}/b", f"{number} " + "x" * int(size), mtype="chat")
        await bob.next_message()
    for client in (alice, bob):
        await client.leave()
    return True


async def ended(server, authority):
    """A session that the operator ends, while another hears what he says to all."""
    alice, bob = Client("alice", "ended"), Client("bob", "listens")
    over = asyncio.Queue()
    alice.add_event_handler("stream_error", over.put_nowait)
    for client in (alice, bob):
        await client.log_in(server, authority)
    said = {"broadcast": (await bob.next_message())["body"]}
    said["ended"] = (await asyncio.wait_for(over.get(), TIMEOUT))["condition"]
    alice.abort()
    await bob.leave()
    return said


async def turned_away(server, authority):
    """The word with which the stream of somebody ends who may not have a session now."""
    bob = Client("bob", "late")
    over = asyncio.Queue()
    bob.add_event_handler("stream_error", over.put_nowait)
    attempt = asyncio.ensure_future(bob.log_in(server, authority))
    condition = (await asyncio.wait_for(over.get(), TIMEOUT))["condition"]
    attempt.cancel()
    bob.abort()
    return condition


async def logs_in(server, authority, user, password):
    """Who it is then."""
    client = Client(user, "x", password)
    logged_in = await client.log_in(server, authority)
    address = client.boundjid.bare
    await client.leave()
    return address if logged_in else None


async def refused(server, authority):
    """The wrong password, and nobody at all."""
    said = {}
    for user, password in (("alice", "wrong"), ("nobody", "secret")):
        client = Client(user, "x", password)
        said[user] = await client.log_in(server, authority)
    return said


async def guess(server, authority):
    """Wrong passwords, each by a connection of its own, until one is not answered; which were."""
    said = []
    while len(said) < 4 and all(said):
        client = Client("alice", "x", f"wrong{len(said)}")
        try:
            assert not await asyncio.wait_for(client.log_in(server, authority), 12)
            said.append(True)
        except TimeoutError:
            said.append(False)
        with contextlib.suppress(AttributeError):  # of a connection that has gone already
            client.abort()
    return {"answered": said}


async def certificates(server, authority, folder):
    """Users by their certificates (SASL EXTERNAL), and who shows another's or none."""
    async def tried(user, name, direct=False):
        client = Client(user, "x", password="", mechanism="EXTERNAL")
        if name:
            client.certfile, client.keyfile = f"{folder}/{name}.pem", f"{folder}/{name}.key"
        client.credentials["authzid"] = f"{user}@{DOMAIN}".encode()
        logged_in = await client.log_in(server, authority, direct)
        address = client.boundjid.bare if logged_in else None
        await client.leave()
        return address
    return {"alice": await tried("alice", "alice"),
            "bob as alice": await tried("bob", "alice", direct=True),
            "mail": await tried("bob", "mail"), "none": await tried("alice", None)}


async def policy(server, authority):
    """Bob blocks all but his contacts by an ad-hoc command (XEP-0050), then lets carol in."""
    plugins = ("xep_0004", "xep_0050")
    bob = Client("bob", "b", plugins=plugins)
    carol = Client("carol", "c")
    for client in (bob, carol):
        await client.log_in(server, authority)
    commands, node = bob["xep_0050"], "urn:gatehouse:policy"

    async def choose(allowed):
        shown = await commands.send_command(DOMAIN, node)
        form = shown["command"]["form"]
        before = form.get_values()["policy"]
        form["type"] = "submit"
        form.set_values({"policy": "block", "allowed": allowed})
        await commands.send_command(DOMAIN, node, action="complete", payload=[form])
        shown = await commands.send_command(DOMAIN, node)
        return before, shown["command"]["form"].get_values()["policy"]

    said = dict(zip(("before", "after"), await choose([])))
    carol.send_message(f"bob@{DOMAIN}", "anybody there?", mtype="chat")
    answer = await carol.next_message()
    while answer["type"] != "error":  # what waited for her, of other scenes
        answer = await carol.next_message()
    said["stranger"] = answer["error"]["condition"]
    await choose([f"carol@{DOMAIN}"])
    carol.send_message(f"bob@{DOMAIN}", "let in", mtype="chat")
    said["allowed"] = (await bob.next_message())["body"]
    for client in (bob, carol):
        await client.leave()
    return said


async def replies(server, authority):
    """Alice writes to bob, who is there twice: before he replies, after, and when he has moved."""
    alice, there = Client("alice", "a"), [Client("bob", "b"), Client("bob", "desk")]
    for client in (alice, *there):
        await client.log_in(server, authority)

    async def who(body):
        alice.send_message(f"bob@{DOMAIN}", body, mtype="chat")
        await alice["xep_0199"].ping(DOMAIN)  # it has been delivered
        for client in there:
            await client["xep_0199"].ping(DOMAIN)
        got = []
        for client in there:
            while not client.messages.empty():
                if client.messages.get_nowait()["body"] == body:
                    got.append(client.boundjid.resource)
        return got

    said = {"first": await who("one")}
    there[1].send_message(f"alice@{DOMAIN}", "I am at my desk", mtype="chat")
    await alice.next_message()
    said["then"] = await who("two")
    there[0].send_presence()
    await there[0]["xep_0199"].ping(DOMAIN)
    said["moved"] = await who("three")
    for client in (alice, *there):
        await client.leave()
    return said


def privacy_list(client, name, *rules):
    """A set of a privacy list (XEP-0016): of address, action and kind, one each."""
    iq = client.Iq()
    iq["type"] = "set"
    wanted = iq["privacy"]["list"]
    wanted["name"] = name
    for order, (value, action, kind) in enumerate(rules):
        item = wanted.add_item(value, action, str(order), itype="jid" if value else None)
        ElementTree.SubElement(item.xml, f"{{jabber:iq:privacy}}{kind}")
    return iq


def privacy_choice(client, what, name=None):
    iq = client.Iq()
    iq["type"] = "set"
    if name:
        iq["privacy"][what]["name"] = name
    else:
        iq["privacy"].enable(what)
    return iq


async def answer_to(client, body):
    """What comes back for a message to bob."""
    client.send_message(f"bob@{DOMAIN}", body, mtype="chat")
    while True:
        got = await client.next_message()
        if got["type"] == "error" or got["body"] == "echo":
            return got["error"]["condition"] if got["type"] == "error" else "echo"


async def privacy(server, authority):
    """Bob denies carol's messages by a list; that is his default one when he comes back."""
    plugins = ("xep_0016",)
    bob, carol = Client("bob", "b", plugins=plugins), Client("carol", "c")
    for client in (bob, carol):
        await client.log_in(server, authority)
    await privacy_list(bob, "noise", (f"carol@{DOMAIN}", "deny", "message")).send()
    await privacy_choice(bob, "active", "noise").send()
    said = {"active": await answer_to(carol, "one")}
    await privacy_choice(bob, "default", "noise").send()
    await bob.leave()
    said["away"] = await answer_to(carol, "two")
    bob = Client("bob", "b", plugins=plugins)
    bob.add_event_handler("message", lambda got: got["body"] == "three" and bob.send_message(
        got["from"], "echo", mtype="chat"))
    await bob.log_in(server, authority)
    iq = bob.Iq()
    iq["type"] = "get"
    iq.enable("privacy")
    names = (await iq.send())["privacy"]
    said["names"] = [names["default"]["name"], *(each["name"] for each in names["lists"])]
    said["again"] = await answer_to(carol, "two again")
    await privacy_choice(bob, "default").send()
    said["none"] = await answer_to(carol, "three")
    await privacy_list(bob, "noise").send()
    for client in (bob, carol):
        await client.leave()
    return said


async def invisible(server, authority):
    """Carol sees bob until he hides, and again when he does not (XEP-0126)."""
    bob, carol = Client("bob", "b", plugins=("xep_0016",)), Client("carol", "c")
    bob.auto_authorize, bob.auto_subscribe = True, False
    for client in (bob, carol):
        await client.log_in(server, authority)
    carol.send_presence_subscription(f"bob@{DOMAIN}")

    async def shown():
        """What carol is shown of bob next."""
        while True:
            got = await asyncio.wait_for(carol.presences.get(), TIMEOUT)
            if got["from"].full == f"bob@{DOMAIN}/b":
                return got["status"] or got["type"]

    said = {"before": await shown()}
    await privacy_list(bob, "invisible", ("", "deny", "presence-out")).send()
    await privacy_choice(bob, "active", "invisible").send()
    said["hides"] = await shown()
    bob.send_presence(pstatus="hidden")
    await bob["xep_0199"].ping(DOMAIN)
    await privacy_choice(bob, "active").send()
    bob.send_presence(pstatus="back")
    said["after"] = await shown()
    carol.send_presence(pto=f"bob@{DOMAIN}", ptype="unsubscribe")
    await carol["xep_0199"].ping(DOMAIN)
    await privacy_list(bob, "invisible").send()
    for client in (bob, carol):
        await client.leave()
    return said


async def one_by_one(server, authority):
    """Carol asks for what waits for her by itself (XEP-0013), and leaves some of it."""
    alice = Client("alice", "a")
    await alice.log_in(server, authority)
    for body in ("first", "second", "third"):
        alice.send_message(f"carol@{DOMAIN}", body, mtype="chat")
    await alice["xep_0199"].ping(DOMAIN)
    await alice.leave()
    carol = Client("carol", "c", plugins=("xep_0004", "xep_0013"))
    said = {}

    async def ask(_):
        offline = carol["xep_0013"]
        count = (await offline.get_count())["disco_info"].xml
        said["count"] = count.findtext(".//*[@var='number_of_messages']/{jabber:x:data}value")
        items = (await offline.get_headers())["disco_items"]["items"]
        said["from"] = sorted({str(name) for _, _, name in items})
        nodes = sorted(node for _, node, _ in items)
        carol.send_presence()
        await carol["xep_0199"].ping(DOMAIN)
        said["flood"] = carol.messages.qsize()
        answered = asyncio.Queue()
        offline.view([nodes[1]], callback=answered.put_nowait)
        viewed = await asyncio.wait_for(answered.get(), TIMEOUT)
        said["viewed"] = [each["body"] for each in viewed["offline"]["results"]]
        offline.remove([nodes[0], nodes[2]], callback=answered.put_nowait)
        await asyncio.wait_for(answered.get(), TIMEOUT)
        left = (await offline.get_headers())["disco_items"]["items"]
        said["left"] = [node for _, node, _ in left] == [nodes[1]]
        offline.purge(callback=answered.put_nowait)
        await asyncio.wait_for(answered.get(), TIMEOUT)
        said["purged"] = len((await offline.get_headers())["disco_items"]["items"])
        carol.ready.set()

    carol.del_event_handler("session_start", carol._on_start)  # which sends presence at once
    carol.add_event_handler("session_start", ask)
    await carol.log_in(server, authority)
    await carol.leave()
    return said


async def main(server, authority, scene, *words):
    print(json.dumps(await globals()[scene](server, authority, *words)), flush=True)
    if scene == "acknowledged":
        os._exit(0)


if __name__ == "__main__":
    asyncio.get_event_loop().run_until_complete(
        asyncio.wait_for(main(*sys.argv[1:]), 3 * TIMEOUT))
