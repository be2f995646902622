"""How people sign in: passwords, second factors, and the library allauth."""

AUTH_USER_MODEL = "requests_app.Person"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "requests_app.platform.hashing.Argon2PasswordHasher",
    "requests_app.platform.hashing.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "requests_app.identity.passwords.NothingNear"},
    {"NAME": "requests_app.identity.passwords.NotGuessedSoon"},
    {"NAME": "requests_app.identity.passwords.NotStolen"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "account_login"

ACCOUNT_ADAPTER = "lockbox_site.adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
# Mails about passwords are sent through the outbox, with the change.
ACCOUNT_EMAIL_NOTIFICATIONS = False
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_SESSION_REMEMBER = False
# The product has its own step-up, and the operations require it.
ACCOUNT_REAUTHENTICATION_REQUIRED = False
# The library counts in the cache, which may lose entries. The product counts in the database (guesses.py).
ACCOUNT_RATE_LIMITS = False
ACCOUNT_FORMS = {
    "reset_password": "lockbox_site.forms.ResetPasswordForm",
    "change_password": "lockbox_site.forms.ChangePasswordForm",
}
# The link is made when the mail is sent, with Django's own tokens.
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "requests_app.platform.reset_links.ResetLinks"  # noqa: S105 - a name
PASSWORD_RESET_TIMEOUT = 24 * 3600

MFA_ADAPTER = "lockbox_site.adapter.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {"authenticate": "lockbox_site.forms.CodeForm"}
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_USER_VERIFICATION = "required"
MFA_RECOVERY_CODE_COUNT = 10
MFA_RECOVERY_CODE_DIGITS = 10
