// MD5 and SHA-256 of this test's own, so that digest authentication is checked against something
// that shares no code with the product.
#pragma once

#include <string>
#include <string_view>

namespace gh::sim {

std::string Md5Hex(std::string_view text);
std::string Sha256Hex(std::string_view text);

}  // namespace gh::sim
