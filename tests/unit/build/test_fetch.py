"""The dependency fetcher: every foreseeable fault is one clear line and exit status 1."""

import functools
import hashlib
import http.server
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
TARBALL = "lib_1.orig.tar.gz"


class Checkout:
    """A copy of image/deps with a lock of one made-up library, and a place for its tarball."""

    def __init__(self, root):
        self.root = root
        self.deps = root / "image/deps"
        shutil.copytree(ROOT / "image/deps", self.deps)
        self.downloads = root / "out/deps/downloads"
        self.downloads.mkdir(parents=True)
        self.write_tarball("int answer = 42;\n")
        self.lock(self.digest())

    def write_tarball(self, text):
        tree = self.root / "lib-1"
        tree.mkdir(exist_ok=True)
        (tree / "lib.c").write_text(text)
        with tarfile.open(self.downloads / TARBALL, "w:gz") as archive:
            archive.add(tree, "lib-1")

    def digest(self):
        return hashlib.sha256((self.downloads / TARBALL).read_bytes()).hexdigest()

    def lock(self, digest):
        (self.deps / "sources.lock").write_text(
            'suite = "trixie"\n[lib]\npackage = "gatehouse-no-such-package"\nversion = "1"\n'
            f'patches = []\nlocal_patches = "patches"\n[lib.files]\n"{TARBALL}" = "{digest}"\n'
        )

    def fetch(self, *words, **environment):
        done = subprocess.run(
            [sys.executable, self.deps / "fetch.py", *words],
            env=dict(os.environ, **environment), capture_output=True, text=True,
        )
        return done.returncode, done.stderr


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def one_line(stderr):
    assert stderr.startswith("deps: ") and stderr.count("\n") == 1, stderr
    return stderr


def test_unpacks_what_has_the_right_hash(checkout):
    assert checkout.fetch("download")[0] == 0
    assert checkout.fetch("unpack", "lib")[0] == 0
    tree = checkout.root / "out/deps/src/lib"
    assert (tree / "lib.c").read_text() == "int answer = 42;\n"
    assert (tree / ".unpacked").exists()


def test_refuses_a_wrong_hash_before_unpacking(checkout):
    checkout.write_tarball("int answer = 43;\n")
    for words in (["download"], ["unpack", "lib"]):
        status, stderr = checkout.fetch(*words)
        assert status == 1 and "wrong hash" in one_line(stderr) and "delete" in stderr
    assert not (checkout.root / "out/deps/src/lib").exists()


def test_applies_local_patches_and_refuses_one_that_does_not_fit(checkout):
    folder = checkout.root / "patches"
    folder.mkdir()
    patch = "--- a/lib.c\n+++ b/lib.c\n@@ -1 +1 @@\n-int answer = 42;\n+int answer = 7;\n"
    (folder / "0001-answer.patch").write_text(patch)
    assert checkout.fetch("unpack", "lib")[0] == 0
    assert (checkout.root / "out/deps/src/lib/lib.c").read_text() == "int answer = 7;\n"
    (folder / "0002-again.patch").write_text(patch)
    status, stderr = checkout.fetch("unpack", "lib")
    assert status == 1 and "0002-again.patch does not apply" in one_line(stderr)


def test_no_network_is_one_line(checkout):
    (checkout.downloads / TARBALL).unlink()
    # A proxy nobody listens on stands for a network that is not there.
    nowhere = "http://127.0.0.1:9"
    status, stderr = checkout.fetch("download", http_proxy=nowhere, https_proxy=nowhere)
    assert status == 1 and "network" in one_line(stderr)


def test_a_missing_package_without_root_or_sudo_is_one_line(checkout):
    (checkout.deps / "packages.list").write_text("[build]\ngatehouse-no-such-package\n")
    program = (
        "import os, shutil, sys\n"
        "os.geteuid = lambda: 1000\n"
        "shutil.which = lambda name: None\n"
        f"sys.path.insert(0, {str(checkout.deps)!r})\n"
        "import fetch\n"
        "sys.exit(fetch.main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "packages", "build"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "apt-get install -y gatehouse-no-such-package" in one_line(done.stderr)


def test_what_is_installed_already_asks_for_nothing(checkout):
    (checkout.deps / "packages.list").write_text("[build]\ndpkg\n")
    assert checkout.fetch("packages", "build") == (0, "")


def test_finds_the_mirror_of_this_machine_in_either_format(tmp_path):
    sys.path.insert(0, str(ROOT / "image/deps"))
    import fetch

    sources = tmp_path / "apt/sources.list.d"
    sources.mkdir(parents=True)
    (tmp_path / "os-release").write_text("VERSION_CODENAME=bookworm\n")
    (sources / "a.sources").write_text(
        "Types: deb\nURIs: http://other.example/x\nSuites: nodistro\nComponents: main\n"
    )
    (tmp_path / "apt/sources.list").write_text(
        "# a comment\ndeb [arch=amd64 signed-by=/k.gpg] http://m.example/debian bookworm main\n"
    )
    assert fetch.machine_mirror(tmp_path) == ("http://m.example/debian", "/k.gpg")
    (tmp_path / "apt/sources.list").unlink()
    with pytest.raises(fetch.Fault):
        fetch.machine_mirror(tmp_path)
    (sources / "b.sources").write_text(
        "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://s.example\nSuites: x\n"
    )
    assert fetch.machine_mirror(tmp_path) == ("http://m.example/debian", "/k.gpg")


@pytest.mark.parametrize("package, folder", [("expat", "e/expat"), ("libsodium", "libs/libsodium")])
def test_what_the_index_names_no_more_comes_from_the_pool(tmp_path, monkeypatch, package, folder):
    sys.path.insert(0, str(ROOT / "image/deps"))
    import fetch

    pool, downloads = tmp_path / "pool/main" / folder, tmp_path / "downloads"
    for place in (pool, downloads):
        place.mkdir(parents=True)
    files = {"good.tar": b"as it was pinned", "bad.tar": b"something else"}
    for name, content in files.items():
        (pool / name).write_bytes(content)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(fetch, "DOWNLOADS", downloads)
        monkeypatch.setattr(fetch, "machine_mirror",
                            lambda: (f"http://127.0.0.1:{server.server_address[1]}/", None))
        pinned = hashlib.sha256(files["good.tar"]).hexdigest()
        entry = {"package": package, "files": dict.fromkeys([*files, "gone.tar"], pinned)}
        fetch.take_from_pool(entry, [], tmp_path / "log")
        server.shutdown()
    assert (downloads / "good.tar").read_bytes() == files["good.tar"]
    assert fetch.lacking(entry) == ["bad.tar", "gone.tar"]
