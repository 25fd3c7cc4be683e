"""Administration over SSH with OpenSSH's clients and Python's own parsers: JSON and XML are well
formed and say what the terminal says; a backup goes out by scp and sftp and comes back in.

Fault model: wrong lines, a wrong password, a cut backup; nothing may change then.
"""

import json
import re
import tarfile
import xml.etree.ElementTree as ElementTree

import pytest

import host as host_board
import netns
import test_ssh

EDGE, PASSWORD = test_ssh.EDGE, test_ssh.PASSWORD


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("admin")
    keys = test_ssh.make_keys(folder)
    with netns.Network() as network:
        w = test_ssh.World()
        w.folder = folder
        w.hosts = {"client": network.host("client", "10.77.0.11/24")}
        edge = network.host("edge")
        (folder / "edge").mkdir()
        w.edge = host_board.HostMachine(
            folder / "edge", netns.INTERFACE, edge.namespace,
            provision=test_ssh.PROVISION.format(password=PASSWORD, **keys))
        with w.edge:
            w.edge.expect(r"sshtest login: ", timeout=90)
            yield w


def copy(world, *words, text_in=None):
    """scp or sftp with the options that ssh gets."""
    options = world.command()[1:-1]
    return world.hosts["client"].run(words[0], *options, *words[1:], check=False, timeout=120,
                                     input=text_in)


def no_twins(pairs):
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"a name is there twice: {names}"
    return dict(pairs)


def as_json(world, line):
    done = world.ssh(f"json {line}")
    return json.loads(done.stdout, object_pairs_hook=no_twins), done.returncode


def test_json_is_what_python_reads(world):
    settings, code = as_json(world, "xConfiguration")
    assert code == 0
    assert settings["Configuration"]["System"]["Name"] == "sshtest"
    assert settings["Configuration"]["Administrator"]["1"]["Password"] == "********"
    state, code = as_json(world, "xStatus")
    assert code == 0 and "System" in state["Status"]
    error, code = as_json(world, "xConfiguration SIP UDP Port: 99")
    assert code == 3 and error["Error"]["Code"] == "3"
    assert "expected a whole number" in error["Error"]["Message"]
    done, code = as_json(world, "xConfiguration SIP UDP Port: 5070")
    assert code == 0 and done["CommandResponse"]["Status"] == "OK"


def test_xml_is_what_python_reads(world):
    for line, root in (("xConfiguration", "Configuration"), ("xStatus", "Status"),
                       ("xNonsense", "Error"), ("xCommand Configuration Export",
                                                "CommandResponse")):
        done = world.ssh(f"xml {line}")
        assert ElementTree.fromstring(done.stdout).tag == root, done.stdout


@pytest.mark.parametrize("client", ["scp -O", "scp", "sftp"])
def test_a_backup_goes_out_and_comes_back(world, client):
    assert world.ssh("xConfiguration SIP UDP Port: 5070").returncode == 0
    made = world.ssh("xCommand Backup Create: plain battery")
    assert made.returncode == 0 and "and trust are in /backup" in made.stdout, made.stdout
    kept = world.folder / f"backup-{client.replace(' ', '')}"
    remote = "/backup/gatehouse-backup.ghb"
    if client == "sftp":
        fetched = copy(world, "sftp", "-b", "-", f"admin@{EDGE}",
                       text_in=f"get {remote} {kept}\n")
    else:
        fetched = copy(world, *client.split(), f"admin@{EDGE}:{remote}", str(kept))
    assert fetched.returncode == 0, fetched.stderr
    content = kept.read_bytes()
    assert content.startswith(b"GHBACKUP") and PASSWORD.encode() not in content

    assert world.ssh("xConfiguration SIP UDP Port: 5099").returncode == 0
    cut = world.folder / "cut"
    cut.write_bytes(kept.read_bytes()[:-1])
    for file, password, said in ((cut, "plain battery", "cut short"),
                                 (kept, "wrong battery", "wrong password")):
        bring(world, client, file)
        done = world.ssh(f"xCommand Backup Restore: {password} Confirm: Yes")
        assert said in done.stdout and done.returncode != 0, done.stdout
        assert "5099" in world.ssh("xConfiguration SIP UDP Port").stdout
    bring(world, client, kept)
    done = world.ssh("xCommand Backup Restore: plain battery Confirm: Yes")
    assert "and trust are in force" in done.stdout, done.stdout
    assert "5070" in world.ssh("xConfiguration SIP UDP Port").stdout


def bring(world, client, file):
    if client == "sftp":
        brought = copy(world, "sftp", "-b", "-", f"admin@{EDGE}",
                       text_in=f"put {file} /backup/brought\n")
    else:
        brought = copy(world, *client.split(), str(file), f"admin@{EDGE}:/backup/brought")
    assert brought.returncode == 0, brought.stderr


def test_events_and_who_did_what(world):
    fetched = copy(world, "scp", f"admin@{EDGE}:/logs/events.log", str(world.folder / "events"))
    assert fetched.returncode == 0, fetched.stderr
    events = (world.folder / "events").read_text()
    assert 'by admin@ssh 10.77.0.11' in events
    assert "backup-restored" in events and "plain battery" not in events


def test_the_event_log_is_read_from_the_disk_and_resumed_in_the_middle(world):
    """sftp asks for 64 pieces at once; reget begins where a part ends."""
    for _ in range(3):  # some more to fetch
        world.ssh(text_in="xNonsense\nxConfiguration SIP UDP Port: 5070\n" * 40)
    whole = world.folder / "whole.log"
    got = copy(world, "sftp", "-b", "-", f"admin@{EDGE}", text_in=f"get /logs/events.log {whole}\n")
    assert got.returncode == 0, got.stderr
    lines = whole.read_text().splitlines()
    assert lines[0].split()[1] == "1", lines[0]  # the very first event, long out of memory
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == sorted(numbers)
    part = world.folder / "part.log"
    part.write_bytes(whole.read_bytes()[:1000])
    got = copy(world, "sftp", "-b", "-", f"admin@{EDGE}",
               text_in=f"reget /logs/events.log {part}\n")
    assert got.returncode == 0, got.stderr
    assert part.read_bytes().startswith(whole.read_bytes())
    old = copy(world, "scp", "-O", f"admin@{EDGE}:/logs/events.log", str(world.folder / "old"))
    assert old.returncode == 0, old.stderr
    assert (world.folder / "old").read_bytes().startswith(whole.read_bytes())


def test_the_log_bundle_is_a_tar_that_python_reads_and_holds_no_secret(world):
    secret = "planted-7-secret"
    assert world.ssh(f"xConfiguration SNMP Community: {secret}").returncode == 0
    made = world.ssh("xCommand Log Collect", timeout=120)
    assert made.returncode == 0, made.stdout
    name = re.search(r"/logs/(\S+\.tar) has (\d+) bytes", made.stdout)
    fetched = copy(world, "scp", f"admin@{EDGE}:/logs/{name[1]}", str(world.folder / "b.tar"))
    assert fetched.returncode == 0, fetched.stderr
    content = (world.folder / "b.tar").read_bytes()
    assert len(content) == int(name[2])
    assert secret.encode() not in content and PASSWORD.encode() not in content
    assert b"$argon2" not in content
    with tarfile.open(world.folder / "b.tar") as bundle:
        texts = {member.name.split("/", 1)[1]: bundle.extractfile(member).read().decode()
                 for member in bundle.getmembers()}
    assert "xConfiguration System Name" in texts["configuration.txt"]
    assert "SSH Connections" in texts["status.txt"]
    assert "History Second -1:" in texts["counters.txt"]
    assert "backup-restored" in texts["events.log"]
    print({member: len(text) for member, text in texts.items()})
