// Files users leave for others (XEP-0363): slots by the stream, bytes by HTTPS, every bound.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/web_world.h"

namespace gh::xmpp::test {
namespace {

struct UploadTest : testing::Test {
  UploadTest() {
    world.AddUser("alice");
    world.AddUser("bob");
    alice.LogIn("alice", "a");
  }
  std::string Ask(Client& client, const std::string& name, size_t size,
                  const std::string& type = "image/png") {
    return client.Say(
        "<iq type='get' id='u' to='example.com'><request xmlns='urn:xmpp:http:upload:0' "
        "filename='" +
        name + "' size='" + std::to_string(size) + "' content-type='" + type + "'/></iq>");
  }
  // The paths of a slot.
  std::pair<std::string, std::string> Slot(Client& client, const std::string& name, size_t size,
                                           const std::string& type = "image/png") {
    const std::string got = Ask(client, name, size, type);
    const std::string host = "https://example.com:5281";
    const std::string put = Between(got, "<put url='", "'");
    const std::string get = Between(got, "<get url='", "'");
    EXPECT_TRUE(put.starts_with(host) && get.starts_with(host)) << got;
    return {put.substr(std::min(host.size(), put.size())),
            get.substr(std::min(host.size(), get.size()))};
  }
  static std::string Put(const std::string& path, const std::string& body,
                         const std::string& more = "") {
    return "PUT " + path +
           " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           more + "\r\n" + body;
  }
  static std::string Get(const std::string& path, const std::string& method = "GET") {
    return method + " " + path + " HTTP/1.1\r\nHost: h\r\n\r\n";
  }
  // On a connection of its own; all that came back.
  std::string Do(const std::string& request) {
    const net::StreamId id = web.Open();
    std::string got = web.Say(id, request);
    web.Settle();
    got += web.Take(id);
    web.Cut(id);
    return got;
  }
  static std::string Bytes(size_t size) {
    std::string out(size, '\0');
    for (size_t i = 0; i < size; ++i) {
      out[i] = static_cast<char>(i * 7 + i / 251);
    }
    return out;
  }

  World world{World::FewCapacity(), World::FewBytes()};
  WebWorld web{world, true};
  Client alice{world, 1};
};

TEST_F(UploadTest, IsFoundInTheServersDescription) {
  const std::string got = alice.Say(
      "<iq type='get' id='d' to='example.com'><query "
      "xmlns='http://jabber.org/protocol/disco#info'/></iq>");
  EXPECT_NE(got.find("<identity category='store' type='file'"), std::string::npos);
  EXPECT_NE(got.find("<feature var='urn:xmpp:http:upload:0'/>"), std::string::npos);
  EXPECT_NE(got.find("<field var='max-file-size'><value>200000</value>"), std::string::npos);
  UploadConfig off;
  web.uploads->Apply(off);
  EXPECT_EQ(alice
                .Say("<iq type='get' id='d' to='example.com'><query "
                     "xmlns='http://jabber.org/protocol/disco#info'/></iq>")
                .find("upload"),
            std::string::npos);
  EXPECT_NE(Ask(alice, "a.png", 10).find("service-unavailable"), std::string::npos);
}

TEST_F(UploadTest, AFileGoesUpAndComesDown) {
  const std::string bytes = Bytes(70'000);
  const auto [put, get] = Slot(alice, "my cat &amp; me.png", bytes.size());
  EXPECT_TRUE(get.ends_with("/my%20cat%20%26%20me.png")) << get;
  EXPECT_NE(Do(Get(get)).find(" 404 "), std::string::npos);  // not there yet
  EXPECT_TRUE(Do(Put(put, bytes)).starts_with("HTTP/1.1 201 "));
  const std::string got = Do(Get(get));
  const size_t head = got.find("\r\n\r\n") + 4;
  EXPECT_EQ(got.substr(head), bytes);
  for (const char* field :
       {"Content-Type: image/png\r\n", "Content-Length: 70000\r\n",
        "Content-Disposition: inline; filename*=UTF-8''my%20cat%20%26%20me.png\r\n",
        "X-Content-Type-Options: nosniff\r\n", "Content-Security-Policy: default-src 'none';",
        "Access-Control-Allow-Origin: *\r\n"}) {
    EXPECT_NE(got.find(field), std::string::npos) << field;
  }
  const std::string only_head = Do(Get(get, "HEAD"));
  EXPECT_NE(only_head.find("Content-Length: 70000\r\n"), std::string::npos);
  EXPECT_TRUE(only_head.ends_with("\r\n\r\n"));
  EXPECT_EQ(web.uploads->counters().fetched, 1u);
  EXPECT_EQ(world.events.back(), "alice@example.com kept 70000");
  EXPECT_NE(Do(Put(put, bytes)).find(" 409 "), std::string::npos);  // a slot serves once
}

// What a user calls his file stands in an address and in the head of an answer.
TEST_F(UploadTest, NothingOfANameOrTypeBecomesAField) {
  const struct {
    const char* name;
    const char* written;
  } cases[] = {{"a&#13;&#10;Set-Cookie: b", "a%0D%0ASet-Cookie%3A%20b"},
               {"../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"},
               {"a&quot;b&apos;;c", "a%22b%27%3Bc"},
               {"a&#9;b\\c?d#e%2e", "a%09b%5Cc%3Fd%23e%252e"},
               {"\xE2\x80\xAE"
                "gpj.exe",
                "%E2%80%AEgpj.exe"}};
  for (const auto& each : cases) {
    const std::string slot = Ask(alice, each.name, 3, "");
    EXPECT_EQ(slot.find("<header"), std::string::npos);  // we ask for none
    const std::string host = "https://example.com:5281";
    const std::string get = Between(slot, "<get url='" + host, "'");
    ASSERT_TRUE(get.ends_with("/" + std::string(each.written))) << slot;
    ASSERT_TRUE(Do(Put(Between(slot, "<put url='" + host, "'"), "abc")).starts_with("HTTP/1.1 201"))
        << slot;
    const std::string got = Do(Get(get));
    EXPECT_NE(got.find("; filename*=UTF-8''" + std::string(each.written) + "\r\n"),
              std::string::npos)
        << got;
    EXPECT_EQ(got.find("\nSet-Cookie"), std::string::npos) << got;
    EXPECT_NE(got.find("Content-Disposition: attachment"), std::string::npos);
  }
  for (const char* type : {"image/png&#13;&#10;Set-Cookie: b", "image", "image/", "a/b/c",
                           "text/plain&#10;", "image/p ng", "te\xC3\xBCxt/plain"}) {
    EXPECT_NE(Ask(alice, "a.png", 3, type).find("<bad-request"), std::string::npos) << type;
  }
  // Parameters are left out, whatever they are.
  const auto [put, get] = Slot(alice, "a.txt", 3, "Text/Plain; charset=&#13;&#10;x: y");
  EXPECT_TRUE(Do(Put(put, "abc")).starts_with("HTTP/1.1 201 "));
  EXPECT_NE(Do(Get(get)).find("\r\nContent-Type: text/plain\r\n"), std::string::npos);
}

TEST_F(UploadTest, BytesComeInPiecesAndAreContinued) {
  const std::string bytes = Bytes(40'000);
  const auto [put, get] = Slot(alice, "x.bin", bytes.size());
  const net::StreamId id = web.Open();
  EXPECT_EQ(web.Say(id, "PUT " + put +
                            " HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
                            "40000\r\n\r\n"),
            "HTTP/1.1 100 Continue\r\n\r\n");
  std::string got;
  for (size_t at = 0; at < bytes.size(); at += 999) {
    got += web.Say(id, bytes.substr(at, 999));
    web.Settle(2);
  }
  web.Settle();
  got += web.Take(id);
  EXPECT_TRUE(got.starts_with("HTTP/1.1 201 "));
  const std::string back = web.Say(id, Get(get));  // on the same connection
  web.Settle();
  EXPECT_TRUE((back + web.Take(id)).ends_with(bytes));
}

TEST_F(UploadTest, WhatBrowsersMightRunIsSavedAndNotShown) {
  for (const char* type : {"text/html", "image/svg+xml", "application/xhtml+xml", ""}) {
    const auto [put, get] = Slot(alice, "page.html", 10, type);
    Do(Put(put, "0123456789"));
    const std::string got = Do(Get(get));
    EXPECT_NE(got.find("Content-Type: application/octet-stream\r\n"), std::string::npos) << type;
    EXPECT_NE(got.find("Content-Disposition: attachment;"), std::string::npos) << type;
  }
}

TEST_F(UploadTest, NobodyWritesWithoutTheProof) {
  const auto [put, get] = Slot(alice, "a.png", 10);
  std::string forged = put;
  forged.back() = forged.back() == '0' ? '1' : '0';
  EXPECT_NE(Do(Put(get, "0123456789")).find(" 403 "), std::string::npos);
  EXPECT_NE(Do(Put(forged, "0123456789")).find(" 403 "), std::string::npos);
  const auto [other, unused] = Slot(alice, "b.png", 10);
  const std::string mixed = get + other.substr(other.find('?'));
  EXPECT_NE(Do(Put(mixed, "0123456789")).find(" 403 "), std::string::npos);
  EXPECT_NE(Do(Put("/upload/" + std::string(32, '0') + "/a", "0123456789")).find(" 404 "),
            std::string::npos);
  for (const char* path : {"/upload/", "/upload/12/a", "/upload/../x", "/upload/zz"}) {
    EXPECT_NE(Do(Get(path)).find(" 404 "), std::string::npos) << path;
  }
  EXPECT_TRUE(Do(Put(put, "0123456789")).starts_with("HTTP/1.1 201 "));
}

TEST_F(UploadTest, ASlotIsForItsSizeAlone) {
  const auto [put, get] = Slot(alice, "a.png", 10);
  EXPECT_NE(Do(Put(put, "012345678")).find(" 413 "), std::string::npos);
  EXPECT_NE(Do(Put(put, "01234567890")).find(" 413 "), std::string::npos);
  EXPECT_NE(Do("PUT " + put + " HTTP/1.1\r\nHost: h\r\n\r\n").find(" 411 "), std::string::npos);
  EXPECT_NE(
      Do("PUT " + put + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").find(" 411 "),
      std::string::npos);
  EXPECT_NE(Do(Get(put, "DELETE")).find(" 405 "), std::string::npos);
}

TEST_F(UploadTest, WhatBreaksOffMayBeTriedAgain) {
  const std::string bytes = Bytes(30'000);
  const auto [put, get] = Slot(alice, "a.png", bytes.size());
  const net::StreamId id = web.Open();
  const std::string request = Put(put, bytes);
  web.Say(id, request.substr(0, 20'000));
  web.Settle();
  EXPECT_NE(Do(request).find(" 409 "), std::string::npos);  // it is being written
  web.Cut(id);
  EXPECT_EQ(world.events.back(), "alice@example.com file: it did not come whole");
  EXPECT_NE(Do(Get(get)).find(" 404 "), std::string::npos);
  EXPECT_TRUE(Do(request).starts_with("HTTP/1.1 201 "));
  EXPECT_TRUE(Do(Get(get)).ends_with(bytes));
}

TEST_F(UploadTest, ShareAndSizeAreBounded) {
  EXPECT_NE(Ask(alice, "a", 200'001)
                .find("<file-too-large xmlns='urn:xmpp:http:upload:0'>"
                      "<max-file-size>200000</max-file-size>"),
            std::string::npos);
  EXPECT_NE(Ask(alice, "a", 200'000).find("<slot"), std::string::npos);
  EXPECT_NE(Ask(alice, "a", 50'001).find("resource-constraint"), std::string::npos);
  EXPECT_NE(Ask(alice, "a", 50'000).find("<slot"), std::string::npos);
  Client bob(world, 2);
  bob.LogIn("bob", "b");
  EXPECT_NE(Ask(bob, "a", 50'001).find("type='wait'"), std::string::npos);  // of all
  EXPECT_NE(Ask(bob, "a", 0).find("bad-request"), std::string::npos);
  EXPECT_NE(Ask(bob, "", 5).find("bad-request"), std::string::npos);
  EXPECT_NE(Ask(bob, std::string(files::kNameMax + 1, 'a'), 5).find("bad-request"),
            std::string::npos);
  EXPECT_NE(Ask(bob, "a", 5, "no type").find("bad-request"), std::string::npos);
  EXPECT_NE(Ask(bob, std::string(files::kNameMax, 'a'), 5).find("<slot"), std::string::npos);
}

TEST_F(UploadTest, SlotsThatAreNotUsedAreFewAndGoAway) {
  for (uint32_t i = 0; i + 2 < WebWorld::kFileChunks; ++i) {
    EXPECT_NE(Ask(alice, "a", 5).find("<slot"), std::string::npos);
  }
  web.uploads->Expire(world.unix_seconds + kUploadSlotSeconds - 1);
  EXPECT_EQ(web.sealed->file_count(), WebWorld::kFileChunks - 2);
  web.uploads->Expire(world.unix_seconds + kUploadSlotSeconds);
  EXPECT_EQ(web.sealed->file_count(), 0u);
}

TEST(UploadSlots, AreSoManyForOneAndForAll) {
  World world{World::FewCapacity(), World::FewBytes()};
  WebWorld web{world, true, kUploadSlotsMax + 8};
  UploadConfig config = web.uploads->config();
  config.user_max = config.total_max = 1 << 20;
  web.Settle(1000);  // its disk is looked through
  web.uploads->Apply(config);
  const auto ask = [&](uint32_t user) {
    const std::string owner = "u" + std::to_string(user) + "@example.com";
    Uploads::Slot slot;
    return web.uploads->Ask({owner, "example.com", "a.png", "image/png", 5}, 1'000'000, slot);
  };
  for (uint32_t i = 0; i < kUploadSlotsMax; ++i) {
    ASSERT_EQ(ask(i / kUploadSlotsPerUser), Uploads::Answer::kYes) << i;
    if ((i + 1) % kUploadSlotsPerUser == 0) {
      EXPECT_EQ(ask(i / kUploadSlotsPerUser), Uploads::Answer::kBusy) << i;
    }
  }
  EXPECT_EQ(ask(1000), Uploads::Answer::kBusy);
  web.uploads->Expire(1'000'000 + kUploadSlotSeconds);
  EXPECT_EQ(ask(1000), Uploads::Answer::kYes);
}

TEST_F(UploadTest, FilesGoWhenTheirTimeIsOverOrTheyArePurged) {
  const auto [put, get] = Slot(alice, "a.png", 10);
  Do(Put(put, "0123456789"));
  web.uploads->Expire(world.unix_seconds + 3599);
  EXPECT_NE(Do(Get(get)).find(" 200 "), std::string::npos);
  web.uploads->Expire(world.unix_seconds + 3600);
  EXPECT_NE(Do(Get(get)).find(" 404 "), std::string::npos);
  const auto [again, there] = Slot(alice, "b.png", 10);
  Do(Put(again, "0123456789"));
  EXPECT_EQ(web.uploads->Purge("bob@example.com"), 0u);
  EXPECT_EQ(web.uploads->Purge("alice@example.com"), 1u);
  EXPECT_NE(Do(Get(there)).find(" 404 "), std::string::npos);
}

TEST_F(UploadTest, AFullDiskIsTold) {
  const auto [put, get] = Slot(alice, "a.png", 10);
  web.disk.FailAt(1, true);
  EXPECT_NE(Do(Put(put, "0123456789")).find(" 500 "), std::string::npos);
  web.disk.FailAt(0, false);
  EXPECT_TRUE(Do(Put(put, "0123456789")).starts_with("HTTP/1.1 201 "));
}

TEST_F(UploadTest, WhoDoesNotReadIsLeft) {
  const auto [put, get] = Slot(alice, "a.png", 60'000);
  Do(Put(put, Bytes(60'000)));
  const net::StreamId id = web.Open();
  web.Say(id, Get(get));
  world.blocked = true;
  web.Settle();
  web.Turn(Duration::Seconds(kWebRequestSeconds + 1));
  EXPECT_TRUE(web.is_closed(id));
  web.Cut(id);
  world.blocked = false;
  EXPECT_TRUE(Do(Get(get)).ends_with(Bytes(60'000)));
}

// Who sends a file that is not taken is told why on a connection that goes on.
TEST_F(UploadTest, ARefusedBodyIsPassedOver) {
  const std::string bytes = Bytes(40'000);
  const auto [put, get] = Slot(alice, "x.bin", bytes.size());
  const net::StreamId id = web.Open();
  const std::string longer = Put(put, bytes + "more");
  EXPECT_NE(web.Say(id, longer.substr(0, 2000)).find(" 413 "), std::string::npos);
  EXPECT_EQ(web.Say(id, longer.substr(2000, 30'000)), "");
  // The rest, and a request behind it.
  EXPECT_NE(web.Say(id, longer.substr(32'000) + Get(get)).find(" 404 "), std::string::npos);
  EXPECT_NE(web.Say(id, Put(put + "0", bytes) + Get(get)).find(" 403 "), std::string::npos);
  EXPECT_FALSE(web.is_closed(id));
  EXPECT_EQ(web.held(id), 0u);
  std::string taken = web.Say(id, Put(put, bytes));
  web.Settle();
  taken += web.Take(id);
  EXPECT_NE(taken.find(" 201 "), std::string::npos);
  // Who wants no more requests is let go when all of it is there.
  const std::string last = Put(put, bytes, "Connection: close\r\n");
  EXPECT_NE(web.Say(id, last.substr(0, 1000)).find(" 409 "), std::string::npos);
  EXPECT_FALSE(web.is_closed(id));
  web.Say(id, last.substr(1000));
  EXPECT_TRUE(web.is_closed(id));
}

TEST_F(UploadTest, ARefusedBodyIsBounded) {
  const auto refused = [&](const std::string& length, const std::string& more = "") {
    const net::StreamId id = web.Open();
    const std::string path = std::string(Uploads::kPath) + "nobody/x";
    const std::string got =
        web.Say(id, "PUT " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: " + length + "\r\n" +
                        more + "\r\n");
    EXPECT_NE(got.find(" 404 "), std::string::npos) << got;
    return id;
  };
  const net::StreamId most = refused("200000");  // as long as a file may be
  EXPECT_FALSE(web.is_closed(most));
  EXPECT_TRUE(web.is_closed(refused("200001")));
  EXPECT_TRUE(web.is_closed(refused("10", "Expect: 100-continue\r\n")));
  // Nor for longer than a connection may be idle, however busy its sender is.
  for (int64_t i = 0; i <= kWebIdleSeconds; ++i) {
    EXPECT_EQ(web.Say(most, "x"), "");
    web.Turn(Duration::Seconds(1));
  }
  EXPECT_TRUE(web.is_closed(most));
}

}  // namespace
}  // namespace gh::xmpp::test
