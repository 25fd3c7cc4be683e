// What the proxy does with calls beyond passing them: session timers (RFC 4028), ending a call from
// here, records and ladder, limits, maintenance, bandwidth. After each test every pool is as
// before.
#include <gtest/gtest.h>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

Config TimerConfig() {
  Config config = World::DefaultConfig();
  config.session_min_s = 500;
  config.session_expires_s = 1800;
  return config;
}

class CallControl : public testing::Test {
 protected:
  explicit CallControl(const Config& config = TimerConfig(),
                       const Capacity& capacity = World::SmallCapacity())
      : world(config, capacity) {}

  World world;
  Engine& engine = world.engine();
  Phone alice{world, "alice", "192.0.2.20:5060"};
  Phone bob{world, "bob", "192.0.2.30:5060"};

  void SetUp() override {
    ASSERT_EQ(alice.Register().Status(), 200);
    ASSERT_EQ(bob.Register(3600).Status(), 200);
    world.events.clear();
  }
  void TearDown() override {
    world.Advance(Duration::Seconds(300));
    world.Advance(Duration::Hours(24));
    world.Clear();
    EXPECT_EQ(world.Busy(), "");
  }
  Sent Invite(const std::string& headers, const std::string& body = "v=0\r\n",
              const std::string& call_id = "call") {
    Phone::Spec spec{.method = "INVITE", .uri = bob.uri(), .call_id = call_id};
    spec.headers = "Content-Type: application/sdp\n" + headers;
    spec.body = body;
    alice.Send(spec);
    return bob.Take();
  }
  // What alice gets of bob's answer, all that is provisional passed over.
  Sent Answer(const Sent& invite, const std::string& headers = {},
              const std::string& body = "v=0\r\n") {
    bob.Respond(invite, 200, "tt", "Content-Type: application/sdp\n" + headers, body);
    Sent answer = alice.Take();
    while (answer.Status() != 0 && answer.Status() < 200) {
      answer = alice.Take();
    }
    return answer;
  }
  Phone::Spec InDialog(const std::string& method, const Sent& answer, int cseq) {
    Phone::Spec spec{.method = method, .uri = "sip:bob@192.0.2.30:5060", .to = bob.uri()};
    spec.to_tag = "tt";
    spec.cseq = cseq;
    spec.headers = RouteSet(answer, true);
    return spec;
  }
  CallInfo OnlyCall() {
    CallInfo info;
    uint32_t cursor = 0;
    EXPECT_TRUE(engine.NextCall(cursor, info));
    return info;
  }
};

// --- Session timers ------------------------------------------------------------------------------

TEST_F(CallControl, TimerIsAskedForWhereTheCallerAsksForNone) {
  const Sent invite = Invite("");
  EXPECT_EQ(invite.Header("Session-Expires"), "1800");
  EXPECT_EQ(invite.Header("Min-SE"), "");
  // The callee takes it and refreshes himself: that is between the two.
  const Sent answer = Answer(invite, "Session-Expires: 1800;refresher=uas\nRequire: timer\n");
  EXPECT_EQ(answer.Header("Session-Expires"), "1800;refresher=uas");
  EXPECT_EQ(OnlyCall().session_s, 1800u);
}

TEST_F(CallControl, CallerWhoKnowsTimersRefreshesForACalleeWhoDoesNot) {
  const Sent invite = Invite("Supported: timer, 100rel\n");
  const Sent answer = Answer(invite);
  EXPECT_EQ(answer.Header("Session-Expires"), "1800;refresher=uac");
  EXPECT_EQ(answer.Header("Require"), "timer");
  // The answer again, as the callee repeats it until ACK, says the same.
  bob.Respond(invite, 200, "tt");
  EXPECT_EQ(alice.Take().Header("Session-Expires"), "1800;refresher=uac");
}

TEST_F(CallControl, NobodyWhoKnowsTimersNoTimer) {
  const Sent answer = Answer(Invite(""));
  EXPECT_EQ(answer.Header("Session-Expires"), "");
  EXPECT_EQ(OnlyCall().session_s, 0u);
}

TEST_F(CallControl, IntervalAtTheMinimumIsTakenBelowItRefused) {
  const Sent invite = Invite("Supported: timer\nSession-Expires: 500;refresher=uac\n");
  EXPECT_EQ(invite.Header("Session-Expires"), "500;refresher=uac");
  Answer(invite);
  EXPECT_TRUE(Invite("k: timer\nx: 499\n", "v=0\r\n", "brief").text.empty());
  Sent refused = alice.Take();
  EXPECT_EQ(refused.Status(), 422);
  EXPECT_EQ(refused.Header("Min-SE"), "500");
}

TEST_F(CallControl, BriefIntervalOfOneWhoKnowsNo422Grows) {
  const Sent invite = Invite("Session-Expires: 100\nMin-SE: 95\n");
  EXPECT_EQ(invite.Header("Session-Expires"), "500");
  EXPECT_EQ(invite.Header("Min-SE"), "500");
  EXPECT_EQ(invite.Headers("Session-Expires").size(), 1u);
  Answer(invite);
}

TEST_F(CallControl, LongIntervalIsCutDownButNotBelowMinSe) {
  const Sent invite = Invite("Supported: timer\nSession-Expires: 9000\nMin-SE: 3000\n");
  EXPECT_EQ(invite.Header("Session-Expires"), "3000");
  EXPECT_EQ(invite.Header("Min-SE"), "3000");
  Answer(invite);
}

TEST_F(CallControl, MalformedIntervalIsTheCalleesMatter) {
  const Sent invite = Invite("Session-Expires: soon\n");
  EXPECT_EQ(invite.Header("Session-Expires"), "soon");
  EXPECT_EQ(invite.Headers("Session-Expires").size(), 1u);
  Answer(invite);
}

TEST_F(CallControl, SessionThatNobodyRefreshesIsEndedOnBothSides) {
  const Sent answer = Answer(Invite("Supported: timer\n"), "Session-Expires: 600;refresher=uac\n");
  world.Advance(Duration::Seconds(400));
  // An INFO is no refresh; an UPDATE is.
  alice.Send(InDialog("INFO", answer, 2));
  bob.Respond(bob.Take(), 200);
  alice.Take();
  Phone::Spec update = InDialog("UPDATE", answer, 3);
  update.headers += "Supported: timer\nSession-Expires: 600;refresher=uac\n";
  alice.Send(update);
  bob.Respond(bob.Take(), 200, "tt", "Session-Expires: 600;refresher=uac\n");
  EXPECT_EQ(alice.Take().Status(), 200);
  world.Advance(Duration::Seconds(605));
  EXPECT_EQ(engine.call_count(), 1u);
  world.Clear();
  world.Advance(Duration::Seconds(6));
  EXPECT_EQ(engine.call_count(), 0u);
  EXPECT_TRUE(world.HasEvent("call-ended session-expired 1010"));
  const Sent to_bob = bob.Take();
  EXPECT_EQ(to_bob.Method(), "BYE");
  EXPECT_EQ(to_bob.Header("CSeq"), "4 BYE");
  EXPECT_EQ(alice.Take().Method(), "BYE");
}

// --- Phones that are gone ------------------------------------------------------------------------

class FlowLoss : public CallControl {
 protected:
  // Whether media is still heard of a party is the anchor's to say.
  struct Ears final : MediaAnchor {
    MediaVerdict OnDescription(const MediaExchange& exchange) override {
      call = exchange.call;
      return {};
    }
    void OnFailed(std::string_view, std::string_view, std::string_view) override {}
    void OnEnded(std::string_view, std::string_view, std::string_view) override { ++ended; }
    bool IsHeard(std::string_view, std::string_view caller_tag, std::string_view callee_tag,
                 bool is_caller, Duration) override {
      EXPECT_EQ(caller_tag, "ft");
      EXPECT_EQ(callee_tag, "tt");
      ++asked[is_caller ? 0 : 1];
      return hears;
    }
    uint64_t call = 0;
    int ended = 0;
    std::array<int, 2> asked = {};
    bool hears = false;
  };
  explicit FlowLoss(const Capacity& capacity = World::SmallCapacity())
      : CallControl(TimerConfig(), capacity) {
    engine.SetMediaAnchor(ears);
  }
  // A phone whose only way is its connection, and who calls by it.
  void Call() {
    alice.UseTcp();
    Answer(Invite(""));
    ASSERT_EQ(engine.call_count(), 1u);
  }
  Ears ears;
};

TEST_F(FlowLoss, AConnectionThatStaysAwayEndsTheCall) {
  Call();
  world.Advance(Duration::Seconds(120));
  EXPECT_EQ(engine.call_count(), 1u);
  world.Hangup(alice.stream());
  world.Advance(Duration::Seconds(59));
  EXPECT_EQ(engine.call_count(), 1u);
  world.Clear();
  world.Advance(Duration::Seconds(4));
  EXPECT_EQ(engine.call_count(), 0u);
  EXPECT_TRUE(world.HasEvent("call-ended connection-lost"));
  EXPECT_EQ(bob.Take().Method(), "BYE");
  EXPECT_EQ(ears.asked, (std::array<int, 2>{1, 0}));
  EXPECT_EQ(ears.ended, 1);
}

TEST_F(FlowLoss, AsLongAsMediaComesItLives) {
  Call();
  ears.hears = true;
  world.Hangup(alice.stream());
  world.Advance(Duration::Seconds(300));
  EXPECT_EQ(engine.call_count(), 1u);
  EXPECT_GE(ears.asked[0], 4);
  ears.hears = false;
  world.Advance(Duration::Seconds(64));
  EXPECT_EQ(engine.call_count(), 0u);
}

// Of more calls than are looked at in a second the others are looked at in the next.
class ManyFlows : public FlowLoss {
 protected:
  ManyFlows() : FlowLoss(Many()) {}
  static Capacity Many() {
    Capacity capacity = World::SmallCapacity();
    capacity.calls = kFlowWatchMax + 1;
    return capacity;
  }
};

TEST_F(ManyFlows, AreLookedAtInTurns) {
  alice.UseTcp();
  for (uint32_t i = 0; i <= kFlowWatchMax; ++i) {
    Answer(Invite("", "v=0\r\n", "call" + std::to_string(i)));
    if (i % 16 == 15) {
      world.Advance(Duration::Seconds(40));  // transactions end
    }
  }
  ASSERT_EQ(engine.call_count(), kFlowWatchMax + 1);
  ears.hears = true;
  world.Hangup(alice.stream());
  int most = 0;
  for (int second = 0; second < 90; ++second) {
    const int before = ears.asked[0];
    world.Advance(Duration::Seconds(1));
    most = std::max(most, ears.asked[0] - before);
  }
  EXPECT_LE(most, static_cast<int>(kFlowWatchMax));
  EXPECT_GT(most, static_cast<int>(kFlowWatchMax / 2));
  EXPECT_GE(ears.asked[0], static_cast<int>(kFlowWatchMax + 1));
  ears.hears = false;
  world.Advance(Duration::Seconds(130));
  EXPECT_EQ(engine.call_count(), 0u);
}

TEST_F(FlowLoss, PhonesOnUdpHaveNoneToLose) {
  Answer(Invite(""));
  world.Advance(Duration::Seconds(600));
  EXPECT_EQ(engine.call_count(), 1u);
  engine.EndCalls(ears.call, CallEnd::kMediaLost);
  EXPECT_EQ(engine.call_count(), 0u);
  EXPECT_TRUE(world.HasEvent("call-ended media-lost"));
}

// --- Ending a call -------------------------------------------------------------------------------

TEST_F(CallControl, OperatorEndsACallOnBothSides) {
  Answer(Invite("", "v=0\r\n"));
  const CallInfo info = OnlyCall();
  EXPECT_TRUE(info.can_be_ended);
  world.Clear();
  EXPECT_EQ(engine.Disconnect(info.id + 1).code(), ErrorCode::kNotFound);
  ASSERT_TRUE(engine.Disconnect(info.id).ok());
  EXPECT_EQ(engine.call_count(), 0u);
  EXPECT_TRUE(world.HasEvent("call-ended disconnected"));
  const Sent to_bob = bob.Take();
  EXPECT_EQ(to_bob.StartLine(), "BYE sip:bob@192.0.2.30:5060 SIP/2.0");
  EXPECT_EQ(to_bob.Header("From"), "<sip:alice@example.com>;tag=ft");
  EXPECT_EQ(to_bob.Header("To"), "<sip:bob@example.com>;tag=tt");
  EXPECT_EQ(to_bob.Header("CSeq"), "2 BYE");
  EXPECT_EQ(to_bob.Header("Call-ID"), "call");
  EXPECT_NE(to_bob.Header("Reason").find("operator"), std::string::npos);
  const Sent to_alice = alice.Take();
  EXPECT_EQ(to_alice.StartLine(), "BYE sip:alice@192.0.2.20:5060 SIP/2.0");
  EXPECT_EQ(to_alice.Header("From"), "<sip:bob@example.com>;tag=tt");
  EXPECT_EQ(to_alice.Header("To"), "<sip:alice@example.com>;tag=ft");
  EXPECT_EQ(to_alice.Header("CSeq"), "1 BYE");
  bob.Respond(to_bob, 200);
  alice.Respond(to_alice, 481);
  world.Advance(Duration::Seconds(60));
  EXPECT_TRUE(alice.Take().text.empty());  // answered: nothing is repeated
  EXPECT_TRUE(bob.Take().text.empty());
  EXPECT_EQ(engine.Disconnect(info.id).code(), ErrorCode::kNotFound);
}

TEST_F(CallControl, ByeGoesByTheRoutesOfProxiesBehindUs) {
  // Alice is behind a proxy of her own, bob behind another.
  Phone::Spec spec{.method = "INVITE", .uri = bob.uri()};
  spec.headers =
      "Via: SIP/2.0/UDP 10.0.0.7;branch=z9hG4bKinner\n"
      "Record-Route: <sip:192.0.2.20:5060;lr>, <sip:p1.example.net;lr>\n";
  alice.Send(spec);
  const Sent invite = bob.Take();
  Sent changed = invite;
  const auto at = changed.text.find("Record-Route:");
  changed.text.insert(at,
                      "Record-Route: <sip:q2.example.net;lr>\r\n"
                      "Record-Route: <sip:192.0.2.30:5060;lr>\r\n");
  bob.Respond(changed, 200, "tt");
  world.Clear();
  ASSERT_TRUE(engine.Disconnect(OnlyCall().id).ok());
  EXPECT_EQ(bob.Take().Header("Route"), "<sip:192.0.2.30:5060;lr>,<sip:q2.example.net;lr>");
  EXPECT_EQ(alice.Take().Header("Route"), "<sip:192.0.2.20:5060;lr>,<sip:p1.example.net;lr>");
}

TEST_F(CallControl, TargetRefreshMovesWhereByeGoes) {
  const Sent answer = Answer(Invite(""));
  Phone::Spec again = InDialog("INVITE", answer, 7);
  again.contact = "<sip:alice@192.0.2.20:5060;moved=1>";
  alice.Send(again);
  const Sent got = bob.Take();
  bob.Respond(got, 200);
  world.Clear();
  ASSERT_TRUE(engine.Disconnect(OnlyCall().id).ok());
  EXPECT_EQ(bob.Take().Header("CSeq"), "8 BYE");
  EXPECT_EQ(alice.Take().StartLine(), "BYE sip:alice@192.0.2.20:5060;moved=1 SIP/2.0");
}

TEST_F(CallControl, DialogTooLongToKeepIsEndedByItsPartiesAlone) {
  const Sent invite =
      Invite("Record-Route: <sip:" + std::string(kDialogRecordBytes, 'r') + "@192.0.2.20;lr>\n");
  ASSERT_FALSE(invite.text.empty());
  Answer(invite);
  const CallInfo info = OnlyCall();
  EXPECT_FALSE(info.can_be_ended);
  EXPECT_EQ(engine.Disconnect(info.id).code(), ErrorCode::kUnsupported);
  EXPECT_EQ(engine.call_count(), 1u);
}

class ShortOfRoom : public CallControl {
 public:
  ShortOfRoom() : CallControl(TimerConfig(), CapacityOf(kCalls)) {}

  static constexpr uint32_t kCalls = 4;
  static constexpr uint32_t kShared = kCalls * (kDialogChunksEach - kDialogChunksOwn);

  static Capacity CapacityOf(uint32_t calls) {
    Capacity capacity = World::SmallCapacity();
    capacity.calls = calls;
    return capacity;
  }
  // Its texts take more than half of what the calls share.
  Sent LongCall(const std::string& call_id) {
    const size_t more_than_half = (kDialogChunksOwn + kShared / 2) * kDialogChunkBytes;
    const Sent invite =
        Invite("Record-Route: <sip:" + std::string(more_than_half, 'r') + "@192.0.2.20;lr>\n",
               "v=0\r\n", call_id);
    Answer(invite);
    return invite;
  }
  CallInfo CallOf(std::string_view call_id) {
    CallInfo info;
    for (uint32_t cursor = 0; engine.NextCall(cursor, info);) {
      if (info.call_id == call_id) {
        return info;
      }
    }
    ADD_FAILURE() << "no call " << call_id;
    return {};
  }
};

TEST_F(ShortOfRoom, WhatHasNoRoomKeepsItsNamesAndIsEndedByItsParties) {
  LongCall("long");
  const Sent second = LongCall("unkept");
  Answer(Invite("", "v=0\r\n", "short"));
  EXPECT_EQ(engine.statistics().calls_unkept, 1u);
  EXPECT_TRUE(CallOf("long").can_be_ended);
  EXPECT_TRUE(CallOf("short").can_be_ended);
  const CallInfo unkept = CallOf("unkept");
  EXPECT_FALSE(unkept.can_be_ended);
  EXPECT_EQ(unkept.caller, "sip:alice@example.com");
  EXPECT_EQ(unkept.callee, bob.uri());
  EXPECT_EQ(engine.Disconnect(unkept.id).code(), ErrorCode::kUnsupported);
  // Its parties end it, and it is told of as any other.
  Phone::Spec bye{.method = "BYE", .uri = "sip:alice@192.0.2.20:5060", .to = alice.uri()};
  bye.from_tag = "tt";
  bye.to_tag = "ft";
  bye.call_id = "unkept";
  bye.headers = RouteSet(second, false);
  bob.Send(bye);
  alice.Respond(alice.Take(), 200);
  EXPECT_EQ(engine.call_count(), 2u);
  EXPECT_EQ(engine.call_history().Latest(0)->callee.view(), bob.uri());
  // Where one has ended there is room again.
  ASSERT_TRUE(engine.Disconnect(CallOf("long").id).ok());
  world.Clear();
  LongCall("next");
  EXPECT_TRUE(CallOf("next").can_be_ended);
  EXPECT_EQ(engine.statistics().calls_unkept, 1u);
}

TEST_F(ShortOfRoom, AContactThatHasNoRoomLeavesTheOneBefore) {
  LongCall("long");
  const Sent answer = Answer(Invite("", "v=0\r\n", "short"));
  Phone::Spec again = InDialog("INVITE", answer, 7);
  again.call_id = "short";
  const size_t too_long = (kDialogChunksOwn + kShared / 2) * kDialogChunkBytes;
  again.contact = "<sip:alice@192.0.2.20:5060;moved=" + std::string(too_long, '1') + ">";
  alice.Send(again);
  bob.Respond(bob.Take(), 200);
  world.Clear();
  ASSERT_TRUE(engine.Disconnect(CallOf("short").id).ok());
  EXPECT_EQ(bob.Take().Method(), "BYE");
  EXPECT_EQ(alice.Take().StartLine(), "BYE sip:alice@192.0.2.20:5060 SIP/2.0");
}

// --- Records and ladder --------------------------------------------------------------------------

TEST_F(CallControl, HistoryAndLadderTellWhatHappened) {
  const Sent invite = Invite("");
  bob.Respond(invite, 180);
  world.Advance(Duration::Seconds(3));
  const Sent answer = Answer(invite);
  world.Advance(Duration::Seconds(5));
  alice.Send(InDialog("BYE", answer, 2));
  bob.Respond(bob.Take(), 200);
  bob.Respond(Invite("", "v=0\r\n", "busy"), 486);
  const CallHistory& history = engine.call_history();
  ASSERT_EQ(history.count(), 2u);
  EXPECT_EQ(history.Latest(0)->status, 486);
  EXPECT_EQ(history.Latest(0)->call_id.view(), "busy");
  const CallRecord& record = *history.Latest(1);
  EXPECT_EQ(record.status, 0);
  EXPECT_EQ(record.setup.seconds(), 3);
  EXPECT_EQ(record.duration.seconds(), 5);
  EXPECT_EQ(record.end, CallEnd::kByCaller);
  EXPECT_EQ(record.caller.view(), "sip:alice@example.com");
  EXPECT_EQ(history.Latest(2), nullptr);

  std::string seen;
  LadderEntry entry;
  for (uint64_t cursor = 0; engine.ladder().Next(record.ladder, cursor, entry);) {
    seen += std::string(entry.is_outgoing ? ">" : "<") +
            (entry.status != 0 ? std::to_string(entry.status) : std::string()) +
            std::string(MethodName(entry.method)).substr(0, 3) + " ";
  }
  EXPECT_EQ(seen, "<INV >100INV >INV <180INV >180INV <200INV >200INV <BYE >BYE <200BYE >200BYE ");
}

TEST(CallHistoryTest, OldestGoFirst) {
  std::vector<uint8_t> memory(1 << 20);
  Arena arena(memory);
  CallHistory history(arena, 3);
  EXPECT_EQ(history.Latest(0), nullptr);
  for (uint64_t i = 1; i <= 4; ++i) {
    CallEvent event;
    event.id = i;
    history.Add(event, 0, {});
  }
  EXPECT_EQ(history.Latest(0)->id, 4u);
  EXPECT_EQ(history.Latest(2)->id, 2u);
  EXPECT_EQ(history.Latest(3), nullptr);
}

TEST(CallHistoryTest, LongNamesAreCut) {
  std::vector<uint8_t> memory(1 << 20);
  Arena arena(memory);
  CallHistory history(arena, 1);
  const std::string party(kCallPartyBytesMax + 1, 'p');
  const std::string call_id(kCallIdShownMax + 1, 'i');
  CallEvent event;
  event.caller = event.callee = party;
  event.call_id = call_id;
  history.Add(event, 0, {});
  EXPECT_EQ(history.Latest(0)->caller.view(), party.substr(1));
  EXPECT_EQ(history.Latest(0)->callee.view(), party.substr(1));
  EXPECT_EQ(history.Latest(0)->call_id.view(), call_id.substr(1));
}

// By the number of calls that the profile holds, within bounds.
TEST(CallHistoryTest, SizesOfHistoryAndLadder) {
  const auto sizes = [](uint32_t calls, uint32_t attempts) {
    Capacity capacity = World::SmallCapacity();
    capacity.calls = calls;
    World world(World::DefaultConfig(), capacity, 96u << 20);
    Phone alice{world, "alice", "192.0.2.20:5060"};
    const CallHistory& history = world.engine().call_history();
    uint32_t shown = 0;
    for (uint32_t i = 0; i < attempts && history.count() == i; ++i) {
      alice.Send(
          {.method = "INVITE", .uri = "sip:nobody@198.51.100.1", .call_id = std::to_string(i)});
      Phone far(world, "nobody", "198.51.100.1:5060");
      far.Respond(far.Take(), 486);
      world.Clear();
      if (i % 8 == 7) {
        world.Advance(Duration::Seconds(40));  // transactions end
      }
    }
    while (history.Latest(shown) != nullptr) {
      ++shown;
    }
    return std::pair(shown, world.engine().ladder().capacity());
  };
  EXPECT_EQ(sizes(1, kCallHistoryMin + 1), std::pair(kCallHistoryMin, kLadderMin));
  const uint32_t middle = 4 * kCallHistoryMin + 4;
  EXPECT_EQ(sizes(middle, kCallHistoryMin + 2),
            std::pair(kCallHistoryMin + 1, middle * kLadderPerCall));
  const uint32_t most = kLadderMax / kLadderPerCall + 1;
  EXPECT_EQ(sizes(most, kCallHistoryMax + 1), std::pair(kCallHistoryMax, kLadderMax));
}

TEST(CallLadderTest, RingForgetsTheOldestAndKeepsCallsApart) {
  std::vector<uint8_t> memory(1 << 20);
  Arena arena(memory);
  CallLadder ladder(arena, 4);
  for (uint32_t i = 1; i <= 6; ++i) {
    LadderEntry entry;
    entry.call = i % 2;
    entry.cseq = i;
    entry.method = Method::kInvite;
    ladder.Note(entry);
  }
  LadderEntry other;
  other.method = Method::kRegister;  // of no call
  ladder.Note(other);
  uint64_t cursor = 0;
  LadderEntry entry;
  ASSERT_TRUE(ladder.Next(1, cursor, entry));
  EXPECT_EQ(entry.cseq, 3u);
  ASSERT_TRUE(ladder.Next(1, cursor, entry));
  EXPECT_EQ(entry.cseq, 5u);
  EXPECT_FALSE(ladder.Next(1, cursor, entry));
}

// --- Limits and maintenance ----------------------------------------------------------------------

class FewCalls : public CallControl {
 protected:
  FewCalls() : CallControl(TimerConfig(), Two()) {}
  static Capacity Two() {
    Capacity capacity = World::SmallCapacity();
    capacity.calls = 2;
    return capacity;
  }
};

TEST_F(FewCalls, NoMoreCallsThanThereIsRoomFor) {
  const Sent first = Answer(Invite("", "v=0\r\n", "one"));
  Answer(Invite("", "v=0\r\n", "two"));
  EXPECT_TRUE(Invite("", "v=0\r\n", "three").text.empty());
  const Sent refused = alice.Take();
  EXPECT_EQ(refused.Status(), 503);
  EXPECT_EQ(refused.Header("Retry-After"), "10");
  EXPECT_TRUE(world.HasEvent("refused call-limit 503"));
  // Inside of the calls there are nothing is refused.
  Phone::Spec hold = InDialog("INVITE", first, 2);
  hold.call_id = "one";
  alice.Send(hold);
  EXPECT_EQ(bob.Take().Method(), "INVITE");
}

TEST_F(CallControl, MaintenanceTakesNothingNewAndKeepsWhatThereIs) {
  const Sent answer = Answer(Invite(""));
  Config config = TimerConfig();
  config.is_draining = true;
  engine.Apply(config);
  EXPECT_TRUE(Invite("", "v=0\r\n", "new").text.empty());
  EXPECT_EQ(alice.Take().Status(), 503);
  EXPECT_EQ(alice.Register(3600, 2).Status(), 503);
  EXPECT_EQ(alice.Register(0, 3).Status(), 200);
  Phone::Spec options{.method = "OPTIONS", .uri = "sip:example.com"};
  alice.Send(options);
  EXPECT_EQ(alice.Take().Status(), 503);
  alice.Send(InDialog("INFO", answer, 2));
  EXPECT_EQ(bob.Take().Method(), "INFO");
  alice.Send(InDialog("BYE", answer, 3));
  bob.Respond(bob.Take(), 200);
  EXPECT_EQ(engine.call_count(), 0u);
  engine.Apply(TimerConfig());
  EXPECT_EQ(alice.Register(3600, 4).Status(), 200);
}

TEST_F(FewCalls, EmergencyCallsAreTakenWhateverIsFull) {
  Config config = TimerConfig();
  config.AddEmergency("112");
  config.is_draining = true;
  Phone centre(world, "112", "192.0.2.112:5060");
  ASSERT_EQ(centre.Register().Status(), 200);
  Answer(Invite("", "v=0\r\n", "one"));
  Answer(Invite("", "v=0\r\n", "two"));
  engine.Apply(config);
  engine.bandwidth().Begin({});
  engine.bandwidth().SetNode(0, {.total_kbps = 0});
  Phone::Spec spec{.method = "INVITE", .uri = "sip:112@example.com", .call_id = "help"};
  alice.Send(spec);
  const Sent invite = centre.Take();
  ASSERT_EQ(invite.Method(), "INVITE");
  centre.Respond(invite, 200);
  EXPECT_EQ(alice.Take().Status(), 100);
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_TRUE(Invite("", "v=0\r\n", "three").text.empty());
}

// --- Bandwidth -----------------------------------------------------------------------------------

const char* const kOffer =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nb=AS:1000\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0\r\nb=TIAS:64000\r\nm=video 4002 RTP/AVP 96\r\nb=AS:900\r\n";

class BandwidthOfCalls : public CallControl {
 protected:
  dialplan::Bandwidth& bandwidth = engine.bandwidth();
  void Limit(uint32_t total, uint32_t intra, bool slow = true) {
    bandwidth.Begin({.default_kbps = 384, .downspeed_per_call = slow, .downspeed_total = slow});
    bandwidth.SetNode(0, {.total_kbps = total, .per_call_intra_kbps = intra});
  }
  void TearDown() override {
    CallControl::TearDown();
    EXPECT_EQ(bandwidth.used_kbps(0), 0u);
    EXPECT_EQ(bandwidth.call_count(0), 0u);
  }
};

TEST_F(BandwidthOfCalls, CallIsSlowedDownToWhatOneMayTake) {
  Limit(dialplan::kUnlimited, 500);
  const Sent invite = Invite("", kOffer);
  EXPECT_NE(invite.Body().find("b=AS:500\r\n"), std::string::npos);
  EXPECT_NE(invite.Body().find("b=TIAS:32000\r\n"), std::string::npos);
  EXPECT_NE(invite.Body().find("b=AS:450\r\n"), std::string::npos);
  EXPECT_EQ(invite.Header("Content-Length"), std::to_string(invite.Body().size()));
  const Sent answer = Answer(invite, {}, kOffer);
  EXPECT_NE(answer.Body().find("b=AS:500\r\n"), std::string::npos);
  EXPECT_EQ(OnlyCall().kbps, 500u);
  EXPECT_EQ(bandwidth.used_kbps(0), 500u);
  ASSERT_TRUE(engine.Disconnect(OnlyCall().id).ok());
  EXPECT_EQ(bandwidth.used_kbps(0), 0u);
}

TEST_F(BandwidthOfCalls, TotalIsSharedAndTheLastIsRefused) {
  Limit(1000, dialplan::kUnlimited, false);
  Answer(Invite("", "v=0\r\n", "one"));  // says nothing: 384
  Answer(Invite("", "v=0\r\n", "two"));
  EXPECT_EQ(bandwidth.used_kbps(0), 768u);
  EXPECT_TRUE(Invite("", "v=0\r\n", "three").text.empty());
  Sent refused = alice.Take();
  while (refused.Status() == 100) {
    refused = alice.Take();
  }
  EXPECT_EQ(refused.Status(), 488);
  EXPECT_EQ(refused.Header("Warning"), "370 192.0.2.1:5060 \"Insufficient bandwidth\"");
  EXPECT_TRUE(world.HasEvent("bandwidth 384 0"));
  EXPECT_EQ(bandwidth.used_kbps(0), 768u);
}

TEST_F(BandwidthOfCalls, RefusedAndCancelledCallsHoldNothing) {
  Limit(1000, dialplan::kUnlimited);
  const Sent invite = Invite("", "v=0\r\n", "one");
  EXPECT_EQ(bandwidth.used_kbps(0), 384u);
  bob.Respond(invite, 486);
  EXPECT_EQ(bandwidth.used_kbps(0), 0u);
}

TEST_F(BandwidthOfCalls, ReInviteThatWantsMoreGetsWhatThereIs) {
  Limit(600, dialplan::kUnlimited);
  const Sent answer = Answer(Invite(""));
  EXPECT_EQ(OnlyCall().kbps, 384u);
  Phone::Spec again = InDialog("INVITE", answer, 2);
  again.headers += "Content-Type: application/sdp\n";
  again.body = kOffer;
  alice.Send(again);
  EXPECT_NE(bob.Take().Body().find("b=AS:600\r\n"), std::string::npos);
  EXPECT_EQ(OnlyCall().kbps, 600u);
}

}  // namespace
}  // namespace gh::sip::test
