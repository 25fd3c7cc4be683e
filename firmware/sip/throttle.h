// What a peer asks to be spared (RFC 7339, the loss algorithm of RFC 7415): heard in the Via it
// sends back, kept until its word is too old, asked before each new request to it.
#pragma once

#include <optional>
#include <string_view>

#include "firmware/sip/text.h"
#include "hal/rt/time.h"

namespace gh::sip {

struct OverloadWord {
  uint32_t loss_percent = 0;
  Duration validity = Duration::Milliseconds(500);  // RFC 7339 4.3: where nothing is said
  uint64_t sequence_ms = 0;                         // 0: none
};

// Of the parameters of our Via as they came back; nothing when there is no word, or one of another
// algorithm.
std::optional<OverloadWord> ParseOverloadWord(std::string_view via_params);

class Throttle {
 public:
  // True when what is kept back is another part now.
  bool Take(const OverloadWord& word, Instant now) {
    if (now < until_ && word.sequence_ms < sequence_ms_) {
      return false;  // it was said before what we know
    }
    const uint32_t before = percent(now);
    percent_ = word.loss_percent;
    sequence_ms_ = word.sequence_ms;
    until_ = now + word.validity;
    return percent(now) != before;
  }
  // Whether one more new request may go there; what is kept back is spread evenly.
  bool Admits(Instant now) {
    credit_ += percent(now);
    if (credit_ < 100) {
      return true;
    }
    credit_ -= 100;
    return false;
  }
  uint32_t percent(Instant now) const { return now < until_ ? percent_ : 0; }

 private:
  uint32_t percent_ = 0;
  uint32_t credit_ = 0;
  uint64_t sequence_ms_ = 0;
  Instant until_;
};

}  // namespace gh::sip
