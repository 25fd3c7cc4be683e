// Contact lists as files, and what they do to users' lists.
#include "firmware/xmpp/contact_lists.h"

#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

ContactFault FaultOf(const std::string& line) {
  ContactLine out;
  return ReadContactLine(line, out);
}

TEST(ContactLists, ReadTheSpecifiedLine) {
  ContactLine line;
  ASSERT_EQ(ReadContactLine("userA,example.com,userB,example.com,buddyB,General", line),
            ContactFault::kNone);
  EXPECT_EQ(line.user, "userA@example.com");
  EXPECT_EQ(line.contact, "userB@example.com");
  EXPECT_EQ(line.nickname, "buddyB");
  EXPECT_EQ(line.group, "General");
  ASSERT_EQ(ReadContactLine(R"(bjones@usa, example.com ,b,x.org,"B, ""the"" b",My group)", line),
            ContactFault::kNone);
  EXPECT_EQ(line.user, "bjones\\40usa@example.com");
  EXPECT_EQ(line.nickname, "B, \"the\" b");
  EXPECT_EQ(line.group, "My group");
  EXPECT_EQ(FaultOf("a,example.com,b,example.com,,g"), ContactFault::kNone);  // no nickname
}

TEST(ContactLists, KeepTheSpecifiedLimits) {
  const auto id = [](size_t size) { return std::string(size, 'i'); };
  const auto contact = [](const std::string& domain) { return "a,b.com,c," + domain + ",n,g"; };
  EXPECT_EQ(FaultOf(id(132) + ",example.com,b,example.com,n,g"), ContactFault::kNone);
  EXPECT_EQ(FaultOf(id(133) + ",example.com,b,example.com,n,g"), ContactFault::kFormat);
  EXPECT_EQ(FaultOf("a,example.com," + id(132) + ",example.com,n,g"), ContactFault::kNone);
  EXPECT_EQ(FaultOf("a,example.com," + id(133) + ",example.com,n,g"), ContactFault::kFormat);
  EXPECT_EQ(FaultOf("a," + id(129) + ",b,example.com,n,g"), ContactFault::kFormat);
  EXPECT_EQ(FaultOf("a,b.com,c,d.com," + id(255) + "," + id(255)), ContactFault::kNone);
  EXPECT_EQ(FaultOf("a,b.com,c,d.com," + id(256) + ",g"), ContactFault::kFormat);
  EXPECT_EQ(FaultOf("a,b.com,c,d.com,n," + id(256)), ContactFault::kFormat);
  for (const char* line :
       {"", "a", "a,b.com,c,d.com,n", "a,b.com,c,d.com,n,g,h", "a,b.com,c,d.com,n,",
        ",b.com,c,d.com,n,g", "a,,c,d.com,n,g", "a,b@c.com,c,d.com,n,g", "a,b.com,,d.com,n,g",
        "a,b.com,c,d.com,\"n,g", "a,b.com,c,d.com,\"n\"x,g", "a,b.com,c,d.com,n\"x,g",
        "a,b.com,c,d.com,n\x01,g", "a,b.com,c,d.com,\xff,g"}) {
    EXPECT_EQ(FaultOf(line), ContactFault::kFormat) << line;
  }
  EXPECT_EQ(FaultOf(contact(id(63) + ".com")), ContactFault::kNone);
  for (const std::string& domain :
       {id(64) + ".com", std::string("-a.com"), std::string("a-.com"), std::string("a.c"),
        std::string("a.c0m"), std::string("a..com"), std::string("a_b.com"), std::string(".com"),
        std::string("com."), id(63) + "." + id(63) + ".com" + id(10)}) {
    EXPECT_EQ(FaultOf(contact(domain)), ContactFault::kDomain) << domain;
  }
}

TEST(ContactLists, RenamesAreTwoIds) {
  RenameLine line;
  ASSERT_EQ(ReadRenameLine("john.smith@example.com, jsmith@example.com", line),
            ContactFault::kNone);
  EXPECT_EQ(line.before, "john.smith@example.com");
  EXPECT_EQ(line.after, "jsmith@example.com");
  for (const char* bad :
       {"", "a@b.com", "a@b.com,c", "a@b.com,@c.com", "a@b.com,c@d.com,e@f.com"}) {
    EXPECT_EQ(ReadRenameLine(bad, line), ContactFault::kFormat) << bad;
  }
  EXPECT_EQ(ReadRenameLine("a@b.com,c@d", line), ContactFault::kDomain);
}

struct BulkTest : testing::Test {
  BulkTest() {
    for (const char* name : {"alice", "bob", "carol"}) {
      world.AddUser(name);
    }
  }
  ContactFault Import(const std::string& text) {
    ContactLine line;
    const ContactFault fault = ReadContactLine(text, line);
    return fault == ContactFault::kNone ? world.engine().ImportContact(line) : fault;
  }
  std::string Export(const std::string& user) {
    std::vector<uint8_t> bytes(100'000);
    ByteWriter out(bytes);
    Account* account = world.engine().directory().Find(user);
    for (const Contact& contact : account->contacts) {
      world.engine().ExportContact(*account, contact, out);
    }
    EXPECT_TRUE(out.ok());
    return std::string(out.text());
  }
  World world;
};

TEST_F(BulkTest, ContactsComeInAndGoOut) {
  EXPECT_EQ(Import("alice,example.com,bob,example.com,Bobby,Friends"), ContactFault::kNone);
  EXPECT_EQ(Import("alice,example.com,bob,example.com,,\"Work, old\""), ContactFault::kNone);
  EXPECT_EQ(Import("alice,example.com,dave@usa,other.org,,General"), ContactFault::kNone);
  EXPECT_EQ(Export("alice@example.com"),
            "alice,example.com,bob,example.com,Bobby,Friends\r\n"
            "alice,example.com,bob,example.com,Bobby,\"Work, old\"\r\n"
            "alice,example.com,dave@usa,other.org,,General\r\n");
  // The client sees them, and the other was asked.
  Client alice(world, 1);
  alice.LogIn("alice", "a");
  const std::string roster =
      alice.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
  EXPECT_NE(roster.find("jid='bob@example.com' name='Bobby' subscription='none' ask='subscribe'>"
                        "<group>Friends</group><group>Work, old</group>"),
            std::string::npos)
      << roster;
  EXPECT_EQ(Import("alice,example.com,carol,example.com,C,G"), ContactFault::kNone);
  EXPECT_NE(alice.Take().find("jid='carol@example.com'"), std::string::npos);  // pushed
}

TEST_F(BulkTest, WhatCannotBeImportedSaysWhy) {
  EXPECT_EQ(Import("alice,example.com,alice,example.com,me,G"), ContactFault::kSelf);
  EXPECT_EQ(Import("nobody,example.com,bob,example.com,b,G"), ContactFault::kNotOurs);
  Config config = World::MakeConfig();
  config.contacts_per_user = 2;
  world.engine().Apply(config);
  for (const char* name : {"x", "y"}) {
    EXPECT_EQ(Import(std::string("alice,example.com,") + name + ",other.org,,G"),
              ContactFault::kNone);
  }
  EXPECT_EQ(Import("alice,example.com,z,other.org,,G"), ContactFault::kOverLimit);
  EXPECT_EQ(Import("alice,example.com,x,other.org,,H"), ContactFault::kNone);  // it is there
  world.keeper_full = true;
  EXPECT_EQ(Import("bob,example.com,x,other.org,,G"), ContactFault::kInternal);
}

TEST_F(BulkTest, RenamesReachEveryList) {
  for (const char* user : {"alice", "bob"}) {
    EXPECT_EQ(Import(std::string(user) + ",example.com,john.smith,other.org,John,G"),
              ContactFault::kNone);
  }
  EXPECT_EQ(Import("carol,example.com,someone,other.org,,G"), ContactFault::kNone);
  RenameLine line;
  ASSERT_EQ(ReadRenameLine("john.smith@other.org,jsmith@other.org", line), ContactFault::kNone);
  EXPECT_EQ(world.engine().RenameContact(line), 2u);
  EXPECT_EQ(Export("alice@example.com"), "alice,example.com,jsmith,other.org,John,G\r\n");
  EXPECT_EQ(Export("carol@example.com"), "carol,example.com,someone,other.org,,G\r\n");
  EXPECT_EQ(world.engine().RenameContact(line), 0u);
}

TEST_F(BulkTest, AMessageReachesAllWhoAreThere) {
  Client alice(world, 1);
  alice.LogIn("alice", "a");
  alice.Say("<presence/>");
  EXPECT_EQ(world.engine().Broadcast("", "down at <six>"), 1u);
  const std::string got = alice.Take();
  EXPECT_NE(got.find("<message type='headline' from='example.com' to='alice@example.com'"),
            std::string::npos)
      << got;
  EXPECT_NE(got.find("<body>down at &lt;six&gt;</body>"), std::string::npos) << got;
  EXPECT_EQ(world.engine().Broadcast("other.org", "x"), 0u);
}

// --- Offers of files from client to client ---

TEST_F(BulkTest, OffersOfFilesGoByThePolicy) {
  Client alice(world, 1);
  Client bob(world, 2);
  alice.LogIn("alice", "a");
  bob.LogIn("bob", "b");
  const auto offer = [&](const std::string& payload) {
    return alice.Say("<iq type='set' id='o' to='bob@example.com/b'>" + payload + "</iq>");
  };
  const std::string offers[] = {
      "<si xmlns='http://jabber.org/protocol/si' id='1' "
      "profile='http://jabber.org/protocol/si/profile/file-transfer'/>",
      "<query xmlns='http://jabber.org/protocol/bytestreams' sid='1'/>",
      "<open xmlns='http://jabber.org/protocol/ibb' sid='1'/>",
      "<query xmlns='jabber:iq:oob'><url>http://a/b</url></query>",
      "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate'><content><description "
      "xmlns='urn:xmpp:jingle:apps:file-transfer:5'/></content></jingle>"};
  for (const std::string& each : offers) {
    EXPECT_EQ(offer(each), "") << each;
    EXPECT_NE(bob.Take().find(each.substr(1, 5)), std::string::npos) << each;
  }
  Config config = World::MakeConfig();
  config.file_transfer = false;
  world.engine().Apply(config);
  for (const std::string& each : offers) {
    EXPECT_NE(offer(each).find("<not-allowed "), std::string::npos) << each;
    EXPECT_EQ(bob.Take(), "") << each;
  }
  // A call is none.
  offer(
      "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate'><content><description "
      "xmlns='urn:xmpp:jingle:apps:rtp:1'/></content></jingle>");
  EXPECT_NE(bob.Take().find("jingle"), std::string::npos);
}

struct UserListTest : BulkTest {
  ContactFault ImportUser(const std::string& text) {
    UserLine line;
    const ContactFault fault = ReadUserLine(text, line);
    return fault == ContactFault::kNone ? world.engine().ImportUser(line) : fault;
  }
  // What another server kept of the password "pencil" (RFC 7677 section 3).
  static std::string Hash(uint32_t iterations = 4096) {
    const std::string salt = FromBase64("W22ZaJ0SNY7soEsUEjb6gQ==");
    auto u = crypto::HmacSha256::Of(AsBytes(std::string_view("pencil")),
                                    AsBytes(salt + std::string("\0\0\0\1", 4)));
    auto salted = u;
    for (uint32_t i = 1; i < 4096; ++i) {
      u = crypto::HmacSha256::Of(AsBytes(std::string_view("pencil")), u);
      for (size_t k = 0; k < u.size(); ++k) {
        salted[k] ^= u[k];
      }
    }
    const auto key = crypto::HmacSha256::Of(salted, AsBytes(std::string_view("Client Key")));
    const auto server = crypto::HmacSha256::Of(salted, AsBytes(std::string_view("Server Key")));
    return "SCRAM-SHA-256$" + std::to_string(iterations) + ":W22ZaJ0SNY7soEsUEjb6gQ==$" +
           Base64Of(AsText(crypto::Sha256::Of(key))) + ":" + Base64Of(AsText(server));
  }
  bool LogsIn(const std::string& user, const std::string& password,
              const std::string& mechanism = "SCRAM-SHA-256") {
    Client client(world, number++);
    client.Header();
    const bool did = client.Authenticate(user, password, "n,,", "", mechanism).find("<success") !=
                     std::string::npos;
    client.Break();
    return did;
  }
  uint32_t number = 100;
};

TEST_F(UserListTest, ComeWithPasswordsOrWhatServersKeepOfThem) {
  EXPECT_EQ(ImportUser("dave,example.com,open sesame"), ContactFault::kNone);
  EXPECT_EQ(ImportUser("erin,example.com,\"a, \"\"b\"\"\""), ContactFault::kNone);
  EXPECT_EQ(ImportUser("user,example.com," + Hash()), ContactFault::kNone);
  EXPECT_EQ(ImportUser("d@ve,example.com,x"), ContactFault::kNone);  // XEP-0106
  EXPECT_NE(world.engine().directory().Find("d\\40ve@example.com"), nullptr);
  EXPECT_TRUE(LogsIn("dave", "open sesame"));
  EXPECT_TRUE(LogsIn("erin", "a, \"b\""));
  EXPECT_TRUE(LogsIn("user", "pencil"));
  EXPECT_FALSE(LogsIn("user", "pen"));
  EXPECT_FALSE(LogsIn("user", "pencil", "SCRAM-SHA-1"));  // nothing is known of it
  world.Commit();
  uint32_t rows = 0;
  for (const auto& [key, value] : world.disk) {
    rows += key[0] == 'a' ? 1 : 0;
    EXPECT_EQ(value.find("open sesame"), std::string::npos);
  }
  EXPECT_EQ(rows, 7u);
}

TEST_F(UserListTest, SayWhyTheyAreIgnored) {
  EXPECT_EQ(ImportUser("alice,example.com,x"), ContactFault::kIsThere);
  EXPECT_EQ(ImportUser("dave,elsewhere.org,x"), ContactFault::kNotOurs);
  EXPECT_EQ(ImportUser("dave,example.com"), ContactFault::kPassword);
  EXPECT_EQ(ImportUser("dave,example.com,"), ContactFault::kPassword);
  EXPECT_EQ(ImportUser("dave,example.com," + std::string(kPasswordMax + 1, 'x')),
            ContactFault::kPassword);
  EXPECT_EQ(ImportUser("dave,example.com,x,y"), ContactFault::kFormat);
  EXPECT_EQ(ImportUser(",example.com,x"), ContactFault::kFormat);
  EXPECT_EQ(ImportUser(std::string(kListIdMax + 1, 'x') + ",example.com,x"), ContactFault::kFormat);
  for (const uint32_t iterations : {kScramIterationsMin - 1, kScramIterationsMax + 1}) {
    EXPECT_EQ(ImportUser("dave,example.com," + Hash(iterations)), ContactFault::kHash);
  }
  const std::string hash = Hash();
  EXPECT_EQ(ImportUser("dave,example.com," + hash.substr(0, hash.size() - 4)), ContactFault::kHash);
  EXPECT_EQ(ImportUser("dave,example.com,SCRAM-SHA-256$4096"), ContactFault::kHash);
  EXPECT_EQ(ImportUser("dave,example.com," + std::string(kPasswordMax, 'x')), ContactFault::kNone);
  world.keeper_full = true;
  EXPECT_EQ(ImportUser("erin,example.com,x"), ContactFault::kInternal);
  for (uint32_t i = 0; i < kContactFaultCount; ++i) {
    EXPECT_NE(std::string(ToText(static_cast<ContactFault>(i))), "");
  }
}

TEST_F(UserListTest, GoOutWithoutSecrets) {
  uint8_t bytes[256];
  ByteWriter out(bytes);
  WriteUserLine("d\\40ve@example.com", out);
  WriteUserLine("a\\2c@example.com", out);
  EXPECT_EQ(out.text(), "d@ve,example.com\r\na\\2c,example.com\r\n");
}

}  // namespace
}  // namespace gh::xmpp::test
