"""Adapts the sign-in of the library allauth to this product."""

from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.errors import Busy
from requests_app.doors.web._step_up import remember_sign_in
from requests_app.doors.web.middleware import actor_in
from requests_app.identity import factors, guesses
from requests_app.models.invitations import came_by_copied_link
from requests_app.models.row_security import own_account
from requests_app.platform import hashing
from requests_app.queries import actor_of

security_log = structlog.get_logger("security")


class AccountAdapter(DefaultAccountAdapter):
    """Allows no sign-up, because administrators and staff add people.

    Checks passwords as the product demands.
    """

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": gettext_lazy("The email address or the password is not correct."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Count the attempt, then check the password. The library's own limits are off (`ACCOUNT_RATE_LIMITS`).

        If too many other passwords are being checked at this moment, this one is neither checked nor counted.
        """
        with hashing.place_of_a_stranger():
            return self._authenticate_counted(request, **credentials)

    def _authenticate_counted(self, request: HttpRequest, **credentials: Any) -> Any:
        ip = request.META.get("REMOTE_ADDR", "")
        attempt = guesses.at_sign_in(credentials.get("email", ""), ip)
        if not attempt.count():
            security_log.warning("sign_in.limited", ip=ip)
            raise forms.ValidationError(str(attempt.refusal), code="too_many_login_attempts")
        try:
            user = super().authenticate(request, **credentials)
        except Busy:
            attempt.give_back()
            raise
        if user is not None:
            attempt.give_back()
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Log the failure, but not the entered address: people sometimes enter their password there by mistake."""
        security_log.warning("sign_in.failed", ip=request.META.get("REMOTE_ADDR", ""))

    def set_password(self, user: Any, password: str) -> None:
        """Change the password through the operation, which also writes the audit entry and the mail."""
        match = self.request.resolver_match
        is_reset = match is not None and match.url_name == "account_reset_password_from_key"
        ip, request_id = self.request.META.get("REMOTE_ADDR", ""), getattr(self.request, "request_id", "")
        since = None if is_reset else actor_in(self.request).stepped_up_at
        actor = actor_of(user, door="pages", stepped_up_at=since, request_id=request_id, ip=ip)
        actor = actor.sending(getattr(self.request, "once", None))
        with own_account():
            person = operations.set_password(actor=actor, password=password, how="reset" if is_reset else "change")
        if is_reset:
            guesses.forgive_sign_in(person.email)
        # The library continues with its own copy of the row.
        user.password = person.password

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> Any:
        """Refuse a person who must use single sign-on, even if a passkey was right."""
        if user.signs_in_elsewhere():
            security_log.warning("sign_in.elsewhere", user_id=str(user.pk))
            return redirect("web:sso")
        if user.email_verified_at is None and not came_by_copied_link(user):
            return self._ask_to_verify(request, user)
        return super().pre_login(request, user, **kwargs)

    def login(self, request: HttpRequest, user: Any) -> None:
        if user.passes_single_sign_on_by():
            ip, request_id = request.META.get("REMOTE_ADDR", ""), getattr(request, "request_id", "")
            operations.note_bypass(actor=actor_of(user, door="pages", request_id=request_id, ip=ip))
        super().login(request, user)
        security_log.info("sign_in.done", user_id=str(user.pk), ip=request.META.get("REMOTE_ADDR", ""))
        remember_sign_in(request)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Never send a mail during a request: the time that sending takes would reveal who has an account."""
        raise NotImplementedError

    def _ask_to_verify(self, request: HttpRequest, user: Any) -> HttpResponse:
        """Refuse a sign-in with an unverified address, and mail a link to the address.

        With the link, a password can be set.
        """
        ip = request.META.get("REMOTE_ADDR", "")
        security_log.info("sign_in.unverified", user_id=str(user.pk))
        if guesses.at_reset(user.email, ip).count():
            request_id = getattr(request, "request_id", "")
            operations.ask_for_reset(email=user.email, actor=Actor.stranger(door="pages", request_id=request_id, ip=ip))
        return render(request, "account/unverified.html", status=403)


class SecondFactorAdapter(DefaultMFAAdapter):
    """Encrypts stored secrets, and binds passkeys to the site that the operator's settings name."""

    def is_mfa_enabled(self, user: Any, types: Any = None) -> bool:
        """Return whether the person has a second factor. The domain's rules decide this, and not the library's rows."""
        return bool(user.is_authenticated and user.has_second_factor)

    def encrypt(self, text: str) -> str:
        return factors.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return factors.opened(encrypted_text)

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        return {"id": settings.PASSKEY_RP_ID, "name": f"{settings.PROVIDER_NAME} Customer Lockbox"}

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send nothing here: the operation that changes a second factor writes its mail to the outbox."""
