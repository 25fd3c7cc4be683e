#!/usr/bin/python3
"""Gets what Gatehouse is built from: Debian packages by name, library sources by pinned hash.

  fetch.py packages GROUP...   install the packages of packages.list that are missing
  fetch.py download            fetch every file of sources.lock that is not there yet
  fetch.py unpack LIBRARY      verify, unpack and patch one library under out/deps/src

Invariants: nothing is unpacked whose SHA-256 differs from sources.lock; a finished tree carries
its `.unpacked` stamp, written last. Every foreseeable fault (a missing package, a wrong hash, no
network, a patch that does not apply) ends in one line that says what to do, and exit status 1.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DEPS = pathlib.Path("out/deps")
DOWNLOADS = pathlib.Path(os.environ.get("DOWNLOADS") or DEPS / "downloads")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
APT_TIMEOUT_S = 900
APT_HELPER = "/usr/lib/apt/apt-helper"


class Fault(Exception):
    """Something the reader has to act on; the message is the one line they get."""


def read_lock(path=HERE / "sources.lock"):
    lock = tomllib.loads(path.read_text())
    suite = lock.pop("suite")
    return suite, lock


def read_packages(path=HERE / "packages.list"):
    groups, current = {}, None
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("["):
            current = groups.setdefault(line.strip("[]"), [])
        elif line:
            name, _, command = line.partition(" unless ")
            if not (command and shutil.which(command)):
                current.append(name)
    return groups


# --- Debian packages -----------------------------------------------------------------------------


def missing_packages(names):
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names]
    reply = subprocess.run(query, capture_output=True, text=True)
    present = {line.split()[0] for line in reply.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in present]


def install_packages(groups):
    known = read_packages()
    unknown = [group for group in groups if group not in known]
    if unknown:
        raise Fault(f"no such package group: {' '.join(unknown)}; there are {' '.join(known)}")
    missing = missing_packages([name for group in groups for name in known[group]])
    if not missing:
        return
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    by_hand = "apt-get update && " + " ".join(command[:3] + missing)
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            raise Fault(f"packages are missing and there is no sudo; as root: {by_hand}")
        command = ["sudo", *command]
    print(f"deps: installing {' '.join(missing)}", flush=True)
    prefix = ["sudo"] if command[0] == "sudo" else []
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    log = DEPS / "apt-install.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        for step in ([*prefix, "apt-get", "update", "-q"], command):
            done = subprocess.run(step, stdout=output, stderr=subprocess.STDOUT, env=environment)
    if done.returncode != 0 or missing_packages(missing):
        raise Fault(f"cannot install {' '.join(missing)} (see {log}); by hand: {by_hand}")


# --- Library sources -----------------------------------------------------------------------------


def sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lacking(entry):
    return [name for name in entry["files"] if not (DOWNLOADS / name).exists()]


def verify(entry):
    for name, wanted in entry["files"].items():
        found = sha256(DOWNLOADS / name)
        if found != wanted:
            raise Fault(
                f"wrong hash: {DOWNLOADS / name} is {found}, the lock says {wanted}; "
                "delete the file and run make deps again"
            )


def parse_one_line_source(line):
    """`deb [signed-by=K] URI SUITE COMPONENT...` -> (uri, suites, keyring), or None."""
    match = re.match(r"deb(?:-src)?\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)\s", line)
    if not match:
        return None
    options, uri, suite = match.groups()
    signed = re.search(r"signed-by=(\S+)", options or "")
    return uri, [suite], signed[1] if signed else KEYRING


def parse_stanza(stanza):
    """One deb822 paragraph -> (uri, suites, keyring), or None."""
    fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
    if "URIs" not in fields or fields.get("Enabled", "yes").strip() == "no":
        return None
    keyring = fields.get("Signed-By", "").strip() or KEYRING
    return fields["URIs"].split()[0], fields.get("Suites", "").split(), keyring


def machine_mirror(etc=pathlib.Path("/etc")):
    """The mirror this machine itself uses for its own Debian release: (uri, keyring)."""
    release = re.search(r"VERSION_CODENAME=(\S+)", (etc / "os-release").read_text())
    codename = release[1] if release else "stable"
    entries = []
    for path in [etc / "apt/sources.list", *sorted((etc / "apt/sources.list.d").glob("*"))]:
        if not path.exists() or path.suffix not in (".list", ".sources"):
            continue
        text = path.read_text()
        if path.suffix == ".list":
            entries += [parse_one_line_source(line) for line in text.splitlines()]
        else:
            entries += [parse_stanza(stanza) for stanza in re.split(r"\n\s*\n", text)]
    for uri, suites, keyring in filter(None, entries):
        if codename in suites and uri.startswith(("http", "https", "file", "mirror")):
            return uri, keyring
    raise Fault(
        f"no Debian mirror for {codename} in /etc/apt; put the files of image/deps/sources.lock "
        f"into {DOWNLOADS} by hand"
    )


def apt_options(suite):
    """A private apt state under out/, owned by whoever builds; the machine's own is left alone."""
    state = (DEPS / "apt").resolve()
    for folder in ("lists/partial", "cache/archives/partial", "parts"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    uri, keyring = machine_mirror()
    (state / "parts/sources.sources").write_text(
        f"Types: deb-src\nURIs: {uri}\nSuites: {suite}\nComponents: main\nSigned-By: {keyring}\n"
    )
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": state / "parts",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "",
        "APT::Update::Error-Mode": "any",
        "Acquire::Retries": 2,
        "Acquire::http::Timeout": 30,
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def run_apt(words, log, program="apt-get"):
    with log.open("a") as output:
        try:
            done = subprocess.run(
                [program, *words],
                cwd=DOWNLOADS,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=APT_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def take_from_pool(entry, options, log):
    """What the index does not name any more: a mirror keeps the files of a version for a while."""
    package, (uri, _) = entry["package"], machine_mirror()
    folder = package[:4] if package.startswith("lib") else package[0]
    for name in lacking(entry):
        words = ["download-file", f"{uri.rstrip('/')}/pool/main/{folder}/{package}/{name}",
                 f"{name}.part", f"SHA256:{entry['files'][name]}"]
        if run_apt([*options, *words], log, APT_HELPER):
            (DOWNLOADS / f"{name}.part").rename(DOWNLOADS / name)


def download():
    suite, lock = read_lock()
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    wanted = {name: entry for name, entry in lock.items() if lacking(entry)}
    if wanted:
        log = (DEPS / "apt-source.log").resolve()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        options = apt_options(suite)
        if not run_apt([*options, "update"], log):
            raise Fault(
                f"cannot read the {suite} source index (see {DEPS}/apt-source.log): connect to the "
                "network and run make deps again"
            )
        for name, entry in wanted.items():
            print(f"deps: fetching {name} {entry['version']}", flush=True)
            fetch = [*options, "source", "--download-only", "--only-source"]
            package = f"{entry['package']}={entry['version']}"
            # The newest Debian revision is not always on the mirror; its tarball usually is.
            if not run_apt([*fetch, package], log) and lacking(entry):
                run_apt([*fetch, "--tar-only", entry["package"]], log)
            take_from_pool(entry, options, log)
            if lacking(entry):
                raise Fault(
                    f"{package} is not on the mirror (see {DEPS}/apt-source.log): put "
                    f"{' '.join(lacking(entry))} into {DOWNLOADS}, or pin another version in "
                    "image/deps/sources.lock"
                )
    for name, entry in lock.items():
        verify(entry)
        write_key(name, entry)


def write_key(name, entry):
    """What one library's tree is made of; make unpacks it again when this file changes."""
    what = {field: entry.get(field) for field in ("package", "version", "patches", "files")}
    if "only" in entry:
        what["only"] = entry["only"]
    key, text = DEPS / "lock" / name, json.dumps(what, indent=1)
    key.parent.mkdir(parents=True, exist_ok=True)
    if not key.exists() or key.read_text() != text:
        key.write_text(text)


def extract(tarball, destination, only=()):
    destination.mkdir(parents=True, exist_ok=True)
    command = ["tar", "-x", "-f", tarball, "-C", destination, "--no-same-owner"]
    command += ["--wildcards", *only]
    if subprocess.run(command).returncode != 0:
        raise Fault(f"cannot unpack {tarball}: look for a full disk, then run make deps again")


def apply_patch(tree, patch):
    command = ["patch", "-p1", "-s", "-f", "--no-backup-if-mismatch", "-d", tree]
    done = subprocess.run([*command, "-i", patch.resolve()], capture_output=True, text=True)
    if done.returncode != 0:
        reason = " ".join(done.stdout.split())
        raise Fault(f"{patch} does not apply to {tree.name}: {reason}")


def unpack(library):
    _, lock = read_lock()
    if library not in lock:
        raise Fault(f"no such library in sources.lock: {library}")
    entry = lock[library]
    verify(entry)
    work, tree = DEPS / "src" / f".{library}.new", DEPS / "src" / library
    shutil.rmtree(work, ignore_errors=True)
    for name in entry["files"]:
        extract(DOWNLOADS / name, work, entry.get("only", ()))
    folders = [path for path in work.iterdir() if path.name != "debian"]
    if len(folders) != 1:
        raise Fault(f"{library}: expected one folder in its tarball, found {len(folders)}")
    source = folders[0]
    for name in entry["patches"]:
        apply_patch(source, work / "debian/patches" / name)
    if "local_patches" in entry:
        for patch in sorted((ROOT / entry["local_patches"]).glob("*.patch")):
            apply_patch(source, patch)
    shutil.rmtree(tree, ignore_errors=True)
    source.rename(tree)
    shutil.rmtree(work)
    (tree / ".unpacked").write_text(f"{entry['package']} {entry['version']}\n")


def main(arguments):
    os.chdir(ROOT)
    try:
        match arguments:
            case ["packages", *groups] if groups:
                install_packages(groups)
            case ["download"]:
                download()
            case ["unpack", library]:
                unpack(library)
            case _:
                print(__doc__)
                return 2
    except Fault as fault:
        print(f"deps: {fault}", file=sys.stderr)
        return 1
    except FileNotFoundError as fault:
        print(f"deps: {fault.filename} is missing; run make deps", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
