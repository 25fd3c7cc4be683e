"""Users of two servers, by slixmpp, in one script: what a scene asks is done, and what came of it
is printed as one line of JSON.

    federation_client.py SCENE OURS THEIRS THEIR_DOMAIN
"""

import asyncio
import base64
import json
import ssl
import sys

import slixmpp
from slixmpp.xmlstream import ET

ssl.SSLObject.get_channel_binding = lambda self, cb_type="tls-unique": None
TIMEOUT = 40  # twice what we give another server's proof
ROOM = "meeting"
EVENT = "http://jabber.org/protocol/pubsub#event"
NICK = "http://jabber.org/protocol/nick"
DATA = "urn:xmpp:avatar:data"


class User(slixmpp.ClientXMPP):
    """A user's session that keeps what it was sent."""

    def __init__(self, user, domain):
        super().__init__(f"{user}@{domain}/{user}", "secret")
        self.messages, self.presences, self.groupchat = (asyncio.Queue() for _ in range(3))
        self.ready = asyncio.Event()
        for name in ("xep_0030", "xep_0045", "xep_0092", "xep_0199"):
            self.register_plugin(name)
        self.auto_authorize = self.auto_subscribe = True
        self.add_event_handler("session_start", self._on_start)
        self.add_event_handler("presence_available", self._on_available)
        self.add_event_handler("message", self._on_message)
        self.add_event_handler("message_error", self.messages.put_nowait)
        self.add_event_handler("changed_status", self.presences.put_nowait)

    async def _on_start(self, _):
        await self.get_roster()
        self.send_presence()

    def _on_available(self, presence):
        # Once his server has it he can be sent something: RFC 6121 section 4.2.2.
        if presence["from"].full == self.boundjid.full:
            self.ready.set()

    def _on_message(self, message):
        if message["type"] == "error":
            return  # which is told by the other event too, with the body that came back
        (self.groupchat if message["type"] == "groupchat" else self.messages).put_nowait(message)

    async def log_in(self, server, tls=True):
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        self["feature_mechanisms"].unencrypted_plain = not tls
        self.connect((server, 5222), force_starttls=tls, disable_starttls=not tls)
        await asyncio.wait_for(self.ready.wait(), TIMEOUT)

    async def hear(self, queue=None):
        return await asyncio.wait_for((queue or self.messages).get(), TIMEOUT)


async def log_in(ours, theirs, domain):
    alice, bob = User("alice", "example.com"), User("bob", domain)
    await alice.log_in(ours)
    await bob.log_in(theirs, tls=False)
    return alice, bob


def said(message):
    """What a message says, or why it came back."""
    return (message["error"]["condition"] if message["type"] == "error" else message["body"])


async def either(*users):
    """What the first of them hears; empty: nothing."""
    waiting = [asyncio.ensure_future(user.messages.get()) for user in users]
    done, late = await asyncio.wait(waiting, timeout=TIMEOUT,
                                    return_when=asyncio.FIRST_COMPLETED)
    for each in late:
        each.cancel()
    return [said(each.result()) for each in done]


async def befriended(alice, bob, address):
    """Each sees the other, who knows her as `address`."""
    while (alice.client_roster[bob.boundjid.bare]["subscription"] != "both" or
           bob.client_roster[address]["subscription"] != "both"):
        await asyncio.sleep(0.05)


async def part(alice, bob, address):
    """They are friends no more: no later session begins streams by its presence."""
    for user, other in ((alice, bob.boundjid.bare), (bob, address)):
        user.del_roster_item(other)
        assert other not in (await user.get_roster())["roster"]["items"], other


async def there(alice, bob, _):
    """A message of ours."""
    alice.send_message(bob.boundjid.bare, "over there", mtype="chat")
    return {"there": await either(bob, alice)}


async def chat(alice, bob, domain):
    """A message each way."""
    out = await there(alice, bob, domain)
    bob.send_message(alice.boundjid.bare, "over here", mtype="chat")
    return {**out, "here": await either(alice, bob)}


async def large(alice, bob, domain):
    """How much arrives of a large message each way."""
    out = []
    for user, other in ((alice, bob), (bob, alice)):
        user.send_message(other.boundjid.full, "x" * 20000, mtype="chat")
        out.append(len(said(await other.hear())))
    return out


async def friends(alice, bob, domain):
    """Subscriptions both ways, presence, queries."""
    alice.send_presence_subscription(bob.boundjid.bare)
    await asyncio.wait_for(befriended(alice, bob, "alice@example.com"), TIMEOUT)

    async def shows(user, who, show):
        while True:
            seen = await user.hear(user.presences)
            if seen["from"].full == who.boundjid.full and seen["show"] == show:
                return seen["status"]
    bob.send_presence(pshow="away", pstatus="lunch \u263a")
    out = {"status": await shows(alice, bob, "away")}
    alice.send_presence(pshow="dnd", pstatus="busy")
    out["back"] = await shows(bob, alice, "dnd")
    out["ping"] = await alice["xep_0199"].ping(domain) < TIMEOUT
    info = await bob["xep_0030"].get_info("example.com")
    out["identity"] = list(info["disco_info"]["identities"])[0][:2]
    version = await alice["xep_0092"].get_version(domain)
    out["version"] = version["software_version"]["name"]
    await part(alice, bob, "alice@example.com")
    return out


async def rooms(alice, bob, domain):
    """A room of theirs."""
    room = f"{ROOM}@rooms.{domain}"
    for user, nick in ((bob, "bob"), (alice, "alice")):
        await user["xep_0045"].join_muc_wait(room, nick, timeout=TIMEOUT)
    alice.send_message(room, "in the room", mtype="groupchat")

    async def heard(user, body):
        while True:
            message = await user.hear(user.groupchat)
            if message["body"] == body:
                return message["from"].full
    out = {"bob": await heard(bob, "in the room"), "alice": await heard(alice, "in the room")}
    bob.send_message(room, "and back", mtype="groupchat")
    out["back"] = await heard(alice, "and back")
    return out


async def our_rooms(alice, bob, domain):
    """A room of ours, with somebody of theirs in it from his coming to his going."""
    room = f"lab-{domain}@rooms.example.com"
    ours, theirs = alice["xep_0045"], bob["xep_0045"]
    in_room, subjects = {alice: asyncio.Queue(), bob: asyncio.Queue()}, asyncio.Queue()
    for user, queue in in_room.items():
        user.add_event_handler("groupchat_presence", queue.put_nowait)
    bob.add_event_handler("groupchat_subject", subjects.put_nowait)
    await ours.join_muc_wait(room, "alice", timeout=TIMEOUT)
    await ours.set_room_config(room, await ours.get_room_config(room))
    _, _, occupants, _ = await theirs.join_muc_wait(room, "bob", timeout=TIMEOUT)
    out = {"occupants": sorted({each["from"].resource for each in occupants} | {"bob"})}

    async def heard(user, body):
        while True:
            message = await user.hear(user.groupchat)
            if message["body"] == body:
                return message["from"].resource

    async def sees_bob_go(user, code=None):
        while True:
            seen = await user.hear(in_room[user])
            codes = {int(each) for each in seen["muc"]["status_codes"]}
            if (seen["type"] == "unavailable" and seen["from"].full == f"{room}/bob" and
                    code in codes | {None}):
                return True
    bob.send_message(room, "from afar", mtype="groupchat")
    out["ours"], out["theirs"] = await heard(alice, "from afar"), await heard(bob, "from afar")
    alice.send_message(room, "from here", mtype="groupchat")
    out["back"] = await heard(bob, "from here")
    ours.set_subject(room, "Both")
    while (await bob.hear(subjects))["subject"] != "Both":
        pass
    alice.send_message(f"{room}/bob", "aside", mtype="chat")
    out["aside"] = said(await bob.hear())
    await ours.set_role(room, "bob", "none", reason="enough")
    out["kicked"] = await sees_bob_go(bob, 307) and await sees_bob_go(alice, 307)
    await theirs.join_muc_wait(room, "bob", timeout=TIMEOUT)
    theirs.leave_muc(room, "bob")
    out["left"] = await sees_bob_go(alice)
    await ours.destroy(room, "done")
    return out


async def emails(alice, bob, _):
    """By her e-mail address alone: messages, presence, and her place in a room of ours."""
    address = "alice.smith@mail.example"
    alice.send_message(bob.boundjid.bare, "by mail", mtype="chat")
    out = {"from": (await bob.hear())["from"].full}
    bob.send_message("alice@example.com", "dropped", mtype="chat")
    bob.send_message(address, "to mail", mtype="chat")
    out["here"] = said(await alice.hear())
    bob.send_presence_subscription(address)

    async def sees_her():
        while address not in bob.client_roster or not bob.client_roster[address].resources:
            await asyncio.sleep(0.05)
    await asyncio.wait_for(sees_her(), TIMEOUT)
    out["show"] = "alice" in bob.client_roster[address].resources
    info = await bob["xep_0030"].get_info("mail.example")
    out["domain"] = [info["from"].full, list(info["disco_info"]["identities"])[0][0]]
    await asyncio.wait_for(befriended(alice, bob, address), TIMEOUT)
    await part(alice, bob, address)
    return out


class Echo(slixmpp.ComponentXMPP):
    """A component that says everything again, and shows itself to who asks."""

    def __init__(self, server):
        super().__init__("echo.example.com", "a long secret", server, 5347)
        self.started = asyncio.Event()
        self.register_plugin("xep_0030")
        self["xep_0030"].add_identity(category="automation", itype="echo")
        self.add_event_handler("session_start", lambda _: self.started.set())
        self.add_event_handler("message", self._on_message)
        self.add_event_handler("presence_subscribe", self._on_subscribe)

    def _on_message(self, message):
        if message["body"]:
            self.send_message(message["from"], message["body"] + " again", mtype="chat",
                              mfrom=message["to"])

    def _on_subscribe(self, presence):
        for kind, show in (("subscribed", None), (None, "dnd")):
            self.send_presence(pto=presence["from"].bare, pfrom=presence["to"].bare, ptype=kind,
                               pshow=show)


async def component(alice, bob, _):
    """A component of ours, for our user and for theirs."""
    echo = Echo(sys.argv[2])
    echo.connect()
    await asyncio.wait_for(echo.started.wait(), TIMEOUT)
    out = {}
    for user in (alice, bob):
        user.send_message("bot@echo.example.com", user.boundjid.user, mtype="chat")
        out[user.boundjid.user] = said(await user.hear())
    alice.send_presence_subscription("bot@echo.example.com")
    while True:
        seen = await alice.hear(alice.presences)
        if seen["from"].bare == "bot@echo.example.com":
            out["show"] = seen["show"]
            break
    info = await alice["xep_0030"].get_info("echo.example.com")
    out["identity"] = list(info["disco_info"]["identities"])[0][:2]
    alice.del_roster_item("bot@echo.example.com")
    echo.disconnect()
    return out


async def watch(_, bob, domain):
    """Somebody who is no contact, for a while."""
    carol = User("carol", "example.com")
    await carol.log_in(sys.argv[2])

    async def ask(what):
        query = carol.make_iq_set()
        query.append(ET.fromstring(f"<{what} xmlns='urn:gatehouse:presence:temporary' "
                                   f"jid='{bob.boundjid.bare}'/>"))
        return await query.send(timeout=TIMEOUT)

    async def shows(show):
        while True:
            seen = await carol.hear(carol.presences)
            if seen["from"].full == bob.boundjid.full and seen["show"] == show:
                return show
    bob.auto_subscribe = False  # she has not asked to be watched
    bob.send_presence(pshow="away")
    answer = await ask("watch")
    out = {"seconds": "seconds=" in str(answer), "show": await shows("away"),
           "contact": bool((await carol.get_roster())["roster"]["items"])}
    bob.send_presence(pshow="dnd")
    out["later"] = await shows("dnd")
    gone = asyncio.Event()
    bob.add_event_handler("presence_unsubscribe", lambda _: gone.set())
    await ask("unwatch")
    await asyncio.wait_for(gone.wait(), TIMEOUT)
    out["forgotten"] = gone.is_set()
    return out


async def published(alice, bob, _):
    """Nicks and an avatar, told to the other's client, which wishes for them."""
    seen = {}
    for user in (alice, bob):
        for name in ("xep_0172", "xep_0084"):
            user.register_plugin(name)
        user["xep_0115"].caps_node = f"http://{user.boundjid.domain}/client"
        for event in ("user_nick_publish", "avatar_metadata_publish"):
            seen[user, event] = asyncio.Queue()
            user.add_event_handler(event, seen[user, event].put_nowait)
        await user["xep_0115"].update_caps()

    # Read as XML: the library does not find what has the language of its stream in it.
    async def hears(user, event, other):
        while True:
            message = await user.hear(seen[user, event])
            if message["from"].bare == other.boundjid.bare:
                return message.xml.find(f".//{{{EVENT}}}item")

    async def hears_nick(user, other):
        return (await hears(user, "user_nick_publish", other)).findtext(f"{{{NICK}}}nick")
    await alice["xep_0172"].publish_nick("Al")
    alice.send_presence_subscription(bob.boundjid.bare)
    await asyncio.wait_for(befriended(alice, bob, "alice@example.com"), TIMEOUT)
    # What there was, then what comes.
    out = {"last": await hears_nick(bob, alice)}
    await alice["xep_0172"].publish_nick("Ally")
    while out.get("next") != "Ally":
        out["next"] = await hears_nick(bob, alice)
    picture = bob.boundjid.domain.encode() * 40
    await alice["xep_0084"].publish_avatar(picture)
    name = alice["xep_0084"].generate_id(picture)
    await alice["xep_0084"].publish_avatar_metadata(
        {"id": name, "type": "image/png", "bytes": len(picture)})
    while (await hears(bob, "avatar_metadata_publish", alice)).get("id") != name:
        pass
    got = await bob["xep_0084"].retrieve_avatar("alice@example.com", name)
    out["picture"] = base64.b64decode(got.xml.findtext(f".//{{{DATA}}}data")) == picture
    await bob["xep_0172"].publish_nick("Bo")
    out["back"] = await hears_nick(alice, bob)
    await part(alice, bob, "alice@example.com")
    return out


async def subscribed(alice, bob, _):
    """Each subscribes to a node of the other's in so many words (XEP-0060 section 6.1), and ends
    it: no wish of a client has a part in it."""
    node, told, out = "urn:example:board", {}, {}
    for user in (alice, bob):
        for name in ("xep_0004", "xep_0060"):
            user.register_plugin(name)
        told[user] = asyncio.Queue()
        user.add_event_handler("pubsub_publish", told[user].put_nowait)
    form = alice["xep_0004"].make_form("submit")
    form.add_field(var="FORM_TYPE", ftype="hidden",
                   value="http://jabber.org/protocol/pubsub#publish-options")
    form.add_field(var="pubsub#access_model", value="open")

    async def publish(owner, name):
        await owner["xep_0060"].publish(owner.boundjid.bare, node, id=name, options=form,
                                        payload=ET.Element("{urn:x}note"), timeout=TIMEOUT)

    async def hears(reader, owner):
        message = await reader.hear(told[reader])
        return (message["from"].bare == owner.boundjid.bare and
                message.xml.find(f".//{{{EVENT}}}item").get("id"))
    for owner, reader in ((alice, bob), (bob, alice)):
        theirs, his = owner.boundjid.bare, reader["xep_0060"]
        await publish(owner, "first")
        answer = await his.subscribe(theirs, node, timeout=TIMEOUT)
        heard = []
        await publish(owner, "second")
        while "second" not in heard:  # some servers send what there was
            heard.append(await hears(reader, owner))
        await his.unsubscribe(theirs, node, timeout=TIMEOUT)
        await publish(owner, "third")
        owner.send_message(reader.boundjid.bare, "that is all", mtype="chat")
        out[reader.boundjid.user] = {"is": answer["pubsub"]["subscription"]["subscription"],
                                     "first": heard[0] in ("first", "second"),
                                     "last": said(await reader.hear()),
                                     "more": told[reader].qsize()}
        await owner["xep_0060"].delete_node(theirs, node, timeout=TIMEOUT)
    return out


class PushService(slixmpp.ComponentXMPP):
    """Keeps what it is told to publish."""

    def __init__(self, domain, server):
        super().__init__(f"push.{domain}", "secret", server, 5347)
        self.started, self.told = asyncio.Event(), asyncio.Queue()
        self.add_event_handler("session_start", lambda _: self.started.set())
        self.register_handler(slixmpp.Callback(
            "publish", slixmpp.MatchXPath("{jabber:component:accept}iq"), self._on_iq))

    def _on_iq(self, iq):
        if iq["type"] == "set":
            self.told.put_nowait(iq)
            iq.reply().send()


async def push(alice, bob, domain):
    """A service of theirs is told that something waits for a user of ours."""
    service = PushService(domain, sys.argv[3])
    service.connect()
    await asyncio.wait_for(service.started.wait(), TIMEOUT)
    query = alice.make_iq_set()
    query.append(ET.fromstring(f"<enable xmlns='urn:xmpp:push:0' jid='push.{domain}' "
                               "node='phone'/>"))
    await query.send(timeout=TIMEOUT)
    await alice.disconnect()
    bob.send_message("alice@example.com", "wake up", mtype="chat")
    told = (await asyncio.wait_for(service.told.get(), TIMEOUT)).xml
    space = "{http://jabber.org/protocol/pubsub}"
    fields = {each.get("var"): each.findtext("{jabber:x:data}value")
              for each in told.iter("{jabber:x:data}field")}
    again = User("alice", "example.com")
    await again.log_in(sys.argv[2])
    out = {"from": told.get("from"), "node": told.find(f".//{space}publish").get("node"),
           "count": fields["message-count"], "waited": said(await again.hear())}
    query = again.make_iq_set()
    query.append(ET.fromstring(f"<disable xmlns='urn:xmpp:push:0' jid='push.{domain}'/>"))
    await query.send(timeout=TIMEOUT)
    return out


async def main(scene, ours, theirs, domain):
    alice, bob = await log_in(ours, theirs, domain)
    outcome = await globals()[scene](alice, bob, domain)
    # What their going makes their servers say is said before the scene is over.
    await asyncio.gather(alice.disconnect(), bob.disconnect())
    print(json.dumps(outcome))


if __name__ == "__main__":
    asyncio.get_event_loop().run_until_complete(
        asyncio.wait_for(main(*sys.argv[1:5]), 110))
