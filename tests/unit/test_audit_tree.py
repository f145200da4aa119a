"""The Merkle tree against its definition, and its proofs against every lie that comes to mind."""

import hashlib
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathway.audit.errors import ProofError
from pathway.audit.proofs import (
    Span,
    plan_consistency,
    plan_inclusion,
    prove_consistency,
    prove_inclusion,
)
from pathway.audit.tree import (
    EMPTY_ROOT,
    Tree,
    leaf_hash,
    node_hash,
    proves_consistency,
    proves_inclusion,
)
from tests.unit.audit_logs import StoredNodes, naive_path, naive_proof, naive_root

# The vectors of Certificate Transparency's reference implementation.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
LEAVES += ["606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZES = st.integers(0, 700)


def hashes(count: int) -> list[bytes]:
    return [leaf_hash(b"leaf %d" % number) for number in range(count)]


ALL = hashes(700)
STORED = StoredNodes()
STORED.extend(ALL)


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_the_known_roots(size: int) -> None:
    tree, _ = Tree().extend(leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size])
    assert tree.root().hex() == ROOTS[size]


@given(SIZES, st.lists(st.integers(0, 700), max_size=5))
def test_batches_and_restarts_make_no_difference(size: int, cuts: list[int]) -> None:
    tree, nodes = Tree(), []
    edges = [0, *sorted(min(cut, size) for cut in cuts), size]
    for start, stop in pairwise(edges):
        before = tree
        tree, new = Tree.load(tree.size, tree.dump()).extend(ALL[start:stop])
        assert (before.size, len(before.hashes)) == (start, start.bit_count())
        nodes += new
    assert tree.root() == naive_root(ALL[:size])
    assert len(tree.dump()) == 32 * size.bit_count()
    expected = [(level, place) for level in (8, 16) for place in range(size >> level)]
    assert sorted((node.level, node.place) for node in nodes) == expected
    for node in nodes:
        covered = ALL[node.place << node.level : (node.place + 1) << node.level]
        assert node.hash == naive_root(covered)


def test_a_tree_of_another_size_is_not_loaded() -> None:
    tree, _ = Tree().extend(ALL[:5])
    for size, row in ((4, tree.dump()), (5, tree.dump()[:-1]), (5, b""), (-1, b"")):
        with pytest.raises(ValueError, match=r"."):
            Tree.load(size, row)


@given(st.data())
@settings(max_examples=200)
def test_inclusion_is_proved_as_the_rfc_says(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 700))
    index = data.draw(st.integers(0, size - 1))
    root = naive_root(ALL[:size])
    proof = prove_inclusion(STORED, index, size)
    assert proof == naive_path(index, ALL[:size])
    assert proves_inclusion(ALL[index], index, size, proof, root)
    other = data.draw(st.integers(-1, 700))
    if other != index:
        assert not proves_inclusion(ALL[index], other, size, proof, root)
    assert not proves_inclusion(ALL[index - 1] if size > 1 else b"x", index, size, proof, root)
    assert not proves_inclusion(ALL[index], index, size, [*proof, root], root)
    assert not proves_inclusion(ALL[index], index, size, proof, EMPTY_ROOT)
    if proof:
        assert not proves_inclusion(ALL[index], index, size, proof[:-1], root)
        assert not proves_inclusion(ALL[index], index, size, proof[1:], root)
        place = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof[:place], bytes(32), *proof[place + 1 :]]
        assert not proves_inclusion(ALL[index], index, size, bent, root)


@given(st.data())
@settings(max_examples=200)
def test_consistency_is_proved_as_the_rfc_says(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 700))
    old = data.draw(st.integers(1, size))
    before, after = naive_root(ALL[:old]), naive_root(ALL[:size])
    proof = prove_consistency(STORED, old, size)
    assert proof == naive_proof(old, ALL[:size])
    assert proves_consistency(old, before, size, after, proof)
    assert not proves_consistency(old, bytes(32), size, after, proof)
    assert not proves_consistency(old, before, size, bytes(32), proof)
    assert not proves_consistency(old, before, size, after, [*proof, after])
    other = data.draw(st.integers(1, size))
    if other != old:
        assert not proves_consistency(other, before, size, after, proof)
    for place in range(len(proof)):
        bent = [*proof[:place], bytes(32), *proof[place + 1 :]]
        assert not proves_consistency(old, before, size, after, bent)
        assert not proves_consistency(old, before, size, after, proof[:place])


def test_everything_extends_the_empty_tree() -> None:
    assert prove_consistency(STORED, 0, 5) == []
    assert proves_consistency(0, EMPTY_ROOT, 5, naive_root(ALL[:5]), [])
    assert proves_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    assert not proves_consistency(0, EMPTY_ROOT, 0, ALL[0], [])
    assert not proves_consistency(0, ALL[0], 5, naive_root(ALL[:5]), [])
    assert not proves_consistency(0, EMPTY_ROOT, 5, naive_root(ALL[:5]), [ALL[0]])
    assert not proves_consistency(6, naive_root(ALL[:6]), 5, naive_root(ALL[:5]), [])


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_there_is_no_proof_of_a_leaf_outside(index: int, size: int) -> None:
    with pytest.raises(ProofError):
        plan_inclusion(index, size)


def test_there_is_no_proof_that_a_tree_shrank() -> None:
    with pytest.raises(ProofError):
        plan_consistency(4, 3)


def test_missing_nodes_are_noticed() -> None:
    plan = plan_inclusion(0, 600)
    with pytest.raises(ProofError):
        plan.prove({span: [] for span in plan.spans})


def test_a_proof_in_a_huge_log_reads_little() -> None:
    size = 10**12 + 12_345
    for plan in (plan_inclusion(987_654_321, size), plan_consistency(987_654_321, size)):
        assert sum(span.stop - span.start for span in plan.spans) <= 2 * 256 * 5
        assert all(span.level % 8 == 0 for span in plan.spans)
        assert len(plan.ranges) <= 41


def test_spans_name_only_what_is_kept() -> None:
    kept = {Span(level, 0, 0).level for level, _ in STORED.rows}
    assert kept == {0, 8}


def test_appending_needs_no_more_memory_in_a_large_log() -> None:
    huge = Tree(2**40, (bytes(32),))
    leaves = (hashlib.sha256(b"%d" % number).digest() for number in range(50_000))
    tracemalloc.start()
    grown, _ = huge.extend(leaves)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown.size == 2**40 + 50_000
    assert peak < 200_000


def test_leaves_and_nodes_are_told_apart() -> None:
    assert leaf_hash(ALL[0] + ALL[1]) != node_hash(ALL[0], ALL[1])
