// Who exchanges keys and never logs in: a key exchange costs us a millisecond or two, so each
// address has an allowance of them, and is refused at the door when it is used up.
//
// An exchange that ends without a log-in is a debt of kStrangerSeconds; an address owes at most
// kStrangerBurst of them. The table is small: whoever owes least makes room, so that many addresses
// cannot wash one away that owes much, and it is the rate of all new connections that bounds them.
#pragma once

#include <array>

#include "firmware/admin/ssh/limits.h"
#include "hal/rt/time.h"
#include "net/address.h"

namespace gh::ssh {

class Strangers {
 public:
  // `source`: an address, of IPv6 the first of its /64.
  bool Admits(const net::IpAddress& source, Instant now) const {
    for (const Entry& entry : entries_) {
      if (entry.source == source) {
        return entry.paid_at - now <= Duration::Seconds(kStrangerSeconds * (kStrangerBurst - 1));
      }
    }
    return true;
  }
  void Charge(const net::IpAddress& source, Instant now) {
    Entry* place = &entries_[0];
    for (Entry& entry : entries_) {
      if (entry.source == source) {
        place = &entry;
        break;
      }
      place = entry.paid_at < place->paid_at ? &entry : place;
    }
    if (!(place->source == source)) {
      *place = {source, now};
    }
    place->paid_at =
        (place->paid_at < now ? now : place->paid_at) + Duration::Seconds(kStrangerSeconds);
  }

 private:
  struct Entry {
    net::IpAddress source;
    Instant paid_at;
  };
  std::array<Entry, kStrangerMax> entries_ = {};
};

}  // namespace gh::ssh
