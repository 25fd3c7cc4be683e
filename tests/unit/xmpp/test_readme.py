"""Every test that the READMEs of XMPP name as a witness is there."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from witnesses import ROOT, missing, named  # noqa: E402

README = (ROOT / "firmware/xmpp/README.md").read_text(encoding="utf-8")
SERVERS = (ROOT / "firmware/s2s/README.md").read_text(encoding="utf-8")


def test_named_tests_exist():
    assert not missing(README + SERVERS)


def test_a_name_that_is_none_is_found():
    assert missing("| `Nobody.NamesThis` and `test_that_is_none` |") == {
        "Nobody.NamesThis", "test_that_is_none"}


def test_each_row_of_the_suites_has_a_witness_or_says_no():
    rows = [line for line in README.splitlines() if re.match(r"\| (Core|Web|IM|Mobile) \|", line)]
    assert len(rows) > 20
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[-1] == "no" or named(cells[-1]), row


def room_settings():
    """Rows of the table of rooms' settings: rule, setting, default."""
    return re.findall(r"^\| (MUC-\d+) \| ([^|]+?) \| ([^|]+?) \| `RoomTest|^\| (MUC-\d+) \| "
                      r"([^|]+?) \| ([^|]+?) \| `RoomCapacity", README, re.M)


def test_the_settings_of_rooms_are_as_declared():
    rows = {("".join(row[::3]), "".join(row[1::3]), "".join(row[2::3]))
            for row in room_settings()}
    source = (ROOT / "firmware/config/settings.proto").read_text(encoding="utf-8")
    declared = set()
    for option in re.findall(r"\(schema\.setting\) = \{(.*?)\}\]", source, re.DOTALL):
        rule = re.search(r'spec: "(MUC-(?:[345]\d))"', option)
        if rule:
            declared.add((rule[1], re.search(r'path: "([^"]*)"', option)[1],
                          re.search(r'default: "([^"]*)"', option)[1]))
    assert len(declared) == 30
    assert rows == declared, rows ^ declared
