"""Hashed do-not-contact lists: whoever has such an address is caught, however it comes."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from core import schema
from core.addresses import parse_address
from core.database import Database
from core.workspace import Workspace
from customers.importing.files import How, Imported, import_file
from customers.rights.erase import forbid
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
    ["plain", "münchen", "例え", "bücher-straße", "ñandú", "президент", "a" * 30 + "ü" * 20, "ü", "中文很长的例子",
     "x-ü-y-é-z", "😀"],
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


# --- caught, whatever way an address comes ---------------------------------------------------------------------

LIST = f"md5\n{hashed('ann@x.example', 'md5')}\n{hashed('ben@x.example', 'md5').upper()}\n"


def test_listed_customers_are_suppressed_at_once(desk: Desk) -> None:
    """
    A list keeps everybody out who has such an address, for transactional mail too; a second import changes nothing.
    """
    desk.run("customers", "id,email,topics\nA,Ann@x.example,news\nB,ben@x.example,news\nC,cid@x.example,news\n")
    first, again = desk.run("suppressions", LIST), desk.run("suppressions", LIST)

    kept_out = {"A": "suppressed:manual", "B": "suppressed:manual", "C": None}
    assert kept_out == desk.gate() == desk.gate("transactional")
    assert ((2, 0), (0, 2)) == tuple((each.counts.created, each.counts.unchanged) for each in (first, again))
    assert "2 addresses of customers are on the list" == first.remarks[-1]


def test_customers_who_come_later_are_caught_on_every_path(desk: Desk) -> None:
    """
    By import, by a changed address, by a plain insert as a sign-up makes it, and by an update: nobody slips in.
    """
    desk.run("suppressions", LIST.replace("md5\n", "hash\n", 1) + f"{hashed('dan@x.example')}\n")
    desk.run("customers", "id,email,topics\nA,ann@x.example,news\nC,cid@x.example,news\n")
    desk.run("customers", "id,email\nC,BEN@x.example\n")
    customer = schema.customer
    with desk.database.begin() as connection:
        make_customer(connection, external_id="D", email="dan@x.example", consents=("news",))
        make_customer(connection, external_id="E", email="eve@x.example", consents=("news",))
        moved = {"email": "dan@x.example", "address_key": key_of("dan@x.example")}
        connection.execute(update(customer).where(customer.c.external_id == "E").values(**moved))

    assert dict.fromkeys("ACDE", "suppressed:manual") == desk.gate()


@pytest.mark.parametrize("end", ["2025-01-01", "2099-01-01"])
@pytest.mark.parametrize("comes_later", [False, True])
def test_an_entry_that_ends_does_not_stand_in_for_a_digest(desk: Desk, end: str, *, comes_later: bool) -> None:
    """
    Beside an expired or temporary entry of the same reason the digest forbids for good, also for who comes later.
    """
    desk.run("suppressions", f"email,expires_at\nann@x.example,{end}\n", name="temporary")
    steps = [
        lambda: desk.run("customers", "id,email,topics\nA,ann@x.example,news\n"),
        lambda: desk.run("suppressions", LIST),
    ]
    for step in reversed(steps) if comes_later else steps:
        step()
    table = schema.suppression.c
    with desk.database.begin() as connection:
        ends = connection.execute(select(table.expires_at).where(table.lifted_at.is_(None))).scalars().all()

    assert ({"A": "suppressed:manual"}, [None]) == (desk.gate(), ends)


def test_an_erased_address_stays_blocked_beside_an_entry_that_ends(desk: Desk) -> None:
    """
    The key goes on forbidding what the digest forbade, for good.
    """
    desk.run("suppressions", "email,expires_at\nann@x.example,2025-01-01\n", name="temporary")
    with desk.database.begin() as connection:
        forbid(connection, [key_of("ann@x.example")], now=datetime.now(UTC), source="list", reason="manual")
        table = schema.suppression.c
        ends = connection.execute(select(table.expires_at).where(table.lifted_at.is_(None))).scalars().all()

    assert [None] == ends


def test_a_list_says_why_in_words_of_its_own(desk: Desk) -> None:
    """
    The reason of a list is that of its entries, and the source names the list and no digest.
    """
    desk.run("suppressions", f"sha256,reason\n{hashed('ann@x.example')},legal\n", name="authority")
    desk.run("customers", "id,email,topics\nA,ann@x.example,news\n")
    table = schema.suppression.c
    with desk.database.begin() as connection:
        entry = connection.execute(select(table.scope, table.reason, table.source, table.evidence)).one()

    assert ("global", "legal", "hashed_list", {"list": "import:authority.csv"}) == tuple(entry)


def test_digests_of_every_spelling_are_read_and_bad_ones_all_rejected(desk: Desk) -> None:
    """
    Upper case, prefixes and a column called email are understood; every digest that is none is reported at once.
    """
    good = [f"sha256:{hashed('ann@x.example')}", f"0x{hashed('ben@x.example', 'md5').upper()}", "cid@x.example"]
    bad = [hashed("dan@x.example", "sha1"), "md5:12", "no digest"]
    imported = desk.run("suppressions", "email\n" + "\n".join([*good, *bad]) + "\n")
    desk.run("customers", "id,email\nA,ann@x.example\nB,ben@x.example\nC,cid@x.example\nD,dan@x.example\n")

    assert (3, 3) == (imported.counts.created, imported.counts.rejected)
    assert {"A": "suppressed:manual", "B": "suppressed:manual", "C": "suppressed:manual", "D": None} == (
        desk.gate("transactional")
    )
    told = Path(str(imported.counts.rejects_file)).read_text(encoding="utf-8-sig")
    assert all(f"got {digits} digits, expected 32 of MD5 or 64 of SHA-256" in told for digits in (40, 2))


@pytest.mark.parametrize("column", ["topic", "campaign", "expires_at"])
def test_a_digest_with_a_narrow_scope_or_an_end_is_rejected(desk: Desk, column: str) -> None:
    """
    A digest forbids everything for good; a row that says less is not quietly made to say more.
    """
    cell = {"topic": "news", "campaign": "spring", "expires_at": "2027-01-01"}[column]
    imported = desk.run("suppressions", f"md5,{column}\n{hashed('ann@x.example', 'md5')},{cell}\n")

    assert (0, 1) == (imported.counts.created, imported.counts.rejected)


def test_what_was_lifted_stays_so_until_a_list_says_it_again_aloud(desk: Desk) -> None:
    """
    A lifted entry takes its digests with it: a changed and changed-back address is not caught again. The list,
    imported again, forbids again and says so.
    """
    desk.run("customers", "id,email,topics\nA,ann@x.example,news\n")
    both = LIST + f"{hashed('ann@x.example')}\n"
    desk.run("suppressions", both)
    with desk.database.begin() as connection:
        lifted = lift(connection, key_of("ann@x.example"), because="her own wish, mail of 1 March", now=NOW)
    for address in ("other@x.example", "ann@x.example"):
        desk.run("customers", f"id,email\nA,{address}\n")
    free = desk.gate()
    again = desk.run("suppressions", both)

    assert (1, {"A": None}, {"A": "suppressed:manual"}) == (lifted, free, desk.gate())
    assert "2 digests had been lifted before, and forbid again" in again.remarks


def test_a_plain_entry_that_was_lifted_comes_back_aloud(desk: Desk) -> None:
    """
    A plain list imported again forbids what was lifted, and the import says how many.
    """
    plain = "email\nann@x.example\nben@x.example\n"
    desk.run("suppressions", plain)
    with desk.database.begin() as connection:
        lift(connection, key_of("ann@x.example"), because="asked", now=NOW)
    again = desk.run("suppressions", plain)

    assert "1 entries had been lifted before, and forbid again" == again.remarks[-1]
    assert (1, 1) == (again.counts.created, again.counts.unchanged)


def test_pause_without_end_is_rejected_and_one_with_an_end_spares_what_is_owed(desk: Desk) -> None:
    """
    A pause in a file needs its end; it holds marketing back, and no receipt.
    """
    desk.run("customers", "id,email,topics\nA,ann@x.example,news\nB,ben@x.example,news\n")
    imported = desk.run("suppressions", "email,reason,until\nann@x.example,paused,2026-06-01\nben@x.example,paused,\n")

    assert (1, 1) == (imported.counts.created, imported.counts.rejected)
    assert {"A": "suppressed:paused", "B": None} == desk.gate()
    assert {"A": None, "B": None} == desk.gate("transactional")


def test_listing_and_a_customer_in_the_making_miss_each_other_never(desk: Desk) -> None:
    """
    A list that is imported while an address is being written waits for it, and catches it.
    """
    with ThreadPoolExecutor(1) as pool, desk.database.engine.connect() as writing:
        make_customer(writing, external_id="A", email="ann@x.example", consents=("news",))
        importing = pool.submit(desk.run, "suppressions", LIST)
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'customer'::regclass")
        with desk.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:
            while not watching.execute(waits).scalar() and not importing.done():
                pass
        writing.commit()
        importing.result()

    assert {"A": "suppressed:manual"} == desk.gate()
