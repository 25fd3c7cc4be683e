// A form's "\n" as the line end that the session's terminal wants.
#pragma once

#include <string_view>

#include "firmware/admin/output_queue.h"

namespace gh::admin {

class LineEndSink final : public TextSink {
 public:
  explicit LineEndSink(OutputQueue& output) : output_(output) {}
  void Put(std::string_view text) override {
    for (;;) {
      const size_t end = text.find('\n');
      if (end == text.npos) {
        output_.Put(text);
        return;
      }
      output_.PutLine(text.substr(0, end));
      text.remove_prefix(end + 1);
    }
  }

 private:
  OutputQueue& output_;
};

}  // namespace gh::admin
