"""Delivery: message bytes, and the transports that carry them."""
