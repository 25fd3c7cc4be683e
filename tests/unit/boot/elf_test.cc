// The ELF loader: places and relocates, and refuses what it cannot do safely.
#include "boot/elf.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>

#include "tests/unit/boot/elf_sample.h"

namespace gh::boot {
namespace {

using test::SampleElf;

uint64_t Word(const std::vector<uint8_t>& memory, size_t at) {
  return ByteReader(std::span(memory).subspan(at, 8)).U64Le();
}

// "loaded", or why not.
std::string Load(const std::vector<uint8_t>& file, std::vector<uint8_t>* out = nullptr) {
  const auto plan = PlanElf(file);
  if (!plan.ok()) {
    return plan.error().what;
  }
  std::vector<uint8_t> memory(plan->memory_size, 0xcc);
  const auto loaded = LoadElf(*plan, file, memory, 0x7000000);
  if (out != nullptr) {
    *out = memory;
  }
  return loaded.ok() ? "loaded" : loaded.error().what;
}

std::string LoadChanged(const std::function<void(SampleElf&)>& change) {
  SampleElf elf;
  change(elf);
  return Load(elf.Encode());
}

TEST(Elf, PlacesSegmentsZeroesTheRestAndRelocates) {
  const auto file = SampleElf().Encode();
  const auto plan = PlanElf(file);
  ASSERT_TRUE(plan.ok()) << plan.error().what;
  EXPECT_EQ(plan->segment_count, 2u);
  EXPECT_EQ(plan->memory_size, 0x5000u);
  EXPECT_EQ(plan->entry, 0x200u);
  std::vector<uint8_t> memory;
  ASSERT_EQ(Load(file, &memory), "loaded");
  EXPECT_TRUE(std::equal(file.begin(), file.begin() + 0x500, memory.begin()));
  EXPECT_EQ(Word(memory, 0x2000), 0x7000200u);
  EXPECT_EQ(Word(memory, 0x2010), 0x7004fffu);
  EXPECT_EQ(Word(memory, 0x2008), Word(file, 0x508));  // between the relocations: as in the file
  EXPECT_EQ(Word(memory, 0x2018), Word(file, 0x518));
  for (size_t i = 0x500; i < memory.size(); ++i) {
    if (i < 0x2000 || i >= 0x2020) {
      ASSERT_EQ(memory[i], 0) << i;
    }
  }
}

TEST(Elf, RelocationsAtTheEdgeOfASegment) {
  EXPECT_EQ(LoadChanged([](SampleElf& elf) { elf.relocations[0].where = 0x4ff8; }), "loaded");
  const char* outside = "ELF: relocation points outside the image";
  for (const uint64_t where : {uint64_t{0x4ff9}, uint64_t{0x5000}, uint64_t{0x1000},
                               uint64_t{0x1ffc}, UINT64_MAX, UINT64_MAX - 7, uint64_t{1} << 63}) {
    EXPECT_EQ(LoadChanged([&](SampleElf& elf) { elf.relocations[0].where = where; }), outside)
        << where;
  }
  EXPECT_EQ(LoadChanged([](SampleElf& elf) { elf.relocations[1].info = 6; }),
            "ELF: relocation is not relative");
  EXPECT_EQ(LoadChanged([](SampleElf& elf) { elf.relocations[1].info = 1ull << 32 | 8; }),
            "ELF: relocation is not relative");
  EXPECT_EQ(LoadChanged([](SampleElf& elf) { elf.relocations[1].info = 0; }), "loaded");
}

TEST(Elf, HostileHeaders) {
  const struct {
    std::function<void(SampleElf&)> change;
    const char* reason;
  } cases[] = {
      {[](SampleElf& e) { e.type = 2; }, "ELF: not a position-independent x86-64 image"},
      {[](SampleElf& e) { e.machine = 183; }, "ELF: not a position-independent x86-64 image"},
      {[](SampleElf& e) { e.table_offset = 0x520; }, "ELF: program headers are out of range"},
      {[](SampleElf& e) { e.table_offset = UINT64_MAX; }, "ELF: program headers are out of range"},
      {[](SampleElf& e) { e.table_offset = UINT64_MAX - 55; },
       "ELF: program headers are out of range"},
      {[](SampleElf& e) { e.entry_size = 55; }, "ELF: program headers are out of range"},
      {[](SampleElf& e) { e.headers.clear(); }, "ELF: program headers are out of range"},
      {[](SampleElf& e) { e.entry = 0x500; }, "ELF: entry point is not in its code"},
      {[](SampleElf& e) { e.entry = 0x2000; }, "ELF: entry point is not in its code"},
      {[](SampleElf& e) { e.entry = UINT64_MAX; }, "ELF: entry point is not in its code"},
      {[](SampleElf& e) { e.headers[0].offset = 0x21; }, "ELF: a segment lies outside the file"},
      {[](SampleElf& e) { e.headers[0].offset = UINT64_MAX; },
       "ELF: a segment lies outside the file"},
      {[](SampleElf& e) { e.headers[0].file_size = 0x521; },
       "ELF: a segment lies outside the file"},
      {[](SampleElf& e) { e.headers[0].file_size = UINT64_MAX; },
       "ELF: a segment lies outside the file"},
      {[](SampleElf& e) { e.headers[1].memory_size = 0x1f; },
       "ELF: a segment lies outside the file"},
      {[](SampleElf& e) { e.headers[1].memory_size = UINT64_MAX; },
       "ELF: a segment lies outside the image's memory"},
      {[](SampleElf& e) { e.headers[1].memory_size = kElfMemorySizeMax + 1; },
       "ELF: a segment lies outside the image's memory"},
      {[](SampleElf& e) { e.headers[1].address = kElfMemorySizeMax - 0x2fff; },
       "ELF: a segment lies outside the image's memory"},
      {[](SampleElf& e) { e.headers[1].address = UINT64_MAX - 5; },
       "ELF: a segment lies outside the image's memory"},
      {[](SampleElf& e) { e.headers[1].address = 0x4ff; },
       "ELF: segments overlap or are out of order"},
      {[](SampleElf& e) { e.headers[1].alignment = 0x2000; },
       "ELF: a segment wants more than page alignment"},
      {[](SampleElf& e) { e.headers[2].offset = 0x4c1; },
       "ELF: dynamic section lies outside the file"},
      {[](SampleElf& e) { e.headers[2].file_size = 0x40; }, "ELF: dynamic section has no end"},
      {[](SampleElf& e) { e.headers[2].file_size = 0; }, "ELF: dynamic section has no end"},
      {[](SampleElf& e) { e.headers[2].type = 3; },
       "ELF: wants an interpreter or thread-local data"},
      {[](SampleElf& e) { e.headers[2].type = 7; },
       "ELF: wants an interpreter or thread-local data"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(LoadChanged(c.change), c.reason);
  }
  // Code in a segment that takes no memory is no code.
  EXPECT_EQ(LoadChanged([](SampleElf& e) {
              e.headers.push_back({1, 5, 0, 0x9000, 0x100, 0});
              e.entry = 0x9010;
            }),
            "ELF: entry point is not in its code");
  EXPECT_EQ(LoadChanged([](SampleElf& e) {
              e.headers.clear();
              for (uint64_t i = 0; i <= kElfSegmentMax; ++i) {
                e.headers.push_back({1, 5, 0, i * 0x1000, 0x10, 0x10});
              }
              e.table_offset = 64;
            }).substr(0, 4),
            "ELF:");
}

TEST(Elf, HostileDynamicSections) {
  const auto with = [](const std::vector<std::pair<uint64_t, uint64_t>>& dynamic) {
    return LoadChanged([&](SampleElf& elf) { elf.dynamic = dynamic; });
  };
  EXPECT_EQ(with({{7, 0x300}, {8, 47}, {9, 24}, {0, 0}}), "ELF: relocation table has a wrong size");
  EXPECT_EQ(with({{7, 0x300}, {8, 48}, {9, 16}, {0, 0}}), "ELF: relocation table has a wrong size");
  const char* outside = "ELF: relocation table lies outside the image";
  EXPECT_EQ(with({{7, 0x4e0}, {8, 48}, {0, 0}}), outside);
  EXPECT_EQ(with({{7, UINT64_MAX}, {8, 48}, {0, 0}}), outside);
  EXPECT_EQ(with({{7, 0x300}, {8, UINT64_MAX / 24 * 24}, {0, 0}}), outside);
  EXPECT_EQ(with({{8, 48}, {0, 0}}), "ELF: relocation is not relative");  // table at address 0
  EXPECT_EQ(with({{1, 5}, {0, 0}}), "ELF: needs a library or a foreign relocation");
  EXPECT_EQ(with({{17, 5}, {0, 0}}), "ELF: needs a library or a foreign relocation");
  EXPECT_EQ(with({{35, 8}, {0, 0}}), "ELF: has relocations of another kind");
  EXPECT_EQ(with({{2, 24}, {0, 0}}), "ELF: has relocations of another kind");
  EXPECT_EQ(with({{0, 0}}), "loaded");
  EXPECT_EQ(with({{7, UINT64_MAX}, {0, 0}}), "loaded");  // a table of no size, nowhere
}

TEST(Elf, EveryTruncationIsHandled) {
  const auto file = SampleElf().Encode();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_NE(Load({file.begin(), file.begin() + static_cast<ptrdiff_t>(size)}), "loaded") << size;
  }
}

// Under the sanitizers: no mutation of the headers makes the loader touch memory that is not its
// own.
TEST(Elf, RandomMutationsStayInBounds) {
  std::mt19937 random(20261121);
  const auto file = SampleElf().Encode();
  uint32_t loaded = 0;
  for (int round = 0; round < 20000; ++round) {
    auto mutated = file;
    for (uint32_t i = 0; i <= random() % 4; ++i) {
      mutated[random() % 0x500] = static_cast<uint8_t>(random());
    }
    const auto plan = PlanElf(mutated);
    if (!plan.ok() || plan->memory_size > 1 << 20) {
      continue;
    }
    std::vector<uint8_t> memory(plan->memory_size);
    loaded += LoadElf(*plan, mutated, memory, 0x1000).ok() ? 1 : 0;
  }
  EXPECT_GT(loaded, 1000u);  // the test reaches the far end, too
}

}  // namespace
}  // namespace gh::boot
