"""What the settings of a transport mean."""

import pytest

from core.errors import TransportError
from core.settings import Transport
from delivery.smtp import Endpoint, Tls


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
