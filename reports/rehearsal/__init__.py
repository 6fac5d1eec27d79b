"""Rehearsals on screen and as a page: what `campaigns.simulation` found out."""
