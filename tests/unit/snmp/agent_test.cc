// The SNMP agent: BER at its edges, walking, v2c, v3 with every report, notifications. Answers of
// stock clients are in tests/system/test_snmp.py.
#include "firmware/snmp/agent.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gh::snmp {
namespace {

using Bytes = std::vector<uint8_t>;
const Instant kStart{5'000'000'000};

// .1.3.1 = 7 (scalar), .1.3.2.x = rows 2, 5 (text), .1.3.4 = a counter.
class TestSource final : public Source {
 public:
  bool Read(uint16_t id, uint32_t row, Value& out) const override {
    if (id == 1) {
      out.SetInteger(-129);
    } else if (id == 2) {
      out.SetText("row " + std::to_string(row));
      return row == 2 || row == 5;
    } else {
      out.SetCount(kCounter64, UINT64_MAX);
    }
    return true;
  }
  uint32_t NextRow(uint16_t, uint32_t row) const override { return row < 2 ? 2 : row < 5 ? 5 : 0; }
};

const Object kObjects[] = {{{1, 3, 1}, 1, false}, {{1, 3, 2}, 2, true}, {{1, 3, 4}, 3, false}};

struct Answer {
  int32_t version = -1;
  uint8_t type = 0;
  int32_t request_id = 0;
  int32_t status = 0;
  std::vector<std::pair<Oid, Bytes>> binds;  // content of the values
  std::vector<uint8_t> tags;
};

void ReadPdu(BerReader& in, Answer& answer) {
  BerReader pdu(in.Any(answer.type));
  answer.request_id = pdu.Integer();
  answer.status = pdu.Integer();
  (void)pdu.Integer();
  BerReader list = pdu.Enter(kSequence);
  while (list.ok() && !list.at_end()) {
    BerReader bind = list.Enter(kSequence);
    Oid name;
    uint8_t tag = 0;
    bind.ObjectId(name);
    const auto value = bind.Any(tag);
    EXPECT_TRUE(bind.ok() && bind.at_end());
    answer.binds.emplace_back(name, Bytes(value.begin(), value.end()));
    answer.tags.push_back(tag);
  }
  EXPECT_TRUE(list.ok() && pdu.ok() && pdu.at_end());
}

struct AgentTest : testing::Test {
  TestSource source;
  Mib mib{kObjects, source};
  Agent agent{mib};
  std::array<uint8_t, kMessageMax> out = {};
  const Bytes engine{0x80, 0, 0x7e, 0xd9, 3, 2, 0, 0, 0, 0, 1};

  AgentTest() {
    agent.SetEngine(engine, 3, kStart);
    agent.SetCommunity("public");
  }
  static Bytes Pdu(uint8_t type, const std::vector<Oid>& names, int32_t second = 0,
                   int32_t third = 0) {
    Bytes buffer(4096);
    BerWriter w(buffer);
    for (size_t i = names.size(); i > 0; --i) {
      const size_t mark = w.mark();
      w.Empty(kNull);
      w.ObjectId(names[i - 1].view());
      w.End(kSequence, mark);
    }
    w.End(kSequence, buffer.size());
    w.Integer(third);
    w.Integer(second);
    w.Integer(77);
    w.End(type, buffer.size());
    return Bytes(w.written().begin(), w.written().end());
  }
  static Bytes V2(const Bytes& pdu, std::string_view community = "public", int32_t version = 1) {
    Bytes buffer(4096);
    BerWriter w(buffer);
    w.Bytes(pdu);
    w.Octets(AsBytes(community));
    w.Integer(version);
    w.End(kSequence, buffer.size());
    return Bytes(w.written().begin(), w.written().end());
  }
  bool Ask(Bytes message, Answer& answer) {
    const auto bytes = agent.Handle(message, out, kStart);
    if (bytes.empty()) {
      return false;
    }
    BerReader whole(bytes);
    BerReader in = whole.Enter(kSequence);
    answer = {};
    answer.version = in.Integer();
    (void)in.Value(kOctetString);
    ReadPdu(in, answer);
    EXPECT_TRUE(whole.at_end() && in.at_end());
    return true;
  }
};

TEST(BerTest, IntegersAtTheirEdges) {
  for (const int64_t value : {int64_t{0}, int64_t{127}, int64_t{128}, int64_t{-128}, int64_t{-129},
                              int64_t{INT32_MAX}, int64_t{INT32_MIN}, int64_t{255}, int64_t{-1}}) {
    uint8_t buffer[16];
    BerWriter w(buffer);
    w.Integer(value);
    BerReader r(w.written());
    EXPECT_EQ(r.Integer(), value);
    EXPECT_TRUE(r.ok() && r.at_end());
  }
  const Bytes five{2, 5, 0, 0, 0, 0, 1};
  BerReader r(five);
  (void)r.Integer();
  EXPECT_FALSE(r.ok());
}

TEST(BerTest, NamesAtTheirEdges) {
  Oid name{2, 999, UINT32_MAX, 0, 128};
  while (name.Append(uint32_t{1})) {
  }
  EXPECT_EQ(name.size, kOidMax);
  Bytes buffer(256);
  BerWriter w(buffer);
  w.ObjectId(name.view());
  Oid back;
  BerReader r(w.written());
  r.ObjectId(back);
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(Compare(name.view(), back.view()), 0);
  for (const Bytes& bad :
       {Bytes{6, 0}, Bytes{6, 1, 0x80}, Bytes{6, 6, 1, 0x90, 0x80, 0x80, 0x80, 0}, Bytes{6, 2, 1},
        Bytes{6, 0x80}, Bytes{6, 0x85, 0, 0, 0, 0, 1, 1}}) {
    BerReader reader(bad);
    reader.ObjectId(back);
    EXPECT_FALSE(reader.ok());
  }
  Bytes too_long{6, kOidMax};
  too_long.resize(2 + kOidMax, 1);
  BerReader reader(too_long);
  reader.ObjectId(back);
  EXPECT_FALSE(reader.ok());
}

TEST(BerTest, AWriterThatIsFullSaysSo) {
  uint8_t buffer[4];
  BerWriter w(buffer);
  w.Octets(AsBytes("abc"));
  EXPECT_FALSE(w.ok());
  w.Rewind(4);
  w.Octets(AsBytes("ab"));
  EXPECT_TRUE(w.ok());
}

TEST_F(AgentTest, GetsValuesAndSaysWhatThereIsNot) {
  Answer answer;
  ASSERT_TRUE(Ask(V2(Pdu(kGetRequest, {{1, 3, 1, 0},
                                       {1, 3, 2, 5},
                                       {1, 3, 2, 3},
                                       {1, 3, 1, 1},
                                       {1, 3, 9, 0},
                                       {1, 3, 4, 0},
                                       {1, 3, 2}})),
                  answer));
  EXPECT_EQ(answer.version, 1);
  EXPECT_EQ(answer.type, kResponse);
  EXPECT_EQ(answer.request_id, 77);
  EXPECT_EQ(answer.tags, (Bytes{kInteger, kOctetString, kNoSuchInstance, kNoSuchInstance,
                                kNoSuchObject, kCounter64, kNoSuchObject}));
  EXPECT_EQ(answer.binds[0].second, (Bytes{0xff, 0x7f}));
  EXPECT_EQ(answer.binds[5].second.size(), 9u);
}

TEST_F(AgentTest, AWalkVisitsEverythingInOrderAndEnds) {
  Oid name{1};
  std::vector<Oid> seen;
  Answer answer;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Ask(V2(Pdu(kGetNextRequest, {name})), answer));
    if (answer.tags[0] == kEndOfMibView) {
      break;
    }
    EXPECT_LT(Compare(name.view(), answer.binds[0].first.view()), 0);
    name = answer.binds[0].first;
    seen.push_back(name);
  }
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(Compare(seen[1].view(), Oid{1, 3, 2, 2}.view()), 0);
  EXPECT_EQ(Compare(seen[2].view(), Oid{1, 3, 2, 5}.view()), 0);
  EXPECT_EQ(Compare(seen[3].view(), Oid{1, 3, 4, 0}.view()), 0);
  ASSERT_TRUE(Ask(V2(Pdu(kGetNextRequest, {{1, 3, 2, 2, 9}})), answer));
  EXPECT_EQ(Compare(answer.binds[0].first.view(), Oid{1, 3, 2, 5}.view()), 0);
}

TEST_F(AgentTest, BulkIsBoundedByCountsAndByTheEnd) {
  Answer answer;
  ASSERT_TRUE(Ask(V2(Pdu(kGetBulkRequest, {{1, 3, 1}, {1, 3, 2}}, 1, 10)), answer));
  EXPECT_EQ(answer.binds.size(), 1u + 4u);  // two rows, the counter, the end
  EXPECT_EQ(answer.tags.back(), kEndOfMibView);
  ASSERT_TRUE(Ask(V2(Pdu(kGetBulkRequest, {{1, 3, 1}}, INT32_MAX, INT32_MAX)), answer));
  EXPECT_EQ(answer.binds.size(), 1u);
  ASSERT_TRUE(Ask(V2(Pdu(kGetBulkRequest, {{1, 3, 1}}, -5, -5)), answer));
  EXPECT_EQ(answer.binds.size(), 0u);
  const std::vector<Oid> many(40, Oid{1});
  ASSERT_TRUE(Ask(V2(Pdu(kGetBulkRequest, many, 0, 50)), answer));
  EXPECT_LE(answer.binds.size(), kVarBindMax);
}

TEST_F(AgentTest, TooManyVariablesAreRefusedAndTooMuchIsTooBig) {
  Answer answer;
  EXPECT_TRUE(Ask(V2(Pdu(kGetRequest, std::vector<Oid>(kVarBindMax, {1, 3, 1, 0}))), answer));
  EXPECT_FALSE(Ask(V2(Pdu(kGetRequest, std::vector<Oid>(kVarBindMax + 1, {1, 3, 1, 0}))), answer));
  Oid wide{1, 3, 9};
  while (wide.Append(UINT32_MAX)) {
  }
  ASSERT_TRUE(Ask(V2(Pdu(kGetRequest, std::vector<Oid>(10, wide))), answer));
  EXPECT_EQ(answer.status, 1);
  EXPECT_TRUE(answer.binds.empty());
}

TEST_F(AgentTest, NothingIsWritten) {
  Answer answer;
  ASSERT_TRUE(Ask(V2(Pdu(kSetRequest, {{1, 3, 1, 0}})), answer));
  EXPECT_EQ(answer.status, 17);
  EXPECT_FALSE(Ask(V2(Pdu(kTrap, {{1, 3, 1, 0}})), answer));
}

TEST_F(AgentTest, WrongCommunitiesAndVersionsAreCountedAndDropped) {
  Answer answer;
  const Bytes pdu = Pdu(kGetRequest, {{1, 3, 1, 0}});
  EXPECT_FALSE(Ask(V2(pdu, "private"), answer));
  EXPECT_FALSE(Ask(V2(pdu, "publi"), answer));
  EXPECT_FALSE(Ask(V2(pdu, ""), answer));
  EXPECT_EQ(agent.counters().bad_community, 3u);
  EXPECT_FALSE(Ask(V2(pdu, "public", 0), answer));
  EXPECT_EQ(agent.counters().bad_version, 1u);
  agent.SetCommunity("");
  EXPECT_FALSE(Ask(V2(pdu, ""), answer));
  EXPECT_FALSE(Ask(V2(pdu, "public"), answer));
}

TEST_F(AgentTest, EveryTruncationAndEveryFlippedByteIsSurvived) {
  const Bytes message = V2(Pdu(kGetBulkRequest, {{1, 3, 1}, {1, 3, 2, 5}}, 1, 10));
  for (size_t size = 0; size < message.size(); ++size) {
    Bytes cut(message.begin(), message.begin() + static_cast<long>(size));
    EXPECT_TRUE(agent.Handle(cut, out, kStart).empty());
  }
  for (size_t at = 0; at < message.size(); ++at) {
    for (const uint8_t flip : Bytes{0x01, 0x80, 0xff}) {
      Bytes changed = message;
      changed[at] ^= flip;
      (void)agent.Handle(changed, out, kStart);
    }
  }
}

// --- Version 3 ----------------------------------------------------------------------------------

// RFC 3414 A.3.2: the password "maplesyrup", an engine 000000000000000000000002.
TEST(UsmTest, KeysAreThoseOfTheRfc) {
  KeyMaker maker;
  maker.Start(AuthProtocol::kSha1, "maplesyrup");
  while (!maker.Work()) {
  }
  Bytes engine(12);
  engine[11] = 2;
  Key key;
  maker.Localise(engine, key);
  const Bytes wanted{0x66, 0x95, 0xfe, 0xbc, 0x92, 0x88, 0xe3, 0x62, 0x82, 0x23,
                     0x5f, 0xc7, 0x15, 0x1f, 0x12, 0x84, 0x97, 0xb3, 0x8f, 0x3f};
  EXPECT_TRUE(ConstantTimeEqual(std::span<const uint8_t>(key.Expose()).first(20), wanted));
}

struct V3Test : AgentTest {
  V3Test() {
    User& alice = agent.users()[0];
    alice.name.Assign("alice");
    alice.protocol = AuthProtocol::kSha256;
    alice.has_privacy = true;
    alice.ready = true;
    alice.auth_key.Expose()[0] = 1;
    alice.privacy_key.Expose()[0] = 2;
    User& bob = agent.users()[1];
    bob.name.Assign("bob");
    bob.protocol = AuthProtocol::kSha1;
    bob.ready = true;
    bob.auth_key.Expose()[0] = 3;
  }
  struct Message {
    Bytes engine;
    uint32_t boots = 3;
    uint32_t time = 0;
    std::string user = "alice";
    uint8_t flags = 7;
    bool spoil_tag = false;
    bool spoil_data = false;
    Bytes pdu = Pdu(kGetRequest, {{1, 3, 1, 0}});
  };
  Bytes Make(const Message& m) {
    const User& user = agent.users()[m.user == "bob" ? 1 : 0];
    Bytes buffer(4096);
    const size_t end = buffer.size();
    BerWriter w(buffer);
    w.Bytes(m.pdu);
    w.Octets({});
    w.Octets(engine);
    w.End(kSequence, end);
    const Bytes salt{1, 2, 3, 4, 5, 6, 7, 8};
    if ((m.flags & 2) != 0) {
      Crypt(true, user.privacy_key, m.boots, m.time, std::span<const uint8_t, 8>(salt.data(), 8),
            w.written());
      if (m.spoil_data) {
        w.written()[0] ^= 0xff;
      }
      w.End(kOctetString, end);
    }
    const size_t security = w.mark();
    w.Octets((m.flags & 2) != 0 ? salt : Bytes());
    const size_t tag_size = (m.flags & 1) != 0 ? TagSize(user.protocol) : 0;
    w.Bytes(Bytes(tag_size));
    const size_t tag_at = w.mark();
    w.End(kOctetString, tag_at + tag_size);
    w.Octets(AsBytes(m.user));
    w.Integer(m.time);
    w.Integer(m.boots);
    w.Octets(m.engine);
    w.End(kSequence, security);
    w.End(kOctetString, security);
    const size_t global = w.mark();
    w.Integer(3);
    w.Octets(std::span(&m.flags, 1));
    w.Integer(1400);
    w.Integer(4242);
    w.End(kSequence, global);
    w.Integer(3);
    w.End(kSequence, end);
    EXPECT_TRUE(w.ok());
    Bytes message(w.written().begin(), w.written().end());
    if (tag_size > 0) {
      const auto tag = TagOf(user.protocol, user.auth_key, message);
      std::copy_n(tag.begin(), tag_size, message.begin() + static_cast<long>(tag_at - w.mark()));
      message[tag_at - w.mark()] ^= m.spoil_tag ? 1 : 0;
    }
    return message;
  }
  // The answer's PDU, opened as its user would; flags of the answer in `flags`.
  bool Ask3(Message m, Answer& answer, Instant now = kStart) {
    if (m.engine.empty()) {
      m.engine = engine;
    }
    Bytes message = Make(m);
    const auto sealed = agent.Handle(message, out, now);
    if (sealed.empty()) {
      return false;
    }
    Bytes bytes(sealed.begin(), sealed.end());
    BerReader whole(bytes);
    BerReader in = whole.Enter(kSequence);
    answer = {};
    answer.version = in.Integer();
    BerReader global = in.Enter(kSequence);
    EXPECT_EQ(global.Integer(), 4242);
    (void)global.Integer();
    flags = global.Value(kOctetString)[0];
    BerReader security(in.Value(kOctetString));
    BerReader fields = security.Enter(kSequence);
    EXPECT_TRUE(std::ranges::equal(fields.Value(kOctetString), engine));
    const auto boots = static_cast<uint32_t>(fields.Integer());
    const auto time = static_cast<uint32_t>(fields.Integer());
    (void)fields.Value(kOctetString);
    const auto tag = fields.Value(kOctetString);
    const auto salt = fields.Value(kOctetString);
    const User& user = agent.users()[m.user == "bob" ? 1 : 0];
    if ((flags & 1) != 0) {
      Bytes zeroed = bytes;
      const Bytes shown(tag.begin(), tag.end());
      std::fill_n(zeroed.begin() + (tag.data() - bytes.data()), tag.size(), uint8_t{0});
      const auto wanted = TagOf(user.protocol, user.auth_key, zeroed);
      EXPECT_TRUE(std::equal(shown.begin(), shown.end(), wanted.begin()));
    }
    Bytes plain;
    if ((flags & 2) != 0) {
      const auto data = in.Value(kOctetString);
      plain.assign(data.begin(), data.end());
      Crypt(false, user.privacy_key, boots, time, std::span<const uint8_t, 8>(salt.data(), 8),
            plain);
    } else {
      plain.assign(in.rest().begin(), in.rest().end());
    }
    BerReader opened(plain);
    BerReader scope = opened.Enter(kSequence);
    (void)scope.Value(kOctetString);
    (void)scope.Value(kOctetString);
    ReadPdu(scope, answer);
    return true;
  }
  // The last number but one of the report's variable: which of usmStats.
  static uint32_t ReportOf(const Answer& answer) {
    EXPECT_EQ(answer.type, kReport);
    return answer.binds[0].first.ids[answer.binds[0].first.size - 2];
  }
  uint8_t flags = 0;
};

TEST_F(V3Test, AnswersAsPrivatelyAsItWasAsked) {
  Answer answer;
  ASSERT_TRUE(Ask3({}, answer));
  EXPECT_EQ(flags, 3);
  EXPECT_EQ(answer.type, kResponse);
  EXPECT_EQ(answer.binds[0].second, (Bytes{0xff, 0x7f}));
  Message bob;
  bob.user = "bob";
  bob.flags = 5;
  ASSERT_TRUE(Ask3(bob, answer));
  EXPECT_EQ(flags, 1);
  EXPECT_EQ(answer.type, kResponse);
}

TEST_F(V3Test, EveryFaultHasItsReport) {
  Answer answer;
  Message m;
  m.engine = {0x80, 0, 0, 1};
  ASSERT_TRUE(Ask3(m, answer));
  EXPECT_EQ(ReportOf(answer), 4u);
  EXPECT_EQ(flags, 0);
  m = {};
  m.user = "mallory";
  ASSERT_TRUE(Ask3(m, answer));
  EXPECT_EQ(ReportOf(answer), 3u);
  m = {};
  m.flags = 5;  // authentic, not private
  ASSERT_TRUE(Ask3(m, answer));
  EXPECT_EQ(ReportOf(answer), 1u);
  m.flags = 4;
  ASSERT_TRUE(Ask3(m, answer));
  EXPECT_EQ(ReportOf(answer), 1u);
  m = {};
  m.spoil_tag = true;
  ASSERT_TRUE(Ask3(m, answer));
  EXPECT_EQ(ReportOf(answer), 5u);
  EXPECT_EQ(flags, 0);
  m = {};
  m.spoil_data = true;
  ASSERT_TRUE(Ask3(m, answer));
  EXPECT_EQ(ReportOf(answer), 6u);
  m = {};
  m.flags = 3;  // not reportable
  m.spoil_tag = true;
  EXPECT_FALSE(Ask3(m, answer));
  m.flags = 6;  // private without authentication
  EXPECT_FALSE(Ask3(m, answer));
}

TEST_F(V3Test, TheTimeWindowIs150Seconds) {
  Answer answer;
  Message m;
  m.time = 1000;
  const auto at = [](int64_t seconds) { return kStart + Duration::Seconds(seconds); };
  ASSERT_TRUE(Ask3(m, answer, at(1150)));
  EXPECT_EQ(answer.type, kResponse);
  ASSERT_TRUE(Ask3(m, answer, at(1151)));
  EXPECT_EQ(ReportOf(answer), 2u);
  EXPECT_EQ(flags, 1);  // told authentically
  ASSERT_TRUE(Ask3(m, answer, at(850)));
  EXPECT_EQ(answer.type, kResponse);
  ASSERT_TRUE(Ask3(m, answer, at(849)));
  EXPECT_EQ(ReportOf(answer), 2u);
  m.boots = 2;
  ASSERT_TRUE(Ask3(m, answer, at(1000)));
  EXPECT_EQ(ReportOf(answer), 2u);
}

TEST_F(V3Test, EveryFlippedByteOfAPrivateMessageIsRefused) {
  Message m;
  m.engine = engine;
  const Bytes message = Make(m);
  for (size_t at = 0; at < message.size(); ++at) {
    Bytes changed = message;
    changed[at] ^= 0x41;
    const auto sealed = agent.Handle(changed, out, kStart);
    if (sealed.empty()) {
      continue;
    }
    BerReader whole(sealed);
    BerReader in = whole.Enter(kSequence);
    (void)in.Integer();
    BerReader global = in.Enter(kSequence);
    (void)global.Integer();
    (void)global.Integer();
    EXPECT_NE(global.Value(kOctetString)[0] & 3, 3) << at;  // a report, no answer
  }
}

TEST_F(V3Test, NotificationsCarryTimeAndKind) {
  Value text;
  text.SetText("Link down");
  const VarBind bind{{1, 3, 9, 1, 20107}, text};
  const auto trap =
      agent.Notify({1, 3, 9, 0, 1}, std::span(&bind, 1), -1, out, kStart + Duration::Seconds(2));
  ASSERT_FALSE(trap.empty());
  BerReader whole(trap);
  BerReader in = whole.Enter(kSequence);
  EXPECT_EQ(in.Integer(), 1);
  EXPECT_EQ(AsText(in.Value(kOctetString)), "public");
  Answer answer;
  ReadPdu(in, answer);
  EXPECT_EQ(answer.type, kTrap);
  ASSERT_EQ(answer.binds.size(), 3u);
  EXPECT_EQ(answer.binds[0].second, (Bytes{0, 200}));  // hundredths of a second
  EXPECT_EQ(answer.tags[1], kObjectId);
  EXPECT_EQ(AsText(answer.binds[2].second), "Link down");
  EXPECT_FALSE(agent.Notify({1, 3, 9, 0, 1}, {}, 0, out, kStart).empty());
  EXPECT_TRUE(agent.Notify({1, 3, 9, 0, 1}, {}, 3, out, kStart).empty());
  agent.SetCommunity("");
  EXPECT_TRUE(agent.Notify({1, 3, 9, 0, 1}, {}, -1, out, kStart).empty());
}

}  // namespace
}  // namespace gh::snmp
