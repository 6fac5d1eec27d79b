"""Customers: imported, cleaned, measured and ranked."""
