"""Suppression: consent, opt-outs, and the one gate every message passes."""
