"""The verifier's tree, compared with the test vectors of RFC 6962's first implementation and with the definition."""

import hashlib
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.conftest import IS_DEEP
from tests.offenders import collected
from tests.verify.writer import Tree, leaf
from verify import lockbox_verify as lv

#: The eight inputs of Certificate Transparency's tests, and the roots over the first n of them.
INPUTS = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [bytes.fromhex(each) for each in (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)]  # fmt: skip
#: By index and size: the proof's hashes. From Trillian's tests of its log verifier.
INCLUSIONS = {
    (0, 8): ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
             "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
             "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"],
    (5, 8): ["bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
             "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
             "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): ["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
             "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
             "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"],
}  # fmt: skip
CONSISTENCIES = {
    (1, 8): ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
             "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
             "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"],
    (6, 8): ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
             "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
             "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"],
    (2, 5): ["5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
             "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"],
    (1, 1): [],
}  # fmt: skip
MOST = 256
#: The sizes of the trees whose proofs are also tampered with, all of them in `bin/test deep`: each shape of a tree with
#: paths of up to seven hashes, and some with eight, in which a subtree has just begun or is about to end.
TAMPERED = {*range(MOST + 1 if IS_DEEP else MOST // 2 + 2), *range(190, 195), *range(MOST - 3, MOST + 1)}


def raw(path: list[str]) -> list[bytes]:
    return [bytes.fromhex(each) for each in path]


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree([leaf(index.to_bytes(2, "big")) for index in range(MOST)])


def test_leaves_and_nodes_are_hashed_apart() -> None:
    assert lv.leaf_hash(b"abcdefg").hex() == "6b43f785b72386e132b275bc918c25dbc687ab8427836bef6ce4509b64f4f54d"
    assert lv.node_hash(b"abcd", b"efgh").hex() == "41561b1297f692dad705e28ece8bf47060fba1abeeebda0aa67c43570a36bf79"


def test_the_standard_inputs_give_the_standard_roots() -> None:
    frontier = lv.Frontier()
    roots = [frontier.root()]
    for entry in INPUTS:
        frontier.push(0, lv.leaf_hash(entry))
        roots.append(frontier.root())
    assert roots == ROOTS
    assert [Tree([leaf(each) for each in INPUTS]).root(size) for size in range(9)] == ROOTS


def test_published_inclusion_proofs_are_accepted() -> None:
    with collected() as case:
        for index, size in INCLUSIONS:
            with case(index, size):
                path = raw(INCLUSIONS[index, size])
                assert lv.is_included(index, size, lv.leaf_hash(INPUTS[index]), path, ROOTS[size])
                assert not lv.is_included(index, size, lv.leaf_hash(b"another"), path, ROOTS[size])


def test_published_consistency_proofs_are_accepted() -> None:
    with collected() as case:
        for old, new in CONSISTENCIES:
            with case(old, new):
                path = raw(CONSISTENCIES[old, new])
                assert lv.is_consistent(old, new, ROOTS[old], ROOTS[new], path)
                assert not lv.is_consistent(old, new, ROOTS[old], hashlib.sha256(b"another").digest(), path)


@pytest.mark.slow
@pytest.mark.sampled
def test_every_inclusion_proof_up_to_256_is_accepted_and_no_tampered_one(tree: Tree) -> None:
    accepted = 0
    for size in range(1, MOST + 1):
        root = tree.root(size)
        for index in range(size):
            leaf_here, path = tree.leaves[index], tree.inclusion(index, size)
            assert lv.is_included(index, size, leaf_here, path, root)
            accepted += 1
            if size not in TAMPERED:
                continue
            for tampered in _tampered(path, index):
                assert not lv.is_included(index, size, leaf_here, tampered, root)
            assert not lv.is_included(index, size, leaf_here, path, tree.root(size - 1))
            assert not lv.is_included(size, size, leaf_here, path, root)
            assert not lv.is_included(index ^ 1, size, leaf_here, path, root)
    assert accepted == MOST * (MOST + 1) // 2


@pytest.mark.slow
@pytest.mark.sampled
def test_every_consistency_proof_up_to_256_is_accepted_and_no_tampered_one(tree: Tree) -> None:
    accepted = 0
    for new in range(MOST + 1):
        root = tree.root(new)
        for old in range(new + 1):
            old_root, path = tree.root(old), tree.consistency(old, new)
            assert lv.is_consistent(old, new, old_root, root, path)
            accepted += 1
            if new not in TAMPERED:
                continue
            for tampered in _tampered(path, old):
                assert not lv.is_consistent(old, new, old_root, root, tampered)
            assert not lv.is_consistent(old, new, _flipped(old_root), root, path)
            # Every tree is consistent with the empty tree, so its proof says nothing about the new root.
            assert not old or not lv.is_consistent(old, new, old_root, _flipped(root), path)
            assert not lv.is_consistent(new + 1, new, root, root, path)
    assert accepted == (MOST + 1) * (MOST + 2) // 2


def test_a_frontier_continues_from_the_left_siblings_of_any_leaf(tree: Tree) -> None:
    for start in range(0, MOST, 7):
        _root, lefts = lv.walk(start, MOST, tree.leaves[start], tree.inclusion(start, MOST))
        frontier = lv.Frontier(start, lefts)
        assert frontier.root() == tree.root(start)
        for index in range(start, MOST):
            frontier.push(0, tree.leaves[index])
            assert frontier.root() == tree.root(index + 1)


def test_subtrees_reach_over_no_cut_and_lead_to_the_same_roots(tree: Tree) -> None:
    for start, end, cuts in ((0, 256, ()), (3, 250, (4, 64, 65, 249)), (128, 192, (192,)), (5, 6, ()), (9, 9, ())):
        frontier = lv.Frontier(start, lv.walk(start, MOST, b"", tree.inclusion(start, MOST))[1])
        sizes = [start]
        for level, subtree in lv.subtrees(start, tree.leaves[start:end], cuts):
            frontier.push(level, subtree)
            sizes.append(frontier.size)
            assert frontier.root() == tree.root(frontier.size)
        assert sizes[-1] == end
        assert set(cuts) <= set(sizes)
        assert all(before < after for before, after in pairwise(sizes))


def _tampered(path: list[bytes], salt: int) -> Iterator[list[bytes]]:
    yield [*path, hashlib.sha256(b"more").digest()]
    if path:
        yield path[:-1]
        yield path[1:]
        place = salt % len(path)
        yield [*path[:place], _flipped(path[place]), *path[place + 1 :]]
    if len(path) > 1:
        yield [path[1], path[0], *path[2:]]


def _flipped(digest: bytes) -> bytes:
    return digest[:-1] + bytes([digest[-1] ^ 1])
