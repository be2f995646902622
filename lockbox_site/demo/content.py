"""The content of the demo world: lists its mailboxes and libraries, and writes them to disk."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lockbox_site.demo import _libraries, _mailboxes

EXCHANGE, SHAREPOINT = "exchange-online", "sharepoint-online"


class DemoResource(NamedTuple):
    """One resource of the demo world."""

    tenant: str
    service: str
    kind: str
    name: str
    locator: str


@dataclass(frozen=True)
class _Tenant:
    """The content of one tenant.

    A mailbox is (local part, display name, name of a script with its mails). A library is (folder, name). The
    other fields contain the words that replace the names in braces in a script.
    """

    slug: str
    name: str
    mailboxes: tuple[tuple[str, str, str], ...]
    libraries: tuple[tuple[str, str], ...]
    colleagues: dict[str, str]  # role in a script: name
    partners: dict[str, tuple[str, str, str]]  # role: (company, domain, name of a person there)
    words: dict[str, str] = field(default_factory=dict)


_TENANTS = (
    _Tenant(
        "contoso",
        "Contoso",
        (
            ("finance", "Contoso Finance", "finance"),
            ("alex.wilber", "Alex Wilber", "person"),
            ("sales", "Contoso Sales", "sales"),
        ),
        (("legal", "Legal documents"), ("projects", "Project documents")),
        {"colleague": "Mia Weber", "boss": "Ada Keller", "person": "Alan Fischer"},
        {
            "partner": ("Adatum", "adatum.example", "Clara Voss"),
            "supplier": ("Litware Paper", "litware.example", "Jürgen Maß"),
            "customer": ("Fourth Coffee", "fourthcoffee.example", "Rosa Alvarez"),
            "auditor": ("Proseware Audit", "proseware.example", "Henrik Sand"),
        },
        {"currency": "EUR", "product": "desk lamp L4", "n": "2026"},
    ),
    _Tenant(
        "fabrikam",
        "Fabrikam",
        (
            ("support", "Fabrikam Support", "support"),
            ("sales", "Fabrikam Sales", "sales"),
            ("payables", "Fabrikam Accounts Payable", "finance"),
        ),
        (("engineering", "Engineering documents"),),
        {"colleague": "Fred Marsh", "boss": "Frida Olsen", "person": "Fatima Zahra"},
        {
            "partner": ("Tailspin Toys", "tailspin.example", "Ben Lowell"),
            "supplier": ("Lucerne Castings", "lucerne.example", "Chloé Dubois"),
            "customer": ("Wide World Importers", "wideworld.example", "Grace Adeyemi"),
            "auditor": ("Proseware Audit", "proseware.example", "Irene Falk"),
        },
        {"currency": "USD", "product": "controller 7731", "n": "FB26"},
    ),
    _Tenant(
        "northwind",
        "Northwind",
        (("orders", "Northwind Orders", "sales"), ("info", "Northwind Service Desk", "support")),
        (("sales", "Sales documents"),),
        {"colleague": "Nora Quinn", "boss": "Nils Berg", "person": "Nadia Rossi"},
        {
            "partner": ("Coho Vineyard", "coho.example", "Kenji Mori"),
            "supplier": ("Trey Packaging", "trey.example", "Lena Orlova"),
            "customer": ("Margie's Travel", "margies.example", "Sofia Lindqvist"),
            "auditor": ("Proseware Audit", "proseware.example", "Jun Park"),
        },
        {"currency": "USD", "product": "tasting set No. 5", "n": "NW26"},
    ),
)


def catalogue() -> list[DemoResource]:
    """Return every resource of the demo world."""
    places = []
    for tenant in _TENANTS:
        for local, _name, _script in tenant.mailboxes:
            address = f"{local}@{tenant.slug}.example"
            places.append(DemoResource(tenant.slug, EXCHANGE, "mailbox", address, f"{tenant.slug}/mail/{local}"))
        for library, name in tenant.libraries:
            places.append(DemoResource(tenant.slug, SHAREPOINT, "library", name, f"{tenant.slug}/docs/{library}"))
    return places


def build(root: Path) -> None:
    """Write the content below `root`. Existing files are not changed.

    A mail also exists if it was read, and so moved from `new` to `cur`.
    """
    for tenant in _TENANTS:
        facts = _facts(tenant)
        for local, name, script in tenant.mailboxes:
            owner = (name, f"{local}@{tenant.slug}.example")
            _mailboxes.build(root / tenant.slug / "mail" / local, owner, script, facts)
        for library, _name in tenant.libraries:
            _libraries.build(root / tenant.slug / "docs" / library, library, facts)


def _facts(tenant: _Tenant) -> dict[str, str]:
    """Return the tenant's words for the scripts: an address and a name for each role, and each partner's company."""
    facts = {"company": tenant.name, "domain": f"{tenant.slug}.example", **tenant.words}
    for role, name in tenant.colleagues.items():
        facts |= {role: f"{_local(name)}@{tenant.slug}.example", f"{role}_name": name}
    for role, (company, domain, name) in tenant.partners.items():
        facts |= {role: f"{_local(name)}@{domain}", f"{role}_name": name, f"{role}_company": company}
    return facts | {
        "bank": "service@woodgrove.example",
        "bank_name": "Woodgrove Bank",
        "robot": f"no-reply@{tenant.slug}.example",
        "robot_name": f"{tenant.name} (automatic)",
        "stranger": f"accounts@{tenant.partners['supplier'][1].replace('.example', '-billing.example')}",
        "stranger_name": tenant.partners["supplier"][0],
    }


def _local(name: str) -> str:
    for letter, plain in (("ü", "u"), ("ß", "ss"), ("é", "e"), (" ", ".")):
        name = name.lower().replace(letter, plain)
    return name
