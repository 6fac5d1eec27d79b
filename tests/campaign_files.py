"""The files of a small campaign, for tests that need one whole."""

SEGMENT = """\
description: Everybody with an account
where: external_id != ""
"""
TEMPLATE = """\
---
subject: "Paper for {{ customer.company or 'you' }}"
preheader: Ten boxes
---
<html><body>
<p>Good morning {{ customer.first_name or "there" }},</p>
<p><a href="https://paper.example/spring">See the offer</a></p>
</body></html>
"""
CAMPAIGN = """\
kind: broadcast
topic: promotions
audience: {segment: everybody}
send: {template: spring-paper.html, from: offers}
goal: {event: purchase, within: 14d}
"""
FILES = {
    "segments/everybody.yaml": SEGMENT,
    "templates/spring-paper.html": TEMPLATE,
    "campaigns/spring-paper.yaml": CAMPAIGN,
    # Not used: its folder has the name of one of Clarion's own modules, which must not be found there.
    "templates/layouts/plain.html": "{% block content %}{% endblock %}\n",
}


def campaign_file(**changes: str) -> str:
    """The campaign file with top-level lines replaced or added: `campaign_file(schedule="{at: …}")`."""
    lines = [line for line in CAMPAIGN.splitlines() if line.split(":")[0] not in changes]
    return "\n".join([*lines, *(f"{key}: {value}" for key, value in changes.items())]) + "\n"
