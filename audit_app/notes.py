"""The texts that C2SP specifies: signed notes, verifier keys, checkpoints, cosignatures, and proofs in one file.

https://c2sp.org/signed-note, /tlog-checkpoint, /tlog-cosignature, /tlog-proof. A parser accepts exactly what the
specification allows, so that two readers can't understand one text in two ways.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

#: The signature types of signed-note and of tlog-cosignature.
ED25519, COSIGNATURE = 0x01, 0x04
PROOF = "c2sp.org/tlog-proof@v1"
#: A checkpoint with dozens of cosignatures has a few kilobytes. A text that is longer than this is refused.
MAX_NOTE = 64 * 1024

_SIGNATURE = re.compile(r"\A— (\S+) ([A-Za-z0-9+/]+={0,2})\Z")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NUMBER = re.compile(r"\A(0|[1-9][0-9]{0,18})\Z")


class BadNote(ValueError):
    """The text is not a note, or its signature is wrong."""


class SigningKey(Protocol):
    """An Ed25519 key, in memory or in an HSM."""

    def public_key(self) -> Ed25519PublicKey: ...

    def sign(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True)
class Verifier:
    """A public key with its name. As text, it is a vkey: `name+hex key id+base64(type ‖ key)`."""

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_b64(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, vkey: str) -> Verifier:
        # The Base64 part may contain a plus sign, but a name may not.
        name, _, rest = vkey.partition("+")
        key_id, _, material = rest.partition("+")
        raw = _bytes(material)
        if not _is_name(name) or len(raw) != 33 or raw[0] not in (ED25519, COSIGNATURE):
            raise BadNote("this is not a verifier key of an Ed25519 key (name+id+key)")
        found = cls(name, raw[1:], raw[0])
        if key_id != found.key_id.hex():
            raise BadNote("the verifier key's id does not belong to its name and key")
        return found

    def check(self, text: str, signature: bytes) -> int | None:
        """Check a signature, and raise BadNote if it is wrong.

        Return the time of a cosignature (seconds since 1970), or None for a plain signature.
        """
        try:
            if self.kind == ED25519:
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
                return None
            if len(signature) != 72:
                raise BadNote(f"the cosignature of {self.name} has not its length")
            at = int.from_bytes(signature[:8])
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature[8:], _cosigned(text, at))
        except (InvalidSignature, ValueError) as error:
            raise BadNote(f"the signature of {self.name} is not good") from error
        if at >= 1 << 63:
            raise BadNote(f"the cosignature of {self.name} has no time")
        return at


@dataclass(frozen=True)
class Signature:
    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        return f"— {self.name} {_b64(self.key_id + self.signature)}\n"

    def is_of(self, verifier: Verifier) -> bool:
        return self.name == verifier.name and self.key_id == verifier.key_id


@dataclass(frozen=True)
class Note:
    """A text that ends with a line feed, and its signatures."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(each.line for each in self.signatures)

    @classmethod
    def parse(cls, raw: str) -> Note:
        if len(raw) > MAX_NOTE or _CONTROL.search(raw):
            raise BadNote("too long for a note, or control characters in it")
        text, gap, tail = raw.rpartition("\n\n")
        if not gap or not tail.endswith("\n"):
            raise BadNote("a note is a text, an empty line, and signatures")
        return cls(text + "\n", signature_lines(tail))

    def times(self, verifier: Verifier) -> list[int | None]:
        """Check every signature that this key made on the note, and return their times. Other keys are ignored.

        Raise BadNote if a signature is wrong, or if the note has no signature of this key.
        """
        matching = [each for each in self.signatures if each.is_of(verifier)]
        if not matching:
            raise BadNote(f"there is no signature of {verifier.name} ({verifier.key_id.hex()})")
        return [verifier.check(self.text, each.signature) for each in matching]

    def with_signatures(self, more: Iterable[Signature]) -> Note:
        return Note(self.text, (*self.signatures, *more))


@dataclass(frozen=True)
class Head:
    """The body of a checkpoint: the name of the log, its size and its root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{_b64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Parse a head from its three lines.

        Extension lines after them are accepted, but this product never writes any.
        """
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] != "" or not all(lines[:-1]):
            raise BadNote("a checkpoint has an origin, a size and a root")
        if not _NUMBER.match(lines[1]):
            raise BadNote("the size of a checkpoint is a decimal number")
        return cls(lines[0], int(lines[1]), hash_from(lines[2]))


@dataclass(frozen=True)
class Proof:
    """A `.tlog-proof`: the index of an entry in a checkpoint's tree, and the path from the entry to the root.

    `extra` has the bytes of the entry. They are not trusted.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: Note
    extra: bytes | None = None

    def __str__(self) -> str:
        extra = f"extra {_b64(self.extra)}\n" if self.extra is not None else ""
        path = "".join(f"{_b64(each)}\n" for each in self.path)
        return f"{PROOF}\n{extra}index {self.index}\n{path}\n{self.checkpoint}"


# --- Signing ---------------------------------------------------------------------------------------------


def sign(text: str, name: str, key: SigningKey) -> Signature:
    verifier = Verifier(name, public_bytes(key))
    return Signature(name, verifier.key_id, key.sign(text.encode()))


def cosign(text: str, name: str, key: SigningKey, at: int) -> Signature:
    """Cosign `text`, and return the signature.

    The signature states that at the time `at` (seconds since 1970) the cosigner knew no larger consistent tree.
    """
    verifier = Verifier(name, public_bytes(key), COSIGNATURE)
    return Signature(name, verifier.key_id, at.to_bytes(8) + key.sign(_cosigned(text, at)))


def public_bytes(key: SigningKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _cosigned(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


# --- Lines -----------------------------------------------------------------------------------------------


def signature_lines(raw: str) -> tuple[Signature, ...]:
    """Return the signature lines of a note, or of an answer of a witness."""
    found = []
    for line in raw.removesuffix("\n").split("\n"):
        matched = _SIGNATURE.match(line)
        material = _bytes(matched[2]) if matched else b""
        if not matched or not _is_name(matched[1]) or len(material) < 5:
            raise BadNote("a signature line is a dash, a name and base64")
        found.append(Signature(matched[1], material[:4], material[4:]))
    return tuple(found)


def hash_from(line: str) -> bytes:
    found = _bytes(line)
    if len(found) != 32:
        raise BadNote("a hash has 32 bytes")
    return found


def hash_lines(hashes: Sequence[bytes]) -> str:
    return "".join(f"{_b64(each)}\n" for each in hashes)


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(each.isspace() for each in name)


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    """Decode Base64, but only in the one form that an encoder writes: with padding, and with zeros as the unused bits.

    So each value has exactly one spelling.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadNote("this is not base64") from error
    if _b64(raw) != text:
        raise BadNote("this is not base64")
    return raw
