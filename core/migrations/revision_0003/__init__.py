"""The functions, triggers and the view of revision 0003, a file for each purpose; frozen with it.

What each of them is for `core/schema_code.py` says, and so does its comment in the database. A later revision that
changes one of them brings the new text itself.
"""
