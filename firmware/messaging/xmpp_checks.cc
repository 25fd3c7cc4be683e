// The troubleshooter of XMPP: what an operator would look for himself, each as a line that says
// whether it is well, and what to do when it is not.
#include "firmware/admin/status_text.h"
#include "firmware/messaging/xmpp_service.h"

namespace gh {
namespace {

constexpr uint32_t kNamedMax = 10;  // users named by one check; xStatus XMPP User has all

void Head(ByteWriter& out, const char* what, bool is_well) {
  out.Text("XMPP Check: ");
  out.Text(what);
  out.Text(is_well ? ": OK" : ": FAILED");
}

}  // namespace

void XmppService::AddChecksTo(admin::CommandTable& commands) {
  admin::Command check;
  check.path = "XMPP Check";
  check.help = "Looks at all of XMPP and says what is not well";
  check.context = this;
  check.only_looks = true;
  check.run = [](void*, std::string_view, ByteWriter&) -> Result<void> { return Ok(); };
  check.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<XmppService*>(self)->NextCheck(cursor, out);
  };
  commands.Add(check);
}

void XmppService::CheckLists(ByteWriter& out) {
  const uint32_t most = engine_->config().contacts_per_user;
  uint32_t full = 0;
  for (uint32_t i = 0; i < engine_->directory().capacity(); ++i) {
    const xmpp::Account* account = engine_->directory().At(i);
    full += account != nullptr && most != 0 && account->contacts.size() >= most ? 1 : 0;
  }
  Head(out, "contact lists below their limit", full == 0);
  if (full == 0) {
    return;
  }
  Tell(out, "users", full);
  out.Text(" (XMPP User Contacts):");
  uint32_t named = 0;
  for (uint32_t i = 0; i < engine_->directory().capacity() && named < kNamedMax; ++i) {
    const xmpp::Account* account = engine_->directory().At(i);
    if (account != nullptr && account->contacts.size() >= most) {
      out.Char(' ');
      out.Text(account->name.view());
      ++named;
    }
  }
}

// Users of domains that are not ours any more cannot log in.
void XmppService::CheckDomains(ByteWriter& out) {
  uint32_t strange = 0;
  std::string_view first;
  for (uint32_t i = 0; i < engine_->directory().capacity(); ++i) {
    const xmpp::Account* account = engine_->directory().At(i);
    if (account == nullptr) {
      continue;
    }
    bool is_ours = false;
    for (const auto& domain : engine_->config().domains) {
      is_ours = is_ours || (!domain.empty() && domain == account->name.view().substr(
                                                             account->name.view().find('@') + 1));
    }
    first = !is_ours && first.empty() ? account->name.view() : first;
    strange += is_ours ? 0 : 1;
  }
  Head(out, "users are of domains that are served", strange == 0);
  if (strange != 0) {
    Tell(out, "users", strange);
    Tell(out, "first", first);
    out.Text(" (xConfiguration XMPP Domain, or xCommand XMPP User Remove)");
  }
}

// Rooms whose host is not served any more are kept, but nobody reaches them (ALIAS-08).
void XmppService::CheckRooms(ByteWriter& out) {
  uint32_t unreachable = 0;
  std::string_view first;
  uint32_t cursor = 0;
  for (xmpp::RoomInfo room; engine_->rooms().NextRoom(cursor, room);) {
    const std::string_view host = room.name.substr(room.name.find('@') + 1);
    if (!engine_->rooms().Serves(host)) {
      first = first.empty() ? host : first;
      ++unreachable;
    }
  }
  Head(out, "rooms are at hosts that are served", unreachable == 0);
  if (unreachable != 0) {
    Tell(out, "rooms", unreachable);
    Tell(out, "first", first);
    out.Text(" (xConfiguration XMPP Room Alias, or xCommand XMPP Room Destroy)");
  }
}

bool XmppService::NextCheck(uint64_t& cursor, ByteWriter& out) {
  const config::Settings& settings = parts_.configuration.active();
  const bool is_on = settings.xmpp().mode == config::OnOff::kOn;
  const xmpp::ChainPool& chains = engine_->chains();
  switch (cursor++) {
    case 0:
      Head(out, "service", !is_on || listeners_.count() > 0);
      Tell(out, "mode", is_on ? "on" : "off");
      if (engine_->config().draining) {
        Tell(out, "maintenance", "on");  // nobody is let in
      }
      Tell(out, "listeners", listeners_.count());
      return true;
    case 1:
      Head(out, "domains", !is_on || engine_->config().domain_count > 0);
      Tell(out, "domains", engine_->config().domain_count);
      return true;
    case 2:
      Head(out, "store",
           parts_.store.status().persistent && !parts_.alarms.IsRaised(log::AlarmId::kXmppStore));
      Tell(out, "pending", keeper_->pending_count());
      return true;
    case 3:
      Head(out, "memory", chains.free_count() * 10 > chains.capacity());
      Tell(out, "blocks_free", chains.free_count());
      Tell(out, "blocks", chains.capacity());
      return true;
    case 4:
      Head(out, "sessions", engine_->session_count() < engine_->session_capacity());
      Tell(out, "sessions", engine_->session_count());
      Tell(out, "sessions_max", engine_->session_capacity());
      return true;
    case 5:
      Head(out, "rooms", engine_->rooms().room_count() < engine_->rooms().room_capacity());
      Tell(out, "rooms", engine_->rooms().room_count());
      return true;
    case 6:
      Head(out, "files", settings.xmpp_upload().mode == config::OnOff::kOff || uploads_->is_on());
      return true;
    case 7:
      CheckLists(out);
      return true;
    case 8:
      CheckDomains(out);
      return true;
    case 9:
      CheckRooms(out);
      return true;
    default:
      return false;
  }
}

}  // namespace gh
