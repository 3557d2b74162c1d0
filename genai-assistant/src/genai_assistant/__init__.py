"""Answers questions in plain language with evidence that is checked."""
