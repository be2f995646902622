"""What an event of a log means in OCSF: class, activity, severity and outcome. Has no side effects.

The log does not know the product. The application that writes the log declares the meanings of its events in
`settings.LOG_MEANINGS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

_NONE: dict[int, str] = {}


class Family(Enum):
    """The OCSF event classes that the log uses, each with its category and activities."""

    BASE = (0, "Base Event", 0, "Uncategorized", _NONE)
    LOG = (1008, "Event Log Activity", 1, "System Activity", {2: "Delete", 3: "Export"})
    ACCOUNT = (
        3001,
        "Account Change",
        3,
        "Identity & Access Management",
        {
            1: "Create",
            2: "Enable",
            3: "Password Change",
            4: "Password Reset",
            5: "Disable",
            10: "MFA Factor Enable",
            11: "MFA Factor Disable",
        },
    )
    ENTITY = (
        *(3004, "Entity Management", 3, "Identity & Access Management"),
        {1: "Create", 3: "Update", 4: "Delete", 8: "Enable", 9: "Disable"},
    )
    USER_ACCESS = (
        *(3005, "User Access Management", 3, "Identity & Access Management"),
        {1: "Assign Privileges", 2: "Revoke Privileges"},
    )
    API = (6003, "API Activity", 6, "Application Activity", _NONE)
    DATASTORE = (6005, "Datastore Activity", 6, "Application Activity", {1: "Read", 2: "Update", 4: "Query", 8: "List"})

    def __init__(self, uid: int, caption: str, category: int, category_caption: str, activities: dict[int, str]):
        self.uid, self.caption = uid, caption
        self.category, self.category_caption = category, category_caption
        self.activities = activities


class Severity(IntEnum):
    """The `severity_id` of OCSF."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4

    @property
    def of_ten(self) -> int:
        """The severity on CEF's scale: 0 to 3 is low, 4 to 6 is medium, 7 and 8 are high."""
        return {1: 1, 2: 3, 3: 5, 4: 8}[self.value]


class Action(IntEnum):
    """The `action_id` of OCSF's profile security_control."""

    ALLOWED = 1
    DENIED = 2


OTHER = 99


@dataclass(frozen=True)
class Meaning:
    """The meaning of one event. If OCSF has no number for the activity, `name` is the activity's name.

    `by_action` maps a value of `action` in the entry's detail to the meaning that then applies instead.
    """

    family: Family
    activity: int = OTHER
    name: str = ""
    severity: Severity = Severity.INFORMATIONAL
    action: Action | None = None
    is_decision: bool = False
    has_failed: bool = False
    by_action: tuple[tuple[str, Meaning], ...] = ()

    @property
    def activity_name(self) -> str:
        return self.name or self.family.activities.get(self.activity, "Other")


CREATED, UPDATED = (Meaning(Family.ENTITY, activity) for activity in (1, 3))
