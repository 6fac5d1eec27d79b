"""The commands about campaigns, from an empty folder to an answered `why`."""
