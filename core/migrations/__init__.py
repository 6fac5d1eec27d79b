"""The schema's history: one file a revision, numbered, never edited once released."""
