"""What customers answered to surveys.

`figures` (counted), with `intervals` (how far they can be trusted); shown by `screen` and `page`, with every answer
written out by `texts`; asked for by `commands`.
"""
