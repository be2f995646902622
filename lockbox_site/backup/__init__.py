"""Backups: one encrypted file with the database, the keys and the settings, and how an installation is restored."""

from __future__ import annotations


class BackupRefused(Exception):
    """Nothing was written. The text is one line for the operator: what is wrong, and what to do."""
