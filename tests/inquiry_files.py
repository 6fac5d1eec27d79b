"""A workspace with desks and employees, for tests of inquiries."""

from typing import Any

from tests.conftest import MINIMAL_SETTINGS
from tests.transactional_files import FILES as TRANSACTIONAL_FILES

ACKNOWLEDGEMENT = """\
kind: transactional
send: {template: received.html, from: offers}
"""
TEMPLATE = """\
---
subject: "We received your question ({{ given.number }})"
---
<html><body><p>{{ given.desk }}: we answer by {{ given.due_date }} {{ given.due_time }}.</p></body></html>
"""
FILES = TRANSACTIONAL_FILES | {"campaigns/received.yaml": ACKNOWLEDGEMENT, "templates/received.html": TEMPLATE}

STAFF = """\
staff:
  anna: {{name: Anna Ash, email: anna@paper.example, deputy: dan}}
  ben: {{name: Ben Birch, email: ben@paper.example}}
  cora: {{name: Cora Cedar, email: cora@paper.example, deputy: dan}}
  dan: {{name: Dan Date, email: dan@paper.example}}
"""
#: Work from nine to five, Monday to Friday, in Berlin; four hours to answer, then two levels.
DESKS = """\
inquiries:
  sales:
    title: {{en: Ask sales, de: Fragen Sie uns}}
    fields:
      subject_area: {{label: {{en: About}}, kind: choice, choices: {{paper: {{en: Paper}}, ink: {{en: Ink}}}}}}
    ask_for: [first_name, last_name, phone]
    owner: anna
    owners:
      - {{where: {{subject_area: [ink]}}, owner: ben}}
      - {{country: [FR], owner: cora}}
    deadline: 4h
    office_hours: {{from: "09:00", to: "17:00", zone: Europe/Berlin, country: DE}}
    escalation:
      - {{after: 2h, to: ben}}
      - {{after: 8h, to: cora}}
    acknowledge: received
    addresses: [sales@paper.example]
    tagged: true
"""
SETTINGS = MINIMAL_SETTINGS + STAFF + DESKS + "tasks: {{digest: {{at: '07:30', zone: Europe/Berlin}}, nobodys: dan}}\n"


def settings(*changes: tuple[str, str]) -> str:
    """The settings with texts replaced; each has to be there."""
    text = SETTINGS
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def asked(**values: Any) -> Any:
    """An inquiry at the desk `sales` by form."""
    from campaigns.inquiries.receiving import NewInquiry, Source

    given = {
        "key": "form:1", "desk": "sales", "source": Source.FORM, "subject": "Boxes", "content": "How many fit?",
        "email": "reader@customers.example",
    }  # fmt: skip
    return NewInquiry(**(given | values))
