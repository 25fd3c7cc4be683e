"""The generators: what must be refused is, and what they write is what was declared."""
import importlib.util
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]


def load_generator(room):
    path = ROOT / "firmware" / room / "generate.py"
    spec = importlib.util.spec_from_file_location(f"generate_{room}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


config = load_generator("config")
log = load_generator("log")

SETTINGS_HEAD = """syntax = "proto2";
package gatehouse.config;
import "firmware/config/schema.proto";
enum OnOff { OFF = 0 [(schema.text) = "Off"]; ON = 1 [(schema.text) = "On"]; }
"""
EVENTS_HEAD = """syntax = "proto2";
package gatehouse.log;
import "firmware/log/event_schema.proto";
"""


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def settings(tmp_path, text):
    file = tmp_path / "declared.proto"
    file.write_text(SETTINGS_HEAD + text)
    return load_with(config, file, tmp_path)


def events(tmp_path, text):
    file = tmp_path / "declared.proto"
    file.write_text(EVENTS_HEAD + text)
    return load_with(log, file, tmp_path)


def load_with(generator, file, folder):
    # protoc finds the declaration under its own root, our schemas under the checkout's.
    generator.descriptors.INCLUDES[:] = generator.descriptors.INCLUDES[:2] + ["-I", str(folder)]
    return generator.load(str(file))


def group(fields, options='path: "Group"'):
    return f"message Group {{ option (schema.group) = {{{options}}};\n{fields}\n}}"


def field(options, kind="int32", name="port"):
    return f"optional {kind} {name} = 1 [(schema.setting) = {{{options}}}];"


def test_a_setting_is_one_declaration(tmp_path):
    enums, groups = settings(tmp_path, group(
        field('path: "Some Port" default: "7" min: 1 max: 9 unit: "s" restart: true help: "Helps"'),
        'path: "My Group" count: 4'))
    header = config.header(enums, groups)
    source = config.source(enums, groups)
    assert "int32_t port = 7;" in header
    assert "std::span<const Group> group() const" in header
    assert re.search(r'\{"Some Port", "Helps", "7", "s", "", nullptr, 1, 9, '
                     r"offsetof\(Group, port\), 0, Kind::kInteger, kSettingRestart\}", source)
    assert '{"My Group", 4, false, false, 0, 1, sizeof(Group), Construct<Group>}' in source


@pytest.mark.parametrize("text, why", [
    (group(field('path: "Port" default: "10" min: 1 max: 9 help: "h"')), "outside"),
    (group(field('path: "Port" default: "5" help: "h"')), "min and max"),
    (group(field('path: "Port" default: "5" min: 1 max: 9 help: ""')), "no help"),
    (group(field('path: "port" default: "5" min: 1 max: 9 help: "h"')), "Capitalised"),
    (group("optional int32 port = 1;"), "not declared as a setting"),
    ("message Group { optional int32 port = 1; }", "not declared as a group"),
    (group(field('path: "Mode" default: "Maybe" help: "h"', "OnOff")), "no value 'Maybe'"),
    (group(field('path: "Rate" default: "1" help: "h"', "double")), "only enum, int32"),
    (group(field('path: "A" help: "h" max: 256', "string")), "lengths"),
    (group(field('path: "A" help: "h" kind: IP_ADDRESS default: "1.2.3.4"', "string")),
     "no default"),
    (group(field('path: "A" help: "h"', "string", "a") +
           'optional string b = 2 [(schema.setting) = {path: "a" help: "h"}];'), "Capitalised"),
    (group(field('path: "A" help: "h"', "string", "a") +
           'optional string b = 2 [(schema.setting) = {path: "A" help: "h"}];'), "is that of"),
])
def test_settings_that_are_refused(tmp_path, text, why):
    with pytest.raises(config.DeclarationError, match=why):
        settings(tmp_path, text)


def event(fields, options):
    return f"message Happened {{ option (schema.event) = {{{options}}};\n{fields}\n}}"


GOOD = 'id: 1 name: "it-happened" severity: ERROR category: SIP text: "{what}"'


def test_an_event_is_one_declaration(tmp_path):
    declared, alarms = events(tmp_path, event("optional string what = 1; "
                                              "optional uint64 count = 2;", GOOD))
    header = log.header(declared, alarms)
    assert "struct Happened {" in header
    assert "uint64_t count = {};" in header
    assert ('{1, "it-happened", "{what}", kHappenedFields, 2, Severity::kError, Category::kSip, '
            "20, 100, 1}") in log.source(declared, alarms)


@pytest.mark.parametrize("fields, options, why", [
    ("", GOOD, "not a field"),
    ("optional string what = 1;", GOOD.replace("it-happened", "It Happened"), "lower-case"),
    ("optional string what = 1;", GOOD.replace("it-happened", "x" * 33), "lower-case"),
    ("optional double what = 1;", GOOD, "string, uint64"),
    ("optional string what = 1; optional string suppressed = 2;", GOOD, "reserved"),
    ("".join(f"optional string what{'' if i == 1 else i} = {i};" for i in range(1, 14)), GOOD,
     "more than 12"),
])
def test_events_that_are_refused(tmp_path, fields, options, why):
    with pytest.raises(log.DeclarationError, match=why):
        events(tmp_path, event(fields, options))


def test_the_product_declarations_are_sound():
    enums, groups = config.load("firmware/config/settings.proto")
    declared, alarms = log.load("firmware/log/events.proto")
    assert len(groups) > 10 and len(declared) > 20 and len(alarms) > 5
    assert len({e.options.id for e in declared}) == len(declared)
    secrets = [s for g in groups for s in g.settings if s.is_secret]
    assert {s.where for s in secrets} == {
        "AuthenticationUser.password", "Administrator.password", "SnmpUser.authentication_password",
        "SnmpUser.privacy_password", "Snmp.community", "NtpServer.key",
        "TraversalServerTurnSecret.value", "TraversalServerTurnToken.key", "HsmModule.pin",
        "XmppFederation.dialback_secret", "XmppComponentService.secret",
        "CallPolicyService.password",
        "SipMedia.turn_password",
        "TraversalServerTurnRealm.secret", "TraversalServerTurnRealm.second_secret",
        "TraversalServerTurnUser.password", "CertificateAcme.binding_key",
        "ZonesZone.password"}


def test_a_branch_that_is_opened_again_is_found():
    assert config.reopened(["A One", "A Two", "B", "C One", "C One Two"]) is None
    assert config.reopened(["Occupants Maximum", "Hidden Maximum", "Occupants Default"]) == \
        "Occupants Default"
    assert config.reopened(["A B One", "A C One", "A B Two"]) == "A B Two"


def test_groups_of_one_branch_stand_together(tmp_path):
    one = 'message {name} {{ option (schema.group) = {{path: "{path}"}};\n' \
          'optional int32 port = 1 [(schema.setting) = ' \
          '{{path: "Port" default: "7" min: 1 max: 9 help: "h"}}];\n}}'
    declared = [("NetworkPort", "Network Port"), ("Sip", "SIP"), ("Network", "Network"),
                ("NetworkPortX", "Network Port Extra")]
    _, groups = settings(tmp_path, "\n".join(one.format(name=n, path=p) for n, p in declared))
    assert [g.path for g in groups] == ["Network", "Network Port", "Network Port Extra", "SIP"]
