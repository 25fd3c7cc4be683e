#include "board/pc/virtio_console.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/bytes.h"

namespace gh::pc {
namespace {

constexpr uint64_t kFeatureMultiport = 1ull << 1;
constexpr uint32_t kConfigPortMax = 4;

constexpr uint16_t kDeviceReady = 0;
constexpr uint16_t kPortAdd = 1;
constexpr uint16_t kPortRemove = 2;
constexpr uint16_t kPortReady = 3;
constexpr uint16_t kPortOpen = 6;
constexpr uint16_t kEventPortName = 7;
constexpr uint32_t kControlHeaderSize = 8;
constexpr uint32_t kControlCount = 32;

// Port 0 has queues 0 and 1, control 2 and 3, port n 2n+2 and 2n+3.
constexpr uint16_t ReceiveQueueOf(uint32_t port) {
  return static_cast<uint16_t>(port == 0 ? 0 : 2 * port + 2);
}
constexpr uint16_t kControlReceiveQueue = 2;
constexpr uint16_t kControlTransmitQueue = 3;

}  // namespace

Result<void> VirtioConsole::Initialise(Arena& arena, PageTables& pages, const Pci& pci,
                                       const PciDevice& device, uint8_t vector) {
  GH_TRY(transport_.Initialise(pages, pci, device, kFeatureMultiport, vector, vector));
  if (!transport_.has(kFeatureMultiport)) {
    transport_.Reset();
    return Error(ErrorCode::kUnsupported, "virtio console without named ports");
  }
  const uint32_t port_count = std::min(transport_.Config32(kConfigPortMax), kSerialPortMax);
  GH_TRY(transport_.InitialiseQueue(arena, kControlReceiveQueue, kControlCount, control_receive_));
  GH_TRY(
      transport_.InitialiseQueue(arena, kControlTransmitQueue, kControlCount, control_transmit_));
  for (uint32_t port = 0; port < port_count; ++port) {
    GH_TRY(InitialisePort(arena, port));
  }
  control_in_ = arena.NewArray<uint8_t>(kControlSize * control_receive_.size());
  control_out_ = arena.NewArray<uint8_t>(kControlHeaderSize * control_transmit_.size());
  receive_bytes_ = arena.NewArray<uint8_t>(kBufferSize * kBufferCount);
  transmit_bytes_ = arena.NewArray<uint8_t>(kBufferSize * kBufferCount);
  transport_.Start();
  FillControl();
  SendControl(0, kDeviceReady, 1);
  return Ok();
}

Result<void> VirtioConsole::InitialisePort(Arena& arena, uint32_t port) {
  const uint16_t queue = ReceiveQueueOf(port);
  if (queue + 1 >= transport_.queue_count()) {
    return Ok();
  }
  Port& p = ports_[port];
  GH_TRY(transport_.InitialiseQueue(arena, queue, kBufferCount, p.receive));
  GH_TRY(transport_.InitialiseQueue(arena, static_cast<uint16_t>(queue + 1), kBufferCount,
                                    p.transmit));
  p.is_set_up = true;
  return Ok();
}

void VirtioConsole::FillControl() {
  uint16_t head = 0;
  // Heads of one-descriptor chains are 0 to size - 1, each at most once in flight.
  while (control_receive_.free_count() != 0) {
    const uint16_t next = control_receive_.next_head();
    const VirtqueueBuffer buffer = {control_in_.data() + next * kControlSize, kControlSize, true};
    if (!control_receive_.Add({&buffer, 1}, head)) {
      break;
    }
    GH_ASSERT_EQ(head, next);
  }
  control_receive_.Publish();
}

void VirtioConsole::SendControl(uint32_t port, uint16_t event, uint16_t value) {
  VirtqueueUsed used;
  while (control_transmit_.Take(used)) {
  }
  if (control_transmit_.free_count() == 0) {
    return;  // the host has stopped listening; it cannot have asked for this
  }
  uint8_t* bytes = control_out_.data() + control_transmit_.next_head() * kControlHeaderSize;
  ByteWriter writer({bytes, kControlHeaderSize});
  writer.U32Le(port);
  writer.U16Le(event);
  writer.U16Le(value);
  const VirtqueueBuffer buffer = {bytes, kControlHeaderSize, false};
  uint16_t head = 0;
  if (control_transmit_.Add({&buffer, 1}, head)) {
    control_transmit_.Publish();
  }
}

void VirtioConsole::Service() {
  VirtqueueUsed used;
  bool has_taken = false;
  while (control_receive_.Take(used)) {
    OnControl({control_in_.data() + used.head * kControlSize, used.written});
    has_taken = true;
  }
  if (has_taken) {
    FillControl();
  }
}

void VirtioConsole::OnControl(std::span<const uint8_t> message) {
  ByteReader reader(message);
  const uint32_t port = reader.U32Le();
  const uint16_t event = reader.U16Le();
  const uint16_t value = reader.U16Le();
  if (!reader.ok() || port >= kSerialPortMax || !ports_[port].is_set_up) {
    return;
  }
  switch (event) {
    case kPortAdd:
      SendControl(port, kPortReady, 1);
      break;
    case kPortRemove:
      if (port == port_) {
        host_open_ = false;
        port_ = kNoPort;
      }
      break;
    case kEventPortName: {
      std::string_view name = AsText(reader.Rest());
      name = name.substr(0, name.find('\0'));
      if (name == VirtioConsole::kPortName && port_ == kNoPort) {
        port_ = port;
        SendControl(port, kPortOpen, 1);
        FillReceive();
      }
      break;
    }
    case kPortOpen:
      if (port == port_) {
        host_open_ = value != 0;
        DropReceived();
      }
      break;
    default:
      break;  // console sizes and what later versions add
  }
}

void VirtioConsole::FillReceive() {
  Virtqueue& queue = ports_[port_].receive;
  uint16_t head = 0;
  while (queue.free_count() != 0) {
    const uint16_t next = queue.next_head();
    if (next == current_head_) {
      break;  // still being read
    }
    const VirtqueueBuffer buffer = {receive_bytes_.data() + next * kBufferSize, kBufferSize, true};
    if (!queue.Add({&buffer, 1}, head)) {
      break;
    }
  }
  queue.Publish();
}

void VirtioConsole::DropReceived() {
  current_head_ = UINT32_MAX;
  VirtqueueUsed used;
  while (ports_[port_].receive.Take(used)) {
  }
  FillReceive();
}

uint32_t VirtioConsole::Read(std::span<uint8_t> out) {
  Service();
  if (!has_port()) {
    return 0;
  }
  uint32_t count = 0;
  while (count < out.size()) {
    if (current_head_ == UINT32_MAX) {
      VirtqueueUsed used;
      if (!ports_[port_].receive.Take(used)) {
        break;
      }
      current_head_ = used.head;
      current_size_ = used.written;
      current_at_ = 0;
    }
    const auto take =
        static_cast<uint32_t>(std::min<size_t>(current_size_ - current_at_, out.size() - count));
    const uint8_t* from = receive_bytes_.data() + current_head_ * kBufferSize + current_at_;
    std::memcpy(out.data() + count, from, take);
    count += take;
    current_at_ += take;
    if (current_at_ == current_size_) {
      current_head_ = UINT32_MAX;
      FillReceive();
    }
  }
  return count;
}

uint32_t VirtioConsole::Write(std::span<const uint8_t> data) {
  Service();
  if (!has_port() || !host_open_) {
    return 0;
  }
  Virtqueue& queue = ports_[port_].transmit;
  VirtqueueUsed used;
  while (queue.Take(used)) {
  }
  uint32_t count = 0;
  while (count < data.size() && queue.free_count() != 0) {
    const auto size = static_cast<uint32_t>(std::min<size_t>(kBufferSize, data.size() - count));
    uint8_t* bytes = transmit_bytes_.data() + queue.next_head() * kBufferSize;
    std::memcpy(bytes, data.data() + count, size);
    const VirtqueueBuffer buffer = {bytes, size, false};
    uint16_t head = 0;
    if (!queue.Add({&buffer, 1}, head)) {
      break;
    }
    count += size;
  }
  queue.Publish();
  return count;
}

bool VirtioConsole::ArmInterrupt() {
  Service();
  bool has_work = control_receive_.ArmInterrupt();
  if (has_port()) {
    has_work = ports_[port_].receive.ArmInterrupt() || has_work;
  }
  return has_work;
}

}  // namespace gh::pc
