#include "firmware/sip/session_timer.h"

#include <algorithm>

namespace gh::sip {
namespace {

// RFC 4028 5: no Min-SE means 90 seconds; smaller ones count as that.
constexpr uint32_t kMinSe = 90;

std::optional<uint32_t> LeadingNumber(std::string_view value) {
  return ParseNumberClamped(TrimLws(value.substr(0, value.find(';'))), kExpiresMax);
}

}  // namespace

std::optional<SessionExpires> SessionExpiresOf(const Message& message) {
  if (!message.Has(HeaderId::kSessionExpires)) {
    return std::nullopt;
  }
  const std::string_view value = message.ValueOf(HeaderId::kSessionExpires);
  const auto seconds = LeadingNumber(value);
  if (!seconds) {
    return std::nullopt;
  }
  SessionExpires out{*seconds, {}};
  const size_t semicolon = value.find(';');
  if (semicolon != std::string_view::npos) {
    const auto refresher = FindParam(value.substr(semicolon), "refresher");
    if (refresher &&
        (EqualsNoCase(refresher->value, "uac") || EqualsNoCase(refresher->value, "uas"))) {
      out.refresher = refresher->value;
    }
  }
  return out;
}

bool SupportsTimer(const Message& message) {
  // ForEachToken stops where it is told no more: at the token that is looked for.
  bool found = false;
  for (const HeaderId id : {HeaderId::kSupported, HeaderId::kRequire}) {
    ForEachToken(message, id, [&found](std::string_view token) {
      found = found || EqualsNoCase(token, "timer");
      return !found;
    });
  }
  return found;
}

SessionEdit SessionEditOf(const Config& config, const Message& request) {
  SessionEdit edit;
  const uint32_t asked_min = LeadingNumber(request.ValueOf(HeaderId::kMinSe)).value_or(0);
  const uint32_t lowest = std::max({asked_min, config.session_min_s, kMinSe});
  const auto asked = SessionExpiresOf(request);
  const bool has_timer = SupportsTimer(request);
  edit.min_s = asked_min;
  if (!asked) {
    // An UPDATE without the header switches the timer off; a malformed one is the callee's matter.
    if (request.Has(HeaderId::kSessionExpires) || request.method() != Method::kInvite ||
        config.session_expires_s == 0) {
      return edit;
    }
    edit.replaces = true;
    edit.expires_s = std::max(config.session_expires_s, asked_min);
  } else if (asked->seconds < std::max(config.session_min_s, kMinSe)) {
    if (has_timer) {
      edit.is_too_brief = true;
      edit.min_s = std::max(config.session_min_s, kMinSe);
      return edit;
    }
    // Who knows no 422 cannot be sent away: the interval grows instead (8.1).
    edit.replaces = true;
    edit.expires_s = lowest;
    edit.min_s = lowest;
  } else if (config.session_expires_s != 0 && asked->seconds > config.session_expires_s &&
             asked->seconds > lowest) {
    edit.replaces = true;
    edit.expires_s = std::max(config.session_expires_s, lowest);
    edit.refresher = asked->refresher;
  } else {
    edit.expires_s = asked->seconds;
  }
  edit.answer_s = has_timer ? edit.expires_s : 0;
  return edit;
}

void WriteSessionLines(ByteWriter& out, const SessionEdit& edit) {
  out.Text("Session-Expires: ");
  out.Decimal(edit.expires_s);
  if (!edit.refresher.empty()) {
    out.Text(";refresher=");
    out.Text(edit.refresher);
  }
  out.Text("\r\n");
  if (edit.min_s != 0) {
    out.Text("Min-SE: ");
    out.Decimal(edit.min_s);
    out.Text("\r\n");
  }
}

void WriteAnswerLines(ByteWriter& out, uint32_t seconds) {
  out.Text("Require: timer\r\nSession-Expires: ");
  out.Decimal(seconds);
  out.Text(";refresher=uac\r\n");
}

}  // namespace gh::sip
