"""Content for the cast's resources on disk: a mailbox and a library of Contoso. Both contain a word to search for."""

from __future__ import annotations

from pathlib import Path

#: A word in subjects and texts. No log may contain it.
CANARY = "Zanzibar"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64

MAIL = f"""\
From: Grace Adeyemi <grace@wideworld.example>
To: finance@contoso.example
Date: Mon, 23 Nov 2026 09:30:00 +0100
Subject: {CANARY} invoice
Message-ID: <invoice-1@wideworld.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="edge"

--edge
Content-Type: text/html; charset=utf-8

<p>The <b>invoice</b> of {CANARY}</p><script>alert(1)</script><p style="color:red" onclick="x()">due</p>
--edge
Content-Type: text/csv; name="rows.csv"
Content-Disposition: attachment; filename="rows.csv"

a;b
1;2
--edge--
"""


def fill(root: Path, *, mails: int = 1) -> None:
    """Write the mailbox `contoso/mail/finance` and the library `contoso/docs/legal` below the content root."""
    box = root / "contoso" / "mail" / "finance"
    for part in ("cur", "new", "tmp"):
        (box / part).mkdir(parents=True)
    for n in range(1, mails + 1):
        text = MAIL.replace("invoice-1@", f"invoice-{n}@").replace("\n", "\r\n")
        (box / "cur" / f"{1700000000 + n}.M{n}.host:2,S").write_bytes(text.encode())
    (root / "contoso" / "mail" / "sales").mkdir(parents=True)
    library = root / "contoso" / "docs" / "legal"
    (library / "Contracts").mkdir(parents=True)
    (library / "Contracts" / "Lease.txt").write_text(f"The lease of {CANARY}\nends in May.\n")
    (library / "logo.png").write_bytes(PNG)
    (library / "page.html").write_text("<script>alert(1)</script>")
    (library / "offer “ä”.pdf").write_bytes(b"%PDF-1.7 offer")


#: The id of the n-th mail.
def mail_id(n: int = 1) -> str:
    return f"{1700000000 + n}.M{n}.host"
