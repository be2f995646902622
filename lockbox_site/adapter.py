"""What this product changes in allauth's sign-in."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """People are added by their administrator or by staff; nobody signs up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False
