"""Damage: one sound text becomes another text, sound or not.

Every way takes the bytes of a file, the bytes of another one to steal from, and a generator of
random numbers, and gives bytes. Which ones are taken follows from the generator alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from fuzzing.case import Case

Way = Callable[[bytes, bytes, Random], bytes]

#: Longer ones say nothing new, and cost time; a few are made on purpose by `_many_times`.
_LONGEST = 60_000

NUMBERS = (
    *("0", "-0", "0.0", "-1", "1", "2", "0.5", "1e-9", "-1e-300", "1e-300", "5e-324", "1e-400"),
    *("1e300", "1e308", "1.8e308", "-1e308", "1e309", "1e400", "1e99999999", "9007199254740993"),
    *("2147483648", "9223372036854775807", "9223372036854775808", "1" + "0" * 299, "1" * 301),
    *("1_000", "1__0", "0x10", "0b1", "0o7", "0xffffffffffffffffffffff", "+1", ".5", "5.", "1e"),
    *("nan", "-nan", "inf", "-inf", "true", "false", "1979-05-27", "07:32:00"),
    *("1979-05-27T07:32:00Z", "9999-99-99", "1000000001", "100001", "１２", "٣", "1e5_0"),
)
_TEXTS = (
    *("", " ", "\t", "é", "\u202e", "\u2028", "\u0085", "\ufeff", "\U0001f600", "a" * 101),
    *(
        "<b>",
        "<number>",
        "<names>",
        "<unknown>",
        "{message}",
        "%s%n",
        "../x",
        "/etc/passwd",
        "e.csv",
    ),
    *(
        "__class__",
        "__import__('os')",
        "first",
        "bits.first",
        "steps.",
        ".",
        "bits",
        "other_honest",
    ),
    *("C:\\x", "\\\\server\\x", "con", "[key]", "name", "\x7f", "base", "m.toml", "a" * 5000),
)
_WRONG_ESCAPES = (r"\q", r"\u12", r"\ud800", r"\U00110000", r"\u0000", r"\x00", "\\")
#: Values of every type, to stand where one of another type is wanted.
VALUES = (
    *('"text"', "''", "7", "-7", "0.25", "true", "[]", "{}", "[1]", '["first"]', "[[[1]]]"),
    *("{ q05 = 1, q95 = 2 }", "{ q05 = 2, q95 = 1 }", "{ q05 = 1 }", "{ q05 = 1, q50 = 2 }"),
    *('{ dist = "Normal", loc = 0, scale = 1 }', '{ dist = "Beta" }', "{ dist = 3 }"),
    *('{ dist = "LogNormal", loc = 700, scale = 9 }', '{ dist = "Uniform", low = 1, high = 1 }'),
    *('{ dist = "Gamma", concentration = 1e-300, rate = 1e300 }', "{ dist = [] }", "1979-05-27"),
    *("{ first = 2 }", "{ first = true }", "{ a = { b = { c = 1 } } }", '"""\n[model]\n"""'),
)
_TOKEN = re.compile(rb"[A-Za-z0-9_]+|\s+|.", re.DOTALL)
_NUMBER = re.compile(rb"(?<![A-Za-z_0-9])[0-9][0-9.e+\-]*")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]+")
_VALUE = re.compile(rb"(?m)=[ \t]*([^\n]+)$")
_STRING = re.compile(rb'"([^"\n]*)"')


def _place(data: bytes, rng: Random) -> int:
    return rng.randrange(len(data) + 1)


def _replace(data: bytes, pattern: re.Pattern[bytes], new: bytes, rng: Random) -> bytes:
    """One match of a pattern (its last group) replaced."""
    found = list(pattern.finditer(data))
    if not found:
        return data
    match = rng.choice(found)
    start, end = match.span(pattern.groups)
    return data[:start] + new + data[end:]


def _flip_bits(data: bytes, _: bytes, rng: Random) -> bytes:
    changed = bytearray(data or b"x")
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _random_bytes(data: bytes, _: bytes, rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 4, 30))) + data[at:]


def _odd_byte(data: bytes, _: bytes, rng: Random) -> bytes:
    odd = (
        b"\0",
        b"\r",
        b"\r\n",
        b"\n",
        b"\x0b",
        b"\x0c",
        b"\x85",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\x1a",
    )
    more = (b"\xed\xa0\x80", b"\xc2\x85", b"\xe2\x80\xa8", b'"', b"'", b'"""', b"'''", b"#", b"\\")
    at = _place(data, rng)
    return data[:at] + rng.choice(odd + more) + data[at:]


def _cut_out(data: bytes, _: bytes, rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + rng.choice((1, 1, 3, 20, 200)) :]


def _truncate(data: bytes, _: bytes, rng: Random) -> bytes:
    return data[: _place(data, rng)]


def _swap_tokens(data: bytes, _: bytes, rng: Random) -> bytes:
    tokens = _TOKEN.findall(data)
    if len(tokens) < 2:
        return data
    i, j = rng.randrange(len(tokens)), rng.randrange(len(tokens))
    tokens[i], tokens[j] = tokens[j], tokens[i]
    return b"".join(tokens)


def _drop_token(data: bytes, _: bytes, rng: Random) -> bytes:
    tokens = _TOKEN.findall(data)
    if tokens:
        del tokens[rng.randrange(len(tokens))]
    return b"".join(tokens)


def _twice(data: bytes, _: bytes, rng: Random) -> bytes:
    """A line, or a run of lines, given again elsewhere."""
    lines = data.split(b"\n")
    start = rng.randrange(len(lines))
    piece = lines[start : start + rng.choice((1, 1, 1, 5, 20))]
    at = rng.choice((start, rng.randrange(len(lines))))
    return b"\n".join([*lines[:at], *piece, *lines[at:]])


def _drop_lines(data: bytes, _: bytes, rng: Random) -> bytes:
    lines = data.split(b"\n")
    start = rng.randrange(len(lines))
    return b"\n".join(lines[:start] + lines[start + rng.choice((1, 1, 2, 10)) :])


def _swap_lines(data: bytes, _: bytes, rng: Random) -> bytes:
    lines = data.split(b"\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


def _number(data: bytes, _: bytes, rng: Random) -> bytes:
    return _replace(data, _NUMBER, rng.choice(NUMBERS).encode(), rng)


def _value(data: bytes, _: bytes, rng: Random) -> bytes:
    return _replace(data, _VALUE, rng.choice((*VALUES, *NUMBERS)).encode(), rng)


def _text(data: bytes, _: bytes, rng: Random) -> bytes:
    new = rng.choice((*_TEXTS, *_WRONG_ESCAPES))
    return _replace(data, rng.choice((_STRING, _WORD)), new.encode(), rng)


def _wrong_name(data: bytes, _: bytes, rng: Random) -> bytes:
    """A name replaced by another one of the same file: keys, components, symbols, facts."""
    words = _WORD.findall(data)
    return _replace(data, _WORD, rng.choice(words), rng) if words else data


def _misspell(data: bytes, _: bytes, rng: Random) -> bytes:
    words = list(_WORD.finditer(data))
    if not words:
        return data
    match = rng.choice(words)
    at = rng.randrange(match.start(), match.end())
    return data[:at] + bytes([rng.choice(b"abcxyz_019")]) + data[at + rng.randrange(2) :]


def _steal(data: bytes, other: bytes, rng: Random) -> bytes:
    lines = other.split(b"\n")
    start = rng.randrange(len(lines))
    piece = b"\n".join(lines[start : start + rng.choice((1, 3, 10))])
    at = rng.choice((0, len(data), _place(data, rng)))
    return data[:at] + b"\n" + piece + b"\n" + data[at:]


def _nest(data: bytes, _: bytes, rng: Random) -> bytes:
    deep = rng.choice((2, 10, 63, 64, 65, 200, 5000))
    opening, closing = rng.choice(
        (
            (b"[", b"]"),
            (b"{ a = ", b"}"),
            (b"a.", b""),
            (b"[[", b"]]"),
            (b"(", b")"),
            (b"[{a=", b"}]"),
        )
    )
    inside = opening * deep + b"1" + closing * rng.choice((deep, deep - 1, 0))
    if rng.randrange(2):
        return _replace(data, _VALUE, inside, rng)
    at = _place(data, rng)
    return data[:at] + inside + data[at:]


def _many_times(data: bytes, _: bytes, rng: Random) -> bytes:
    """A line, a value or a word so often that whatever is not linear shows."""
    times = rng.choice((10, 100, 1000))
    pieces = (
        b"x = 1\n",
        b"[a]\n",
        b"[[b]]\n",
        b'"first", ',
        b"a.b.",
        b"#",
        b"\n",
        b"f1 ",
        b",",
        b"9",
    )
    piece = rng.choice((*pieces, rng.choice(data.split(b"\n")) + b"\n"))
    at = rng.choice((len(data), _place(data, rng)))
    return data[:at] + piece * times + data[at:]


def _many_names(data: bytes, _: bytes, rng: Random) -> bytes:
    """Very many different tables of one kind."""
    times = rng.choice((30, 300, 1000))
    forms = (
        "[components.c%d]\nbits = %d\n",
        '[structures.s%d]\nruns = ["c%d"]\ntrain = "base"\ndeploy = "base"\n',
        '[[constraints]]\nat_least = ["bits.first", "bits.c%d"]\n#%d\n',
        '[[grammar.rules]]\nsymbol = "S%d"\nname = "r"\nargs = ["S%d"]\n',
        "k%d = %d\n",
        "[evidence.e%d]\nkind = 'choice'\nfile = 'f%d.csv'\n",
    )
    form = rng.choice(forms)
    shift = rng.choice((0, 1))
    made = "".join(form % (k, k + shift) for k in range(times))
    return data + b"\n" + made.encode()


WAYS: tuple[Way, ...] = (
    *(_flip_bits, _random_bytes, _odd_byte, _cut_out, _truncate, _swap_tokens, _drop_token),
    *(_twice, _drop_lines, _swap_lines, _steal, _nest),
    *(_number, _value, _text, _wrong_name, _misspell) * 3,
)
#: Costly ones, now and then.
_LARGE: tuple[Way, ...] = (_many_times, _many_names)


def mutated(case: Case, others: tuple[Case, ...], rng: Random) -> Case:
    """The case after one to five changes, mostly of one file."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        name = rng.choice(sorted(case.files))
        other = rng.choice(others)
        stolen = other.files[rng.choice(sorted(other.files))]
        way = rng.choice(_LARGE) if rng.random() < 0.004 else rng.choice(WAYS)
        case = case.having(name, way(case.files[name], stolen, rng)[:_LONGEST])
    return case
