"""`clarion transport test` and `clarion doctor`: the server is spoken with as for real mail, and nothing is sent."""

import json

import pytest
from click.testing import CliRunner

from cli import clarion
from core.commands import Desk
from core.transport_settings import Transport
from delivery import holds
from delivery.greeting import greet
from delivery.holds import HeldBy
from delivery.throttles import transport_key
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.integration.test_campaigns_sending import serving
from tests.processes import free_port


def test_server_that_answers_is_spoken_with_and_left_politely(tmp_path):
    """
    EHLO and QUIT, no mail.
    """
    with serving() as server:
        (found,) = greet({"main": Transport(url=f"smtp://127.0.0.1:{server.port}")}, tmp_path)

    assert found.fault is None
    assert "answers: no TLS, no login" in found.detail
    assert ["EHLO", "QUIT"] == [command.split()[0] for command in server.commands]
    assert [] == server.received


@pytest.mark.parametrize(
    ("script", "more", "message", "hint"),
    [
        ({"greeting": b"554 5.7.1 not you"}, {}, "the server refused the greeting: 554", ""),
        ({}, {"tls": "starttls"}, "the server does not offer STARTTLS", "set tls: implicit"),
        ({}, {"tls": "implicit"}, "TLS failed: WRONG_VERSION_NUMBER", "the server speaks no TLS on this port"),
    ],
)
def test_server_that_takes_no_mail_is_told_with_its_words(tmp_path, script, more, message, hint):
    """
    A port that is open is not enough.
    """
    with serving(script) as server:
        way = Transport.model_validate({"url": f"smtp://127.0.0.1:{server.port}"} | more)
        (found,) = greet({"main": way}, tmp_path)

    assert message in found.detail
    assert found.fault.hint.startswith(hint)


def test_closed_port_is_called_so_with_tls_too(tmp_path):
    """
    Nobody is sent looking for a fault in TLS, or has to know numbers of the system.
    """
    (found,) = greet({"main": Transport(url=f"smtps://127.0.0.1:{free_port()}")}, tmp_path)

    assert "cannot connect: nothing answers at this port" == found.fault.message


@pytest.fixture
def desk(database, make_workspace):
    """A workspace with a transport that answers, and two that do not."""
    with serving() as server:
        more = "".join(f'\n  dead{n}: {{{{url: "smtp://127.0.0.1:{free_port()}"}}}}' for n in (1, 2))
        settings = MINIMAL_SETTINGS.replace("connections: 4}}", "connections: 4}}" + more)
        workspace = make_workspace(database=database, files=FILES, settings=settings, smtp_port=server.port)
        desk = Desk(workspace.root)
        yield desk
        desk.close()


def called(desk, *arguments):
    return CliRunner().invoke(clarion, list(arguments), obj=desk)


def test_doctor_has_a_row_for_each_transport_with_its_hold(desk, database):
    """
    Every dead one is named, and a hold shows whether the server answers or not.
    """
    with database.begin() as connection:
        for name in ("main", "dead2"):
            holds.hold(connection, transport_key(name), because="new key", by=HeldBy.OPERATOR, actor="test")
    rows = {row["check"]: row for row in json.loads(called(desk, "doctor", "--json").stdout)["checks"]}

    assert [False, False, False] == [rows[f"transport {name}"]["ok"] for name in ("main", "dead1", "dead2")]
    assert (
        "answers: no TLS, no login; transport main is paused until it is resumed: new key"
        in (rows["transport main"]["detail"])
    )
    assert rows["transport dead1"]["detail"].endswith("it should: cannot connect: nothing answers at this port")
    assert "paused" not in rows["transport dead1"]["detail"]
    assert "transport dead2 is paused" in rows["transport dead2"]["detail"]


def test_doctor_tells_a_mistake_in_the_settings_once(desk):
    """
    The rows that need the settings say that they could not be looked at, not what is wrong with them.
    """
    file = desk.workspace.root / "clarion.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "colour: red\n", encoding="utf-8")
    broken = Desk(desk.workspace.root)
    result = called(broken, "doctor", "--json")
    broken.close()
    first, *others = json.loads(result.stdout)["checks"]

    assert 1 == result.exit_code
    assert ("files", True) == (first["check"], "unknown key 'colour'" in first["detail"])
    assert {"not looked at: that needs clarion.yaml without mistakes"} == {row["detail"] for row in others}
    assert ["dkim", "database", "broker", "processes", "web"] == [row["check"] for row in others]


def test_transport_test_says_whether_mail_could_go(desk):
    """
    One line and exit code 0, or one error.
    """
    good, bad = called(desk, "transport", "test", "main"), called(desk, "transport", "test", "dead1")

    assert (0, 1) == (good.exit_code, bad.exit_code)
    assert "main: smtp://127.0.0.1" in good.stdout
    assert "clarion: dead1 at smtp://127.0.0.1" in bad.stderr
    assert not json.loads(called(desk, "transport", "test", "dead1", "--json").stdout)["ok"]
    assert "no transport 'mian'" in called(desk, "transport", "test", "mian").stderr
