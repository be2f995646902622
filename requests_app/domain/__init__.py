"""The rules, as pure functions and data: acts, states, errors, policy, limits.

Nothing here reads a row of the database.
"""
