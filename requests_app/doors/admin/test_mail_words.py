"""The result of a test mail in words: what the server answered, and what to do about it."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.messages.mails.trial import Answer

#: What each problem means, and what to do. The keys are the codes of messages.mails.trial.
PROBLEMS: dict[str, Promise] = {
    "no_such_host": gettext_lazy("There is no server with the name in {place}. Check the name in EMAIL_URL."),
    "refused": gettext_lazy(
        "Nothing accepts connections at {place}. Check the port in EMAIL_URL, and that the server runs."
    ),
    "timeout": gettext_lazy(
        "{place} did not answer in time. Often a firewall blocks the way: allow connections from this server to it."
    ),
    "network": gettext_lazy("There is no way to {place} in the network. Check this server’s network and firewall."),
    "certificate_name": gettext_lazy(
        "The certificate of {place} is for another name. Use the name in the certificate in EMAIL_URL."
    ),
    "certificate_issuer": gettext_lazy(
        "No certificate authority that this server trusts made the certificate of {place}. If it is your own "
        "authority, put its certificate into a file, and the file’s path into the setting SSL_CERT_FILE."
    ),
    "certificate": gettext_lazy(
        "{place} has a certificate that is not valid, for example because it has expired. Replace the certificate, or "
        "the one of its authority."
    ),
    "tls": gettext_lazy("{place} uses no TLS on this port. Check the port in EMAIL_URL, and smtp+tls or smtp+ssl."),
    "no_tls": gettext_lazy(
        "{place} offers no STARTTLS. In EMAIL_URL, use another port, or smtp+ssl in place of smtp+tls."
    ),
    "login": gettext_lazy("{place} refused the login. Check the user name and the password in EMAIL_URL."),
    "no_login": gettext_lazy("{place} offers no login. Remove user name and password from EMAIL_URL, or use TLS."),
    "greeting": gettext_lazy(
        "{place} refused this server before the mail. Allow this server’s address at the mail server."
    ),
    "sender": gettext_lazy(
        "{place} refused the sender. Set DEFAULT_FROM_EMAIL to an address from which this login is allowed to send."
    ),
    "recipient": gettext_lazy(
        "{place} refused your address {to}. Check your address, and that this login is allowed to send to it."
    ),
    "content": gettext_lazy("{place} refused the mail itself. Often the sender in DEFAULT_FROM_EMAIL is not allowed."),
    "ended": gettext_lazy("{place} ended the connection before it accepted the mail. Try again, then read its log."),
    "characters": gettext_lazy("{place} does not support all characters of your address {to}."),
    "file": gettext_lazy("The mail could not be written to {place}. Check the permissions of this folder."),
}


def outcome(answer: Answer) -> str:
    names = {"place": answer.place, "to": answer.to}
    if answer.problem:
        return f"{str(PROBLEMS[answer.problem]).format(**names)}{_server_words(answer)}"
    if answer.is_file:
        return _("There is no mail server. The mail for {to} is a file in the folder {place}.").format(**names)
    return _("{place} accepted the mail. Check that it arrives at {to}.").format(**names) + _server_words(answer)


def _server_words(answer: Answer) -> str:
    """Return the server's own words, if there are any."""
    words = " ".join(filter(None, [str(answer.code or ""), answer.text]))
    return " " + _("The server’s answer: %(answer)s") % {"answer": words} if words else ""
