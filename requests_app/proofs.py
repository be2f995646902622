"""Whether what was entered is this person's: for the doors, which hear it. The operations are told when it was."""

from __future__ import annotations

from requests_app import clock, factors, guesses
from requests_app.models import Person


def is_this_person(person: Person, password: str, code: str, *, ip: str = "") -> bool:
    """Whether the password is theirs, and the code where they have a second factor. Raises TooMany.

    The code is looked at, and by that used up, only after a right password.
    """

    def look() -> bool:
        if not person.check_password(password):
            return False
        return not person.has_second_factor or factors.is_code(person, code, at=clock.now())

    return guesses.is_right(person, look, ip=ip)
