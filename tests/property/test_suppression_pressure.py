"""Frequency caps against the same rules said in plain Python, over any history of messages."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from core.schema import preference
from suppression.caps import Cap, Rules
from suppression.pressure import held_back
from tests.factories import make_customer, make_message, make_run, make_version

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)  # a Wednesday
#: Five customers: two names of one person, two at one address, and three colleagues, one of whom is that person.
PEOPLE = (
    {"person": "ann", "company": "Mill", "email": "ann@firm.example"},
    {"person": "ann", "company": None, "email": "ann@home.example"},
    {"person": None, "company": "MILL", "email": "info@firm.example"},
    {"person": None, "company": "Mill", "email": "info@firm.example", "household": "H"},
    {"person": None, "company": None, "email": "eve@home.example", "household": "H"},
)
HANDED_OVER = ("handed_over", "accepted", "unknown", "delivered", "bounced", "complained")
ages = st.sampled_from([0, 1, 11, 13, 24, 36, 60, 61, 83, 84, 85, 168, 400]).map(lambda hours: timedelta(hours=hours))
caps = st.builds(
    lambda most, length, of, topic, reserve: Cap(
        "cap", most, None if isinstance(length, str) else length, length if isinstance(length, str) else None, of,
        topic, None, 0 if topic else min(reserve, most - 1),
    ),
    st.integers(1, 3),
    st.sampled_from([timedelta(hours=24), timedelta(days=7), "day", "week", "month"]),
    st.sampled_from(["person", "household", "company"]),
    st.sampled_from([None, "promotions", "news"]),
    st.integers(0, 2),
)  # fmt: skip
#: What became of one message: whose, state, how long ago, about what, of which class, and its run's priority and state.
histories = st.lists(
    st.fixed_dictionaries(
        {
            "who": st.integers(0, len(PEOPLE) - 1),
            "state": st.sampled_from([*HANDED_OVER, "deferred", "failed", "planned", "skipped"]),
            "age": ages,
            "topic": st.sampled_from(["promotions", "news"]),
            "is_bulk": st.booleans(),
            "priority": st.integers(-1, 1),
            "is_running": st.booleans(),
        }
    ),
    max_size=8,
)
wishes = st.none() | st.tuples(st.integers(0, len(PEOPLE) - 1), st.integers(1, 2), st.integers(1, 7))


def together(of, one, other):
    if one is other or one["email"] == other["email"] or (one["person"] and one["person"] == other["person"]):
        return True
    if of == "company":
        return bool(one["company"] and other["company"] and one["company"].lower() == other["company"].lower())
    return of == "household" and "household" in one and one.get("household") == other.get("household")


def since(cap):
    """Where its period begins, and when the next one does; the organisation is in Berlin."""
    if cap.within is not None:
        return NOW - cap.within, NOW + cap.within
    local = NOW.astimezone(ZoneInfo("Europe/Berlin")).replace(hour=0)
    first = {"day": local, "week": local - timedelta(days=2), "month": local.replace(day=1)}[cap.each]
    days = {"day": 1, "week": 7}.get(cap.each)
    following = first + timedelta(days=days) if days else first.replace(month=4)
    return first, following


def counts(cap, person, told):
    """The instants of contacts that count for the cap, the newest first."""
    first, following = since(cap)
    found = []
    for one in told:
        if not together(cap.of, person, PEOPLE[one["who"]]) or (
            cap.topic and (cap.topic != one["topic"] or not one["is_bulk"])
        ):
            continue
        at = NOW - one["age"]
        if one["state"] == "planned":
            planned = NOW + one["age"]
            if one["priority"] > 0 and one["is_running"] and planned < following:
                found.append((planned, one["is_bulk"]))
        elif one["state"] in (*HANDED_OVER, "deferred") and (at >= first if cap.each else at > first):
            found.append((at, one["is_bulk"]))
    return sorted(found, reverse=True)


def free_at(cap, person, told):
    """When the cap lets one more go; None: now."""
    found = counts(cap, person, told)
    free = []
    for most, contacts in ((cap.most, found), (cap.most - cap.reserve, [one for one in found if one[1]])):
        if len(contacts) >= most:
            free.append(since(cap)[1] if cap.each else contacts[most - 1][0] + cap.within)
    return max(free, default=None)


def asked_for(wish, person, told):
    """The same for what the person asked for."""
    who, most, days = wish
    if not together("person", person, PEOPLE[who]):
        return None
    cap = Cap("wish", most, timedelta(days=days), None, "person", None, None, 0)
    contacts = [at for at, is_bulk in counts(cap, person, told) if is_bulk]
    return contacts[most - 1] + cap.within if len(contacts) >= most else None


@given(st.lists(caps, max_size=2), histories, wishes)
@settings(max_examples=40)
def test_caps_are_those_of_the_plain_rules(module_database, found_caps, told, wish):
    """
    A message is held until the last of its caps, and of the wishes of its recipient, lets it go.
    """
    rules = Rules(tuple(found_caps), None, "Europe/Berlin")
    with module_database.engine.connect() as connection:  # rolled back: every history begins anew
        ids = [make_customer(connection, **values) for values in PEOPLE]
        for number, one in enumerate(told):
            write(connection, ids[one["who"]], number, one)
        if wish is not None:
            who, most, days = wish
            values = {
                "customer_id": ids[who],
                "most_messages": most,
                "most_within": timedelta(days=days),
                "source": "page",
            }
            connection.execute(insert(preference).values(values))
        run_id = make_run(connection, "this", version_id=make_version(connection, "this"))
        mine = {
            make_message(connection, run_id, customer_id, state="planned", occurrence=str(customer_id)): person
            for customer_id, person in zip(ids, PEOPLE, strict=True)
        }
        found = held_back(
            connection, list(mine), rules=rules, topic="promotions", priority=0, wishes=wish is not None, now=NOW
        )

    expected = {}
    for message_id, person in mine.items():
        free = [free_at(cap, person, told) for cap in found_caps if cap.topic in (None, "promotions")]
        free.append(asked_for(wish, person, told) if wish else None)
        if latest := [moment for moment in free if moment is not None]:
            expected[message_id] = max(latest)
    assert expected == {one.message_id: one.free_at for one in found}


def write(connection, customer_id, number, one):
    """One message of a run of its own."""
    campaign = f"c{number}"
    message_class = "bulk" if one["is_bulk"] else "transactional"
    version_id = make_version(connection, campaign, topic=one["topic"], message_class=message_class)
    state = "running" if one["is_running"] else "paused"
    run_id = make_run(connection, campaign, version_id=version_id, state=state, priority=one["priority"])
    at = NOW - one["age"]
    values = {"state": one["state"], "state_at": at, "accepted_at": None, "not_before": NOW + one["age"]}
    if one["state"] in ("accepted", "delivered", "bounced", "complained"):
        values |= {"state_at": NOW, "accepted_at": at}  # what came back later is no contact of that day
    if one["state"] == "skipped":
        values["skip_reason"] = "holdout"
    make_message(
        connection, run_id, customer_id, attempt_count=int(one["state"] in (*HANDED_OVER, "deferred")), **values
    )
