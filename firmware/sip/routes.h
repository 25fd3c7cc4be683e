// Which of our addresses faces another: asked where there are several, so that a message leaves by
// the listener of the interface it takes, and says that one's address.
#pragma once

#include "net/address.h"

namespace gh::sip {

class Routes {
 public:
  // None: there is no way there.
  virtual net::IpAddress SourceFor(const net::IpAddress& destination) = 0;

 protected:
  ~Routes() = default;
};

}  // namespace gh::sip
