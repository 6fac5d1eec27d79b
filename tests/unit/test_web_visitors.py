"""Who visits: the network address that counts, whatever headers say."""

import pytest
from starlette.requests import Request

from core.settings import Web
from web.visitors import neighbourhoods, visitor_of

PROXIES = ("10.0.0.0/8", "127.0.0.1")


def request(peer: str | None, *headers: tuple[str, str]) -> Request:
    """A request from `peer`."""
    listed = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "client": (peer, 1) if peer else None, "headers": listed})


@pytest.mark.parametrize(
    ("peer", "header", "expected"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),  # a stranger says so
        ("10.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.9", "198.51.100.9"),  # the first was written by the visitor
        ("10.0.0.1", "198.51.100.9, 10.0.0.2", "198.51.100.9"),  # two proxies of ours
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.9:4711", "198.51.100.9"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("10.0.0.1", "::ffff:198.51.100.9", "198.51.100.9"),
        ("::ffff:10.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "198.51.100.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "x" * 9000, "10.0.0.1"),
        (None, "198.51.100.9", None),
        ("testclient", "198.51.100.9", None),
    ],
)
def test_visitor_is_whom_a_proxy_of_ours_names(peer: str | None, header: str | None, expected: str | None) -> None:
    """
    The last address that no proxy of ours has counts; a stranger's header counts for nothing.
    """
    headers = () if header is None else (("X-Forwarded-For", header),)

    assert expected == visitor_of(request(peer, *headers), Web(proxies=PROXIES))


def test_header_can_be_another() -> None:
    """
    Some proxies have a header of their own; then the common one counts for nothing.
    """
    asked = request("10.0.0.1", ("CF-Connecting-IP", "198.51.100.9"), ("X-Forwarded-For", "6.6.6.6"))

    assert "198.51.100.9" == visitor_of(asked, Web(proxies=PROXIES, proxy_header="CF-Connecting-IP"))


def test_header_that_came_in_pieces_is_one() -> None:
    """
    Several headers of the name are read as if they were one, in order.
    """
    asked = request("10.0.0.1", ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "198.51.100.9, 10.0.0.2"))

    assert "198.51.100.9" == visitor_of(asked, Web(proxies=PROXIES))


@pytest.mark.parametrize(
    ("visitor", "expected"),
    [
        ("192.0.2.77", ("192.0.2.77/32", "192.0.2.0/24")),
        ("2001:db8:1:2:3:4:5:6", ("2001:db8:1:2::/64", "2001:db8:1::/48")),
        ("::ffff:192.0.2.77", ("192.0.2.77/32", "192.0.2.0/24")),
        (None, ("unknown", "unknown")),
    ],
)
def test_neighbourhood_is_counted_beside_the_address(visitor: str | None, expected: tuple[str, str]) -> None:
    """
    Of IPv6 a household has a /64; around it a /48 is counted, and a /24 in IPv4.
    """
    assert expected == neighbourhoods(visitor)
