"""Tracking: signed tokens, and the hits that come back."""
