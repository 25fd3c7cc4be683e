#!/usr/bin/python3
"""Writes the reference manual and the settings' JSON schema from the declarations: make docs.

reference.py OUT_DIR writes OUT_DIR/reference.md and OUT_DIR/settings.schema.json. Settings, events
and alarms come from their .proto declarations; commands and status pages from the tables that the
rooms give to admin::CommandTable and admin::StatusTree, read from their source.
"""
import importlib.util
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
TEXT = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
COMMANDS = [
    re.compile(r"\bCommand\s+(\w+)\s*=\s*\{\s*(?:\.path\s*=\s*)?" + TEXT +
               r",\s*(?:\.help\s*=\s*)?" + TEXT),
    re.compile(r"commands(\.)Add\(\s*\{\s*(?:\.path\s*=\s*)?" + TEXT +
               r",\s*(?:\.help\s*=\s*)?" + TEXT),
    # A helper that adds one: AddAdd<...>(commands, path, help).
    re.compile(r"\bAdd\w+(?:<[^;{]*?>)?\((commands),\s*" + TEXT + r",\s*" + TEXT),
]
COPIED = re.compile(r"(\w+)\.path\s*=\s*" + TEXT + r";\s*\w+\.help\s*=\s*" + TEXT)
# A row of a table of commands: path, help, what value it takes, perhaps a question, and the
# function behind them.
ROW = re.compile(r"\{()" + TEXT + r",\s*" + TEXT + r",\s*" + TEXT +
                 r"(?:,\s*\"[^\"]*\")?,\s*\[\]\(void\*")
VALUE_HELP = re.compile(r"\.value_help\s*=\s*" + TEXT)
PAGES = re.compile(r"\bAddMember<[^>]*>\(\s*" + TEXT + r",\s*" + TEXT)


def load(room):
    spec = importlib.util.spec_from_file_location(f"generate_{room}", HERE / room / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(literals):
    """A C++ string of one or more literals."""
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', literals)
    return "".join(parts).replace('\\"', '"').replace("\\\\", "\\").replace("\\n", " ")


def sources():
    return sorted(HERE.rglob("*.cc"))


def commands():
    """(path, help, value) of every command, by path."""
    found = {}
    for file in sources():
        text = file.read_text(encoding="utf-8")
        starts = []
        for pattern in (*COMMANDS, COPIED):
            starts += [(m.start(), m.group(2), m.group(3)) for m in pattern.finditer(text)]
        starts.sort()
        for i, (at, path, help_text) in enumerate(starts):
            end = starts[i + 1][0] if i + 1 < len(starts) else at + 1500
            value = VALUE_HELP.search(text, at, end)
            found[text_of(path)] = (text_of(help_text), text_of(value.group(1)) if value else "")
        for row in ROW.finditer(text):
            if text_of(row.group(4)):
                found[text_of(row.group(2))] = (text_of(row.group(3)), text_of(row.group(4)))
    return [(path, *found[path]) for path in sorted(found)]


def status_pages():
    found = {}
    for file in sources():
        for match in PAGES.finditer(file.read_text(encoding="utf-8")):
            found[text_of(match.group(1))] = text_of(match.group(2))
    return sorted(found.items())


def value_text(setting):
    """What may be typed, and the default."""
    options = setting.options
    if setting.enum:
        return " \\| ".join(word for _, _, word in setting.enum.values)
    if setting.kind == "kInteger":
        return f"{setting.min} to {setting.max}{' ' + options.unit if options.unit else ''}"
    words = {"kString": "text", "kHostName": "host name", "kHost": "host name or address",
             "kUserName": "user name", "kIpAddress": "IP address", "kIpv4Address": "IPv4 address",
             "kIpv6Address": "IPv6 address", "kIpPrefix": "address/prefix length",
             "kAdminPassword": "password (secret)", "kDigestPassword": "password (secret)"}
    text = words.get(setting.kind, setting.kind[1:])
    limit = f", {setting.min} to {setting.max} characters" if setting.max else ""
    return text + limit


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def settings_part(groups):
    out = ["## Settings", "", "`xConfiguration <path>: <value>`; `#` is the number of an instance.",
           ""]
    for group in groups:
        count = f" (1 to {group.count})" if group.count else ""
        out += [f"### {group.path}{count}", "",
                "| Setting | Value | Default | What it does |", "|---|---|---|---|"]
        for setting in group.settings:
            path = f"{group.path}{' #' if group.count else ''} {setting.options.path}"
            notes = setting.options.help + "."
            notes += " In force at the next restart." if setting.options.restart else ""
            notes += f" ({setting.options.spec})" if setting.options.spec else ""
            value = value_text(setting)
            default = setting.default or "not set"
            out.append(f"| `{path}` | {value} | {cell(default)} | {cell(notes)} |")
        out.append("")
    return out


def events_part(events):
    out = ["## Events", "", "| Number | Name | Severity | Category | Level | Text |",
           "|---|---|---|---|---|---|"]
    for event in sorted(events, key=lambda e: e.options.id):
        fields = ", ".join(name for name, _ in event.fields)
        text = cell(event.options.text) + (f" *({fields})*" if fields else "")
        out.append(f"| {event.options.id} | `{event.options.name}` | {event.severity.lower()} | "
                   f"{event.category.lower()} | {event.level} | {text} |")
    return out + [""]


def alarms_part(alarms):
    out = ["## Alarms", "", "| Number | Severity | Alarm | What to do |", "|---|---|---|---|"]
    for number, _, options, schema in sorted(alarms, key=lambda alarm: alarm[0]):
        level = schema.EventSeverity.Name(options.level).lower()
        out.append(f"| {number} | {level} | {cell(options.title)} | {cell(options.action)} |")
    return out + [""]


def schema_of(setting):
    """JSON schema of one setting's value."""
    options = setting.options
    out = {"title": options.path, "description": options.help}
    if setting.enum:
        out |= {"type": "string", "enum": [word for _, _, word in setting.enum.values]}
    elif setting.kind == "kInteger":
        out |= {"type": "integer", "minimum": setting.min, "maximum": setting.max}
    else:
        formats = {"kIpAddress": "ip-address", "kIpv4Address": "ipv4", "kIpv6Address": "ipv6",
                   "kIpPrefix": "ip-prefix", "kHostName": "hostname", "kHost": "host"}
        out["type"] = "string"
        if setting.kind in formats:
            out["format"] = formats[setting.kind]
        if setting.max:
            out |= {"minLength": setting.min, "maxLength": setting.max}
    if setting.is_secret:
        out["writeOnly"] = True
    elif setting.default:
        out["default"] = int(setting.default) if setting.kind == "kInteger" else setting.default
    for key, value in (("x-unit", options.unit), ("x-spec", options.spec)):
        if value:
            out[key] = value
    if options.restart:
        out["x-restart"] = True
    return out


def json_schema(groups):
    properties = {}
    for group in groups:
        members = {s.options.path: schema_of(s) for s in group.settings}
        one = {"type": "object", "additionalProperties": False, "properties": members}
        held = properties.setdefault(group.path, one if not group.count else
                                     {"type": "array", "maxItems": group.count, "items": one})
        assert held is not None
    return {"$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Gatehouse configuration", "type": "object",
            "additionalProperties": False, "properties": properties}


def manual(groups, events, alarms):
    out = ["# Gatehouse: reference manual", "",
           "Made from the declarations by `make docs`; nothing here is written by hand.", ""]
    out += settings_part(groups)
    out += ["## Commands", "", "`xCommand <path>[: <value>]`", "",
            "| Command | Value | What it does |", "|---|---|---|"]
    out += [f"| `{path}` | {cell(value) or '-'} | {cell(text)} |"
            for path, text, value in commands()]
    out += ["", "## Status", "", "`xStatus <path>`", "", "| Page | What it shows |", "|---|---|"]
    out += [f"| `{path}` | {cell(text)} |" for path, text in status_pages()]
    out += [""] + events_part(events) + alarms_part(alarms)
    return "\n".join(out)


def main(arguments):
    folder = pathlib.Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    _, groups = load("config").load("firmware/config/settings.proto")
    events, alarms = load("log").load("firmware/log/events.proto")
    text = manual(groups, events, alarms)
    (folder / "reference.md").write_text(text, encoding="utf-8")
    schema = json.dumps(json_schema(groups), indent=1) + "\n"
    (folder / "settings.schema.json").write_text(schema, encoding="utf-8")
    print(f"docs  {folder}: {sum(len(g.settings) for g in groups)} settings, "
          f"{len(commands())} commands, {len(status_pages())} status pages, {len(events)} events, "
          f"{len(alarms)} alarms")


if __name__ == "__main__":
    main(sys.argv[1:])
