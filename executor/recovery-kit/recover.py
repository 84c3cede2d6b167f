#!/usr/bin/env python3
"""Decrypts files of a Mainstay recovery point without Mainstay. Needs python3 with the package "cryptography", nothing else.

  recover.py POINT                                      what is there, and which keys open it
  recover.py POINT FILE --key-file KEY > OUT            with a local key file; asks for its passphrase if it has one
  recover.py POINT FILE --data-key DATA-KEY > OUT       with a data key opened elsewhere (openssl cms, aws kms; see README.md)
  recover.py POINT FILE --wrapped NAME > WRAPPED        takes the wrapped data key of one recipient out of keys.json, for those

POINT is the folder with manifest.json and keys.json, or a folder of archived PostgreSQL log with its keys.json. DATA-KEY and --passphrase-file are files, "-" is standard input; a data key
may be raw, hex or base64. Every segment of 1 MiB is authenticated before a byte of it is written. If this program ends with an
error, throw away what it wrote."""

import argparse
import base64
import getpass
import hashlib
import json
import os
import re
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

SEGMENT, HEADER, TAG = 1 << 20, 40, 16
UNPACK = {"zstd": "zstd -dc", "gzip": "gzip -dc", "none": None}
LOAD = {
    "pg-custom": "pg_restore --exit-on-error --dbname=NEW",
    "pg-plain": "psql --no-psqlrc --set=ON_ERROR_STOP=1 --single-transaction --dbname=NEW",
    "pg-directory-tar": "tar --extract --directory=FOLDER    (then: pg_restore --exit-on-error --dbname=NEW FOLDER)",
    "sql": "psql --no-psqlrc --dbname=postgres",
    "tar": "tar --extract --preserve-permissions --directory=FOLDER    (as root, for the owners)",
    "sqlite": "cat > NEW.db    (then: sqlite3 NEW.db 'PRAGMA integrity_check')",
}


class Failed(Exception):
    """Said to the user in one sentence."""


def say(text=""):
    print(text, file=sys.stderr)


def read_json(folder, name, wanted):
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise Failed(f"{name} cannot be read: {error}")
    if found.get("format") != wanted:
        raise Failed(f"{name} has the format {found.get('format')}, this program reads {wanted}")
    return found


def read_secret(path, size):
    with (sys.stdin.buffer if path == "-" else open(path, "rb")) as file:
        found = file.read()
    if len(found) == size:
        return found
    text = found.decode("ascii", "replace").strip()
    if re.fullmatch(r"[0-9a-fA-F]+", text) and len(text) == 2 * size:
        return bytes.fromhex(text)
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError:
        found = b""
    if len(found) != size:
        raise Failed(f"{path} holds no key of {size} bytes (raw, hex or base64)")
    return found


def open_wrapped(key, wrapped, associated_data, why):
    try:
        return AESGCM(key).decrypt(wrapped[:12], wrapped[12:], associated_data.encode())
    except (InvalidTag, ValueError):
        raise Failed(why)


def read_key_file(path, passphrase_file):
    with open(path, encoding="utf-8") as file:
        lines = re.findall(r'^([a-z-]+)\s*=\s*"?([^"\n]*)"?', file.read(), re.MULTILINE)
    fields = {name: value.strip() for name, value in lines}
    if fields.get("format") != "mainstay.key.v1":
        raise Failed(f"{path} is no key file of the format mainstay.key.v1")
    if "key" in fields:
        key = bytes.fromhex(fields["key"])
    else:
        if fields.get("kdf") != "PBKDF2-HMAC-SHA512":
            raise Failed(f"{path} has neither a key nor a wrapped key that this program reads")
        if passphrase_file == "-":
            passphrase = sys.stdin.readline().rstrip("\n")
        elif passphrase_file:
            with open(passphrase_file, encoding="utf-8") as file:
                passphrase = file.readline().rstrip("\n")
        else:
            passphrase = getpass.getpass("passphrase of the key file: ", sys.stderr)
        salt, rounds = bytes.fromhex(fields["salt"]), int(fields["iterations"].replace("_", ""))
        under = PBKDF2HMAC(SHA512(), 32, salt, rounds).derive(passphrase.encode())
        wrapped = bytes.fromhex(fields["wrapped-key"])
        key = open_wrapped(under, wrapped, fields["id"], "the passphrase is not that of the key file")
    if hashlib.sha256(b"mainstay.key.v1" + key).hexdigest()[:32] != fields["id"]:
        raise Failed(f"the key in {path} is not the one that its id names: the file is damaged")
    return fields["id"], key


def find_object(folder, name):
    manifest = read_json(folder, "manifest.json", "mainstay.manifest.v1")
    for stored in manifest["objects"]:
        if stored["file"] == name:
            return manifest, stored
    raise Failed(f"manifest.json names no file {name}; it names {', '.join(o['file'] for o in manifest['objects'])}")


def of_log(folder):
    """The one key of a folder of archived log, which has no manifest; None for a recovery point."""
    if os.path.exists(os.path.join(folder, "manifest.json")):
        return None
    ring = read_json(folder, "keys.json", "mainstay.keys.v1")
    sealed = ring["objects"].get("segments")
    if not sealed or "/wal/" not in ring["recovery_point"]:
        raise Failed("there is no manifest.json, and keys.json is not that of a folder of log")
    database = ring["recovery_point"].split("/")[0]
    if sealed["associated_data"] != f"mainstay.object.v1|{ring['recovery_point']}|{database}|wal|segments":
        raise Failed("keys.json belongs to another folder; take it from another tier")
    return sealed


def recover_log(arguments, sealed):
    if not arguments.file:
        for recipient in sealed["recipients"]:
            say(f"opened by {recipient['name']}: {recipient['kind']} {recipient['key_id']}")
        return None
    out = sys.stdout.buffer
    if sys.stdout.isatty():
        raise Failed("standard output is a terminal: redirect it into a file or a program")
    if arguments.wrapped:
        return write_wrapped(sealed, arguments.wrapped, out)
    key = data_key(arguments, sealed)
    with open(os.path.join(arguments.point, arguments.file), "rb") as file:
        decrypt(file, key, f"{sealed['associated_data']}|{arguments.file}", out)
    out.flush()
    say("decrypted, every segment authenticated. To unpack it: zstd -dc OUT")
    return None


def write_wrapped(sealed, name, out):
    for recipient in sealed["recipients"]:
        if recipient["name"] == name:
            out.write(base64.b64decode(recipient["wrapped"]))
            return None
    raise Failed(f"no recipient has the name {name}")


def find_sealed(folder, name):
    ring = read_json(folder, "keys.json", "mainstay.keys.v1")
    if name not in ring["objects"]:
        raise Failed(f"keys.json has no key for {name}")
    return ring["objects"][name]


def data_key(arguments, sealed):
    if arguments.data_key:
        return read_secret(arguments.data_key, 32)
    if not arguments.key_file:
        raise Failed("say what opens it: --key-file or --data-key")
    key_id, key = read_key_file(arguments.key_file, arguments.passphrase_file)
    for recipient in sealed["recipients"]:
        if recipient["kind"] == "local" and recipient["key_id"] == key_id:
            wrapped = base64.b64decode(recipient["wrapped"])
            why = "the wrapped key in keys.json is damaged or belongs to another object; take keys.json from another tier"
            return open_wrapped(key, wrapped, sealed["associated_data"], why)
    others = ", ".join(f"{r['name']} ({r['kind']} {r['key_id']})" for r in sealed["recipients"])
    raise Failed(f"the key {key_id} does not open this file; these do: {others}")


def decrypt(file, key, associated_data, out):
    """Tink's streaming format AES256_GCM_HKDF_1MB."""
    stored = hashlib.sha256()

    def read(size):
        piece = file.read(size)
        stored.update(piece)
        return piece

    header = read(HEADER)
    if len(header) < HEADER or header[0] != HEADER:
        raise Failed("it does not begin with the header of an encrypted file: it is damaged")
    gcm = AESGCM(HKDF(SHA256(), 32, header[1:33], associated_data.encode()).derive(key))
    number, segment = 0, read(SEGMENT - HEADER)
    while True:
        behind = read(SEGMENT)
        nonce = header[33:] + number.to_bytes(4, "big") + (b"\0" if behind else b"\1")
        try:
            plain = gcm.decrypt(nonce, segment, None)
        except (InvalidTag, ValueError):
            hint = ", or the data key is another one" if number == 0 else ""
            raise Failed(f"segment {number} does not authenticate: the file is damaged{hint}")
        out.write(plain)
        if not behind:
            return stored.hexdigest()
        number, segment = number + 1, behind


def how_to_load(stored):
    unpack, load = UNPACK.get(stored["compression"], "?"), LOAD.get(stored["content"], "(see the manifest)")
    return f"{unpack} OUT | {load}" if unpack else f"{load} < OUT"


def show(folder):
    manifest = read_json(folder, "manifest.json", "mainstay.manifest.v1")
    say(f"recovery point {manifest['id']}, state of {manifest['captured_at']}, {manifest['engine']} {manifest['method']}")
    for stored in manifest["objects"]:
        say(f"\n{stored['file']}: {stored['content']}, {stored['bytes']} bytes")
        if not stored.get("encryption"):
            say("  not encrypted")
        else:
            for recipient in find_sealed(folder, stored["file"])["recipients"]:
                say(f"  opened by {recipient['name']}: {recipient['kind']} {recipient['key_id']}")
        say(f"  then: {how_to_load(stored)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("point")
    parser.add_argument("file", nargs="?")
    parser.add_argument("--key-file")
    parser.add_argument("--passphrase-file")
    parser.add_argument("--data-key")
    parser.add_argument("--wrapped", metavar="NAME")
    arguments = parser.parse_args()
    log = of_log(arguments.point)
    if log:
        return recover_log(arguments, log)
    if not arguments.file:
        return show(arguments.point)
    out = sys.stdout.buffer
    if sys.stdout.isatty():
        raise Failed("standard output is a terminal: redirect it into a file or a program")
    manifest, stored = find_object(arguments.point, arguments.file)
    if not stored.get("encryption"):
        raise Failed(f"{arguments.file} is not encrypted: {how_to_load(stored).replace('OUT', arguments.file)}")
    sealed = find_sealed(arguments.point, arguments.file)
    right = f"mainstay.object.v1|{manifest['id']}|{manifest['database']}|{manifest['series']}|{arguments.file}"
    if sealed["associated_data"] != right:
        raise Failed("keys.json belongs to another recovery point; take it from another tier")
    if arguments.wrapped:
        return write_wrapped(sealed, arguments.wrapped, out)
    key = data_key(arguments, sealed)
    with open(os.path.join(arguments.point, arguments.file), "rb") as file:
        digest = decrypt(file, key, right, out)
    out.flush()
    if "sha256:" + digest != stored["sha256"]:
        raise Failed("every segment authenticates, but the SHA-256 is not that of manifest.json")
    say(f"decrypted, every segment authenticated. To load it: {how_to_load(stored)}")
    return None


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        say(f"recover.py: {error}")
        sys.exit(1)
    except (KeyError, ValueError, OSError) as error:
        say(f"recover.py: {type(error).__name__}: {error}")
        sys.exit(1)
