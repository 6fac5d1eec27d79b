"""What SpamAssassin thinks of the mailings that come with Clarion, by its local rules: no network, no learning."""

import re
import shutil
import subprocess
from datetime import UTC, date, datetime
from email.utils import format_datetime
from functools import partial
from pathlib import Path

import pytest

from campaigns import starter
from core.workspace import Workspace
from demo.stage import copy_files
from tests.factories import SECRET, make_customer
from tests.processes import clarion

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(shutil.which("spamassassin") is None, reason="needs Debian's package spamassassin"),
]
#: As the server that receives it writes it: without one, a mail looks as if it was never sent.
_RECEIVED = (
    b"Received: from mail.quill-ledger.example (mail.quill-ledger.example [93.184.216.34])\r\n"
    b"\tby mx.customers.example (Postfix) with ESMTPS id 4F1A2B3C for <ann@customers.example>;\r\n"
    b"\t%b\r\n"
)
_RULE = re.compile(r"^\s*(-?\d+\.\d+) ([A-Z][A-Z0-9_]+)\s+(.*)$", re.MULTILINE)


def _as_deployed(folder: Path, database) -> Workspace:
    """The workspace with this database, and with links that lead to a host of its own instead of this machine."""
    settings = folder / "clarion.yaml"
    text = settings.read_text(encoding="utf-8")
    text = re.sub(r"^database:.*$", f'database: "{database.url}"', text, flags=re.MULTILINE)
    text = re.sub(r"base_url: http://[\w.:]+", "base_url: https://news.quill-ledger.example", text)
    settings.write_text(f'{text}\nsecret: "{SECRET.decode()}"\n', encoding="utf-8")
    return Workspace(folder)


def _judged(content: bytes) -> dict[str, float]:
    """The rules that fired, with their points."""
    received = _RECEIVED % format_datetime(datetime.now(UTC)).encode()
    done = subprocess.run(["spamassassin", "-L", "-t"], input=received + content, capture_output=True, check=True)
    report = done.stdout.decode(errors="replace").partition("Content analysis details:")[2]
    assert report, done.stdout[-2000:]
    return {rule: float(points) for points, rule, _ in _RULE.findall(report)}


@pytest.mark.parametrize(
    ("make", "campaign"),
    [
        (copy_files, "paper-restock"),
        (copy_files, "we-miss-you"),
        (copy_files, "office-letter"),
        (partial(starter.make, today=date(2026, 3, 2)), "spring-paper"),
    ],
)
def test_no_rule_takes_offence_at_a_shipped_mailing(tmp_path, database, make, campaign):
    """
    The mailing scores below 2.0 of the 5.0 that make spam, and no single rule gives more than 1.0.
    """
    folder = tmp_path / "workspace"
    make(folder)
    workspace = _as_deployed(folder, database)
    with database.begin() as connection:
        make_customer(
            connection, email="ann@customers.example", consents=("promotions", "news"), first_name="Ann",
            last_name="Miller", company="Miller & Sons", language="en",
        )  # fmt: skip
    eml = tmp_path / "mail.eml"
    clarion(workspace, "preview", campaign, "--as", "ann@customers.example", "--eml", str(eml))

    rules = _judged(eml.read_bytes())
    print(f"\n{campaign}: {sum(rules.values()):.1f}", dict(sorted(rules.items(), key=lambda rule: -rule[1])))

    assert sum(rules.values()) < 2.0
    assert max(rules.values(), default=0) <= 1.0
