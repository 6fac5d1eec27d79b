"""Events: who comes, who waits, and the mails and calendar entries that tell them.

`definition` reads `events/*.yaml`; `planning` and `applying` bring them into the table `event`, with a pinned version
of each mail. `registering` is the way in for pages, the API, files and the command line: it gives and takes seats under
the event row's lock (`seats`), so that capacity is exact, and orders mails (`mails`) in the same transaction, with
calendar entries (`calendar_entry`) whose bytes are kept with their message. `afterwards` has what people and staff make
of a registration then, `looking_up` finds it. What happens by itself, such as offers that run out, reminders and
follow-ups, are `duties`.
"""
