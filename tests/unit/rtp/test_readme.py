"""Every test that the README of media names as a witness is there, and each line has one."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
README = (ROOT / "firmware/rtp/README.md").read_text(encoding="utf-8")


def there_are():
    """Names of all tests: Suite.Case of C++, test_x of Python."""
    names = set()
    for source in (ROOT / "tests").rglob("*_test.cc"):
        text = source.read_text(encoding="utf-8")
        names |= {f"{suite}.{case}" for suite, case in
                  re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", text, re.M)}
    for source in (ROOT / "tests/system").glob("test_*.py"):
        names |= set(re.findall(r"^def (test_\w+)\(", source.read_text(encoding="utf-8"), re.M))
    return names


def named(text):
    return set(re.findall(r"`([A-Z]\w+\.[A-Z]\w+|test_\w+)`", text))


def rows():
    table = README.split("| line | shown by |\n|---|---|\n")[1].split("\n\n")[0]
    return [row.strip("|").split("|") for row in table.split("\n")]


def test_named_tests_exist():
    missing = named(README) - there_are()
    assert not missing, missing


def test_each_line_has_a_witness():
    assert len(rows()) > 20
    for line, shown in rows():
        assert named(shown), line
