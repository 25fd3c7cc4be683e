"""Every test that the README of XMPP names as a witness is there."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
README = (ROOT / "firmware/xmpp/README.md").read_text(encoding="utf-8")


def there_are():
    """Names of all tests: Suite.Case of C++, test_x of Python."""
    names = set()
    for folder in ("unit", "powercut", "conformance"):
        for source in (ROOT / "tests" / folder).rglob("*.cc"):
            text = source.read_text(encoding="utf-8")
            names |= {f"{suite}.{case}" for suite, case in
                      re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", text, re.M)}
    for source in (ROOT / "tests/system").glob("test_*.py"):
        names |= set(re.findall(r"^def (test_\w+)\(", source.read_text(encoding="utf-8"), re.M))
    return names


def named(text):
    return set(re.findall(r"`([A-Z]\w+\.[A-Z]\w+|test_\w+)`", text))


def test_named_tests_exist():
    missing = named(README) - there_are()
    assert not missing, missing


def test_a_name_that_is_none_is_found():
    assert named("| `Nobody.NamesThis` and `test_that_is_none` |") - there_are() == {
        "Nobody.NamesThis", "test_that_is_none"}


def test_each_row_of_the_suites_has_a_witness_or_says_no():
    rows = [line for line in README.splitlines() if re.match(r"\| (Core|Web|IM|Mobile) \|", line)]
    assert len(rows) > 20
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[-1] == "no" or named(cells[-1]), row
