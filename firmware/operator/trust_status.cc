#include "firmware/operator/trust_status.h"

#include <algorithm>

#include "image/sbom.h"

namespace gh {
namespace {

constexpr const char* kFirmwareTrustNames[] = {"Unknown (this board has no loader)", "Off", "On"};

// What each register of the TCG's PC Client profile holds, as far as the loader shows it.
const char* MeaningOf(uint32_t pcr) {
  switch (pcr) {
    case 4:
      return "boot loader";
    case 7:
      return "Secure Boot policy";
    case 8:
      return "manifest";
    case 9:
      return "payload";
    default:
      return "";
  }
}

// The CycloneDX document, line by line; a cursor is a position in it.
bool NextSbomLine(void*, uint64_t& cursor, ByteWriter& out) {
  const std::string_view json = image::SbomJson();
  if (cursor >= json.size()) {
    return false;
  }
  const std::string_view rest = json.substr(cursor);
  const size_t end = std::min(rest.find('\n'), rest.size());
  out.Text(rest.substr(0, end));
  cursor += end + 1;
  return true;
}

}  // namespace

void TrustStatus::AddTo(admin::StatusTree& tree) {
  tree.AddMember<&TrustStatus::NextSecureBoot>("SecureBoot", "UEFI Secure Boot, signatures", this);
  tree.AddMember<&TrustStatus::NextTpm>("TPM", "Measurements of this boot", this);
  tree.AddMember<&TrustStatus::NextSoftware>("Software", "Libraries in this image", this, true);
}

void TrustStatus::AddTo(admin::CommandTable& commands) {
  commands.Add({.path = "SBOM",
                .help = "Shows the software bill of materials, CycloneDX JSON",
                .run = [](void*, std::string_view, ByteWriter&) -> Result<void> { return Ok(); },
                .context = this,
                .next = NextSbomLine,
                .only_looks = true});
}

bool TrustStatus::NextSecureBoot(uint64_t& cursor, ByteWriter& out) {
  const hal::BootReport& report = boot_.report();
  switch (cursor++) {
    case 0:
      out.Text("SecureBoot State: ");
      out.Text(kFirmwareTrustNames[static_cast<uint8_t>(report.secure_boot)]);
      return true;
    case 1:
      out.Text("SecureBoot Image: ");
      out.Text(report.key_id[0] == '\0' ? "not verified by a loader"
               : report.is_development  ? "verified by the loader, DEVELOPMENT key "
                                        : "verified by the loader, key ");
      out.Text(report.key_id);
      return true;
    default:
      return false;
  }
}

bool TrustStatus::NextTpm(uint64_t& cursor, ByteWriter& out) {
  const hal::BootReport& report = boot_.report();
  const uint64_t at = cursor++;
  if (at == 0) {
    out.Text("TPM State: ");
    out.Text(report.is_measured      ? "Measured"
             : report.pcr_count != 0 ? "Present, but it did not take the measurements"
                                     : "None (this boot was not measured)");
    return true;
  }
  if (at - 1 >= report.pcr_count) {
    return false;
  }
  const hal::PcrReport& pcr = report.pcrs[at - 1];
  out.Text("TPM PCR ");
  out.Decimal(pcr.index);
  out.Text(": sha256=");
  out.HexBytes(pcr.sha256);
  const char* meaning = MeaningOf(pcr.index);
  if (meaning[0] != '\0') {
    out.Text(" (");
    out.Text(meaning);
    out.Char(')');
  }
  return true;
}

bool TrustStatus::NextSoftware(uint64_t& cursor, ByteWriter& out) {
  const auto items = image::SoftwareList();
  if (cursor >= items.size()) {
    return false;
  }
  const image::SoftwareItem& item = items[cursor++];
  out.Text("Software ");
  out.Text(item.name);
  out.Text(": ");
  out.Text(item.version);
  out.Text(" license=\"");
  out.Text(item.license);
  out.Text("\" ");
  out.Text(item.purl);
  return true;
}

}  // namespace gh
