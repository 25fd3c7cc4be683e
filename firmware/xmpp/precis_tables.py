#!/usr/bin/python3
"""Writes precis_tables.inc: what RFC 8264 says of each code point, from Python's Unicode data, and
what that does not know (scripts, joining types) from Perl's, which has to be of the same version.

    firmware/xmpp/precis_tables.py >firmware/xmpp/precis_tables.inc

The derived property is computed as section 8 of RFC 8264 orders it; those that depend on what is
beside them (RFC 5892 appendix A) are named. Canonical decompositions are one step each.
"""

import subprocess
import sys
import unicodedata

IGNORABLE = [(0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
             (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F),
             (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0),
             (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)]
VALID = {0xDF, 0x3C2, 0x6FD, 0x6FE, 0xF0B, 0x3007}
# By context (RFC 5892 appendix A).
ARABIC, EXTENDED_ARABIC = range(0x660, 0x66A), range(0x6F0, 0x6FA)
CONTEXT = {0xB7, 0x375, 0x5F3, 0x5F4, 0x30FB, 0x200C, 0x200D}
REFUSED = {0x640, 0x7FA, 0x302E, 0x302F, *range(0x3031, 0x3036), 0x303B}
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
    if code in CONTEXT:
        return "Context"
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


def steps():
    """Each code point that decomposes, into what, and whether that composes again."""
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if parts and not parts[0].startswith("<"):
            codes = [int(part, 16) for part in parts]
            assert all(not unicodedata.decomposition(chr(part)) for part in codes[1:])
            composes = len(codes) == 2 and unicodedata.normalize("NFC", chr(code)) == chr(code)
            yield code, codes[0], codes[1] if len(codes) == 2 else 0, composes


def by_perl(properties):
    """Ranges of code points that have a property of Perl's, each with the name it is given."""
    program = """
        use Unicode::UCD; print Unicode::UCD::UnicodeVersion(), "\\n";
        my @pairs = map { [split /:/] } @ARGV;
        for my $code (0..0x10ffff) {
            next if $code >= 0xd800 && $code <= 0xdfff;
            for (@pairs) { print "$code $$_[1]\\n" if chr($code) =~ /\\p{$$_[0]}/; }
        }"""
    out = subprocess.run(["perl", "-e", program, *properties], check=True, capture_output=True,
                         text=True).stdout.splitlines()
    assert out[0] == unicodedata.unidata_version, out[0]
    names = {int(code): name for code, name in (line.split() for line in out[1:])}
    return ((a, b, v) for a, b, v in ranges_of(names.get) if v)


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
    rows = list(steps())
    write("kDecomposed", "Decomposition",
          (f"{{{code:#x}, {a:#x}, {b:#x}}}" for code, a, b, _ in rows))
    write("kComposed", "Composition",
          (f"{{{a:#x}, {b:#x}, {code:#x}}}" for a, b, code in
           sorted((a, b, code) for code, a, b, composes in rows if composes)))
    write("kDirections", "DirectionRange",
          (f"{{{a:#x}, {b:#x}, Direction::k{v}}}" for a, b, v in
           ranges_of(lambda code: unicodedata.bidirectional(chr(code)) or "L")
           if v in {"R", "AL", "AN", "EN", "ES", "CS", "ET", "ON", "BN", "NSM"}))
    write("kJoining", "JoiningRange",
          (f"{{{a:#x}, {b:#x}, Joining::k{v}}}" for a, b, v in
           by_perl(["jt=D:Dual", "jt=L:Left", "jt=R:Right", "jt=T:Transparent"])))
    write("kScripts", "ScriptRange",
          (f"{{{a:#x}, {b:#x}, Script::k{v}}}" for a, b, v in
           by_perl(["sc=Greek:Greek", "sc=Hebrew:Hebrew", "sc=Hiragana:Kana", "sc=Katakana:Kana",
                    "sc=Han:Kana"])))


if __name__ == "__main__":
    sys.exit(main())
