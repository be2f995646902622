"""Puts an application behind its customer's approval. The README says how."""

from lockbox_guard.guard import ANYBODY, Access, Guard
from lockbox_guard.lockbox import Refused
from lockbox_guard.middleware import ASGIGuard, WSGIGuard
from lockbox_guard.visit import Cut, Rule, Visit

__all__ = ["ANYBODY", "ASGIGuard", "Access", "Cut", "Guard", "Refused", "Rule", "Visit", "WSGIGuard"]
