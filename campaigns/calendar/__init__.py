"""The calendar: what goes out when, to how many, as far as it is known now.

`gathering` asks each source for its entries: runs and recurring campaigns (`mailings`), people who wait in sequences
(`passages`), events with their mails (`occasions`), and what employees owe by when (`deadlines`). `screen`, `page` and
`feed` show the same entries; `digest` mails them to the staff once a week. Nothing here writes but the digest.
"""
