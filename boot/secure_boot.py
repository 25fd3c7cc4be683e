#!/usr/bin/python3
"""UEFI Secure Boot for the loader: a key, the signature, and a firmware that trusts it.

  secure_boot.py key FOLDER                     makes FOLDER/secure-boot.{key,pem,cer} if not there
  secure_boot.py sign KEY CERTIFICATE IN OUT    signs an EFI program (sbsign) and checks it
  secure_boot.py enrol CERTIFICATE IN OUT       OVMF variables IN, with CERTIFICATE as platform key,
                                                key exchange key and the one trusted signer

For a real machine, enrol secure-boot.cer (DER) in its firmware's set-up, in `db`. OVMF's variables
are edited here in their file: IN must be a variable store of the authenticated format in which
Secure Boot is already set up, as Debian's OVMF_VARS_4M.snakeoil.fd is; its own keys are replaced.
"""

import os
import pathlib
import struct
import subprocess
import sys
import uuid

VALID_DAYS = 3650
STORE_GUID = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
STORE_HEADER = struct.Struct("<16sIBBHI")
STORE_FORMATTED, STORE_HEALTHY = 0x5A, 0xFE
VARIABLE_HEADER = struct.Struct("<HBBIQ16sIII16s")
VARIABLE_START, VARIABLE_ADDED = 0x55AA, 0x3F
X509_TYPE = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
OWNER = uuid.UUID("47617465-686f-7573-6500-626f6f740001").bytes_le
OURS = ("PK", "KEK", "db")
DROPPED = ("dbx",)  # forbids what other keys signed; none of them is trusted any more


class Fault(Exception):
    """One line for whoever builds."""


def run(*command):
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    except FileNotFoundError:
        raise Fault(f"{command[0]} is missing: make deps installs it") from None
    if done.returncode != 0:
        raise Fault(f"{command[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def make_key(folder):
    folder.mkdir(parents=True, exist_ok=True)
    key, pem, cer = (folder / f"secure-boot.{end}" for end in ("key", "pem", "cer"))
    if key.exists() and pem.exists() and cer.exists():
        return
    old = os.umask(0o077)
    try:
        run("openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-sha256", "-nodes", "-days",
            VALID_DAYS, "-subj", "/CN=Gatehouse development, Secure Boot", "-keyout", key,
            "-out", pem)
        run("openssl", "x509", "-in", pem, "-outform", "DER", "-out", cer)
    finally:
        os.umask(old)


def sign(key, certificate, source, target):
    part = target.with_name(target.name + ".part")
    run("sbsign", "--key", key, "--cert", certificate, "--output", part, source)
    run("sbverify", "--cert", certificate, part)
    part.replace(target)


# --- The variable store (edk2's MdeModulePkg/Include/Guid/VariableFormat.h) ----------------------


def find_store(data):
    """(offset of the first variable, end of the store)."""
    at = data.find(STORE_GUID)
    if at < 0:
        raise Fault("not a store of authenticated UEFI variables")
    _, size, form, state, _, _ = STORE_HEADER.unpack_from(data, at)
    if (form, state) != (STORE_FORMATTED, STORE_HEALTHY) or at + size > len(data):
        raise Fault("the variable store is not healthy")
    return at + STORE_HEADER.size, at + size


def read_variables(data):
    """(header fields, name, value) of each variable that is not deleted, in order."""
    at, end = find_store(data)
    while at + VARIABLE_HEADER.size <= end:
        fields = VARIABLE_HEADER.unpack_from(data, at)
        if fields[0] != VARIABLE_START:
            return
        name_size, value_size = fields[7], fields[8]
        begin = at + VARIABLE_HEADER.size
        if begin + name_size + value_size > end:
            raise Fault("a variable reaches beyond its store")
        name = data[begin:begin + name_size].decode("utf-16-le").rstrip("\0")
        if fields[1] == VARIABLE_ADDED:
            yield fields, name, data[begin + name_size:begin + name_size + value_size]
        at = (begin + name_size + value_size + 3) & ~3


def write_variables(data, variables):
    start, end = find_store(data)
    store = bytearray()
    for fields, name, value in variables:
        text = (name + "\0").encode("utf-16-le")
        header = (*fields[:7], len(text), len(value), fields[9])
        store += VARIABLE_HEADER.pack(*header) + text + value
        store += b"\xff" * (-len(store) % 4)
    if len(store) > end - start:
        raise Fault("the variables do not fit into their store")
    return data[:start] + bytes(store).ljust(end - start, b"\xff") + data[end:]


def signature_list(der):
    size = 16 + len(der)
    return X509_TYPE + struct.pack("<3I", 28 + size, 0, size) + OWNER + der


def enrol(certificate, source, target):
    der = subprocess.run(["openssl", "x509", "-in", str(certificate), "-outform", "DER"],
                         capture_output=True, check=True).stdout
    data = source.read_bytes()
    variables = [(fields, name, signature_list(der) if name in OURS else value)
                 for fields, name, value in read_variables(data) if name not in DROPPED]
    missing = [name for name in OURS if name not in [entry[1] for entry in variables]]
    if missing:
        raise Fault(f"{source}: Secure Boot is not set up there: no {', '.join(missing)}")
    target.write_bytes(write_variables(data, variables))


def main(words):
    paths = [pathlib.Path(word) for word in words[1:]]
    try:
        match words[:1], len(paths):
            case ["key"], 1:
                make_key(*paths)
            case ["sign"], 4:
                sign(*paths)
            case ["enrol"], 3:
                enrol(*paths)
            case _:
                print(__doc__)
                return 2
    except (Fault, OSError) as fault:
        print(f"secure_boot: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
