// A user's session by xmpp.js: by password with SASL2 and Bind 2, by the token it got (FAST), and
// resumed across a cut, which is in its log-in then. What came of it is one line of JSON.
//
//   node xmpp_js.mjs SERVER
import { client } from "@xmpp/client";

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
const start = async () => {
  const online = new Promise((resolve) => { xmpp.once("online", resolve); });
  xmpp.start().catch(() => {});
  await online;
};
await start();
said.first = xmpp.jid.toString();
await xmpp.stop();
await start();
said.second = xmpp.jid.toString();
cutting = true;
const resumed = new Promise((resolve) => { xmpp.streamManagement.on("resumed", resolve); });
(xmpp.socket.socket ?? xmpp.socket).destroy();
await resumed;
cutting = false;
said.resumed = xmpp.jid.toString();
await xmpp.stop();
clearTimeout(timer);
console.log(JSON.stringify(said));
