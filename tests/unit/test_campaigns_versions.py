"""A pinned version: the same files have the same fingerprint, also in the next release of Clarion."""

from dataclasses import replace

import pytest

from campaigns.versions import Version

#: A version as it was stored before senders had a return path, and transports routes.
STORED = {
    "campaign": {
        "kind": "recurring",
        "topic": "promotions",
        "audience": {"segment": "everybody"},
        "send": {"template": "spring-paper.html", "from": "offers"},
        "schedule": {"cron": "0 9 * * mon"},
    },
    "segments": {"everybody": 'external_id != ""'},
    "templates": {"spring-paper.html": "<p>Good morning</p>"},
    "sender": {"name": "Paper", "email": "offers@paper.example", "reply_to": None},
    "organisation": {
        "name": "Paper",
        "postal_address": "1 Mill Lane, 12345 Papertown",
        "website": None,
        "language": "en",
        "zone": "UTC",
    },
    "topics": ["promotions"],
    "transport": "main",
    "opens": True,
    "clicks": True,
    "currency": "EUR",
}


def test_fingerprint_of_a_version_outlives_the_release_that_stored_it():
    """
    What is unchanged is no other version after an upgrade: else a cancelled recurring campaign would begin again.
    """
    version = Version.from_stored("spring-paper", STORED)

    assert STORED == version.stored()
    assert "9b25ada5b3617e60" == version.fingerprint


@pytest.mark.parametrize("changes", [{"return_path": "bounces.paper.example"}, {"reply_to": "help@paper.example"}])
def test_fingerprint_changes_with_its_sender(changes):
    """
    What a sender's settings add is part of the version, and survives being stored.
    """
    version = Version.from_stored("spring-paper", STORED)
    other = replace(version, sender=version.sender.model_copy(update=changes))

    assert version.fingerprint != other.fingerprint
    assert other == Version.from_stored("spring-paper", other.stored())
