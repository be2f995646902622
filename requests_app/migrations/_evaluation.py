"""Gives the SQL of the decision point's function as it was before a migration.

The newest migration that changes the function has it in full. Each earlier one names what it changed.
"""

from __future__ import annotations


def before(evaluation: str, changes: dict[str, str]) -> str:
    """Return the function without these changes: each new text, which occurs once, and the text before it."""
    for new, old in changes.items():
        if evaluation.count(new) != 1:
            raise ValueError(f"This is not in the function once: {new}")
        evaluation = evaluation.replace(new, old)
    return evaluation
