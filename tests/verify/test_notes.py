"""Signed notes, keys, checkpoints and cosignatures, in the form in which C2SP and the Go library write them."""

import dataclasses
from pathlib import Path

import pytest

from tests.offenders import collected
from tests.verify.asking import answer, cosigned_heads
from tests.verify.runs import judged, problems
from tests.verify.writer import HOST, Log, Signer, body, canonical, entry, origin_of
from verify import lockbox_verify as lv

#: From the tests of golang.org/x/mod/sumdb/note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SAYING = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
#: From c2sp.org/signed-note, /tlog-checkpoint and /tlog-cosignature.
POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3Z"
    "ekRwNtIc=\n"
)
COSIGNED = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xe"
    "McTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+"
    "mbIUBkBIfZ+qnA==\n"
)
#: From c2sp.org/tlog-witness: a request and its response.
REQUEST = (
    "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n"
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xe"
    "McTOAYQ8=\n"
    "— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv+"
    "+qbSzm9Q=\n"
)
ANSWER = (
    "— witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pW"
    "h6Up69HVOw==\n"
    "— witness.example/w1 I7rEps0pvK2UqkS2gSpVUDhrhVtQV9lgF6pRrWAvjJHjyWpW7VcE3SiOlVlbQNt64vWhO+DlkL0+UfzuOBMh9ChdMkP1"
    "vi/lCAsmlw==\n"
    "— witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXXv"
    "pysAdyP3wQ==\n"
)
#: From c2sp.org/tlog-proof, which omits most of each signature.
PROOF = (
    "c2sp.org/tlog-proof@v1\nextra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ\nindex 73894\n"
    "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\nB95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n"
    "EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=\nRoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=\n"
    "AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=\n\n"
    "example.com/fancylog\n109482\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\n"
)


def test_the_note_of_the_go_library_verifies_under_its_key_and_no_changed_one_does() -> None:
    note = lv.note_of(SAYING.encode())
    assert lv.signatures_by(note, lv.key_of(PETER)) == [0]
    for place in range(len(note.text) - 1):
        changed = note.text[:place] + chr(ord(note.text[place]) ^ 1) + note.text[place + 1 :]
        with pytest.raises(lv.Bad):
            lv.signatures_by(dataclasses.replace(note, text=changed), lv.key_of(PETER))


def test_no_part_of_a_verifier_key_is_one() -> None:
    assert str(lv.key_of(PETER)) == PETER
    for start in range(len(PETER)):
        for end in range(start, len(PETER) + 1):
            if (start, end) != (0, len(PETER)):
                with pytest.raises(ValueError):  # noqa: PT011  # whichever part of it is missing
                    lv.key_of(PETER[start:end])
    for place in range(len(PETER)):
        with pytest.raises(ValueError):  # noqa: PT011  # whichever part of it is another
            lv.key_of(PETER[:place] + chr(ord(PETER[place]) + 1) + PETER[place + 1 :])


def test_the_examples_of_the_specifications_are_read() -> None:
    poem = lv.note_of(POEM.encode())
    assert poem.text.endswith("\n\ned è subito sera.\n")
    assert [name for name, _id, _signature in poem.signatures] == ["quasimodo.example/salvatore"]
    checkpoint = lv.checkpoint_of(COSIGNED.encode())
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    (_log, _id, plain), (witness, _key_id, timed) = checkpoint.note.signatures
    assert (len(plain), witness, len(timed)) == (64, "witness.example.com/w1", 72)
    assert int.from_bytes(timed[:8]) == 1679315147


def test_the_request_of_the_specification_is_judged_by_the_keys_that_the_witness_knows(tmp_path: Path) -> None:
    origin, signer = "example.com/behind-the-sofa", Signer.of("sofa")
    state, key = lv.State(tmp_path / "state", create=True), lv.key_of(signer.vkey(origin))
    unknown = lv.key_of(signer.vkey("example.com/on-the-sofa"))
    assert answer(REQUEST.encode(), state, unknown) == (404, "unknown log\n")
    assert answer(REQUEST.encode(), state, key) == (403, "no signature by a key of this log\n")
    # If a line of a known key is added, the two lines of unknown keys are ignored. The witness has no checkpoint yet.
    text = REQUEST.split("\n\n")[1] + "\n"
    assert answer((REQUEST + signer.sign(origin, text)).encode(), state, key) == (409, "0\n")
    first = f"old 0\n\n{REQUEST.partition(chr(10) * 2)[2]}{signer.sign(origin, text)}"
    status, line = answer(first.encode(), state, key)
    assert status == 200
    assert cosigned_heads(state.path)[origin].note == f"{text}\n{signer.sign(origin, text)}{line}"


def test_the_answer_of_the_specification_makes_a_note_with_the_checkpoint() -> None:
    checkpoint = lv.checkpoint_of((REQUEST.partition("\n\n")[2] + ANSWER).encode())
    assert checkpoint.size == 20852163
    assert [(name, len(signature)) for name, _id, signature in checkpoint.note.signatures] == [
        ("example.com/behind-the-sofa", 64),
        ("example.com/behind-the-sofa", 64),
        ("witness.example/w1", 72),
        ("witness.example/w1", 72),
        ("witness.example/w2", 72),
    ]
    assert len({key_id for _name, key_id, _signature in checkpoint.note.signatures}) == 5


def test_the_proof_of_the_specification_is_read_and_is_of_another_kind_of_log(tmp_path: Path) -> None:
    path = tmp_path / "example.tlog-proof"
    path.write_text(PROOF + "— example.com/fancylog hI2DJw[...]1roloI=\n", "utf-8")
    data = judged(path)
    assert (data["exit"], "this is not a receipt" in problems(data)[0][1]) == (1, True)
    text = PROOF.split("\n\n")[1] + "\n"
    path.write_text(PROOF + Signer.of("fancy").sign("example.com/fancylog", text), "utf-8")
    data = judged(path)
    assert (data["exit"], data["gaps"]) == (2, ["the receipt belongs to another kind of log: example.com/fancylog"])


def test_a_cosignature_signs_its_time_with_the_checkpoint() -> None:
    signer, text = Signer.of("w"), body(origin_of(), 3, b"r" * 32)
    raw = f"{text}\n{signer.cosign('w.example', text, 1679315147)}{signer.cosign('w.example', text, 1679315148)}"
    key = lv.key_of(signer.vkey("w.example", 4))
    assert lv.signatures_by(lv.note_of(raw.encode()), key) == [1679315147, 1679315148]
    line = signer.cosign("w.example", text, 7)
    material = lv.decoded(line.split(" ")[2].strip())
    forged = lv.signature_line("w.example", material[:4], (8).to_bytes(8, "big") + material[12:])
    with pytest.raises(lv.Bad, match="is false"):
        lv.signatures_by(lv.note_of(f"{text}\n{forged}".encode()), key)


def test_a_key_under_another_name_or_type_is_another_key() -> None:
    signer, text = Signer.of("k"), body(origin_of(), 1, b"r" * 32)
    note = lv.note_of(f"{text}\n{signer.sign(origin_of(), text)}".encode())
    assert lv.signatures_by(note, lv.key_of(signer.vkey(origin_of()))) == [0]
    assert lv.signatures_by(note, lv.key_of(signer.vkey(origin_of(), 4))) == []
    assert lv.signatures_by(note, lv.key_of(signer.vkey(HOST))) == []
    assert lv.signatures_by(note, lv.key_of(Signer.of("l").vkey(origin_of()))) == []


GOOD = Log.of([entry(0, 0)]).note()


def test_a_malformed_checkpoint_text_is_refused() -> None:
    cases = [
        "",
        "\n",
        "\n\n",
        GOOD[:-1],
        GOOD + "\n",
        GOOD.replace("\n\n", "\n"),
        GOOD.replace("— ", "- "),
        GOOD.replace("— ", "—  "),
        GOOD.replace("\n1\n", "\n01\n"),
        GOOD.replace("\n1\n", "\n+1\n"),
        GOOD.replace("\n1\n", "\n1\r\n"),
        GOOD.replace("\n1\n", "\n\n"),
        GOOD.replace("\n1\n", "\n99999999999999999999\n"),
        GOOD.replace("\n1\n", f"\n{1 << 63}\n"),
        GOOD.replace("=\n\n", "\n\n"),
        GOOD.replace("=\n\n", "=\n\x00\n\n"),
        GOOD.replace("\n1\n", "\n\u0661\n"),
        GOOD[: GOOD.index("— ")],
        GOOD[GOOD.index("— ") :],
        GOOD.replace("— ", "— +"),
    ]
    assert lv.checkpoint_of(GOOD.encode()).size == 1
    with collected() as case:
        for raw in cases:
            with case(raw), pytest.raises(ValueError):  # noqa: PT011  # each for a reason of its own
                lv.checkpoint_of(raw.encode())


def test_base64_has_one_spelling() -> None:
    assert lv.decoded("AAE=") == b"\x00\x01"
    for other in ("AAE", "AAF=", "AAE=\n", " AAE=", "AAE==", "A*E="):
        with pytest.raises(ValueError):  # noqa: PT011  # each for a reason of its own
            lv.decoded(other)


def test_the_writer_of_these_tests_and_the_verifier_agree_on_canonical_json() -> None:
    value = entry(3, 5, detail={"b": [1, -2, None, True, 'ü\u2028"\\\n'], "a": {"z": "", "A": {}}})
    assert lv.canonical(value).encode() == canonical(value)


def test_a_size_that_no_tree_has_is_refused() -> None:
    """A witness stores the size in SQLite, which has no unsigned integers of 64 bits."""
    for size, is_fine in ((2**63 - 1, True), (2**63, False), (9_999_999_999_999_999_999, False)):
        text = body(origin_of(), size, bytes(32))
        raw = f"{text}\n{Signer.of('log').sign(origin_of(), text)}".encode()
        if is_fine:
            assert lv.checkpoint_of(raw).size == size
        else:
            with pytest.raises(ValueError, match="a number must be decimal and below 2"):
                lv.checkpoint_of(raw)
