"""Rehearsals: the production engine on a virtual clock, in a copy of the database that is thrown away.

`world` makes the copy, `clock` goes from one thing to the next, `courier` hands over to nobody, `responses` answers for
the people, `compacting` takes away what was replaced, `figures` tells what would have happened.
"""
