"""The house rules, as functions from files to offences. `make check` and test_tidy.py run them.

A rule takes a File and yields (line number, message); `RULES` names them all. Rules read text, not
syntax trees: they are simple, fast, and blind to what macros hide. EXCEPTIONS lists, with a reason
each, where a rule does not hold.
"""

import ast
import dataclasses
import functools
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
HEAD_LINES = 3

CXX = (".cc", ".h")
CODE = (".cc", ".h", ".S", ".ld", ".proto", ".py", ".sh", ".mk", "Makefile", "tests/run")
PRODUCT = ("hal/", "crypto/", "net/", "image/", "boot/", "firmware/", "board/")
# Programs that run on a developer's or administrator's Linux machine: the whole C++ library.
HOST_TOOLS = ("image/tool/", "image/deps/")

# Prose, patches and samples have shapes of their own.
NOT_OURS_TO_SHAPE = (".md", ".patch", ".sip", ".txt", ".xml")

# (rule, path prefix): reason
EXCEPTIONS = {
    ("banned", "board/host/boot_heap.cc"): "this is where host's malloc ends after the seal",
    ("banned", "board/host/inject.cc"): "it allocates after the seal on purpose and dies of it",
    ("banned", "board/pc/libc.cc"): "this is where bare metal's malloc ends",
    ("banned", "board/sim/"): "the simulator is a test bed: it runs on the host, with its library",
    ("include_paths", "net/lwip"): "read by lwIP's own sources, under the names it gives them",
    ("dead_files", "net/lwip"): "read by lwIP's own sources, under the names it gives them",
    ("dead_files", "crypto/mbedtls_config.h"): "installed over mbedTLS's own configuration",
}


@dataclasses.dataclass
class File:
    path: str
    text: str

    @functools.cached_property
    def lines(self):
        return self.text.split("\n")

    @functools.cached_property
    def code(self):
        """The text with comments and literals blanked out, line by line where they were."""
        return blank_out(self.text)

    @property
    def is_cxx(self):
        return self.path.endswith(CXX)

    @property
    def is_product(self):
        return self.path.startswith(PRODUCT) and not self.path.startswith(HOST_TOOLS)


LITERAL = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^()\s]{0,16})\(.*?\)(?P=tag)"'
    r"|\"(?:\\.|[^\"\\\n])*\"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'",
    re.DOTALL,
)


def blank_out(text):
    def blank(match):
        literal = match[0]
        kept = '""' if literal[0] in "\"R" else " "
        return kept + "\n" * literal.count("\n")

    # An include's name is not a literal: the rules about includes read it from the lines.
    return LITERAL.sub(blank, text)


# --- Text ----------------------------------------------------------------------------------------


def columns(file):
    if file.path.endswith(CODE):
        for number, line in enumerate(file.lines, 1):
            if len(line) > COLUMNS_MAX:
                yield number, f"{len(line)} columns, {COLUMNS_MAX} is the most"


def whitespace(file):
    makefile = file.path.endswith((".mk", "Makefile", ".S"))
    for number, line in enumerate(file.lines, 1):
        if line != line.rstrip(" \t\r"):
            yield number, "white space at the end of the line"
        if "\t" in line and not makefile:
            yield number, "a tab"
    if file.text and not file.text.endswith("\n"):
        yield len(file.lines), "no newline at the end"


def head_comment(file):
    """A .cc beside its .h is introduced there."""
    if not (file.is_cxx and file.is_product):
        return
    if file.path.endswith(".cc") and (ROOT / file.path).with_suffix(".h").exists():
        return
    if not any(line.startswith(("//", "/*")) for line in file.lines[:HEAD_LINES]):
        yield 1, "no comment at the head that says what this file is for"


def leftovers(file):
    for number, line in enumerate(file.lines, 1):
        # Written apart, so that this file passes its own rule.
        if re.search(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b", line):
            yield number, "unfinished work: finish it or open an issue"


def machine_paths(file):
    home = pathlib.Path.home()
    places = {str(place) for place in (ROOT, ROOT.parent, home)} - {"/"}
    places = "|".join(re.escape(place) + r"(?=[/\s\"':]|$)" for place in sorted(places))
    pattern = re.compile(rf"(?<![\w.])({places}|/home/\w|[.][.]/shared|\w+[.]debian[.]org)")
    for number, line in enumerate(file.lines, 1):
        found = pattern.search(line)
        if found:
            yield number, f"names a place of one machine: {found[1]}"


# --- Functions -----------------------------------------------------------------------------------

# What stands before a `{` that opens a function body: `)` and what may follow a parameter list.
BODY = re.compile(
    r"\)\s*(?:const|noexcept|override|final|mutable|volatile|&&?|->\s*[\w:<>,*&\s]+|\s)*$"
    r"|\)\s*(?:noexcept\s*)?:\s*[^;{}]*$"
)
NOT_A_FUNCTION = re.compile(r"^\s*(?:\}?\s*else\b\s*)?(?:if|for|while|switch|catch)\b")


def cxx_functions(code):
    """(first line, lines) of each outermost function body, found by its braces."""
    depth, start, begin = 0, None, 0
    line = 1
    for position, letter in enumerate(code):
        if letter == "\n":
            line += 1
        elif letter in ";{}" or letter == "#":
            if letter == "{":
                depth += 1
                head = code[begin:position]
                if start is None and BODY.search(head) and not NOT_A_FUNCTION.match(head.strip()):
                    start = (line, depth)
            elif letter == "}":
                if start and start[1] == depth:
                    yield start[0], line - start[0] + 1
                    start = None
                depth -= 1
            begin = position + 1


def function_length(file):
    if file.is_cxx:
        found = cxx_functions(file.code)
    elif file.path.endswith(".py") or file.text.startswith("#!/usr/bin/python3"):
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        nodes = [node for node in ast.walk(ast.parse(file.text)) if isinstance(node, functions)]
        found = [(node.lineno, node.end_lineno - node.lineno + 1) for node in nodes]
    else:
        return
    for number, length in found:
        if length > FUNCTION_LINES_MAX:
            yield number, f"a function of {length} lines, {FUNCTION_LINES_MAX} is the most"


# --- Words ---------------------------------------------------------------------------------------

BANNED = [
    (r"\b(?:strcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|strtok|sscanf)\s*\(",
     "cannot be given a size it keeps to"),
    (r"(?<![.>:\w])(?:malloc|calloc|realloc|free|strdup|alloca)\s*\(",
     "memory comes from the Arena, a Pool or a library's own bounded heap"),
    (r"(?<!operator )\bnew\s+(?!\()[A-Za-z_:]", "memory comes from the Arena or a Pool"),
    (r"(?<!operator )\bdelete\s*(?:\[\s*\]\s*)?[A-Za-z_(*]", "nothing is freed after the seal"),
    (r"\bstd::(?:string|wstring|vector|map|unordered_map|set|unordered_set|deque|list|function"
     r"|thread|mutex|shared_ptr|unique_ptr|make_unique|make_shared|regex|cout|cerr|any)\b",
     "allocates, blocks or is not there on bare metal"),
    (r"#\s*include\s*<(?:iostream|fstream|sstream|string|vector|map|unordered_map|set|deque|list"
     r"|functional|thread|mutex|condition_variable|future|chrono|regex|filesystem)>",
     "is not for product code"),
    (r"\b(?:throw|try|catch)\b(?=\s*[{(\w])", "there are no exceptions"),
    (r"\b(?:dynamic_cast|typeid)\b", "there is no RTTI"),
    (r"(?<![\w.:>])assert\s*\(|#\s*include\s*<cassert>", "GH_ASSERT is on in every build"),
    (r"\b(?:rand|srand)\s*\(", "randomness comes from hal::Entropy"),
    (r"__DATE__|__TIME__|__TIMESTAMP__", "makes builds differ"),
    (r"\busing\s+namespace\s+std\b", "names say where they come from"),
]


def banned(file):
    if not (file.is_cxx and file.is_product):
        return
    for number, line in enumerate(file.code.split("\n"), 1):
        for pattern, reason in BANNED:
            found = re.search(pattern, line)
            if found:
                yield number, f"`{found[0].strip()}`: {reason}"


# --- Rooms ---------------------------------------------------------------------------------------

# What each room may include. `board -> firmware -> net -> crypto -> hal`; image on crypto and hal;
# boot on image, crypto and hal. Rooms of the firmware see one another; boards see everything but
# other boards.
ARROWS = {
    "hal": [],
    "crypto": ["hal"],
    "net": ["crypto", "hal"],
    "image": ["crypto", "hal"],
    "boot": ["image", "crypto", "hal"],
    "firmware": ["net", "image", "crypto", "hal"],
    "board": ["firmware", "net", "image", "crypto", "hal", "boot"],
}
# Engines do no I/O: bytes, a peer and the time come in, bytes, timers and events go out.
ENGINES = tuple(f"firmware/{name}/" for name in ("sip", "turn", "xmpp", "presence", "mra"))
ENGINE_NET = {
    "address.h", "datagram.h", "stream.h", "resolver.h", "limits.h",
    "websocket.h", "http_request.h",  # grammars, no services
}
ENGINE_C = re.compile(
    r"<(?:lwip|netif|mbedtls|psa|sys|netinet|arpa|linux)/|<(?:unistd|fcntl|poll|time)\.h>"
)

INCLUDE = re.compile(r'^\s*#\s*include\s*("(?P<own>[^"]+)"|(?P<system><[^>]+>))')


def includes(file):
    for number, line in enumerate(file.lines, 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found["own"], found["system"]


def room_of(path):
    """The folder whose door counts: firmware/sip, board/pc, hal/rt, net."""
    parts = path.split("/")[:-1]
    return "/".join(parts[:2] if parts and parts[0] in ("firmware", "board", "hal") else parts[:1])


def arrows(file):
    top = file.path.split("/")[0]
    if not file.is_cxx or top not in ARROWS or file.path.startswith(HOST_TOOLS):
        return
    for number, own, _ in includes(file):
        if not own or "/" not in own or own.endswith((".pb.h", "version.h")):
            continue
        other = own.split("/")[0]
        if other != top and other in ARROWS and other not in ARROWS[top]:
            yield number, f"{top} must not know {other}: {own}"
        elif other == "tests":
            yield number, f"product code includes a test's header: {own}"
        elif top == other == "board" and room_of(own) not in (room_of(file.path), "board"):
            yield number, f"one board must not know another: {own}"


def doors(file):
    if not (file.is_cxx and file.is_product):
        return
    for number, own, _ in includes(file):
        if not own or own.endswith(".pb.h") or own.split("/")[0] not in ARROWS:
            continue
        inner = len(own.split("/")) - 1 > len(room_of(own).split("/"))
        if inner and room_of(own) != room_of(file.path):
            yield number, f"{own} is behind the door of {room_of(own)}"


def engines(file):
    if not (file.is_cxx and file.path.startswith(ENGINES)):
        return
    for number, own, system in includes(file):
        if system and ENGINE_C.match(system):
            yield number, f"an engine does no I/O: {system}"
        elif own and own.startswith("net/") and own.removeprefix("net/") not in ENGINE_NET:
            yield number, f"an engine sees only the network's services: {own}"


# The rooms of the firmware that join engines to the network, the store and the settings, and which
# of one another each knows. Only the appliance, in firmware/ itself, knows them all, and no room
# knows the appliance.
SERVICES = {
    "network": (),
    "trust": ("network",),
    "calls": ("network", "trust"),
    "messaging": ("network", "trust"),
}


def services(file):
    parts = file.path.split("/")
    if not (file.is_cxx and parts[0] == "firmware" and len(parts) > 2):
        return
    for number, own, _ in includes(file):
        named = (own or "").split("/")
        if named[0] != "firmware":
            continue
        if len(named) == 2:
            yield number, f"a room does not know the appliance: {own}"
        elif named[1] in SERVICES and named[1] not in (parts[1], *SERVICES.get(parts[1], ())):
            yield number, f"{parts[1]} must not know the services of {named[1]}: {own}"


def include_paths(file):
    if file.is_cxx:
        if file.path.endswith(".h") and not re.search(r"^#pragma once$", file.text, re.MULTILINE):
            yield 1, "no `#pragma once`"
        for number, own, _ in includes(file):
            generated = own and own.endswith(("version.h", ".pb.h"))
            if own and not generated and (own.startswith(".") or "/" not in own):
                yield number, f'not written from the root: "{own}"'


# --- The tree ------------------------------------------------------------------------------------

RULES = [
    columns, whitespace, head_comment, leftovers, machine_paths, function_length, banned, arrows,
    doors, engines, services, include_paths,
]


def dead_files(paths, built, texts):
    """Sources that no build compiles, and headers and schemas that nothing names."""
    for path in paths:
        if path.endswith((".cc", ".S")) and path not in built:
            yield path, "is in no build"
        elif path.endswith(".h") and not any(
            path in text for other, text in texts.items() if other != path
        ):
            yield path, "is included by nothing"


def excepted(rule, path):
    return any(name == rule and path.startswith(prefix) for name, prefix in EXCEPTIONS)


def tracked(root=ROOT):
    """Every file git has or would take, sorted."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True).stdout
    return sorted(name for name in set(names.split("\0")) if name and (root / name).is_file())


def read(path, root=ROOT):
    try:
        return (root / path).read_text()
    except UnicodeDecodeError:
        return None  # a binary sample, such as a fuzz corpus; no rule is about those


def check_tree(root=ROOT):
    """Every offence as one line of text."""
    offences = []
    texts = {path: text for path in tracked(root) if (text := read(path, root)) is not None}
    for path, text in texts.items():
        if path.startswith("tests/fuzz/corpus/") or path.endswith(NOT_OURS_TO_SHAPE):
            continue
        file = File(path, text)
        for rule in RULES:
            if not excepted(rule.__name__, path):
                offences += [f"{path}:{n}: [{rule.__name__}] {why}" for n, why in rule(file)]
    built = (root / "out/sources").read_text().split()
    for path, why in dead_files(texts, built, texts):
        if not excepted("dead_files", path):
            offences.append(f"{path}:1: [dead_files] {why}")
    return offences
