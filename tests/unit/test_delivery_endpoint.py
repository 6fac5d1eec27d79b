"""What the settings of a transport mean."""

import pytest
from pydantic import ValidationError

from core.errors import TransportError
from core.transport_settings import Transport
from delivery.smtp import Endpoint, Timers, Tls


@pytest.mark.parametrize(
    ("url", "tls", "expected"),
    [
        ("smtp://127.0.0.1:2525", None, ("127.0.0.1", 2525, Tls.NONE)),
        ("smtp://localhost", None, ("localhost", 25, Tls.NONE)),
        ("smtp://[::1]:2525", None, ("::1", 2525, Tls.NONE)),
        ("smtp://shop:s3cret@localhost", None, ("localhost", 25, Tls.STARTTLS)),
        ("smtp://relay.paper.example:587", None, ("relay.paper.example", 587, Tls.STARTTLS)),
        ("smtp://relay.paper.example", "none", ("relay.paper.example", 25, Tls.NONE)),
        ("smtps://relay.paper.example", None, ("relay.paper.example", 465, Tls.IMPLICIT)),
        ("smtp://relay.paper.example:465", "implicit", ("relay.paper.example", 465, Tls.IMPLICIT)),
    ],
)
def test_endpoint_is_private_off_this_machine(url: str, tls: str | None, expected: tuple[str, int, Tls]) -> None:
    """
    Plain text is for this machine, or where the settings say so.
    """
    endpoint = Endpoint.of(Transport.model_validate({"url": url, "tls": tls}))

    assert expected == (endpoint.host, endpoint.port, endpoint.tls)


@pytest.mark.parametrize(
    ("url", "tls", "hint"),
    [
        ("smtps://relay.paper.example", "none", "got tls: none, expected smtp:// or no tls:"),
        ("smtps://relay.paper.example", "starttls", "got tls: starttls, expected smtp:// or no tls:"),
        ("smtp://relay.paper.example:465", "starttls", "expected smtps:// or port 587"),
    ],
)
def test_address_and_tls_that_contradict_each_other_are_a_mistake(url: str, tls: str, hint: str) -> None:
    """
    Whoever writes smtps:// never gets a plain connection, and STARTTLS is not waited for where nobody says it.
    """
    with pytest.raises(ValidationError) as caught:
        Transport.model_validate({"url": url, "tls": tls})

    assert hint in str(caught.value)


def test_user_and_password_are_decoded_and_not_shown() -> None:
    """
    Percent-encoded characters are decoded; neither repr nor the shown address holds the password.
    """
    endpoint = Endpoint.of(Transport(url="smtps://shop%40paper:s%2Fcret@relay.paper.example"))

    assert ("shop@paper", "s/cret") == (endpoint.user, endpoint.password)
    assert "s/cret" not in repr(endpoint)
    assert "relay.paper.example:465" == endpoint.shown


@pytest.mark.parametrize(
    "settings",
    [{"url": "smtp://shop:s3cret@localhost", "tls": "none"}, {"url": "smtps://shop@relay.paper.example"}],
)
def test_password_without_tls_or_user_without_password_is_refused(settings: dict[str, str]) -> None:
    """
    What cannot work safely is refused before anything is sent, and the password is not repeated.
    """
    with pytest.raises(TransportError) as caught:
        Endpoint.of(Transport.model_validate(settings))

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["mail.paper.example", "[192.0.2.1]", "[IPv6:2001:db8::1]", "xn--bcher-kva.example"])
def test_name_for_ehlo_is_taken_from_the_settings(name: str) -> None:
    """
    A full domain name or an address literal is said as it stands.
    """
    endpoint = Endpoint.of(Transport.model_validate({"url": "smtp://127.0.0.1", "helo": name}))

    assert name == endpoint.helo


@pytest.mark.parametrize(
    "name",
    ["localhost", "LOCALHOST", "localhost.localdomain", "paper.localdomain", "paper", "192.0.2.1", "[300.1.1.1]",
     "mail paper.example", "mail.paper.example\r\nRSET", "-a.example", ""],
)  # fmt: skip
def test_name_that_servers_reject_is_a_mistake(name: str) -> None:
    """
    localhost, a name without a domain and what is no name at all are mistakes in the settings.
    """
    with pytest.raises(ValueError, match="full name of this machine"):
        Transport.model_validate({"url": "smtp://127.0.0.1", "helo": name})


def test_timers_and_caps_come_from_the_settings() -> None:
    """
    Each timer and both ages of a connection can be set; the defaults are the standard's.
    """
    timers = {"mail": "1m", "end_of_data": "20m"}
    settings = {"url": "smtp://127.0.0.1", "timers": timers, "longest_age": "2m", "longest_idle": "1m"}

    endpoint = Endpoint.of(Transport.model_validate(settings))

    assert Timers(mail=60, end_of_data=1200) == endpoint.timers
    assert (120, 60) == (endpoint.longest_age, endpoint.longest_idle)
    assert Endpoint("127.0.0.1", 25).timers == Endpoint.of(Transport(url="smtp://127.0.0.1")).timers


def test_idle_connections_are_not_kept_for_five_minutes() -> None:
    """
    Servers hang up after five minutes: a longer rest is a mistake in the settings.
    """
    with pytest.raises(ValueError, match="less than '5m'"):
        Transport.model_validate({"url": "smtp://127.0.0.1", "longest_idle": "5m"})


def test_two_ways_to_log_in_are_a_mistake() -> None:
    """
    User and password in the url beside `auth` are refused, and the password is not repeated.
    """
    settings = {
        "url": "smtps://shop:s3cret@relay.paper.example",
        "auth": {"xoauth2": {"user": "shop", "token_file": "token"}},
    }

    with pytest.raises(TransportError) as caught:
        Endpoint.of(Transport.model_validate(settings))

    assert "two ways to log in" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "xoauth2",
    [
        {"user": "shop"},
        {"user": "shop", "token_file": "a", "token_command": "b"},
        {"user": "shop", "token_command": "'unbalanced"},
        {"user": "shop", "token_command": " "},
        {"user": "", "token_file": "a"},
        {"user": "shop\x01auth=Bearer x", "token_file": "a"},
    ],
)
def test_half_given_xoauth2_is_a_mistake(xoauth2: dict[str, str]) -> None:
    """
    One source of tokens, a command that can be split into words, and a user without control characters.
    """
    with pytest.raises(ValueError, match="xoauth2"):
        Transport.model_validate({"url": "smtps://relay.paper.example", "auth": {"xoauth2": xoauth2}})
