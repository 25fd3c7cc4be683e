// The media core: the media plane on a processor of its own.
//
// It owns the Ethernet ports and a share of the frames. A frame of a flow is relayed here and never
// seen by the control plane; every other one is handed over by a ring, and what the control plane
// sends comes by another. To the control plane the machine has the same ports as ever: RemotePort.
// Flows are put in, taken out and given their next hops by commands, answered by notes.
//
// All that both planes touch: single-producer rings, counters with one writer, words of WakeFlag
// (the board's) and of FastPath. No lock; neither waits for the other. Fault model: the control
// plane may be away for as long as it likes: its rings fill, what does not fit is dropped and
// counted, flows go on with the next hops they have. A frame is always owned by one side.
#pragma once

#include <array>
#include <atomic>
#include <span>

#include "firmware/media/fast_path.h"
#include "firmware/media/limits.h"
#include "hal/machine.h"
#include "hal/rt/counter.h"
#include "hal/rt/spsc_ring.h"
#include "net/capture.h"

namespace gh::media {

struct FlowCommand {
  enum class Kind : uint8_t { kInstall, kUninstall, kNextHop, kNoNextHop };
  Flow* flow = nullptr;
  Kind kind = Kind::kInstall;
  net::NextHop hop;
};

struct FlowNote {
  enum class Kind : uint8_t { kAskNextHop, kUninstalled };
  Flow* flow = nullptr;
  Kind kind = Kind::kAskNextHop;
};

// A frame that was relayed, for a packet capture.
struct MirroredFrame {
  hal::Frame* frame = nullptr;
  uint8_t port_index = 0;
  net::CaptureDirection direction = net::CaptureDirection::kReceived;
};

struct CoreParts {
  Arena& arena;
  hal::Clock& clock;
  hal::FramePool& frames;  // of the control plane; the core takes half of those that are free
  std::array<hal::EthernetPort*, hal::kEthernetPortMax>& ports;  // become the remote ones
  hal::MediaProcessor& processor;
};

class MediaCore;

// A port as the control plane sees it.
class RemotePort final : public hal::EthernetPort {
 public:
  RemotePort(MediaCore& core, hal::EthernetPort& device, Arena& arena, uint32_t ring_capacity);

  uint32_t Receive(std::span<hal::Frame*> out) override;
  void Transmit(std::span<hal::Frame* const> frames) override;
  void Flush() override;
  hal::MacAddress mac() const override { return mac_; }
  uint16_t mtu() const override { return mtu_; }
  bool link_up() const override { return link_up_.load(std::memory_order_relaxed); }
  bool can_fill_checksum() const override { return fills_checksum_; }
  hal::EthernetCounters counters() const override;
  const char* driver() const override { return driver_; }
  void SetFrames(hal::FramePool&) override { GH_UNREACHABLE(); }

 private:
  friend class MediaCore;
  void Publish();  // the media core's

  MediaCore& core_;
  hal::EthernetPort& device_;
  const hal::MacAddress mac_;
  const uint16_t mtu_;
  const bool fills_checksum_;
  const char* const driver_;
  SpscRing<hal::Frame*> received_;
  SpscRing<hal::Frame*> to_send_;
  std::atomic<bool> link_up_ = false;
  std::array<Counter, 6> published_;  // in the order of EthernetCounters
  Counter not_taken_;                 // received, but the control plane's ring was full
  // The control plane's.
  uint64_t not_sent_ = 0;
  bool has_pushed_ = false;
  // The media core's: this turn's.
  uint32_t tx_count_ = 0;
  std::array<hal::Frame*, hal::kFrameBatchMax> tx_ = {};
};

class MediaCore final : public hal::ProcessorBody, FastExit {
 public:
  explicit MediaCore(const CoreParts& parts);
  MediaCore(const MediaCore&) = delete;
  MediaCore& operator=(const MediaCore&) = delete;

  // --- The control plane's ---
  void Attach(FastPath& fast);  // before Start
  Result<void> Start();
  bool is_running() const { return is_running_; }
  // False: no room now.
  bool Tell(const FlowCommand& command);
  uint32_t TakeNotes(std::span<FlowNote> out) { return notes_.PopBatch(out); }
  // While on, relayed frames are copied for TakeMirrored(), as far as there is room.
  void SetMirroring(bool on) { is_mirroring_.store(on, std::memory_order_relaxed); }
  uint32_t TakeMirrored(std::span<MirroredFrame> out) { return mirrored_.PopBatch(out); }

  // When it last turned; a core that hangs is found by this.
  Instant turned_at() const { return {turned_at_.load(std::memory_order_relaxed)}; }
  uint64_t turn_count() const { return turn_count_; }
  uint64_t busy_ns() const { return busy_ns_; }
  uint64_t frames_to_control() const { return to_control_count_; }
  uint32_t frame_count() const { return frames_.frame_count(); }
  uint64_t free_frame_count() const { return free_frame_count_; }
  const char* processor_name() const { return processor_.name(); }

  // --- The media processor's ---
  Instant RunOnce() override;

 private:
  friend class RemotePort;

  // FastExit.
  void Transmit(uint8_t port_index, hal::Frame* frame) override;
  void Release(hal::Frame* frame) override { frames_.Release(frame); }
  void AskNextHop(Flow& flow) override;

  bool TakeCommands(Instant now);
  bool ReceiveFrom(RemotePort& port, Instant now);
  bool SendFor(RemotePort& port);
  void Steer(hal::Frame* frame, RemotePort& port, Instant now);
  void SendQueued(RemotePort& port);
  hal::Frame* Copy(const hal::Frame& frame);
  void Mirror(hal::Frame* copy, uint8_t port_index, net::CaptureDirection direction);
  // Frames back to the pool that has too few; each side calls its own.
  bool BalanceMedia();
  void BalanceControl();

  Arena& arena_;
  hal::Clock& clock_;
  hal::FramePool& control_frames_;
  hal::MediaProcessor& processor_;
  hal::FramePool frames_;
  std::array<RemotePort*, hal::kEthernetPortMax> ports_ = {};
  FastPath* fast_ = nullptr;
  SpscRing<hal::Frame*> frames_to_media_;
  SpscRing<hal::Frame*> frames_to_control_;
  SpscRing<FlowCommand> commands_;
  SpscRing<FlowNote> notes_;
  SpscRing<MirroredFrame> mirrored_;
  bool is_running_ = false;
  bool has_news_ = false;  // the control plane is to be woken at the end of the turn
  std::atomic<bool> is_mirroring_ = false;
  std::atomic<int64_t> turned_at_ = 0;
  Counter turn_count_;
  Counter busy_ns_;
  Counter to_control_count_;
  Counter free_frame_count_;  // a level
};

}  // namespace gh::media
