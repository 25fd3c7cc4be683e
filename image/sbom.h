// The software that others wrote and this image contains, for the device to show. Made when it is
// built, from the very list the sources were verified against (image/deps/sbom.py); the same bytes
// as out/pc/sbom.cdx.json. It describes the product image, board pc; a Linux process of the same
// commit carries the same list.
#pragma once

#include <span>
#include <string_view>

namespace gh::image {

struct SoftwareItem {
  std::string_view name;
  std::string_view version;  // Debian's: the upstream version, and the revision whose patches count
  std::string_view license;  // an SPDX expression
  std::string_view purl;     // package URL of the Debian source package
  std::string_view sha256;   // hex, of the upstream tarball (of libgcc.a for the compiler's part)
};

// In order of names.
std::span<const SoftwareItem> SoftwareList();
// The whole list as CycloneDX 1.5 JSON, some kilobytes of ASCII, lines ending in "\n".
std::string_view SbomJson();

}  // namespace gh::image
