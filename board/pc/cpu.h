// Privileged instructions of x86-64, one small function each.
#pragma once

#include <cstdint>

namespace gh::pc {

inline void Out8(uint16_t port, uint8_t value) {
  asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
inline void Out16(uint16_t port, uint16_t value) {
  asm volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
inline void Out32(uint16_t port, uint32_t value) {
  asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
inline uint8_t In8(uint16_t port) {
  uint8_t value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline uint16_t In16(uint16_t port) {
  uint16_t value;
  asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline uint32_t In32(uint16_t port) {
  uint32_t value;
  asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline void InBytes(uint16_t port, uint8_t* out, uint64_t count) {
  asm volatile("rep insb" : "+D"(out), "+c"(count) : "d"(port) : "memory");
}

inline uint64_t ReadMsr(uint32_t msr) {
  uint32_t low;
  uint32_t high;
  asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
  return static_cast<uint64_t>(high) << 32 | low;
}
inline void WriteMsr(uint32_t msr, uint64_t value) {
  asm volatile("wrmsr"
               :
               : "c"(msr), "a"(static_cast<uint32_t>(value)),
                 "d"(static_cast<uint32_t>(value >> 32))
               : "memory");
}

struct CpuidResult {
  uint32_t eax, ebx, ecx, edx;
};
inline CpuidResult Cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  CpuidResult r;
  asm volatile("cpuid"
               : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
               : "a"(leaf), "c"(subleaf));
  return r;
}

inline uint64_t ReadTsc() {
  uint32_t low;
  uint32_t high;
  asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return static_cast<uint64_t>(high) << 32 | low;
}

inline uint64_t ReadCr0() {
  uint64_t v;
  asm volatile("mov %%cr0, %0" : "=r"(v));
  return v;
}
inline uint64_t ReadCr2() {
  uint64_t v;
  asm volatile("mov %%cr2, %0" : "=r"(v));
  return v;
}
inline uint64_t ReadCr3() {
  uint64_t v;
  asm volatile("mov %%cr3, %0" : "=r"(v));
  return v;
}
inline uint64_t ReadCr4() {
  uint64_t v;
  asm volatile("mov %%cr4, %0" : "=r"(v));
  return v;
}
inline void WriteCr0(uint64_t v) { asm volatile("mov %0, %%cr0" : : "r"(v) : "memory"); }
inline void WriteCr3(uint64_t v) { asm volatile("mov %0, %%cr3" : : "r"(v) : "memory"); }
inline void WriteCr4(uint64_t v) { asm volatile("mov %0, %%cr4" : : "r"(v) : "memory"); }
inline void WriteXcr0(uint64_t v) {
  asm volatile("xsetbv"
               :
               : "c"(0), "a"(static_cast<uint32_t>(v)), "d"(static_cast<uint32_t>(v >> 32))
               : "memory");
}
inline uint64_t ReadXcr0() {
  uint32_t low;
  uint32_t high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}
inline void InvalidatePage(uint64_t address) {
  asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}

inline void DisableInterrupts() { asm volatile("cli" : : : "memory"); }
inline void EnableInterrupts() { asm volatile("sti" : : : "memory"); }
// Interrupts off; says whether they were on, for RestoreInterrupts().
inline bool DisableInterruptsSaving() {
  uint64_t flags;
  asm volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");
  return (flags & 0x200) != 0;
}
inline void RestoreInterrupts(bool on) {
  if (on) {
    EnableInterrupts();
  }
}
// An interrupt that is pending when `sti` runs is taken after `hlt` began, so it ends the halt: no
// wake-up is lost. Interrupts are on afterwards.
inline void EnableInterruptsAndHalt() { asm volatile("sti; hlt" : : : "memory"); }
[[noreturn]] inline void HaltForever() {
  for (;;) {
    asm volatile("cli; hlt" : : : "memory");
  }
}
inline void Pause() { asm volatile("pause" : : : "memory"); }
// Orders everything before it against everything after it, devices included.
inline void FullBarrier() { asm volatile("mfence" : : : "memory"); }
// x86 keeps stores in order and loads in order: the compiler is all there is to hold back.
inline void CompilerBarrier() { asm volatile("" : : : "memory"); }

// One try; false when the generator has nothing now.
inline bool ReadRdseed(uint64_t& value) {
  bool ok;
  asm volatile("rdseed %0" : "=r"(value), "=@ccc"(ok));
  return ok;
}
inline bool ReadRdrand(uint64_t& value) {
  bool ok;
  asm volatile("rdrand %0" : "=r"(value), "=@ccc"(ok));
  return ok;
}

}  // namespace gh::pc
