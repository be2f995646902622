"""Examines an installation: what was found, and what to do. `customer-lockbox doctor` prints it."""
