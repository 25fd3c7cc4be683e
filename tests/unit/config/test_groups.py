"""A setting that nobody takes up when it is typed would wait for the next restart, unsaid."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
SETTINGS = ROOT / "firmware/config/settings.proto"
APPLIANCE = ROOT / "firmware/appliance.cc"

# Read where they are used, each time; for the interface a restart is needed, and status says so.
READ_LIVE = {
    "AdministrationLockOut", "AdministrationPassword", "AdministrationSession", "Console",
    "IntrusionProtection", "IntrusionProtectionExemption", "IntrusionProtectionSip",
    "IntrusionProtectionXmpp", "NetworkDmi", "SnmpReceiver",
}


def groups():
    text = SETTINGS.read_text()
    return set(re.findall(r"^message (\w+) {\s*option \(schema\.group\)", text, re.MULTILINE))


def test_each_group_of_settings_is_taken_up_when_it_is_typed():
    taken_up = set(re.findall(r"GroupId::k(\w+)", APPLIANCE.read_text()))
    assert len(groups()) > 90
    assert groups() - taken_up == READ_LIVE
