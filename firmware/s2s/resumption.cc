// Streams between servers that outlive their connection (XEP-0198 section 5). The side that began a
// stream makes another connection, proves itself there as ever, and says which stream it goes on
// with; what the other side had not acknowledged is sent once more. Meanwhile stanzas wait.
//
// Whoever resumes has proved the same domain as before. No more streams wait for that than a
// quarter of all.
#include <charconv>
#include <utility>

#include "firmware/s2s/federation.h"

namespace gh::s2s {

using xmpp::Node;
using xmpp::WriteAttribute;

namespace {

bool ReadCount(std::string_view text, uint32_t& out) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && stop == text.data() + text.size() && !text.empty();
}

}  // namespace

// Its connection is gone. True: it waits for another, or is making one.
bool Federation::Suspend(Link& link) {
  const bool is_asking = link.kind == LinkKind::kIncoming && link.is_resuming;
  if (link.resume_id.empty() || link.unproven || config_.resume <= Duration() || is_asking) {
    return false;
  }
  timers_.Cancel(link.timer);
  link.asked = false;
  if (link.owing_node.linked()) {
    owing_.Remove(link);
  }
  if (link.kind == LinkKind::kIncoming) {
    uint32_t suspended = 0;
    for (uint32_t i = 0; i < links_.capacity(); ++i) {
      const Link* other = links_.At(i);
      suspended += other != nullptr && other->state == LinkState::kSuspended ? 1 : 0;
    }
    if (suspended >= links_.capacity() / 4) {
      return false;
    }
    link.state = LinkState::kSuspended;
    Arm(link, config_.resume);
    return true;
  }
  link.is_resuming = true;
  link.unproven = true;
  link.attempts = 0;
  link.state = LinkState::kLooking;
  BeginLookup(link);
  return true;
}

// --- Ours ----------------------------------------------------------------------------------------

bool Federation::AskToResume(Link& link) {
  if (!link.is_resuming) {
    return false;
  }
  if (!link.offers_management) {
    OnNotResumed(link);
    return true;
  }
  Arm(link, Duration::Seconds(kAttemptSeconds));
  if (WaitForDisk(link, link.last_commit)) {  // it is acknowledged by this
    return true;
  }
  uint8_t bytes[kStreamIdMax * 6 + 128];
  ByteWriter out(bytes);
  out.Text("<resume xmlns='urn:xmpp:sm:3' h='");
  out.Decimal(link.handled);
  out.Char('\'');
  WriteAttribute("previd", link.resume_id.view(), out);
  out.Text("/>");
  Write(link, out.written());
  return true;
}

// Who says how much it has acknowledges so much, and the other side forgets it: that waits for the
// disk as <a/> does. To say less, what is on the disk already, would not do: the other side would
// send the rest once more, and it would come twice. Nobody waits but this stream.
// True: OnOwedDurable goes on when the commit is on the disk.
bool Federation::WaitForDisk(Link& link, uint64_t commit) {
  if (commit <= engine_.durable()) {
    return false;
  }
  link.owed_commit = commit;
  if (!link.owing_node.linked()) {
    owing_.PushBack(link);
  }
  return true;
}

void Federation::OnResumed(Link& link, const Node& element) {
  uint32_t handled = 0;
  const bool is_good = ReadCount(element.Get("h"), handled) && OnAcknowledged(link, handled);
  link.is_resuming = false;
  if (!is_good) {
    StreamError(link, "undefined-condition", "it acknowledged what was not sent");
    return;
  }
  timers_.Cancel(link.timer);
  ++counters_.resumed;
  Resend(link);
  Drain(link);
}

// A new stream: what the old one owed comes back to its senders.
void Federation::OnNotResumed(Link& link) {
  timers_.Cancel(link.timer);
  link.is_resuming = false;
  link.resume_id.Clear();
  link.condition = "remote-server-timeout";
  ReturnEach(link, link.unacknowledged);
  if (EndRides(link)) {  // the others have nothing proved there
    ReturnEach(link, link.queue);
    link.queued = 0;
  }
  link.counts_in = link.counts_out = link.asked = false;
  link.handled = link.owed = link.confirmed = link.unconfirmed = 0;
  EnableManagement(link);
  Drain(link);
}

// What the other side does not have, once more.
void Federation::Resend(Link& link) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < link.unconfirmed && !link.doomed; ++i) {
    uint8_t head[4];
    (void)chains_.Copy(link.unacknowledged, at, head);
    const uint32_t size = ByteReader(head).U32Be();
    const auto stanza = scratch_.first(size);
    (void)chains_.Copy(link.unacknowledged, at + 4, stanza);
    at += 4 + size;
    Write(link, stanza);
  }
  Ask(link);
}

// --- Theirs --------------------------------------------------------------------------------------

Link* Federation::FindSuspended(const Link& link, std::string_view previous) {
  for (uint32_t i = 0; i < links_.capacity() && !previous.empty(); ++i) {
    Link* old = links_.At(i);
    if (old != nullptr && !old->doomed && old != &link && old->kind == LinkKind::kIncoming &&
        old->door == link.door && !old->unproven && old->resume_id == previous &&
        old->pairs[0].local == link.pairs[0].local &&
        old->pairs[0].remote == link.pairs[0].remote) {
      return old;
    }
  }
  return nullptr;
}

// `link` is a new connection; the old stream takes it over, with the reader that holds the request.
void Federation::TakeOver(Link& link, Link& old) {
  if (old.connected) {  // it did not know yet that its connection is gone
    host_.Abort(old.stream);
    Detach(old);
  }
  RemoveRoute(link);
  by_stream_.Remove(link);
  link.connected = false;
  timers_.Cancel(link.timer);
  timers_.Cancel(old.timer);
  old.remote = link.remote;
  old.secure = link.secure;
  old.id = link.id;
  old.proved_by_certificate = link.proved_by_certificate;
  old.unsent = std::exchange(link.unsent, xmpp::Chain());
  old.reader = std::exchange(link.reader, nullptr);
  old.asked = false;
  old.used = timers_.now();
  old.state = LinkState::kReady;
  const bool is_attached = Attach(old, link.stream);
  GH_ASSERT(is_attached);
  const Handle handle = links_.HandleOf(link);
  for (Handle& each : partner_links_) {
    each = each == handle ? links_.HandleOf(old) : each;
  }
  link.door = Door::kServers;  // the partner is not away
  Doom(link, "resumed");
  ++counters_.resumed;
}

void Federation::OnResume(Link& link, const Node& element) {
  uint32_t handled = 0;
  const bool is_read = ReadCount(element.Get("h"), handled) && !link.is_resuming;
  Resume(link, is_read ? element.Get("previd") : std::string_view(), handled);
}

void Federation::Resume(Link& link, std::string_view previous, uint32_t handled) {
  Link* old = FindSuspended(link, previous);
  if (old != nullptr && WaitForDisk(link, old->last_commit)) {
    link.is_resuming = true;
    link.asked_id.Assign(previous);
    link.owed = handled;
    return;
  }
  if (old == nullptr || handled - old->confirmed > old->unconfirmed) {
    Write(link,
          "<failed xmlns='urn:xmpp:sm:3'><item-not-found "
          "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
    return;
  }
  TakeOver(link, *old);
  uint8_t bytes[kStreamIdMax * 6 + 128];
  ByteWriter out(bytes);
  out.Text("<resumed xmlns='urn:xmpp:sm:3' h='");
  out.Decimal(old->handled);
  out.Char('\'');
  WriteAttribute("previd", old->resume_id.view(), out);
  out.Text("/>");
  Write(*old, out.written());
  // What is acknowledged is forgotten; the queue follows what is sent once more.
  old->is_resuming = true;
  const bool is_good = OnAcknowledged(*old, handled);
  old->is_resuming = false;
  GH_ASSERT(is_good);
  Resend(*old);
  Drain(*old);
}

}  // namespace gh::s2s
