"""Inquiries: what people ask is acknowledged, becomes somebody's task, has a deadline, and escalates when it is missed.

`receiving` (from a form, a mail, the API), `owners` (whose it is), `office_hours` (by when), `letters` (what employees
read), `acknowledging`; `ending` (answered or dropped), `calling` (call-backs), `by_mail` (inbound); `escalating`,
`digest`: what happens by itself (`duties`).
"""
