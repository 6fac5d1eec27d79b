"""Calendar entries of events at a real CalDAV server: they appear, move and vanish there."""

import importlib.util
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from tests.event_files import FILES, Hall, parsed
from tests.integration.test_campaigns_sending import serving
from tests.processes import answers, free_port, started

pytestmark = pytest.mark.servers
ANN = "ann@firm.example"
_SETTINGS = """\
[server]
hosts = 127.0.0.1:{port}
[auth]
type = none
[storage]
filesystem_folder = {folder}
"""
_BETWEEN = """\
<?xml version="1.0" encoding="utf-8" ?>
<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">
  <D:prop><C:calendar-data/></D:prop>
  <C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">
    <C:time-range start="{start}" end="{end}"/>
  </C:comp-filter></C:comp-filter></C:filter>
</C:calendar-query>
"""


class Calendar:
    """A calendar on the server, kept as a mail program keeps it that was sent the entries (RFC 5546)."""

    def __init__(self, url: str) -> None:
        self._client, self._url = httpx.Client(auth=("ann", "any")), f"{url}/ann/events/"
        assert self._client.request("MKCALENDAR", self._url).status_code == 201

    def take(self, entry: str, method: str) -> None:
        """What came by mail is done: by its UID, and only what is newer than what is there."""
        uid = entry.partition("\r\nUID:")[2].partition("\r\n")[0]
        place = f"{self._url}{uid.partition('@')[0]}.ics"
        if method == "CANCEL":
            self._client.delete(place).raise_for_status()
            return
        stored = entry.replace(f"METHOD:{method}\r\n", "")  # RFC 4791 section 4.1: kept without it
        headers = {"Content-Type": "text/calendar; charset=utf-8"}
        self._client.put(place, content=stored.encode(), headers=headers).raise_for_status()

    def between(self, start: str, end: str) -> int:
        """How many events the server finds there; it works the times out by itself."""
        answer = self._client.request("REPORT", self._url, content=_BETWEEN.format(start=start, end=end))
        answer.raise_for_status()
        return answer.text.count("BEGIN:VEVENT")


@pytest.fixture
def calendar(tmp_path: Path) -> Iterator[Calendar]:
    """An empty calendar on a Radicale of its own."""
    if importlib.util.find_spec("radicale") is None:
        pytest.skip("no CalDAV server (pip install radicale)")
    port = free_port()
    settings = tmp_path / "radicale.ini"
    settings.write_text(_SETTINGS.format(port=port, folder=tmp_path / "calendars"), encoding="utf-8")
    arguments = ["-m", "radicale", "--config", str(settings)]
    with started(arguments, tmp_path / "radicale.log", ready=lambda: answers(port)):
        yield Calendar(f"http://127.0.0.1:{port}")


def test_entries_that_were_mailed_appear_move_and_vanish(make_workspace, database, clock, calendar):
    """
    Confirmation, move and cancellation through real mail: the server shows the event at the right instants.
    """
    hall = Hall(make_workspace(database=database, files=FILES), database, clock)
    hall.apply()

    def take_mail() -> str:
        with serving() as server:
            hall.deliver(server.port)
            (mail,) = parsed([one.content for one in server.received])
        *_, entry = mail.iter_parts()
        method = entry["Content-Type"].params["method"]
        calendar.take(entry.get_payload(decode=True).decode(), method)
        return str(method)

    old, new = ("20260320T165959Z", "20260320T170001Z"), ("20260328T235959Z", "20260329T000001Z")
    hall.register(ANN)
    assert "REQUEST" == take_mail()
    assert (1, 0) == (calendar.between(*old), calendar.between(*new))

    hall.rewrite("2026-03-20T18:00", "2026-03-29T01:00")  # an hour before the clocks change: it ends at 04:30 there
    hall.apply()
    hall.look_after()
    assert "REQUEST" == take_mail()
    assert (0, 1) == (calendar.between(*old), calendar.between(*new))
    ends = ("20260329T022959Z", "20260329T023000Z"), ("20260329T023000Z", "20260329T030000Z")
    assert (1, 0) == (calendar.between(*ends[0]), calendar.between(*ends[1]))

    hall.clock.step(timedelta(hours=1))
    hall.order("withdraw", ANN)
    assert "CANCEL" == take_mail()
    assert 0 == calendar.between("20260101T000000Z", "20270101T000000Z")
    with database.begin() as connection:
        assert 2 == connection.execute(text("SELECT revision FROM registration")).scalar()
