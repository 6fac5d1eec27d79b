"""`clarion.yaml`: what it takes, what it refuses, and what it never shows."""

from collections.abc import Callable

import pytest

from core.errors import ConfigError
from core.settings import Transport
from core.workspace import Workspace


def _changed(make_workspace: Callable[..., Workspace], old: str, new: str) -> Workspace:
    """A workspace whose settings have `new` where the minimal ones have `old`."""
    workspace = make_workspace()
    path = workspace.root / "clarion.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return workspace


def test_minimal_settings_have_working_defaults(make_workspace):
    """
    Organisation, senders, transports and topics are enough; the rest has values one can start with.
    """
    settings = make_workspace().settings

    assert "embedded" == settings.database
    assert (0.01, 0.04, 0.15) == (settings.tiers.pyramid.top, settings.tiers.pyramid.big, settings.tiers.pyramid.medium)
    assert (2, 500) == (settings.workers.processes, settings.workers.batch_size)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("email: offers@paper.example", "email: offers", "senders.offers.email: got 'offers', expected an e-mail"),
        ("smtp://127.0.0.1", "http://127.0.0.1", "transports.main.url is wrong (expected 'smtp://"),
        ("connections: 4", "connections: 0", "transports.main.connections is wrong"),
        ("1 Mill Lane, 12345 Papertown", "here", "organisation.postal_address is wrong"),
        ('database: "embedded"', "database: mysql://x", "expected 'embedded' or 'postgresql://"),
        ('broker: "embedded"', "broker: amqp://x", "expected 'embedded' or 'redis://"),
        ("0123456789abcdef0123456789abcdef", "short", "at least 32 characters"),
        ("  news:", "  News!:", "topics"),
        ('name: "Paper & Co", email', 'name: "Paper\\nBcc: x@y.example", email', "line break or control character"),
        ("topics:", "tiers: {pyramid: {top: 60%, big: 40%}}\ntopics:", "leave nobody for small"),
        ("topics:", "tiers: {pyramid: {top: 60}}\ntopics:", "expected a share"),
        ("topics:", "tiers: {inactive_after: 2 years}\ntopics:", "expected a duration"),
        ("topics:", "tracking: {base_url: news.example.com}\ntopics:", "expected an address such as"),
    ],
)
def test_settings_mistake_is_explained(make_workspace, old, new, message):
    """
    Each mistake is refused with what was expected, located in clarion.yaml.
    """
    with pytest.raises(ConfigError) as caught:
        _ = _changed(make_workspace, old, new).settings

    assert message in str(caught.value)
    assert "clarion.yaml:" in str(caught.value)


def test_password_of_a_transport_is_never_shown():
    """
    Neither the short form of a transport nor its representation holds user or password.
    """
    transport = Transport(url="smtps://user:hunter2@relay.example")

    assert "smtps://relay.example:465" == transport.shown
    assert "hunter2" not in repr(transport) + str(transport)


def test_secrets_are_never_shown(make_workspace):
    """
    The representation of the settings, as tracebacks and logs print it, holds no secret and no database URL.
    """
    settings = _changed(make_workspace, '"embedded"\nbroker', '"postgresql://u:hunter2@db/x"\nbroker').settings

    assert "hunter2" not in repr(settings)
    assert "0123456789abcdef" not in repr(settings)


def test_mistake_in_a_secret_does_not_repeat_it(make_workspace):
    """
    The message about a wrong secret tells what was expected, not what was given.
    """
    with pytest.raises(ConfigError) as caught:
        _ = _changed(make_workspace, "0123456789abcdef0123456789abcdef", "hunter2").settings

    assert "hunter2" not in str(caught.value)


_URL = '"smtp://127.0.0.1:2525"'
_LEAKS = [
    ("scheme", _URL, '"smpts://u:hunter2@h"', "expected 'smtp://host:port'"),
    ("capitals", f"main: {{url: {_URL}", 'Main: {url: "smtps://u:hunter2@h"', "the name 'Main' in transports"),
    ("list", "main: {", "- {password: hunter2, ", "transports is wrong (expected a mapping)"),
    ("text", f"{{url: {_URL}, connections: 4}}", '"smtps://u:hunter2@h"', "transports.main is wrong (expected a map"),
    ("name", "main: {", '"smtp://u:hunter2@h": {', "the name '…' in transports is wrong"),
    ("nested", "connections: 4", '"smtp://u:hunter2@h": 1', "unknown key '…' in transports.main"),
    ("port", _URL, '"smtps://u:hunter2@h:99999"', "expected a port from 1 to 65535"),
    ("port 0", _URL, '"smtps://u:hunter2@h:0"', "expected a port from 1 to 65535"),
    ("hash", _URL, '"smtps://u:hunter2#x@h"', "percent-encoded"),
    ("slash", _URL, '"smtps://u:hunter2/x@h"', "percent-encoded"),
    ("question", _URL, '"smtps://u:hunter2?x@h"', "percent-encoded"),
    ("at", _URL, '"smtps://u:hunter2@x@h"', "percent-encoded"),
    ("percent", _URL, '"smtps://u:hunter2%@h"', "percent-encoded"),
    ("bracket", _URL, '"smtps://u:[hunter2@h"', "percent-encoded"),
    ("digits before slash", _URL, '"smtps://hunter2:12/x@h"', "percent-encoded"),
    ("nfkc", _URL, '"smtps://u:hunter2\\u2100@h"', "transports.main.url is wrong"),
    ("database port", 'database: "embedded"', "database: postgresql://u:hunter2@h:port/x", "expected a port from"),
    ("database at", 'database: "embedded"', "database: postgresql://u:hunter2@x@h/x", "percent-encoded"),
    ("database hash", 'database: "embedded"', "database: postgresql://u:hunter2#x@h/x", "percent-encoded"),
    ("database scheme", 'database: "embedded"', "database: mysql://u:hunter2@h/x", "expected 'embedded' or"),
    ("database kind", 'database: "embedded"', "database: {url: hunter2}", "database is wrong (expected a text)"),
    ("broker port", 'broker: "embedded"', "broker: redis://:hunter2@h:99999/0", "expected a port from"),
    ("broker slash", 'broker: "embedded"', "broker: redis://:hunter2/x@h/0", "percent-encoded"),
    ("secret short", '"0123456789abcdef0123456789abcdef"', "hunter2", "expected at least 32 characters"),
    ("secret number", '"0123456789abcdef0123456789abcdef"', "12345678", "secret is wrong (expected a text)"),
]


@pytest.mark.parametrize(("old", "new", "message"), [row[1:] for row in _LEAKS], ids=[row[0] for row in _LEAKS])
def test_mistake_in_an_address_does_not_repeat_its_password(make_workspace, old, new, message):
    """
    Whatever is wrong at or below transports, database, broker and secret is explained without what was given.
    """
    with pytest.raises(ConfigError) as caught:
        _ = _changed(make_workspace, old, new).settings

    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "12345678" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres@/shop?host=/run/postgresql",
        "postgres://u:p%40%23%2F@db.example:5432/shop?sslmode=require",
        "postgresql://[::1]:5432/shop",
    ],
)
def test_database_address_is_taken(make_workspace, url):
    """
    Sockets, percent-encoded passwords and IPv6 addresses are as good as any.
    """
    assert url == _changed(make_workspace, '"embedded"\nbroker', f'"{url}"\nbroker').settings.database


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/0", "rediss://:p%40@h/1", "unix:///run/valkey.sock"])
def test_broker_address_is_taken(make_workspace, url):
    """
    Plain and encrypted TCP, and sockets.
    """
    assert url == _changed(make_workspace, 'broker: "embedded"', f'broker: "{url}"').settings.broker


def test_lease_too_short_to_work_under_is_refused(make_workspace):
    """
    A worker must have time to hand over a window before its batch is free again.
    """
    with pytest.raises(ConfigError, match=r"workers\.lease: got '9s', expected at least '10s'"):
        _ = _changed(make_workspace, "topics:", "workers: {lease: 9s}\ntopics:").settings
