"""The schema's history: one file a revision in `versions/`, numbered, never edited once released.

`revision_NNNN/` holds the functions, triggers and views of a revision that brings many.
"""
