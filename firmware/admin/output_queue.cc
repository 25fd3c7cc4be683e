#include "firmware/admin/output_queue.h"

#include <algorithm>

#include "hal/rt/assert.h"

namespace gh::admin {

void OutputQueue::Bind(Terminal* terminal, LineEnd line_end) {
  terminal_ = terminal;
  line_end_ = line_end;
  first_ = used_ = 0;
}

void OutputQueue::Put(std::string_view text) {
  if (text.size() > room()) {
    Pump();
  }
  if (text.size() > room()) {
    dropped_ += text.size();
    return;
  }
  for (char c : text) {
    ring_[(first_ + used_) % ring_.size()] = static_cast<uint8_t>(c);
    ++used_;
  }
}

void OutputQueue::PutLine(std::string_view text) {
  Put(text);
  Put(line_end_ == LineEnd::kPlain ? "\n" : "\r\n");
}

void OutputQueue::Print(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    PutLine(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  Pump();
}

bool OutputQueue::Pump() {
  if (terminal_ == nullptr) {
    used_ = 0;
    return false;
  }
  while (used_ > 0) {
    const size_t run = std::min(used_, ring_.size() - first_);
    const uint32_t taken = terminal_->Write(ring_.subspan(first_, run));
    GH_ASSERT_LE(taken, run);
    first_ = (first_ + taken) % ring_.size();
    used_ -= taken;
    if (taken < run) {
      break;
    }
  }
  return used_ > 0;
}

}  // namespace gh::admin
