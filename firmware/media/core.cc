#include "firmware/media/core.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace gh::media {
namespace {

uint32_t RingFor(uint32_t frame_count) {
  return std::clamp(std::bit_floor(frame_count / kPortRingShare), kPortRingMin, kPortRingMax);
}

}  // namespace

// --- A port as the control plane sees it --------------------------------------------------------

RemotePort::RemotePort(MediaCore& core, hal::EthernetPort& device, Arena& arena,
                       uint32_t ring_capacity)
    : core_(core),
      device_(device),
      mac_(device.mac()),
      mtu_(device.mtu()),
      fills_checksum_(device.can_fill_checksum()),
      driver_(device.driver()),
      received_(arena, ring_capacity),
      to_send_(arena, ring_capacity) {}

uint32_t RemotePort::Receive(std::span<hal::Frame*> out) {
  core_.BalanceControl();
  return received_.PopBatch(out);
}

void RemotePort::Transmit(std::span<hal::Frame* const> frames) {
  const uint32_t count = to_send_.PushBatch(frames);
  has_pushed_ = has_pushed_ || count != 0;
  for (hal::Frame* frame : frames.subspan(count)) {
    ++not_sent_;
    core_.control_frames_.Release(frame);
  }
}

void RemotePort::Flush() {
  if (has_pushed_) {
    has_pushed_ = false;
    core_.processor_.WakeMedia();
  }
}

hal::EthernetCounters RemotePort::counters() const {
  return {.rx_frames = published_[0],
          .rx_bytes = published_[1],
          .rx_dropped = published_[2] + not_taken_,
          .tx_frames = published_[3],
          .tx_bytes = published_[4],
          .tx_dropped = published_[5] + not_sent_};
}

void RemotePort::Publish() {
  const hal::EthernetCounters now = device_.counters();
  const uint64_t values[] = {now.rx_frames, now.rx_bytes, now.rx_dropped,
                             now.tx_frames, now.tx_bytes, now.tx_dropped};
  for (size_t i = 0; i < published_.size(); ++i) {
    published_[i] += values[i] - published_[i];
  }
  link_up_.store(device_.link_up(), std::memory_order_relaxed);
}

// --- Putting together ---------------------------------------------------------------------------

MediaCore::MediaCore(const CoreParts& parts)
    : arena_(parts.arena),
      clock_(parts.clock),
      control_frames_(parts.frames),
      processor_(parts.processor),
      frames_(parts.frames, parts.frames.free_count() / 2),
      frames_to_media_(parts.arena, std::bit_ceil(frames_.machine_count())),
      frames_to_control_(parts.arena, std::bit_ceil(frames_.machine_count())),
      commands_(parts.arena, kFlowCommands),
      notes_(parts.arena, kFlowNotes),
      mirrored_(parts.arena, kMirroredFrames) {
  const uint32_t ring = RingFor(frames_.frame_count());
  for (uint32_t i = 0; i < parts.ports.size(); ++i) {
    if (parts.ports[i] != nullptr) {
      ports_[i] = arena_.New<RemotePort>(*this, *parts.ports[i], arena_, ring);
      parts.ports[i]->SetFrames(frames_);
      parts.ports[i] = ports_[i];
    }
  }
}

void MediaCore::Attach(FastPath& fast) {
  GH_ASSERT(!is_running_);
  fast_ = &fast;
  fast.SetExit(*this);
}

Result<void> MediaCore::Start() {
  GH_ASSERT(!is_running_);
  for (RemotePort* port : ports_) {
    if (port != nullptr) {
      port->Publish();
    }
  }
  turned_at_.store(clock_.Now().ns, std::memory_order_relaxed);
  is_running_ = true;  // whatever comes of it: the ports are the core's
  return processor_.Start(*this);
}

// --- The control plane's ------------------------------------------------------------------------

bool MediaCore::Tell(const FlowCommand& command) {
  if (!commands_.Push(command)) {
    return false;
  }
  processor_.WakeMedia();
  return true;
}

void MediaCore::BalanceControl() {
  std::array<hal::Frame*, hal::kFrameBatchMax> batch;
  uint32_t count = frames_to_control_.PopBatch(batch);
  for (hal::Frame* frame : std::span(batch).first(count)) {
    control_frames_.Release(frame);
  }
  count = control_frames_.TakeSurplus(batch, kFrameSlack);
  if (count != 0) {
    const uint32_t pushed = frames_to_media_.PushBatch(std::span(batch).first(count));
    GH_ASSERT_EQ(pushed, count);  // it holds all there are
    processor_.WakeMedia();
  }
}

// --- The media processor's ----------------------------------------------------------------------

Instant MediaCore::RunOnce() {
  const Instant now = clock_.Now();
  turned_at_.store(now.ns, std::memory_order_relaxed);
  ++turn_count_;
  bool more = BalanceMedia();
  more = TakeCommands(now) || more;
  for (RemotePort* port : ports_) {
    more = (port != nullptr && ReceiveFrom(*port, now)) || more;
  }
  for (RemotePort* port : ports_) {
    more = (port != nullptr && SendFor(*port)) || more;
  }
  for (RemotePort* port : ports_) {
    if (port != nullptr) {
      SendQueued(*port);
      port->device_.Flush();
      port->Publish();
    }
  }
  if (has_news_) {
    has_news_ = false;
    processor_.WakeControl();
  }
  free_frame_count_ += frames_.held_count() - free_frame_count_;
  if (!more) {
    return now + kCoreBeat;
  }
  const Instant ended = clock_.Now();
  busy_ns_ += static_cast<uint64_t>((ended - now).ns);
  if (fast_ != nullptr) {
    fast_->EndTurn(now, ended);
  }
  return now;
}

bool MediaCore::BalanceMedia() {
  std::array<hal::Frame*, hal::kFrameBatchMax> batch;
  const uint32_t taken = frames_to_media_.PopBatch(batch);
  for (hal::Frame* frame : std::span(batch).first(taken)) {
    frames_.Release(frame);
  }
  const uint32_t count = frames_.TakeSurplus(batch, kFrameSlack);
  if (count != 0) {
    const uint32_t pushed = frames_to_control_.PushBatch(std::span(batch).first(count));
    GH_ASSERT_EQ(pushed, count);
  }
  return taken != 0 || count != 0;
}

bool MediaCore::TakeCommands(Instant now) {
  std::array<FlowCommand, kFlowCommandBatch> batch;
  // One that must be answered is taken when there is room for the answer.
  const uint32_t room = std::min(kFlowCommandBatch, notes_.capacity() - notes_.size());
  const uint32_t count = commands_.PopBatch(std::span(batch).first(room));
  for (const FlowCommand& command : std::span(batch).first(count)) {
    switch (command.kind) {
      case FlowCommand::Kind::kInstall:
        // With a key that is there already the engine relays.
        (void)fast_->Install(*command.flow);
        break;
      case FlowCommand::Kind::kUninstall: {
        fast_->Uninstall(*command.flow);
        const bool told = notes_.Push({command.flow, FlowNote::Kind::kUninstalled});
        GH_ASSERT(told);
        has_news_ = true;
        break;
      }
      case FlowCommand::Kind::kNextHop:
        fast_->SetNextHop(*command.flow, &command.hop, now);
        break;
      case FlowCommand::Kind::kNoNextHop:
        fast_->SetNextHop(*command.flow, nullptr, now);
        break;
    }
  }
  return count != 0;
}

bool MediaCore::ReceiveFrom(RemotePort& port, Instant now) {
  std::array<hal::Frame*, kCoreReceiveBatch> batch;
  const uint32_t count = port.device_.Receive(batch);
  for (uint32_t i = 0; i < count; ++i) {
    if (i + 1 < count) {
      __builtin_prefetch(batch[i + 1]->data());
    }
    Steer(batch[i], port, now);
  }
  return count != 0;
}

void MediaCore::Steer(hal::Frame* frame, RemotePort& port, Instant now) {
  net::PacketView view;
  if (fast_ != nullptr && net::ParsePacket(frame->bytes(), view).ok()) {
    hal::Frame* copy = is_mirroring_.load(std::memory_order_relaxed) ? Copy(*frame) : nullptr;
    const uint8_t port_index = frame->port_index;
    const bool is_taken = fast_->OnFrame(frame, view, now);
    if (copy != nullptr && is_taken) {
      Mirror(copy, port_index, net::CaptureDirection::kReceived);
    } else if (copy != nullptr) {
      frames_.Release(copy);
    }
    if (is_taken) {
      return;
    }
  }
  if (!port.received_.Push(frame)) {
    ++port.not_taken_;
    frames_.Release(frame);
    return;
  }
  ++to_control_count_;
  has_news_ = true;
}

bool MediaCore::SendFor(RemotePort& port) {
  std::array<hal::Frame*, hal::kFrameBatchMax> batch;
  const uint32_t count = port.to_send_.PopBatch(batch);
  if (count != 0) {
    port.device_.Transmit(std::span(batch).first(count));
  }
  return count != 0;
}

void MediaCore::Transmit(uint8_t port_index, hal::Frame* frame) {
  RemotePort& port = *ports_[port_index];
  if (is_mirroring_.load(std::memory_order_relaxed)) {
    if (hal::Frame* copy = Copy(*frame); copy != nullptr) {
      Mirror(copy, port_index, net::CaptureDirection::kSent);
    }
  }
  if (port.tx_count_ == port.tx_.size()) {
    SendQueued(port);
  }
  port.tx_[port.tx_count_++] = frame;
}

void MediaCore::SendQueued(RemotePort& port) {
  if (port.tx_count_ != 0) {
    port.device_.Transmit(std::span(port.tx_).first(port.tx_count_));
    port.tx_count_ = 0;
  }
}

void MediaCore::AskNextHop(Flow& flow) {
  flow.is_asked = notes_.Push({&flow, FlowNote::Kind::kAskNextHop});
  has_news_ = true;
}

hal::Frame* MediaCore::Copy(const hal::Frame& frame) {
  // Only while there are plenty: relaying comes first.
  hal::Frame* copy =
      frames_.free_count() * 2 > frames_.frame_count() ? frames_.Allocate() : nullptr;
  if (copy != nullptr) {
    std::memcpy(copy->data(), frame.data(), frame.size);
    copy->size = frame.size;
  }
  return copy;
}

void MediaCore::Mirror(hal::Frame* copy, uint8_t port_index, net::CaptureDirection direction) {
  if (!mirrored_.Push({copy, port_index, direction})) {
    frames_.Release(copy);
    return;
  }
  has_news_ = true;
}

}  // namespace gh::media
