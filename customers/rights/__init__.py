"""What people may ask for: all that is kept about them, and that it is erased. And how long anything is kept.

Both walk the schema (`ties`), so that a table made later is in the export, and emptied of them, without a word here.
"""
