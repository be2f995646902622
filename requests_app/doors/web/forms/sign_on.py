"""The forms of single sign-on: the email address at the sign-in, and the administrator's settings of the connection."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.domain.ids import IdField
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.identity.sso.saml.documents import MOST_METADATA
from requests_app.models import Membership, Person, SignOn

#: The most characters of a certificate in PEM. One of a thousand bytes is usual.
MOST_CERTIFICATE = 10_000
_PLAIN = forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})


class AddressForm(StrictForm):
    email = forms.EmailField(
        label=gettext_lazy("Your email address at work"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username"}),
    )
    next = forms.CharField(required=False, max_length=500, widget=forms.HiddenInput())


class NextForm(StrictForm):
    next = forms.CharField(required=False, max_length=500)


class SignOnForm(StrictForm):
    """The settings of the connection. `shown` is the time of the last change before the page was shown."""

    other_names = {"break_glass": "break_glass_id"}
    protocol = SignOn.Protocol.OIDC

    issuer = forms.CharField(
        label=gettext_lazy("Issuer"),
        help_text=gettext_lazy("Exactly as your identity provider writes it: https://…"),
        max_length=300,
        widget=_PLAIN,
    )
    client_id = forms.CharField(label=gettext_lazy("Client id"), max_length=254, widget=_PLAIN)
    client_secret = forms.CharField(
        label=gettext_lazy("Client secret"),
        help_text=gettext_lazy(
            "The secret is stored encrypted, and nobody can see it. Leave the field empty to keep the current secret."
        ),
        max_length=500,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    scopes = forms.CharField(label=gettext_lazy("Scopes"), max_length=200, widget=_PLAIN)
    key_claim = forms.CharField(
        label=gettext_lazy("Claim that holds the id in the directory"),
        help_text=gettext_lazy(
            "If your directory manages people with SCIM, enter the claim that has the same value as externalId. In "
            "Entra ID, this claim is oid."
        ),
        max_length=80,
        widget=_PLAIN,
    )
    groups_claim = forms.CharField(
        label=gettext_lazy("Claim that lists the groups"),
        help_text=gettext_lazy("If this is empty, roles are given only on the pages of Customer Lockbox."),
        max_length=80,
        required=False,
        widget=_PLAIN,
    )
    role_map = forms.CharField(
        label=gettext_lazy("Roles by group"),
        help_text=gettext_lazy(
            "Write one line for each group: the group, an equals sign, and a role. The role is member, approver, "
            "auditor or administrator. Each sign-in gives or takes away the roles that are named in these lines. The "
            "last approver and the last administrator keep their roles."
        ),
        max_length=20_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
    )
    newcomer_role = forms.ChoiceField(
        label=gettext_lazy("People of your verified domains who have no account here"),
        help_text=gettext_lazy(
            "An account is made only for an address that nobody has used here. It can’t approve, deny or manage "
            "anything, unless a line above gives its group such a role."
        ),
        choices=[
            ("", gettext_lazy("can’t sign in")),
            ("member", gettext_lazy("get an account when they first sign in, as a member")),
            ("auditor", gettext_lazy("get an account when they first sign in, as an auditor, who can read the log")),
        ],
        required=False,
    )
    is_on = forms.BooleanField(label=gettext_lazy("People can sign in with single sign-on"), required=False)
    is_only = forms.BooleanField(
        label=gettext_lazy("People can sign in only with single sign-on"),
        help_text=gettext_lazy(
            "Then your people’s passwords no longer work here. Links to set a password don’t work either."
        ),
        required=False,
    )
    break_glass_id = forms.TypedChoiceField(
        label=gettext_lazy("Who can sign in without the identity provider"),
        help_text=gettext_lazy(
            "An administrator with a password of their own, in case your identity provider does not answer. Each "
            "such sign-in is in the log, and your approvers and administrators get a mail."
        ),
        required=False,
        empty_value=None,
    )
    shown = forms.DateTimeField(required=False, widget=forms.HiddenInput())

    def __init__(self, *args: Any, row: SignOn | None, people: list[Person], **kwargs: Any) -> None:
        kwargs.setdefault("initial", _initial_of(row, self.protocol))
        super().__init__(*args, **kwargs)
        choices = [("", _("Nobody")), *((str(each.pk), f"{each.name} ({each.email})") for each in people)]
        self.offer("break_glass_id", choices)

    def clean_client_secret(self) -> str:
        # A browser also sends an empty field. If the field is missing, somebody typed a secret, which was not stored
        # while they confirmed. So a missing field must not count as an empty field.
        if self.add_prefix("client_secret") not in self.data:
            raise forms.ValidationError(
                _("What you entered here was not saved. Enter it again, or leave the field empty.")
            )
        return str(self.cleaned_data["client_secret"])

    def clean_role_map(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in filter(None, (each.strip() for each in self.cleaned_data["role_map"].splitlines())):
            group, equals, role = (part.strip() for part in line.rpartition("="))
            if not (equals and group) or role not in Membership.Role.values:
                raise forms.ValidationError(
                    _("Write a group, an equals sign and a role in this line: %(line)s") % {"line": line[:80]}
                )
            found[group] = role
        return found


class SamlForm(SignOnForm):
    """The settings of a SAML connection."""

    protocol = SignOn.Protocol.SAML

    # Django's way to leave out a field of the class above.
    issuer = None  # type: ignore[assignment]  # see above
    client_id = None  # type: ignore[assignment]  # see above
    client_secret = None  # type: ignore[assignment]  # see above
    scopes = None  # type: ignore[assignment]  # see above

    metadata_url = forms.CharField(
        label=gettext_lazy("Address of the identity provider’s metadata"),
        help_text=gettext_lazy("https://… The address is read again every hour, or earlier if the metadata says so."),
        max_length=300,
        required=False,
        widget=_PLAIN,
    )
    metadata_file = forms.FileField(
        label=gettext_lazy("Or the metadata file"),
        help_text=gettext_lazy("An XML file of at most 256 kB, as your identity provider lets you download it."),
        required=False,
        widget=forms.FileInput(attrs={"accept": ".xml,application/xml,text/xml,application/samlmetadata+xml"}),
    )
    metadata = forms.CharField(
        label=gettext_lazy("Or the text of the metadata file"),
        help_text=gettext_lazy(
            "Paste the whole XML file. If address, file and text are empty, the stored metadata stays, and no address "
            "is read any more."
        ),
        max_length=MOST_METADATA,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off"}),
    )
    metadata_signer = forms.CharField(
        label=gettext_lazy("Certificate that signs the metadata"),
        help_text=gettext_lazy(
            "Enter it if your identity provider signs its metadata. Then only metadata with this signature is used, "
            "and all its keys can change at once. If this is empty, the address is trusted."
        ),
        max_length=MOST_CERTIFICATE,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocomplete": "off"}),
    )
    email_claim = forms.CharField(
        label=gettext_lazy("Attribute with the email address"),
        help_text=gettext_lazy(
            "At the first sign-in, this address finds the person, if you have verified its domain. Enter the attribute "
            "only if people can’t change its value themselves. If it is empty, only the id in the directory counts."
        ),
        max_length=80,
        required=False,
        widget=_PLAIN,
    )
    key_claim = forms.CharField(
        label=gettext_lazy("Attribute with the id in the directory"),
        help_text=gettext_lazy(
            "If your directory manages people with SCIM, enter the attribute that has the same value as externalId. If "
            "it is empty, the NameID is compared with externalId."
        ),
        max_length=80,
        required=False,
        widget=_PLAIN,
    )
    groups_claim = forms.CharField(
        label=gettext_lazy("Attribute with the groups"),
        help_text=gettext_lazy("If this is empty, roles are given only on the pages of Customer Lockbox."),
        max_length=80,
        required=False,
        widget=_PLAIN,
    )
    is_proof = forms.BooleanField(
        label=gettext_lazy("A new sign-in at the identity provider also confirms acts"),
        help_text=gettext_lazy(
            "Warning: anybody who controls your identity provider can then also confirm acts as any of your people, "
            "without the second factor that the person has here. Acts that need the person’s passkey still need it."
        ),
        required=False,
    )
    field_order = (
        *("metadata_url", "metadata_file", "metadata", "metadata_signer", "email_claim", "key_claim"),
        *("groups_claim", "role_map", "newcomer_role", "is_on", "is_only", "is_proof", "break_glass_id", "shown"),
    )

    def clean(self) -> dict[str, Any]:
        """Use the text of the file in place of the text field."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        file = found.pop("metadata_file", None)
        if file is None:
            return found
        if found.get("metadata", "").strip():
            self.add_error("metadata", _("Choose a file or paste its text, not both."))
        elif file.size > MOST_METADATA:
            self.add_error(
                "metadata_file", _("This file is too long. The metadata of one identity provider is shorter.")
            )
        else:
            try:
                found["metadata"] = file.read().decode("utf-8")
            except UnicodeDecodeError:
                self.add_error("metadata_file", _("This is not an XML file in UTF-8."))
        return found


class KeyForm(StrictForm):
    """The button that renews the key. `had` is how many keys the page showed."""

    had = forms.IntegerField(min_value=1, max_value=2, widget=forms.HiddenInput())


class DomainForm(StrictForm):
    name = forms.CharField(
        label=gettext_lazy("Domain"),
        help_text=gettext_lazy("For example: example.com"),
        max_length=253,
        widget=_PLAIN,
    )


class DomainActForm(StrictForm):
    """The two buttons beside a domain."""

    check_domain = IdField(required=False)
    remove_domain = IdField(required=False)


def _initial_of(row: SignOn | None, protocol: str) -> dict[str, Any]:
    """Return the values of the form. If the connection uses another protocol, only its rules are shown."""
    new = {"scopes": "openid profile email", "key_claim": "sub"} if protocol == SignOn.Protocol.OIDC else {}
    if row is None:
        return new
    shown = _initial(row)
    if row.protocol != protocol:
        return new | {name: shown[name] for name in ("role_map", "newcomer_role", "is_only", "break_glass_id", "shown")}
    return shown


def _initial(row: SignOn) -> dict[str, Any]:
    return {
        "metadata_url": row.metadata_url,
        "metadata_signer": row.metadata_signer,
        "email_claim": row.email_claim,
        "is_proof": row.is_proof,
        "issuer": row.issuer,
        "client_id": row.client_id,
        "scopes": row.scopes,
        "key_claim": row.key_claim,
        "groups_claim": row.groups_claim,
        "role_map": "\n".join(f"{group} = {role}" for group, role in row.role_map.items()),
        "newcomer_role": row.newcomer_role,
        "is_on": row.is_on,
        "is_only": row.is_only,
        "break_glass_id": str(row.break_glass_id or ""),
        # This is text because a form field would cut off the fractions of the second.
        "shown": row.changed_at.isoformat(),
    }
