// Prepares libsodium: CPU dispatch, and a random source that is ours.
//
// Call once per process before anything else of crypto/ (calling again is harmless). Pure digests
// and signature verification work without it, only slower: libsodium then uses its portable code.
#pragma once

namespace gh::crypto {

void Initialise();

}  // namespace gh::crypto
