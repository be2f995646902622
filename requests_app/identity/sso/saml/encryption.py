"""Decrypts an encrypted assertion. Every failure is the same failure, so that nobody can ask for a bit of the text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml.documents import Element, base64_text, children, only, parsed
from requests_app.identity.sso.saml.names import DS, ENC, ENC11, ds, enc

#: Length of the key in bytes. GCM also proves that nobody changed the text.
_GCM = {f"{ENC11}aes128-gcm": 16, f"{ENC11}aes192-gcm": 24, f"{ENC11}aes256-gcm": 32}
_CBC = {f"{ENC}aes128-cbc": 16, f"{ENC}aes192-cbc": 24, f"{ENC}aes256-cbc": 32}
#: RSA with the padding of PKCS #1 1.5 is refused, because it tells an attacker who asks often enough what the key is.
_OAEP_SHA1, _OAEP = f"{ENC}rsa-oaep-mgf1p", f"{ENC11}rsa-oaep"
# SHA-1 in OAEP is not broken, and most identity providers use it by default.
_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    f"{DS}sha1": hashes.SHA1(),  # noqa: S303  OAEP needs no hash that resists collisions
    f"{ENC}sha256": hashes.SHA256(),
    f"{ENC}sha512": hashes.SHA512(),
}
_MASKS: dict[str, hashes.HashAlgorithm] = {
    f"{ENC11}mgf1sha1": hashes.SHA1(),  # noqa: S303  the same
    f"{ENC11}mgf1sha256": hashes.SHA256(),
    f"{ENC11}mgf1sha512": hashes.SHA512(),
}
_MOST_KEYS = 5


def opened(encrypted: Element, keys: Sequence[rsa.RSAPrivateKey], *, is_authentic: bool) -> Element:
    """Decrypt an EncryptedAssertion and parse what is in it. Raise SignOnFailed("decryption").

    `is_authentic` says that a checked signature covers the encrypted text. CBC is accepted only then: without it, an
    attacker could change the encrypted text, and learn the assertion from what is refused (a padding oracle).
    """
    try:
        data = only(encrypted, enc("EncryptedData"))
        method = only(data, enc("EncryptionMethod")).get("Algorithm", "")
        size = _GCM.get(method) or (_CBC.get(method) if is_authentic else None)
        if size is None:
            raise ValueError(method)
        text = _value(data)
        for key in _content_keys(encrypted, data, keys):
            if len(key) == size and (plain := _decrypted(method, key, text)) is not None:
                return parsed(plain, code="decryption")
    except (SignOnFailed, ValueError):
        pass
    raise SignOnFailed("decryption")


def _content_keys(encrypted: Element, data: Element, keys: Sequence[rsa.RSAPrivateKey]) -> list[bytes]:
    """Return the keys that are wrapped for one of our keys: inside the data's KeyInfo, or beside the data."""
    wrapped = [row for info in children(data, ds("KeyInfo")) for row in children(info, enc("EncryptedKey"))]
    wrapped += children(encrypted, enc("EncryptedKey"))
    if not 1 <= len(wrapped) <= _MOST_KEYS:
        raise ValueError("keys")
    return [found for row in wrapped for key in keys if (found := _unwrapped(row, key)) is not None]


def _unwrapped(row: Element, key: rsa.RSAPrivateKey) -> bytes | None:
    method = only(row, enc("EncryptionMethod"))
    name = method.get("Algorithm", "")
    if name not in (_OAEP_SHA1, _OAEP) or children(method, enc("OAEPparams")):
        return None
    digests = [each.get("Algorithm", "") for each in children(method, ds("DigestMethod"))] or [f"{DS}sha1"]
    masks = [each.get("Algorithm", "") for each in children(method, f"{{{ENC11}}}MGF")] or [f"{ENC11}mgf1sha1"]
    if name == _OAEP_SHA1:
        masks = [f"{ENC11}mgf1sha1"]
    digest, mask = _DIGESTS.get(digests[0]), _MASKS.get(masks[0])
    if len(digests) > 1 or len(masks) > 1 or digest is None or mask is None:
        return None
    try:
        return key.decrypt(_value(row), padding.OAEP(mgf=padding.MGF1(mask), algorithm=digest, label=None))
    except ValueError:
        return None


def _decrypted(method: str, key: bytes, text: bytes) -> bytes | None:
    if method in _GCM:
        try:
            return AESGCM(key).decrypt(text[:12], text[12:], None)
        except (InvalidTag, ValueError):
            return None
    if len(text) < 32 or len(text) % 16:
        return None
    opener = Cipher(algorithms.AES(key), modes.CBC(text[:16])).decryptor()
    plain = opener.update(text[16:]) + opener.finalize()
    # The last byte is the length of the padding; the other bytes of it are arbitrary (XML Encryption, section 5.2).
    return plain[: -plain[-1]] if 1 <= plain[-1] <= 16 else None


def _value(element: Element) -> bytes:
    data = only(element, enc("CipherData"))
    try:
        return base64.b64decode(base64_text(only(data, enc("CipherValue"))), validate=True)
    except binascii.Error:
        raise ValueError("base64") from None
