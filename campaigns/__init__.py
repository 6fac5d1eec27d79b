"""Campaigns: from definition to plan to run to ledger.

What is written: `definition`, `rollout_file`, `catalogue` (all files), `kinds` (what there is beside mailings),
`versions` (pinned), `page_links`, `subject_labels`, `remarks`.
What would happen: `audience`, `duplicates`, `stages`, `timing`, `plan`, `planned` and `whole_plan` (with what stands
beside mailings), `outlook`, `preview`.
Carried out: `runs`, `rollout`, `recurring`, `control`; `transactional` (one person's), `posting` (many people's).
By itself: `duty` (what one is), `duties` (all of them).
The ledger: `states`, `ledger` (claims), `window` (hand-overs), `batches` (their end), `balance`.
One batch in a worker, in this order: `sending`, `journey`, `pacing`, `trip`, `journal`, on the connection of `line`;
`mailings`, `message_ids` and `enclosures` make its mails.
Beside sending: `attending`, with `inbox` (mails that came in), `notices` and `notice_post` (to employees), `tasks` (for
employees), `key_accounts` (whose owners get them).
Who must wait: `watch`, `turns`, `putting_off`, `holds`, `holding` (what plans say of it).
What did not go well: `refusals`, `retry_waits`, `never_left`; `doubts`, `reconcile`, `outcome_files`; `retry`, `again`.
Told: `status`, `waiting`, `why`, `reasons`, `particulars`, `presence`.
Rooms of their own: `sequences/`, `events/`, `inquiries/`, `surveys/`, `feedback/` (what comes back), `calendar/` (what
goes out when), `simulation/` (days to come), `workspace_tests/`; `commands/`, and `starter/` (a first workspace).
"""
