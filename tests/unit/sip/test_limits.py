"""Every maximum that a room's limits.h declares is named by a test, at its edge, or is in a short
list that says why not. Of rooms that are not through yet no more may be missing than are."""
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from witnesses import ROOT  # noqa: E402

UNNAMED = {
    "firmware/sip/limits.h": {
        "kErrorResponseBytesMax": "room for three challenges: ThreeChallengesOfTheLongestRealmFit",
        "kGruuBytesMax": "follows from the sizes of a user, a domain and an instance",
        "kRegisterExtraBytesMax": "follows from the contacts of a REGISTER and their sizes",
        "kPresentityBytesMax": "a user and a domain, whose limits are tested",
    },
    "firmware/dialplan/limits.h": {"kNameBytesMax": "the settings' size, by static_assert"},
    "firmware/sdp/limits.h": {},
    "firmware/rtp/limits.h": {"kTurnRequestMax": "room for the largest names: kTurnTextMax"},
    "firmware/presence/limits.h": {},
}
MISSING_YET = {"firmware/xmpp/limits.h": 40, "firmware/s2s/limits.h": 6}


def unnamed(path):
    declared = set(re.findall(r"\b(k[A-Z]\w*Max)\s*=", (ROOT / path).read_text(encoding="utf-8")))
    assert declared, path
    tests = "\n".join(file.read_text(encoding="utf-8") for folder in ("unit", "conformance")
                      for file in (ROOT / "tests" / folder).rglob("*.cc"))
    return {name for name in declared if not re.search(rf"\b{name}\b", tests)}


@pytest.mark.parametrize("path", UNNAMED)
def test_each_maximum_is_named_by_a_test(path):
    assert unnamed(path) == set(UNNAMED[path])


@pytest.mark.parametrize("path", MISSING_YET)
def test_no_more_maxima_are_without_a_test(path):
    assert len(unnamed(path)) <= MISSING_YET[path], sorted(unnamed(path))
