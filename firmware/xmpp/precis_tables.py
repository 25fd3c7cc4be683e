#!/usr/bin/python3
"""Writes precis_tables.inc: what RFC 8264 says of each code point, from Python's Unicode data.

    firmware/xmpp/precis_tables.py >firmware/xmpp/precis_tables.inc

The derived property is computed as section 8 of RFC 8264 orders it. Normalisation is not done, it
is demanded: what is not in form C after mapping is refused, so the tables say which code points
and which pairs of them are not, and the classes of combining marks.
"""

import sys
import unicodedata

IGNORABLE = [(0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
             (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F),
             (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0),
             (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)]
VALID = {0xDF, 0x3C2, 0x6FD, 0x6FE, 0xF0B, 0x3007}
# By context (RFC 5892 appendix A). Digits are told apart; the others are refused.
ARABIC, EXTENDED_ARABIC = range(0x660, 0x66A), range(0x6F0, 0x6FA)
REFUSED = {0xB7, 0x375, 0x5F3, 0x5F4, 0x30FB, 0x200C, 0x200D, 0x640, 0x7FA, 0x302E, 0x302F,
           *range(0x3031, 0x3036), 0x303B}
OLD_JAMO = [(0x1100, 0x11FF), (0xA960, 0xA97C), (0xD7B0, 0xD7FB)]
LETTERS = {"Ll", "Lu", "Lo", "Nd", "Lm", "Mn", "Mc"}
FREE = {"Lt", "Nl", "No", "Me", "Zs", "Sm", "Sc", "Sk", "So", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf",
        "Po"}


def within(code, ranges):
    return any(first <= code <= last for first, last in ranges)


def property_of(code):
    char = chr(code)
    category = unicodedata.category(char)
    if 0xD800 <= code <= 0xDFFF or unicodedata.normalize("NFC", char) != char:
        return "No"
    if code in VALID:
        return "Valid"
    if code in ARABIC:
        return "ArabicDigit"
    if code in EXTENDED_ARABIC:
        return "ExtendedDigit"
    if code in REFUSED or category == "Cn":
        return "No"
    if 0x21 <= code <= 0x7E:
        return "Valid"
    if within(code, OLD_JAMO) or within(code, IGNORABLE) or category == "Cc":
        return "No"
    if unicodedata.normalize("NFKC", char) != char:
        return "Free"
    if category in LETTERS:
        return "Valid"
    return "Free" if category in FREE else "No"


def mapped(code):
    char = chr(code)
    kind = unicodedata.decomposition(char).split(" ")[0]
    if kind in ("<wide>", "<narrow>"):
        char = unicodedata.normalize("NFKC", char)
    char = unicodedata.normalize("NFC", char.lower())
    return ord(char) if len(char) == 1 and ord(char) != code else None


def ranges_of(function):
    begin, value = 0, function(0)
    for code in range(1, 0x110001):
        now = function(code) if code < 0x110000 else None
        if now != value:
            yield begin, code - 1, value
            begin, value = code, now


def pairs():
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            both = "".join(chr(int(part, 16)) for part in parts)
            if unicodedata.normalize("NFC", both) == chr(code):
                yield ord(both[0]), ord(both[1])


def write(name, kind, rows):
    print(f"constexpr {kind} {name}[] = {{")
    line = ""
    for row in rows:
        if len(line) + len(row) > 90:
            print("   " + line)
            line = ""
        line += f" {row},"
    print("   " + line + "\n};")


def main():
    print("// Made by precis_tables.py from Unicode " + unicodedata.unidata_version + ".")
    write("kProperties", "PropertyRange",
          (f"{{{a:#x}, {b:#x}, Property::k{v}}}" for a, b, v in ranges_of(property_of)
           if v != "No"))
    write("kCombining", "CombiningRange",
          (f"{{{a:#x}, {b:#x}, {v}}}" for a, b, v in
           ranges_of(lambda code: unicodedata.combining(chr(code))) if v))
    write("kMapped", "Mapping",
          (f"{{{code:#x}, {mapped(code):#x}}}" for code in range(0x80, 0x110000)
           if not 0xD800 <= code <= 0xDFFF and mapped(code) is not None))
    write("kComposing", "Mapping", (f"{{{a:#x}, {b:#x}}}" for a, b in sorted(pairs())))


if __name__ == "__main__":
    sys.exit(main())
