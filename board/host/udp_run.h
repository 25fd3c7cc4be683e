// Datagrams of one flow that follow one another leave as one packet, which the kernel cuts late or
// never (UDP segmentation offload): the way down is walked once for all of them. What is on the
// wire is the same, frame by frame; only IPv4's identification counts on from the first's.
#pragma once

#include <span>

#include "board/host/offload.h"
#include "hal/frame.h"

namespace gh::board {

inline constexpr uint32_t kUdpRunMax = 60;  // the kernel takes at least 64 segments

// Puts `frames` in an order in which those of one flow follow one another, each flow's own order
// kept. `out` has their size; at most kUdpGroupMax frames.
inline constexpr size_t kUdpGroupMax = 64;
void GroupByFlow(std::span<hal::Frame* const> frames, std::span<hal::Frame*> out);

// How many of `frames`, from the first on, may leave together; at least 1. All have the first's
// addresses, ports, marks and size (the last may be shorter) and leave their checksum to the
// device.
uint32_t UdpRunLength(std::span<hal::Frame* const> frames);

// The header for a run of two and more; the first frame's lengths and checksums become those of
// the whole. Returns where the payload of every frame begins.
uint32_t JoinUdpRun(std::span<hal::Frame* const> run, VirtioNetHeader& header);

}  // namespace gh::board
