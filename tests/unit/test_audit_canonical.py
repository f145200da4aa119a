"""RFC 8785: the vectors of its text, and what must hold of every value."""

import json
import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathway.audit import canonical as module
from pathway.audit.canonical import MAX_INT, canonical, is_canonical
from pathway.audit.errors import CanonicalError

# RFC 8785, appendix B.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}
INTEGERS = st.integers(-MAX_INT, MAX_INT)
FRACTIONS = st.floats(*module._NO_EXPONENT, exclude_max=True)
PLAIN = st.recursive(
    st.none() | st.booleans() | INTEGERS | FRACTIONS | FRACTIONS.map(lambda x: -x) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner)
    ),
)
ANY = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_a_number_is_written_as_ecmascript_writes_it(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(value) == text.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    for nested in (value, [value], {"a": value}):
        with pytest.raises(CanonicalError):
            canonical(nested)


def test_the_example_of_section_3_2_2() -> None:
    text = r"""{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"""
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(json.loads(text)) == expected.encode()


def test_the_keys_of_section_3_2_3_are_sorted_by_utf_16() -> None:
    text = r"""{
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis"
    }"""
    expected = [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]
    assert list(json.loads(canonical(json.loads(text))).values()) == expected


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        {"\udfff": 1},
        {"a": ["\ud83d"]},
        {1: "a"},
        {None: 1},
        {"a": {2: 3}},
        MAX_INT + 1,
        [-MAX_INT - 1],
        b"bytes",
        {"a": {1, 2}},
        object(),
    ],
)
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonical(value)


def test_nesting_without_end_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(CanonicalError):
        canonical(loop)


@given(PLAIN)
def test_the_fast_path_writes_what_the_slow_one_does(value: object) -> None:
    assert module._sorted(module._plain(value)) == "".join(module._pieces(value)).encode()


@given(ANY)
def test_what_is_written_means_the_same_and_is_canonical(value: object) -> None:
    raw = canonical(value)
    assert json.loads(raw, parse_int=float) == json.loads(json.dumps(value), parse_int=float)
    assert canonical(json.loads(raw, parse_int=float)) == raw


@given(PLAIN)
def test_other_spellings_are_not_canonical(value: object) -> None:
    raw = canonical(value)
    assert is_canonical(raw)
    assert not is_canonical(raw + b" ")
    spaced = json.dumps(value).encode()
    assert is_canonical(spaced) == (spaced == raw)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_itself(value: float) -> None:
    assert float(canonical(value)) == value


def test_neither_twice_a_key_nor_no_json_is_canonical() -> None:
    assert not is_canonical(b'{"a":1,"a":1}')
    assert not is_canonical(b"{")
    assert not is_canonical(b"[" * 100_000)
    assert not is_canonical(msgspec.json.encode(2**60))
