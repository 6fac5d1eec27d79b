"""What every room stands on: errors, ids, clock, settings, workspace, database and the schema."""
