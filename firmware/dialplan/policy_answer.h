// What a policy service says, and how it is asked (README.md): pure text.
//
// Question: a form (application/x-www-form-urlencoded). Answer: one line, "allow", "reject" or
// "reject 486 Busy tonight". Anything else is no answer.
#pragma once

#include <string_view>

#include "firmware/dialplan/limits.h"
#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::dialplan {

struct PolicyAnswer {
  bool allows = false;
  uint16_t status = 403;                      // 400 to 699, of a refusal
  FixedString<kPolicyPhraseBytesMax> phrase;  // empty: the usual one
};

// kMalformed. Only printable ASCII gets into the phrase, which stands in a SIP message.
Result<PolicyAnswer> ParsePolicyAnswer(std::string_view body);

// "name=value", behind an "&" when something stands before it.
void WriteFormField(ByteWriter& out, std::string_view name, std::string_view value);

}  // namespace gh::dialplan
