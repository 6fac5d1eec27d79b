"""The demo: an office-supplies dealer, an inbox and an audience that answers."""
