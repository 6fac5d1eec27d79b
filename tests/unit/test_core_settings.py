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
