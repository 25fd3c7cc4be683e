// What every part of the engine shares. Owned by Engine; the parts hold a reference.
#pragma once

#include "crypto/random.h"
#include "firmware/sip/buffer.h"
#include "firmware/sip/call_ladder.h"
#include "firmware/sip/config.h"
#include "firmware/sip/credentials.h"
#include "firmware/sip/keyed_hash.h"
#include "firmware/sip/observer.h"
#include "firmware/sip/overload.h"
#include "hal/rt/arena.h"
#include "hal/rt/timer_wheel.h"

namespace gh::sip {

class MediaAnchor;
class PresenceServer;
class Routes;
class Zones;

// Counters since start, for xStatus.
struct Statistics {
  uint64_t messages_in = 0;
  uint64_t requests_in = 0;
  uint64_t responses_in = 0;
  uint64_t messages_out = 0;
  uint64_t dropped_malformed = 0;
  uint64_t dropped_stray = 0;  // responses and ACKs that belong to nothing
  uint64_t rate_limited = 0;
  uint64_t refused = 0;
  uint64_t overload = 0;      // 503 sent or dropped because a pool was empty
  uint64_t load_refused = 0;  // 503 because the processor was busy
  uint64_t load_silent = 0;   // of them not sent: their senders had enough replies
  uint64_t send_failed = 0;
  uint64_t registers = 0;
  uint64_t known_ways = 0;  // registrations that went into a zone without a search
  uint64_t challenges = 0;
  uint64_t auth_failures = 0;
  uint64_t calls_started = 0;
  uint64_t calls_failed = 0;
  uint64_t calls_unkept = 0;  // of which no more is known than who they are
  uint64_t keep_alives = 0;
  uint64_t publications = 0;   // PUBLISH taken
  uint64_t subscriptions = 0;  // begun
  uint64_t notifications = 0;  // NOTIFY sent
};

struct Core {
  Core(Arena& arena, TimerWheel& timer_wheel, crypto::Random& random_source,
       Credentials& credential_store, Observer& event_observer, const Capacity& cap)
      : timers(timer_wheel),
        random(random_source),
        credentials(credential_store),
        observer(event_observer),
        capacity(cap),
        buffers(arena, cap.buffers),
        scratch(arena.NewArray<uint8_t>(kMessageBytesMax + 1)),
        extra_scratch(arena.NewArray<uint8_t>(kRegisterExtraBytesMax)),
        body_scratch(arena.NewArray<uint8_t>(kMessageBytesMax)),
        ladder(arena, LadderSize(cap.calls)) {
    key.k0 = random.U64();
    key.k1 = random.U64();
    started = timers.now();
  }
  KeyedHash Hash(HashPurpose purpose) const { return KeyedHash(key, purpose); }
  Instant now() const { return timers.now(); }
  uint64_t LadderOf(std::string_view call_id) const {
    return Hash(kHashCallId).Add(call_id).Value();
  }
  // A message that came or went, for its call's ladder.
  void Note(const Message& message, const Flow& flow, bool is_outgoing) {
    if (CallLadder::IsOfCalls(message.method())) {
      ladder.Note({LadderOf(message.call_id()), now(), flow.remote, message.cseq(),
                   message.is_request() ? uint16_t{0} : message.status(), message.method(),
                   flow.transport, is_outgoing});
    }
  }
  static constexpr uint32_t LadderSize(uint32_t calls) {
    const uint32_t size = calls * kLadderPerCall;
    return size < kLadderMin ? kLadderMin : size > kLadderMax ? kLadderMax : size;
  }

  Config config;
  TimerWheel& timers;
  crypto::Random& random;
  Credentials& credentials;
  Observer& observer;
  MediaAnchor* anchor = nullptr;  // null: descriptions pass as they are
  Zones* zones = nullptr;
  PresenceServer* presence = nullptr;
  Routes* routes = nullptr;  // null: the first listener that fits
  Capacity capacity;
  BufferPool buffers;
  std::span<uint8_t> scratch;        // where an outgoing message is put together
  std::span<uint8_t> extra_scratch;  // header lines of a response to REGISTER
  std::span<uint8_t> body_scratch;   // a description that is written anew
  HashKey key;
  Instant started;
  Statistics statistics;
  OverloadControl overload;
  CallLadder ladder;
};

}  // namespace gh::sip
