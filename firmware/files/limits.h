// The limits of the files room.
#pragma once

#include <cstdint>

namespace gh::files {

// A block is sealed as one: nonce, tag, what it holds. Chunks of blocks are given to files.
inline constexpr uint32_t kBlockBytes = 16 * 1024;
inline constexpr uint32_t kPayloadBytes = kBlockBytes - 24 - 16;
inline constexpr uint32_t kChunkBlocks = 4;
inline constexpr uint32_t kChunkBytes = kChunkBlocks * kBlockBytes;
inline constexpr uint32_t kFileMax = 512;
inline constexpr uint64_t kFileBytesMax = 16u << 20;
inline constexpr uint32_t kFileBlocksMax =
    static_cast<uint32_t>((kFileBytesMax + kPayloadBytes - 1) / kPayloadBytes) + 1;
inline constexpr uint32_t kFileChunksMax = (kFileBlocksMax + kChunkBlocks - 1) / kChunkBlocks;
inline constexpr uint32_t kChunkMax = 8192;  // of the area: what is beyond is not used
inline constexpr uint32_t kTransferMax = 16;
inline constexpr int64_t kPollMilliseconds = 1;
inline constexpr int64_t kRetryMilliseconds = 200;  // of what must be erased

inline constexpr uint32_t kOwnerMax = 127;
inline constexpr uint32_t kNameMax = 200;
inline constexpr uint32_t kTypeMax = 80;

static_assert(2 * kFileChunksMax + kOwnerMax + kNameMax + kTypeMax + 128 <= kPayloadBytes);

}  // namespace gh::files
