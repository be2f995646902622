"""Each answer to `customer-lockbox init` is tested against the real thing: servers, directories, ports."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.smtp import AuthResult
from django.db import connection

from lockbox_site.installing import answers, environment_file, initialising
from lockbox_site.installing.answers import WrongAnswer
from tests.outbox.conftest import Postbox, Server
from tests.ports import free_port

Serve = Callable[..., int]


def refusal(check: Callable[[], object]) -> str:
    """Return why an answer is refused. It must be one line."""
    with pytest.raises(WrongAnswer) as refused:
        check()
    assert "\n" not in str(refused.value)
    return str(refused.value)


# --- The address and the other words ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("https://lockbox.example.com/", "https://lockbox.example.com"),
        (" https://lockbox.example.com:8443 ", "https://lockbox.example.com:8443"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://ünï.example", "https://xn--n-nga1b.example"),
        ("https://Ünï.example:8443/", "https://xn--n-nga1b.example:8443"),
    ],
)
def test_an_address_is_taken(given: str, stored: str) -> None:
    assert answers.address(given) == stored


@pytest.mark.parametrize("wrong", ["https://straße.example", "https://a..ü.example"])
def test_a_name_that_browsers_may_write_differently_is_asked_for_in_ascii(wrong: str) -> None:
    assert "begins with xn--" in refusal(lambda: answers.address(wrong))


@pytest.mark.parametrize("wrong", ["$HOME Inc", '"Example"', "'Example'"])
def test_a_name_that_the_file_could_not_give_back_is_refused(wrong: str) -> None:
    assert "can't begin with" in refusal(lambda: answers.name(wrong))
    assert answers.name('Jones & Sons\' "One" $1') == 'Jones & Sons\' "One" $1'


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("http://lockbox.example.com", "has no TLS"),
        ("http://localhost.example.com", "has no TLS"),
        *(
            (wrong, "is not the address of a site")
            for wrong in (
                "",
                "lockbox.example.com",
                "https://",
                "https://user@lockbox.example.com",
                "https://lockbox.example.com/path",
                "https://lockbox.example.com?q",
                "https://lockbox.example.com:no",
                "ftp://lockbox.example.com",
            )
        ),
    ],
)
def test_an_address_is_refused(given: str, why: str) -> None:
    assert why in refusal(lambda: answers.address(given))


def test_names_senders_and_numbers() -> None:
    assert answers.name("  Example   Cloud ") == "Example Cloud"
    assert answers.sender("Example <lockbox@example.com>") == "Example <lockbox@example.com>"
    for wrong in ("", "x" * 121, "bell\a"):
        assert "120 characters" in refusal(lambda wrong=wrong: answers.name(wrong))
    for wrong in ("", "lockbox", "Example <lockbox>", "a@b@c"):
        assert "Write the sender like" in refusal(lambda wrong=wrong: answers.sender(wrong))
    assert answers.proxies("0", base_url="http://localhost:8000") == "0"
    assert "reverse proxy must provide the TLS" in refusal(lambda: answers.proxies("0", base_url="https://a.example"))
    for wrong in ("", "-1", "11", "one", "²", "9" * 5000):
        assert "from 0 to 10" in refusal(lambda wrong=wrong: answers.proxies(wrong, base_url=""))


def test_a_port_must_be_free_and_the_host_must_be_of_this_machine() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert f"--port {number + 1}" in refusal(lambda: answers.port(str(number), at="127.0.0.1"))
    assert answers.port(str(number), at="127.0.0.1") == str(number)
    assert "from 1 to 65535" in refusal(lambda: answers.port("65536", at="127.0.0.1"))
    assert "not an address of this machine" in refusal(lambda: answers.host("no.such.host.invalid"))


# --- The data directory -------------------------------------------------------------------------------------


def test_the_data_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    place = tmp_path / "var" / "lockbox"
    answers.directory(place)
    assert place.stat().st_mode & 0o777 == 0o700
    answers.directory(place)
    for mode in (0o750, 0o701, 0o707):
        place.chmod(mode)
        assert f"chmod 700 {place}" in refusal(lambda: answers.directory(place))


def test_a_directory_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "can't be written" in refusal(lambda: answers.directory(tmp_path / "file" / "lockbox"))
    if os.geteuid() == 0:
        place = tmp_path / "other"
        place.mkdir(0o700)
        os.chown(place, 65534, 65534)
        assert "runuser -u nobody" in refusal(lambda: answers.directory(place))


# --- The mail server ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key, and with a certificate for `localhost` that signs itself."""
    place = tmp_path_factory.mktemp("tls") / "localhost.pem"
    usage = "keyUsage=critical,digitalSignature,keyCertSign"
    more = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", usage]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command = ["openssl", "req", "-x509", *kind, *more, "-keyout", str(place.with_suffix(".key")), "-out", str(place)]
    subprocess.run(command, check=True, capture_output=True)
    with place.open("a") as file:
        file.write(place.with_suffix(".key").read_text())
    return place


@pytest.fixture
def serve(certificate: Path) -> Iterator[Serve]:
    """Return a function that starts a real SMTP server on loopback, and returns its port."""
    servers, boxes = list[Server](), list[Postbox]()

    def start(*, tls: bool = False, ssl_only: bool = False, password: str = "", shows: Path = certificate) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shows)
        options: dict[str, Any] = {"ssl_context": context} if ssl_only else {}
        if tls:
            options |= {"tls_context": context, "require_starttls": True}
        if password:
            options |= {
                "authenticator": lambda *words: AuthResult(
                    success=words[-1].password == password.encode(), handled=False
                ),
                "auth_require_tls": tls,
                "auth_required": True,
            }
        box = Postbox()
        server = Server(box, hostname="127.0.0.1", port=0, **options)
        server.start()
        servers.append(server)
        boxes.append(box)
        return int(server.port)

    yield start
    for server in servers:
        server.stop()
    assert [box.received for box in boxes if box.received] == [], "a test of a mail server sends nothing"


def test_a_mail_server_without_tls_or_login_is_taken(serve: Serve) -> None:
    url = f"smtp://127.0.0.1:{serve()}"
    assert answers.mail(url) == url


def test_a_mail_server_with_starttls_and_login_is_taken(
    serve: Serve, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    port = serve(tls=True, password="p@ss")
    url = f"smtp+tls://lockbox:p%40ss@localhost:{port}"
    assert answers.mail(url) == url
    why = refusal(lambda: answers.mail(f"smtp+tls://lockbox:wrong@localhost:{port}"))
    assert "refused the user name or the password (535" in why
    assert "wrong" not in why
    # The certificate is for another name.
    assert "certificate that is not valid" in refusal(lambda: answers.mail(f"smtp+tls://127.0.0.1:{port}"))


def test_a_mail_server_with_tls_from_the_start_is_taken(
    serve: Serve, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = serve(ssl_only=True)
    assert "certificate that is not valid" in refusal(lambda: answers.mail(f"smtp+ssl://localhost:{port}"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert answers.mail(f"smtp+ssl://localhost:{port}")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a certificate authority, `ca.pem`, and with a server's certificate, `server.pem`."""
    place = tmp_path_factory.mktemp("ca")
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    made = [
        ("ca", ["-subj", "/CN=Own authority", "-addext", "keyUsage=critical,keyCertSign"]),
        ("bad", ["-subj", "/CN=Own authority without key usage"]),
    ]
    for signer, more in made:
        _request(place / signer, *kind, *more)
        signed = ["-CA", f"{place / signer}.pem", "-CAkey", f"{place / signer}.key", "-subj", "/CN=localhost"]
        names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
        leaf = place / ("server" if signer == "ca" else "server-of-bad")
        _request(leaf, *kind, *signed, *names)
        leaf.with_suffix(".pem").write_text(leaf.with_suffix(".pem").read_text() + leaf.with_suffix(".key").read_text())
    return place


def _request(place: Path, *words: str) -> None:
    files = ["-keyout", f"{place}.key", "-out", f"{place}.pem"]
    subprocess.run(["openssl", "req", "-x509", *words, *files], check=True, capture_output=True)


def test_each_fault_of_a_certificate_has_its_own_advice(
    serve: Serve, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = serve(tls=True, shows=authority / "server.pem")
    unknown = refusal(lambda: answers.mail(f"smtp+tls://localhost:{port}"))
    assert "run init with its path: SSL_CERT_FILE=" in unknown
    assert "Use the name" not in unknown
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    assert answers.mail(f"smtp+tls://localhost:{port}")
    other_name = refusal(lambda: answers.mail(f"smtp+tls://127.0.0.1:{port}"))
    assert "Use the name in the certificate" in other_name
    assert "SSL_CERT_FILE" not in other_name
    faulty = serve(tls=True, shows=authority / "server-of-bad.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "bad.pem"))
    why = refusal(lambda: answers.mail(f"smtp+tls://localhost:{faulty}"))
    assert "key usage" in why
    assert "Replace the certificate, or the one of its authority" in why


def test_your_own_authority_in_the_settings_counts_for_init_and_for_the_product(
    serve: Serve, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    port = serve(tls=True, shows=authority / "server.pem")
    url = f"smtp+tls://localhost:{port}"
    connects = "import django; django.setup(); from django.core.mail import get_connection; get_connection().open()"
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "lockbox_site.settings",
    }

    def sends() -> bool:
        words = [sys.executable, "-c", connects]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "CERTIFICATE_VERIFY_FAILED" in done.stderr, done.stderr
        return done.returncode == 0

    environment_file.write(tmp_path / ".env", {"EMAIL_URL": url})
    assert not sends()
    environment_file.write(tmp_path / ".env", {"SSL_CERT_FILE": str(authority / "ca.pem")})
    assert sends()
    # The same file, for init: first from the settings, then from the environment.
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert initialising.authorities({"SSL_CERT_FILE": str(authority / "ca.pem")})
    assert answers.mail(url) == url


def test_a_file_without_authorities_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    empty = tmp_path / "empty.pem"
    assert "No such file" in refusal(lambda: answers.authorities(str(empty)))
    empty.write_text("")
    assert "has no certificate that can be read" in refusal(lambda: answers.authorities(str(empty)))
    assert "SSL_CERT_FILE" not in os.environ


def test_a_mail_server_that_does_not_fit_the_address_is_refused_with_the_reason(serve: Serve) -> None:
    plain = serve()
    assert "doesn't offer what is needed" in refusal(lambda: answers.mail(f"smtp+tls://127.0.0.1:{plain}"))
    assert "doesn't offer what is needed" in refusal(lambda: answers.mail(f"smtp://u:p@127.0.0.1:{plain}"))
    assert "doesn't speak TLS here" in refusal(lambda: answers.mail(f"smtp+ssl://127.0.0.1:{plain}"))
    assert "doesn't answer (Connection refused)" in refusal(lambda: answers.mail(f"smtp://127.0.0.1:{free_port()}"))
    assert "is not known" in refusal(lambda: answers.mail("smtp://no.such.host.invalid:25"))
    for wrong in ("mail.example.com", "filemail:///tmp", ""):
        assert "must begin with smtp+tls://" in refusal(lambda wrong=wrong: answers.mail(wrong))
    assert "has a mistake" in refusal(lambda: answers.mail("smtp://mail.example.com:port"))


def test_a_password_is_never_sent_without_tls_to_another_machine() -> None:
    why = refusal(lambda: answers.mail("smtp://lockbox:secret@192.0.2.1:25"))
    assert why.startswith("Without TLS, others could read")
    assert "secret" not in why


def test_a_mail_server_that_says_nothing_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "WITHIN", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"smtp://127.0.0.1:{listener.getsockname()[1]}"
        assert re.search(r"doesn't answer \(.*timed out\)", refusal(lambda: answers.mail(url)))


# --- The database -------------------------------------------------------------------------------------------


def test_sqlite_is_taken_where_it_can_be_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/lockbox.sqlite3"
    assert answers.database(url) == url
    assert "can't be written" in refusal(lambda: answers.database("sqlite:////no/such/place/lockbox.sqlite3"))


def test_an_unknown_kind_of_database_and_a_silent_one_are_refused() -> None:
    assert "must begin with postgres://" in refusal(lambda: answers.database("mysql://root@localhost/x"))
    why = refusal(lambda: answers.database(f"postgres://lockbox:dont-tell@127.0.0.1:{free_port()}/lockbox"))
    assert why.startswith("The database doesn't work: ")
    assert "dont-tell" not in why


def _url(**changed: str) -> str:
    """Return the address of the tests' database, as the product's role reaches it."""
    found = connection.settings_dict | changed
    account = f"{found['USER']}:{found['PASSWORD']}" if found["PASSWORD"] else found["USER"]
    return f"postgres://{account}@{found['HOST']}:{found['PORT']}/{found['NAME']}"


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_postgresql_server_is_taken_with_the_documented_role() -> None:
    assert answers.database(_url()) == _url()
    assert 'database "no_such" does not exist' in refusal(lambda: answers.database(_url(NAME="no_such")))


@pytest.mark.postgres
@pytest.mark.django_db
@pytest.mark.skipif("DATABASE_ADMIN_URL" not in os.environ, reason="no superuser's address of the server is given")
def test_a_role_with_too_much_or_too_little_is_refused() -> None:
    admin, name = os.environ["DATABASE_ADMIN_URL"], f"init_{os.getpid()}"
    as_superuser = re.sub(r"/[^/]*$", f"/{connection.settings_dict['NAME']}", admin)
    assert "NOSUPERUSER NOBYPASSRLS" in refusal(lambda: answers.database(as_superuser))
    with psycopg.connect(admin, autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
        try:
            url = _url(USER=name, PASSWORD="secret")
            assert f"OWNER TO {name}" in refusal(lambda: answers.database(url))
            superuser.execute(f"ALTER ROLE {name} BYPASSRLS")
            assert "NOBYPASSRLS" in refusal(lambda: answers.database(url))
        finally:
            superuser.execute(f"DROP ROLE {name}")


def test_an_old_server_and_a_standby_are_refused() -> None:
    assert "PostgreSQL 14" in refusal(lambda: answers._require_fit(14, "d", "r", False, True, False))
    assert "standby" in refusal(lambda: answers._require_fit(18, "d", "r", False, True, True))
