"""Every test that the README of media names as a witness is there, and each line has one."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from witnesses import ROOT, missing, named  # noqa: E402

README = (ROOT / "firmware/rtp/README.md").read_text(encoding="utf-8")


def rows():
    table = README.split("| line | shown by |\n|---|---|\n")[1].split("\n\n")[0]
    return [row.strip("|").split("|") for row in table.split("\n")]


def test_named_tests_exist():
    assert not missing(README)


def test_each_line_has_a_witness():
    assert len(rows()) > 20
    for line, shown in rows():
        assert named(shown), line
