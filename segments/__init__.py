"""Segments: one expression language, compiled to one SQL statement."""
