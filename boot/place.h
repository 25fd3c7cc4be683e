// Where in memory the image goes: drawn at random, so that no address in it is known beforehand.
//
// Every page-aligned place in conventional memory where the image fits is as likely as any other,
// with one restriction: of the largest range only its upper end is used (kPlaceTailShift of it),
// because what is left of that range in one piece is the memory the appliance runs in.
#pragma once

#include <cstdint>

#include "boot/memory_map.h"

namespace gh::boot {

// `size`: whole pages. 0: nothing fits, or the map makes no sense.
uint64_t ChoosePlace(const UefiMemoryMap& map, uint64_t size, uint64_t random);
// Of how many places ChoosePlace chooses.
uint64_t CountPlaces(const UefiMemoryMap& map, uint64_t size);

}  // namespace gh::boot
