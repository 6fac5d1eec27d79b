"""Sequences: customers pass through named steps, each at their own pace.

`definition` is the file, `steps` what its steps may do, `mistakes` what else can be wrong in one; `versions` pins a
sequence with everything it uses; `records` knows which were applied. `enrol` begins passages, `engine` carries them on,
a few statements for each step and none for each person; `duties` is what goes on by itself. `history` tells one
passage, `overview` all of them. What an edit of a live one does to people is in `edits`, `fates` and `telling`, and is
done by `applying` and `moves` (docs/live-edits.md).
"""
