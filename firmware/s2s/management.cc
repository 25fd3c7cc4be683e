// Stream management between servers (XEP-0198): stanzas are kept until the other side has them, and
// come back to their senders as errors when the stream ends first and is not resumed
// (resumption.cc). We acknowledge what is on the disk, not before.
//
// A side that does not acknowledge is sent no more than a queue holds, and is given up after a
// while.
#include <charconv>

#include "firmware/s2s/federation.h"

namespace gh::s2s {

using xmpp::Node;
namespace ns = xmpp::ns;

namespace {

bool ReadCount(std::string_view text, uint32_t& out) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && stop == text.data() + text.size() && !text.empty();
}

}  // namespace

// Ours is the stream: we ask for it.
void Federation::EnableManagement(Link& link) {
  if (config_.management && link.offers_management) {
    Write(link, config_.resume > Duration() ? "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
                                            : "<enable xmlns='urn:xmpp:sm:3'/>");
    link.counts_out = true;
  }
}

// True: it was for here.
bool Federation::OnManagement(Link& link, const Node& element) {
  if (element.space != ns::kManagement || link.state != LinkState::kReady) {
    return false;
  }
  uint32_t handled = 0;
  if (element.name == "enable" && link.kind == LinkKind::kIncoming && config_.management &&
      !link.counts_in) {
    OnEnable(link, element.Get("resume"));
  } else if (element.name == "enabled" && link.counts_out) {
    link.counts_in = true;
    const std::string_view may = element.Get("resume");
    if ((may == "true" || may == "1") && config_.resume > Duration()) {
      link.resume_id.Assign(element.Get("id"));
    }
  } else if (element.name == "resume" && link.kind == LinkKind::kIncoming && !link.counts_in) {
    OnResume(link, element);
  } else if (element.name == "resumed" && link.kind != LinkKind::kIncoming && link.is_resuming) {
    OnResumed(link, element);
  } else if (element.name == "failed" && link.kind != LinkKind::kIncoming && link.is_resuming) {
    OnNotResumed(link);
  } else if (element.name == "failed") {
    link.counts_out = false;
    chains_.Free(link.unacknowledged);
    link.unconfirmed = 0;
  } else if (element.name == "r") {
    Acknowledge(link);
  } else if (element.name == "a") {
    if (!ReadCount(element.Get("h"), handled) || !OnAcknowledged(link, handled)) {
      StreamError(link, "undefined-condition", "it acknowledged what was not sent");
    }
  } else {
    Write(link,
          "<failed xmlns='urn:xmpp:sm:3'><unexpected-request "
          "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
  }
  return true;
}

void Federation::OnEnable(Link& link, std::string_view resume) {
  uint8_t bytes[160];
  ByteWriter out(bytes);
  out.Text("<enabled xmlns='urn:xmpp:sm:3'");
  if ((resume == "true" || resume == "1") && config_.resume > Duration()) {
    uint8_t id_bytes[32];
    ByteWriter id(id_bytes);
    id.Hex(random_.U64(), 16);
    id.Hex(random_.U64(), 16);
    link.resume_id.Assign(id.text());
    xmpp::WriteAttribute("id", link.resume_id.view(), out);
    out.Text(" resume='true' max='");
    out.Decimal(static_cast<uint64_t>(config_.resume.seconds()));
    out.Char('\'');
  }
  out.Text("/>");
  Write(link, out.written());
  ForgetSent(link);
  link.counts_in = link.counts_out = true;
  Promote(link);
}

// --- Ours ----------------------------------------------------------------------------------------

bool Federation::MaySend(const Link& link, size_t size) const {
  if (link.is_resuming) {
    return false;
  }
  return !link.counts_out ||
         (link.unconfirmed < kQueueStanzaMax &&
          link.unacknowledged.size + size + 4 <= kQueueBytesMax &&
          chains_.free_count() >= (size + 4) / xmpp::ChainPool::kBlockBytes + 2);
}

// `stanza` goes out now; MaySend has said so.
void Federation::SendCounted(Link& link, std::span<const uint8_t> stanza) {
  ++link.stanzas_out;
  ++counters_.stanzas_out;
  link.used = timers_.now();
  if (link.counts_out) {
    uint8_t head[4];
    ByteWriter size(head);
    size.U32Be(static_cast<uint32_t>(stanza.size()));
    (void)chains_.Append(link.unacknowledged, head);
    (void)chains_.Append(link.unacknowledged, stanza);
    ++link.unconfirmed;
  } else {
    ForgetDelivered(link);
    KeepSent(link, stanza);
  }
  Write(link, stanza);
  Ask(link);
}

void Federation::Ask(Link& link) {
  if (link.unconfirmed > 0 && !link.asked && !link.doomed && !link.is_resuming) {
    link.asked = true;
    link.asked_at = timers_.now();
    Write(link, "<r xmlns='urn:xmpp:sm:3'/>");
  }
}

bool Federation::OnAcknowledged(Link& link, uint32_t handled) {
  const uint32_t count = handled - link.confirmed;
  if (!link.counts_out || count > link.unconfirmed) {
    return false;
  }
  for (uint32_t i = 0; i < count; ++i) {
    uint8_t head[4];
    (void)chains_.Copy(link.unacknowledged, 0, head);
    chains_.Drop(link.unacknowledged, 4 + ByteReader(head).U32Be());
  }
  link.confirmed = handled;
  link.unconfirmed -= count;
  link.asked = false;
  counters_.acknowledged += count;
  Drain(link);
  Ask(link);
  return true;
}

// --- Theirs --------------------------------------------------------------------------------------

void Federation::Acknowledge(Link& link) {
  if (!link.counts_in) {
    return;
  }
  link.owed = link.handled;
  link.owed_commit = link.last_commit;
  if (link.owed_commit <= engine_.durable()) {
    SendOwed(link);
  } else if (!link.owing_node.linked()) {
    owing_.PushBack(link);
  }
}

void Federation::SendOwed(Link& link) {
  uint8_t bytes[64];
  ByteWriter out(bytes);
  out.Text("<a xmlns='urn:xmpp:sm:3' h='");
  out.Decimal(link.owed);
  out.Text("'/>");
  Write(link, out.written());
}

void Federation::OnOwedDurable(Link& link) {
  if (!link.is_resuming) {
    SendOwed(link);
  } else if (link.kind == LinkKind::kIncoming) {
    link.is_resuming = false;
    Resume(link, link.asked_id.view(), link.owed);
    if (!link.doomed) {  // it goes on as another stream
      Drain(link);
    }
  } else {
    (void)AskToResume(link);
  }
}

void Federation::OnDurable() {
  for (Link& link : silent_) {
    if (!IsSilent(link)) {
      silent_.Remove(link);
      if (link.state == LinkState::kReady) {
        Drain(link);
      }
    }
  }
  for (Link& link : owing_) {
    if (link.owed_commit <= engine_.durable()) {
      owing_.Remove(link);
      OnOwedDurable(link);
    }
  }
}

}  // namespace gh::s2s
