// Log-in and channels: methods, tries, keys; windows both ways, exec, terminal, refusals; and every
// request that must end or not end a connection.
#include <gtest/gtest.h>

#include "crypto/ecdsa.h"
#include "crypto/signature.h"
#include "firmware/admin/ssh/strangers.h"
#include "firmware/config/ssh_key.h"
#include "tests/unit/ssh/client.h"

namespace gh::ssh::test {
namespace {

// A key of the client, Ed25519.
struct ClientKey {
  ClientKey() {
    std::array<uint8_t, 32> seed = {1, 2, 3};
    crypto::MakeSigningKey(seed, secret.Expose(), point);
    Packet packet(0);
    packet.Str("ssh-ed25519").Str(AsText(point));
    blob.assign(packet.bytes().begin() + 1, packet.bytes().end());
  }
  Packet Request(std::string_view user, const Bytes& session_id, bool sign) const {
    Packet request(kMsgUserauthRequest);
    request.Str(user).Str("ssh-connection").Str("publickey").U8(sign ? 1 : 0);
    request.Str("ssh-ed25519").Str(AsText(blob));
    if (sign) {
      Packet message(0);
      message.Str(AsText(session_id)).Raw(request.bytes());
      const auto signature = crypto::Sign(secret.Expose(), std::span(message.bytes()).subspan(1));
      Packet wire(0);
      wire.Str("ssh-ed25519").Str(AsText(signature));
      request.Str(AsText(std::span(wire.bytes()).subspan(1)));
    }
    return request;
  }
  SecretBytes<crypto::kSigningKeySize> secret;
  crypto::PublicKey point;
  Bytes blob;
};

TEST(Login, ByKeyAfterAskingAboutIt) {
  World world;
  ClientKey key;
  world.known_key = key.blob;
  Client client(world);
  ASSERT_TRUE(client.Handshake() && client.StartService());
  client.Send(key.Request("admin", client.session_id, false));
  EXPECT_FALSE(client.Wait(kMsgUserauthPkOk).empty());
  client.Send(key.Request("admin", client.session_id, true));
  EXPECT_FALSE(client.Wait(kMsgUserauthSuccess).empty());
  EXPECT_EQ(world.connection->authentication().method(), "publickey");
  EXPECT_TRUE(world.connection->authentication().fingerprint().starts_with("SHA256:"));
  EXPECT_EQ(world.key_accepted, 1);
}

TEST(Login, RefusesKeysOfOthersAndOtherSessionsSignatures) {
  World world;
  ClientKey key;
  Client client(world);
  ASSERT_TRUE(client.Handshake() && client.StartService());
  client.Send(key.Request("admin", client.session_id, true));
  EXPECT_FALSE(client.Wait(kMsgUserauthFailure).empty());
  world.known_key = key.blob;
  Bytes other = client.session_id;
  other[0] ^= 1;
  client.Send(key.Request("admin", other, true));
  EXPECT_FALSE(client.Wait(kMsgUserauthFailure).empty());
  EXPECT_EQ(world.key_accepted, 0);
  EXPECT_EQ(world.key_refused, 2);
  EXPECT_FALSE(world.connection->is_logged_in());
}

TEST(Login, RefusesNoneAndCountsTries) {
  ConnectionSettings settings;
  settings.authentication.tries_max = 3;
  settings.authentication.banner.Assign("Keep out");
  World world(settings);
  Client client(world);
  ASSERT_TRUE(client.Handshake() && client.StartService());
  client.Send(Packet(kMsgUserauthRequest).Str("admin").Str("ssh-connection").Str("none"));
  const Bytes banner = client.Wait(kMsgUserauthBanner);
  ByteReader in(std::span<const uint8_t>(banner).subspan(1));
  EXPECT_EQ(TakeText(in), "Keep out\r\n");
  const Bytes failure = client.Wait(kMsgUserauthFailure);
  ByteReader methods(std::span<const uint8_t>(failure).subspan(1));
  EXPECT_EQ(TakeText(methods), "publickey,password");
  for (int i = 0; i < 2; ++i) {
    client.SendPassword("admin", "wrong");
    EXPECT_FALSE(client.Wait(kMsgUserauthFailure).empty());
  }
  client.SendPassword("admin", "wrong");
  EXPECT_TRUE(world.connection->is_over());
  EXPECT_EQ(world.refused_count, 3);
  EXPECT_TRUE(client.Wait(kMsgUserauthSuccess).empty());
  EXPECT_EQ(client.disconnect_text, "too many log-in failures");
}

TEST(Login, WaitsForAPasswordsVerdict) {
  World world;
  world.pending = true;
  Client client(world);
  ASSERT_TRUE(client.Handshake() && client.StartService());
  client.SendPassword("admin", "right");
  client.SendPassword("admin", "wrong");  // waits its turn
  EXPECT_EQ(world.password_count, 1);
  EXPECT_TRUE(client.Next().empty());
  world.connection->OnPasswordChecked(false);
  world.connection->Pump(world.clock.now);
  EXPECT_FALSE(client.Wait(kMsgUserauthFailure).empty());
  EXPECT_EQ(world.password_count, 2);
  world.connection->OnPasswordChecked(true);
  EXPECT_FALSE(client.Wait(kMsgUserauthSuccess).empty());
  world.connection->OnPasswordChecked(true);  // late: nobody waits
  EXPECT_EQ(world.login_count, 1);
}

TEST(Login, CancelsACheckWhenTheConnectionGoes) {
  World world;
  world.pending = true;
  Client client(world);
  ASSERT_TRUE(client.Handshake() && client.StartService());
  client.SendPassword("admin", "right");
  world.connection.reset();
  EXPECT_TRUE(world.cancelled);
}

TEST(Login, EndsOddRequests) {
  const Packet cases[] = {
      Packet(kMsgServiceRequest).Str("ssh-connection"),
      Packet(kMsgUserauthRequest).Str("").Str("ssh-connection").Str("none"),
      Packet(kMsgUserauthRequest).Str(std::string(64, 'a')).Str("ssh-connection").Str("none"),
      Packet(kMsgUserauthRequest).Str("admin").Str("other").Str("none"),
      Packet(kMsgUserauthRequest).Str("admin").Str("ssh-connection").Str("password"),
      Packet(kMsgUserauthRequest).Str("admin"),
      Packet(kMsgChannelOpen).Str("session").U32(0).U32(1).U32(1000),
      Packet(kMsgGlobalRequest).Str("x").U8(1),
      Packet(kMsgNewKeys)};
  for (const Packet& packet : cases) {
    World world;
    Client client(world);
    ASSERT_TRUE(client.Handshake() && client.StartService());
    client.Send(packet);
    EXPECT_TRUE(world.connection->is_over()) << int{packet.bytes()[0]};
    EXPECT_FALSE(world.connection->is_logged_in());
  }
}

TEST(Login, KeepsToOneUserName) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.Handshake() && client.StartService());
  client.SendPassword("guest", "wrong");
  client.SendPassword("admin", "right");
  EXPECT_TRUE(world.connection->is_over());
  EXPECT_EQ(world.password_count, 1);
}

TEST(Login, LongestPasswordAndOneMore) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.Handshake() && client.StartService());
  client.SendPassword("admin", std::string(kPasswordMax, 'p'));
  EXPECT_EQ(world.password_count, 1);
  client.SendPassword("admin", std::string(kPasswordMax + 1, 'p'));
  EXPECT_EQ(world.password_count, 1);
  EXPECT_EQ(world.refused_count, 2);
}

TEST(Channels, ExecGivesOutputErrorsAndStatus) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn() && client.OpenChannel(3));
  ASSERT_TRUE(client.Request(0, "exec", Packet(0).Str("xStatus")));
  const Bytes data = client.Wait(kMsgChannelData);
  EXPECT_EQ(data, Packet(kMsgChannelData).U32(3).Str("xStatus").bytes());
  EXPECT_EQ(client.Wait(kMsgChannelExtendedData),
            Packet(kMsgChannelExtendedData).U32(3).U32(1).Str("warned").bytes());
  EXPECT_EQ(client.Wait(kMsgChannelRequest),
            Packet(kMsgChannelRequest).U32(3).Str("exit-status").U8(0).U32(7).bytes());
  EXPECT_FALSE(client.Wait(kMsgChannelEof).empty());
  EXPECT_FALSE(client.Wait(kMsgChannelClose).empty());
  EXPECT_EQ(world.connection->channel_count(), 1u);
  client.Send(Packet(kMsgChannelClose).U32(0));
  EXPECT_EQ(world.connection->channel_count(), 0u);
  EXPECT_FALSE(world.sessions[0]->closed);  // it had finished by itself
  EXPECT_FALSE(world.connection->is_over());
}

TEST(Channels, TerminalOfAShell) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn() && client.OpenChannel(0));
  EXPECT_FALSE(client.Request(0, "window-change", Packet(0).U32(9).U32(9).U32(0).U32(0)));
  ASSERT_TRUE(
      client.Request(0, "pty-req", Packet(0).Str("xterm").U32(132).U32(50).U32(0).U32(0).Str("")));
  EXPECT_FALSE(client.Request(0, "env", Packet(0).Str("LANG").Str("C")));
  EXPECT_FALSE(client.Request(0, "auth-agent-req@openssh.com"));
  EXPECT_FALSE(client.Request(0, "x11-req"));
  ASSERT_TRUE(client.Request(0, "shell"));
  EXPECT_FALSE(client.Request(0, "shell"));  // one program for a channel
  EXPECT_EQ(world.columns, 132u);
  EXPECT_EQ(world.terminal, "xterm");
  EXPECT_TRUE(client.Request(0, "window-change", Packet(0).U32(9999).U32(40).U32(0).U32(0)));
  EXPECT_EQ(world.sessions[0]->columns, kColumnsMax);
  EXPECT_EQ(world.sessions[0]->rows, 40u);
  EXPECT_TRUE(client.Request(0, "signal", Packet(0).Str("INT")));
  EXPECT_EQ(world.sessions[0]->signal, "INT");
  client.Send(Packet(kMsgChannelEof).U32(0));
  EXPECT_TRUE(world.sessions[0]->ended);
}

TEST(Channels, ForwardingIsRefusedClearly) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn());
  for (const char* type : {"direct-tcpip", "x11", "auth-agent@openssh.com", "made-up"}) {
    client.Send(Packet(kMsgChannelOpen).Str(type).U32(4).U32(1000).U32(1000).Str("h").U32(1));
    const Bytes failure = client.Wait(kMsgChannelOpenFailure);
    ByteReader in(std::span<const uint8_t>(failure).subspan(1));
    EXPECT_EQ(in.U32Be(), 4u);
    EXPECT_EQ(in.U32Be(), type == std::string_view("made-up") ? 3u : 1u);
  }
  client.Send(Packet(kMsgGlobalRequest).Str("tcpip-forward").U8(1).Str("").U32(80));
  EXPECT_FALSE(client.Wait(kMsgRequestFailure).empty());
  EXPECT_FALSE(world.connection->is_over());
}

TEST(Channels, AsManyAsThereAreAndNoMore) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn());
  for (uint32_t i = 0; i < kChannelsPerConnection; ++i) {
    EXPECT_TRUE(client.OpenChannel(i));
  }
  EXPECT_FALSE(client.OpenChannel(99));
  client.Send(Packet(kMsgChannelClose).U32(2));
  EXPECT_TRUE(client.OpenChannel(99));
  EXPECT_EQ(world.channels.used_count(), kChannelsPerConnection);
  world.connection.reset();
  EXPECT_EQ(world.channels.used_count(), 0u);
}

TEST(Channels, TheWindowHoldsBackAndReopens) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn() && client.OpenChannel(0));
  ASSERT_TRUE(client.Request(0, "shell"));
  world.sessions[0]->holds = true;
  client.SendData(0, std::string(32 * 1024, 'a'));
  client.SendData(0, std::string(32 * 1024, 'b'));
  EXPECT_FALSE(world.connection->is_over());
  EXPECT_TRUE(client.Wait(kMsgChannelWindowAdjust).empty());
  world.sessions[0]->holds = false;
  world.sessions[0]->OnInput();
  uint32_t granted = 0;
  for (Bytes next = client.Wait(kMsgChannelWindowAdjust); !next.empty();
       next = client.Wait(kMsgChannelWindowAdjust)) {
    ByteReader in(std::span<const uint8_t>(next).subspan(5));
    granted += in.U32Be();
  }
  EXPECT_GE(granted, kWindowBytes / 2);
  EXPECT_LE(granted, kWindowBytes);
  world.sessions[0]->holds = true;
  for (uint32_t left = granted; left > 0;) {
    const uint32_t part = std::min<uint32_t>(left, 16 * 1024);
    client.SendData(0, std::string(part, 'a'));
    left -= part;
  }
  EXPECT_FALSE(world.connection->is_over());
  client.SendData(0, "c");  // beyond the window
  EXPECT_TRUE(world.connection->is_over());
  EXPECT_FALSE(world.sessions[0]->closed);
  world.connection.reset();
  EXPECT_TRUE(world.sessions[0]->closed);
}

TEST(Channels, WritesNoMoreThanTheClientsWindowAndPacket) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn());
  ASSERT_TRUE(client.OpenChannel(0, 1000, 256));
  ASSERT_TRUE(client.Request(0, "exec", Packet(0).Str("flood")));
  size_t total = 0;
  const auto take = [&] {
    for (Bytes next = client.Wait(kMsgChannelData); !next.empty();
         next = client.Wait(kMsgChannelData)) {
      EXPECT_LE(next.size() - 9, 256u);
      total += next.size() - 9;
    }
  };
  for (const Bytes& early : client.early) {
    total += early[0] == kMsgChannelData ? early.size() - 9 : 0;
  }
  take();
  EXPECT_EQ(total, 1000u);
  client.Send(Packet(kMsgChannelWindowAdjust).U32(0).U32(1'000'000));
  take();
  EXPECT_EQ(total, 300'000u);
  EXPECT_TRUE(world.sessions[0]->ended);
  client.Send(Packet(kMsgChannelWindowAdjust).U32(0).U32(UINT32_MAX));
  EXPECT_TRUE(world.connection->is_over());
}

TEST(Channels, EndsOddMessages) {
  const Packet cases[] = {Packet(kMsgChannelData).U32(7).Str("no such channel"),
                          Packet(kMsgChannelData).U32(0).U32(1000),
                          Packet(kMsgChannelRequest).U32(0).U32(UINT32_MAX),
                          Packet(kMsgChannelRequest).U32(0).Str("exec").U8(1),
                          Packet(kMsgChannelRequest).U32(UINT32_MAX).Str("exec").U8(1),
                          Packet(kMsgChannelOpen).Str("session").U32(1),
                          Packet(kMsgGlobalRequest),
                          Packet(kMsgChannelClose)};
  for (const Packet& packet : cases) {
    World world;
    Client client(world);
    ASSERT_TRUE(client.LogIn() && client.OpenChannel(0));
    client.Send(packet);
    EXPECT_TRUE(world.connection->is_over()) << int{packet.bytes()[0]};
  }
}

TEST(Channels, NoMoreSessionsIsKept) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn() && client.OpenChannel(0));
  client.Send(Packet(kMsgGlobalRequest).Str("no-more-sessions@openssh.com").U8(0));
  EXPECT_FALSE(client.OpenChannel(1));
  EXPECT_TRUE(world.connection->is_over());
}

TEST(HostKeys, AreMadeOnceAndKept) {
  World world;
  ASSERT_TRUE(world.loaded);
  EXPECT_TRUE(world.keys.made_new());
  HostKeys again(world.environment);
  ASSERT_TRUE(again.Load(world.vault).ok());
  EXPECT_FALSE(again.made_new());
  for (const HostKeyKind kind : {HostKeyKind::kEd25519, HostKeyKind::kEcdsaP256}) {
    EXPECT_EQ(again.FingerprintOf(kind), world.keys.FingerprintOf(kind).view());
  }
  world.vault.fails = true;
  HostKeys broken(world.environment);
  EXPECT_EQ(broken.Load(world.vault).code(), ErrorCode::kIoError);
  EXPECT_TRUE(broken.made_new());  // it serves all the same
  EXPECT_FALSE(broken.BlobOf(HostKeyKind::kEcdsaP256).empty());
}

// ssh-keygen made these, and their fingerprints (ssh-keygen -lf).
// A stranger may exchange keys so often at once, then once a second; nobody else pays for it.
TEST(Strangers, OweForKeyExchangesWithoutALogIn) {
  Strangers strangers;
  const net::IpAddress noisy = net::IpAddress::V4(192, 0, 2, 1);
  Instant now = Instant() + Duration::Seconds(1000);
  for (int64_t i = 0; i < kStrangerBurst; ++i) {
    EXPECT_TRUE(strangers.Admits(noisy, now)) << i;
    strangers.Charge(noisy, now);
  }
  EXPECT_FALSE(strangers.Admits(noisy, now));
  EXPECT_TRUE(strangers.Admits(net::IpAddress::V4(192, 0, 2, 2), now));
  // A crowd of others, each owing less, does not wash the debt away.
  for (uint8_t i = 0; i < 200; ++i) {
    strangers.Charge(net::IpAddress::V4(198, 51, 100, i), now);
  }
  EXPECT_FALSE(strangers.Admits(noisy, now));
  now = now + Duration::Seconds(kStrangerSeconds) - Duration::Nanoseconds(1);
  EXPECT_FALSE(strangers.Admits(noisy, now));
  now = now + Duration::Nanoseconds(1);
  EXPECT_TRUE(strangers.Admits(noisy, now));
  strangers.Charge(noisy, now);
  EXPECT_FALSE(strangers.Admits(noisy, now));
}

TEST(Strangers, NewKeysAgainAndAgainBeforeLogInEndTheConnection) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.Handshake());
  ASSERT_TRUE(client.Rekey());
  ASSERT_FALSE(world.connection->is_over());
  EXPECT_TRUE(!client.Rekey() || world.connection->is_over());
  EXPECT_TRUE(world.connection->is_over());
}

TEST(PublicKey, ADigestStandsForAKeyOfAnyKind) {
  uint8_t bytes[64];
  const auto reads = [&](std::string_view text) {
    ByteWriter out(bytes);
    return config::ReadSshKeyDigest(text, out);
  };
  const std::string good = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";  // of nothing
  ASSERT_TRUE(reads(good));
  EXPECT_EQ(bytes[0], 0xe3);
  EXPECT_EQ(bytes[31], 0x55);
  EXPECT_TRUE(reads(good + " root@example.com (RSA)"));
  EXPECT_TRUE(config::IsSshKey(good));
  for (const std::string& bad :
       {good.substr(0, 49), good + "=", good + "A", good.substr(7), std::string("SHA256:"),
        std::string("MD5:47:de:42"), "SHA256:" + std::string(43, '-')}) {
    EXPECT_FALSE(reads(bad)) << bad;
  }
}

TEST(PublicKey, LinesAndFingerprints) {
  std::array<uint8_t, kPublicKeyBlobMax> storage;
  const auto line = ParsePublicKeyLine(
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsWe3G4oSQHyKgjNTGcnhDBUQ0T+Cw1rGzTNlKe6pcy a b",
      storage);
  ASSERT_TRUE(line.ok());
  EXPECT_EQ(line->comment, "a b");
  EXPECT_EQ(line->key.kind, PublicKeyKind::kEd25519);
  for (const char* bad :
       {"", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!",
        "ecdsa-sha2-nistp256 AAAAC3NzaC1lZDI1NTE5AAAAIHsWe3G4oSQHyKgjNTGcnhDBUQ0T+Cw1rGzTNlKe6pcy",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsWe3G4oSQHyKgjNTGcnhDBUQ0T+Cw1rGzTNlKe6pc=",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsWe3G4oSQHyKgjNTGcnhDBUQ0T+Cw1rGzTNlKe6pcyAAAA",
        "ssh-dss AAAAB3NzaC1kc3MAAAAA"}) {
    EXPECT_FALSE(ParsePublicKeyLine(bad, storage).ok()) << bad;
  }
}

TEST(Algorithms, ListsAreChecked) {
  std::array<uint8_t, 500> text;
  const auto message = [&](AlgorithmKind kind, std::string_view list) {
    ByteWriter out(text);
    const bool ok = ParseAlgorithms(kind, list, out).ok();
    return ok ? std::string("ok") : std::string(out.text());
  };
  EXPECT_EQ(message(AlgorithmKind::kCipher, "aes256-ctr,chacha20-poly1305@openssh.com"), "ok");
  EXPECT_TRUE(message(AlgorithmKind::kCipher, "aes256-cbc").starts_with("CBC ciphers are not"));
  EXPECT_TRUE(
      message(AlgorithmKind::kCipher, "aes256-ctr,aes256-ctr").starts_with("expected each"));
  EXPECT_TRUE(message(AlgorithmKind::kCipher, "").starts_with("expected a comma"));
  EXPECT_TRUE(message(AlgorithmKind::kMac, "hmac-md5").starts_with("expected a comma"));
  EXPECT_TRUE(message(AlgorithmKind::kKex, "curve25519-sha256,,").starts_with("expected"));
  const AlgorithmList ciphers = DefaultAlgorithms(AlgorithmKind::kCipher);
  EXPECT_EQ(ciphers.count, 3u);
  // The client's order decides (RFC 4253 section 7.1).
  EXPECT_EQ(*Negotiate(AlgorithmKind::kCipher, ciphers,
                       "x,aes128-gcm@openssh.com,aes256-gcm@openssh.com"),
            static_cast<uint8_t>(Cipher::kAes128Gcm));
}

}  // namespace
}  // namespace gh::ssh::test
