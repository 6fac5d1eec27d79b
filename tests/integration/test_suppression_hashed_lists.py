"""Hashed do-not-contact lists: whoever has such an address is caught, however it comes."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update

from core import schema
from core.addresses import parse_address
from core.database import Database
from core.workspace import Workspace
from customers.importing.files import How, Imported, import_file
from suppression.gate import skip_reason
from suppression.policy import Policy
from suppression.record import lift
from tests.factories import key_of, make_customer

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Desk:
    """A workspace on a fresh database, files to import into it, and the gate."""

    def __init__(self, database: Database, workspace: Workspace, folder: Path) -> None:
        self.database, self.workspace, self.folder = database, workspace, folder

    def run(self, kind: str, content: str, *, name: str = "list") -> Imported:
        path = self.folder / f"{name}.csv"
        path.write_text(content, encoding="utf-8")
        return import_file(self.database, self.workspace, kind, path, now=NOW, how=How())

    def gate(self, message_class: str = "bulk") -> dict[str, str | None]:
        """External id → what keeps the customer out."""
        customer = schema.customer.c
        reason = skip_reason(
            customer.id, customer.address_key,
            topic="news", campaign="spring", now=NOW, policy=Policy(), message_class=message_class,
        )  # fmt: skip
        with self.database.begin() as connection:
            return {row[0]: row[1] for row in connection.execute(select(customer.external_id, reason))}


@pytest.fixture
def desk(database: Database, make_workspace: Callable[..., Workspace], tmp_path: Path) -> Desk:
    return Desk(database, make_workspace(database=database), tmp_path)


def hashed(address: str, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, address.encode()).hexdigest()


@pytest.mark.parametrize(
    "label",
    ["plain", "münchen", "例え", "bücher-straße", "ñandú", "президент", "a" * 30 + "ü" * 20, "ü", "中文测试域名很长的例子", "x-ü-y-é-z", "😀"],
)  # fmt: skip
def test_a_label_is_that_of_the_standard(database: Database, label: str) -> None:
    """
    The database spells a label outside ASCII as RFC 3492 does.
    """
    expected = label if label.isascii() else "xn--" + label.encode("punycode").decode()
    with database.begin() as connection:
        assert expected == connection.execute(text("SELECT a_label(:label)"), {"label": label}).scalar_one()


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
@pytest.mark.parametrize(
    ("listed", "address"),
    [("ann@x.example", "Ann@X.example"), ("jörg@bücher.example", "Jörg@Bücher.example"),
     ("ann@xn--bcher-kva.example", "ann@bücher.example")],
)  # fmt: skip
def test_the_database_knows_every_digest_of_an_address(
    database: Database, algorithm: str, listed: str, address: str
) -> None:
    """
    Both hashes of an address are found in lower case, and with the A-label of its domain.
    """
    email = parse_address(address).email
    with database.begin() as connection:
        found = connection.execute(text("SELECT encode(d, 'hex') FROM address_digests(:email) AS d"), {"email": email})

        assert hashed(listed, algorithm) in set(found.scalars())
