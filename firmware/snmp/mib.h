// What the agent serves: objects in the order of their names, values asked one at a time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/snmp/ber.h"

namespace gh::snmp {

struct Value {
  Tag tag = kNull;
  int64_t number = 0;  // kInteger
  uint64_t count = 0;  // counters, gauges, ticks
  std::array<uint8_t, kTextMax> text = {};
  uint32_t text_size = 0;
  Oid oid;

  void SetText(std::string_view from);
  void SetInteger(int64_t value) {
    tag = kInteger;
    number = value;
  }
  void SetCount(Tag kind, uint64_t value) {
    tag = kind;
    count = kind == kCounter64 ? value : static_cast<uint32_t>(value);
  }
  void Write(BerWriter& out) const;
};

// One object: a scalar, or a column whose rows have one number.
struct Object {
  Oid name;  // without the instance
  uint16_t id = 0;
  bool is_column = false;
};

class Source {
 public:
  // False: there is no such row.
  virtual bool Read(uint16_t id, uint32_t row, Value& out) const = 0;
  // The first row behind `row` (of a column); 0: none. Rows are counted from 1.
  virtual uint32_t NextRow(uint16_t id, uint32_t row) const = 0;

 protected:
  ~Source() = default;
};

class Mib {
 public:
  // `objects` are sorted by name and live on.
  Mib(std::span<const Object> objects, const Source& source) : objects_(objects), source_(source) {}
  // The value, or kNoSuchObject / kNoSuchInstance.
  void Get(const Oid& name, Value& out) const;
  // The first object behind `name`, which is changed to its name; or kEndOfMibView.
  void Next(Oid& name, Value& out) const;

 private:
  std::span<const Object> objects_;
  const Source& source_;
};

}  // namespace gh::snmp
