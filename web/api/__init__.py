"""The HTTP API at `/api/v1`, for programs: each call is committed before it is answered.

`commands` makes the keys. `callers` knows who shows one, and how often they may call; `calls` takes one call through it
all, once for each `Idempotency-Key`; `answers` is the one shape of answers and refusals. `bodies` is what the bodies of
several calls are made of; `activities`, `enrolments`, `registrations` and `inquiries` are the calls. `routes` has their
addresses and says what each answers, `openapi` makes the description of it.
"""
