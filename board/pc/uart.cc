#include "board/pc/uart.h"

#include "board/pc/cpu.h"
#include "board/pc/print.h"

namespace gh::pc {
namespace {

constexpr uint16_t kPort = 0x3f8;
constexpr uint16_t kData = kPort + 0;               // RBR, THR; DLL
constexpr uint16_t kInterruptEnable = kPort + 1;    // IER; DLM
constexpr uint16_t kInterruptIdentity = kPort + 2;  // IIR; FCR
constexpr uint16_t kLineControl = kPort + 3;
constexpr uint16_t kModemControl = kPort + 4;
constexpr uint16_t kLineStatus = kPort + 5;
constexpr uint16_t kScratch = kPort + 7;

constexpr uint8_t kLineDataReady = 1 << 0;
constexpr uint8_t kLineTransmitterEmpty = 1 << 5;
constexpr uint8_t kIdentityNone = 1 << 0;
constexpr uint8_t kEnableReceive = 1 << 0;
constexpr uint8_t kEnableTransmit = 1 << 1;
// One byte at 115200 baud takes 87 us; a port read takes about 1 us on hardware, more in a guest.
constexpr uint32_t kTransmitSpins = 20'000;
constexpr uint32_t kInterruptRoundMax = 64;

}  // namespace

constinit Uart console_uart;

void PrintText(std::string_view text) { console_uart.WriteBlocking(text); }

void PrintLines(std::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    PrintText(text.substr(0, end));
    PrintText("\r\n");
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
  }
}

void Uart::Initialise() {
  Out8(kInterruptEnable, 0);
  Out8(kLineControl, 0x80);  // divisor latch
  Out8(kData, 1);            // 115200
  Out8(kInterruptEnable, 0);
  Out8(kLineControl, 0x03);        // 8N1
  Out8(kInterruptIdentity, 0xc7);  // FIFOs on and cleared, receive threshold 14 (with timeout)
  Out8(kModemControl, 0x0b);       // DTR, RTS, OUT2 (interrupt gate)
  Out8(kScratch, 0x5a);
  present_ = In8(kScratch) == 0x5a;
}

void Uart::Attach() {
  if (!present_) {
    return;
  }
  attached_ = true;
  Out8(kInterruptEnable, kEnableReceive);
}

void Uart::AttachPolled() {
  attached_ = present_;
  polled_ = present_;
}

void Uart::Poll() {
  if (!polled_ || !attached_) {
    return;
  }
  DrainFifo();
  if ((In8(kLineStatus) & kLineTransmitterEmpty) != 0) {
    FillFifo();
  }
}

void Uart::Detach() {
  if (!attached_) {
    return;
  }
  attached_ = false;
  Out8(kInterruptEnable, 0);
  uint32_t head = tx_head_.load();
  while (head != tx_tail_.load() && WaitTransmitter()) {
    Out8(kData, tx_ring_[head % kUartRingSize]);
    ++head;
  }
  tx_head_.store(head);
}

bool Uart::WaitTransmitter() {
  for (uint32_t i = 0; i < kTransmitSpins; ++i) {
    if ((In8(kLineStatus) & kLineTransmitterEmpty) != 0) {
      return true;
    }
  }
  return false;
}

void Uart::WriteBlocking(std::string_view text) {
  if (!present_) {
    return;
  }
  if (attached_) {
    // Boot messages after Attach() go in order behind what the ring holds.
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
    (void)Write({bytes, text.size()});
    return;
  }
  for (char c : text) {
    if (!WaitTransmitter()) {
      return;
    }
    Out8(kData, static_cast<uint8_t>(c));
  }
}

void Uart::FillFifo() {
  uint32_t head = tx_head_.load(std::memory_order_relaxed);
  const uint32_t tail = tx_tail_.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < fifo_size_ && head != tail; ++i, ++head) {
    Out8(kData, tx_ring_[head % kUartRingSize]);
  }
  tx_head_.store(head, std::memory_order_release);
  if (!polled_) {
    Out8(kInterruptEnable,
         head == tail ? kEnableReceive : static_cast<uint8_t>(kEnableReceive | kEnableTransmit));
  }
}

void Uart::DrainFifo() {
  uint32_t tail = rx_tail_.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < kInterruptRoundMax && (In8(kLineStatus) & kLineDataReady) != 0; ++i) {
    const uint8_t byte = In8(kData);
    if (tail - rx_head_.load(std::memory_order_acquire) == kUartRingSize) {
      ++rx_overrun_count_;
      continue;
    }
    rx_ring_[tail % kUartRingSize] = byte;
    ++tail;
  }
  rx_tail_.store(tail, std::memory_order_release);
}

void Uart::OnInterrupt() {
  // The line is edge-triggered: leave only when the port says that nothing is pending.
  for (uint32_t i = 0; i < kInterruptRoundMax; ++i) {
    if ((In8(kInterruptIdentity) & kIdentityNone) != 0) {
      return;
    }
    const uint8_t status = In8(kLineStatus);
    if ((status & kLineDataReady) != 0) {
      DrainFifo();
    }
    if ((status & kLineTransmitterEmpty) != 0) {
      FillFifo();
    }
  }
}

uint32_t Uart::Read(std::span<uint8_t> out) {
  uint32_t head = rx_head_.load(std::memory_order_relaxed);
  const uint32_t tail = rx_tail_.load(std::memory_order_acquire);
  uint32_t count = 0;
  for (; count < out.size() && head != tail; ++count, ++head) {
    out[count] = rx_ring_[head % kUartRingSize];
  }
  rx_head_.store(head, std::memory_order_release);
  return count;
}

uint32_t Uart::Write(std::span<const uint8_t> data) {
  if (!present_) {
    return static_cast<uint32_t>(data.size());
  }
  uint32_t tail = tx_tail_.load(std::memory_order_relaxed);
  const uint32_t head = tx_head_.load(std::memory_order_acquire);
  uint32_t count = 0;
  for (; count < data.size() && tail - head < kUartRingSize; ++count, ++tail) {
    tx_ring_[tail % kUartRingSize] = data[count];
  }
  tx_tail_.store(tail, std::memory_order_release);
  if (count != 0 && attached_ && !polled_) {
    // Enabling the transmit interrupt raises it at once when the FIFO is empty.
    const bool on = DisableInterruptsSaving();
    Out8(kInterruptEnable, kEnableReceive | kEnableTransmit);
    RestoreInterrupts(on);
  }
  return count;
}

}  // namespace gh::pc
