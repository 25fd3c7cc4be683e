// To which of a user's clients a chat goes (IM-3): to all of them until he replies, then to the one
// he replied from, until nobody has written for a while or his presence says that he moved.
//
// Who replied to whom is kept as hashes in one block of the session; for one too many the oldest
// is forgotten, and goes to all again.
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr uint32_t kReplyBytes = 12;  // u64 hash of the other's address, u32 second of the last
constexpr uint32_t kRepliesMax = ChainPool::kBlockBytes / kReplyBytes;

}  // namespace

// Takes the conversation with `hash` out; false: it is not this session's, or too old.
bool Engine::TakeReply(Session& session, uint64_t hash) {
  uint8_t bytes[kRepliesMax * kReplyBytes];
  uint8_t kept_bytes[sizeof(bytes)];
  const size_t size = chains_.Copy(session.replies, 0, bytes);
  ByteReader reader{std::span(bytes).first(size)};
  ByteWriter kept(kept_bytes);
  bool is_ours = false;
  while (!reader.at_end()) {
    const auto each = reader.Take(kReplyBytes);
    ByteReader entry(each);
    if (entry.U64Be() != hash) {
      kept.Bytes(each);
      continue;
    }
    const auto second = static_cast<uint32_t>(timers_.now().ns / 1'000'000'000);
    is_ours = second - entry.U32Be() < static_cast<uint32_t>(config_.reply.seconds());
  }
  if (kept.size() < size) {
    (void)chains_.Assign(session.replies, kept.text());
  }
  return is_ours;
}

void Engine::PutReply(Session& session, uint64_t hash) {
  if (session.replies.size == kRepliesMax * kReplyBytes) {
    chains_.Drop(session.replies, kReplyBytes);
  }
  uint8_t bytes[kReplyBytes];
  ByteWriter entry(bytes);
  entry.U64Be(hash);
  entry.U32Be(static_cast<uint32_t>(timers_.now().ns / 1'000'000'000));
  (void)chains_.Append(session.replies, bytes);  // without room it goes to all
}

// The user writes to `bare` from this session.
void Engine::NoteReply(Session& session, std::string_view bare) {
  if (config_.reply == Duration() || session.is_remote) {
    return;
  }
  const uint64_t hash = directory_->HashOf(bare);
  for (Session* at = session.account->sessions; at != nullptr; at = at->next_of_account) {
    (void)TakeReply(*at, hash);
  }
  PutReply(session, hash);
}

// The session from which the user last replied to `bare`; null: his messages go to all.
Session* Engine::RepliedFrom(Account& account, std::string_view bare) {
  const uint64_t hash = directory_->HashOf(bare);
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (at->replies.empty() || !TakeReply(*at, hash)) {
      continue;
    }
    if (at->available && at->priority >= 0 && at->connected && !at->doomed) {
      PutReply(*at, hash);  // the time begins anew
      return at;
    }
  }
  return nullptr;
}

void Engine::ReleaseReplies(Account& account) {
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    chains_.Free(at->replies);
  }
}

}  // namespace gh::xmpp
