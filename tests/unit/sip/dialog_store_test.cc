// Texts of dialogs in shared chunks, against a model that keeps each whole.
#include "firmware/sip/dialog_store.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

namespace gh::sip {
namespace {

using R = DialogRecord;

constexpr uint32_t kDialogs = 50;
constexpr size_t kSureBytes = kDialogChunksOwn * kDialogChunkBytes;

R RecordOf(const std::array<std::string, R::kPartCount>& parts) {
  R record;
  for (size_t i = 0; i < parts.size(); ++i) {
    EXPECT_TRUE(record.Set(static_cast<R::Part>(i), parts[i]));
  }
  return record;
}

R OfSize(size_t size, char letter = 'a') { return RecordOf({std::string(size, letter)}); }

// What text of that size takes from what all share.
uint32_t SharedBy(size_t size) {
  const size_t chunks = (size + kDialogChunkBytes - 1) / kDialogChunkBytes;
  return chunks > kDialogChunksOwn ? static_cast<uint32_t>(chunks) - kDialogChunksOwn : 0;
}

class DialogStoreTest : public ::testing::Test {
 protected:
  std::vector<uint8_t> memory = std::vector<uint8_t>(64 * 1024);
  Arena arena{memory};
  DialogStore store{arena, kDialogs};
  std::array<KeptDialog, kDialogs> kept;

  std::string TextOf(uint32_t i, R::Part part = R::kCallId) {
    R record;
    store.Read(kept[i], record);
    return std::string(record.Get(part));
  }
};

TEST_F(DialogStoreTest, EachIsSureOfItsOwnWhenOthersHaveTheRest) {
  constexpr uint32_t kShared = kDialogs * (kDialogChunksEach - kDialogChunksOwn);
  const uint32_t longest = kShared / SharedBy(kDialogRecordBytes);
  uint32_t i = 0;
  for (; i < longest; ++i) {
    ASSERT_TRUE(store.Keep(kept[i], OfSize(kDialogRecordBytes)));
  }
  EXPECT_FALSE(store.Keep(kept[i], OfSize(kDialogRecordBytes)));
  const uint32_t left = kShared % SharedBy(kDialogRecordBytes);
  const size_t fits = kSureBytes + left * kDialogChunkBytes;
  EXPECT_FALSE(store.Keep(kept[i], OfSize(fits + 1)));
  EXPECT_TRUE(store.Keep(kept[i], OfSize(fits)));
  for (++i; i < kDialogs; ++i) {
    EXPECT_FALSE(store.Keep(kept[i], OfSize(kSureBytes + 1)));
    ASSERT_TRUE(store.Keep(kept[i], OfSize(kSureBytes, 'b')));
    EXPECT_FALSE(store.Keep(kept[i], OfSize(kSureBytes + 1)));
    EXPECT_EQ(TextOf(i), std::string(kSureBytes, 'b'));
  }
  EXPECT_EQ(store.used_count(), store.capacity());
  // One that ends makes room for another.
  store.Release(kept[0]);
  EXPECT_TRUE(store.Keep(kept[kDialogs - 1], OfSize(kDialogRecordBytes, 'c')));
  EXPECT_EQ(TextOf(kDialogs - 1), std::string(kDialogRecordBytes, 'c'));
  EXPECT_EQ(TextOf(1), std::string(kDialogRecordBytes, 'a'));
}

TEST_F(DialogStoreTest, SizesAtTheEdgesOfChunks) {
  for (const size_t size : {size_t{0}, size_t{1}, kDialogChunkBytes - 1, kDialogChunkBytes,
                            kDialogChunkBytes + 1, kSureBytes, kDialogRecordBytes}) {
    ASSERT_TRUE(store.Keep(kept[0], OfSize(size)));
    EXPECT_EQ(TextOf(0), std::string(size, 'a'));
    EXPECT_EQ(store.used_count(), (size + kDialogChunkBytes - 1) / kDialogChunkBytes);
  }
  store.Release(kept[0]);
  EXPECT_EQ(store.used_count(), 0u);
  EXPECT_EQ(TextOf(0), "");
}

TEST_F(DialogStoreTest, TheFirstPartsAreReadWithoutTheRest) {
  ASSERT_TRUE(store.Keep(kept[0], RecordOf({"id", "alice", "bob", "at", "bt", "ar", "br"})));
  R record;
  store.Read(kept[0], record, R::kCallee);
  EXPECT_EQ(record.Get(R::kCallId), "id");
  EXPECT_EQ(record.Get(R::kCallee), "bob");
  EXPECT_EQ(record.Get(R::kCallerContact), "");
  EXPECT_EQ(record.Get(R::kCalleeRoutes), "");
  EXPECT_EQ(record.size(), 10u);
  EXPECT_EQ(TextOf(0, R::kCalleeRoutes), "br");
}

TEST_F(DialogStoreTest, AHundredThousandChangesLeaveEachAsItIs) {
  std::mt19937 random(7);
  std::array<std::array<std::string, R::kPartCount>, kDialogs> model;
  std::array<size_t, kDialogs> sizes = {};
  uint32_t shared = kDialogs * (kDialogChunksEach - kDialogChunksOwn);
  uint32_t refused = 0;
  for (int step = 0; step < 100'000; ++step) {
    const uint32_t i = random() % kDialogs;
    if (random() % 10 == 0) {
      shared += SharedBy(sizes[i]);
      sizes[i] = 0;
      model[i] = {};
      store.Release(kept[i]);
    } else {
      std::array<std::string, R::kPartCount> parts;
      size_t size = 0;
      for (std::string& part : parts) {
        part.assign(random() % (kDialogRecordBytes / R::kPartCount),
                    static_cast<char>('a' + random() % 26));
        size += part.size();
      }
      const bool fits = SharedBy(size) <= SharedBy(sizes[i]) + shared;
      ASSERT_EQ(store.Keep(kept[i], RecordOf(parts)), fits);
      refused += fits ? 0 : 1;
      if (fits) {
        shared = shared + SharedBy(sizes[i]) - SharedBy(size);
        sizes[i] = size;
        model[i] = parts;
      }
    }
    const uint32_t other = random() % kDialogs;
    R record;
    store.Read(kept[other], record);
    for (size_t part = 0; part < R::kPartCount; ++part) {
      ASSERT_EQ(record.Get(static_cast<R::Part>(part)), model[other][part]);
    }
  }
  EXPECT_GT(refused, 100u);
  for (KeptDialog& each : kept) {
    store.Release(each);
  }
  EXPECT_EQ(store.used_count(), 0u);
}

}  // namespace
}  // namespace gh::sip
