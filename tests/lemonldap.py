"""Debian's lemonldap-ng as a SAML identity provider on this machine, with files of its own in a temporary directory."""

from __future__ import annotations

import base64
import http.cookiejar
import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.saml_idp import key_pair

PSGI = "use Lemonldap::NG::Portal::Main;\nLemonldap::NG::Portal::Main->run({});\n"
#: A person of its demo back end. The password is the name.
USER, MAIL = "dwho", "dwho@badwolf.org"


class _Forms(HTMLParser):
    """Reads the first form of a page: its address and its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action, self.fields, self.has_form = "", dict[str, str](), False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        values = dict(attrs)
        if tag == "form" and not self.has_form:
            self.action, self.has_form = values.get("action") or "", True
        if tag == "input" and self.has_form and values.get("name"):
            self.fields.setdefault(values["name"], values.get("value") or "")


@dataclass
class Portal:
    url: str

    @property
    def metadata_url(self) -> str:
        return f"{self.url}saml/metadata/idp"

    def answer_to(self, question_url: str) -> dict[str, str]:
        """Sign in as a person does, and return the form that the browser would send to the service provider."""
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        page = self._read(opener.open(question_url, timeout=20))
        for _step in range(4):
            if "SAMLResponse" in page.fields:
                return page.fields
            fields = page.fields | {"user": USER, "password": USER}
            target = urllib.parse.urljoin(self.url, page.action if page.action not in ("", "#") else self.url)
            data = urllib.parse.urlencode(fields).encode()
            page = self._read(opener.open(urllib.request.Request(target, data), timeout=20))
        raise AssertionError(f"no answer, but {page.fields}")

    @staticmethod
    def _read(answer: Any) -> _Forms:
        page = _Forms()
        page.feed(answer.read().decode())
        return page


def _pem(name: str) -> tuple[str, str]:
    private, certificate = key_pair(name)
    lines = "\n".join(certificate[start : start + 64] for start in range(0, len(certificate), 64))
    return private.decode(), f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"


def _configuration(place: Path, url: str, service_provider: bytes, encryption: str, key: str) -> dict[str, Any]:
    found = json.loads(Path("/var/lib/lemonldap-ng/conf/lmConf-1.json").read_text(encoding="utf-8"))
    for name in ("sessions", "locks", "persistent", "plocks", "cache"):
        (place / name).mkdir(exist_ok=True)
    private, certificate = _pem(key)
    files = {"generateModule": "Lemonldap::NG::Common::Apache::Session::Generate::SHA256"}
    return found | {
        "portal": url,
        "domain": "127.0.0.1",
        "authentication": "Demo",
        "userDB": "Same",
        **dict.fromkeys(("passwordDB", "registerDB"), "Null"),
        "notification": 0,
        "requireToken": 0,
        # Each of these needs packages of Perl that the sign-in does not need.
        **dict.fromkeys(("captcha_login_enabled", "captcha_mail_enabled", "captcha_register_enabled"), 0),
        **dict.fromkeys(("portalDisplayRegister", "portalDisplayResetPassword"), 0),
        "globalStorageOptions": files | {"Directory": f"{place}/sessions", "LockDirectory": f"{place}/locks"},
        "persistentStorageOptions": files | {"Directory": f"{place}/persistent", "LockDirectory": f"{place}/plocks"},
        "localSessionStorageOptions": {"cache_root": f"{place}/cache", "namespace": "s", "default_expires_in": 600},
        "issuerDBSAMLActivation": 1,
        "issuerDBSAMLPath": "^/saml/",
        "issuerDBSAMLRule": 1,
        "samlEntityID": f"{url}saml/metadata",
        "samlServicePrivateKeySig": private,
        "samlServicePublicKeySig": certificate,
        "samlServicePrivateKeyEnc": private,
        "samlServicePublicKeyEnc": certificate,
        "samlServiceUseCertificateInResponse": 1,
        "samlServiceSignatureMethod": "RSA_SHA256",
        "samlNameIDFormatMapEmail": "mail",
        "samlSPMetaDataXML": {"lockbox": {"samlSPMetaDataXML": service_provider.decode()}},
        "samlSPMetaDataOptions": {
            "lockbox": {
                "samlSPMetaDataOptionsNameIDFormat": "persistent",
                "samlSPMetaDataOptionsSignSSOMessage": 1,
                "samlSPMetaDataOptionsCheckSSOMessageSignature": 1,
                "samlSPMetaDataOptionsEncryptionMode": encryption,
                "samlSPMetaDataOptionsOneTimeUse": 0,
            }
        },
        "samlSPMetaDataExportedAttributes": {
            "lockbox": {"mail": "1;mail;urn:oasis:names:tc:SAML:2.0:attrname-format:basic;mail"}
        },
    }


@contextmanager
def running(
    place: Path, service_provider: bytes, *, encryption: str = "none", port: int = 0, key: str = "lemonldap"
) -> Iterator[Portal]:
    """Run the portal until the block ends. It knows one service provider, by its metadata. `key` names its key pair.

    In the same place, it knows people by the same names again.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}/"
    conf = place / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    settings = _configuration(place, url, service_provider, encryption, key)
    (conf / "lmConf-1.json").write_text(json.dumps(settings), encoding="utf-8")
    ini = Path("/etc/lemonldap-ng/lemonldap-ng.ini").read_text(encoding="utf-8")
    ini = ini.replace("dirName = /var/lib/lemonldap-ng/conf", f"dirName = {conf}")
    ini = ini.replace("/var/cache/lemonldap-ng", f"{place}/cache")
    (place / "lemonldap-ng.ini").write_text(ini, encoding="utf-8")
    (place / "portal.psgi").write_text(PSGI, encoding="utf-8")
    log = (place / "log").open("wb")
    program = subprocess.Popen(
        ["plackup", "--host", "127.0.0.1", "--port", str(port), "--env", "deployment", str(place / "portal.psgi")],
        env={"PATH": "/usr/bin:/bin", "LLNG_DEFAULTCONFFILE": str(place / "lemonldap-ng.ini")},
        stdout=log,
        stderr=log,
    )
    try:
        _wait(url, program, place / "log")
        yield Portal(url)
    finally:
        program.terminate()
        program.wait(timeout=10)
        log.close()


def _wait(url: str, program: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert program.poll() is None, log.read_text(encoding="utf-8", errors="replace")
        try:
            urllib.request.urlopen(f"{url}saml/metadata/idp", timeout=20).close()
        except urllib.error.HTTPError as error:
            raise AssertionError((error.code, log.read_text(encoding="utf-8", errors="replace")[-3000:])) from None
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(log.read_text(encoding="utf-8", errors="replace"))


def decoded(form: dict[str, str]) -> bytes:
    return base64.b64decode(form["SAMLResponse"])
