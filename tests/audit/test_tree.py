"""The Merkle tree of RFC 6962, checked with the test vectors of certificate transparency."""

import functools
import random

import pytest

from audit_app import tree
from audit_app.tree import BadProof, Frontier, Subtree
from tests.conftest import IS_DEEP
from tests.offenders import collected

#: The eight inputs, and the roots over the first 1 to 8 of them, from the reference implementations' tests.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
)
INCLUSION = {(0, 8): [ONE, TWO, THREE], (5, 8): [FOUR, FIVE, SIX], (2, 3): [EIGHT], (1, 5): [ROOTS[0], TWO, FOUR]}
CONSISTENCY = {(1, 1): [], (1, 8): [ONE, TWO, THREE], (6, 8): [SEVEN, FIVE, SIX], (2, 5): [TWO, FOUR]}

STANDARD = [tree.leaf(bytes.fromhex(each)) for each in INPUTS]
LEAVES = [tree.leaf(number.to_bytes(2)) for number in range(256)]
#: The sizes of the trees whose proofs are also forged, all of them in `bin/test deep`: each shape of a tree with proofs
#: of up to seven hashes, and some with eight, in which a subtree has just begun or is about to end.
FORGED = {*range(257 if IS_DEEP else 130), *range(190, 195), *range(253, 257)}


def over(leaves: list[bytes]) -> Subtree:
    """Return a function that computes the hash of a complete subtree of these leaves from its two halves."""

    @functools.cache
    def subtree(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        return tree.node(subtree(level - 1, 2 * index), subtree(level - 1, 2 * index + 1))

    return subtree


def mth(leaves: list[bytes]) -> bytes:
    """Compute the root exactly as RFC 6962, section 2.1, defines MTH."""
    if not leaves:
        return tree.EMPTY
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return tree.node(mth(leaves[:k]), mth(leaves[k:]))


def test_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert tree.root_of([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_roots_of_the_standard_inputs_are_the_known_ones() -> None:
    assert [tree.root_of(STANDARD[:size]).hex() for size in range(1, 9)] == ROOTS


def test_the_known_inclusion_proofs() -> None:
    with collected() as case:
        for which in INCLUSION:
            with case(which):
                found = [tree.hash_of(part, over(STANDARD)).hex() for part in tree.inclusion(*which)]
                assert found == INCLUSION[which]


def test_the_known_consistency_proofs() -> None:
    with collected() as case:
        for which in CONSISTENCY:
            with case(which):
                found = [tree.hash_of(part, over(STANDARD)).hex() for part in tree.consistency(*which)]
                assert found == CONSISTENCY[which]


def test_a_proof_to_a_smaller_tree_proves_no_larger_one() -> None:
    roots = [mth(LEAVES[:size]) for size in range(20)]
    for old, new, claimed in ((1, 2, 3), (1, 2, 19), (3, 4, 9), (4, 6, 17), (6, 8, 9)):
        proof = [tree.hash_of(part, over(LEAVES)) for part in tree.consistency(old, new)]
        tree.check_consistency(old, new, roots[old], roots[new], proof)
        with pytest.raises(BadProof, match="too short"):
            tree.check_consistency(old, claimed, roots[old], roots[new], proof)


def test_the_root_is_as_defined_at_every_size_up_to_256() -> None:
    frontier, subtree = Frontier(), over(LEAVES)
    for size in range(257):
        assert frontier.root() == mth(LEAVES[:size]) == tree.frontier_at(size, subtree).root()
        if size < 256:
            frontier.append(LEAVES[size])


@pytest.mark.slow
@pytest.mark.sampled
def test_every_entry_is_proven_in_every_tree_up_to_256_and_in_no_other_place() -> None:
    subtree, dice = over(LEAVES), random.Random(1)
    for size in range(1, 257):
        root = tree.root_of(LEAVES[:size])
        for index in range(size):
            proof = [tree.hash_of(part, subtree) for part in tree.inclusion(index, size)]
            tree.check_inclusion(index, size, LEAVES[index], proof, root)
            if size not in FORGED:
                continue
            for forged in tampered(proof, dice):
                with pytest.raises(BadProof):
                    tree.check_inclusion(index, size, LEAVES[index], forged, root)
            other = dice.randrange(256)
            if other != index:
                with pytest.raises(BadProof):
                    tree.check_inclusion(other, size, LEAVES[index], proof, root)


@pytest.mark.slow
@pytest.mark.sampled
def test_every_tree_up_to_256_is_proven_to_grow_out_of_every_smaller_one() -> None:
    subtree, dice = over(LEAVES), random.Random(2)
    roots = [tree.root_of(LEAVES[:size]) for size in range(257)]
    for new in range(257):
        for old in range(new + 1):
            proof = [tree.hash_of(part, subtree) for part in tree.consistency(old, new)]
            tree.check_consistency(old, new, roots[old], roots[new], proof)
            if new not in FORGED:
                continue
            for forged in tampered(proof, dice):
                with pytest.raises(BadProof):
                    tree.check_consistency(old, new, roots[old], roots[new], forged)
            for wrong_old, wrong_new in ((ROOTS[7], roots[new].hex()), (roots[old].hex(), ROOTS[7])):
                if old > 0:
                    with pytest.raises(BadProof):
                        tree.check_consistency(old, new, bytes.fromhex(wrong_old), bytes.fromhex(wrong_new), proof)


def tampered(proof: list[bytes], dice: random.Random) -> list[list[bytes]]:
    """Return four false proofs: one hash too many, one bit flipped, one hash too few, and two hashes exchanged."""
    found = [[*proof, LEAVES[0]]]
    if proof:
        at = dice.randrange(len(proof))
        flipped = bytes([proof[at][0] ^ 1]) + proof[at][1:]
        found += [[*proof[:at], flipped, *proof[at + 1 :]], proof[:at] + proof[at + 1 :]]
    if len(proof) > 1 and proof[0] != proof[1]:
        found.append([proof[1], proof[0], *proof[2:]])
    return found


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_there_is_no_proof_of_what_is_not_in_the_tree(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no entry"):
        tree.inclusion(index, size)
    with pytest.raises(BadProof):
        tree.check_inclusion(index, size, LEAVES[0], [], LEAVES[0])


def test_a_tree_never_shrinks() -> None:
    with pytest.raises(ValueError, match="does not follow"):
        tree.consistency(4, 3)
    with pytest.raises(BadProof):
        tree.check_consistency(4, 3, LEAVES[0], LEAVES[0], [])
