// What the proxy keeps for one request: its targets, the branches that were started, the best
// response so far. Private to the proxy's own files.
#pragma once

#include "firmware/sip/proxy.h"

namespace gh::sip {

struct Proxy::Branch {
  Context* context = nullptr;
  ClientTransaction* client = nullptr;
  Location* location = nullptr;  // while searching, and its hops afterwards
  Hop hop;                       // where it went last
  uint32_t breadth = 0;
  uint32_t* calls = nullptr;  // of the zone's peer it went to
  uint8_t target = 0;
  uint8_t peers_tried = 0;
  uint8_t peer = 0;  // the last of them
  bool pending = false;
  bool answered = false;  // any response came: no other address is tried
  bool is_cancelled = false;
  bool switched_to_tcp = false;  // because of its size; UDP is tried when that fails
  dialplan::BandwidthHold hold;  // until it ends, or becomes the call's
  uint32_t limit_kbps = 0;       // less than was wanted; 0: as wanted
};

struct Proxy::Context {
  Proxy* proxy = nullptr;
  ServerTransaction* server = nullptr;  // until a final response was sent
  Handle server_handle;
  net::Endpoint source;
  Method method = Method::kOther;
  Buffer* texts = nullptr;
  Buffer* best = nullptr;  // ready to be sent up; null: made locally from best_status
  uint64_t loop = 0;
  uint32_t breadth = 0;
  ZoneId source_zone = 0;
  Place place;  // of the sender
  Instant arrived;
  uint16_t best_status = 0;
  uint8_t target_count = 0;
  uint8_t target_next = 0;
  uint8_t pending = 0;
  bool final_sent = false;
  bool is_cancelled = false;
  bool is_initial_invite = false;
  bool is_starting = false;  // branches are being started: Advance waits
  bool lacks_bandwidth = false;
  bool is_urgent = false;
  uint8_t proof = 0;           // which Proxy-Authorization names who was proved, from 1; 0: none
  bool was_throttled = false;  // a peer that is busy was spared it
  RegistrationWay way;         // key 0: none is kept
  std::array<Target, kTargetMax> targets;
  std::array<Branch, kTargetMax> branches;

  std::string_view UriOf(const Target& target) const {
    return Text(target.uri_offset, target.uri_size);
  }
  std::string_view PathOf(const Target& target) const {
    return Text(target.path_offset, target.path_size);
  }
  std::string_view Text(size_t offset, size_t size) const {
    return {reinterpret_cast<const char*>(texts->data) + offset, size};
  }
};

}  // namespace gh::sip
