"""The HTTP API at `/api/v1`, for programs: each call is committed before it is answered.

`callers` knows who calls, and how often they may; `answers` is the one shape of answers and refusals; `calls` takes one
call through it all, once for each `Idempotency-Key`; `bodies` is what several calls are made of. `activities`,
`enrolments`, `registrations` and `inquiries` are the calls, `routes` has their addresses, `openapi` describes them.
"""
