"""The files of a transactional campaign, beside those of a broadcast."""

from tests.campaign_files import FILES as BULK_FILES

CAMPAIGN = """\
kind: transactional
description: What was ordered, said back at once
send: {template: receipt.html, from: offers}
limits: {valid_for: 2h}
"""
TEMPLATE = """\
---
subject: "Order {{ given.order_number }}"
---
<html><body>
<p>Good morning {{ customer.first_name or "there" }},</p>
<p>thank you for order {{ given.order_number }} over {{ given.total }}.</p>
</body></html>
"""
FILES = BULK_FILES | {"campaigns/receipt.yaml": CAMPAIGN, "templates/receipt.html": TEMPLATE}
