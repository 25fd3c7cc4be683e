// What must be known of a dialog to end it from here (RFC 3261 12): names with their tags, where
// each side wants to be reached and by which Routes. This is the form to work with, on the stack;
// as long as the dialog lasts it is in a DialogStore. A dialog whose names and routes do not fit
// has no record and can only be ended by its own parties.
#pragma once

#include <array>
#include <string_view>

#include "firmware/sip/core.h"
#include "firmware/sip/message.h"
#include "hal/rt/bytes.h"

namespace gh::sip {

class DialogRecord {
 public:
  enum Part : uint8_t {
    kCallId,
    kCaller,  // as From and To have it: name, address and tag
    kCallee,
    kCallerContact,  // URI
    kCalleeContact,
    kCallerRoutes,  // a list for Route, from us towards that side; may be empty
    kCalleeRoutes,
  };
  static constexpr Part kPartLast = kCalleeRoutes;
  static constexpr size_t kPartCount = kPartLast + 1;
  using Sizes = std::array<uint16_t, kPartCount>;

  // False: no room; what was there stays.
  bool Set(Part part, std::string_view value);
  std::string_view Get(Part part) const;
  void Clear() { sizes_ = {}; }
  size_t size() const { return SumOf(sizes_); }
  // Where requests to that side go next: its first route, else its contact; none: an empty URI.
  Uri NextHop(bool to_caller) const;

  // The dialog that `answer`, a 2xx, makes of `request`, which is as it came to us.
  bool Take(const Core& core, const Message& request, const Message& answer);
  // The dialog that a SUBSCRIBE makes with us: its sender is the caller, we are the callee, of
  // whose contact the user part is kept.
  bool TakeSubscribe(const Message& request, uint64_t to_tag);
  // The sender of a target refresh is elsewhere from now on. False: he says nothing new, or it has
  // no room; the old one may still do.
  bool SetContact(bool of_caller, const Message& message);

 private:
  friend class DialogStore;
  static size_t SumOf(const Sizes& sizes) {
    size_t sum = 0;
    for (const uint16_t size : sizes) {
      sum += size;
    }
    return sum;
  }
  bool TakeCallerRoutes(const Message& request);
  bool TakeCalleeRoutes(const Core& core, const Message& answer);

  Sizes sizes_ = {};
  std::array<char, kDialogRecordBytes> text_;
};

struct ByeSpec {
  const Listener& listener;  // whose address goes into Via
  std::string_view branch;
  bool to_caller = false;
  uint32_t cseq = 1;
  std::string_view reason;  // for people; RFC 3326
};
void WriteBye(ByteWriter& out, const DialogRecord& record, const ByeSpec& spec);

}  // namespace gh::sip
