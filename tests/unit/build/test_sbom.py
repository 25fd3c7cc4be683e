"""The SBOM generator: what the lock says is what the list says, and the same every time."""

import copy
import json
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "image/deps"))
import fetch  # noqa: E402
import sbom  # noqa: E402

IDENTITY = {"Commit": "0123456789ab", "BuildId": "fedcba9876543210"}
LIBRARIES = ["sqlite", "lwip", "libsodium", "mbedtls", "nanopb", "picolibc"]


@pytest.fixture(scope="module")
def lock():
    return fetch.read_lock()[1]


@pytest.fixture(scope="module")
def bom():
    return sbom.make_bom("1.2.3", IDENTITY, sbom.collect(LIBRARIES), 1_700_000_000)


def part(bom, name):
    return next(item for item in bom["components"] if item["name"] == name)


def test_document_is_cyclonedx_1_5(bom):
    """The required fields and forms of the 1.5 schema, for what we use of it."""
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-"
                        r"[0-9a-f]{12}", bom["serialNumber"])
    assert bom["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    references = [bom["metadata"]["component"]["bom-ref"]]
    for item in bom["components"]:
        assert item["type"] in ("library", "firmware") and item["name"] and item["version"]
        for digest in item["hashes"]:
            assert digest["alg"] == "SHA-256" and re.fullmatch(r"[0-9a-f]{64}", digest["content"])
        for licence in item["licenses"]:
            assert ("expression" in licence) != ("license" in licence)
        assert len(item["licenses"]) == 1
        for reference in item.get("externalReferences", []):
            assert reference["type"] == "distribution" and " " not in reference["url"]
        for patch in item.get("pedigree", {}).get("patches", []):
            assert patch["type"] in ("unofficial", "monkey", "backport", "cherry-pick")
        references.append(item["bom-ref"])
    assert len(set(references)) == len(references)
    assert {entry["ref"] for entry in bom["dependencies"]} == set(references)
    assert set(bom["dependencies"][0]["dependsOn"]) == set(references[1:])
    assert set(bom) == {"bomFormat", "specVersion", "version", "metadata", "components",
                        "dependencies", "serialNumber"}


def test_every_library_is_as_the_lock_pins_it(bom, lock):
    assert {item["name"] for item in bom["components"]} == {*LIBRARIES, "gcc-runtime"}
    for name in LIBRARIES:
        item, entry = part(bom, name), lock[name]
        assert item["version"] == entry["version"]
        files = {reference["url"].replace("%2B", "+"): reference["hashes"][0]["content"]
                 for reference in item["externalReferences"]}
        assert files == entry["files"]
        assert item["hashes"][0]["content"] in entry["files"].values()
    assert part(bom, "sqlite")["purl"] == \
        "pkg:deb/debian/sqlite3@3.46.1-7%2Bdeb13u2?arch=source"


def test_security_fixes_are_named(bom):
    solved = {entry["id"] for name in LIBRARIES
              for patch in part(bom, name).get("pedigree", {}).get("patches", [])
              for entry in patch.get("resolves", [])}
    assert {"CVE-2025-6965", "CVE-2026-11822", "CVE-2026-11824", "CVE-2026-8836"} <= solved
    kinds = {patch["type"] for patch in part(bom, "lwip")["pedigree"]["patches"]}
    assert kinds == {"backport", "unofficial"}


def test_licences_are_spdx(lock):
    known = {"Apache-2.0", "GPL-2.0-or-later", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Zlib",
             "blessing", "LicenseRef-Public-Domain"}
    for name, entry in lock.items():
        assert set(re.split(r" (?:OR|AND) ", entry["license"])) <= known, name


def test_same_input_same_bytes_and_a_change_shows(bom):
    parts = sbom.collect(LIBRARIES[::-1])
    again = sbom.make_bom("1.2.3", IDENTITY, parts, 1_700_000_000)
    assert sbom.to_json(again) == sbom.to_json(bom)
    changed = copy.deepcopy(parts)
    changed[0]["hashes"][0]["content"] = "0" * 64
    other = sbom.make_bom("1.2.3", IDENTITY, changed, 1_700_000_000)
    assert other["serialNumber"] != bom["serialNumber"]


def run(tmp_path, libraries="lwip nanopb", epoch="0"):
    (tmp_path / "version.cc").write_text(
        'const char kCommit[] = "abc";\nconst char kBuildId[] = "def";\n')
    return subprocess.run(
        [sys.executable, "-B", ROOT / "image/deps/sbom.py", "--version", "9", "--identity",
         tmp_path / "version.cc", "--libraries", libraries, "--json", tmp_path / "sbom.json",
         "--code", tmp_path / "sbom.cc"],
        capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": epoch})


def test_program_writes_both_forms_once(tmp_path):
    assert run(tmp_path).returncode == 0
    bom = json.loads((tmp_path / "sbom.json").read_text())
    names = [item["name"] for item in bom["components"]]
    assert names == ["gcc-runtime", "lwip", "nanopb"]
    code = (tmp_path / "sbom.cc").read_text()
    begin = code.index("kJson =")
    pieces = re.findall(r'"(?:\\.|[^"\\])*"', code[begin:code.index(";\n", begin)])
    assert "".join(map(json.loads, pieces)) == (tmp_path / "sbom.json").read_text()
    stamp = (tmp_path / "sbom.cc").stat().st_mtime_ns
    assert run(tmp_path).returncode == 0
    assert (tmp_path / "sbom.cc").stat().st_mtime_ns == stamp
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("libraries", ["lwip boringssl", " "])
def test_unknown_library_is_one_clear_line(tmp_path, libraries):
    done = run(tmp_path, libraries)
    assert done.returncode == 1
    assert done.stderr.startswith("sbom: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "sbom.json").exists()
