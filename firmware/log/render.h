// Records as text: RFC 5424 messages, and lines for people. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "firmware/log/event.h"
#include "hal/rt/bytes.h"

namespace gh::log {

// The header's constant parts. Each is made fit for the wire (printable ASCII, RFC's length).
struct SyslogIdentity {
  std::string_view host_name;  // HOSTNAME
  std::string_view app_name = "gatehouse";
  std::string_view proc_id;  // one value a run, so that a reader sees restarts
};

// "2026-11-21T01:30:35.123456Z", "-" when the clock is not set.
void FormatTimestamp(const WallTime& wall, ByteWriter& out);

// One message without framing:
//   <PRI>1 TIME HOST APP PROC MSGID [meta sequenceId="n"][gatehouse@32473 id="3001" ...] text
// The text is cut when it does not fit; at least 1 KiB of room is needed.
void FormatSyslog(const Record& record, const SyslogIdentity& identity, ByteWriter& out);

// The older form, RFC 3164: <PRI>Nov 21 08:30:05 HOST APP[PROC]: name: text, in UTC.
void FormatBsdSyslog(const Record& record, const SyslogIdentity& identity, ByteWriter& out);

// The sentence for people: the declaration's text with its values.
void FormatText(const Record& record, ByteWriter& out);

// name="value" pairs of the record, as in structured data.
void FormatFields(const Record& record, ByteWriter& out);

// The value of a field; empty when the event has none of that name.
std::string_view FieldOf(const Record& record, std::string_view name);

}  // namespace gh::log
