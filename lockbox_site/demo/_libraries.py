"""The demo's document libraries, file by file."""

from pathlib import Path

from lockbox_site.demo import _bytes

_AGREEMENT = (
    "Framework agreement",
    "between {company} and {partner_company}",
    "1. Subject. The parties agree on the terms that hold for every order under this agreement.",
    "2. Term. It begins on 1 January 2026, runs for two years, and is extended by one year unless ended in writing.",
    "3. Prices. Prices are those of the list in force on the day of the order, less the agreed discount.",
    "4. Liability. Each party is liable for intent and gross negligence without limit.",
)
_REGISTER = (
    ("no", "partner", "subject", "ends"),
    ("2024-03", "{partner_company}", "Framework agreement", "2027-12-31"),
    ("2024-11", "{supplier_company}", "Supply", "2026-12-31"),
    ("2025-02", "{customer_company}", "Maintenance, all sites", "2028-02-28"),
    ("2025-09", "Woodgrove Bank", "Credit line", "2027-09-30"),
)
_PRICES = (("article", "name", "price"), ("1001", "{product}", "212.00"), ("1002", "{product}, large", "264.00"),
           ("1090", "Bracket", "9.80"), ("1091", "Cable, 2 m", "6.40"))  # fmt: skip
_OLD_PRICES = (("article", "name", "price"), ("1001", "{product}", "204.00"), ("1002", "{product}, large", "251.00"),
               ("1090", "Bracket", "9.40"), ("1091", "Cable, 2 m", "6.40"))  # fmt: skip

_Rows = tuple[tuple[str, ...], ...]
_Content = str | tuple[str, ...] | _Rows

LIBRARIES: dict[str, dict[str, _Content]] = {
    "legal": {
        "Contracts/Framework agreement {partner_company}.docx": _AGREEMENT,
        "Contracts/Framework agreement {partner_company} (signed).pdf": _AGREEMENT,
        "Contracts/Lease, head office.pdf": ("Lease", "Head office, third floor", "Term until 30 June 2029"),
        "Contracts/Maintenance {customer_company}.pdf": ("Maintenance", "All sites", "Answer within four hours"),
        "Contracts/Register.csv": _REGISTER,
        "Templates/NDA, mutual.md": "# Mutual non-disclosure agreement\n\nBetween {company} and *the other party*.\n"
        "1. Confidential is what is marked so, or what a reasonable person would hold to be so.\n"
        "2. It is used for the stated purpose only, and returned or destroyed on request.\n3. Five years.\n",
        "Templates/Power of attorney.md": "# Power of attorney\n\n{company} authorises … to act in the matter of …\n",
        "Data protection/Record of processing.csv": (
            ("process", "data", "kept for"),
            ("Payroll", "name, bank account, tax class", "10 years"),
            ("Support", "name, email, serial number", "3 years"),
            ("Visitors", "name, company, time", "4 weeks"),
        ),
        "Data protection/Übersicht Auftragsverarbeiter.txt": "Woodgrove Bank: Zahlungen\n{supplier_company}: Lager\n",
        "Disputes/2026-04 {supplier_company}.md": "# Dispute over late deliveries\n\n*Privileged and confidential*\n\n"
        "- 3 August: claim raised, {currency} 48,000.\n- 21 September: their answer, see folder.\n"
        "- Next step: talk between both boards on 8 December.\n",
        "Signatures by month.png": (),
        "README.txt": "What is signed goes into Contracts, with its line in the register.\n",
    },
    "projects": {
        "Warehouse/Concept v3.docx": (
            "Concept, version 3",
            "Interface between orders and stock",
            "Section 5: decision open",
        ),
        "Warehouse/Cut-over plan.pdf": (
            "Cut-over plan",
            "Sat 22:00 freeze",
            "Sun 02:00 last way back",
            "Sun 06:00 open",
        ),
        "Warehouse/Minutes 2026-11-12.md": "# Steering committee\n\n- Tests: 99.9 % matched.\n- Training: list due.\n",
        "Warehouse/Mapping.csv": (
            ("from", "to", "note"),
            ("amount", "amount", "decimal comma"),
            ("ret", "sign", "negative"),
        ),
        "Warehouse/Test run 1.png": (),
        "Warehouse/import.log": "2026-11-06 17:02:11 start\n2026-11-06 17:09:48 98.2 % matched\n",
        "Intranet/Survey.csv": (("question", "yes", "no"), ("Do you find what you need?", "41", "59")),
        "Intranet/Notes.txt": "Search first, then the start page. Nobody asked for the carousel.\n",
    },
    "engineering": {
        "{product}/Assembly.pdf": ("Assembly", "Fix the bracket with four screws", "Torque 3.2 Nm"),
        "{product}/Parts.csv": _PRICES,
        "{product}/Noise spectrum.png": (),
        "{product}/Release notes 4.2.1.md": "# 4.2.1\n\n- The clock is set at every connection.\n",
        "{product}/device.json": '{{\n  "model": "7731",\n  "firmware": "4.2.1",\n  "languages": ["en", "de"]\n}}\n',
        "Standards/Cables.docx": ("Cables", "Only those of the list", "Colour code as in the drawing"),
        "Standards/Review checklist.md": "# Before a release\n\n1. Tolerances\n2. Material\n3. Second pair of eyes\n",
        "Test reports/Lot 0311.pdf": ("Test report", "Lot 0311", "All values within limits"),
        "Test reports/Lot 0311 raw.csv": (("sample", "value"), ("1", "0.981"), ("2", "0.979"), ("3", "0.984")),
    },
    "sales": {
        # The two names differ only in their hyphens, which look the same. One of the demo's tickets is about this.
        "Price lists/Price-list 2026.csv": _PRICES,
        "Price lists/Price\u2011list 2026.csv": _OLD_PRICES,
        "Price lists/Conditions.md": "# Conditions\n\nOffers hold for 30 days. Framework agreements have a clause.\n",
        "Offers/Offer 1180.pdf": ("Offer 1180", "40 pieces of {product}", "{currency} 212.00 each"),
        "Offers/Offer 1181.docx": ("Offer 1181", "12 pieces of {product} with installation", "{currency} 219.00 each"),
        "Offers/Open offers.csv": (("offer", "customer", "until"), ("1180", "{partner_company}", "2026-12-10")),
        "Pictures/Stand at the fair.png": (),
        "How we number offers.txt": "One number for an offer, a letter for each version. Never overwrite.\n",
    },
}


def build(path: Path, library: str, facts: dict[str, str]) -> None:
    """Write one library. Documents that exist already are not changed."""
    for name, content in LIBRARIES[library].items():
        target = path / name.format(**facts)
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_document(target.name, content, facts))


def _document(name: str, content: _Content, facts: dict[str, str]) -> bytes:
    if isinstance(content, str):
        return content.format(**facts).encode()
    extension = name.rpartition(".")[2]
    if extension == "png":
        return _bytes.png_chart([(len(name) * 17 + step * 31) % 75 + 20 for step in range(10)])
    if extension == "csv":
        return _bytes.csv([[cell.format(**facts) for cell in row] for row in content])
    title, *lines = [str(line).format(**facts) for line in content]
    return _bytes.pdf(title, lines) if extension == "pdf" else _bytes.docx([title, *lines])
