"""Workers: Celery, the scheduler, and what starts them. No rule is decided here."""
