"""People and firms we know: how they come in, who they are, and what they are worth."""
