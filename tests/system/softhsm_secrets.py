"""The private keys that a SoftHSM token keeps, as bytes: what must be found nowhere else.

SoftHSM 2 writes an object as a generation (8 bytes) and attributes: type, form (1 flag, 2 number,
3 bytes behind their size), all big-endian, 8 bytes each. Private values are AES-256-CBC under a key
that the PIN opens: salt (8) | vector (16) | cipher text of "RJR" and the key, where the PIN's own
key is SHA-256, repeated 1500 times and as often as the salt's last byte says.
"""

import hashlib
import subprocess

CLASS, LABEL, VALUE = 0x0, 0x3, 0x11
MODULUS, PRIVATE_EXPONENT, PRIME_1, PRIME_2 = 0x120, 0x123, 0x124, 0x125
USER_PIN = 0x8000534D
PRIVATE_KEY = 3


def attributes(path):
    data, at, found = path.read_bytes(), 8, {}
    while at < len(data):
        kind, form = (int.from_bytes(data[at + i:at + i + 8], "big") for i in (0, 8))
        at += 16
        size = {1: 1, 2: 8}.get(form)
        if size is None:
            size = int.from_bytes(data[at:at + 8], "big")
            at += 8
        found[kind] = data[at:at + size]
        at += size
    return found


def decrypt(key, data):
    done = subprocess.run(["openssl", "enc", "-d", "-aes-256-cbc", "-K", key.hex(), "-iv",
                           data[:16].hex()], input=data[16:], capture_output=True, check=True)
    return done.stdout


def open_token(folder, pin):
    """The key that private values are encrypted by."""
    blob = attributes(folder / "token.object")[USER_PIN]
    salt = blob[:8]
    by = hashlib.sha256(salt + pin.encode()).digest()
    for _ in range(1500 + salt[-1] - 1):
        by = hashlib.sha256(by).digest()
    opened = decrypt(by, blob[8:])
    assert opened[:3] == b"RJR", "another format, or another PIN"
    return opened[3:]


def private_key(tokens, pin, label):
    """{attribute: secret bytes} of the private key: EC has VALUE, RSA its exponent and primes."""
    for token in tokens.rglob("token.object"):
        key = open_token(token.parent, pin)
        for path in token.parent.glob("*.object"):
            seen = attributes(path)
            is_private = int.from_bytes(seen.get(CLASS, b""), "big") == PRIVATE_KEY
            if path != token and is_private and decrypt(key, seen[LABEL]) == label.encode():
                wanted = (VALUE, PRIVATE_EXPONENT, PRIME_1, PRIME_2)
                return {name: decrypt(key, seen[name]) for name in wanted if seen.get(name)}
    raise AssertionError(f"no private key is called {label}")
