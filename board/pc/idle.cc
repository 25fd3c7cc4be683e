#include "board/pc/idle.h"

#include <algorithm>
#include <atomic>

#include "board/pc/apic.h"
#include "board/pc/cpu.h"
#include "board/pc/crash.h"
#include "board/pc/interrupts.h"

namespace gh::pc {
namespace {

// Shared with the timer interrupt, in units of TSC.
constinit std::atomic<uint64_t> pet_limit_ticks = 0;
constinit std::atomic<uint64_t> petted = 0;
constinit std::atomic<bool> is_halted = false;
constinit std::atomic<bool> is_spent = false;  // the one-shot fired while the loop slept
constinit std::atomic<uint64_t> wake_ticks = 0;

}  // namespace

void PcIdle::Add(InterruptSource& source) {
  GH_ASSERT_LT(source_count_, kSourceMax);
  sources_[source_count_++] = &source;
}

void PcIdle::Remove(InterruptSource& source) {
  const auto end = sources_.begin() + source_count_;
  const auto found = std::find(sources_.begin(), end, &source);
  GH_ASSERT(found != end);
  std::copy(found + 1, end, found);
  --source_count_;
}

void PcIdle::Start(Duration wake_max) {
  wake_ticks = clock_.TscAt(Instant{} + wake_max);
  petted = ReadTsc();
  SetTimerHook(OnTimer);
  LocalApic::ArmTimer(ReadTsc() + wake_ticks);
  EnableInterrupts();
}

void PcIdle::NotePet() { petted = ReadTsc(); }

void PcIdle::SetPetLimit(Duration limit) {
  petted = ReadTsc();
  pet_limit_ticks = limit.ns <= 0 ? 0 : clock_.TscAt(Instant{} + limit);
}

// Interrupt context. While the loop sleeps there is nothing to do: it arms the timer itself.
void PcIdle::OnTimer(const TrapFrame& frame) {
  if (is_halted) {
    is_spent = true;
    return;
  }
  const uint64_t now = ReadTsc();
  const uint64_t limit = pet_limit_ticks;
  if (limit != 0 && now - petted > limit) {
    CrashOnHang(frame);
  }
  LocalApic::ArmTimer(now + wake_ticks);
}

void PcIdle::WaitUntil(Instant deadline) {
  const uint64_t now = ReadTsc();
  const uint64_t limit = pet_limit_ticks;
  if (limit != 0 && now - petted > limit) {
    CrashOnNeglect();
  }
  const uint64_t deadline_tsc = clock_.TscAt(deadline);
  if (deadline_tsc <= now) {
    return;
  }
  bool has_work = false;
  for (uint32_t i = 0; i < source_count_; ++i) {
    has_work = sources_[i]->ArmInterrupt() || has_work;
  }
  if (has_work) {
    return;
  }
  DisableInterrupts();
  // What an interrupt handler itself brings in (serial input) is looked at with interrupts off.
  for (uint32_t i = 0; i < source_count_; ++i) {
    has_work = sources_[i]->ArmInterrupt() || has_work;
  }
  if (!flag_.BeginSleep() || has_work) {
    EnableInterrupts();
    flag_.EndSleep();
    return;
  }
  is_halted = true;
  is_spent = false;
  LocalApic::ArmTimer(std::min(deadline_tsc, now + wake_ticks));
  ++halt_count_;
  EnableInterruptsAndHalt();
  is_halted = false;
  flag_.EndSleep();
  // Keep the hang check's clock running. By the flag, not by the time: it may fire a tick early.
  if (is_spent) {
    LocalApic::ArmTimer(ReadTsc() + wake_ticks);
  }
}

}  // namespace gh::pc
