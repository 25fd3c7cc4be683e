"""Two builds of one commit in different folders give the same loader, firmware, update and SBOM.

Each build is a clone of HEAD in a folder of its own, with another name and depth, and with another
umask, time zone, locale, user, home, number of jobs, clock second and environment. Where what is
built here is HEAD without changes, as after a clone, it is the first of the two, and of the second
every third object is compiled anew (which ones, the commit's name says); the others are the
first's, and all is generated, linked, packed and signed again. GATEHOUSE_REPRODUCE=code compiles
all of our code twice. The libraries are built once and shared, with the host tools;
GATEHOUSE_REPRODUCE=all makes two clones and builds those twice as well.
Shared or not, no folder of the build may show in what was built. Release keys are copied: Ed25519
signatures are a function of key and content, so that the signed update must be the same, too.
"""

import hashlib
import os
import shutil
import subprocess
import time

import pytest

import qemu

PLACES = ("out/repro/a", "out/repro/another-longer-folder/deeper/b")
ARTEFACTS = ("out/pc/gatehouse.elf", "out/pc/gatehouse.stripped", "out/pc/gatehouse.efi",
             "out/pc/gatehouse.update", "out/pc/sbom.cdx.json")
TOOL = "out/tools/gatehouse-image"
# What the two builds do not agree on.
ENVIRONMENTS = (
    {"TZ": "UTC", "LANG": "C", "USER": "alice", "LOGNAME": "alice", "HOME": "/nonexistent"},
    {"TZ": "Asia/Kathmandu", "LANG": "en_US.UTF-8", "LC_TIME": "de_DE.UTF-8", "USER": "bob",
     "LOGNAME": "bob", "HOME": "/tmp", "CDPATH": "/", "GREP_OPTIONS": "", "EXTRA": "x" * 999},
)
UMASKS = (0o022, 0o077)
JOBS = ("-j2", "-j3")
BUILD_SECONDS = 1000
EXTENT = os.environ.get("GATEHOUSE_REPRODUCE", "third")


def differences(one, two, limit=5):
    """Where two byte strings differ: (offset, what stands there in each), and the sizes."""
    found = [f"sizes {len(one)} and {len(two)}"] if len(one) != len(two) else []
    if one != two:
        places = [at for at in range(min(len(one), len(two))) if one[at] != two[at]]
        found += [f"at {at}: {one[at:at + 24]!r} and {two[at:at + 24]!r}" for at in places[:limit]]
    return found


def clone(place, commit, origin):
    """A clone at `commit`, with the keys of `origin`. Commits may arrive while this test runs."""
    folder = qemu.ROOT / place
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "clone", "-q", f"file://{qemu.ROOT}", str(folder)], check=True)
    subprocess.run(["git", "checkout", "-q", "--detach", commit], cwd=folder, check=True)
    copy(origin, "out/keys", folder)
    for stamp in (origin / "out/deps").glob(".packages-*"):
        copy(origin, stamp.relative_to(origin), folder)
    return folder


def copy(origin, name, folder):
    path, target = origin / name, folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(path, target)


def share_libraries(folder, origin):
    """Copies what was built of others' code, and the tools; returns what make shall leave alone."""
    sources = origin / "out/deps/src"
    settled = [*sources.glob("*/.unpacked"), *sources.glob("*/.amalgamated"), origin / TOOL]
    for board in ("host", "pc"):
        deps = f"out/{board}/deps"
        settled += [path for path in (origin / deps).glob(".*") if path.suffix != ".lock"]
        copy(origin, f"{deps}/include", folder)
        copy(origin, f"{deps}/lib", folder)
    for name in ("libsodium", "nanopb"):  # the loader compiles some of their sources itself
        copy(origin, f"out/deps/src/{name}", folder)
    names = [path.relative_to(origin) for path in settled]
    for name in names:
        copy(origin, name, folder)
    return names


def share_objects(folder, origin, commit):
    """Copies two of three objects; returns what make shall leave alone."""
    names = []
    for path in sorted(origin.glob("out/pc/obj/**/*.o")):
        name = path.relative_to(origin)
        if hashlib.sha256(f"{commit} {name}".encode()).digest()[0] % 3:
            copy(origin, name, folder)
            names.append(name)
    assert names, "no objects to share"
    return names


def build(index, commit, origin):
    folder = clone(PLACES[index], commit, origin)
    is_whole = EXTENT == "all"
    settled = [stamp.relative_to(folder) for stamp in (folder / "out/deps").glob(".packages-*")]
    if is_whole:
        copy(origin, "out/deps/downloads", folder)
    else:
        settled += share_libraries(folder, origin)
        if EXTENT == "third" and origin == qemu.ROOT:
            settled += share_objects(folder, origin, commit)
    left_alone = [word for name in settled for word in ("-o", str(name))]
    environment = {"PATH": os.environ["PATH"], **ENVIRONMENTS[index]}
    log = qemu.ROOT / f"out/test/reproducible-{index}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        done = subprocess.run(
            ["make", JOBS[index], *left_alone, *ARTEFACTS], cwd=folder, env=environment,
            umask=UMASKS[index], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, timeout=BUILD_SECONDS)
    assert done.returncode == 0, f"{log}:\n" + "\n".join(log.read_text().splitlines()[-15:])
    assert is_whole == ("deps  " in log.read_text())  # shared, or not, as was wanted
    return folder


def git(*words, folder=qemu.ROOT):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True,
                          text=True).stdout.strip()


def names_commit(folder, commit):
    """Whether the update built there says that it is of this commit, without changes."""
    shown = subprocess.run([str(folder / TOOL), "show", "out/pc/gatehouse.update"], cwd=folder,
                           check=False, capture_output=True, text=True).stdout
    return f"commit {commit[:12]}," in shown


@pytest.fixture(scope="module")
def builds():
    commit = git("rev-parse", "HEAD")
    is_here = EXTENT != "all" and not git("status", "--porcelain") \
        and all((qemu.ROOT / name).exists() for name in ARTEFACTS) \
        and names_commit(qemu.ROOT, commit)
    if is_here:
        folders = [qemu.ROOT, build(1, commit, qemu.ROOT)]
    else:
        folders = [build(0, commit, qemu.ROOT)]
        time.sleep(1)
        # From the first build's copies: somebody may be building here meanwhile.
        folders.append(build(1, commit, folders[0]))
    yield folders
    for folder in folders[1 if is_here else 0:]:  # only what somebody wants to look at is left
        if all((folder / name).exists() for name in ARTEFACTS):
            shutil.rmtree(folder / "out/pc/obj", ignore_errors=True)
            shutil.rmtree(folder / "out/pc/deps", ignore_errors=True)
            shutil.rmtree(folder / "out/host", ignore_errors=True)
            shutil.rmtree(folder / "out/deps", ignore_errors=True)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_two_builds_are_the_same(builds, name):
    one, two = ((folder / name).read_bytes() for folder in builds)
    assert len(one) > 1000
    assert not differences(one, two)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_no_folder_shows_in_what_was_built(builds, name):
    for folder in builds:
        data = (folder / name).read_bytes()
        for place in (str(qemu.ROOT), *PLACES):
            at = data.find(place.encode() + b"/")
            assert at < 0, f"{name} at {at}: {data[at - 40:at + 80]!r}"


def test_the_update_names_the_commit_without_changes(builds):
    for folder in builds:
        assert names_commit(folder, git("rev-parse", "HEAD", folder=folder))


def test_a_difference_would_be_seen():
    data = bytes(range(256)) * 8
    changed = data[:777] + b"\xff" + data[778:]
    assert differences(data, data) == []
    assert differences(data, changed)[0].startswith("at 777: ")
    assert differences(data, data + b"\0") == [f"sizes {len(data)} and {len(data) + 1}"]
