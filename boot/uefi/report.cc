#include "boot/uefi/report.h"

#include <algorithm>

namespace gh::boot {

namespace {
constexpr uint64_t kPercentStep = 25;
}  // namespace

void ConsoleReport::Keep(std::string_view text) {
  const size_t count = std::min<size_t>(text.size(), log_.size() - size_);
  std::copy_n(text.begin(), count, log_.begin() + size_);
  size_ += static_cast<uint32_t>(count);
}

void ConsoleReport::Line(std::string_view text) {
  console_.Text("loader: ");
  console_.Line(text);
  Keep(text);
  Keep("\n");
}

void ConsoleReport::Warning(std::string_view text) {
  console_.Text("loader: WARNING: ");
  console_.Line(text);
  Keep("WARNING: ");
  Keep(text);
  Keep("\n");
}

void ConsoleReport::Progress(std::string_view step, uint64_t done, uint64_t total) {
  const uint64_t percent = done * 100 / total;
  if (percent < shown_percent_) {
    shown_percent_ = 0;  // the next step
  }
  if (percent < 100 && percent < shown_percent_ + kPercentStep) {
    return;
  }
  shown_percent_ = percent == 100 ? 0 : percent;
  console_.Text("loader: factory reset: ");
  console_.Text(step);
  console_.Text(" ");
  console_.Decimal(percent);
  console_.Line(" %");
}

}  // namespace gh::boot
