"""Surveys: what customers are asked, and what they answered.

`definition` and `files` (of surveys/), `reading` (answers as a page or a program gives them), `answering` (written
down, and known to segments), `figures` (told by `commands`).
"""
