"""`tests/*.yaml` of a workspace: who is given, what happens when, and what is expected to go to whom.

`definition` is the file, `loading` reads and checks all of them, `given` makes the people, `doing` what happens,
`running` plays a case through in an empty shadow of the database, `expecting` compares.
"""
