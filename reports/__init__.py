"""Reports: what came back, in figures and pictures."""
