#include "firmware/sdp/rewrite.h"

#include <algorithm>

namespace gh::sdp {
namespace {

void WriteConnection(const net::IpAddress& address, ByteWriter& out) {
  out.Text(address.is_v6() ? "IN IP6 " : "IN IP4 ");
  address.Format(out);
}

void WriteLine(const Description& description, const Line& line, ByteWriter& out) {
  out.Text(description.Whole(line));
  out.Text("\r\n");
}

bool IsIce(std::string_view name) {
  return name == "candidate" || name == "ice-ufrag" || name == "ice-pwd" || name == "ice-lite" ||
         name == "ice-options" || name == "ice-mismatch" || name == "remote-candidates" ||
         name == "end-of-candidates" || name == "ice-pacing";
}

// What browsers say to browsers: phones without feedback pass it over, and it fills a datagram.
bool IsOfWeb(std::string_view name) {
  return name == "rtcp-fb" || name == "rtcp-rsize" || name == "extmap" ||
         name == "extmap-allow-mixed" || name == "ssrc" || name == "ssrc-group" || name == "msid";
}

bool IsDtls(std::string_view name) {
  return name == "fingerprint" || name == "setup" || name == "tls-id" || name == "connection";
}

// o= up to its address stays: it is what tells one description from the next.
void WriteOrigin(const Description& description, const Line& line, const net::IpAddress& origin,
                 ByteWriter& out) {
  std::string_view value = description.Value(line);
  size_t at = 0;
  for (uint32_t i = 0; i < 3; ++i) {
    at = value.find(' ', at) + 1;
  }
  out.Text("o=");
  out.Text(value.substr(0, at));
  WriteConnection(origin, out);
  out.Text("\r\n");
}

bool IsDropped(const Attribute& attribute, const MediaEdit& edit) {
  const std::string_view name = attribute.name;
  return name == "rtcp" || name == "bundle-only" || name == kMuxAttribute ||
         (!edit.keeps_ice && IsIce(name)) || (edit.drops_dtls && IsDtls(name)) ||
         (edit.drops_mux && (name == "rtcp-mux" || name == "rtcp-mux-only")) ||
         (edit.feedback == MediaEdit::Feedback::kOff && IsOfWeb(name)) ||
         (edit.replaces_crypto && name == "crypto");
}

bool IsFeedback(const Media& media, const MediaEdit& edit) {
  return edit.feedback == MediaEdit::Feedback::kAsItCame
             ? media.is_feedback
             : edit.feedback == MediaEdit::Feedback::kOn;
}

void WriteMediaLine(const Media& media, const MediaEdit& edit, ByteWriter& out) {
  out.Text("m=");
  out.Text(media.type);
  out.Char(' ');
  out.Decimal(edit.kind == MediaEdit::Kind::kRefuse ? 0 : edit.at.port);
  out.Char(' ');
  const bool is_rtp = media.profile < Profile::kUdp && edit.profile < Profile::kUdp;
  out.Text(is_rtp && edit.kind == MediaEdit::Kind::kRelay
               ? std::string_view(NameOf(edit.profile, IsFeedback(media, edit)))
               : media.protocol);
  out.Char(' ');
  out.Text(media.formats);
  out.Text("\r\n");
}

// The one candidate of its type, of the highest preference (RFC 8445 5.1.2).
void WriteHost(const net::Endpoint& at, uint32_t component, ByteWriter& out) {
  WriteCandidate({.foundation = "1",
                  .component = component,
                  .priority = PriorityOf(CandidateType::kHost, 65535, component),
                  .at = at,
                  .related = {}},
                 out);
}

// Behind all that the parties have themselves: checks pass from the one to the other by it.
void WriteLast(const net::Endpoint& at, uint32_t component, ByteWriter& out) {
  WriteCandidate({.foundation = "gatehouse",
                  .component = component,
                  .priority = PriorityOf(CandidateType::kRelayed, 0, component),
                  .at = at,
                  .type = CandidateType::kRelayed,
                  .related = at},
                 out);
}

void WriteAttribute(std::string_view name, std::string_view value, ByteWriter& out) {
  if (!value.empty()) {
    out.Text("a=");
    out.Text(name);
    out.Char(':');
    out.Text(value);
    out.Text("\r\n");
  }
}

// What is ours of a section, at its end.
void WriteOwn(const Media& media, const MediaEdit& edit, ByteWriter& out) {
  WriteAttribute("mid", media.mid.empty() ? edit.mid : std::string_view(), out);
  if (edit.adds_mux) {
    out.Text("a=rtcp-mux\r\n");
  }
  if (edit.is_bundle_only) {
    out.Text("a=bundle-only\r\n");
  }
  WriteAttribute(kMuxAttribute, edit.mux, out);
  WriteAttribute("fingerprint", edit.fingerprint, out);
  WriteAttribute("setup", edit.setup, out);
  if (edit.rtcp_port != 0) {
    out.Text("a=rtcp:");
    out.Decimal(edit.rtcp_port);
    out.Text("\r\n");
  }
  for (const CryptoLine& line : std::span(edit.crypto).first(edit.crypto_count)) {
    out.Text("a=crypto:");
    out.Decimal(line.tag);
    out.Char(' ');
    out.Text(line.suite);
    out.Text(" inline:");
    out.Text(line.key);
    out.Text("\r\n");
  }
  if (!edit.ice_user.empty()) {
    WriteAttribute("ice-ufrag", edit.ice_user, out);
    WriteAttribute("ice-pwd", edit.ice_password, out);
    for (const Candidate& candidate : edit.candidates) {
      WriteCandidate(candidate, out);
    }
    if (edit.candidates.empty()) {
      WriteHost(edit.at, 1, out);
    }
    out.Text("a=end-of-candidates\r\n");
  }
  if (edit.keeps_ice && edit.at.port != 0) {
    WriteLast(edit.at, 1, out);
    if (!media.rtcp_mux) {
      WriteLast({edit.at.address, static_cast<uint16_t>(edit.at.port + 1)}, 2, out);
    }
  }
}

// `is_own_said`: a section that is copied says the address it had from the session, which is ours.
void WriteSection(const Description& description, const Media& media, const MediaEdit& edit,
                  bool is_own_said, ByteWriter& out) {
  const auto lines = std::span(description.lines).subspan(media.line, media.line_end - media.line);
  if (edit.kind == MediaEdit::Kind::kCopy) {
    const size_t head = lines.size() > 1 && lines[1].type == 'i' ? 2 : 1;
    for (size_t i = 0; i < lines.size(); ++i) {
      WriteLine(description, lines[i], out);
      if (is_own_said && i + 1 == head) {
        out.Text("c=");
        WriteConnection(media.address, out);
        out.Text("\r\n");
      }
    }
    return;
  }
  WriteMediaLine(media, edit, out);
  // RFC 8866 5: i= comes before c=, all else behind it.
  const bool has_title = lines.size() > 1 && lines[1].type == 'i';
  if (has_title) {
    WriteLine(description, lines[1], out);
  }
  if (edit.kind == MediaEdit::Kind::kRelay) {
    out.Text("c=");
    WriteConnection(edit.at.address, out);
    out.Text("\r\n");
  }
  for (const Line& line : lines.subspan(has_title ? 2 : 1)) {
    const bool is_relayed = edit.kind == MediaEdit::Kind::kRelay;
    const bool is_dropped =
        (is_relayed && line.type == 'c') || line.type == 'k' ||
        (line.type == 'a' && IsDropped(SplitAttribute(description.Value(line)), edit));
    if (!is_dropped) {
      WriteLine(description, line, out);
    }
  }
  if (edit.kind == MediaEdit::Kind::kRelay) {
    WriteOwn(media, edit, out);
  }
}

}  // namespace

void Rewrite(const Description& description, std::span<const MediaEdit> edits,
             const net::IpAddress& origin, ByteWriter& out, const SessionEdit& session) {
  GH_ASSERT_EQ(edits.size(), size_t{description.media_count});
  const auto is_copy = [](const MediaEdit& e) { return e.kind == MediaEdit::Kind::kCopy; };
  const auto drops_dtls = [](const MediaEdit& e) { return e.drops_dtls; };
  const auto is_lite = [](const MediaEdit& e) {
    return !e.ice_user.empty() && e.candidates.empty();
  };
  const bool keeps_ice = std::ranges::any_of(edits, &MediaEdit::keeps_ice);
  const bool keeps_all = std::ranges::all_of(edits, is_copy);
  const bool loses_dtls = std::ranges::any_of(edits, drops_dtls);
  for (const Line& line : std::span(description.lines).first(description.session_end)) {
    const Attribute attribute = SplitAttribute(description.Value(line));
    const bool is_bundle =
        session.drops_bundle && attribute.name == "group" && attribute.value.starts_with("BUNDLE");
    const bool is_dropped = line.type == 'a' && !keeps_all &&
                            ((!keeps_ice && IsIce(attribute.name)) ||
                             (loses_dtls && IsDtls(attribute.name)) || is_bundle);
    if (line.type == 'o' && !origin.is_none()) {
      WriteOrigin(description, line, origin, out);
    } else if (line.type == 'c' && !keeps_all && !origin.is_none()) {
      out.Text("c=");
      WriteConnection(origin, out);
      out.Text("\r\n");
    } else if (!is_dropped) {
      WriteLine(description, line, out);
    }
  }
  if (std::ranges::any_of(edits, is_lite)) {
    out.Text("a=ice-lite\r\n");
  }
  if (!session.bundle.empty()) {
    out.Text("a=group:BUNDLE ");
    out.Text(session.bundle);
    out.Text("\r\n");
  }
  for (size_t i = 0; i < edits.size(); ++i) {
    const Media& media = description.media[i];
    const bool had_ours = !keeps_all && !origin.is_none() && !media.has_connection;
    WriteSection(description, media, edits[i], had_ours && !media.address.is_none(), out);
  }
}

}  // namespace gh::sdp
