"""Files as people have them: any delimiter, any common encoding, packed or not, turned into numbered rows."""
