// The list of software that the device carries: whole, in order, and the same in both forms.
#include "image/sbom.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace gh::image {
namespace {

TEST(Sbom, EveryFieldIsFilledAndNamesAscend) {
  ASSERT_GE(SoftwareList().size(), 5u);
  std::string_view previous;
  for (const SoftwareItem& item : SoftwareList()) {
    EXPECT_GT(item.name, previous);
    EXPECT_FALSE(item.version.empty());
    EXPECT_FALSE(item.license.empty());
    EXPECT_TRUE(item.purl.starts_with("pkg:deb/debian/")) << item.purl;
    EXPECT_EQ(item.sha256.size(), 64u);
    EXPECT_EQ(item.sha256.find_first_not_of("0123456789abcdef"), std::string_view::npos);
    previous = item.name;
  }
}

TEST(Sbom, NamesWhatTheImageStandsOn) {
  for (const char* name : {"gcc-runtime", "libsodium", "lwip", "nanopb", "picolibc", "sqlite"}) {
    bool found = false;
    for (const SoftwareItem& item : SoftwareList()) {
      found = found || item.name == name;
    }
    EXPECT_TRUE(found) << name;
  }
}

TEST(Sbom, JsonSaysTheSameAsTheTable) {
  const std::string_view json = SbomJson();
  EXPECT_TRUE(json.starts_with("{\n") && json.ends_with("}\n"));
  EXPECT_NE(json.find("\"specVersion\": \"1.5\""), std::string_view::npos);
  for (const SoftwareItem& item : SoftwareList()) {
    EXPECT_NE(json.find("\"name\": \"" + std::string(item.name) + "\""), std::string_view::npos);
    EXPECT_NE(json.find("\"purl\": \"" + std::string(item.purl) + "\""), std::string_view::npos);
    EXPECT_NE(json.find(item.sha256), std::string_view::npos);
  }
  for (const char c : json) {
    EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~'));
  }
}

TEST(Sbom, JsonIsTheFileBesideTheImage) {
  std::ifstream file("out/pc/sbom.cdx.json");
  ASSERT_TRUE(file) << "run from the checkout's root";
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), SbomJson());
}

}  // namespace
}  // namespace gh::image
