"""`clarion dkim`, and the keys of a workspace: made, named in clarion.yaml, checked, published, used."""

import json

import dkim
import dns.zone
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa

from campaigns.catalogue import examine
from cli import clarion
from core.clock import SteppedClock, SystemClock
from core.commands import Desk
from core.workspace import Workspace
from delivery.dkim import lookup
from delivery.dkim.keys import SigningKey, new_key, pem_of
from delivery.dkim.records import record_value, txt_strings
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer
from tests.name_server import name_server
from tests.processes import answers, free_port, started

RSA, OTHER_RSA, ED25519 = new_key(), new_key(), new_key(ed25519=True)


def pem(key):
    """The key as its file holds it."""
    return pem_of(key).decode()


@pytest.fixture
def office(make_workspace):
    """Builds a workspace with some `dkim:` lines, and with files."""

    def build(dkim_lines="", files=None, **values):
        text = MINIMAL_SETTINGS + dkim_lines.replace("{", "{{").replace("}", "}}")
        return make_workspace(settings=text, files=FILES | (files or {}), **values)

    return build


def lines(*entries, domain="paper.example"):
    """The section `dkim` with these keys."""
    return "".join([f"dkim:\n  {domain}:\n    keys:\n", *(f"      - {{{entry}}}\n" for entry in entries)])


def run(workspace, *arguments, clock=None):
    desk = Desk(workspace.root, clock or SystemClock())
    try:
        return CliRunner().invoke(clarion, arguments, obj=desk)
    finally:
        desk.close()


def problems_of(workspace):
    """Every mistake, as `line: message`."""
    return [f"{problem.line}: {problem.message}" for problem in examine(Workspace(workspace.root))[1]]


def test_generated_key_is_guarded_and_used_as_printed(office, clock):
    """
    The key's file is its owner's only and out of version control; the printed lines name it, and it then signs.
    """
    workspace = office()
    made = json.loads(run(workspace, "dkim", "generate", "Paper.example", "--json", clock=clock).stdout)
    settings = workspace.root / "clarion.yaml"
    settings.write_text(settings.read_text() + made["settings"])
    shown = json.loads(run(workspace, "dkim", "record", "--json").stdout)

    path = workspace.root / made["file"]
    assert ("s2026a", 2048, "rsa-sha256") == (made["selector"], made["bits"], made["algorithm"])
    assert (0o600, 0o700) == (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777)
    assert "*\n" == (path.parent / ".gitignore").read_text()
    assert [made["record"]] == [row["record"] for row in shown]
    assert [] == problems_of(workspace)


def test_each_generated_key_has_a_selector_of_its_own(office, clock: SteppedClock):
    """
    Selectors go on by letters, apart for Ed25519, and no file is ever replaced.
    """
    workspace = office()
    made = [
        json.loads(run(workspace, "dkim", "generate", "paper.example", "--json", *options, clock=clock).stdout)
        for options in ((), (), ("--ed25519",), ("--selector", "mail"))
    ]
    again = run(workspace, "dkim", "generate", "paper.example", "--selector", "mail")

    assert ["s2026a", "s2026b", "e2026a", "mail"] == [key["selector"] for key in made]
    assert 4 == len({key["record"]["value"] for key in made})
    assert (2, True) == (again.exit_code, "keys/paper.example.mail.pem exists" in again.stderr)


def test_selector_in_the_settings_is_not_given_again(office, clock):
    """
    A selector that clarion.yaml names is taken, wherever its key is.
    """
    workspace = office(lines("selector: s2026a, key: '${K}'").replace("'${K}'", json.dumps(pem(RSA))))
    made = json.loads(run(workspace, "dkim", "generate", "paper.example", "--json", clock=clock).stdout)
    named = run(workspace, "dkim", "generate", "paper.example", "--selector", "s2026a")

    assert "s2026b" == made["selector"]
    assert (1, True) == (named.exit_code, "clarion.yaml names a key of selector 's2026a'" in named.stderr)


@pytest.mark.parametrize("arguments", [("nowhere",), ("paper example",), ("paper.example", "--selector", "S 1")])
def test_generate_refuses_what_dns_cannot_hold(office, arguments):
    """
    A domain or selector that is none is a usage error, and no file is written.
    """
    workspace = office()
    result = run(workspace, "dkim", "generate", *arguments)

    assert 2 == result.exit_code
    assert not (workspace.root / "keys").exists()


def test_printed_output_holds_no_private_key(office):
    """
    What `generate` prints is public: neither screen nor JSON has a line of the key's file.
    """
    workspace = office()
    shown = [run(workspace, "dkim", "generate", "paper.example", *more) for more in ((), ("--json",), ("--ed25519",))]

    secrets = [line for file in (workspace.root / "keys").glob("*.pem") for line in file.read_text().splitlines()[1:-1]]
    assert 3 <= len(secrets)
    assert [] == [line for line in secrets for result in shown if line in result.output]


def test_records_are_lines_of_a_zone_file(office):
    """
    `dkim record` prints a zone that a name server reads, with every key, also those that do not sign.
    """
    files = {"keys/a.pem": pem(RSA), "keys/b.pem": pem(OTHER_RSA), "keys/e.pem": pem(ED25519)}
    workspace = office(
        lines("selector: a, file: keys/a.pem", "selector: b, file: keys/b.pem, signs: false",
              "selector: e, file: keys/e.pem"),
        files,
    )  # fmt: skip
    zone = dns.zone.from_text(
        f"@ 3600 IN SOA ns admin 1 1 1 1 1\n@ 3600 IN NS ns\n{run(workspace, 'dkim', 'record').stdout}",
        origin="paper.example.",
    )

    found = {
        selector: b"".join(zone.find_rdataset(f"{selector}._domainkey", "TXT")[0].strings).decode()
        for selector in "abe"
    }
    keys = {"a": RSA, "b": OTHER_RSA, "e": ED25519}
    assert found == {name: record_value(SigningKey("paper.example", name, key)) for name, key in keys.items()}


def test_check_compares_dns_with_the_keys(office):
    """
    `dkim check` says of each key whether the DNS has its record, and exits 1 when one is missing or another's.
    """
    keys = {name: SigningKey("paper.example", name, key) for name, key in (("a", RSA), ("b", OTHER_RSA))}
    files = {f"keys/{name}.pem": pem(key.private) for name, key in keys.items()}
    workspace = office(
        lines("selector: a, file: keys/a.pem", "selector: b, file: keys/b.pem, signs: false"), files
    )  # fmt: skip
    good = {key.dns_name: [" ".join(f'"{piece}"' for piece in txt_strings(record_value(key)))] for key in keys.values()}
    a, b = (key.dns_name for key in keys.values())

    def checked(records):
        with name_server(records) as port:
            result = run(workspace, "dkim", "check", "--server", "127.0.0.1", "--port", str(port), "--json")
        return result.exit_code, [(row["ok"], row["detail"]) for row in json.loads(result.stdout)]

    fine = (True, "as it should be")
    assert (0, [fine, fine]) == checked(good)
    assert (1, [fine, (False, "there is no TXT record")]) == checked({a: good[a]})
    assert (1, [fine, (False, "its key is another one (p= differs)")]) == checked({a: good[a], b: good[a]})
    assert "several TXT records" in checked({a: good[a], b: good[a] + good[b]})[1][1][1]


def test_silent_name_server_is_told_in_one_line(office, monkeypatch):
    """
    When nobody answers, `dkim check` says so and does not call the record wrong.
    """
    monkeypatch.setattr(lookup, "_WAIT_S", 0.2)
    workspace = office(lines("selector: a, file: a.pem"), {"a.pem": pem(RSA)})
    result = run(workspace, "dkim", "check", "--server", "127.0.0.1", "--port", str(free_port()))

    assert (1, "clarion: no name server answered within 0.2 s") == (result.exit_code, result.stderr.splitlines()[0])
    assert "no name server can be asked" in run(workspace, "dkim", "check", "--server", "nameserver").stderr


def test_commands_without_keys_say_how_to_make_one(office):
    """
    Without `dkim:` in clarion.yaml there is nothing to show, and the next command is named.
    """
    result = run(office(), "dkim", "record")

    assert 1 == result.exit_code
    assert "clarion dkim generate DOMAIN" in result.stderr


def test_mistakes_are_reported_at_their_lines_without_the_keys(office):
    """
    Every unusable key is told at its line, all in one go, and nothing of any key with it.
    """
    files = {"keys/a.pem": pem(RSA), "keys/b.pem": "MIIEsecret", "keys/c.bin": "MIIEsecret"}
    section = lines(
        "selector: a, file: keys/a.pem", "selector: b, file: keys/b.pem", "selector: c, file: keys/missing.pem",
        "selector: d, file: MIIEsecret", "selector: e, key: MIIEsecret",
    )  # fmt: skip
    workspace = office(section, files)
    found = problems_of(workspace)

    first = MINIMAL_SETTINGS.count("\n") + 4
    no_key = "not a private key (expected PEM, '-----BEGIN PRIVATE KEY-----')"
    assert [
        f"{first + 1}: dkim: paper.example: selector 'b': {no_key}",
        f"{first + 2}: dkim: paper.example: selector 'c': the key file keys/missing.pem cannot be read: "
        "No such file or directory",
        f"{first + 3}: dkim: paper.example: selector 'd': the key file cannot be read: No such file or directory",
        f"{first + 4}: dkim: paper.example: selector 'e': {no_key}",
    ] == found


@pytest.mark.parametrize(
    ("entries", "domain", "wrong"),
    [
        (["selector: a"], "paper.example", "expected either 'file' or 'key'"),
        (["selector: a, file: keys/a.pem, key: x"], "paper.example", "expected either 'file' or 'key'"),
        (["selector: A_1, file: keys/a.pem"], "paper.example", "expected a selector of a–z"),
        (["selector: a, file: keys/a.pem"] * 2, "paper.example", "expected each selector once"),
        (["selector: a, file: '-----BEGIN MIIEsecret'"], "paper.example", "expected the path of a file"),
        (["selector: a, file: keys/a.pem"], "papr.example", "no sender has an address at papr.example"),
        (["selector: a, file: keys/a.pem"], "not a domain", "expected a domain such as 'paper.example'"),
        (["selector: a, file: keys/a.pem, signs: false"], "paper.example", "one RSA key must sign (got 0)"),
        (["selector: e, file: keys/e.pem"], "paper.example", "one RSA key must sign (got 0)"),
        (["selector: a, file: keys/a.pem", "selector: b, file: keys/b.pem"], "paper.example", "must sign (got 2)"),
        (["selector: a, file: keys/a.pem", "selector: e, file: keys/e.pem", "selector: f, file: keys/e.pem"],
         "paper.example", "at most one Ed25519 key may sign"),
    ],
)  # fmt: skip
def test_mistake_in_the_section_is_told(office, entries, domain, wrong):
    """
    Whatever keeps mail from being signed as meant is one problem, and no value is shown.
    """
    files = {"keys/a.pem": pem(RSA), "keys/b.pem": pem(OTHER_RSA), "keys/e.pem": pem(ED25519)}
    (problem,) = problems_of(office(lines(*entries, domain=domain), files))

    assert wrong in problem
    assert "MIIE" not in problem


def test_key_may_come_from_the_environment(office, monkeypatch):
    """
    `key: ${DKIM_KEY}` takes the key itself, with real line ends or with `\\n`.
    """
    for text in (pem(RSA), pem(RSA).replace("\n", "\\n")):
        monkeypatch.setenv("DKIM_KEY", text)
        workspace = office(lines("selector: a, key: '${DKIM_KEY}'"))
        (row,) = json.loads(run(workspace, "dkim", "record", "--json").stdout)

        assert record_value(SigningKey("paper.example", "a", RSA)) == row["record"]["value"]
        assert text[40:80] not in repr(workspace.settings)


def test_domain_in_two_spellings_is_a_mistake(office):
    """
    A domain that is there twice, once in capitals, is told: one of the sections would be ignored.
    """
    section = lines("selector: a, file: a.pem")
    twice = section + section.replace("dkim:\n", "").replace("paper.example", "Paper.example")
    (problem,) = problems_of(office(twice, {"a.pem": pem(RSA)}))

    assert problem.endswith("dkim is wrong (expected each domain once)")


def test_short_key_is_remarked_on(office):
    """
    A key of 1024 bits signs, and `validate` says that it should be replaced.
    """
    weak = rsa.generate_private_key(65537, 1024)
    result = run(office(lines("selector: a, file: a.pem"), {"a.pem": pem(weak)}), "validate")

    assert 0 == result.exit_code
    assert "the key of selector 'a' is short (got 1024 bits, expected 2048): replace it" in result.stderr


def test_doctor_says_who_signs_and_what_is_weak(office, database, broker):
    """
    `doctor` names the selectors that sign, and a key file that others may read.
    """
    workspace = office(
        lines("selector: a, file: keys/a.pem"), {"keys/a.pem": pem(RSA)}, database=database, broker=broker
    )
    (workspace.root / "keys/a.pem").chmod(0o644)
    (row,) = [row for row in json.loads(run(workspace, "doctor", "--json").stdout)["checks"] if row["check"] == "dkim"]

    assert row["ok"]
    assert "paper.example signs with a (rsa-sha256)" in row["detail"]
    assert "may be read by every user" in row["detail"]


def test_send_test_is_signed(office, database, tmp_path):
    """
    A test mailing is signed as an order's would be, and verifies where it arrives.
    """
    from demo.inbox import read_content, read_index

    port, inbox = free_port(), tmp_path / "inbox"
    key = SigningKey("paper.example", "a", RSA)
    workspace = office(lines("selector: a, file: a.pem"), {"a.pem": pem(RSA)}, database=database, smtp_port=port)
    with database.begin() as connection:
        make_customer(connection, external_id="ann", email="ann@firm.example")
    command = ["-m", "demo.inbox", "--port", str(port), "--store", str(inbox)]
    with started(command, tmp_path / "inbox.log", ready=lambda: answers(port)):
        done = run(workspace, "send-test", "spring-paper", "--as", "ann", "--to", "me@office.example")

    assert 0 == done.exit_code, done.output
    (received,) = read_index(inbox)
    assert dkim.verify(read_content(inbox, received), dnsfunc=lambda name, timeout=5: record_value(key).encode())
