"""Every test that the READMEs of SIP and of the dial plan name as a witness is there."""
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from witnesses import ROOT, missing, named  # noqa: E402

TABLES = {"firmware/sip/README.md": (r"\| \w", 35), "firmware/dialplan/README.md": (r"\| \w", 8)}


def rows(text, begin):
    """Of the tables whose last column is called `test`."""
    inside = False
    for line in text.splitlines():
        if re.search(r"\| test \|$", line):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and re.match(begin, line):
            yield line


@pytest.mark.parametrize("path", TABLES)
def test_each_row_has_witnesses_that_exist(path):
    begin, least = TABLES[path]
    text = (ROOT / path).read_text(encoding="utf-8")
    found = list(rows(text, begin))
    assert len(found) >= least, found
    for row in found:
        names = named(row.rstrip("|").split("|")[-1])
        assert names, row
        assert not missing(row)
