// The TURN engine under a script: signed requests with attributes of the input's choice, raw
// datagrams, data to relay ports, ICMP errors, peers over TCP that come, answer and go, streams
// that go, other settings, time passing. At the end, after all lifetimes, every pool and port is as
// it was.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "tests/unit/turn/world.h"

namespace {

using gh::Duration;
using gh::turn::Builder;
using gh::turn::Class;
using gh::turn::Config;
using gh::turn::Method;
using gh::turn::test::At;
using gh::turn::test::Bytes;
using gh::turn::test::Client;
using gh::turn::test::World;

const char* const kPeers[] = {"8.8.8.8:4000",   "8.8.4.4:5",    "127.0.0.1:80",
                              "[2600::1]:4000", "9.9.9.9:3478", "[::ffff:127.0.0.1]:80"};

struct Script {
  const uint8_t* data;
  size_t size;
  size_t at = 0;
  uint8_t Byte() { return at < size ? data[at++] : 0; }
  Bytes Some() {
    const size_t wanted = Byte();
    const size_t count = wanted < size - at ? wanted : size - at;
    at += count;
    return Bytes(data + at - count, data + at);
  }
};

class Play {
 public:
  explicit Play(const Script& script) : script_(script), world_(MakeConfig(script_.Byte())) {
    for (int i = 0; i < 3; ++i) {
      clients_.emplace_back(world_, "7.7.7.7:" + std::to_string(1000 + i), i == 2 ? "bob" : "alice",
                            i == 2 ? "hidden" : "secret");
    }
    clients_[1].path.transport = gh::turn::ClientTransport::kStream;
    clients_[1].path.stream = {1, 1};
  }
  void Run() {
    for (int step = 0; step < 100 && script_.at < script_.size; ++step) {
      Step();
      world_.sent.clear();
    }
    world_.Pass(Duration::Hours(26));
    gh::turn::Engine& engine = world_.engine();
    const auto used = [&](uint32_t family) { return engine.ports(family).used_count(); };
    engine.Apply(World::MakeConfig());
    engine.Apply([] {
      Config off = World::MakeConfig();
      off.enabled = false;
      return off;
    }());
    if (engine.allocation_count() + engine.permission_count() + engine.channel_count() +
                engine.user_count() + engine.reservation_count() + engine.link_count() + used(0) +
                used(1) !=
            0 ||
        !world_.flows.empty() || !world_.open_relays.empty()) {
      std::abort();
    }
  }

 private:
  static Config MakeConfig(uint8_t bits) {
    Config config = World::MakeConfig();
    config.is_strict_channels = (bits & 1) != 0;
    config.allows_mobility = (bits & 2) != 0;
    config.answers_binding = (bits & 4) != 0;
    config.allocations_per_user = (bits & 8) != 0 ? 1 : 0;
    config.allocation_bytes_per_s = (bits & 16) != 0 ? 500 : 0;
    config.allows_tcp = (bits & 32) != 0;
    config.token_server.Assign((bits & 64) != 0 ? "turn.example" : "");
    config.discovery.port = (bits & 128) != 0 ? 3479 : 0;
    config.discovery_first_port = 3478;
    config.realms[0].name.Assign("other.example");
    config.realms[0].domain.Assign("other.example");
    config.realms[0].allocations_total = 2;
    config.unproven_replies_per_s = 1'000'000;
    config.unproven_replies_burst = 1'000'000;
    config.unproven_total_per_s = 1'000'000;
    return config;
  }
  const char* Peer() { return kPeers[script_.Byte() % std::size(kPeers)]; }

  void AddAttribute(Builder& builder) {
    switch (script_.Byte() % 17) {
      case 0:
        return builder.U32(gh::turn::kRequestedTransport, uint32_t{script_.Byte()} << 24);
      case 1:
        return builder.U32(gh::turn::kRequestedTransport, 17u << 24);
      case 2:
        return builder.XorAddress(gh::turn::kXorPeerAddress, At(Peer()));
      case 3:
        return builder.U32(gh::turn::kChannelNumber, uint32_t{script_.Byte()} << 24 | 1u << 16);
      case 4:
        return builder.U32(gh::turn::kChannelNumber, 0x4000u << 16);
      case 5:
        return builder.U32(gh::turn::kLifetime, uint32_t{script_.Byte()} * 16);
      case 6: {
        const uint8_t value = script_.Byte();
        return builder.Bytes(gh::turn::kEvenPort, {&value, 1});
      }
      case 7:
        return builder.Bytes(gh::turn::kReservationToken, token_);
      case 8:
        return builder.U32(gh::turn::kRequestedAddressFamily, uint32_t{script_.Byte() & 3u} << 24);
      case 9:
        return builder.U32(gh::turn::kAdditionalAddressFamily, 2u << 24);
      case 10:
        return builder.Bytes(gh::turn::kMobilityTicket, ticket_);
      case 11:
        return builder.Bytes(gh::turn::kData, script_.Some());
      case 12:
        return builder.Bytes(gh::turn::kDontFragment, {});
      case 13:
        return builder.U32(gh::turn::kRequestedTransport, 6u << 24);
      case 14:
        return builder.U32(gh::turn::kConnectionId, Link());
      case 15: {
        Bytes token = script_.Some();  // with a tag that World::OpenToken takes
        if (const size_t size = token.size(); size > 30) {
          token[0] = 0;
          token[1] = 12;
          const auto data_size = static_cast<uint8_t>(size - 30);
          std::fill(token.end() - 16, token.end(),
                    static_cast<uint8_t>(token[2] ^ std::strlen("turn.example") ^ data_size));
        }
        return builder.Bytes(gh::turn::kAccessToken, token);
      }
      default: {
        const auto type = static_cast<uint16_t>(script_.Byte() << 8 | script_.Byte());
        return builder.Bytes(type, script_.Some());
      }
    }
  }

  void Request(Client& client) {
    static constexpr Method kMethods[] = {
        Method::kAllocate, Method::kRefresh, Method::kCreatePermission, Method::kChannelBind,
        Method::kBinding,  Method::kSend,    Method::kConnect,          Method::kConnectionBind};
    const Method method = kMethods[script_.Byte() % std::size(kMethods)];
    const uint8_t shape = script_.Byte();
    const Class cls = method == Method::kSend ? Class::kIndication : Class::kRequest;
    client.sha256 = (shape & 0x80) != 0 && !client.algorithms.empty();
    const auto fill = [&](Builder& builder) {
      for (int i = shape & 7; i > 0; --i) {
        AddAttribute(builder);
      }
    };
    if (method == Method::kSend) {
      world_.Give(client.path, client.Build(cls, method, fill, false));
      return;
    }
    const Bytes request = client.Build(cls, method, fill, !client.nonce.empty());
    const auto got = request.empty() ? std::nullopt : client.Exchange(request);
    if (!got) {
      return;
    }
    if (got->code() == 401 || got->code() == 438) {
      client.Learn(*got);
    }
    const auto token = got->message.Value(gh::turn::kReservationToken);
    token_.assign(token.begin(), token.end());
    const auto ticket = got->message.Value(gh::turn::kMobilityTicket);
    if (!ticket.empty()) {
      ticket_.assign(ticket.begin(), ticket.end());
    }
  }

  // A link that was begun, or any number.
  uint32_t Link() {
    const size_t which = script_.Byte();
    return which < world_.connects.size() ? world_.connects[which].link : arrived_;
  }
  void PeerStep(uint8_t what) {
    const auto port = static_cast<uint16_t>(24000 + script_.Byte() % 100);
    if (what == 0) {
      arrived_ = world_.engine().OnPeerArrived({At("9.9.9.9:1").address, port}, At(Peer()), {7, 7});
    } else if (what == 1) {
      (void)world_.engine().OnPeerConnected(Link());
    } else {
      world_.engine().OnLinkClosed(Link());
    }
  }

  void Step() {
    Client& client = clients_[script_.Byte() % clients_.size()];
    switch (script_.Byte() % 12) {
      case 0:
      case 1:
      case 2:
      case 3:
        return Request(client);
      case 4:
        return world_.Give(client.path, script_.Some());
      case 5: {
        Bytes data{static_cast<uint8_t>(0x40 | (script_.Byte() & 0x3f)), script_.Byte(), 0};
        const Bytes media = script_.Some();
        data.push_back(static_cast<uint8_t>(media.size() + (script_.Byte() & 1)));
        data.insert(data.end(), media.begin(), media.end());
        return world_.Give(client.path, data);
      }
      case 6: {
        const auto port = static_cast<uint16_t>(24000 + script_.Byte() % 100);
        (void)world_.GiveRelay({At("9.9.9.9:1").address, port}, At(Peer()), "media");
        world_.engine().OnRelayError({At("9.9.9.9:1").address, port}, At(Peer()), script_.Byte(),
                                     script_.Byte(), 0);
        return;
      }
      case 7:
        return world_.Pass(Duration::Seconds(int64_t{script_.Byte()} * 5));
      case 8:
        return world_.engine().OnStreamClosed(client.path);
      case 9:
        return PeerStep(script_.Byte() % 3);
      default:
        world_.gives_flows = (script_.Byte() & 1) != 0;
        return world_.engine().Apply(MakeConfig(script_.Byte()));
    }
  }

  Script script_;
  World world_;
  std::vector<Client> clients_;
  uint32_t arrived_ = 1;
  Bytes token_;
  Bytes ticket_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gh::test::Memory::keeps = true;
  Play(Script{data, size}).Run();
  return 0;
}
