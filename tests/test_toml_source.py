"""Reading TOML: limits, syntax faults on their line, and the line of every key."""

import os
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_mesa.errors import ModelFileError
from bayes_mesa.reading.source_file import why_outside
from bayes_mesa.reading.toml_lines import key_lines
from bayes_mesa.reading.toml_source import read_toml

DOCUMENT = """\
# a comment with [brackets] and = signs
top = 1
[model]   # [not.a.table]
name = "a # b ] = {"
'quoted key' = 'x'
text = \"\"\"
[fake]
fake = 1 x still inside
\"\"\"
raw = '''
[also.fake]
'''
[a.b]
c.d = 1
c."e.f" = 2
list = [
  1, # one
  [2,
   3],
  { x = 4, y.z = [5] },
]
date = 1979-05-27 07:32:00
inline = { p = 1, q = { r = 2 } }
[[many]]
one = 1
[[many]]
two = 2
[many.below]
three = 3
[[many.deep]]
four = 4
[a]
late = 1
"""

LINES = {
    ("top",): 2,
    ("model",): 3,
    ("model", "name"): 4,
    ("model", "quoted key"): 5,
    ("model", "text"): 6,
    ("model", "raw"): 10,
    ("a", "b"): 13,
    ("a", "b", "c"): 14,
    ("a", "b", "c", "d"): 14,
    ("a", "b", "c", "e.f"): 15,
    ("a", "b", "list"): 16,
    ("a", "b", "list", 0): 17,
    ("a", "b", "list", 1): 18,
    ("a", "b", "list", 1, 0): 18,
    ("a", "b", "list", 1, 1): 19,
    ("a", "b", "list", 2): 20,
    ("a", "b", "list", 2, "x"): 20,
    ("a", "b", "list", 2, "y"): 20,
    ("a", "b", "list", 2, "y", "z"): 20,
    ("a", "b", "list", 2, "y", "z", 0): 20,
    ("a", "b", "date"): 22,
    ("a", "b", "inline"): 23,
    ("a", "b", "inline", "p"): 23,
    ("a", "b", "inline", "q"): 23,
    ("a", "b", "inline", "q", "r"): 23,
    ("many",): 24,
    ("many", 0): 24,
    ("many", 0, "one"): 25,
    ("many", 1): 26,
    ("many", 1, "two"): 27,
    ("many", 1, "below"): 28,
    ("many", 1, "below", "three"): 29,
    ("many", 1, "deep"): 30,
    ("many", 1, "deep", 0): 30,
    ("many", 1, "deep", 0, "four"): 31,
    ("a",): 32,
    ("a", "late"): 33,
}


def faults(folder, text):
    """The faults of a file with this content, without its path."""
    path = folder / "m.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelFileError) as caught:
        read_toml(path, "m.toml")
    return [str(fault) for fault in caught.value.faults]


def locations(value, at=()):
    """Location of everything inside a parsed document."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*at, key)
            yield from locations(inner, (*at, key))


def test_every_key_and_item_has_its_line():
    assert key_lines(DOCUMENT) == LINES
    assert set(locations(tomllib.loads(DOCUMENT))) == set(LINES)


def _parsed(text):
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


KEYS = st.sampled_from(["a", "b-c", '"x.y"', "'q q'", "a.b", '"\\u0041".k', "1"])
VALUES = st.recursive(
    st.sampled_from(["1", "-2.5e3", '"#["', "'='", '"""\n[x]\n"""', "'''\n'''", "true"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda v: "[\n" + ", # c\n".join(v) + "\n]"),
        st.lists(st.tuples(KEYS, inner), max_size=2).map(
            lambda v: "{" + ", ".join(f"{k} = {x}" for k, x in v) + "}"
        ),
    ),
    max_leaves=5,
)
STATEMENTS = st.one_of(
    st.tuples(KEYS, VALUES).map(lambda kv: f"{kv[0]} = {kv[1]}"),
    KEYS.map(lambda key: f"[{key}]"),
    KEYS.map(lambda key: f"[[ {key} ]]"),
    st.just("# [c]"),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STATEMENTS, max_size=7))
def test_lines_cover_exactly_what_tomllib_parses(statements):
    text = "\n".join(statements)
    data = _parsed(text)
    if data is None:
        return
    lines = key_lines(text)
    assert set(lines) == set(locations(data))
    # A value's own line really holds the start of its key or item.
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\nb = \n", "m.toml:2: syntax: must be TOML, found something that is no TOML value"),
        ("a = 1\na = 2\n", "m.toml:2: syntax: must be TOML, found a key or table given twice"),
        ("[a]\n\n[a]\n", "m.toml:3: syntax: must be TOML, found a key or table given twice"),
        ("a = 1\n[b\n", "m.toml:2: syntax: must be TOML, found a table header that is not closed"),
        ("x = 'open\n", "m.toml:1: syntax: must be TOML"),
        ('x = """\nopen\n', "m.toml:2: syntax: must be TOML, found a text that is not closed"),
        ("x = [1, 2\ny = 3", "m.toml:2: syntax: must be TOML, found an array that is not closed"),
        ("x = 1 2\n", "m.toml:1: syntax: must be TOML, found more text after the end of a value"),
        ("x\n", "m.toml:1: syntax: must be TOML, found a key without '='"),
        ("a = 1\nb = '\0'\n", r"m.toml:2: syntax: must be TOML, found the character '\x00' out of"),
        ("x = 1979-02-30\n", "m.toml:1: syntax: must be TOML, found a date that does not exist"),
        (b"a = 1\nb = '\xff'\n", "m.toml:2: file: must be UTF-8 text, found the byte 0xff"),
        ("x = " + "9" * 301, "m.toml:1: number: must have at most 300 digits"),
        ("\nx = 0." + "1" * 5000, "m.toml:2: number: must have at most 300 digits"),
        ("\n\nx = " + "[" * 65, "m.toml:3: depth: must nest at most 64 deep, found more"),
        ("x = " + "[" * 200_000, "m.toml:1: depth: must nest at most 64 deep, found more"),
        ("x = " + "{a=" * 65, "m.toml:1: depth: must nest at most 64 deep, found more"),
        ("a" + ".a" * 65 + " = 1", "m.toml:1: depth: must nest at most 64 deep, found more"),
        ("[a" + '."a"' * 65 + "]", "m.toml:1: depth: must nest at most 64 deep, found more"),
        ("#" * 2_000_000, "m.toml:1: file: must be at most 1000000 bytes, found more"),
    ],
)
def test_refused_text(tmp_path, text, expected):
    found = faults(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_at_the_limits(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text("x = " + "[" * 64 + "]" * 64 + "\ny = " + "9" * 300 + "\n")
    assert read_toml(path, "m.toml").data["y"] == int("9" * 300)
    path.write_text("#" * 999_999 + "\n")
    assert read_toml(path, "m.toml").data == {}


def test_byte_order_mark_and_carriage_returns(tmp_path):
    path = tmp_path / "m.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\n[b]\r\nc = 2\r\n")
    source = read_toml(path, "m.toml")
    assert source.data == {"a": 1, "b": {"c": 2}}
    assert source.line(("b", "c")) == 3
    assert source.file.text.encode() == path.read_bytes()


def test_line_of_what_is_missing_is_that_of_its_table(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(DOCUMENT)
    source = read_toml(path, "m.toml")
    assert source.line(("many", 1, "absent")) == 26
    assert source.line(("nothing",)) == 1


def test_numbers_that_are_not_finite_show_as_written(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text("x = [nan, -inf, 1e400]")
    assert [repr(x) for x in read_toml(path, "m.toml").data["x"]] == ["nan", "-inf", "1e400"]


def test_files_that_cannot_be_read(tmp_path):
    def message(path):
        with pytest.raises(ModelFileError) as caught:
            read_toml(path, "x.toml")
        return str(caught.value)

    assert message(tmp_path / "no") == "x.toml:1: file: must be a file that exists, found none"
    assert message(tmp_path) == "x.toml:1: file: must be a plain file, found a folder"
    assert message(tmp_path / "a\0b").startswith("x.toml:1: file: must be a readable file")
    os.mkfifo(tmp_path / "pipe")
    assert (
        message(tmp_path / "pipe") == "x.toml:1: file: must be a plain file, found something else"
    )


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="[]{}='\"\\#,.\n a1e-", max_size=40))
def test_any_text_parses_or_has_a_fault(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text)
    faults = []
    try:
        read_toml(path, "any.toml")
    except ModelFileError as error:
        faults = error.faults
    assert all(1 <= fault.line <= text.count("\n") + 1 for fault in faults)
    assert bool(faults) == (_parsed(text) is None)


def test_names_outside_the_folder(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "link").symlink_to(tmp_path.parent)
    (tmp_path / "within").symlink_to(tmp_path / "inside")
    for name in ("", "/etc/passwd", "../x", "a/../../x", "C:\\x", "\\\\host\\x", "a\\..\\x", "a\0"):
        assert why_outside(tmp_path, name), name
    assert why_outside(tmp_path, "link/x") is not None
    for name in ("x.csv", "inside/x.csv", "within/x.csv"):
        assert why_outside(tmp_path, name) is None
