"""Signed notes and checkpoints: the examples of other implementations are accepted, and damaged texts are refused."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit_app import notes
from audit_app.notes import COSIGNATURE, BadNote, Head, Note, Proof, Verifier
from tests.offenders import collected
from tests.verify.test_notes import ANSWER, PROOF

#: The example of Go's sumdb/note. Its key is public and signs nothing else.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNED = (
    TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
#: The example of tlog-checkpoint and tlog-cosignature.
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeM"
    "cTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+m"
    "bIUBkBIfZ+qnA==\n"
)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def test_the_example_of_gos_notes_verifies_and_is_signed_byte_for_byte() -> None:
    verifier = Verifier.parse(VKEY)
    assert str(verifier) == VKEY
    assert Note.parse(SIGNED).times(verifier) == [None]
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    assert str(Note(TEXT, (notes.sign(TEXT, "PeterNeumann", key),))) == SIGNED


def test_control_characters_in_a_note_are_refused() -> None:
    for code in range(0x20):
        raw = SIGNED.replace("cryptography", f"crypto{chr(code)}graphy")
        if chr(code) == "\n":
            assert str(Note.parse(raw)) == raw
            continue
        with pytest.raises(BadNote, match="control characters"):
            Note.parse(raw)
    assert Note.parse(SIGNED.replace("cryptography", "crypto\x7fgraphy\u2028")).signatures


@pytest.mark.parametrize(
    "vkey",
    [
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    ],
)
def test_verifier_keys_of_other_implementations_are_read_and_written_alike(vkey: str) -> None:
    assert str(Verifier.parse(vkey)) == vkey


def test_the_example_of_the_checkpoint_specification_is_read_and_written_alike() -> None:
    note = Note.parse(SOFA)
    assert str(note) == SOFA
    head = Head.parse(note.text)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20852163)
    assert head.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    assert head.text == note.text
    assert int.from_bytes(note.signatures[1].signature[:8]) == 1679315147


def test_a_cosignature_dates_what_it_signs() -> None:
    text = Head("log.example", 3, bytes(32)).text
    made = notes.cosign(text, "witness.example", KEY, 1_700_000_000)
    verifier = Verifier("witness.example", notes.public_bytes(KEY), COSIGNATURE)
    note = Note(text, (made,))
    assert note.times(verifier) == [1_700_000_000]
    later = notes.Signature(made.name, made.key_id, (1_700_000_001).to_bytes(8) + made.signature[8:])
    with pytest.raises(BadNote):
        Note(text, (later,)).times(verifier)
    other = Note(Head("log.example", 4, bytes(32)).text, (made,))
    with pytest.raises(BadNote):
        other.times(verifier)
    plain = Verifier("witness.example", notes.public_bytes(KEY))
    with pytest.raises(BadNote, match="no signature"):
        note.times(plain)


def test_the_time_of_a_cosignature_is_below_two_to_the_63() -> None:
    text = Head("log.example", 3, bytes(32)).text
    verifier = Verifier("witness.example", notes.public_bytes(KEY), COSIGNATURE)
    latest = (1 << 63) - 1
    assert Note(text, (notes.cosign(text, "witness.example", KEY, latest),)).times(verifier) == [latest]
    with pytest.raises(BadNote, match="has no time"):
        Note(text, (notes.cosign(text, "witness.example", KEY, latest + 1),)).times(verifier)


def test_signatures_of_unknown_keys_are_passed_over_and_a_bad_one_of_a_known_key_is_not() -> None:
    text = Head("log.example", 3, bytes(32)).text
    good = notes.sign(text, "log.example", KEY)
    stranger = notes.sign(text, "log.example", Ed25519PrivateKey.generate())
    verifier = Verifier("log.example", notes.public_bytes(KEY))
    assert Note(text, (stranger, good)).times(verifier) == [None]
    bad = notes.Signature(good.name, good.key_id, bytes(64))
    with pytest.raises(BadNote):
        Note(text, (good, bad)).times(verifier)


def test_a_malformed_note_is_refused() -> None:
    cases = [
        "",
        "text\n",
        "text\n\n",
        SIGNED[:-1],
        SIGNED + "\n",
        SIGNED.replace("—", "-"),
        SIGNED.replace("PeterNeumann ", "Peter+Neumann "),
        SIGNED.replace("AM=", "AN="),  # the unused last bits of base64, which no encoder sets
        SIGNED.replace("AM=", "AM"),
        SIGNED.replace("your problem is.", "your problem\x07 is."),
        SIGNED.replace("\n", "\r\n"),
        "x" * notes.MAX_NOTE + SIGNED,
    ]
    with collected() as case:
        for raw in cases:
            with case(raw), pytest.raises(BadNote):
                Note.parse(raw)


def test_a_malformed_checkpoint_is_refused() -> None:
    cases = [
        "",
        "log\n",
        "log\n3\n",
        "\n3\n" + "A" * 43 + "=\n",
        "log\n03\n" + "A" * 43 + "=\n",
        "log\n+3\n" + "A" * 43 + "=\n",
        "log\n-3\n" + "A" * 43 + "=\n",
        "log\n3 \n" + "A" * 43 + "=\n",
        "log\n٣\n" + "A" * 43 + "=\n",
        "log\n3\nAAAA\n",
        "log\n3\n" + "A" * 43 + "=",
        "log\n3\n" + "A" * 43 + "=\nan extension line without its end",
        "log\n3\n" + "A" * 43 + "=\n\n",
    ]
    with collected() as case:
        for text in cases:
            with case(text), pytest.raises(BadNote):
                Head.parse(text)


def test_a_malformed_verifier_key_is_refused() -> None:
    cases = ["", "name", "name+c74f20a3", VKEY.replace("c74f20a3", "c74f20a4"), VKEY[:-4], " " + VKEY, "+" + VKEY]
    # The key ids belong to these names, but they are no names.
    cases += [str(Verifier(name, notes.public_bytes(KEY))) for name in ("", "two words", "line\nfeed")]
    with collected() as case:
        for vkey in cases:
            with case(vkey), pytest.raises(BadNote):
                Verifier.parse(vkey)


def test_a_receipt_has_the_lines_of_its_specification() -> None:
    checkpoint = Note.parse(SOFA)
    proof = Proof(7, (bytes(32), bytes([255]) * 32), checkpoint, extra=b"{}")
    assert str(proof) == (
        "c2sp.org/tlog-proof@v1\nextra e30=\nindex 7\n"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n//////////////////////////////////////////8=\n\n" + SOFA
    )
    assert str(Proof(0, (), checkpoint)) == "c2sp.org/tlog-proof@v1\nindex 0\n\n" + SOFA


def test_the_example_of_the_receipts_specification_is_written_alike() -> None:
    """Only the signatures differ, because the example in the specification omits most of them."""
    head, text = PROOF.split("\n\n")[0].split("\n"), PROOF.split("\n\n")[1] + "\n"
    checkpoint = Note(text, (notes.sign(text, "example.com/fancylog", KEY),))
    extra = base64.b64decode(head[1].removeprefix("extra "))
    proof = Proof(73894, tuple(notes.hash_from(each) for each in head[3:]), checkpoint, extra)
    assert str(proof).startswith(PROOF)
    assert Head.parse(text).text == text


def test_the_example_of_a_witness_s_answer_is_read() -> None:
    lines = notes.signature_lines(ANSWER)
    assert [each.name for each in lines] == ["witness.example/w1", "witness.example/w1", "witness.example/w2"]
    assert "".join(each.line for each in lines) == ANSWER


def test_a_signature_line_has_a_key_id_and_at_least_one_byte_of_a_signature() -> None:
    key_id = bytes(4)
    line = notes.Signature("log.example", key_id, b"s").line
    assert notes.signature_lines(line) == (notes.Signature("log.example", key_id, b"s"),)
    with pytest.raises(BadNote):
        notes.signature_lines(notes.Signature("log.example", key_id, b"").line)
