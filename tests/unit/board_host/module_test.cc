// What the appliance and the process of a PKCS #11 module say to each other: everything arrives
// that fits, nothing that does not, and an answer may be any bytes.
#include "board/host/module_wire.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace gh::board {
namespace {

namespace p11 = crypto::pkcs11;
using p11::Attribute;

TEST(ModuleWire, ACallArrivesWhole) {
  const std::vector<uint8_t> vector(16, 1), label(7, 2), input(100, 3);
  const Attribute first[] = {Attribute::Flag(p11::kToken, true),
                             Attribute::Bytes(p11::kLabel, label)};
  const Attribute second[] = {Attribute::Number(p11::kModulusBits, 3072)};
  p11::Call call;
  call.function = p11::Function::kDecryptInit;
  call.numbers = {5, 6, 7};
  call.mechanism = {.type = p11::kAesCbcPad, .kind = p11::Mechanism::Kind::kBytes, .bytes = vector};
  call.first = first;
  call.second = second;
  call.input = input;
  auto out = std::make_unique<WireCall>();
  ASSERT_TRUE(PackCall(call, *out));
  EXPECT_EQ(out->function, p11::Function::kDecryptInit);
  EXPECT_EQ(out->numbers[2], 7u);
  EXPECT_EQ(out->first_count, 2u);
  EXPECT_EQ(out->second_count, 1u);
  EXPECT_EQ(out->attributes[1].size, 7u);
  EXPECT_EQ(out->attributes[2].number, 3072u);
  EXPECT_EQ(out->mechanism_size, 16u);
  EXPECT_EQ(out->input_size, 100u);
  std::vector<uint8_t> blob(vector);
  blob.insert(blob.end(), label.begin(), label.end());
  blob.insert(blob.end(), input.begin(), input.end());
  EXPECT_TRUE(std::equal(blob.begin(), blob.end(), out->blob));
  call.mechanism = p11::kOaepBySha1;
  ASSERT_TRUE(PackCall(call, *out));
  EXPECT_EQ(out->hash, p11::kSha1);
  EXPECT_EQ(out->mgf, 1u);
}

TEST(ModuleWire, TheBlobHoldsAtItsEdge) {
  const std::vector<uint8_t> label(48, 2), input(kModuleBlobMax - 47, 3);
  const Attribute first[] = {Attribute::Bytes(p11::kLabel, label)};
  p11::Call call;
  call.first = first;
  auto out = std::make_unique<WireCall>();
  call.input = std::span(input).first(kModuleBlobMax - 48);
  EXPECT_TRUE(PackCall(call, *out));
  EXPECT_EQ(out->blob[kModuleBlobMax - 1], 3);
  call.input = input;
  EXPECT_FALSE(PackCall(call, *out));
}

TEST(ModuleWire, AnAnswersSizesHoldAtTheirEdges) {
  auto answer = std::make_unique<WireAnswer>();
  auto call = std::make_unique<p11::Call>();
  call->function = p11::Function::kFindObjects;
  const auto taken = [&] { return UnpackAnswer(*answer, *call).ok(); };
  answer->handle_count = p11::kHandlesMax;
  answer->output_size = p11::kOutputMax;
  answer->found_count = p11::kAttributesMax;
  EXPECT_TRUE(taken());
  for (uint32_t* size : {&answer->handle_count, &answer->output_size, &answer->found_count}) {
    ++*size;
    EXPECT_FALSE(taken());
    --*size;
  }
  // What was found lies in the output, one after the other, and not behind it.
  answer->output_size = 10;
  answer->found[0].size = 4;
  answer->found[p11::kAttributesMax - 1].size = 6;
  ASSERT_TRUE(taken());
  EXPECT_EQ(call->found[0].bytes.data(), call->output.data());
  EXPECT_EQ(call->found[p11::kAttributesMax - 1].bytes.data(), call->output.data() + 4);
  answer->found[p11::kAttributesMax - 1].size = 7;
  EXPECT_FALSE(taken());
  answer->found[p11::kAttributesMax - 1].size = UINT32_MAX;
  EXPECT_FALSE(taken());
  // A function that makes something says what; one that is asked for values has as many.
  *answer = {};
  call->function = p11::Function::kOpenSession;
  EXPECT_FALSE(taken());
  answer->value = 5;  // unless it fails
  EXPECT_TRUE(taken());
  const Attribute wanted[] = {Attribute::Number(p11::kModulusBits, 0)};
  call->function = p11::Function::kGetAttributeValue;
  call->first = wanted;
  answer->value = p11::kOk;
  EXPECT_FALSE(taken());
  answer->found_count = 1;
  EXPECT_TRUE(taken());
}

TEST(ModuleWire, AnAnswerMayBeAnyBytes) {
  std::minstd_rand engine(7);
  const auto random = [&] { return static_cast<uint32_t>(engine()) >> 4; };
  auto answer = std::make_unique<WireAnswer>();
  auto call = std::make_unique<p11::Call>();
  auto* bytes = reinterpret_cast<uint8_t*>(answer.get());
  for (int round = 0; round < 2000; ++round) {
    std::generate_n(bytes, sizeof(WireAnswer), [&] { return static_cast<uint8_t>(random()); });
    // Sizes near what they may be, or nothing would get past the first look.
    answer->handle_count = random() % (p11::kHandlesMax + 2);
    answer->output_size = random() % (p11::kOutputMax + 2);
    answer->found_count = random() % (p11::kAttributesMax + 2);
    for (WireFound& found : answer->found) {
      found.size = random() % 64;
    }
    call->function = static_cast<p11::Function>(random() % 70);
    if (UnpackAnswer(*answer, *call).ok()) {
      for (const auto& found : std::span(call->found).first(call->found_count)) {
        EXPECT_LE(found.bytes.data() + found.bytes.size(), call->output.data() + call->output_size);
      }
    }
  }
}

}  // namespace
}  // namespace gh::board
