#!/usr/bin/python3
"""The list of everything in the image that others wrote: CycloneDX 1.5, and a table for the device.

  sbom.py --version V --identity version.cc --libraries "lwip sqlite ..." --json FILE --code FILE.cc

Names, versions, hashes and licences come from sources.lock, so the list cannot differ from what was
verified and compiled; the compiler's own run-time comes from the packages of this machine. The same
commit and the same compiler give the same bytes: the serial number is made of the content, the time
is the commit's. The device carries the very file (image/sbom.h).
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import uuid

import fetch

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PRODUCT = "gatehouse"
CVE = re.compile(r"CVE[-_](\d{4})[-_](\d+)", re.IGNORECASE)
LITERAL_COLUMNS = 80


class Fault(Exception):
    """One line for whoever builds."""


def purl(package, version):
    """https://github.com/package-url/purl-spec: a Debian source package."""
    quote = urllib.parse.quote
    return f"pkg:deb/debian/{quote(package)}@{quote(version, safe='')}?arch=source"


def licences(expression):
    if " " in expression:
        return [{"expression": expression}]
    return [{"license": {"id": expression}}]


def file_reference(name, digest):
    return {"type": "distribution", "url": urllib.parse.quote(name),
            "hashes": [{"alg": "SHA-256", "content": digest}]}


def patch_record(name, kind):
    record = {"type": kind, "diff": {"url": urllib.parse.quote(name)}}
    solved = [f"CVE-{year}-{number}" for year, number in CVE.findall(name)]
    if solved:
        record["resolves"] = [{"type": "security", "id": cve} for cve in solved]
    return record


def library_component(name, entry):
    """A component of sources.lock; its hash is the upstream tarball's."""
    tarballs = [file for file in entry["files"] if ".orig." in file]
    if len(tarballs) != 1 or "license" not in entry:
        raise Fault(f"sources.lock: {name} needs one .orig tarball and a license")
    reference = purl(entry["package"], entry["version"])
    component = {
        "type": "library", "bom-ref": reference, "name": name, "version": entry["version"],
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": entry["files"][tarballs[0]]}],
        "licenses": licences(entry["license"]), "purl": reference,
        "externalReferences": [file_reference(file, digest)
                               for file, digest in sorted(entry["files"].items())],
    }
    patches = [patch_record(patch, "backport") for patch in entry["patches"]]
    if "local_patches" in entry:
        patches += [patch_record(f"{entry['local_patches']}/{path.name}", "unofficial")
                    for path in sorted((ROOT / entry["local_patches"]).glob("*.patch"))]
    if patches:
        component["pedigree"] = {"patches": patches}
    return component


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def compiler_component(compiler="g++"):
    """What the compiler itself puts in: libgcc, and libstdc++'s headers."""
    archive = pathlib.Path(output_of(compiler, "-print-libgcc-file-name"))
    major = output_of(compiler, "-dumpversion").split(".")[0]
    if not archive.is_file():
        raise Fault(f"{compiler} does not say where its libgcc is")
    version = output_of("dpkg-query", "-W", "-f", "${source:Version}", f"libgcc-{major}-dev")
    version = version or output_of(compiler, "-dumpfullversion")
    reference = purl(f"gcc-{major}", version)
    return {
        "type": "library", "bom-ref": reference, "name": "gcc-runtime", "version": version,
        "description": "libgcc, linked in, and the header-only part of libstdc++",
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": fetch.sha256(archive)}],
        "licenses": licences("GPL-3.0-or-later WITH GCC-exception-3.1"), "purl": reference,
    }


def build_identity(text):
    """Commit and build id, from the generated version.cc."""
    found = dict(re.findall(r'k(Commit|BuildId)\[\] = "([^"]+)"', text))
    if set(found) != {"Commit", "BuildId"}:
        raise Fault("version.cc does not say commit and build id")
    return found


def make_bom(version, identity, components, epoch):
    """The whole document, a plain value; equal input gives an equal document."""
    components = sorted(components, key=lambda component: component["name"])
    product = f"pkg:generic/{PRODUCT}@{version}"
    bom = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
            "component": {
                "type": "firmware", "bom-ref": product, "name": PRODUCT, "version": version,
                "purl": product,
                "properties": [{"name": "gatehouse:build-id", "value": identity["BuildId"]},
                               {"name": "gatehouse:commit", "value": identity["Commit"]}],
            },
        },
        "components": components,
        "dependencies": [
            {"ref": product, "dependsOn": [part["bom-ref"] for part in components]},
            *({"ref": part["bom-ref"], "dependsOn": []} for part in components),
        ],
    }
    content = hashlib.sha256(json.dumps(bom, sort_keys=True).encode()).digest()
    bom["serialNumber"] = uuid.UUID(bytes=content[:16], version=4).urn
    return bom


def to_json(bom):
    return json.dumps(bom, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def licence_text(component):
    first = component["licenses"][0]
    return first["expression"] if "expression" in first else first["license"]["id"]


def literal(text):
    """A C++ string literal of ASCII text, in lines."""
    pieces = [text[at:at + LITERAL_COLUMNS] for at in range(0, len(text), LITERAL_COLUMNS)]
    return "\n    ".join(json.dumps(piece) for piece in pieces or [""])


def to_code(bom, text):
    rows = "".join(
        "    {" + ",\n     ".join(literal(field) for field in (
            part["name"], part["version"], licence_text(part), part["purl"],
            part["hashes"][0]["content"])) + "},\n"
        for part in bom["components"])
    return f"""// Generated by image/deps/sbom.py from image/deps/sources.lock.
#include "image/sbom.h"

namespace gh::image {{

static constexpr SoftwareItem kItems[] = {{
{rows}}};

std::span<const SoftwareItem> SoftwareList() {{ return kItems; }}

std::string_view SbomJson() {{
  static constexpr std::string_view kJson =
    {literal(text)};
  return kJson;
}}

}}  // namespace gh::image
"""


def write_if_changed(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        part = path.with_name(path.name + ".part")
        part.write_text(text)
        part.replace(path)


def collect(libraries, compiler="g++"):
    _, lock = fetch.read_lock()
    unknown = [name for name in libraries if name not in lock]
    if unknown or not libraries:
        raise Fault(f"not in sources.lock: {' '.join(unknown) or 'no library was named'}")
    parts = [library_component(name, lock[name]) for name in sorted(set(libraries))]
    return parts + [compiler_component(compiler)]


def main(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("version", "identity", "libraries", "json", "code"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--compiler", default="g++")
    arguments = parser.parse_args(words)
    try:
        identity = build_identity(pathlib.Path(arguments.identity).read_text())
        parts = collect(arguments.libraries.split(), arguments.compiler)
    except (Fault, OSError) as fault:
        print(f"sbom: {fault}", file=sys.stderr)
        return 1
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", 0))
    bom = make_bom(arguments.version, identity, parts, epoch)
    text = to_json(bom)
    write_if_changed(arguments.json, text)
    write_if_changed(arguments.code, to_code(bom, text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
