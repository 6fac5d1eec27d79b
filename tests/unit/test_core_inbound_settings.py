"""`inbound` in `clarion.yaml`: what is read, what is refused, and the example of the page."""

import re
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.settings import Settings
from core.workspace import checked_settings
from core.yaml_files import Document, parse_document
from tests.conftest import MINIMAL_SETTINGS

PAGE = (Path(__file__).parents[2] / "docs" / "inbound.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PLAIN = MINIMAL_SETTINGS.format(database="embedded", broker="embedded", smtp_port=2525)


def read(text: str) -> Settings:
    settings, document = checked_settings(parse_document(PLAIN + text, Document("clarion.yaml")))
    if document.problems or settings is None:
        raise ConfigError(problems=document.problems)
    return settings


def test_inbound_example_of_the_page_is_read(monkeypatch):
    """
    The page's example is valid, and user and password are told apart as the URL encodes them.
    """
    monkeypatch.setenv("IMAP_PASSWORD", "p%40ss")
    inbound = read(EXAMPLE).inbound
    office = inbound.mailboxes["office"]

    assert (True, "lmtp", "127.0.0.1") == (
        inbound.is_used,
        inbound.listeners["mta"].protocol,
        inbound.listeners["mta"].host,
    )
    assert ("bounces@paper.example", "p@ss") == (office.user, office.password)
    assert (("mail.paper.example", 993), True, "INBOX") == (office.place, office.is_implicit_tls, office.folder)


def test_inbound_is_not_used_unless_something_stands_there():
    """
    A workspace without places for mails takes none in.
    """
    assert not read("").inbound.is_used


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{mailboxes: {a: {url: 'imaps://mail.example/INBOX'}}}", "user or password is missing"),
        ("{mailboxes: {a: {url: 'pop3://u:p@mail.example'}}}", "imaps://user:${PASSWORD}@host/INBOX"),
        (
            "{mailboxes: {a: {url: 'imaps://u:secret-one@mail.example', auth: {xoauth2: {user: u, token_file: t}}}}}",
            "both auth: and a user",
        ),
        ("{maildirs: {a: {path: x, afterwards: forget}}}", "forget"),
        ("{max_size: 10 KB}", "at least '1 MB'"),
        ("{listeners: {a: {protocol: lmtp}}}", "port"),
        ("{domains: ['not a domain']}", "a domain such as"),
    ],
)
def test_inbound_mistake_is_explained(section, said):
    """
    What cannot be used is said at its line, without any password.
    """
    with pytest.raises(ConfigError) as refused:
        read(f"inbound: {section}\n")

    assert said in str(refused.value)
    assert "secret-one" not in str(refused.value)
