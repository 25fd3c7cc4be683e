// The pages of xStatus about the appliance as a whole and its engines.
#pragma once

#include <cstdint>

#include "firmware/appliance.h"
#include "hal/rt/bytes.h"

namespace gh {

namespace admin {
class StatusTree;
}

class StatusPages {
 public:
  // The rooms are asked when a page is read; they outlive the pages.
  void AddTo(admin::StatusTree& tree, const void* rooms);

 private:
  bool NextSystem(uint64_t& cursor, ByteWriter& out);
  bool NextMemory(uint64_t& cursor, ByteWriter& out);
  bool NextPool(uint64_t& cursor, ByteWriter& out);
  bool NextLoop(uint64_t& cursor, ByteWriter& out);
  bool NextStore(uint64_t& cursor, ByteWriter& out);
  bool NextAlarm(uint64_t& cursor, ByteWriter& out);
  bool NextCrashRecord(uint64_t& cursor, ByteWriter& out);
  bool NextPort(uint64_t& cursor, ByteWriter& out);
  bool NextNetwork(uint64_t& cursor, ByteWriter& out);
  bool NextFirewall(uint64_t& cursor, ByteWriter& out);
  bool NextSip(uint64_t& cursor, ByteWriter& out);
  bool NextRegistration(uint64_t& cursor, ByteWriter& out);
  bool NextPresence(uint64_t& cursor, ByteWriter& out);
  bool NextWatch(uint64_t& cursor, ByteWriter& out);
  bool NextCall(uint64_t& cursor, ByteWriter& out);
  bool NextSyslog(uint64_t& cursor, ByteWriter& out);
  bool NextLog(uint64_t& cursor, ByteWriter& out);

  const void* rooms_ = nullptr;
};

}  // namespace gh
