"""Signs with keys in a hardware security module (HSM), by PKCS#11. The keys never leave it.

A key has an address (RFC 7512): `pkcs11:token=lockbox;object=log-key?module-path=/usr/lib/….so&pin-source=file:/…`.
PKCS#11 forbids using a library that was opened before a fork, so each process opens its own. The Python package is
optional (the extra `pkcs11`).
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SCHEME = "pkcs11:"
_PATH, _QUERY = {"token", "serial", "object", "id", "type"}, {"module-path", "pin-source"}
#: The names of Edwards curve 25519 in a PKCS#11 key: its object identifier, and its name as text.
_CURVES = (bytes.fromhex("06032b6570"), b"\x13\x0cedwards25519")


class HsmFault(RuntimeError):
    """The key can't be used. The words say what an operator does; they never contain the PIN."""


class NoSuchKey(HsmFault):
    """The token can be used, but has no key with this name."""


@dataclass(frozen=True)
class Address:
    """Which key, in which token, by which library, with the PIN from which file."""

    token: str
    serial: bytes
    label: str
    id: bytes
    module: str
    pin_file: Path

    @classmethod
    def parse(cls, text: str) -> Address:
        path, _, query = text.removeprefix(SCHEME).partition("?")
        of_path, of_query = _attributes(path, ";", _PATH), _attributes(query, "&", _QUERY)
        module = of_query.get("module-path", b"").decode()
        source = of_query.get("pin-source", b"").decode().removeprefix("file:")
        label, key_id = of_path.get("object", b"").decode(), of_path.get("id", b"")
        token, serial = of_path.get("token", b"").decode(), of_path.get("serial", b"")
        if not (module and source and (label or key_id) and (token or serial)):
            raise HsmFault(
                "the address of the log key in an HSM needs token or serial, object or id, module-path and pin-source"
            )
        if of_path.get("type", b"private") != b"private":
            raise HsmFault("the address of the log key in an HSM must have type=private, or no type")
        return cls(token, serial, label, key_id, module, Path(source))

    def __str__(self) -> str:
        return f"{self.label or self.id.hex()} in {self.token or self.serial.decode(errors='replace')}"

    def pin(self) -> str:
        try:
            with self.pin_file.open() as file:
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise HsmFault(f"other users can read the PIN of the HSM: run chmod 600 on {self.pin_file}")
                return file.read().strip("\r\n")
        except OSError as error:
            raise HsmFault(f"the PIN of the HSM can't be read: {self.pin_file}: {error.strerror}") from None


def _attributes(text: str, separator: str, known: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name in ("pin-value", "pin"):
            raise HsmFault("put the PIN of the HSM into a file, and name it with pin-source: an address is no secret")
        if not equals or name not in known or name in found:
            raise HsmFault(
                f"the address of the log key in an HSM has a part that is not known or appears twice: {name}"
            )
        found[name] = unquote_to_bytes(value)
    return found


@dataclass
class HsmKey:
    """An Ed25519 key in an HSM. It signs like a key of `cryptography`, and can't be exported."""

    address: Address
    _public: bytes = field(default=b"", repr=False)

    def public_key(self) -> Ed25519PublicKey:
        if not self._public:
            self._public = _in_session(self.address, _read_public)
        return Ed25519PublicKey.from_public_bytes(self._public)

    def sign(self, data: bytes) -> bytes:
        """Sign the bytes, and check the signature. A session that was lost is opened again once."""
        public = self.public_key()
        signature: bytes = _in_session(self.address, lambda opened: opened.sign(data))
        try:
            public.verify(signature, data)
        except InvalidSignature:
            raise HsmFault(f"the HSM has made a signature that is not of the public key of {self.address}") from None
        return signature

    def require(self) -> None:
        """Raise HsmFault unless the key is there now, in a session that works."""
        _in_session(self.address, _read_public)


class _Opened:
    """A session of this process with the key."""

    def __init__(self, address: Address, pin: str) -> None:
        self.pkcs11 = _package()
        self.pid, self.pin_digest = os.getpid(), _digest(pin)
        library = _library(address.module)
        names = {"token_label": address.token or None, "token_serial": address.serial or None}
        token = library.get_token(**{name: value for name, value in names.items() if value})
        self.session = token.open(user_pin=pin)
        try:
            self.private = self._key(address, self.pkcs11.ObjectClass.PRIVATE_KEY)
            self.public = self._key(address, self.pkcs11.ObjectClass.PUBLIC_KEY)
        except BaseException:
            self.session.close()
            raise

    def _key(self, address: Address, kind: Any) -> Any:
        return self.session.get_key(object_class=kind, label=address.label or None, id=address.id or None)

    def sign(self, data: bytes) -> bytes:
        return bytes(self.private.sign(data, mechanism=self.pkcs11.Mechanism.EDDSA))

    def close(self) -> None:
        # A session of the parent process must not be touched after a fork.
        if self.pid == os.getpid():
            self.session.close()


#: PKCS#11 calls of one process take turns, because a session serves one call at a time.
_turn = threading.RLock()
_sessions: dict[Address, _Opened] = {}
#: The libraries, and the process that has initialised each.
_initialised: dict[str, int] = {}
#: A token locks itself after a few wrong PINs, so each process tries a PIN once.
_wrong: set[tuple[Address, bytes]] = set()
os.register_at_fork(after_in_child=lambda: _forget())


def _forget() -> None:
    global _turn
    # The parent's thread that held the lock does not exist in the child.
    _turn = threading.RLock()
    _sessions.clear()


def create(text: str) -> bytes:
    """Make an Ed25519 key at this address, which can't be exported. Return its public key."""
    address = Address.parse(text)
    with _turn:
        pkcs11 = _package()
        try:
            token = _library(address.module).get_token(token_label=address.token or None)
            with token.open(user_pin=address.pin(), rw=True) as session:
                for curve in _CURVES:
                    if _is_made(pkcs11, session, address, curve):
                        break
        except pkcs11.exceptions.PKCS11Error as error:
            raise HsmFault(_words(address, error)) from None
    return HsmKey(address).public_key().public_bytes_raw()


def _is_made(pkcs11: Any, session: Any, address: Address, curve: bytes) -> bool:
    """Make the key with one name of the curve, and return whether the HSM accepts this name."""
    at = pkcs11.Attribute
    curve_of = session.create_domain_parameters(pkcs11.KeyType.EC_EDWARDS, {at.EC_PARAMS: curve}, local=True)
    try:
        curve_of.generate_keypair(
            mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            store=True,
            label=address.label or None,
            id=address.id or None,
            private_template={at.SENSITIVE: True, at.EXTRACTABLE: False, at.SIGN: True},
        )
    except (pkcs11.exceptions.DomainParamsInvalid, pkcs11.exceptions.AttributeValueInvalid):
        if curve == _CURVES[-1]:
            raise
        return False
    return True


def _read_public(opened: _Opened) -> bytes:
    point = bytes(opened.public[opened.pkcs11.Attribute.EC_POINT])
    # The point is an octet string of 32 bytes; some modules leave out its two bytes of DER.
    raw = point[2:] if len(point) == 34 and point[:2] == b"\x04\x20" else point
    if len(raw) != 32:
        raise HsmFault("the log key in the HSM is not an Ed25519 key")
    return raw


def _in_session(address: Address, call: Any) -> Any:
    with _turn:
        pkcs11 = _package()
        for is_second in (False, True):
            opened = None
            try:
                opened = _session(address)
                return call(opened)
            except pkcs11.exceptions.PinIncorrect as error:
                _wrong.add((address, _digest(address.pin())))
                raise HsmFault(_words(address, error)) from None
            except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
                if isinstance(error, HsmFault):
                    raise
                _close(address)
                if is_second or isinstance(error, pkcs11.exceptions.PinLocked):
                    is_absent = isinstance(error, pkcs11.exceptions.NoSuchKey)
                    raise (NoSuchKey if is_absent else HsmFault)(_words(address, error)) from None
                # The HSM was restarted, or its token was away. The library must begin again, too.
                _initialised.pop(address.module, None)
    return None


def _session(address: Address) -> _Opened:
    pin = address.pin()
    found = _sessions.get(address)
    if found is not None and found.pin_digest == _digest(pin) and found.pid == os.getpid():
        return found
    if (address, _digest(pin)) in _wrong:
        raise HsmFault(
            f"the PIN of the HSM in {address.pin_file} is wrong: correct the file; the same PIN is not tried again"
        )
    _close(address)
    _sessions[address] = _Opened(address, pin)
    return _sessions[address]


def _close(address: Address) -> None:
    opened = _sessions.pop(address, None)
    if opened is not None:
        # A session that is broken can't be closed.
        with suppress(Exception):
            opened.close()


def _library(module: str) -> Any:
    """Return the library, initialised by this process."""
    pkcs11 = _package()
    try:
        library = pkcs11.lib(module)
        if _initialised.get(module) != os.getpid():
            library.reinitialize()
            _sessions.clear()
            _initialised[module] = os.getpid()
    except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
        raise HsmFault(f"the PKCS#11 library {module} can't be used ({type(error).__name__})") from None
    return library


def _package() -> Any:
    try:
        return import_module("pkcs11")
    except ImportError:
        raise HsmFault(
            "the log key is in an HSM, but the Python package for it is missing: install customer-lockbox[pkcs11]"
        ) from None


def _digest(pin: str) -> bytes:
    return hashlib.sha256(pin.encode()).digest()


_FAULTS = {
    "NoSuchToken": "there is no such token: is the HSM connected, and is the token's name right",
    "TokenNotPresent": "the token is away: is the HSM connected",
    "NoSuchKey": "the token has no such key, or has only one half of the pair",
    "MultipleObjectsReturned": "several keys have this name: add id to the address",
    "MultipleTokensReturned": "several tokens have this name: add serial to the address",
    "PinIncorrect": "the PIN is wrong",
    "PinLocked": "the token is locked after too many wrong PINs: its security officer must unlock it",
    "MechanismInvalid": "the HSM can't make Ed25519 signatures (CKM_EDDSA)",
}


def _words(address: Address, error: Exception) -> str:
    name = type(error).__name__
    return f"the log key {address} can't be used: {_FAULTS.get(name, f'the HSM reports {name}')}"
