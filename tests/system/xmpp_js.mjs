// A user's session by xmpp.js: by password with SASL2 and Bind 2, by the token it got (FAST), and
// resumed across a cut, which is in its log-in then; then copies of what another client of the user
// says, and what the archive has of it. What came of it is one line of JSON.
//
//   node xmpp_js.mjs SERVER
import { client, xml } from "@xmpp/client";

const service = `xmpps://${process.argv[2]}:5223`;
const xmpp = client({
  service, domain: "example.com", username: "alice", password: "secret", resource: "js",
});
const said = { errors: [], mechanisms: [], tokens: 0 };
const save = xmpp.fast.saveToken;
xmpp.fast.saveToken = async (token) => {
  said.tokens += 1;
  return save(token);
};
xmpp.on("send", (element) => {
  if (element.is("authenticate")) {
    said.mechanisms.push(element.attrs.mechanism);
  }
});
let cutting = false;
xmpp.on("error", (error) => {
  if (!cutting) {
    said.errors.push(String(error));
  }
});
const timer = setTimeout(() => {
  console.log(JSON.stringify({ ...said, status: xmpp.status }));
  process.exit(1);
}, 60_000);

// What start() and stop() wait for may have happened before they look: a near server is quick.
const start = async (which) => {
  const online = new Promise((resolve) => { which.once("online", resolve); });
  which.start().catch(() => {});
  await online;
};
await start(xmpp);
said.first = xmpp.jid.toString();
await xmpp.stop();
await start(xmpp);
said.second = xmpp.jid.toString();
cutting = true;
const resumed = new Promise((resolve) => { xmpp.streamManagement.on("resumed", resolve); });
(xmpp.socket.socket ?? xmpp.socket).destroy();
await resumed;
cutting = false;
said.resumed = xmpp.jid.toString();

const bodyIn = (element) => element.getChild("forwarded").getChild("message").getChildText("body");
const other = client({
  service, domain: "example.com", username: "alice", password: "secret", resource: "desk",
});
other.on("error", (error) => { said.errors.push(String(error)); });
await start(other);
await xmpp.iqCaller.set(xml("enable", { xmlns: "urn:xmpp:carbons:2" }));
said.archived = [];
const copy = new Promise((resolve) => {
  xmpp.on("stanza", (stanza) => {
    const sent = stanza.getChild("sent", "urn:xmpp:carbons:2");
    const result = stanza.getChild("result", "urn:xmpp:mam:2");
    if (sent) {
      resolve(bodyIn(sent));
    }
    if (result) {
      said.archived.push(bodyIn(result));
    }
  });
});
await other.send(xml("message", { to: "carol@example.com", type: "chat" },
  xml("body", {}, "said at the desk")));
said.copy = await copy;
await xmpp.iqCaller.set(xml("query", { xmlns: "urn:xmpp:mam:2" },
  xml("set", { xmlns: "http://jabber.org/protocol/rsm" }, xml("max", {}, "1"), xml("before"))));
await other.stop();
await xmpp.stop();
clearTimeout(timer);
console.log(JSON.stringify(said));
