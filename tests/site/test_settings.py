"""The settings, in development and in production.

The settings file gives the same result in every process with the same environment. So most tests run the file in this
process. Separate processes show only two things: a refused setting ends the process, and what Django and django-q2 do
with the settings.
"""

import ast
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django_q.conf import Conf

from lockbox_site import django_commands
from tests.sources import ROOT, modules, nodes_in, nodes_of, text_of

PRODUCTION = {
    "PRODUCTION": "on",
    "SECRET_KEY": "k7" * 40 + "-not-a-secret-but-long-and-mixed",
    "ALLOWED_HOSTS": "lockbox.example.com",
    "BASE_URL": "https://lockbox.example.com",
    "EMAIL_URL": "smtp://localhost:2525",
}


def bare(data_dir: Path, **environment: str) -> dict[str, str]:
    """Return an environment that has no settings of the project except these."""
    stored = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return stored | {"DJANGO_SETTINGS_MODULE": "lockbox_site.settings", "DATA_DIR": str(data_dir)} | environment


def manage(data_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run manage.py in an environment that has only these settings."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    env = bare(data_dir, **environment)
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=150)


def setting(data_dir: Path, name: str, **environment: str) -> Any:
    """Return the value that the settings file gives to a setting, in an environment with only these settings."""
    with mock.patch.dict(os.environ, bare(data_dir, **environment), clear=True):
        return runpy.run_path(str(ROOT / "lockbox_site" / "settings.py"))[name]


def refusal(data_dir: Path, **environment: str) -> str:
    with pytest.raises(ImproperlyConfigured) as refused:
        setting(data_dir, "DATA_DIR", **environment)
    return str(refused.value)


@pytest.mark.slow
def test_a_refusal_ends_the_process_and_says_why(tmp_path: Path) -> None:
    """The tests below only check which settings are refused. This test shows what a refusal does to the process."""
    done = manage(tmp_path, "check", **{**PRODUCTION, "SECRET_KEY": ""})
    assert done.returncode != 0
    assert "PRODUCTION=on needs these settings too: SECRET_KEY." in done.stderr
    assert not (tmp_path / "secret_key").exists()


@pytest.mark.slow
@pytest.mark.parametrize("words", [("import", "x.csv", "--dry-run"), ("export",), ("setup_link",)])
def test_a_command_beside_a_trial_says_where_the_trial_is(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "lockbox.sqlite3").touch()
    done = manage(tmp_path, *words)
    assert done.returncode == 1
    assert f"DATA_DIR={tmp_path}/empty before the command" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["empty"], "no second database, and no second key"


def test_a_database_beside_a_trial_can_be_made_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "lockbox.sqlite3").touch()
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert django_commands.why_no_database("manage.py", ["export"])
    assert django_commands.why_no_database("manage.py", ["migrate", "--noinput"]) == ""
    (tmp_path / "lockbox.sqlite3").touch()
    assert django_commands.why_no_database("manage.py", ["export"]) == ""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "empty"))
    assert django_commands.why_no_database("manage.py", ["export"]) == ""


@pytest.mark.slow
def test_django_and_the_queue_have_the_settings_that_the_file_makes(tmp_path: Path) -> None:
    """Otherwise the tests below could be about a file that Django does not use."""
    script = (
        "from django.conf import settings; from django_q.conf import Conf;"
        "print(settings.SECRET_KEY, settings.PORT, settings.EMAIL_FILE_PATH, Conf.SECRET_KEY)"
    )
    done = manage(tmp_path, "shell", "--no-imports", "-c", script, PORT="8112", TASK_SIGNING_KEY="a-key-for-tasks")
    assert done.returncode == 0, done.stderr
    secret_key = (tmp_path / "secret_key").read_text()
    assert done.stdout.split() == [secret_key, "8112", str(tmp_path / "mail"), "a-key-for-tasks"]
    assert secret_key == setting(tmp_path, "SECRET_KEY")


@pytest.mark.parametrize(
    ("environment", "level"),
    [
        ({}, "ERROR"),
        ({"BASE_URL": "http://lockbox.test.example"}, "INFO"),
        ({"EMAIL_URL": "smtp://localhost:2525"}, "INFO"),
        (PRODUCTION, "INFO"),
    ],
)
def test_no_level_hides_refusals_except_in_a_trial(tmp_path: Path, environment: dict[str, str], level: str) -> None:
    """A server for tests has no PRODUCTION either, and people look for attacks in its log."""
    found = setting(tmp_path, "LOGGING", **environment, LOG_LEVEL="ERROR")
    assert found["loggers"]["security"]["level"] == level
    assert found["root"]["level"] == "ERROR"


@pytest.mark.slow
def test_check_deploy_has_no_warning_in_production(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout + done.stderr


@pytest.mark.slow
def test_check_deploy_warns_where_production_is_off(tmp_path: Path) -> None:
    """Otherwise the test above could pass although nothing was checked."""
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 1
    assert "security.W008" in done.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "ALLOWED_HOSTS", "BASE_URL", "EMAIL_URL"])
def test_production_refuses_to_start_without(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path, **{**PRODUCTION, name: ""})
    assert f"PRODUCTION=on needs these settings too: {name}." in message
    assert not (tmp_path / "secret_key").exists()


def test_production_refuses_debug(tmp_path: Path) -> None:
    assert "DEBUG can't be on with PRODUCTION=on, because it shows" in refusal(tmp_path, **PRODUCTION, DEBUG="on")


KEYS = ("SECRET_KEY", "TASK_SIGNING_KEY", "WEBHOOK_KEY", "SECOND_FACTOR_KEY")
FALLBACKS = ("SECRET_KEY_FALLBACKS", "WEBHOOK_KEY_FALLBACKS", "SECOND_FACTOR_KEY_FALLBACKS")
STRONG = "Vq3mT9xL0c-" * 6
WEAK = {"short": STRONG[:49], "few": "abcd" * 20, "Django's": f"django-insecure-{STRONG}"}


@pytest.mark.parametrize("name", [*KEYS, *FALLBACKS])
@pytest.mark.parametrize("weak", WEAK.values(), ids=WEAK)
def test_production_refuses_a_weak_key_in_one_line_that_does_not_quote_it(tmp_path: Path, name: str, weak: str) -> None:
    values = f"{STRONG},{weak}" if name in FALLBACKS else weak
    message = refusal(tmp_path, **{**PRODUCTION, name: values})
    subject = f"A key in {name}" if name in FALLBACKS else name
    assert message.startswith(
        f"{subject} is too weak for PRODUCTION=on. It must have at least 50 characters and at least 5"
    )
    assert message.endswith("Make a new key: python3 -c 'import secrets; print(secrets.token_urlsafe(64))'")
    assert len(message.splitlines()) == 1
    assert weak not in message


@pytest.mark.parametrize("name", [*KEYS, *FALLBACKS])
def test_production_takes_a_strong_key_and_development_any(tmp_path: Path, name: str) -> None:
    assert setting(tmp_path, "PRODUCTION", **{**PRODUCTION, name: STRONG[:50]}) is True
    assert setting(tmp_path, "PRODUCTION", **{name: "weak"}) is False


@pytest.mark.parametrize("hosts", ["*", "lockbox.example.com,*", "*.example.com", ".", ".com", ".com."])
def test_production_refuses_hosts_that_anybody_can_name(tmp_path: Path, hosts: str) -> None:
    message = refusal(tmp_path, **{**PRODUCTION, "ALLOWED_HOSTS": hosts})
    assert message.startswith(f"ALLOWED_HOSTS can't contain {hosts.split(',')[-1]!r} with PRODUCTION=on. ")
    assert len(message.splitlines()) == 1


def test_production_takes_the_names_below_a_domain(tmp_path: Path) -> None:
    assert setting(tmp_path, "ALLOWED_HOSTS", **{**PRODUCTION, "ALLOWED_HOSTS": ".example.com"}) == [".example.com"]


def test_production_refuses_an_address_without_tls(tmp_path: Path) -> None:
    message = refusal(tmp_path, **{**PRODUCTION, "BASE_URL": "http://lockbox.example.com"})
    assert message == "BASE_URL must begin with https:// when PRODUCTION=on. It is 'http://lockbox.example.com'."
    # A name that only looks like this machine is another machine.
    assert refusal(tmp_path, **{**PRODUCTION, "BASE_URL": "http://localhost.example.com"})


def test_production_needs_no_tls_on_this_machine(tmp_path: Path) -> None:
    for address in ("http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"):
        assert setting(tmp_path, "BASE_URL", **{**PRODUCTION, "BASE_URL": address}) == address


def test_production_announces_changes_by_staff_a_day_before_at_least(tmp_path: Path) -> None:
    name = "STAFF_CHANGE_WAIT_SECONDS"
    assert refusal(tmp_path, **{**PRODUCTION, name: "86399"}) == f"{name} must be at least 86400, not 86399."
    assert setting(tmp_path, name, **{**PRODUCTION, name: "86400"}) == 86400
    assert setting(tmp_path, name) == 72 * 3600
    assert setting(tmp_path, name, **{name: "60"}) == 60


def test_production_says_everything_at_once(tmp_path: Path) -> None:
    unsafe = {"SECRET_KEY": "short", "ALLOWED_HOSTS": "*", "BASE_URL": "http://lockbox.example.com"}
    lines = refusal(tmp_path, **{**PRODUCTION, **unsafe}).splitlines()
    assert [line.split()[0] for line in lines] == ["SECRET_KEY", "ALLOWED_HOSTS", "BASE_URL"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "entry",
    [
        ("web", "-c", "import lockbox_site.rsgi"),
        *(("manage.py", "manage.py", command) for command in ("lockbox", "cluster", "beat", "migrate", "runserver")),
    ],
    ids=" ".join,
)
def test_no_entry_starts_with_unsafe_settings(tmp_path: Path, entry: tuple[str, ...]) -> None:
    program, *arguments = entry
    env = bare(tmp_path, **{**PRODUCTION, "SECRET_KEY": "short", "BASE_URL": "http://lockbox.example.com"})
    done = subprocess.run([sys.executable, *arguments], env=env, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line[: len(program) + 13] for line in lines] == [f"{program}: SECRET_KEY ", f"{program}: BASE_URL mu"]
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


#: Run each command as manage.py does, one after the other, and print how each one ended.
ONE_AFTER_THE_OTHER = """
import sys
import manage

for command in sys.argv[1:]:
    sys.argv = ["manage.py", *command.split()]
    try:
        manage.main()
    except SystemExit as end:
        print(end.code)
"""


@pytest.mark.slow
def test_a_command_before_migrate_is_one_line(tmp_path: Path) -> None:
    program = f"{ROOT}/bin/customer-lockbox migrate --data-dir {tmp_path}"
    line = f"The database is not up to date. Run: {program}\n"
    lines = {
        "sweep": f"manage.py: {line}",
        "verify_audit": f"manage.py: {line}",
        "clearsessions": f"manage.py: {line}",
        "createsuperuser --noinput --email s@example.com --name Stella": f"CommandError: {line}",
    }
    words = [sys.executable, "-c", ONE_AFTER_THE_OTHER, *lines]
    done = subprocess.run(words, env=bare(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n" * len(lines), "".join(lines.values()))


@pytest.mark.slow
def test_a_database_that_is_away_is_one_line_without_its_password(tmp_path: Path) -> None:
    done = manage(tmp_path, "sweep", DATABASE_URL="postgres://lockbox:dont-tell@localhost:1/lockbox")
    assert done.returncode == 1
    assert done.stderr.startswith("manage.py: The database can't be used: ")
    assert len(done.stderr.splitlines()) == 1
    assert "dont-tell" not in done.stderr


@pytest.mark.parametrize("value", ["nonsense", "mysql://a:dont-tell@b/c", "postgres://a:dont-tell@b:c/d", "foo://x"])
def test_a_malformed_database_url_is_refused_and_not_quoted(tmp_path: Path, value: str) -> None:
    message = refusal(tmp_path, DATABASE_URL=value)
    assert message.startswith("DATABASE_URL ")
    assert "dont-tell" not in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("name", ["CACHE_URL", "EMAIL_URL"])
@pytest.mark.parametrize("value", ["mail.example.com", "foo://x", "smtp://a:dont-tell@b:c"])
def test_other_addresses_with_a_scheme_are_refused_in_the_same_way(tmp_path: Path, name: str, value: str) -> None:
    message = refusal(tmp_path, **{name: value})
    assert message.startswith(f"{name} can't be used.")
    assert "dont-tell" not in message


@pytest.mark.parametrize(
    "value", ["lockbox.example.com", "ftp://a", "https://", "http://a:b", "https://me@a", "https://a?b", "http://[::1"]
)
def test_a_malformed_base_url_is_refused(tmp_path: Path, value: str) -> None:
    message = refusal(tmp_path, BASE_URL=value)
    assert message.startswith("BASE_URL must be an address like https://lockbox.example.com, not ")


def test_a_data_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = refusal(tmp_path / "file")
    assert message == f"The directory {tmp_path / 'file'} can't be made (File exists). Check DATA_DIR."


def test_a_host_of_ipv6_has_an_address_that_browsers_take(tmp_path: Path) -> None:
    assert setting(tmp_path, "BASE_URL", HOST="::1") == "http://[::1]:8000"
    assert setting(tmp_path, "ALLOWED_HOSTS", HOST="fd00::7") == ["127.0.0.1", "[::1]", "[fd00::7]", "localhost"]


@pytest.mark.parametrize("word", ["on", "true", "yes", "1", "TRUE"])
def test_these_words_switch_on_as_the_readme_says(tmp_path: Path, word: str) -> None:
    assert setting(tmp_path, "PSEUDO_LOCALE", PSEUDO_LOCALE=word) is True
    assert f"`{word.lower()}`" in text_of(ROOT / "README.md").partition("## Settings")[2].partition("\n|")[0]


@pytest.mark.parametrize("word", ["off", "false", "no", "0", "False"])
def test_these_words_switch_off_as_the_readme_says(tmp_path: Path, word: str) -> None:
    assert setting(tmp_path, "PSEUDO_LOCALE", PSEUDO_LOCALE=word) is False
    assert f"`{word.lower()}`" in text_of(ROOT / "README.md").partition("## Settings")[2].partition("\n|")[0]


@pytest.mark.parametrize("name", ["DEBUG", "PRODUCTION", "SSL_REDIRECT", "SECURE_COOKIES", "PSEUDO_LOCALE"])
def test_an_unknown_boolean_refuses_to_start(tmp_path: Path, name: str) -> None:
    assert f"{name} must be on or off, not 'maybe'." in refusal(tmp_path, **{name: "maybe"})


def test_sweeps_too_rare_for_a_signature_within_a_minute_refuse_to_start(tmp_path: Path) -> None:
    assert "SWEEP_SECONDS must be between 1 and 30, not 31." in refusal(tmp_path, SWEEP_SECONDS="31")
    assert setting(tmp_path, "SWEEP_SECONDS", SWEEP_SECONDS="30") == 30


@pytest.mark.parametrize("lengths", ["", "14401", "28800,86400"])
def test_lengths_that_nobody_could_ask_for_refuse_to_start(tmp_path: Path, lengths: str) -> None:
    message = refusal(tmp_path, WINDOW_CHOICES_SECONDS=lengths)
    assert message == "WINDOW_CHOICES_SECONDS must contain at least one number that is 14400 or less."
    assert setting(tmp_path, "WINDOW_CHOICES_SECONDS", WINDOW_CHOICES_SECONDS="300,28800") == [300, 28800]


def test_development_makes_its_own_secret_and_keeps_it(tmp_path: Path) -> None:
    first = setting(tmp_path, "SECRET_KEY")
    assert first == (tmp_path / "secret_key").read_text()
    assert setting(tmp_path, "SECRET_KEY") == first
    assert setting(tmp_path, "DEBUG") is False


def test_a_file_beside_the_data_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PROVIDER_NAME=Northwind Cloud\nPORT=8111\n")
    assert setting(tmp_path, "PROVIDER_NAME") == "Northwind Cloud"
    assert setting(tmp_path, "PORT") == 8111
    assert setting(tmp_path, "PORT", PORT="8112") == 8112


def test_mails_are_filed_exactly_where_the_setting_says(tmp_path: Path) -> None:
    assert str(setting(tmp_path, "EMAIL_FILE_PATH")) == str(tmp_path / "mail")
    assert str(setting(tmp_path, "EMAIL_FILE_PATH", EMAIL_URL="filemail:///srv/mail")) == "/srv/mail"


def test_a_queued_task_is_signed_with_its_own_key(tmp_path: Path) -> None:
    """A named key is tested above, in a process. This process has no named key."""
    assert Conf.SECRET_KEY == settings.TASK_SIGNING_KEY != settings.SECRET_KEY
    derived = setting(tmp_path, "TASK_SIGNING_KEY", SECRET_KEY=settings.SECRET_KEY)
    assert derived == settings.TASK_SIGNING_KEY
    assert setting(tmp_path, "TASK_SIGNING_KEY", SECRET_KEY="another") not in ("another", derived)


def test_the_secrets_of_webhooks_have_a_key_of_their_own_and_former_ones_are_known(tmp_path: Path) -> None:
    new, old = setting(tmp_path, "WEBHOOK_KEYS", SECRET_KEY="new", SECRET_KEY_FALLBACKS="old")
    assert setting(tmp_path, "WEBHOOK_KEYS", SECRET_KEY="old") == [old]
    named = setting(tmp_path, "WEBHOOK_KEYS", SECRET_KEY="new", WEBHOOK_KEY="own", WEBHOOK_KEY_FALLBACKS="former")
    # After an operator sets a key, the product can still read what the derived key encrypted.
    assert named == ["own", "former", new]
    assert "new" not in new


@pytest.mark.sqlite
def test_sqlite_makes_writers_take_turns_and_keeps_what_is_committed() -> None:
    from django.db import connection

    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


@pytest.mark.dialect
@pytest.mark.django_db
def test_the_connection_carries_the_settings_of_durability() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for pragma, value in {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}.items():
                cursor.execute(f"PRAGMA {pragma}")
                assert cursor.fetchone() == (value,), pragma
        else:
            assert "pool" not in connection.settings_dict["OPTIONS"]
            assert connection.settings_dict["OPTIONS"]["server_side_binding"] is True
            assert connection.settings_dict["CONN_HEALTH_CHECKS"] is True


def test_a_task_is_retried_only_after_it_timed_out() -> None:
    assert settings.Q_CLUSTER["retry"] > settings.Q_CLUSTER["timeout"]


# --- Every name is documented ----------------------------------------------------------------------------

READERS = frozenset(
    ["switch", "whole_number", "seconds", "seconds_list", "words", "choice", "text", "networks"]
    + ["secret", "secret_words", "url_of", "http_address"]
)


def names_read(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the name of each variable that this code reads from the environment."""
    names = set()
    for node in nodes:
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in READERS and re.fullmatch(r"[A-Z][A-Z0-9_]+", str(node.args[0].value)):
            names.add(str(node.args[0].value))
    return names


def test_environment_names_are_found_for_every_reader() -> None:
    source = 'A = switch("ALPHA", default=True)\nB = secret("BETA")\nC = len("GAMMA")\n'
    assert names_read(nodes_in(source)) == {"ALPHA", "BETA"}


def test_fixed_settings_read_nothing_from_the_environment() -> None:
    """Python runs an imported module only once, so the tests here would not see its second value."""
    files = modules("lockbox_site/fixed_settings")
    assert len(files) > 1
    assert {name for path in files for name in names_read(nodes_of(path))} == set()


def test_every_setting_from_the_environment_is_in_the_readme() -> None:
    names = names_read(nodes_of(ROOT / "lockbox_site" / "settings.py"))
    assert {"DATABASE_URL", "SECRET_KEY", "CUSTOMER_DECISION_SECONDS"} <= names
    documented = set(re.findall(r"^\|\s*`([A-Z][A-Z0-9_]+)`", text_of(ROOT / "README.md"), flags=re.MULTILINE))
    assert sorted(names - documented) == []
    assert sorted(documented - names) == []


def test_the_address_of_the_database_may_name_two_hosts_and_its_own_options(tmp_path: Path) -> None:
    address = "postgres://u:p@one:5432,two:5433/db?target_session_attrs=read-write&connect_timeout=5"
    database = setting(tmp_path, "DATABASES", DATABASE_URL=address)["default"]
    assert (database["HOST"], database["PORT"]) == ("one,two", "5432,5433")
    options = database["OPTIONS"]
    assert (options["target_session_attrs"], options["connect_timeout"]) == ("read-write", 5)
    # An option that the address does not contain keeps its default.
    assert options["tcp_user_timeout"] == 10_000


def test_a_database_that_vanished_is_noticed_unless_its_address_says_otherwise(tmp_path: Path) -> None:
    """A database that was stopped, and does not break its connections, is tested in tests/database/test_bounds.py."""
    noticed = {
        "connect_timeout": 2, "tcp_user_timeout": 10_000,
        "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    }  # fmt: skip
    options = setting(tmp_path, "DATABASES", DATABASE_URL="postgres://u:p@one/db")["default"]["OPTIONS"]
    assert {name: options.get(name) for name in noticed} == noticed
    for name, usual in noticed.items():
        address = f"postgres://u:p@one/db?{name}={usual + 1}"
        options = setting(tmp_path, "DATABASES", DATABASE_URL=address)["default"]["OPTIONS"]
        assert {each: int(options[each]) for each in noticed} == noticed | {name: usual + 1}


# --- Secrets in files ------------------------------------------------------------------------------------

LONG = "-not-a-secret-but-long-and-mixed-" * 2
#: Each setting that holds a secret, with a value and the setting in which the program then has it.
SECRETS = {
    "SECRET_KEY": f"a1{LONG}",
    "SECRET_KEY_FALLBACKS": f"b2{LONG}",
    "TASK_SIGNING_KEY": f"c3{LONG}",
    "WEBHOOK_KEY": f"d4{LONG}",
    "WEBHOOK_KEY_FALLBACKS": f"e5{LONG}",
    "SECOND_FACTOR_KEY": f"f6{LONG}",
    "SECOND_FACTOR_KEY_FALLBACKS": f"g7{LONG}",
    "DATABASE_URL": "postgres://lockbox:h8-secret@database/lockbox",
    "EMAIL_URL": "smtp+tls://lockbox:i9-secret@mail:587",
    "CACHE_URL": "rediscache://:j0-secret@cache:6379/0",
    "SSO_CLIENT_SECRET": "k1-secret",
    "METRICS_TOKEN": "l2-secret-of-the-monitoring",
    "LOG_HEADS_S3_SECRET_KEY": "m3-secret-of-the-store",
}
#: Settings whose names sound like a secret, with what each one is instead.
NO_SECRETS = {
    "BASE_URL": "is public",
    "LOG_KEY": "has its own file, which is read again at each signature",
    "LOG_KEY_FILE": "is a path",
    "LOG_HEADS_S3_ACCESS_KEY": "is the name of a key",
    "SSO_SAML_KEYS": "is a path",
    "SSO_SAML_METADATA_URL": "is public",
}


def test_each_secret_can_be_a_file(tmp_path: Path) -> None:
    given = {name: value for name, value in PRODUCTION.items() if name not in SECRETS}
    for name, value in SECRETS.items():
        path = tmp_path / name.lower()
        path.write_text(f"{value}\n")
        given[f"{name}_FILE"] = str(path)
    with mock.patch.dict(os.environ, bare(tmp_path, **given), clear=True):
        found = runpy.run_path(str(ROOT / "lockbox_site" / "settings.py"))
        assert not [value for value in os.environ.values() if value in SECRETS.values()]
    for name in ("SECRET_KEY", "TASK_SIGNING_KEY", "SSO_CLIENT_SECRET", "LOG_HEADS_S3_SECRET_KEY"):
        assert found[name] == SECRETS[name]
    assert found["SECRET_KEY_FALLBACKS"] == [SECRETS["SECRET_KEY_FALLBACKS"]]
    assert found["WEBHOOK_KEYS"][:2] == [SECRETS["WEBHOOK_KEY"], SECRETS["WEBHOOK_KEY_FALLBACKS"]]
    assert found["SECOND_FACTOR_KEYS"][:2] == [SECRETS["SECOND_FACTOR_KEY"], SECRETS["SECOND_FACTOR_KEY_FALLBACKS"]]
    assert found["DATABASES"]["default"]["PASSWORD"] == "h8-secret"
    assert found["EMAIL_HOST_PASSWORD"] == "i9-secret"
    assert "j0-secret" in str(found["CACHES"]["default"]["LOCATION"])


def test_every_setting_that_sounds_like_a_secret_can_be_a_file() -> None:
    """Otherwise a container would have it in its environment, which `docker inspect` shows."""
    sounds = re.compile(r"(KEY|KEYS|FALLBACKS|SECRET|PASSWORD|PASSPHRASE|TOKEN|PIN|_URL|_KEY_FILE)$")
    nodes = nodes_of(ROOT / "lockbox_site" / "settings.py")
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    as_file = {"secret", "secret_words", "url_of"}
    plain = names_read(call for call in calls if getattr(call.func, "id", "") not in as_file)
    assert {name for name in plain if sounds.search(name)} == set(NO_SECRETS)
    assert names_read(call for call in calls if getattr(call.func, "id", "") in as_file) == set(SECRETS)
    readme = text_of(ROOT / "README.md")
    assert [name for name in SECRETS if f"`{name}`" not in readme] == []


def test_a_weak_key_in_a_file_is_refused_without_quoting_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("swordfish")
    given = {name: value for name, value in PRODUCTION.items() if name != "SECRET_KEY"}
    message = refusal(tmp_path, **given, SECRET_KEY_FILE=str(path))
    assert "SECRET_KEY is too weak" in message
    assert "swordfish" not in message


def test_the_key_of_the_log_and_its_file_are_not_set_together(tmp_path: Path) -> None:
    assert "Both LOG_KEY and LOG_KEY_FILE" in refusal(tmp_path, LOG_KEY="x", LOG_KEY_FILE="/elsewhere")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"METRICS_TOKEN": "short"}, "METRICS_TOKEN must have at least 20 characters"),
        ({"METRICS_ADDRESSES": "10.0.0.0/8,prometheus"}, "METRICS_ADDRESSES must be networks like 10.2.0.0/16"),
        ({"METRICS_ADDRESSES": "10.0.0.1/8"}, "METRICS_ADDRESSES must be networks like 10.2.0.0/16"),
        ({"METRICS_ADDRESSES": "0.0.0.0/0"}, "METRICS_ADDRESSES is every address"),
        ({"METRICS_ADDRESSES": "::/0"}, "METRICS_ADDRESSES is every address"),
        ({"METRICS_PORT": "9464"}, "METRICS_PORT is set, but nobody may read the metrics"),
    ],
)
def test_metrics_are_not_left_open_by_a_mistake(tmp_path: Path, environment: dict[str, str], words: str) -> None:
    assert refusal(tmp_path, **environment).startswith(words)


def test_metrics_are_off_unless_a_setting_says_who_reads_them(tmp_path: Path) -> None:
    assert setting(tmp_path, "METRICS") is False
    assert setting(tmp_path, "METRICS", METRICS_TOKEN="a-token-of-the-monitoring") is True
    assert setting(tmp_path, "METRICS", METRICS_ADDRESSES="10.2.0.7, fd00::/8") is True
