"""Attachments and inline images from the workspace's files to the server: what is sent is what was reviewed."""

import base64
import email
import json
import tracemalloc
from datetime import timedelta
from email import policy

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from campaigns import versions
from campaigns.mailings import rendered_message
from campaigns.sending import Courier
from cli import clarion
from core import schema
from core.errors import StalePlan
from delivery.dkim import Signer
from delivery.dkim.keys import SigningKey, new_key
from tests.campaign_files import FILES, campaign_file
from tests.factories import make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_sending import first_batch, serving, status

LOGO = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SEAL = b"GIF89a" + bytes(reversed(range(256)))
TERMS = b"%PDF-1.7\r\n.\r\n..\r\nFrom here" + bytes(range(256)) * 20
PRICES = "Größe;Preis\r\n".encode()
CONTENTS = {
    "images/logo.png": LOGO, "images/seal.gif": SEAL, "files/terms.pdf": TERMS, "files/prices.csv": PRICES,
}  # fmt: skip
TEMPLATE = """\
---
subject: Terms
preheader: New
attachments: [files/prices.csv, {file: files/terms.pdf, name: "Bedingungen für 2026 价格.pdf"}]
---
<html><body>
<img alt="Paper" src="images/logo.png"><p>Good morning</p><img alt="again" src="images/logo.png">
{% if customer.company %}<img alt="Seal" src="images/seal.gif">{% endif %}
<img alt="Shop" src="https://paper.example/shop.png">
</body></html>
"""
MINE = FILES | {"templates/spring-paper.html": TEMPLATE}


BIG = b"%PDF-1.7\n" + bytes(range(256)) * 4096
SIGNER = Signer((SigningKey("paper.example", "s1", new_key(ed25519=True)),))
ANY_SIZE = b"250-test.example\r\n250-PIPELINING\r\n250 8BITMIME"


@pytest.fixture
def shop(make_workspace, database):
    """A workspace whose mailing has two attachments and two images, one of them for companies only."""
    with database.begin() as connection:
        for name, company in (("ann", "Firm"), ("ben", None)):
            make_customer(
                connection, external_id=name, email=f"{name}@firm.example", consents=("promotions",), company=company
            )

    def build(**values):
        workspace = make_workspace(**({"database": database, "files": MINE} | values))
        for name, content in CONTENTS.items():
            place(workspace, name, content)
        return workspace

    return build


def place(workspace, name, content):
    path = workspace.root / "templates" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def parsed(octets):
    return email.message_from_bytes(octets, policy=policy.default)


def files_in(message):
    """Name and octets of every file in the message."""
    leaves = [part for part in message.walk() if not part.is_multipart() and part.get_filename()]
    return {part.get_filename(): part.get_payload(decode=True) for part in leaves}


def run(workspace, *arguments):
    return CliRunner().invoke(clarion, ["--workspace", str(workspace.root), *arguments])


def test_what_was_applied_is_sent_whatever_happens_to_the_files(shop, database, clock):
    """
    Files changed and deleted after apply change nothing: each recipient gets the octets that were reviewed, and only
    the images that their own page shows.
    """
    with serving() as server:
        workspace = shop(smtp_port=server.port)
        (started,) = apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        place(workspace, "files/terms.pdf", b"%PDF- something else")
        for name in ("images/logo.png", "images/seal.gif", "files/prices.csv", "files/terms.pdf"):
            (workspace.root / "templates" / name).unlink()
        courier = Courier(workspace, database, clock, "w1")
        courier.send_batch(first_batch(database))
        courier.close()

    received = {mail.recipients[0]: parsed(mail.content) for mail in server.received}
    ann, ben = received["RCPT TO:<ann@firm.example>"], received["RCPT TO:<ben@firm.example>"]
    attached = {"prices.csv": PRICES, "Bedingungen für 2026 价格.pdf": TERMS}
    assert attached | {"logo.png": LOGO, "seal.gif": SEAL} == files_in(ann)
    assert attached | {"logo.png": LOGO} == files_in(ben)
    assert (2, True) == (status(database, started.run_id).states["accepted"], status(database, started.run_id).balanced)


def test_the_page_names_the_images_beside_it(shop, database, clock):
    """
    Every `cid:` of the HTML is the content id of exactly one part; the picture on a web server stays there.
    """
    with serving() as server:
        workspace = shop(smtp_port=server.port)
        apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        courier = Courier(workspace, database, clock, "w1")
        courier.send_batch(first_batch(database))
        courier.close()

    message = parsed(server.received[0].content)
    html = message.get_body(("html",)).get_content()
    ids = sorted(part["content-id"].strip("<>") for part in message.walk() if part.get_content_maintype() == "image")
    assert "multipart/mixed" == message.get_content_type()
    assert ids == sorted({address.partition('"')[0] for address in html.split("cid:")[1:]})
    assert 'src="https://paper.example/shop.png"' in html


def test_a_message_never_goes_without_its_files(shop, database, clock):
    """
    If the stored content is gone, the run says so and everybody waits; restored, they get what was reviewed.
    """
    with serving() as server:
        workspace = shop(smtp_port=server.port)
        (started,) = apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        with database.begin() as connection:
            kept = connection.execute(schema.asset.delete().returning(schema.asset)).mappings().all()
        courier = Courier(workspace, database, clock, "w1")
        courier.send_batch(first_batch(database))
        waiting = status(database, started.run_id)
        with database.begin() as connection:
            connection.execute(schema.asset.insert(), [dict(row) for row in kept])
        clock.step(timedelta(minutes=5))
        courier.send_batch(first_batch(database))
        courier.close()

    assert ("the content of files/prices.csv", 2) == (waiting.fault[:31], waiting.states["planned"])
    assert 2 == len(server.received)


def test_a_changed_file_makes_the_reviewed_plan_stale(shop, database, clock):
    """
    The fingerprint covers the files' content: another attachment under the same name needs another review.
    """
    workspace = shop()
    plan = plan_of(workspace, database, clock)
    place(workspace, "files/terms.pdf", TERMS + b"2")

    with pytest.raises(StalePlan):
        apply_of(workspace, database, clock, plan)


def test_equal_contents_are_stored_once(shop, database, clock):
    """
    Two campaigns that send one file share its row; the stored version names it by digest and holds no content.
    """
    again = campaign_file(limits="{piece_memory: none}")
    workspace = shop(files=MINE | {"campaigns/second.yaml": again, "campaigns/spring-paper.yaml": again})
    apply_of(workspace, database, clock, plan_of(workspace, database, clock))

    with database.begin() as connection:
        asset = schema.asset
        rows = dict(connection.execute(select(asset.c.digest, asset.c.content)).all())
        ids = connection.execute(select(schema.campaign_version.c.id)).scalars().all()
        stored = [versions.fetch(connection, version_id) for version_id in ids]
        assert 2 == len(stored)
        assert sorted(CONTENTS.values()) == sorted(map(bytes, rows.values()))
        assert [sorted(rows)] * 2 == [sorted(file.digest for file in version.assets.values()) for version in stored]
        assert [{}, {}] == [version.contents for version in stored]
        assert [set(rows)] * 2 == [set(versions.contents_of(connection, version)) for version in stored]


def test_a_version_without_files_is_stored_as_before(make_workspace, database, clock):
    """
    A campaign that sends no files has no word of them in what is stored, and no row is written.
    """
    with database.begin() as connection:
        make_customer(connection, consents=("promotions",))
    workspace = make_workspace(database=database, files=FILES)
    apply_of(workspace, database, clock, plan_of(workspace, database, clock))

    with database.begin() as connection:
        assert "files" not in connection.execute(select(schema.campaign_version.c.definition)).scalar_one()
        assert 0 == connection.execute(select(func.count()).select_from(schema.asset)).scalar_one()


def test_view_in_browser_shows_the_images(shop, database, clock):
    """
    The page of a message holds its pictures itself, as reviewed, because a browser has no mail around it.
    """
    workspace = shop()
    apply_of(workspace, database, clock, plan_of(workspace, database, clock))
    (workspace.root / "templates/images/logo.png").unlink()
    with database.begin() as connection:
        message_id = connection.execute(select(schema.message.c.id).order_by(schema.message.c.id)).scalars().first()
        shown = rendered_message(connection, workspace, message_id, clock.now())

    assert "cid:" not in shown.html
    assert 2 == shown.html.count(f"data:image/png;base64,{base64.b64encode(LOGO).decode()}")


def test_preview_shows_images_and_writes_the_whole_mail(shop, database, tmp_path):
    """
    --html is a page that a browser shows by itself; --eml holds images and attachments as they will be sent.
    """
    workspace, html, eml = shop(), tmp_path / "a.html", tmp_path / "a.eml"
    done = run(workspace, "preview", "spring-paper", "--as", "ben", "--html", str(html), "--eml", str(eml))

    assert 0 == done.exit_code, done.output
    assert "With:    prices.csv, Bedingungen für 2026 价格.pdf\n" in run(
        workspace, "preview", "spring-paper", "--as", "ben"
    ).stdout  # fmt: skip
    assert f"data:image/png;base64,{base64.b64encode(LOGO).decode()}" in html.read_text()
    assert "cid:" not in html.read_text()
    assert {"prices.csv": PRICES, "Bedingungen für 2026 价格.pdf": TERMS, "logo.png": LOGO} == files_in(
        parsed(eml.read_bytes())
    )


def test_validate_tells_of_files_that_are_missing_and_too_large(shop):
    """
    A missing file is a mistake at its line; large files are allowed, and remarked on beside the result.
    """
    workspace = shop()
    place(workspace, "files/terms.pdf", TERMS.ljust(1_200_000))
    large = run(workspace, "validate")
    as_json = json.loads(run(workspace, "validate", "--json").stdout)
    place(workspace, "files/terms.pdf", TERMS.ljust(5_000_001))
    too_large = run(workspace, "validate")
    (workspace.root / "templates/files/terms.pdf").unlink()
    missing = run(workspace, "validate")

    assert (0, 1, 1) == (large.exit_code, too_large.exit_code, missing.exit_code)
    assert "templates/spring-paper.html: its files add 1.3 MB to every message" in large.stderr
    assert "fine: " in large.stdout
    assert (True, 1) == (as_json["valid"], len(as_json["remarks"]))
    assert "templates/spring-paper.html:4: files/terms.pdf has 5.1 MB, at most 5 MB" in too_large.stderr
    assert "templates/spring-paper.html:4: there is no file 'files/terms.pdf'" in missing.stderr


def test_the_limit_is_a_setting(shop):
    """
    `attachments: {max_size: …}` in clarion.yaml says how much goes with a mailing.
    """
    workspace = shop()
    settings = workspace.root / "clarion.yaml"
    settings.write_text(settings.read_text() + "attachments: {max_size: 4 KB}\n")
    refused = run(workspace, "validate")
    settings.write_text(settings.read_text().replace("4 KB", "6 KB"))

    assert "templates/spring-paper.html:4: files/terms.pdf has 6 KB, at most 4 KB" in refused.stderr
    assert 0 == run(workspace, "validate").exit_code


@pytest.mark.parametrize("signers", [{}, {"paper.example": SIGNER}])
def test_a_big_file_is_in_memory_for_few_at_a_time(shop, database, clock, signers):
    """
    However many get it, it is in a worker's memory for those who are under way; what is tried again is kept without it,
    and has it again.
    """
    with database.begin() as connection:
        for number in range(22):
            make_customer(connection, email=f"p{number}@firm.example", consents=("promotions",))
    with serving({"ehlo": ANY_SIZE, "recipient": b"450 4.2.0 later"}) as server:
        workspace = shop(smtp_port=server.port)
        place(workspace, "files/terms.pdf", BIG)
        apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        courier = Courier(workspace, database, clock, "w1")
        courier.__dict__["signers"] = signers
        tracemalloc.start()
        courier.send_batch(first_batch(database))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        with database.begin() as connection:
            kept = list(connection.execute(select(func.octet_length(schema.kept_content.c.content))).scalars())
        server.script = {"ehlo": ANY_SIZE, "recipient": [None] + [b"450 4.2.0 later"] * 23}
        courier.is_stopping = lambda: bool(server.received)
        clock.step(timedelta(hours=1))
        courier.send_batch(first_batch(database))
        courier.close()

    assert 36 * len(BIG) > most
    assert 24 == len(kept)
    assert len(BIG) / 100 > max(kept)
    (mail,) = server.received
    assert BIG == files_in(parsed(mail.content))["Bedingungen für 2026 价格.pdf"]
