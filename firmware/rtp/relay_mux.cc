// The relay between the two sides of a traversal zone: streams on one shared port.
#include "firmware/rtp/relay.h"

#include <cstring>

namespace gh::rtp {
namespace {

constexpr std::string_view kClientName = "core";

uint32_t OwnerIn(const turn::TransactionId& id) {
  return static_cast<uint32_t>(id[0]) << 24 | static_cast<uint32_t>(id[1]) << 16 |
         static_cast<uint32_t>(id[2]) << 8 | id[3];
}

void DrawTransaction(crypto::Random& random, uint32_t owner, turn::TransactionId& out) {
  random.Fill(out);
  for (uint32_t i = 0; i < 4; ++i) {
    out[i] = static_cast<uint8_t>(owner >> (24 - 8 * i));
  }
}

}  // namespace

// --- What is held -------------------------------------------------------------------------------

Mux* Relay::ServeMux(Stream& stream, uint32_t end) {
  End& own = stream.ends[end];
  if (own.mux != nullptr) {
    return own.mux->is_server ? own.mux : nullptr;
  }
  Mux* mux = muxes_.Allocate();
  if (mux == nullptr) {
    return nullptr;
  }
  mux->relay = this;
  mux->owner = OwnerOf(stream, end);
  const auto channel = channels_->Take(now(), mux->owner);
  if (!channel.ok()) {
    muxes_.Release(mux);
    return nullptr;
  }
  mux->is_server = true;
  mux->channel = *channel;
  mux->credentials.Draw(random_);
  own.mux = mux;
  return mux;
}

void Relay::JoinMux(Stream& stream, uint32_t end, const MuxOffer& offer,
                    const net::IpAddress& server) {
  End& own = stream.ends[end];
  const MuxKey key{{server, offer.port}, offer.channel};
  if (own.mux != nullptr) {
    if (!own.mux->is_server && MuxTraits::KeyOf(*own.mux) == key &&
        own.mux->credentials.password.view() == offer.password) {
      return;  // said again
    }
    DropMux(own);
  }
  Mux* mux = muxes_.Allocate();
  if (mux == nullptr) {
    ++counters_.refused_capacity;
    return;
  }
  mux->relay = this;
  mux->owner = OwnerOf(stream, end);
  mux->channel = offer.channel;
  mux->peer = key.remote;
  mux->credentials.user.Assign(offer.user);
  mux->credentials.password.Assign(offer.password);
  mux->timer.Bind<&Mux::OnTimer>(mux);
  if (mux_table_.Insert(*mux) != HashInsert::kInserted) {
    muxes_.Release(mux);
    return;
  }
  own.mux = mux;
  own.seen = {};
  AskMux(*mux);
}

void Relay::DropMux(End& end) {
  Mux* mux = end.mux;
  if (mux == nullptr) {
    return;
  }
  if (mux->is_server) {
    channels_->Give(now(), mux->channel);
  } else {
    timers_.Cancel(mux->timer);
    mux_table_.Remove(*mux);
  }
  muxes_.Release(mux);
  end.mux = nullptr;
  end.seen = {};
}

// --- The client asks, and so keeps the way open -------------------------------------------------

void Mux::OnTimer() { relay->AskMux(*this); }

void Relay::AskMux(Mux& mux) {
  const Stream& stream = *streams_.At(mux.owner / 2);
  if (++mux.unanswered == kMuxUnansweredMax) {
    observer_.OnMuxLost(*stream.session, mux.peer);
  }
  DrawTransaction(random_, mux.owner, mux.transaction);
  uint8_t bytes[kIceAnswerMax];
  turn::Builder request(bytes, turn::Class::kRequest, turn::Method::kBinding, mux.transaction);
  FixedString<kIceUserSize + 1 + 8> name(mux.credentials.user.view());
  name.Append(':');
  name.Append(kClientName);
  request.Text(turn::kUserName, name.view());
  request.U32(turn::kChannelNumber, static_cast<uint32_t>(mux.channel) << 16);
  request.Sign(turn::Integrity::kSha1, AsBytes(mux.credentials.password.view()));
  request.Fingerprint();
  const net::Endpoint from{stream.session->sides[mux.owner % 2].local, config_.mux_port};
  relay_.Send(from, mux.peer, request.Finish(), false).ignore("it is asked again");
  timers_.Arm(mux.timer, mux.unanswered <= kMuxUnansweredMax ? kMuxRetry : kMuxPeriod);
}

void Relay::OnMuxAnswer(const net::Endpoint& remote, std::span<const uint8_t> data,
                        const turn::Message& answer) {
  const uint32_t owner = OwnerIn(answer.transaction());
  Stream* stream = owner / 2 < streams_.capacity() ? streams_.At(owner / 2) : nullptr;
  Mux* mux = stream != nullptr ? stream->ends[owner % 2].mux : nullptr;
  if (mux == nullptr || mux->is_server || !(mux->peer == remote) ||
      mux->transaction != answer.transaction() || data.empty() ||
      !answer.IsAuthentic(AsBytes(mux->credentials.password.view()))) {
    ++counters_.dropped_source;
    return;
  }
  mux->unanswered = 0;
  timers_.Arm(mux->timer, kMuxPeriod);
  if (!mux->is_bound) {
    mux->is_bound = true;
    ++counters_.latched;
    stream->ends[owner % 2].seen[Path::kRtpTag] = remote;
    UpdateFlows(*stream);
  }
}

// --- The server answers -------------------------------------------------------------------------

End* Relay::ServedBy(uint16_t channel, Stream*& stream) {
  const uint32_t owner = channels_->OwnerOf(channel);
  stream = owner != turn::RelayPorts::kNobody ? streams_.At(owner / 2) : nullptr;
  End* end = stream != nullptr ? &stream->ends[owner % 2] : nullptr;
  return end != nullptr && end->mux != nullptr && end->mux->is_server ? end : nullptr;
}

void Relay::OnMuxRequest(const net::Endpoint& local, const net::Endpoint& remote,
                         std::span<const uint8_t> data, const turn::Message& request) {
  const auto word = request.U32(turn::kChannelNumber);
  Stream* stream = nullptr;
  End* end = word.ok() ? ServedBy(static_cast<uint16_t>(*word >> 16), stream) : nullptr;
  uint8_t out[kIceAnswerMax];
  const IceCheck check =
      end != nullptr ? AnswerCheck(end->mux->credentials, data, remote, out) : IceCheck{};
  if (check.kind == IceCheck::Kind::kIgnored) {
    ++counters_.dropped_source;
    return;
  }
  relay_.Send(local, remote, check.answer, false).ignore("it is asked again");
  if (check.kind != IceCheck::Kind::kGood) {
    ++counters_.checks_refused;
    return;
  }
  ++counters_.checks;
  if (!(end->seen[Path::kRtpTag] == remote)) {
    ++counters_.latched;
    end->seen[Path::kRtpTag] = remote;
    if (end->now.uses_mux) {  // else with the answer
      UpdateFlows(*stream);
    }
  }
}

// --- Datagrams ----------------------------------------------------------------------------------

void Relay::OnMuxDatagram(const net::Endpoint& local, const net::Endpoint& remote,
                          std::span<const uint8_t> data) {
  if (!data.empty() && IsStun(data[0])) {
    const auto message = turn::Message::Parse(data);
    if (message.ok() && message->cls() == turn::Class::kRequest) {
      OnMuxRequest(local, remote, data, *message);
    } else if (message.ok() && message->cls() == turn::Class::kSuccess) {
      OnMuxAnswer(remote, data, *message);
    }
    return;
  }
  const auto frame = turn::ParseChannelData(data);
  if (!frame.ok() || frame->data.empty() || frame->data.size() > kPacketMax) {
    ++counters_.dropped_other;
    return;
  }
  Stream* stream = nullptr;
  const End* served = ServedBy(frame->number, stream);
  uint32_t owner = 0;
  if (served != nullptr && served->seen[Path::kRtpTag] == remote) {
    owner = served->mux->owner;
  } else if (const Mux* mux = mux_table_.Find({remote, frame->number});
             mux != nullptr && mux->is_bound) {
    owner = mux->owner;
  } else {
    ++counters_.dropped_source;
    return;
  }
  stream = streams_.At(owner / 2);
  if (!(stream->session->sides[owner % 2].local == local.address)) {
    ++counters_.dropped_source;
    return;
  }
  Pass(*stream, owner % 2, Path::kRtpTag, remote, frame->data);
}

}  // namespace gh::rtp
