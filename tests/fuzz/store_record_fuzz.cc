// What the store and the log keep on a disk that may hold anything: key records, headers of good
// copies, pages of events, the history's rows, remembered alarms, pasted certificates. The first
// byte says which.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "firmware/alarm/alarms.h"
#include "firmware/config/history.h"
#include "firmware/log/event_page.h"
#include "firmware/log/render.h"
#include "firmware/store/good_copy.h"
#include "firmware/store/key_record.h"
#include "hal/rt/crc32.h"

using namespace gh;

namespace {

void ReadPage(std::vector<uint8_t> page) {
  page.resize(log::kEventPageBytes);
  ByteWriter(std::span(page).last(4)).U32Le(Crc32(std::span(page).first(page.size() - 4)));
  const auto head = log::DecodeEventPage(page, 0);
  if (!head.ok()) {
    return;
  }
  log::Record record;
  uint64_t at = 0;
  for (uint32_t i = 0; i < 1000 && log::FindInEventPage(page, *head, at, record); ++i) {
    if (record.sequence < at || record.size > log::kRecordDataMax) {
      std::abort();
    }
    uint8_t bytes[log::kSyslogMessageMax];
    ByteWriter out(bytes);
    log::FormatSyslog(record, {"host", "app", "run"}, out);
    ByteWriter again(bytes);
    log::FormatBsdSyslog(record, {"host", "app", "run"}, again);
    at = record.sequence == UINT64_MAX ? at : record.sequence + 1;
  }
}

void ReadHistory(std::span<const uint8_t> data) {
  const auto commit = config::DecodeCommit("0000000a", data);
  if (commit.ok() && commit->kept_count > commit->change_count) {
    std::abort();
  }
  const auto change = config::DecodeChange(data);
  if (change.ok() && change->path.size() > config::kPathTextMax) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::span<const uint8_t> rest(data + 1, size - 1);
  std::vector<uint8_t> block(rest.begin(), rest.end());
  switch (data[0] % 5) {
    case 0: {
      block.resize(store::kKeyCopyBytes);
      const auto record = store::DecodeKeyRecord(block);
      if (record.ok() && record->size > store::kWrappedKeyMax) {
        std::abort();
      }
      break;
    }
    case 1:
      block.resize(store::kSectorSize);
      (void)store::DecodeCopyHeader(block);
      break;
    case 2:
      ReadPage(block);
      break;
    case 3:
      ReadHistory(rest);
      break;
    default:
      (void)alarm::DecodeAlarm(rest);
      break;
  }
  return 0;
}
