"""Campaigns: from definition to plan to run to ledger."""
