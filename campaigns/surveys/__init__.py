"""Surveys: what customers are asked, and what they answered.

`definition` (one file), `files` (all of surveys/), `reading` (answers as a page gives them), `answering` (written down,
and known to segments). What they come to is told by `reports/surveys/`.
"""
