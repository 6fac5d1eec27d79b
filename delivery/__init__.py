"""Delivery: message bytes, and the transports that carry them.

`message_bytes/` writes mails, `dkim/` signs them, `smtp/` hands them over; `bounce_classes` says what a refusal means.
`routes` chooses the transport, `breaker` and `holds` keep faulty ones out, `throttles/` says how fast.
`greeting` and `overview` show transports to people, `postfix_log/` reads what a mail server wrote down.
"""
