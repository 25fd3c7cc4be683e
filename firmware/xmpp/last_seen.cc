// When users were last here (XEP-0012): told to those who see them, and kept for after a restart.
//
// A row says when its user left; who is here has none, so that after a power cut nobody is said to
// have been away while he was not. Rows are written behind, some at a time: a storm of log-outs
// costs no flush of its own, and a power cut costs what happened in its last seconds. An orderly
// stop writes all. A row: u8 version, u64 seconds of Unix.
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr uint8_t kRowVersion = 1;

}  // namespace

Result<void> Directory::LoadSeen(Account& account, std::span<const uint8_t> value) {
  ByteReader reader(value);
  const uint8_t version = reader.U8();
  const auto left = static_cast<int64_t>(reader.U64Be());
  if (!reader.ok() || version != kRowVersion || left < kTimeIsSet) {
    return Error{ErrorCode::kCorrupt, "when a user of XMPP was last here is not readable"};
  }
  account.left = left;
  account.has_seen_row = true;
  return Ok();
}

void Directory::NoteSeen(Account& account) {
  seen_unkept_count_ += account.is_seen_unkept ? 0 : 1;
  account.is_seen_unkept = true;
}

bool Directory::KeepSeen(Account& account) {
  const bool has_left = account.session_count == 0 && account.left >= kTimeIsSet;
  uint8_t bytes[16];
  ByteWriter row(bytes);
  row.U8(kRowVersion);
  row.U64Be(static_cast<uint64_t>(account.left));
  const RowKey key('d', account.id);
  if (has_left || account.has_seen_row) {
    if ((has_left ? keeper_.Put(key, row.written()) : keeper_.Remove(key)) == 0) {
      return false;
    }
    account.has_seen_row = has_left;
  }
  seen_unkept_count_ -= account.is_seen_unkept ? 1 : 0;
  account.is_seen_unkept = false;
  return true;
}

bool Directory::KeepSeen(uint32_t accounts_max, uint32_t rows_max) {
  uint32_t rows = 0;
  const auto count = std::min(accounts_max, static_cast<uint32_t>(by_id_.size()));
  for (uint32_t i = 0; i < count && seen_unkept_count_ > 0 && rows < rows_max; ++i) {
    Account* account = by_id_[seen_at_];
    if (account != nullptr && account->is_seen_unkept) {
      if (!KeepSeen(*account)) {
        return false;
      }
      ++rows;
    }
    seen_at_ = (seen_at_ + 1) % static_cast<uint32_t>(by_id_.size());
  }
  return seen_unkept_count_ == 0;
}

void Engine::NoteSeen(Account& account) {
  directory_->NoteSeen(account);
  if (!seen_timer_.armed()) {
    timers_.Arm(seen_timer_, Duration::Seconds(kSeenSeconds));
  }
}

void Engine::OnSeenTimer() {
  if (!directory_->KeepSeen(kSeenWalkMax, kSeenRowsMax)) {
    timers_.Arm(seen_timer_, Duration::Seconds(1));
  }
}

// False: it is not known, for he has not been here since the last power cut, or the clock was not
// set when he left, or is not now.
bool Engine::TellLastActivity(Session& session, const Node& stanza, Account& account) {
  const int64_t now = host_.UnixSeconds();
  const bool is_here = IsHereFor(account, session);
  const bool is_known =
      account.left != 0 && now >= account.left && (now < kTimeIsSet) == (account.left < kTimeIsSet);
  if (!is_here && !is_known) {
    return false;
  }
  ByteWriter out(scratch2_);
  out.Text("<query xmlns='jabber:iq:last' seconds='");
  out.Decimal(is_here ? 0 : static_cast<uint64_t>(now - account.left));
  out.Text("'/>");
  SendResult(session, stanza, out.text(), stanza.Get("to"));
  return true;
}

}  // namespace gh::xmpp
