"""`clarion test` leaves out looks that can find nothing: what is found is the same."""

from dataclasses import replace

import pytest

from campaigns import catalogue as files
from campaigns.workspace_tests import running
from campaigns.workspace_tests.loading import load
from tests.integration.test_workspace_tests import WORKSPACE, findings

SEQUENCE = """\
kind: sequence
topic: promotions
enrol: {{{enrol}}}
send: {{from: offers}}
limits: {{piece_memory: none}}
steps:
  hello: {{send: {{template: spring-paper.html}}}}
"""
WAITING = """\
kind: sequence
topic: promotions
enrol: {by: api, again: always}
send: {from: offers}
limits: {piece_memory: none}
exit_when: last("purchase", since="enrolment") is older_than("2d")
steps:
  hello: {send: {template: spring-paper.html}}
  quiet: {wait: {for: 'clicked("waiting") or did("page_view", before="31h")', timeout: 8d, look_every: 2h}}
  again: {send: {template: spring-paper.html}}
"""
LOOKED_AT = {
    "segments/abroad.yaml": "where: country == 'US'\n",
    "segments/away.yaml": "where: not did('page_view', within='50h') and did('page_view')\n",
    "segments/lapsed.yaml": "where: last('purchase') is older_than('4d') and subscribed('promotions')\n",
    "segments/counted.yaml": "where: recency_days >= 3\n",
    "campaigns/abroad.yaml": SEQUENCE.format(enrol="segment: abroad, look_every: 7h, again: {after: 3d}"),
    "campaigns/away.yaml": SEQUENCE.format(enrol="segment: away, exclude: [abroad], look_every: 1h"),
    "campaigns/lapsed.yaml": SEQUENCE.format(enrol="segment: lapsed, look_every: 11h"),
    "campaigns/counted.yaml": SEQUENCE.format(enrol="segment: counted, look_every: 13h"),
    "campaigns/waiting.yaml": WAITING,
}
CASES = """\
clock: 2026-03-02T09:00
zone: Europe/Berlin
lasts: 9d
customers:
  ann: {consents: [{topic: promotions, state: confirmed}]}
  ben: {consents: [promotions], purchases: [{at: 2026-03-01T10:00, amount: 5}]}
  cam: {country: US, consents: [promotions], activities: [{at: 2026-03-01T17:00, name: page_view}]}
cases:
  all:
    apply: [abroad, away, counted, lapsed, waiting]
    steps:
      - {at: 2026-03-03T10:00, do: activity, customer: ann, name: page_view}
      - {at: 2026-03-04T12:10, do: enrol, sequence: waiting, customer: ben, key: one}
      - {at: 2026-03-04T12:10, do: enrol, sequence: waiting, customer: cam, key: one}
      - {at: 2026-03-05T08:00, do: change, customer: cam, fields: {country: FR}}
      - {at: 2026-03-05T23:00, do: purchase, customer: ben, amount: 20}
      - {at: 2026-03-06T01:00, do: change, customer: cam, fields: {country: US}}
      - {at: 2026-03-06T10:00, do: enrol, sequence: waiting, customer: ann, key: one}
      - {at: 2026-03-06T12:00, do: opt-out, customer: ann, topic: promotions}
      - {at: 2026-03-07T12:00, do: enrol, sequence: waiting, customer: cam, key: two}
      - {at: 2026-03-08T19:00, do: click, customer: cam, campaign: waiting}
    expect: {others: allowed}
"""


SHORT = """\
clock: 2026-03-02T09:00
zone: Europe/Berlin
lasts: 2d
customers:
  ann: {consents: [promotions], activities: [{at: 2026-03-01T09:17, name: page_view}]}
  ben: {consents: [promotions]}
cases:
  short:
    apply: [abroad, away, waiting]
    steps:
      - {at: 2026-03-02T12:10, do: enrol, sequence: waiting, customer: ann}
      - {at: 2026-03-03T01:00, do: change, customer: ben, fields: {country: US}}
    expect: {others: allowed}
"""


@pytest.fixture
def play(make_workspace, database, monkeypatch):
    """
    Plays a case with these settings of the clock: what was found, and how many instants that took.
    """

    def played(case, **changes):
        workspace = make_workspace(database=database, files=WORKSPACE | LOOKED_AT | {"tests/one.yaml": case})
        clocks = []
        made = running._clock

        def make(*place):
            clocks.append(replace(made(*place), **changes))
            return clocks[-1]

        with monkeypatch.context() as patched:
            patched.setattr(running, "_clock", make)
            catalogue = files.load(workspace)
            (result,) = running.run(database, workspace, catalogue, load(workspace, catalogue))
        assert [] == findings(result)
        return result.found, clocks[0].instants

    return played


def test_looks_that_can_find_nothing_are_left_out(play):
    """
    A wait and a segment that turn with time, and one that somebody comes into by a change: the same messages, at the
    same minutes, by a third of the instants.
    """
    found, instants = play(SHORT)
    all_found, all_instants = play(SHORT, vain_looks=None)

    assert all_found == found
    assert ["waiting", "waiting", "abroad", "away"] == [message.campaign for message in found.messages]
    assert all_instants > 3 * instants


@pytest.mark.slow
def test_looks_that_are_left_out_would_have_found_nothing(play):
    """
    Segments and waits that turn with time, with what happens and with who entered before, beside one that counts days
    up to now, and may turn at any time: the same messages, at the same minutes, and the same passages.
    """
    found, instants = play(CASES)
    all_found, all_instants = play(CASES, vain_looks=None)

    assert all_found == found
    assert {"abroad", "away", "counted", "lapsed", "waiting"} == {message.campaign for message in found.messages}
    assert {"completed", "exited"} == {passage.state for passage in found.enrolments}
    assert all_instants > instants
