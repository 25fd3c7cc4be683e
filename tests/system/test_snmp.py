"""The SNMP agent with net-snmp's stock clients: v2c and v3, walking, our MIB file, and traps as
tshark reads them (v3 ones decrypted with the user's passwords)."""

import re
import struct
import subprocess

import management
import netns
import pytest
from management import LAN1, snmp

PROVISION = management.PROVISION + """\
xConfiguration SNMP Contact: "ops@example.com"
xConfiguration SNMP Location: "rack 7"
xConfiguration SNMP User 1 Name: alice
xConfiguration SNMP User 1 Authentication Password: "alice-knows-1"
xConfiguration SNMP User 1 Privacy Password: "alice-hides-2"
xConfiguration SNMP User 2 Name: bob
xConfiguration SNMP User 2 Authentication Protocol: SHA1
xConfiguration SNMP User 2 Authentication Password: "bob-knows-1"
xConfiguration SNMP User 2 Privacy Password: "bob-hides-22"
xConfiguration SNMP User 3 Name: carol
xConfiguration SNMP User 3 Authentication Password: "carol-knows-1"
"""
ALICE = ("-v3", "-l", "authPriv", "-u", "alice", "-a", "SHA-256", "-A", "alice-knows-1",
         "-x", "AES", "-X", "alice-hides-2")
BOB = ("-v3", "-l", "authPriv", "-u", "bob", "-a", "SHA", "-A", "bob-knows-1",
       "-x", "AES", "-X", "bob-hides-22")
CAROL = ("-v3", "-l", "authNoPriv", "-u", "carol", "-a", "SHA-256", "-A", "carol-knows-1")
SYSTEM, INTERFACES, OWN = "1.3.6.1.2.1.1", "1.3.6.1.2.1.2", "1.3.6.1.4.1.32473.1"
TRAP_RAISED = "1.3.6.1.4.1.32473.1.0.1"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with management.Site(tmp_path_factory.mktemp("snmp"), PROVISION) as made:
        # Keys are made in the background: a megabyte of hashing each.
        netns.wait_for(lambda: snmp(made.phone, LAN1, management.SYS_NAME, credentials=CAROL), 20,
                       "the users' keys")
        yield made


def test_v2c_reads_the_system_group(site):
    said = snmp(site.phone, LAN1, SYSTEM, tool="snmpwalk")
    assert "Gatehouse" in said
    for part in ('"ops@example.com"', '"edge1"', '"rack 7"', ".1.3.6.1.4.1.32473.1"):
        assert part in said, said


def test_a_bulk_walk_and_a_walk_agree(site):
    strip = lambda text: [line.split(" = ")[0] for line in text.splitlines() if "=" in line]
    walk = snmp(site.phone, LAN1, "1.3.6.1", tool="snmpwalk")
    bulk = snmp(site.phone, LAN1, "1.3.6.1", tool="snmpbulkwalk")
    assert strip(walk) == strip(bulk)
    assert len(strip(walk)) > 60
    assert "No more variables" in walk


def test_interfaces_are_those_of_the_machine(site):
    said = snmp(site.phone, LAN1, INTERFACES, tool="snmpwalk")
    assert ".1.3.6.1.2.1.2.1.0 = INTEGER: 3" in said
    for row, name in ((1, "LAN1"), (2, "LAN2"), (3, "LAN3")):
        assert f'.1.3.6.1.2.1.2.2.1.2.{row} = STRING: "{name}"' in said
    counter = ("1.3.6.1.2.1.31.1.1.1.7.1",)
    before = int(snmp(site.phone, LAN1, *counter).split()[-1])
    assert int(snmp(site.phone, LAN1, *counter).split()[-1]) > before


# What our file imports and Debian does not ship: the names above ours, and one type.
IMPORTS = {
    "SNMPv2-SMI": """org OBJECT IDENTIFIER ::= { iso 3 }
        dod OBJECT IDENTIFIER ::= { org 6 }
        internet OBJECT IDENTIFIER ::= { dod 1 }
        private OBJECT IDENTIFIER ::= { internet 4 }
        enterprises OBJECT IDENTIFIER ::= { private 1 }""",
    "SNMPv2-TC": """DisplayString ::= TEXTUAL-CONVENTION
        STATUS current DESCRIPTION "text" SYNTAX OCTET STRING (SIZE (0..255))""",
}


def test_our_mib_file_names_our_objects(site, tmp_path):
    mib = management.host_board.qemu.ROOT / "firmware/snmp/GATEHOUSE-MIB.txt"
    (tmp_path / mib.name).write_text(mib.read_text())
    for name, text in IMPORTS.items():
        (tmp_path / f"{name}.txt").write_text(f"{name} DEFINITIONS ::= BEGIN\n{text}\nEND\n")
    done = site.phone.run("snmpwalk", "-v2c", "-c", management.COMMUNITY, "-M", tmp_path, "-m",
                          "GATEHOUSE-MIB", "-Os", LAN1, OWN)
    assert not done.stderr, done.stderr
    for name in ("ghVersion.0", "ghSipRegistrations.0 = Gauge32", "ghSipMessagesIn.0 = Counter64",
                 "ghAlarmCount.0"):
        assert name in done.stdout, done.stdout
    translated = site.phone.run("snmptranslate", "-M", tmp_path, "-m", "GATEHOUSE-MIB", "-On",
                                "GATEHOUSE-MIB::ghAlarmRaised").stdout
    assert translated.strip() == "." + TRAP_RAISED


@pytest.mark.parametrize("user", [ALICE, BOB, CAROL], ids=["alice", "bob", "carol"])
def test_v3_users_read(site, user):
    assert "edge1" in snmp(site.phone, LAN1, management.SYS_NAME, credentials=user)
    walk = snmp(site.phone, LAN1, "1.3.6.1.2.1.2", tool="snmpbulkwalk", credentials=user)
    assert walk.count("\n") > 30


@pytest.mark.parametrize("user", [
    ALICE[:8] + ("wrong-password",) + ALICE[9:],
    ALICE[:12] + ("wrong-password",),
    ("-v3", "-l", "authNoPriv") + ALICE[3:9],  # alice reads in private only
    ("-v3", "-l", "noAuthNoPriv", "-u", "carol"),
    ("-v3", "-l", "authNoPriv", "-u", "mallory") + CAROL[5:],
    ("-v2c", "-c", "wrong"),
    ("-v1", "-c", management.COMMUNITY),
], ids=["auth", "privacy", "not private", "not authentic", "nobody", "community", "v1"])
def test_everybody_else_is_refused(site, user):
    assert snmp(site.phone, LAN1, management.SYS_NAME, credentials=user, tries=0) is None


def test_nothing_is_written(site):
    done = site.phone.run("snmpset", "-v2c", "-c", management.COMMUNITY, LAN1, management.SYS_NAME,
                          "s", "mine", check=False)
    assert "notWritable" in done.stderr
    assert management.reaches(site.phone, LAN1)


def decode(folder, message, *options):
    """What tshark reads in an SNMP datagram."""
    udp = struct.pack("!HHHH", 161, 162, 8 + len(message), 0) + message
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\x0a\x4d\x00\x02",
                     b"\x0a\x4d\x00\x0b") + udp
    pcap = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101)
    pcap += struct.pack("<IIII", 1, 0, len(ip), len(ip)) + ip
    path = folder / "trap.pcap"
    path.write_bytes(pcap)
    return subprocess.run(["tshark", "-r", str(path), "-V", *options], capture_output=True,
                          text=True, check=True).stdout


def take_trap(site, user):
    """The notification of an alarm that the test raises."""
    site.set("SNMP Receiver 1 Address: 10.77.0.11")
    site.set(f"SNMP Receiver 1 User: {user}")
    listener = management.Listener(site.phone, "10.77.0.11", 162, 30)
    site.set("SIP Domain 1 Name:")  # that is an alarm
    source, message = listener.take()
    site.set("SIP Domain 1 Name: example.com")
    site.set("SNMP Receiver 1 Address:")
    assert source == LAN1
    return message


def test_alarms_are_told_by_v2_traps(site, tmp_path):
    said = decode(tmp_path, take_trap(site, 0))
    assert "snmpV2-trap" in said
    assert TRAP_RAISED in said.replace(" ", "")
    assert "20104" in said  # the alarm's number is its row


def test_alarms_are_told_by_v3_traps(site, tmp_path):
    message = take_trap(site, 2)
    plain = decode(tmp_path, message)
    assert "encryptedPDU" in plain and "20104" not in plain
    users = 'uat:snmp_users:"","bob","SHA1","bob-knows-1","AES","bob-hides-22"'
    opened = decode(tmp_path, message, "-o", users)
    assert "20104" in opened, opened


def test_boots_are_counted_over_restarts(site):
    boots = lambda: int(re.search(r"SNMP EngineBoots: (\d+)", site.ask("xStatus SNMP")).group(1))
    before = boots()
    site.restart()
    assert boots() == before + 1
    netns.wait_for(lambda: snmp(site.phone, LAN1, management.SYS_NAME, credentials=ALICE), 20,
                   "alice after the restart")
