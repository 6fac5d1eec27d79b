"""Events: seats that are never sold twice, a list that is kept in order, and what people are mailed meanwhile."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from campaigns import catalogue, whole_plan
from campaigns.events.afterwards import Change
from campaigns.events.looking_up import registration_of
from campaigns.events.registering import Answer, Source
from campaigns.events.states import Seat
from core import schema
from core.errors import ConfigError, NotFound, PlanError, StalePlan, UsageError
from customers.rights.erase import erase_named
from tests.event_files import EVENT, FILES, Hall, parsed
from tests.factories import make_customer, make_suppression
from tests.integration.test_campaigns_sending import serving

ANN, BEN, CLEO, DORA = (f"{name}@firm.example" for name in ("ann", "ben", "cleo", "dora"))


@pytest.fixture
def make_hall(make_workspace, database, clock):
    """Builds a hall whose event is applied: `make_hall(lambda text: …)` with its file changed."""

    def build(edit=lambda text: text, **more):
        files = FILES | {"events/paper-evening.yaml": edit(EVENT)} | more
        made = Hall(make_workspace(database=database, files=files), database, clock)
        made.apply()
        return made

    return build


@pytest.fixture
def hall(make_hall):
    """An evening of two seats, in eighteen days."""
    return make_hall()


def deliver(hall):
    """What is due goes out over a real server."""
    with serving() as server:
        hall.deliver(server.port)


def two_hundred_seats(text):
    """The event with seats enough."""
    return text.replace("capacity: 2", "capacity: 200")


def test_registration_gets_a_seat_and_a_mail_with_the_calendar_entry_last(hall):
    """
    The entry is the last form of the mail, no attachment (S-7.5); its type names the method of its content (S-7.4), and
    the organiser is who the mail comes from (S-7.6).
    """
    registered = hall.register(ANN)
    with serving() as server:
        hall.deliver(server.port)
        (mail,) = parsed([one.content for one in server.received])

    assert Answer.RECEIVED == registered.answer
    assert ["confirmed"] == hall.states()
    assert "Your seat: Paper evening" == mail["Subject"]
    assert "multipart/alternative" == mail.get_content_type()
    *_, entry = parts = list(mail.iter_parts())
    assert ["text/plain", "text/html", "text/calendar"] == [part.get_content_type() for part in parts]
    assert {"charset": "utf-8", "method": "REQUEST"} == dict(entry["Content-Type"].params)
    assert entry.get_content_disposition() is None
    lines = entry.get_payload(decode=True).decode().replace("\r\n ", "").split("\r\n")
    assert "METHOD:REQUEST" in lines
    (organiser,) = (line for line in lines if line.startswith("ORGANIZER"))
    assert organiser.endswith(f":mailto:{mail['From'].addresses[0].addr_spec}")
    assert "Friday, 20 March 2026, 18:00–20:30 (Europe/Berlin, UTC+01:00)" in parts[0].get_content()


def test_entry_is_a_file_too_where_the_event_says_so(make_hall):
    """
    Behind the forms of the mail, which hold it as ever (S-7.5), and called as the event is.
    """
    hall = make_hall(lambda text: text.replace("organiser: offers", "organiser: offers\nattach: true"))
    hall.register(ANN)
    with serving() as server:
        hall.deliver(server.port)
        (mail,) = parsed([one.content for one in server.received])

    assert "multipart/mixed" == mail.get_content_type()
    forms, file = mail.iter_parts()
    *_, entry = parts = list(forms.iter_parts())
    assert ["text/plain", "text/html", "text/calendar"] == [part.get_content_type() for part in parts]
    assert ("attachment", "paper-evening.ics") == (file.get_content_disposition(), file.get_filename())
    assert entry.get_payload(decode=True) == file.get_payload(decode=True)


def test_mail_tells_the_time_by_the_readers_clock_too(make_hall):
    """
    With zone and offset; only where the reader's zone is known, and its clock shows something else (S-7.9).
    """
    hall = make_hall(two_hundred_seats)
    with hall.database.begin() as connection:
        for address, zone in ((ANN, "America/New_York"), (BEN, "Europe/Paris")):
            make_customer(connection, email=address, zone=zone)
    for address in (ANN, BEN, CLEO):
        hall.register(address)
    with serving() as server:
        hall.deliver(server.port)
        mails = parsed([one.content for one in server.received])
    told = {
        mail["To"].addresses[0].addr_spec: " ".join(mail.get_body(("plain",)).get_content().split()) for mail in mails
    }

    here = "Friday, 20 March 2026, 18:00–20:30 (Europe/Berlin, UTC+01:00)"
    there = "Friday, 20 March 2026, 13:00–15:30 (America/New_York, UTC-04:00)"
    assert f"{here} / {there}, Mill Lane 1" in told[ANN]
    assert [True, True] == [f"{here}, Mill Lane 1" in told[address] for address in (BEN, CLEO)]


def test_attempt_that_failed_is_repeated_with_the_same_entry(hall):
    """
    What is kept with the message is sent as it is: the entry is not stamped anew.
    """
    hall.register(ANN)
    before = hall.entry(ANN)
    hall.step(hours=1)

    assert before == hall.entry(ANN)


@pytest.mark.parametrize(("heads", "capacity"), [(50, 10), pytest.param(500, 100, marks=pytest.mark.slow)])
def test_many_at_once_for_few_seats(make_hall, heads, capacity):
    """
    So many seats are given, the rest wait in the order in which they came, and each has one mail.
    """
    hall = make_hall(lambda text: text.replace("capacity: 2", f"capacity: {capacity}"))
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: hall.register(f"p{number}@firm.example").answer, range(heads)))

    assert {Answer.RECEIVED} == set(answers)
    states = hall.states()
    assert (capacity, heads - capacity) == (states.count("confirmed"), states.count("waiting"))
    with hall.database.begin() as connection:
        query = select(schema.registration.c.state).order_by(schema.registration.c.registered_at)
        mails = text("SELECT max(n), sum(n) FROM (SELECT count(*) AS n FROM message GROUP BY customer_id) AS each")
        in_order = text("""
            SELECT bool_and(id > before) FROM (
                SELECT id, lag(id) OVER (ORDER BY waiting_since, id) AS before FROM registration WHERE state = 'waiting'
            ) AS listed WHERE before IS NOT NULL
        """)
        assert heads == len(connection.execute(query).all())
        assert (1, heads) == tuple(connection.execute(mails).one())
        assert connection.execute(in_order).scalar()
    assert ["confirmed"] * capacity == states[:capacity]


@pytest.mark.parametrize("is_same_form", [True, False])
def test_fifty_at_once_of_one_address_are_one_registration(make_hall, is_same_form):
    """
    A form sent again and again, or the same address in several forms: one seat, one mail, one answer.
    """
    hall = make_hall(two_hundred_seats)
    barrier = threading.Barrier(10)

    def submit(number):
        barrier.wait()
        return hall.register(ANN, party="form" if is_same_form else f"form-{number}").answer

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(submit, range(50)))

    assert {Answer.RECEIVED} == set(answers)
    assert ["confirmed"] == hall.states()
    assert ["confirmation"] == hall.mails()


def test_answer_does_not_tell_who_is_registered(make_hall):
    """
    Without a waiting list a full event is full for whoever asks, also for those who have a seat.
    """
    hall = make_hall(lambda text: text.replace("waiting_list: {offer_for: 12h}\n", ""))
    hall.register(ANN, BEN)

    again, stranger = hall.register(ANN, party="another"), hall.register(CLEO)

    assert (Answer.FULL, Answer.FULL) == (again.answer, stranger.answer)
    assert Answer.RECEIVED == hall.register(ANN, BEN).answer, "the form that was sent twice is answered as before"
    assert 2 == len(hall.mails())


def test_freed_seat_is_offered_in_order_and_then_to_the_next(hall):
    """
    The first of the list has twelve hours; then the second has; whoever accepts has the seat, and a mail for each.
    """
    for address in (ANN, BEN, CLEO, DORA):
        hall.register(address)
    deliver(hall)
    assert Change.DONE == hall.order("withdraw", ANN)
    assert ["cancelled", "confirmed", "offered", "waiting"] == hall.states()
    deliver(hall)
    hall.step(hours=11, minutes=59)
    assert "offered" == hall.row(CLEO).state
    hall.step(minutes=1)
    deliver(hall)

    assert ["cancelled", "confirmed", "cancelled", "offered"] == hall.states()
    assert Change.TOO_LATE == hall.order("accept_offer", CLEO)
    assert [Change.DONE, Change.BEFORE] == [hall.order("accept_offer", DORA) for _ in range(2)]
    assert ["waiting", "offer", "offer_expired"] == hall.mails(CLEO)
    assert ["waiting", "offer", "confirmation"] == hall.mails(DORA)


def test_whoever_comes_while_somebody_waits_waits_too(hall):
    """
    A freed seat is not taken by somebody new before the list had its turn, and a declined one goes on.
    """
    for address in (ANN, BEN, CLEO):
        hall.register(address)
    hall.order("withdraw", BEN)
    hall.register(DORA)

    assert ["confirmed", "cancelled", "offered", "waiting"] == hall.states()
    hall.order("decline_offer", CLEO)
    assert ["confirmed", "cancelled", "cancelled", "offered"] == hall.states()


def test_who_comes_back_keeps_the_calendar_entry(hall):
    """
    The UID is for life, and SEQUENCE goes on from the cancellation (S-7.2).
    """
    hall.register(ANN)
    first = hall.entry(ANN)
    hall.look_after()
    deliver(hall)
    hall.order("withdraw", ANN)
    gone = hall.entry(ANN)
    hall.register(ANN, party="another")
    again = hall.entry(ANN)

    def facts(entry):
        return [line for line in entry.splitlines() if line.split(":")[0] in ("UID", "SEQUENCE", "METHOD", "STATUS")]

    uid = facts(first)[1]
    assert ["METHOD:REQUEST", uid, "SEQUENCE:0", "STATUS:CONFIRMED"] == facts(first)
    assert ["METHOD:CANCEL", uid, "SEQUENCE:1", "STATUS:CANCELLED"] == facts(gone)
    assert ["METHOD:REQUEST", uid, "SEQUENCE:2", "STATUS:CONFIRMED"] == facts(again)


def test_who_withdraws_leaves_the_calendar_and_is_not_reminded(hall):
    """
    A mail goes out whose entry is a CANCEL, and no reminder follows (S-7.12).
    """
    hall.register(ANN)
    deliver(hall)
    hall.order("withdraw", ANN)
    with serving() as server:
        hall.deliver(server.port)
        (mail,) = parsed([one.content for one in server.received])
    hall.step(days=18)

    *_, entry = mail.iter_parts()
    assert ("text/calendar", "CANCEL") == (entry.get_content_type(), entry["Content-Type"].params["method"])
    assert "METHOD:CANCEL\r\n" in entry.get_payload(decode=True).decode()
    assert ["confirmation", "withdrawn"] == hall.mails(ANN)


def test_who_withdraws_before_the_first_mail_left_hears_it_once(hall):
    """
    The confirmation that was not sent yet is taken back; no calendar is asked to forget what it never had.
    """
    hall.register(ANN)
    hall.order("withdraw", ANN)

    assert ["withdrawn"] == hall.mails(ANN)
    assert "calendar" not in hall.given(ANN, "withdrawn")[0]


def test_attendees_get_their_own_mail_and_the_registrant_the_summary(hall):
    """
    Who registers others and comes has both in one mail; who does not come has a summary.
    """
    hall.register(ANN, BEN, CLEO, source=Source.API)
    hall.register(DORA, registrant="eve@firm.example")

    assert ["confirmed", "confirmed", "waiting", "waiting"] == hall.states()
    assert ["confirmation"] == hall.mails(ANN)
    told = hall.given(ANN, "confirmation")[0]["party"]
    assert [{"email": BEN, "seat": "confirmed"}, {"email": CLEO, "seat": "waiting"}] == told
    assert (["confirmation"], ["waiting"], ["waiting"]) == (hall.mails(BEN), hall.mails(CLEO), hall.mails(DORA))
    assert [] == hall.given(BEN, "confirmation")[0]["party"]
    assert ["summary"] == hall.mails("eve@firm.example")


def test_summary_is_a_mail_of_its_own_where_the_confirmation_does_not_tell_it(make_hall):
    """
    A template that does not name `given.party` would lose it.
    """
    page = FILES["templates/event-confirmed.html"].replace("given.party", "given.events")
    hall = make_hall(**{"templates/event-confirmed.html": page.replace("one.email", "''").replace("one.seat", "''")})
    hall.register(ANN, BEN)

    assert ["confirmation", "summary"] == hall.mails(ANN)


def test_moved_event_moves_in_every_calendar(make_hall):
    """
    Everybody is told once, with the next SEQUENCE; reminders follow the new date.
    """
    hall = make_hall(two_hundred_seats)
    hall.register(ANN)
    hall.register(BEN)
    deliver(hall)
    hall.rewrite("2026-03-20T18:00", "2026-03-27T19:00")
    (row,) = hall.apply()
    hall.step(minutes=1)

    assert {"campaign": "paper-evening", "done": "when", "mails": 2} == row
    assert ["confirmation", "change"] == hall.mails(ANN) == hall.mails(BEN)
    assert "SEQUENCE:1" in hall.entry(ANN)
    assert "DTSTART;TZID=Europe/Berlin:20260327T190000" in hall.entry(ANN)
    was = hall.given(ANN, "change")[0]["was"]["when"]
    assert was.startswith("Friday, 20 March 2026, 18:00")
    assert [] == hall.apply()
    hall.step(days=17, hours=5)
    assert ["confirmation", "change"] == hall.mails(ANN)
    hall.step(days=2)
    assert ["confirmation", "change", "reminder-7d"] == hall.mails(ANN)


def test_change_before_the_first_mail_left_is_one_mail(hall):
    """
    Who has heard nothing yet gets one confirmation, of the new time; two changes at once are one as well.
    """
    hall.register(ANN)
    hall.rewrite("T18:00", "T19:00")
    hall.apply()
    hall.rewrite("Mill Lane 1", "Mill Lane 2")
    hall.apply()
    hall.look_after()

    assert ["confirmation"] == hall.mails(ANN)
    assert "20260320T190000" in hall.entry(ANN)
    assert r"LOCATION:Mill Lane 2\, Papertown" in hall.entry(ANN)


def test_cancelled_event_leaves_every_calendar_and_is_silent_then(hall):
    """
    Everybody hears it, those with a seat in their calendars too; no reminder follows, and it is for good.
    """
    for address in (ANN, BEN, CLEO):
        hall.register(address)
    deliver(hall)
    hall.rewrite("organiser: offers", "organiser: offers\ncancelled: true")
    hall.apply()
    hall.step(days=30)

    assert ["confirmation", "cancelled"] == hall.mails(ANN)
    assert ["waiting", "cancelled"] == hall.mails(CLEO)
    assert "METHOD:CANCEL" in hall.entry(ANN)
    assert "calendar" not in hall.given(CLEO, "cancelled")[0]
    assert ["cancelled"] * 3 == hall.states()
    assert Answer.CLOSED == hall.register(DORA).answer
    hall.rewrite("cancelled: true", "cancelled: false")
    assert [] == hall.apply()


def test_reminders_go_to_those_who_had_a_seat_before_they_were_due(make_hall):
    """
    Who registers late gets no past reminder (S-7.13).
    """
    hall = make_hall(two_hundred_seats)
    hall.register(ANN)
    hall.step(days=12)
    hall.register(BEN)
    hall.step(days=5, hours=5)
    hall.register(CLEO)
    hall.step(hours=4)

    assert ["confirmation", "reminder-7d", "reminder-1d"] == hall.mails(ANN)
    assert ["confirmation", "reminder-1d"] == hall.mails(BEN)
    assert ["confirmation"] == hall.mails(CLEO)


def test_reminder_of_an_event_that_is_put_off_goes_again(hall):
    """
    Reminded on the eve of the old date, people are reminded on the eve of the new one; not when it moves by an hour.
    """
    hall.register(ANN)
    hall.step(days=17, hours=6)
    assert ["confirmation", "reminder-7d", "reminder-1d"] == hall.mails(ANN)
    deliver(hall)
    hall.rewrite("2026-03-20T18:00", "2026-03-20T19:00")
    hall.apply()
    hall.step(hours=2)
    deliver(hall)
    assert ["reminder-7d", "reminder-1d", "change"] == hall.mails(ANN)[1:]
    hall.rewrite("2026-03-20T19:00", "2026-04-20T19:00")
    hall.apply()
    hall.step(days=31)

    assert ["change", "reminder-7d", "reminder-1d"] == hall.mails(ANN)[-3:]


def test_reminders_that_were_missed_are_one(hall):
    """
    After a standstill over both, the last one goes; after one over the start, none.
    """
    hall.register(ANN)
    hall.clock.instant += timedelta(days=17, hours=23)
    hall.look_after()

    assert ["confirmation", "reminder-1d"] == hall.mails(ANN)


def test_reminders_of_two_events_within_minutes_are_one_mail(make_hall):
    """
    One mail tells of both; who comes to one of them gets one that tells of that.
    """
    second = two_hundred_seats(EVENT).replace("T18:00", "T18:05").replace("Paper evening", "Ink night")
    hall = make_hall(two_hundred_seats, **{"events/ink-night.yaml": second})
    for event in ("paper-evening", "ink-night"):
        hall.register(ANN, event=event)
    hall.register(BEN, event="ink-night")
    hall.step(days=18)

    assert ["confirmation", "confirmation", "reminder-7d", "reminder-1d"] == hall.mails(ANN)
    assert ["confirmation", "reminder-7d", "reminder-1d"] == hall.mails(BEN)
    told = hall.given(ANN, "reminder-1d")[0]["events"]
    assert ["Paper evening", "Ink night"] == [event["title"] for event in told]


def test_who_came_and_who_did_not_hear_different_things(make_hall):
    """
    Attendance is on record after the end, as activities too, and the follow-up a day later.
    """
    hall = make_hall(two_hundred_seats)
    hall.register(ANN)
    hall.register(BEN)
    hall.step(days=18, hours=5, minutes=10)
    assert [Change.DONE, Change.BEFORE] == [hall.check_in(ANN) for _ in range(2)]
    hall.step(hours=3, minutes=30)
    assert Change.TOO_LATE == hall.check_in(BEN)
    hall.step(days=1)

    assert "attended" == hall.mails(ANN)[-1]
    assert "absent" == hall.mails(BEN)[-1]
    with hall.database.begin() as connection:
        names = connection.execute(select(schema.activity.c.name, schema.customer.c.email).join(schema.customer)).all()
    assert {("event_attended", ANN), ("event_absent", BEN)} <= {tuple(row) for row in names}


def test_nobody_is_called_absent_where_nobody_was_checked_in(hall):
    """
    A door without a list knows nothing of who came.
    """
    hall.register(ANN)
    hall.step(days=25)

    assert ["confirmation", "reminder-7d", "reminder-1d"] == hall.mails(ANN)


def test_capacity_below_what_is_taken_is_refused_with_figures(hall):
    """
    Nobody loses a seat by a file; more seats go to those who wait.
    """
    for address in (ANN, BEN, CLEO):
        hall.register(address)
    hall.rewrite("capacity: 2", "capacity: 1")
    with pytest.raises(PlanError, match=r"1 seats are fewer than are taken \(2 confirmed, 0 offered, 1 waiting\)"):
        hall.apply()
    hall.rewrite("capacity: 1", "capacity: 5")
    hall.apply()
    hall.look_after()

    assert ["confirmed", "confirmed", "offered"] == hall.states()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("organiser: offers", "organiser: offers\ncalendar: publish", "cannot go by 'publish'"),
        ("2026-03-20T18:00", "2026-03-01T18:00", "its new start is over"),
    ],
)
def test_change_that_calendars_cannot_follow_is_refused(hall, old, new, told):
    """
    What came by one method stays by it (S-7.3), and nothing moves into the past.
    """
    hall.register(ANN)
    hall.rewrite(old, new)

    with pytest.raises(PlanError, match=told):
        hall.apply()


def test_plan_of_a_file_that_changed_since_is_refused(hall):
    """
    What was reviewed is applied, or nothing is.
    """
    hall.rewrite("capacity: 2", "capacity: 7")
    files = catalogue.load(hall.workspace)
    with hall.database.begin() as connection:
        document = whole_plan.to_file(whole_plan.make(connection, files, ("paper-evening",), hall.clock.now()))
    hall.rewrite("capacity: 7", "capacity: 8")
    changed = catalogue.load(hall.workspace)

    with hall.database.begin() as connection, pytest.raises(StalePlan, match="its files changed"):
        whole_plan.apply_document(connection, changed, document, hall.clock.now())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("lasts: 2h 30m", "lasts: 2h 30m\nends: 2026-03-20T20:00", "exactly one of 'ends' and 'lasts'"),
        ("organiser: offers", "organiser: nobody", "no sender 'nobody'"),
        ("event-waiting.html", "event-wating.html", "no template 'event-wating.html'"),
        ("  offer: event-offer.html\n", "", "needs the mails 'offer'"),
        ("  summary: event-summary.html\n", "", "needs the mail 'summary'"),
        ("capacity: 2\n", "", "needs a 'capacity'"),
        ('place: "Mill Lane 1, Papertown"\n', "", "expected 'place', 'online' or both"),
        ("before: 1d", "before: 7d", "the same 'before'"),
        ("fields: {company", "fields: {homepage: {}, company", "a field cannot be called 'homepage'"),
        ("fields: {company", "fields: {people: {}, company", "a field cannot be called 'people'"),
    ],
)
def test_mistakes_in_event_files_are_told_at_their_line(make_workspace, old, new, told):
    """
    Before anything is applied.
    """
    assert old in EVENT
    workspace = make_workspace(files=FILES | {"events/paper-evening.yaml": EVENT.replace(old, new)})

    with pytest.raises(ConfigError, match=told) as caught:
        catalogue.load(workspace)

    assert "events/paper-evening.yaml" in {problem.file for problem in caught.value.problems}


def test_templates_of_events_that_do_not_fit_say_what_to_do(make_workspace):
    """
    The names of an event's templates are alike: what is not there is to be written, unless one is left over. What no
    mail names yet may not say what mails of events know.
    """
    misspelt = EVENT.replace("confirmation: event-confirmed.html", "confirmation: event-confirmd.html")
    left = {name: text for name, text in FILES.items() if name != "templates/event-confirmed.html"}
    hints = []
    for files in (left, FILES | {"events/paper-evening.yaml": misspelt}):
        with pytest.raises(ConfigError) as caught:
            catalogue.load(make_workspace(files=files))
        hints.append({one.file.partition("/")[2]: one.hint for one in caught.value.problems})

    assert {"paper-evening.yaml": "write it: templates/event-confirmed.html"} == hints[0]
    assert {"paper-evening.yaml", "event-confirmed.html"} == set(hints[1])
    assert "did you mean 'event-confirmed.html'?" == hints[1]["paper-evening.yaml"]
    assert "mails of events" in hints[1]["event-confirmed.html"]


def test_registration_has_its_time(make_hall):
    """
    On a page nobody registers too early or too late; staff may, until the event ends.
    """
    hall = make_hall(lambda text: text.replace(
        "registration:\n", "registration:\n  opens: 2026-03-05T00:00\n  closes: 2026-03-15T00:00\n"
    ))  # fmt: skip
    early = hall.register(ANN).answer
    hall.clock.instant = datetime(2026, 3, 16, tzinfo=UTC)
    late = hall.register(ANN).answer
    by_staff = hall.register(ANN, source=Source.OPERATOR).answer

    assert (Answer.NOT_YET, Answer.CLOSED, Answer.RECEIVED) == (early, late, by_staff)


def test_order_that_cannot_be_is_refused(hall):
    """
    Too many, or the same twice, is a mistake of the caller, not a matter of seats.
    """
    with pytest.raises(UsageError, match="expected 1 to 3"):
        hall.register(*(f"p{number}@firm.example" for number in range(4)))
    with pytest.raises(UsageError, match="two attendees"):
        hall.register(ANN, "Ann@Firm.example")
    with pytest.raises(NotFound, match="no event 'paper-morning'"):
        hall.register(ANN, event="paper-morning")


def test_what_a_stranger_types_is_not_the_customers(hall):
    """
    A name from a page reaches the customer once they act themselves; one from staff at once.
    """
    with hall.database.begin() as connection:
        make_customer(connection, email=ANN, company="Known & Co")
    hall.register(ANN, answers={"first_name": "Buy now", "company": "Spam"})
    hall.register(BEN, answers={"first_name": "Ben"}, source=Source.OPERATOR)

    with hall.database.begin() as connection:
        names = connection.execute(select(schema.customer.c.first_name, schema.customer.c.company)).all()
    assert [(None, "Known & Co"), ("Ben", None)] == [tuple(row) for row in names]
    assert "Buy now" not in str(hall.given(ANN, "confirmation"))
    hall.check_in(ANN)
    with hall.database.begin() as connection:
        ann = select(schema.customer.c.first_name, schema.customer.c.company).where(schema.customer.c.email == ANN)
        assert ("Buy now", "Known & Co") == tuple(connection.execute(ann).one())


def test_dead_address_gets_no_mail_but_keeps_its_seat(hall):
    """
    Transactional mail obeys bounces (S-2.24); who opted out of marketing gets their confirmation.
    """
    with hall.database.begin() as connection:
        for address, reason in ((ANN, "hard_bounce"), (BEN, "unsubscribed")):
            make_customer(connection, email=address)
            make_suppression(connection, address, reason=reason)
    hall.register(ANN)
    hall.register(BEN)

    assert ["confirmed", "confirmed"] == hall.states()
    assert ([], ["confirmation"]) == (hall.mails(ANN), hall.mails(BEN))


def test_registration_is_found_by_its_number(hall):
    """
    With how it stands; who waits, with their place.
    """
    for address in (ANN, BEN, CLEO, DORA):
        hall.register(address)
    with hall.database.begin() as connection:
        found = registration_of(connection, hall.number(DORA))
        nobody = registration_of(connection, 99)

    assert nobody is None
    assert ("paper-evening", Seat.WAITING, 2, False) == (found.event, found.seat, found.position, found.checked_in)


def test_seat_of_somebody_who_is_erased_goes_on(hall):
    """
    Nothing is left of them, and the first of the list is offered the seat; erased ones are not taken in by a page.
    """
    for address in (ANN, BEN, CLEO):
        hall.register(address)
    hall.look_after()
    with hall.database.begin() as connection:
        erase_named(connection, hall.workspace.secret, ANN, source="test", now=hall.clock.now())
    assert ["confirmed", "waiting"] == hall.states()
    hall.look_after()

    assert ["confirmed", "offered"] == hall.states()
    again = hall.register(ANN, party="another")
    assert (Answer.RECEIVED, ()) == (again.answer, again.placed)
    assert ["confirmed", "offered"] == hall.states()
