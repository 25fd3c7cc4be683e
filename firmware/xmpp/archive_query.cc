#include "firmware/xmpp/archive_query.h"

#include <algorithm>
#include <charconv>

#include "firmware/xmpp/address.h"
#include "firmware/xmpp/stamp.h"

namespace gh::xmpp {
namespace {

std::string_view ValueOf(const Node& field) {
  const Node* value = field.Child("value", ns::kForm);
  return value != nullptr ? value->Text() : std::string_view();
}

bool Matches(const ArchiveQuery& query, const ArchiveEntry& entry) {
  if (query.with.empty() || entry.with == query.with) {
    return true;
  }
  if (query.with_is_nick) {
    return false;
  }
  Address now;  // entries stay as they were written
  const std::string_view with = IsOldForm(entry.with, now) ? now.full() : entry.with;
  return with == query.with ||
         (query.with.find('/') == std::string_view::npos && BareOf(with) == query.with);
}

}  // namespace

const char* ArchiveQuery::ReadField(std::string_view name, const Node& field, bool of_room,
                                    Archive& archive, const ArchiveLog& log,
                                    std::span<uint8_t> scratch) {
  const std::string_view value = ValueOf(field);
  int64_t time = 0;
  uint64_t number = 0;
  if (name == "with") {
    const auto address = Address::Parse(value);
    if (!address.ok()) {
      return "jid-malformed";
    }
    with_is_nick = of_room;
    with_text.Assign(of_room ? address->resource() : address->full());
    with = with_text.view();
  } else if (name == "start") {
    if (!ReadStamp(value, time)) {
      return "bad-request";
    }
    from = std::max(from, archive.FirstSince(log, time, scratch));
  } else if (name == "end") {
    if (!ReadStamp(value, before_time)) {
      return "bad-request";
    }
    end = std::min(end, archive.FirstSince(log, before_time + 1, scratch));
  } else if (name == "after-id" || name == "before-id") {
    if (!ReadArchiveId(value, number) || number < log.first || number >= log.next) {
      return "item-not-found";
    }
    from = name == "after-id" ? std::max(from, number + 1) : from;
    end = name == "before-id" ? std::min(end, number) : end;
  } else if (name == "ids") {
    ids = &field;
  } else if (name != "FORM_TYPE") {
    return "feature-not-implemented";
  }
  return nullptr;
}

const char* ArchiveQuery::ReadPage(const Node& set, const ArchiveLog& log) {
  if (const Node* most = set.Child("max", ns::kPages)) {
    const std::string_view text = most->Text();
    uint32_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
      return "bad-request";
    }
    max = std::min(value, kArchivePageMax);
  }
  uint64_t number = 0;
  if (const Node* after = set.Child("after", ns::kPages); after != nullptr) {
    if (!ReadArchiveId(after->Text(), number) || number < log.first || number >= log.next) {
      return "item-not-found";
    }
    from = std::max(from, number + 1);
  }
  if (const Node* before = set.Child("before", ns::kPages)) {
    is_backward = true;
    if (!before->Text().empty()) {
      if (!ReadArchiveId(before->Text(), number) || number < log.first || number >= log.next) {
        return "item-not-found";
      }
      end = std::min(end, number);
    }
  }
  return nullptr;
}

const char* ArchiveQuery::Read(const Node& query, bool of_room, Archive& archive,
                               const ArchiveLog& log, std::span<uint8_t> scratch) {
  query_id = query.Get("queryid");
  from = log.first;
  end = log.next;
  flips = query.Child("flip-page", ns::kArchive) != nullptr;
  const Node* form = query.Child("x", ns::kForm);
  for (const Node* field = form != nullptr ? form->FirstElement() : nullptr; field != nullptr;
       field = field->NextElement()) {
    if (const char* error = ReadField(field->Get("var"), *field, of_room, archive, log, scratch)) {
      return error;
    }
  }
  const Node* set = query.Child("set", ns::kPages);
  return set != nullptr ? ReadPage(*set, log) : nullptr;
}

bool ArchivePage::Find(const ArchiveQuery& query, Archive& archive, const ArchiveLog& log,
                       std::span<uint8_t> scratch) {
  ArchiveEntry entry;
  if (query.ids != nullptr) {
    for (const Node* value = query.ids->FirstElement(); value != nullptr;
         value = value->NextElement()) {
      uint64_t number = 0;
      if (!ReadArchiveId(value->Text(), number) || number < log.first || number >= log.next ||
          !archive.Read(log, number, scratch, entry) || count == query.max) {
        return false;
      }
      numbers[count++] = number;
    }
    return true;
  }
  const uint64_t all = query.end > query.from ? query.end - query.from : 0;
  size_t bytes = 0;
  for (uint64_t i = 0; i < all; ++i) {
    const uint64_t number = query.is_backward ? query.end - 1 - i : query.from + i;
    const bool fits = count < query.max && i < kArchiveScanMax && bytes < kArchivePageBytesMax;
    if (!fits && query.with.empty()) {
      complete = false;
      break;
    }
    // Whether the page is the last is known when nothing more matches.
    if (!archive.Read(log, number, scratch, entry) || !Matches(query, entry)) {
      if (i >= 2 * kArchiveScanMax) {
        complete = false;
        break;
      }
      continue;
    }
    if (!fits) {
      complete = false;
      break;
    }
    bytes += entry.stanza.size();
    numbers[count++] = number;
  }
  if (query.is_backward != query.flips) {
    std::reverse(numbers.begin(), numbers.begin() + count);
  }
  return true;
}

void WriteArchiveResult(const ArchiveEntry& entry, std::string_view query_id, ByteWriter& out) {
  out.Text("<result xmlns='urn:xmpp:mam:2'");
  if (!query_id.empty()) {
    WriteAttribute("queryid", query_id, out);
  }
  out.Text(" id='");
  WriteArchiveId(entry.number, out);
  out.Text("'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='");
  WriteStamp(entry.unix_seconds, out);
  out.Text("'/>");
  out.Text(entry.stanza);
  out.Text("</forwarded></result>");
}

void WriteArchiveEnd(const ArchivePage& page, const ArchiveQuery& query, const ArchiveLog& log,
                     ByteWriter& out) {
  out.Text("<fin xmlns='urn:xmpp:mam:2'");
  out.Text(page.complete ? " complete='true'>" : ">");
  out.Text("<set xmlns='http://jabber.org/protocol/rsm'>");
  if (page.count > 0) {
    // First and last are of the archive's order, however they were sent.
    const auto all = std::span(page.numbers).first(page.count);
    const auto [least, most] = std::minmax_element(all.begin(), all.end());
    out.Text("<first>");
    WriteArchiveId(*least, out);
    out.Text("</first><last>");
    WriteArchiveId(*most, out);
    out.Text("</last>");
  }
  if (query.with.empty() && query.ids == nullptr) {
    out.Text("<count>");
    out.Decimal(log.next - log.first);
    out.Text("</count>");
  }
  out.Text("</set></fin>");
}

void WriteArchiveForm(ByteWriter& out) {
  out.Text(
      "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='form'>"
      "<field type='hidden' var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>"
      "<field type='jid-single' var='with'/><field type='text-single' var='start'/>"
      "<field type='text-single' var='end'/><field type='text-single' var='before-id'/>"
      "<field type='text-single' var='after-id'/><field type='list-multi' var='ids'>"
      "<validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:string'><open/>"
      "</validate></field></x></query>");
}

void WriteArchiveMetadata(Archive& archive, const ArchiveLog& log, std::span<uint8_t> scratch,
                          ByteWriter& out) {
  out.Text("<metadata xmlns='urn:xmpp:mam:2'>");
  const uint64_t ends[] = {log.first, log.next - 1};
  for (uint32_t i = 0; i < 2 && log.first != log.next; ++i) {
    ArchiveEntry entry;
    if (archive.Read(log, ends[i], scratch, entry)) {
      out.Text(i == 0 ? "<start id='" : "<end id='");
      WriteArchiveId(entry.number, out);
      out.Text("' timestamp='");
      WriteStamp(entry.unix_seconds, out);
      out.Text("'/>");
    }
  }
  out.Text("</metadata>");
}

}  // namespace gh::xmpp
