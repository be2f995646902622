"""The rules, as pure functions and data: acts, states, errors, policy, limits. Reads no row."""
