"""Events that change while their mails wait, lists that meet pages, and orders about people who are known already."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from campaigns import catalogue
from campaigns.events import calendar_replies, planning
from campaigns.events.afterwards import Change
from campaigns.events.importing import foreseen, import_file
from campaigns.events.registering import Source
from core.errors import ConfigError, PlanError
from core.workspace import Workspace
from customers.rights.erase import erase_named
from tests.event_files import EVENT, FILES, Hall
from tests.integration.test_campaigns_events import (
    ANN,
    BEN,
    CLEO,
    DORA,
    deliver,
    two_hundred_seats,
)
from tests.integration.test_campaigns_sending import serving

INK = two_hundred_seats(EVENT).replace("Paper evening", "Ink night")
CANCELLED = ("organiser: offers", "organiser: offers\ncancelled: true")
WAITING_LIST = (
    "waiting_list: {offer_for: 12h}\n", "  waiting: event-waiting.html\n", "  offer: event-offer.html\n",
    "  offer_expired: event-offer-expired.html\n",
)  # fmt: skip


@pytest.fixture
def make_hall(make_workspace, database, clock):
    """Builds a hall whose events are applied: `make_hall(lambda text: …)` with the file of the first changed."""

    def build(edit=lambda content: content, **more):
        files = FILES | {"events/paper-evening.yaml": edit(EVENT)} | more
        made = Hall(make_workspace(database=database, files=files), database, clock)
        made.apply()
        return made

    return build


def put_off(hall):
    """The server does not take the mails that are due yet."""
    with serving({"recipient": [b"451 4.7.1 greylisted, try again later"]}) as server:
        hall.deliver(server.port)


def states(hall, step):
    """What became of the mails of one kind."""
    query = text("SELECT state::text FROM message WHERE step = :step ORDER BY id")
    with hall.database.begin() as connection:
        return list(connection.execute(query, {"step": step}).scalars())


def plan_of(hall):
    """What applying the file would do."""
    with hall.database.begin() as connection:
        files = catalogue.load(Workspace(hall.workspace.root))
        return planning.plan(connection, files, "paper-evening", hall.clock.now())


@pytest.mark.parametrize("order", ["withdraw", "cancel"])
def test_mail_that_was_put_off_does_not_follow_its_end(make_hall, order):
    """
    A confirmation that the server did not take before somebody withdrew, or all was cancelled, goes no more (S-7.13).
    """
    hall = make_hall(two_hundred_seats)
    hall.register(ANN)
    put_off(hall)
    assert ["deferred"] == states(hall, "confirmation")
    if order == "withdraw":
        hall.order("withdraw", ANN)
    else:
        hall.rewrite(*CANCELLED)
        hall.apply()
        hall.look_after()

    assert ["skipped"] == states(hall, "confirmation")
    (told,) = hall.given(ANN, "withdrawn" if order == "withdraw" else "cancelled")
    assert "calendar" not in told


def test_confirmation_that_may_have_arrived_is_taken_out_of_the_calendar(make_hall):
    """
    It is not sent again, and what tells that it is over carries the entry that removes it.
    """
    hall = make_hall(two_hundred_seats)
    hall.register(ANN)
    put_off(hall)
    with hall.database.begin() as connection:
        connection.execute(text("UPDATE attempt SET outcome = 'unknown'"))
    hall.order("withdraw", ANN)

    assert ["unknown"] == states(hall, "confirmation")
    assert "METHOD:CANCEL" in hall.given(ANN, "withdrawn")[0]["calendar"]


def test_reminder_that_was_taken_back_goes_again_and_holds_up_nobody(make_hall):
    """
    A new place while reminders wait: they go with it, and those of another event go in their time.
    """
    hall = make_hall(two_hundred_seats, **{"events/ink-night.yaml": INK.replace("T18:00", "T20:00")})
    hall.register(ANN)
    hall.register(BEN, event="ink-night")
    deliver(hall)
    hall.step(days=11, hours=5)
    hall.rewrite("Mill Lane 1", "Mill Lane 2")
    hall.apply()
    hall.look_after()
    told = hall.given(ANN, "reminder-7d")
    hall.clock.instant += timedelta(hours=4)
    hall.look_after()

    assert ["Mill Lane 2, Papertown"] == [one["event"]["place"] for one in told]
    assert ["confirmation", "reminder-7d"] == hall.mails(BEN)
    assert hall.clock.now() < hall.next_at()


def test_joined_reminder_forgets_the_event_that_is_cancelled(make_hall):
    """
    The mail that reminds of two events and waits is replaced by one of the other event alone.
    """
    hall = make_hall(two_hundred_seats, **{"events/ink-night.yaml": INK.replace("T18:00", "T18:05")})
    for event in ("paper-evening", "ink-night"):
        hall.register(ANN, event=event)
    deliver(hall)
    hall.step(days=11, hours=5, minutes=1)
    assert [2] == [len(one["events"]) for one in hall.given(ANN, "reminder-7d")]
    hall.rewrite(*CANCELLED, "events/ink-night.yaml")
    hall.apply()
    hall.look_after()

    (told,) = hall.given(ANN, "reminder-7d")
    assert ["Paper evening"] == [event["title"] for event in told["events"]]


@pytest.mark.parametrize(("characters", "fits"), [("纸" * 3600, False), ("a" * 15_000, True), ("a" * 22_000, False)])
def test_text_that_no_mail_could_hold_is_a_mistake_of_the_file(make_workspace, characters, fits):
    """
    It is told with the language before anybody registers.
    """
    content = EVENT.replace('en: "Samples; talks, and bread"', f'en: "{characters}"')
    workspace = make_workspace(files=FILES | {"events/paper-evening.yaml": content})

    if fits:
        catalogue.load(workspace)
        return
    with pytest.raises(ConfigError, match="the mails in 'en' would be too large") as caught:
        catalogue.load(workspace)
    assert [("events/paper-evening.yaml", 2)] == [(one.file, one.line) for one in caught.value.problems]


def test_fault_of_one_event_does_not_hold_up_the_next(make_hall, caplog):
    """
    Its changes are logged once and tried again; the other event's go out.
    """
    hall = make_hall(two_hundred_seats, **{"events/ink-night.yaml": INK})
    hall.register(ANN)
    hall.register(BEN, event="ink-night")
    deliver(hall)
    for name in ("paper-evening", "ink-night"):
        hall.rewrite("Mill Lane 1", "Mill Lane 2", f"events/{name}.yaml")
        hall.apply(name)
        hall.clock.instant += timedelta(minutes=1)
    heavy = text("""
        UPDATE event SET definition = jsonb_set(definition, '{event,description,en}', to_jsonb(repeat('x', 99000)))
        WHERE name = 'paper-evening'
    """)
    with hall.database.begin() as connection:
        connection.execute(heavy)
    hall.look_after()
    hall.look_after()

    assert (["confirmation"], ["confirmation", "change"]) == (hall.mails(ANN), hall.mails(BEN))
    assert ["event paper-evening: telling a change failed"] == [one.getMessage() for one in caplog.records]


@pytest.mark.parametrize("known", [(), (BEN,), (BEN, CLEO)])
@pytest.mark.parametrize("is_orderer_known", [False, True])
def test_page_tells_the_orderer_what_they_typed(make_hall, known, is_orderer_known):
    """
    The same addresses without seats, whoever of them had registered (S-7.14).
    """
    hall = make_hall(two_hundred_seats)
    for address in (*known, *((ANN,) if is_orderer_known else ())):
        hall.register(address)
    for _ in range(2):
        hall.register(ANN, BEN, CLEO, party="the form")

    step = "summary" if is_orderer_known else "confirmation"
    (told,) = hall.given(ANN, step)
    assert [{"email": BEN, "seat": ""}, {"email": CLEO, "seat": ""}] == told["party"]
    assert [] == hall.given(BEN, "confirmation")[0]["party"]


def test_others_are_the_registrants_alone(make_hall):
    """
    One who had registered hears of those they bring; where they were erased, nobody hears of the others.
    """
    hall = make_hall(two_hundred_seats)
    hall.register(ANN)
    hall.register(ANN, BEN, CLEO, party="later", source=Source.API)
    with hall.database.begin() as connection:
        hall.register(DORA)
        erase_named(connection, hall.workspace.secret, DORA, source="test", now=hall.clock.now())
    hall.register(DORA, "eve@firm.example", "fay@firm.example", source=Source.API)

    ann = hall.row(ANN).customer_id
    assert [ann, ann] == [hall.row(address).registrant_id for address in (BEN, CLEO)]
    assert [{"email": BEN, "seat": "confirmed"}, {"email": CLEO, "seat": "confirmed"}] == (
        hall.given(ANN, "summary")[0]["party"]
    )
    assert hall.row("fay@firm.example").registrant_id is None
    assert [[], []] == [hall.given(f"{name}@firm.example", "confirmation")[0]["party"] for name in ("eve", "fay")]


def test_list_and_page_do_not_wait_for_each_other(make_hall, tmp_path):
    """
    A page that has an address of the list in hands gets its seat while the list goes on; both end.
    """
    hall = make_hall(two_hundred_seats)
    file = tmp_path / "guests.csv"
    file.write_text("email\n" + "".join(f"p{number}@firm.example\n" for number in range(130)) + f"{ANN}\n")
    has_begun = threading.Event()

    def import_it():
        has_begun.set()
        return import_file(hall.database, hall.circumstances, "paper-evening", file, hall.clock.now(), actor="staff")

    with ThreadPoolExecutor(4) as pool:
        listed = pool.submit(import_it)
        has_begun.wait()
        for number in (129, 5, 60):
            address = f"p{number}@firm.example"
            pool.submit(hall.register, address, ANN, party=f"form {number}").result(timeout=60)
        counts = listed.result(timeout=120).counts

    assert 131 == counts["confirmed"] + counts["known"]
    assert ["confirmed"] * 131 == hall.states()


def test_dry_run_of_a_list_foretells_and_keeps_no_locks(make_hall, tmp_path):
    """
    What it says is what the list comes to.
    """
    hall = make_hall()
    hall.register(ANN)
    file = tmp_path / "guests.csv"
    file.write_text(f"email\n{ANN}\n{BEN}\n{CLEO}\n{BEN}\n{DORA}\nnobody\n")
    now = hall.clock.now()
    with hall.database.begin() as connection:
        told = foreseen(connection, hall.circumstances, "paper-evening", file, now)
        locks = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert 0 == connection.execute(locks).scalar()
    done = import_file(hall.database, hall.circumstances, "paper-evening", file, now, actor="staff")

    assert {"confirmed": 1, "waiting": 2, "known": 2, "refused": 1} == told.counts == done.counts


def test_list_does_not_bring_back_who_withdrew(make_hall, tmp_path):
    """
    Their row is told with its line; asked for by name they are registered anew.
    """
    hall = make_hall(two_hundred_seats)
    hall.register(ANN)
    hall.order("withdraw", ANN)
    file = tmp_path / "guests.csv"
    file.write_text(f"email\n{BEN}\n{ANN}\n")
    given = (hall.database, hall.circumstances, "paper-evening", file, hall.clock.now())
    first = import_file(*given, actor="staff")
    assert "cancelled" == hall.row(ANN).state
    second = import_file(*given, actor="staff", again=True)

    assert [(3, "they withdrew on 2026-03-02 (--again registers them anew)")] == [
        (one.line, one.why) for one in first.refused
    ]
    assert (1, 1) == (second.counts["confirmed"], second.counts["known"])
    assert "confirmed" == hall.row(ANN).state


def test_waiting_list_stays_while_somebody_is_on_it(make_hall):
    """
    The plan says how many wait, and nobody is dropped.
    """
    hall = make_hall(lambda content: content.replace("capacity: 2", "capacity: 1"))
    for address in (ANN, BEN):
        hall.register(address)
    for line in WAITING_LIST:
        hall.rewrite(line, "")
    for name in ("waiting", "offer", "offer-expired"):  # nothing sends them any more
        (hall.workspace.root / f"templates/event-{name}.html").unlink()

    with pytest.raises(PlanError, match=r"the waiting list cannot be taken away .*0 offered, 1 waiting"):
        plan_of(hall)
    hall.order("withdraw", BEN)
    assert ("texts",) == plan_of(hall).doing


def test_offer_ends_at_the_start(make_hall):
    """
    Also where the event was moved to an earlier time after the offer was made.
    """
    hall = make_hall(
        lambda content: content.replace("offer_for: 12h", "offer_for: 5d").replace("capacity: 2", "capacity: 1")
    )
    for address in (ANN, BEN):
        hall.register(address)
    hall.order("withdraw", ANN)
    hall.rewrite("2026-03-20T18:00", "2026-03-03T18:00")
    hall.apply()
    hall.look_after()
    start = hall.row(BEN).offered_until
    assert "2026-03-03T17:00:00+00:00" == start.isoformat()
    hall.clock.instant = start
    with hall.database.begin() as connection:
        connection.execute(text("UPDATE registration SET offered_until = offered_until + interval '1 day'"))

    assert Change.TOO_LATE == hall.order("accept_offer", BEN)


def test_plan_names_texts_beside_other_changes(make_hall):
    """
    A mail's template and the capacity are two changes; the capacity alone is one.
    """
    hall = make_hall(two_hundred_seats)
    hall.rewrite("capacity: 200", "capacity: 201")
    assert ("capacity",) == plan_of(hall).doing
    hall.rewrite("confirmation: event-confirmed.html", "confirmation: event-missed.html")
    (hall.workspace.root / "templates/event-confirmed.html").unlink()  # nobody names it any more

    assert ("capacity", "texts") == plan_of(hall).doing


def test_event_that_is_over_changes_for_nobody(make_hall):
    """
    A new place after the end is kept, no mail tells of it, and nothing is cancelled any more.
    """
    hall = make_hall(two_hundred_seats)
    hall.register(ANN)
    deliver(hall)
    hall.clock.instant = hall.clock.now().replace(month=3, day=20, hour=19, minute=45)
    hall.rewrite("Mill Lane 1", "Mill Lane 2")
    assert (("place",), 0) == (plan_of(hall).doing, plan_of(hall).would_send)
    hall.apply()
    hall.rewrite(*CANCELLED)
    assert () == plan_of(hall).doing
    hall.look_after()

    assert not [step for step in hall.mails(ANN) if step in ("change", "cancelled")]


def test_event_moved_and_back_is_no_news(make_hall):
    """
    Nobody is told that nothing changed, and calendars stay as they are.
    """
    hall = make_hall(two_hundred_seats)
    hall.register(ANN)
    deliver(hall)
    for old, new in (("T18:00", "T19:00"), ("T19:00", "T18:00")):
        hall.rewrite(old, new)
        hall.apply()
    hall.look_after()

    assert ["confirmation"] == hall.mails(ANN)
    assert 0 == hall.row(ANN).revision


@pytest.mark.parametrize(
    "lines",
    [
        "UID:a\x00b\r\nDTSTAMP:20260302T120000Z",
        "UID:a\\nb\r\nDTSTAMP:20260302T120000Z",
        "UID:ab\r\nDTSTAMP;TZID=Asia/Tokyo:00010101T000000",
    ],
)
def test_calendar_answer_that_nobody_could_have_is_none(database, lines):
    """
    It is not looked for, and raises nothing.
    """
    attendee = f"ATTENDEE;PARTSTAT=DECLINED:mailto:{ANN}"
    parts = ("BEGIN:VCALENDAR", "METHOD:REPLY", "VERSION:2.0", "BEGIN:VEVENT", lines, attendee, "END:VEVENT",
             "END:VCALENDAR", "")  # fmt: skip

    assert [] == list(calendar_replies._answers("\r\n".join(parts), ANN))
