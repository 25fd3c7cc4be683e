// The limits of presence documents.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gh::presence {

inline constexpr uint32_t kDocumentBytesMax = 8192;  // as it comes
inline constexpr uint32_t kDocumentElementMax = 128;
inline constexpr uint32_t kDocumentDepthMax = 12;
inline constexpr uint32_t kDocumentAttributeMax = 16;  // of one element
inline constexpr size_t kPartsBytesMax = 4096;         // as it is kept
inline constexpr size_t kPartsBytesInline = 896;       // most phones'

}  // namespace gh::presence
