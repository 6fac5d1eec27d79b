"""Campaigns: from definition to plan to run to ledger.

What is written: `definition`, `rollout_file`, `catalogue` (all files), `versions` (pinned), `remarks`.
What would happen: `audience`, `stages`, `timing`, `plan`, `outlook`, `preview`.
Carried out: `runs`, `rollout`, `control`, `transactional` (one person's).
The ledger: `states`, `ledger` (claims), `window` (hand-overs), `batches` (their end), `balance`.
One batch in a worker, in this order: `sending`, `journey`, `pacing`, `trip`, `journal`; `mailings`, `message_ids` and
`enclosures` make its mails.
Who must wait: `watch`, `putting_off`, `holding` (what plans say of it).
What did not go well: `refusals`, `retry_waits`, `never_left`; `doubts`, `reconcile`, `outcome_files`; `retry`, `again`.
Told: `status`, `waiting`, `why`, `presence`.
"""
