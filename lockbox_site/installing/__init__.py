"""Sets up an installation: asks for its settings, tests each answer, and prepares the data directory and the database.

Nothing here may import Django's settings before the settings are written.
"""
