"""A survey with a question of each kind, for tests."""

SURVEY = """\
title: {en: "How do you like us?", de: "Wie gefallen wir Ihnen?"}
intro: {en: Three questions}
questions:
  likely:
    ask: {en: "How likely is it that you recommend us?", de: "Wie wahrscheinlich empfehlen Sie uns?"}
    kind: rating
    lowest: {en: not at all}
    highest: {en: certainly}
  liked:
    ask: {en: "What did you like?"}
    kind: choices
    choices: {price: {en: The price}, paper: {en: The paper}, service: {en: The service}}
  why: {ask: {en: "Why?"}, kind: text, max_length: 200}
"""
FILES = {"surveys/nps.yaml": SURVEY}
