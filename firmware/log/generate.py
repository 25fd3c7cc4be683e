#!/usr/bin/python3
"""Makes typed C++ events and the event table from events.proto: generate.py EVENTS.proto OUT_DIR.

Writes OUT_DIR/firmware/log/events.gen.h and events.gen.cc.
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "config"))
import descriptors  # noqa: E402

FIELD_MAX = 12
# protobuf types: C++ type, how it is written into a record.
TYPES = {9: "std::string_view", 4: "uint64_t", 3: "int64_t", 8: "bool"}
RESERVED_NAMES = {"id", "event", "sequence", "suppressed", "truncated"}


class DeclarationError(Exception):
    """A declaration that protoc accepts and we do not."""


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Event:
    """One message: a struct and a row of the table."""

    def __init__(self, message, index, schema):
        if not message.options.HasExtension(schema.event):
            raise DeclarationError(f"{message.name}: not declared as an event")
        self.message = message.name
        self.index = index
        self.options = options = message.options.Extensions[schema.event]
        self.fields = [(field.name, field.type) for field in message.field]
        self.severity = schema.EventSeverity.Name(options.severity)
        self.category = schema.EventCategory.Name(options.category)
        self.level = options.level or (3 if options.severity == 7 else
                                       2 if options.severity == 6 else 1)
        if self.level > 4:
            raise DeclarationError(f"{self.message}: levels are 1 to 4")
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", options.name) or len(options.name) > 32:
            raise DeclarationError(f"{self.message}: name '{options.name}' is not lower-case words")
        if len(self.fields) > FIELD_MAX:
            raise DeclarationError(f"{self.message}: more than {FIELD_MAX} fields")
        for name, kind in self.fields:
            if kind not in TYPES:
                raise DeclarationError(f"{self.message}.{name}: string, uint64, int64, bool only")
            # RFC 5424: an SD-NAME has at most 32 printable characters.
            if len(name) > 32 or (name in RESERVED_NAMES and name != "event"):
                raise DeclarationError(f"{self.message}.{name}: name too long or reserved")
        for name in re.findall(r"\{(\w*)\}", options.text):
            if name not in dict(self.fields):
                raise DeclarationError(f"{self.message}: text names {{{name}}}, not a field")
        if options.rate == 0 or options.burst < options.rate and options.burst == 0:
            raise DeclarationError(f"{self.message}: rate and burst must not be 0")

    def struct(self):
        out = [f"struct {self.message} {{"]
        out += [f"  {TYPES[kind]} {name} = {{}};" for name, kind in self.fields]
        out.append(f"  static constexpr uint16_t kIndex = {self.index};")
        out.append("  void Write(FieldWriter& out) const {")
        out += [f"    out.Add({name});" for name, _ in self.fields]
        if not self.fields:
            out.append("    (void)out;")
        out.append("  }\n};")
        return "\n".join(out)

    def row(self):
        options = self.options
        return (f"    {{{options.id}, {quote(options.name)}, {quote(options.text)}, "
                f"k{self.message}Fields, {len(self.fields)}, Severity::k"
                f"{self.severity.capitalize()}, Category::k{self.category.capitalize()}, "
                f"{options.rate}, {options.burst}, {self.level}}},")

    def field_names(self):
        names = ", ".join(quote(name) for name, _ in self.fields) or "nullptr"
        return f"constexpr const char* k{self.message}Fields[] = {{{names}}};"


def load(proto_path, root="."):
    """All events, and alarms as (number, NAME, options), in order."""
    file, schema = descriptors.load(proto_path, "firmware/log/event_schema.proto", root)
    events = [Event(m, i, schema) for i, m in enumerate(file.message_type)]
    for key in ("id", "name"):
        seen = {}
        for event in events:
            value = getattr(event.options, key)
            if value in seen:
                raise DeclarationError(f"{event.message}: {key} {value} is that of {seen[value]}")
            seen[value] = event.message
    alarms = []
    for enum in file.enum_type:
        for value in enum.value:
            if value.number != 0:
                alarms.append((value.number, value.name, value.options.Extensions[schema.alarm],
                               schema))
    return events, alarms


HEADER = """// Generated from firmware/log/events.proto by firmware/log/generate.py. Do not edit.
#pragma once

#include <cstdint>
#include <string_view>

#include "firmware/log/event.h"

namespace gh::log {
"""


def constant(name):
    return "k" + "".join(part.capitalize() for part in name.split("_"))


def header(events, alarms):
    out = [HEADER, f"inline constexpr uint32_t kEventCount = {len(events)};",
           "extern const EventInfo kEvents[kEventCount];\n", "namespace event {"]
    out += [event.struct() for event in events]
    out.append("}  // namespace event\n")
    out.append("enum class AlarmId : uint32_t {")
    out += [f"  {constant(name)} = {number}," for number, name, _, _ in alarms]
    out.append("};")
    out.append(f"inline constexpr uint32_t kAlarmCount = {len(alarms)};")
    out.append("extern const AlarmInfo kAlarms[kAlarmCount];\n\n}  // namespace gh::log\n")
    return "\n".join(out)


def source(events, alarms):
    out = ["// Generated from firmware/log/events.proto by firmware/log/generate.py. Do not edit.",
           '#include "firmware/log/events.gen.h"\n', "namespace gh::log {", "namespace {"]
    out += [event.field_names() for event in events]
    out.append("}  // namespace\n\nconst EventInfo kEvents[kEventCount] = {")
    out += [event.row() for event in events]
    out.append("};\n\nconst AlarmInfo kAlarms[kAlarmCount] = {")
    for number, _, options, schema in alarms:
        level = schema.EventSeverity.Name(options.level).capitalize()
        out.append(f"    {{{number}, {quote(options.title)}, {quote(options.action)}, "
                   f"Severity::k{level}}},")
    out.append("};\n\n}  // namespace gh::log\n")
    return "\n".join(out)


def main(arguments):
    proto_path, out_dir = arguments
    try:
        events, alarms = load(proto_path)
    except DeclarationError as error:
        sys.exit(f"{proto_path}: {error}")
    folder = pathlib.Path(out_dir) / "firmware/log"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.gen.h").write_text(header(events, alarms), encoding="utf-8")
    (folder / "events.gen.cc").write_text(source(events, alarms), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
