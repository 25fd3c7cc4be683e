// What is asked of an archive (XEP-0313 with its extended part, pages by XEP-0059), and one page
// of the answer. The same for users and rooms.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/xmpp/archive.h"
#include "firmware/xmpp/xml.h"

namespace gh::xmpp {

struct ArchiveQuery {
  std::string_view query_id;
  std::string_view with;      // prepared; "" is everybody
  bool with_is_nick = false;  // compared as it is, not as an address
  FixedString<kAddressMax> with_text;
  uint64_t from = 0;  // numbers, `end` behind the last
  uint64_t end = 0;
  int64_t before_time = INT64_MAX;  // entries later than this are left out
  const Node* ids = nullptr;        // the field that names entries
  uint32_t max = 50;
  bool is_backward = false;
  bool flips = false;

  // Null, or the condition of the error that answers it.
  const char* Read(const Node& query, bool of_room, Archive& archive, const ArchiveLog& log,
                   std::span<uint8_t> scratch);

 private:
  const char* ReadField(std::string_view name, const Node& field, bool of_room, Archive& archive,
                        const ArchiveLog& log, std::span<uint8_t> scratch);
  const char* ReadPage(const Node& set, const ArchiveLog& log);
};

struct ArchivePage {
  std::array<uint64_t, kArchivePageMax> numbers = {};  // in the order they are sent
  uint32_t count = 0;
  bool complete = true;

  // False: an entry that was asked for by its id is not there.
  bool Find(const ArchiveQuery& query, Archive& archive, const ArchiveLog& log,
            std::span<uint8_t> scratch);
};

// <result/> for an entry, without the message around it.
void WriteArchiveResult(const ArchiveEntry& entry, std::string_view query_id, ByteWriter& out);
// <fin/>
void WriteArchiveEnd(const ArchivePage& page, const ArchiveQuery& query, const ArchiveLog& log,
                     ByteWriter& out);
// The answer to a query by "get": which fields there are.
void WriteArchiveForm(ByteWriter& out);
// <metadata/>
void WriteArchiveMetadata(Archive& archive, const ArchiveLog& log, std::span<uint8_t> scratch,
                          ByteWriter& out);

}  // namespace gh::xmpp
