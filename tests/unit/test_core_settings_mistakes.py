"""What `clarion.yaml` may not say together, though each value is right: told at its line, without passwords."""

import re
from pathlib import Path

import pytest

from campaigns.catalogue import examine
from core.workspace import Workspace

BASE = """\
organisation: {name: Paper, postal_address: "1 Mill Lane, 12345 Papertown"}
senders: {offers: {name: Paper, email: offers@paper.example}}
topics: {news: {label: News}}
transports:
  main:
    URL
    connections: 4
"""


def _problems(tmp_path, lines, after=""):
    text = BASE.replace("URL", "\n    ".join(lines)) + after
    (tmp_path / "clarion.yaml").write_text(text)
    return [f"{p.file}:{p.line}: {p.message}" for p in examine(Workspace(tmp_path))[1]]


XOAUTH2 = "auth: {xoauth2: {user: u@shop.example, %s}}"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["url: smtp://u:hunter2@h", "tls: none"], "7: transports.main: got tls: none, but a password or token"),
        (["url: smtp://h", "tls: none", XOAUTH2 % "token_file: t"], "7: transports.main: got tls: none, but a"),
        (["url: smtps://h", "tls: starttls"], "smtps:// speaks TLS from the first byte (got tls: starttls"),
        (["url: smtps://h", "tls: none"], "transports.main: smtps:// speaks TLS from the first byte (got tls: none"),
        (["url: smtps://u:hunter2@h", XOAUTH2 % "token_file: t"], "7: transports.main: there are two ways to log in"),
        (["url: smtps://u@h"], "6: transports.main: url names only one of user and password"),
        (["url: smtps://:hunter2@h"], "6: transports.main: url names only one of user and password"),
        (["url: smtps://h/hunter2"], "6: transports.main: url ends in a path or a query"),
        (["url: smtps://h?hunter2=1"], "6: transports.main: url ends in a path or a query"),
        (["url: smtps://h", XOAUTH2 % "token_file: tokens"], "7: transports.main.auth.xoauth2: there is no file at"),
        (
            ["url: smtps://h", XOAUTH2 % "token_command: no-such-program hunter2"],
            "7: transports.main.auth.xoauth2: token_command names no program",
        ),
        (["url: smtps://h", XOAUTH2 % ""], "got neither of token_command and token_file, expected one of them"),
        (["url: smtps://h", XOAUTH2 % "token_file: t, token_command: x"], "got both token_command and token_file"),
    ],
)
def test_contradiction_of_a_transport_is_told_at_its_line(tmp_path, lines, message):
    """
    It is known before anything is sent.
    """
    (tmp_path / "t").write_text("token")

    assert message in "\n".join(found := _problems(tmp_path, lines))
    assert 1 == len(found)
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize("lines", [["url: smtps://h"], ["url: smtps://u:p@h/", "tls: implicit"], ["url: smtp://h"]])
def test_transport_without_contradiction_is_taken(tmp_path, lines):
    """
    What can be meant is not refused; a slash at the end of an address is a habit.
    """
    assert [] == _problems(tmp_path, lines)


def test_each_mistake_has_the_line_it_stands_at(tmp_path):
    """
    Domains in two spellings, and each route that leads nowhere, are told in one go.
    """
    after = (
        "domains:\n  gmail.com: {rate: 5/s}\n  GMAIL.com: {rate: 9/s}\n"
        "routes:\n  road: {main: 1, mian: 2}\n  path:\n    main: standby\n  main: {main: 1}\n"
    )

    assert [
        "clarion.yaml:10: domains: 'GMAIL.com' is the same domain as 'gmail.com'",
        "clarion.yaml:12: routes.road names no transport 'mian', expected one of `transports`",
        "clarion.yaml:13: routes.path has only transports on standby, expected at least one weight",
        "clarion.yaml:15: routes: 'main' is a transport already, expected another name",
    ] == _problems(tmp_path, ["url: smtp://h"], after)


def test_mistake_beside_a_password_is_shown_with_what_was_found(tmp_path):
    """
    Only what may be a secret is withheld.
    """
    after = "    rate: fast\n    tls: sometimes\n    warm_up: {start: soon, daily: []}\n"
    dkim = "dkim: {paper.example: {keys: [{selector: A_B, file: k, key: hunter2}]}}\nrefusals: {}\n"
    found = "\n".join(_problems(tmp_path, ["url: smtps://u:hunter2@h"], after + dkim))

    assert "8: transports.main.rate: got 'fast', expected a rate such as" in found
    assert "9: transports.main.tls is wrong (got 'sometimes', expected 'starttls', 'implicit' or 'none')" in found
    assert "10: transports.main.warm_up.start is wrong (got 'soon', expected a date such as 2026-12-01)" in found
    assert "10: transports.main.warm_up.daily is wrong (got [], expected at least 1 entry)" in found
    assert "11: dkim.paper.example.keys.0.selector: got 'A_B', expected a selector" in found
    assert "hunter2" not in found


def test_relay_of_the_page_is_read(tmp_path, monkeypatch):
    """
    The lines of docs/first-relay.md, with a password from the environment.
    """
    monkeypatch.setenv("RELAY_PASSWORD", "hunter2")
    page = (Path(__file__).parents[2] / "docs" / "first-relay.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "clarion.yaml").write_text(BASE.partition("transports:")[0] + lines)

    assert [] == examine(Workspace(tmp_path))[1]
    assert 10.0 == Workspace(tmp_path).settings.transports["relay"].rate


TANGLED = """\
staff:
  anna: {name: Anna, email: anna@paper.example, deputy: bne}
  ben: {name: Ben, email: nowhere}
  ben: {name: Ben, email: ben@paper.example}
routes:
  road: {main: 1, mian: 2}
inquiries:
  sales: {title: Ask, owner: ben, escalation: [{to: carl}]}
  help: {title: Help, owner: dora, deadline: soon}
forms:
  letter: {topics: [news, gone], campaign: confirm}
pressure: {caps: {all: {most: 0, within: 7d}, few: {most: 1, within: 7d, topic: old}}}
feedback: {replies_to: eve, repeat: 3}
dkim: {mill.example: {keys: [{selector: s1, file: no-such-key.pem}]}}
"""


def test_no_mistake_hides_another_one(tmp_path):
    """
    A wrong value, a name that is there twice, an unknown key, and what contradicts what else is right: all in one go.
    Who refers to an entry with a mistake has made none.
    """
    found = _problems(tmp_path, ["url: smtp://h", "tls: never"], TANGLED)

    assert [
        "clarion.yaml:7: transports.main.tls is wrong (got 'never', expected 'starttls', 'implicit' or 'none')",
        "clarion.yaml:10: staff.anna: deputy 'bne' is no entry of staff",
        "clarion.yaml:11: staff.ben.email: got 'nowhere', expected an e-mail address; An email address must"
        " have an @-sign.",
        "clarion.yaml:12: duplicate name 'ben' (first at line 11)",
        "clarion.yaml:14: routes.road names no transport 'mian', expected one of `transports`",
        "clarion.yaml:16: inquiries.sales: 'carl' is no entry of staff",
        "clarion.yaml:17: inquiries.help.deadline: got 'soon', expected a duration such as '90m', '14d' or '1d 12h'",
        "clarion.yaml:19: forms.letter: no topic 'gone'",
        "clarion.yaml:19: no campaign 'confirm'",
        "clarion.yaml:20: pressure.caps.all.most is wrong (got 0, expected at least 1)",
        "clarion.yaml:20: pressure.caps.few: there is no topic 'old', expected one of `topics`",
        "clarion.yaml:21: feedback.replies_to: 'eve' is no entry of staff",
        "clarion.yaml:21: unknown key 'repeat' in feedback",
        "clarion.yaml:22: dkim: mill.example: selector 's1': the key file no-such-key.pem cannot be read: No such"
        " file or directory",
        "clarion.yaml:22: dkim: no sender has an address at mill.example",
    ] == found


@pytest.mark.parametrize(
    ("old", "new", "mistakes"),
    [
        ("organisation: {", "organisation: {zoen: UTC, ", ["1: unknown key 'zoen' in organisation"]),
        ("email: offers@paper.example", "mail: x", ["2: senders.offers.email is missing", "2: unknown key 'mail' in"]),
        ("topics: {news: {label: News}}", "topics: 5", ["3: topics is wrong (got 5, expected a mapping)"]),
        ("url: smtp://h", "url: ${NOWHERE}", ["6: the environment variable NOWHERE is not set"]),
        ("  main:\n", "  - main:\n", ["4: transports is wrong (expected a mapping)"]),
    ],
)
def test_section_that_cannot_be_used_hides_no_other(tmp_path, old, new, mistakes):
    """
    Whatever section is wrong, the rest is judged, and nothing is said of what cannot be known.
    """
    after = "staff: {anna: {name: Anna, email: anna@paper.example}}\nfeedback: {replies_to: eve}\n"
    text = BASE.replace("URL", "url: smtp://h") + after + "dkim: {mill.example: {keys: [{selector: s, key: x}]}}\n"
    assert old in text
    (tmp_path / "clarion.yaml").write_text(text.replace(old, new))
    found = [f"{p.line}: {p.message}" for p in examine(Workspace(tmp_path))[1]]

    assert "9: feedback.replies_to: 'eve' is no entry of staff" in found
    for mistake in mistakes:
        assert 1 == sum(line.startswith(mistake) for line in found), found
    assert ("mail: x" in new) == ("no sender has an address" not in "".join(found))


def test_password_where_a_name_belongs_is_not_told(tmp_path):
    """
    What is known of transports holds no address, though one stand in the place of a name.
    """
    text = BASE.replace("URL", "url: smtp://h").replace("  main:", '  "smtps://u:hunter2@h":')
    (tmp_path / "clarion.yaml").write_text(text + "routes: {road: {mian: 1}}\n")
    found = examine(Workspace(tmp_path))[1]

    assert any("mian" in problem.message for problem in found)
    assert "hunter2" not in "".join(problem.message + problem.hint for problem in found)


def test_password_where_a_name_belongs_is_not_told_of_other_files(tmp_path):
    """
    Nor where campaigns and sequences name a transport or an endpoint that is not there.
    """
    text = BASE.replace("URL", "url: smtp://h").replace("  main:", '  "smtps://u:hunter2@h":')
    endpoint = '"https://u:hunter2@crm.example": {url: "https://crm.example/", secret: "0123456789abcdef"}'
    (tmp_path / "clarion.yaml").write_text(f"{text}endpoints: {{{endpoint}}}\n")
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "campaigns/spring.yaml").write_text("send: {transport: mian}\n")
    (tmp_path / "campaigns/nurture.yaml").write_text("kind: sequence\nsteps: {call: {webhook: {endpoint: cmr}}}\n")
    found = examine(Workspace(tmp_path))[1]

    assert {"no transport 'mian'", "no endpoint 'cmr'"} <= {problem.message for problem in found}
    assert "hunter2" not in "".join(problem.message + problem.hint for problem in found)


def test_long_names_are_known(tmp_path):
    """
    A name may have 80 characters.
    """
    name = "m" * 80
    text = BASE.replace("URL", "url: smtp://h").replace("  main:", f"  {name}:")
    (tmp_path / "clarion.yaml").write_text(f"{text}routes: {{road: {{{name}: 1}}}}\n")

    assert [] == examine(Workspace(tmp_path))[1]
