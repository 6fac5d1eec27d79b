"""Events: who comes, who waits, and the mails and calendar entries that tell them.

From a file to an event: `definition` is what `events/*.yaml` may say, `files` reads them and names their mistakes,
`weighing` those of texts that no mail could hold. `pinning` pins what a file says and sends, `planning` compares it
with the event that is `held` in the database, `planned` tells the plan, and `applying` carries it out.

Coming: `registering` is the way in for pages, the API, lists (`importing`) and staff. It takes what people say to the
fields of the form (`answers`), gives `seats` under the event row's lock, so that capacity is exact, and orders mails in
the same transaction. `states` are what a registration may be; `afterwards` has what people and staff make of one then,
and `activities` keeps on record what they did, for segments and sequences.

Telling: `mails` knows what each mail is given and which are joined, `wording` says when and where, `calendar_entry`
writes the entry, whose bytes are kept with the message, `invitation` brings it into the mail, and `taking_back` stops
what was overtaken before it left. `calendar_replies` reads what calendars answer.

What happens by itself are the `duties`, an event at a time (`in_turn`): `telling` of changes, `offering` freed seats,
`reminding`, and `settling` who came.

Looking: `looking_up` finds one registration for pages and programs, `listing` all of them for `commands`, and `guests`
writes them as a table.
"""
