"""make docs: everything that is declared is in the manual, and the schema is one of JSON."""
import importlib.util
import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("reference", ROOT / "firmware/reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        module.main([str(folder)])
    return module, (folder / "reference.md").read_text(), \
        json.loads((folder / "settings.schema.json").read_text())


def test_every_declaration_is_there(made):
    _, text, schema = made
    settings = (ROOT / "firmware/config/settings.proto").read_text()
    declared = re.findall(r"\(schema\.setting\) = \{\s*path: \"([^\"]+)\"", settings)
    assert len(declared) > 50
    rows = re.findall(r"^\| `([^`]+)` \| ", text, re.MULTILINE)
    for path in declared:
        assert any(row.endswith(" " + path) for row in rows), path
    events = (ROOT / "firmware/log/events.proto").read_text()
    for name in re.findall(r'\bname: "([^"]+)"', events):
        assert f"| `{name}` |" in text, name
    for number in re.findall(r"= (2\d{4}) \[\(schema\.alarm\)", events):
        assert f"| {number} | " in text, number
    assert schema["properties"]["System"]["properties"]["Name"]["maxLength"] == 63


def test_commands_and_pages_are_there(made):
    _, text, _ = made
    for path in ("Restart", "Configuration Revert", "Configuration Compare", "CrashRecord Show",
                 "Log Show", "Trust Add", "Alarm Acknowledge"):
        assert re.search(rf"^\| `{path}` \|", text, re.MULTILINE), path
    for page in ("Store", "Alarm", "Syslog Server"):
        assert re.search(rf"^\| `{page}` \|", text, re.MULTILINE), page


def test_no_command_of_the_source_is_missed(made):
    module, _, _ = made
    found = {path for path, _, _ in module.commands()}
    for file in module.sources():
        source = file.read_text()
        runs = len(re.findall(r"\bcommands\.Add\(", source))
        listed = sum(f'"{path}"' in source for path in found)
        assert listed >= runs, f"{file}: {runs} commands are added, {listed} were read"


def test_the_schema_knows_secrets_and_tables(made):
    _, _, schema = made
    administrator = schema["properties"]["Administrator"]
    assert administrator["type"] == "array"
    assert administrator["items"]["properties"]["Password"]["writeOnly"] is True
    assert "default" not in administrator["items"]["properties"]["Password"]
