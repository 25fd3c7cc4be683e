"""Administration over SSH with OpenSSH's clients and Python's own parsers: JSON and XML are well
formed and say what the terminal says; a backup goes out by scp and sftp and comes back in.

Fault model: wrong lines, a wrong password, a cut backup; nothing may change then.
"""

import json
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

import host as host_board
import netns
import test_ssh

EDGE, PASSWORD = test_ssh.EDGE, test_ssh.PASSWORD


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("admin")
    for kind in ("ed25519", "ecdsa"):
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "test", "-t", kind, "-f",
                        folder / kind], check=True)
    keys = {kind: (folder / f"{kind}.pub").read_text().strip() for kind in ("ed25519", "ecdsa")}
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
    assert made.returncode == 0 and "settings are in /backup" in made.stdout, made.stdout
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
    assert "settings are in force" in done.stdout, done.stdout
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
