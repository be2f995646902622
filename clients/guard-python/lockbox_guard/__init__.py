"""Puts an application behind its customer's approval. The README says how."""

from lockbox_guard.asgi import ASGIGuard
from lockbox_guard.guard import ANYBODY, Access, Guard
from lockbox_guard.lockbox import Refused
from lockbox_guard.visit import Cut, Rule, Visit
from lockbox_guard.wsgi import WSGIGuard

__all__ = ["ANYBODY", "ASGIGuard", "Access", "Cut", "Guard", "Refused", "Rule", "Visit", "WSGIGuard"]
