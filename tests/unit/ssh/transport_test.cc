// The transport layer: every cipher end to end, strict KEX, re-keying from both sides, limits at
// their edges, and each way a packet can be wrong.
#include <gtest/gtest.h>

#include "tests/unit/ssh/client.h"

namespace gh::ssh::test {
namespace {

struct Suite {
  const char* cipher;
  const char* mac;
};

class CipherTest : public ::testing::TestWithParam<Suite> {};

TEST_P(CipherTest, CarriesALogInAndNewKeys) {
  ConnectionSettings settings;
  std::array<uint8_t, 400> text;
  ByteWriter expected(text);
  settings.transport.ciphers =
      *ParseAlgorithms(AlgorithmKind::kCipher, GetParam().cipher, expected);
  World world(settings);
  Offer offer;
  offer.cipher = GetParam().cipher;
  offer.mac = GetParam().mac;
  Client client(world, offer);
  ASSERT_TRUE(client.LogIn());
  EXPECT_TRUE(client.host_key_verified);
  ASSERT_TRUE(client.OpenChannel(5));
  ASSERT_TRUE(client.Request(0, "shell"));
  for (int i = 0; i < 3; ++i) {
    client.SendData(0, "hello");
    const Bytes echo = client.Wait(kMsgChannelData);
    ASSERT_EQ(echo.size(), 1 + 4 + 4 + 5u);
    EXPECT_EQ(std::string(echo.end() - 5, echo.end()), "hello");
    ASSERT_TRUE(client.Rekey());
  }
  EXPECT_EQ(world.connection->transport().exchange_count(), 4u);
  EXPECT_EQ(NameOf(world.connection->transport().negotiated().cipher_in), offer.cipher);
}

INSTANTIATE_TEST_SUITE_P(Ssh, CipherTest,
                         ::testing::Values(Suite{"chacha20-poly1305@openssh.com", "none"},
                                           Suite{"aes256-gcm@openssh.com", "none"},
                                           Suite{"aes128-gcm@openssh.com", "none"},
                                           Suite{"aes256-ctr", "hmac-sha2-256-etm@openssh.com"},
                                           Suite{"aes192-ctr", "hmac-sha2-512-etm@openssh.com"},
                                           Suite{"aes128-ctr", "hmac-sha2-256-etm@openssh.com"}));

TEST(Transport, OffersStrictKexAndTellsSignatureAlgorithms) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.Handshake());
  EXPECT_EQ(client.server_version, kOwnVersion);
  EXPECT_TRUE(world.connection->transport().is_strict());
  const Bytes extensions = client.Wait(kMsgExtInfo);
  ByteReader in(std::span<const uint8_t>(extensions).subspan(1));
  EXPECT_EQ(in.U32Be(), 1u);
  EXPECT_EQ(TakeText(in), "server-sig-algs");
  EXPECT_EQ(TakeText(in), kSignatureAlgorithms);
}

TEST(Transport, ServesClientsWithoutStrictKex) {
  World world;
  Offer offer;
  offer.kex = "curve25519-sha256@libssh.org";
  offer.host_key = "ecdsa-sha2-nistp256";
  Client client(world, offer);
  ASSERT_TRUE(client.LogIn());
  EXPECT_TRUE(client.host_key_verified);
  EXPECT_FALSE(world.connection->transport().is_strict());
  EXPECT_TRUE(client.Rekey());
}

class HybridTest : public ::testing::TestWithParam<const char*> {};

TEST_P(HybridTest, IsFirstTakenAndCarriesNewKeys) {
  World world;
  Offer offer;
  offer.kex =
      std::string(GetParam()) + ",curve25519-sha256,ext-info-c,kex-strict-c-v00@openssh.com";
  Client client(world, offer);
  ASSERT_TRUE(client.LogIn());
  EXPECT_TRUE(client.host_key_verified);
  EXPECT_EQ(NameOf(world.connection->transport().negotiated().kex), GetParam());
  ASSERT_TRUE(client.OpenChannel(5));
  EXPECT_TRUE(client.Rekey());
  EXPECT_EQ(world.connection->transport().exchange_count(), 2u);
}

// One byte less, one more, and nothing: each ends the exchange, none is read past its end.
TEST_P(HybridTest, RefusesAPublicValueOfAnotherSize) {
  const bool is_sntrup = std::string_view(GetParam()).starts_with("sntrup");
  const size_t size = 32 + (is_sntrup ? crypto::kSntrup761PublicSize : crypto::kMlKem768PublicSize);
  for (const size_t wrong : {size - 1, size + 1, size_t{32}, size_t{0}}) {
    World world;
    Offer offer;
    offer.kex = GetParam();
    Client client(world, offer);
    client.SendVersion();
    client.Send(client.KexInit());
    client.Send(Packet(kMsgKexEcdhInit).Str(std::string(wrong, 'x')));
    EXPECT_TRUE(world.connection->is_over()) << wrong;
  }
}

INSTANTIATE_TEST_SUITE_P(Ssh, HybridTest,
                         ::testing::Values("mlkem768x25519-sha256", "sntrup761x25519-sha512",
                                           "sntrup761x25519-sha512@openssh.com"));

TEST(Transport, EndsAtAnMlKemKeyThatIsNotReduced) {
  World world;
  Offer offer;
  offer.kex = "mlkem768x25519-sha256";
  Client client(world, offer);
  client.SendVersion();
  client.Send(client.KexInit());
  client.Send(Packet(kMsgKexEcdhInit).Str(std::string(crypto::kMlKem768PublicSize + 32, '\xff')));
  EXPECT_EQ(world.connection->transport().end_reason(), "not an ML-KEM-768 public key");
}

TEST(Transport, OffersPostQuantumHybridsFirst) {
  std::array<uint8_t, 400> text;
  ByteWriter out(text);
  DefaultAlgorithms(AlgorithmKind::kKex).Format(AlgorithmKind::kKex, out);
  EXPECT_EQ(AsText(out.written()),
            "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,"
            "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256");
}

TEST(Transport, StrictKexEndsAtAnIgnoreBeforeTheKeys) {
  World world;
  Client client(world);
  client.SendVersion();
  const Bytes own_init = client.KexInit();
  client.Send(own_init);
  client.Send(Packet(kMsgIgnore).Str("prefix"));
  EXPECT_TRUE(world.connection->is_over());
}

TEST(Transport, StrictKexWantsKexInitFirst) {
  World world;
  Client client(world);
  client.SendVersion();
  client.Send(Packet(kMsgIgnore).Str("prefix"));
  ASSERT_FALSE(world.connection->is_over());  // it may yet be a client without strict KEX
  client.Send(client.KexInit());
  EXPECT_TRUE(world.connection->is_over());
  EXPECT_NE(world.connection->transport().end_reason().find("strict"), std::string_view::npos);
}

TEST(Transport, RefusesWhatIsNotInCommon) {
  const struct {
    std::string Offer::*what;
    const char* value;
    const char* reason;
  } kCases[] = {{&Offer::kex, "diffie-hellman-group14-sha1", "no common key exchange method"},
                {&Offer::host_key, "ssh-rsa", "no common host key algorithm"},
                {&Offer::cipher, "aes256-cbc", "no common cipher"},
                {&Offer::cipher, "aes256-ctr", "no common cipher"},  // not by default
                {&Offer::compression, "zlib", "no common compression"}};
  for (const auto& test : kCases) {
    World world;
    Offer offer;
    offer.*test.what = test.value;
    Client client(world, offer);
    EXPECT_FALSE(client.Handshake());
    EXPECT_TRUE(world.connection->is_over());
    EXPECT_EQ(world.connection->transport().end_reason(), test.reason);
  }
}

TEST(Transport, SkipsAWrongGuess) {
  World world;
  Offer offer;
  offer.kex = "made-up,curve25519-sha256";
  offer.guesses = true;
  Client client(world, offer);
  client.SendVersion();
  const Bytes server_init = client.Next();
  const Bytes own_init = client.KexInit();
  client.Send(own_init);
  client.Send(Packet(kMsgKexEcdhInit).Str("not even a point"));
  ASSERT_FALSE(world.connection->is_over());
  EXPECT_TRUE(client.Exchange(own_init, server_init));
}

TEST(Transport, VersionLineAtItsEdges) {
  const auto lives = [](const std::string& line) {
    World world;
    Client client(world);
    client.Feed(AsBytes(line));
    return !world.connection->is_over();
  };
  EXPECT_TRUE(lives("SSH-2.0-" + std::string(kVersionLineMax - 10, 'v') + "\r\n"));
  EXPECT_FALSE(lives("SSH-2.0-" + std::string(kVersionLineMax - 9, 'v') + "\r\n"));
  EXPECT_TRUE(lives("SSH-1.99-old\n"));
  EXPECT_FALSE(lives("SSH-1.5-older\r\n"));
  EXPECT_FALSE(lives("GET / HTTP/1.1\r\n"));
  EXPECT_FALSE(lives(std::string("SSH-2.0-a\0b\r\n", 13)));
}

TEST(Transport, PacketLengthAtItsEdges) {
  const auto lives = [](uint32_t length) {
    World world;
    Client client(world);
    client.SendVersion();
    client.Feed(Packet(0).U32(length).Raw(Bytes(4, 0)).bytes().data() == nullptr
                    ? std::span<const uint8_t>()
                    : std::span<const uint8_t>(std::array<uint8_t, 4>{
                          static_cast<uint8_t>(length >> 24), static_cast<uint8_t>(length >> 16),
                          static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)}));
    return !world.connection->is_over();
  };
  EXPECT_TRUE(lives(34996));  // the largest multiple of 8, less 4, that is not above 35000
  EXPECT_FALSE(lives(35004));
  EXPECT_FALSE(lives(35000));  // not a multiple
  EXPECT_TRUE(lives(12));
  EXPECT_FALSE(lives(4));
  EXPECT_FALSE(lives(UINT32_MAX));
}

TEST(Transport, RefusesWrongPadding) {
  for (const uint8_t padding : std::initializer_list<uint8_t>{0, 3, 11, 255}) {
    World world;
    Client client(world);
    client.SendVersion();
    Bytes packet(16, 0);
    packet[3] = 12;
    packet[4] = padding;
    client.Feed(packet);
    EXPECT_TRUE(world.connection->is_over()) << int{padding};
  }
}

TEST(Transport, EndsAtATouchedByteOfAnyCipher) {
  for (const char* cipher :
       {"chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com"}) {
    for (const size_t at : {5u, 12u, 30u}) {
      World world;
      Offer offer;
      offer.cipher = cipher;
      Client client(world, offer);
      ASSERT_TRUE(client.Handshake());
      Bytes packet = client.Seal(Packet(kMsgServiceRequest).Str("ssh-userauth").bytes());
      packet[at] ^= 1;
      client.Feed(packet);
      EXPECT_TRUE(world.connection->is_over());
      EXPECT_TRUE(client.Wait(kMsgServiceAccept).empty());
    }
  }
}

TEST(Transport, RefusesWeakAndMalformedPublicValues) {
  for (const Bytes& point : {Bytes(32, 0), Bytes(31, 9), Bytes(33, 9), Bytes()}) {
    World world;
    Client client(world);
    client.SendVersion();
    client.Send(client.KexInit());
    client.Send(Packet(kMsgKexEcdhInit).Str(AsText(point)));
    EXPECT_TRUE(world.connection->is_over());
  }
}

TEST(Transport, AnswersUnknownMessagesWithTheirNumber) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.Handshake());
  client.Send(Packet(kMsgIgnore).Str("0"));
  client.Send(Packet(60));
  const Bytes reply = client.Wait(kMsgUnimplemented);
  EXPECT_EQ(reply, (Bytes{kMsgUnimplemented, 0, 0, 0, 1}));
}

TEST(Transport, RekeysByBytesTimeAndHoldsAnswersMeanwhile) {
  ConnectionSettings settings;
  settings.transport.rekey_bytes = 64 * 1024;
  World world(settings);
  Client client(world);
  ASSERT_TRUE(client.LogIn());
  ASSERT_TRUE(client.OpenChannel(0));
  ASSERT_TRUE(client.Request(0, "shell"));
  world.sessions[0]->holds = true;
  for (int i = 0; i < 4 && !world.connection->transport().is_rekeying(); ++i) {
    world.sessions[0]->holds = false;
    client.SendData(0, std::string(16 * 1024, 'a'));
  }
  ASSERT_TRUE(world.connection->transport().is_rekeying());
  // A request now is answered only after the keys.
  client.Send(Packet(kMsgGlobalRequest).Str("anything").U8(1));
  const Bytes own_init = client.KexInit();
  Bytes server_init = client.Wait(kMsgKexInit);
  ASSERT_FALSE(server_init.empty());
  EXPECT_TRUE(client.Next().empty());
  client.Send(own_init);
  ASSERT_TRUE(client.Exchange(own_init, server_init));
  EXPECT_FALSE(client.Wait(kMsgRequestFailure).empty());

  world.clock.now = world.clock.now + Duration::Hours(1);
  world.connection->Tick(world.clock.now);
  EXPECT_TRUE(world.connection->transport().is_rekeying());
  world.clock.now = world.clock.now + Duration::Seconds(kKexSeconds + 1);
  world.connection->Tick(world.clock.now);
  EXPECT_TRUE(world.connection->is_over());
  EXPECT_EQ(world.connection->transport().end_reason(), "key exchange took too long");
}

TEST(Transport, OnlyKeyExchangeMayComeWhileKeysAreExchanged) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn());
  client.Send(client.KexInit());
  client.Send(Packet(kMsgGlobalRequest).Str("anything").U8(0));
  EXPECT_TRUE(world.connection->is_over());
}

TEST(Transport, StopsReadingAPeerThatDoesNotRead) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn());
  client.holds_output = true;
  for (int i = 0; i < 20'000 && !client.stuck; ++i) {
    client.Send(Packet(kMsgGlobalRequest).Str("ping").U8(1));
  }
  EXPECT_TRUE(client.stuck);
  EXPECT_FALSE(world.connection->is_over());
  EXPECT_GE(kOutputBytes - world.connection->transport().output().size(), size_t{0});
  client.holds_output = false;
  client.Drain();
  EXPECT_FALSE(client.Wait(kMsgRequestFailure).empty());
}

TEST(Transport, HalfOpenAndLogInEndInTime) {
  World world;
  world.clock.now = world.clock.now + Duration::Seconds(kHalfOpenSeconds - 1);
  world.connection->Tick(world.clock.now);
  EXPECT_FALSE(world.connection->is_over());
  world.clock.now = world.clock.now + Duration::Seconds(1);
  world.connection->Tick(world.clock.now);
  EXPECT_TRUE(world.connection->is_over());

  world.Open();
  Client client(world);
  ASSERT_TRUE(client.Handshake());
  world.clock.now = world.clock.now + Duration::Seconds(59);
  world.connection->Tick(world.clock.now);
  EXPECT_FALSE(world.connection->is_over());
  world.clock.now = world.clock.now + Duration::Seconds(1);
  world.connection->Tick(world.clock.now);
  EXPECT_EQ(world.connection->transport().end_reason(), "no log-in in time");
}

TEST(Transport, KeepAlivesEndASilentClient) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn());
  const auto pass = [&](int seconds) {
    world.clock.now = world.clock.now + Duration::Seconds(seconds);
    world.connection->Tick(world.clock.now);
  };
  pass(30);
  EXPECT_FALSE(client.Wait(kMsgGlobalRequest).empty());
  client.Send(Packet(kMsgRequestFailure));  // any answer is a sign of life
  for (int i = 0; i < 3; ++i) {
    pass(30);
    EXPECT_FALSE(client.Wait(kMsgGlobalRequest).empty());
  }
  EXPECT_FALSE(world.connection->is_over());
  pass(30);
  EXPECT_TRUE(world.connection->is_over());
}

}  // namespace
}  // namespace gh::ssh::test
