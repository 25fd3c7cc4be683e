#include "firmware/snmp/mib.h"

#include <algorithm>
#include <cstring>

namespace gh::snmp {

void Value::SetText(std::string_view from) {
  tag = kOctetString;
  text_size = static_cast<uint32_t>(std::min(from.size(), text.size()));
  if (text_size > 0) {
    std::memcpy(text.data(), from.data(), text_size);
  }
}

void Value::Write(BerWriter& out) const {
  switch (tag) {
    case kInteger:
      out.Integer(number);
      return;
    case kOctetString:
    case kIpAddress:
      out.Octets(std::span(text).first(text_size), tag);
      return;
    case kObjectId:
      out.ObjectId(oid.view());
      return;
    case kCounter32:
    case kGauge32:
    case kTimeTicks:
    case kCounter64:
      out.Unsigned(count, tag);
      return;
    default:
      out.Empty(tag);
  }
}

void Mib::Get(const Oid& name, Value& out) const {
  out.tag = kNoSuchObject;
  for (const Object& object : objects_) {
    const auto prefix = object.name.view();
    if (name.size <= prefix.size() || Compare(name.view().first(prefix.size()), prefix) != 0) {
      continue;
    }
    out.tag = kNoSuchInstance;
    if (name.size != prefix.size() + 1) {
      return;
    }
    const uint32_t row = name.ids[prefix.size()];
    if ((row == 0) == object.is_column || !source_.Read(object.id, row, out)) {
      out.tag = kNoSuchInstance;
    }
    return;
  }
}

void Mib::Next(Oid& name, Value& out) const {
  for (const Object& object : objects_) {
    const auto prefix = object.name.view();
    const size_t common = std::min<size_t>(name.size, prefix.size());
    const int order = Compare(name.view().first(common), prefix.first(common));
    if (order > 0) {
      continue;  // all of this object's instances come before
    }
    // Behind which row: of an object that begins behind `name`, none.
    const bool inside = order == 0 && name.size > prefix.size();
    const uint32_t behind = inside ? name.ids[prefix.size()] : 0;
    uint32_t row = 0;
    if (object.is_column) {
      row = source_.NextRow(object.id, behind);
      if (row == 0) {
        continue;
      }
    } else if (inside) {
      continue;  // a scalar's only instance is 0
    }
    if (!source_.Read(object.id, row, out)) {
      continue;
    }
    name = object.name;
    name.Append(row);
    return;
  }
  out.tag = kEndOfMibView;
}

}  // namespace gh::snmp
