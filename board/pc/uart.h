// The 16550 at COM1: 115200 8N1, FIFOs on.
//
// Before Attach() output is synchronous (boot messages). After it, the interrupt handler moves
// bytes between the FIFOs and two rings, so that neither the loop's turns nor a slow terminal lose
// or delay anything: Write() takes what fits and returns. The crash path goes back to synchronous
// output. A port that is not there (all ones) swallows output after a bounded wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "board/pc/limits.h"
#include "hal/serial_port.h"

namespace gh::pc {

class Uart final : public hal::SerialPort {
 public:
  constexpr Uart() = default;
  Uart(const Uart&) = delete;
  Uart& operator=(const Uart&) = delete;

  void Initialise();
  // From here on interrupts drive the port; the caller has routed them to OnInterrupt().
  void Attach();
  // Without an interrupt: Poll() moves what there is, a FIFO at a time.
  void AttachPolled();
  void Poll();
  // Back to synchronous output, for the crash path; what the ring still holds is sent first.
  void Detach();
  // Interrupt context.
  void OnInterrupt();

  void WriteBlocking(std::string_view text);

  uint32_t Read(std::span<uint8_t> out) override;
  uint32_t Write(std::span<const uint8_t> data) override;
  const char* name() const override { return "COM1"; }
  bool present() const { return present_; }
  bool has_input() const { return rx_head_.load() != rx_tail_.load(); }
  // Everything written has gone to the port's FIFO.
  bool drained() const { return tx_head_.load() == tx_tail_.load(); }
  uint64_t rx_overrun_count() const { return rx_overrun_count_; }

 private:
  // Bytes between head (consumer) and tail (producer); one side is the interrupt handler.
  using Ring = uint8_t[kUartRingSize];
  static_assert((kUartRingSize & (kUartRingSize - 1)) == 0);

  bool WaitTransmitter();
  void FillFifo();
  void DrainFifo();

  bool present_ = false;
  bool attached_ = false;
  bool polled_ = false;
  uint32_t fifo_size_ = 16;
  std::atomic<uint32_t> rx_head_ = 0;
  std::atomic<uint32_t> rx_tail_ = 0;
  std::atomic<uint32_t> tx_head_ = 0;
  std::atomic<uint32_t> tx_tail_ = 0;
  uint64_t rx_overrun_count_ = 0;
  Ring rx_ring_ = {};
  Ring tx_ring_ = {};
};

// The one console of this machine; the crash path needs it wherever it comes from.
extern Uart console_uart;

}  // namespace gh::pc
