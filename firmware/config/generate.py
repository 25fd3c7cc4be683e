#!/usr/bin/python3
"""Makes C++ tables and typed accessors from settings.proto: generate.py SETTINGS.proto OUT_DIR.

Reads the declarations through protoc's descriptor set, so that a declaration protoc refuses never
gets here; refuses what protoc cannot know (a default outside its range, two settings of one path).
Writes OUT_DIR/firmware/config/settings.gen.h and settings.gen.cc.
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import descriptors  # noqa: E402

TEXT_MAX = 255
STRING_KINDS = {"AUTO": ("kString", 127), "HOST_NAME": ("kHostName", 127), "HOST": ("kHost", 127),
                "USER_NAME": ("kUserName", 63), "SSH_KEY": ("kSshKey", 254),
                "WORD_LIST": ("kWordList", 254), "SECRET": ("kSecretText", 128)}
OTHER_KINDS = {"IP_ADDRESS": ("kIpAddress", "net::IpAddress"),
               "IPV4_ADDRESS": ("kIpv4Address", "net::IpAddress"),
               "IPV6_ADDRESS": ("kIpv6Address", "net::IpAddress"),
               "IP_PREFIX": ("kIpPrefix", "net::IpPrefix"),
               "ADMIN_PASSWORD": ("kAdminPassword", "AdminSecret"),
               "DIGEST_PASSWORD": ("kDigestPassword", "DigestSecret")}
PATH = re.compile(r"[A-Z][A-Za-z0-9]*( [A-Z][A-Za-z0-9]*)*|sshd_[a-z]+")  # as R-TLS-07 has it


class DeclarationError(Exception):
    """A declaration that protoc accepts and we do not."""


def camel(name):
    return "".join(part.capitalize() for part in name.split("_"))


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class EnumType:
    """An enum: the C++ names and the operator's words."""

    def __init__(self, proto, schema):
        self.name = proto.name
        self.values = []
        words = set()
        for value in proto.value:
            text = value.options.Extensions[schema.text]
            if not re.fullmatch(r"[A-Za-z0-9-]+", text):
                raise DeclarationError(f"{proto.name}.{value.name}: text is missing or not a word")
            if text.lower() in words:
                raise DeclarationError(f"{proto.name}: '{text}' is there twice")
            words.add(text.lower())
            self.values.append((value.number, self.constant(text), text))
        if [v[0] for v in self.values] != list(range(len(self.values))):
            raise DeclarationError(f"{proto.name}: numbers must be 0, 1, 2, ... in order")

    @staticmethod
    def constant(text):
        def word(part):
            return part[:1].upper() + (part[1:].lower() if part.isupper() else part[1:])
        return "k" + "".join(word(part) for part in text.split("-"))

    def index_of(self, text):
        for number, _, word in self.values:
            if word == text:
                return number
        raise DeclarationError(f"{self.name}: no value '{text}'")


class Setting:
    """One field: its C++ type and initialiser, and its row of the table."""

    def __init__(self, field, group, enums, schema):
        if not field.options.HasExtension(schema.setting):
            raise DeclarationError(f"{group.message}.{field.name}: not declared as a setting")
        options = field.options.Extensions[schema.setting]
        self.member = field.name
        self.group = group
        self.options = options
        self.where = f"{group.message}.{field.name}"
        self.enum = None
        self.words = []
        if not PATH.fullmatch(options.path):
            raise DeclarationError(f"{self.where}: path '{options.path}' is not Capitalised words")
        if not options.help:
            raise DeclarationError(f"{self.where}: no help")
        self.min, self.max = options.min, options.max
        self.default = options.default
        kind = schema.Kind.Name(options.kind)
        if field.type == field.TYPE_ENUM:
            self.init_enum(field, enums)
        elif field.type == field.TYPE_INT32:
            self.init_integer()
        elif field.type == field.TYPE_STRING:
            self.init_string(kind)
        else:
            raise DeclarationError(f"{self.where}: only enum, int32 and string fields are settings")

    def init_enum(self, field, enums):
        self.enum = enums[field.type_name.split(".")[-1]]
        number = self.enum.index_of(self.default)
        self.kind = "kEnum"
        self.cpp_type = self.enum.name
        self.initialiser = f" = {self.enum.name}::{self.enum.values[number][1]}"

    def init_integer(self):
        if not (self.options.HasField("min") and self.options.HasField("max")):
            raise DeclarationError(f"{self.where}: an integer needs min and max")
        if not self.min <= int(self.default) <= self.max:
            raise DeclarationError(f"{self.where}: default {self.default} is outside "
                                   f"{self.min}..{self.max}")
        if not -2**31 <= self.min <= self.max < 2**31:
            raise DeclarationError(f"{self.where}: range does not fit 32 bits")
        self.kind = "kInteger"
        self.cpp_type = "int32_t"
        self.initialiser = f" = {int(self.default)}"

    def init_string(self, kind):
        if kind in OTHER_KINDS:
            if self.default:
                raise DeclarationError(f"{self.where}: {kind} has no default but 'not set'")
            self.kind, self.cpp_type = OTHER_KINDS[kind]
            self.initialiser = ""
            return
        self.kind, limit = STRING_KINDS[kind]
        self.max = self.max or limit
        if self.max > TEXT_MAX or self.min > self.max:
            raise DeclarationError(f"{self.where}: lengths must be 0..{TEXT_MAX}")
        if len(self.default) > self.max:
            raise DeclarationError(f"{self.where}: default is longer than {self.max}")
        self.cpp_type = f"Text<{self.max}>"
        self.initialiser = f"{{{quote(self.default)}}}" if self.default else ""
        if kind == "WORD_LIST":
            self.words = list(self.options.words)
            listed = self.default.split(",") if self.default else []
            if not self.words or not set(listed) <= set(self.words):
                raise DeclarationError(f"{self.where}: a word list needs its words")

    @property
    def words_name(self):
        return f"{self.group.message}{camel(self.member)}"

    @property
    def is_secret(self):
        return self.kind in ("kAdminPassword", "kDigestPassword", "kSecretText")

    def row(self):
        options = self.options
        enum = f"&k{self.enum.name}Info" if self.enum else "nullptr"
        enum = f"&k{self.words_name}Info" if self.words else enum
        flags = " | ".join(
            (["kSettingSecret"] if self.is_secret else []) +
            (["kSettingRestart"] if options.restart else [])) or "0"
        return (f"    {{{quote(options.path)}, {quote(options.help)}, {quote(self.default)}, "
                f"{quote(options.unit)}, {quote(options.spec)}, {enum}, {self.min}, {self.max}, "
                f"offsetof({self.group.message}, {self.member}), {self.group.index}, "
                f"Kind::{self.kind}, {flags}}},")


class Group:
    """One message: a struct and a row of the group table."""

    def __init__(self, message, index, enums, schema):
        if not message.options.HasExtension(schema.group):
            raise DeclarationError(f"{message.name}: not declared as a group")
        options = message.options.Extensions[schema.group]
        self.message = message.name
        self.index = index
        self.path = options.path
        self.count = options.count
        self.by_capacity = options.by_capacity
        self.administrator_only = options.administrator_only
        self.accessor = re.sub(r"(?<!^)(?=[A-Z])", "_", message.name).lower()
        if not PATH.fullmatch(self.path):
            raise DeclarationError(f"{message.name}: path '{self.path}' is not Capitalised words")
        self.settings = [Setting(field, self, enums, schema) for field in message.field]


def in_branches(messages, schema):
    """Messages in the order of the tree: what shares its first words stands together, so that a
    listing opens each branch once; otherwise as declared."""
    paths = [tuple(m.options.Extensions[schema.group].path.split()) for m in messages]

    def place(path):
        return [next(i for i, other in enumerate(paths) if other[:depth] == path[:depth])
                for depth in range(1, len(path) + 1)]

    return [message for _, message in sorted(zip(paths, messages), key=lambda pair: place(pair[0]))]


def reopened(paths):
    """The first path that goes back into a branch which other paths have left, or None: in a
    listing the branch would stand twice."""
    left, before = set(), []
    for path in paths:
        words = path.split()[:-1]
        branches = [tuple(words[:depth]) for depth in range(1, len(words) + 1)]
        if any(branch in left for branch in branches):
            return path
        left.update(branch for branch in before if branch not in branches)
        before = branches
    return None


def load(proto_path, root="."):
    """All groups and enums of a declaration file, in order."""
    file, schema = descriptors.load(proto_path, "firmware/config/schema.proto", root)
    enums = {proto.name: EnumType(proto, schema) for proto in file.enum_type}
    messages = in_branches(file.message_type, schema)
    groups = [Group(m, i, enums, schema) for i, m in enumerate(messages)]
    seen = {}
    for group in groups:
        if again := reopened(setting.options.path for setting in group.settings):
            raise DeclarationError(f"{group.path} {again}: its branch stands further up")
        for setting in group.settings:
            path = f"{group.path}{' #' if group.count else ''} {setting.options.path}".lower()
            if path in seen:
                raise DeclarationError(f"{setting.where}: path is that of {seen[path]}")
            seen[path] = setting.where
    return list(enums.values()), groups


HEADER = """// Generated from settings.proto by firmware/config/generate.py. Do not edit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "firmware/config/types.h"
#include "net/address.h"

namespace gh::config {
"""


def header(enums, groups):
    out = [HEADER]
    for enum in enums:
        constants = ", ".join(f"{c} = {n}" for n, c, _ in enum.values)
        out.append(f"enum class {enum.name} : uint8_t {{ {constants} }};")
    for group in groups:
        out.append(f"\n// {group.path}{' 1..' + str(group.count) if group.count else ''}")
        out.append(f"struct {group.message} {{")
        for setting in group.settings:
            out.append(f"  // {setting.options.help}.")
            out.append(f"  {setting.cpp_type} {setting.member}{setting.initialiser};")
        out.append("};")
    out.append("\nenum class GroupId : uint8_t {")
    out.extend(f"  k{group.message} = {group.index}," for group in groups)
    out.append("};")
    settings = sum(len(group.settings) for group in groups)
    out.append(f"inline constexpr uint32_t kGroupCount = {len(groups)};")
    out.append(f"inline constexpr uint32_t kSettingCount = {settings};")
    out.append("extern const GroupInfo kGroups[kGroupCount];")
    out.append("extern const SettingInfo kSettings[kSettingCount];\n")
    out.append("// Typed reading; Base gives the bytes (firmware/config/settings.h).")
    out.append("template <typename Base>\nclass TypedSettings : public Base {\n public:")
    out.append("  using Base::Base;")
    for group in groups:
        if group.count:
            out.append(f"  std::span<const {group.message}> {group.accessor}() const {{\n"
                       f"    return this->template Table<{group.message}>({group.index});\n  }}")
        else:
            out.append(f"  const {group.message}& {group.accessor}() const {{\n"
                       f"    return this->template Table<{group.message}>({group.index})[0];\n  }}")
    out.append("};\n\n}  // namespace gh::config\n")
    return "\n".join(out)


def source(enums, groups):
    out = ["// Generated from firmware/config/settings.proto by firmware/config/generate.py. "
           "Do not edit.", '#include "firmware/config/settings.gen.h"', "",
           "#include <new>", "#include <type_traits>", "", "namespace gh::config {", "namespace {"]
    for enum in enums:
        words = ", ".join(quote(text) for _, _, text in enum.values)
        out.append(f"constexpr const char* k{enum.name}Words[] = {{{words}}};")
        out.append(f"constexpr EnumInfo k{enum.name}Info = {{k{enum.name}Words, "
                   f"{len(enum.values)}}};")
    for setting in (setting for group in groups for setting in group.settings if setting.words):
        words = ", ".join(quote(text) for text in setting.words)
        out.append(f"constexpr const char* k{setting.words_name}Words[] = {{{words}}};")
        out.append(f"constexpr EnumInfo k{setting.words_name}Info = {{k{setting.words_name}Words, "
                   f"{len(setting.words)}}};")
    for group in groups:
        out.append(f"static_assert(std::is_trivially_copyable_v<{group.message}>);")
    out.append("template <typename T>\nvoid Construct(void* place) {\n  new (place) T();\n}")
    out.append("}  // namespace\n")
    out.append("const GroupInfo kGroups[kGroupCount] = {")
    first = 0
    for group in groups:
        out.append(f"    {{{quote(group.path)}, {group.count}, {str(group.by_capacity).lower()}, "
                   f"{str(group.administrator_only).lower()}, {first}, "
                   f"{len(group.settings)}, sizeof({group.message}), "
                   f"Construct<{group.message}>}},")
        first += len(group.settings)
    out.append("};\n")
    out.append("const SettingInfo kSettings[kSettingCount] = {")
    for group in groups:
        out.extend(setting.row() for setting in group.settings)
    out.append("};\n\n}  // namespace gh::config\n")
    return "\n".join(out)


def main(arguments):
    proto_path, out_dir = arguments
    try:
        enums, groups = load(proto_path)
    except DeclarationError as error:
        sys.exit(f"{proto_path}: {error}")
    folder = pathlib.Path(out_dir) / "firmware/config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.gen.h").write_text(header(enums, groups), encoding="utf-8")
    (folder / "settings.gen.cc").write_text(source(enums, groups), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
