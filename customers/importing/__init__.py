"""Files become customers, purchases, activities, consents and suppressions; repeating an import changes nothing.

The way of a row: `readers` number it, `fields` say which cell is what, one of the kinds (`customers`,
`purchases`, `events`, `consents`, `suppressions`) checks it and copies it into a temporary table, and
set-based statements carry that table over. What cannot be imported goes to the rejects file with its reason.
"""
