"""Malformed evidence files: every fault at its file, line and column, with what was required."""

import numpy as np
import pytest
from small_models import component, family, lognormal, model, structure

from bayes_mesa import load_evidence
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Regime
from bayes_mesa.errors import InputError, ModelFileError
from bayes_mesa.evidence import KINDS
from bayes_mesa.evidence.reading import as_evidence, read_evidence
from bayes_mesa.text.wording import listed

PARTS = {
    "components": [component("plan", lognormal(2, 1), 0), component("check", 5, lognormal(1, 1))],
    "structures": [
        structure("honest", ["plan"], ["check"]),
        structure("sly", ["check"], ["check"], deploy="x"),
    ],
}
LINEAR = family("linear", rate=lognormal(0, 1))
POWER = family("power", rate=lognormal(0, 1), exponent=1.26)
BARE = model(**PARTS, families=[LINEAR])
WHOLE = model(**PARTS, families=[LINEAR, POWER], regime=Regime(1e9, 1e6, 8, Known(8.0), Known(1e2)))

COMPARISON = "left,right,quantity,left_larger,trials\n"
EXPERTS = "left,right,quantity,left_larger,trials,expert\n"
WINRATE = "compute_ratio,wins,games\n"
TRADEOFF = "source,exponent,log_sd\n"
MEASUREMENT = "component,quantity,value,log_sd\n"


@pytest.fixture
def lines_of(tmp_path, monkeypatch):
    """The lines that an evidence file, and the CSV beside it, are answered with."""
    monkeypatch.chdir(tmp_path)

    def lines(toml, content, found=WHOLE):
        (tmp_path / "e.csv").write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
        (tmp_path / "e.toml").write_text(toml)
        with pytest.raises(ModelFileError) as caught:
            load_evidence("e.toml", found)
        return str(caught.value).splitlines()

    return lines


def table(kind):
    return f'[evidence.e]\nkind = "{kind}"\nfile = "e.csv"\n'


MALFORMED = {
    "two components misspelt": (
        "comparison",
        COMPARISON + "plna,chck,bits,1,2\n",
        [
            'e.csv:2: left: must be one of plan, check, found "plna"; did you mean plan?',
            'e.csv:2: right: must be one of plan, check, found "chck"; did you mean check?',
        ],
    ),
    "a component against itself": (
        "comparison",
        COMPARISON + "check,check,bits,1,2\n",
        ["e.csv:2: right: must be another component than left, found check"],
    ),
    "neither bits nor steps": (
        "comparison",
        COMPARISON + "plan,check,Bits,1,2\nplan,check,time,1,2\n",
        [
            'e.csv:2: quantity: must be one of bits, steps, found "Bits"; did you mean bits?',
            'e.csv:3: quantity: must be one of bits, steps, found "time"',
        ],
    ),
    "more answers than questions": (
        "comparison",
        COMPARISON + "plan,check,bits,3,2\n",
        ["e.csv:2: left_larger: must be at most trials (2), found 3"],
    ),
    "a cost that is surely 0, on either side": (
        "comparison",
        COMPARISON + "plan,check,steps,1,2\ncheck,plan,steps,1,2\n",
        [
            "e.csv:2: left: must be a cost that the model does not hold to be 0, "
            "found steps of plan",
            "e.csv:3: right: must be a cost that the model does not hold to be 0, "
            "found steps of plan",
        ],
    ),
    "counts that are none": (
        "comparison",
        COMPARISON + "plan,check,bits,one,2\nplan,check,bits,1,-2\nplan,check,bits,0.5,2\n",
        [
            'e.csv:2: left_larger: must be a whole number from 0 to 2^53, found "one"',
            'e.csv:3: trials: must be a whole number from 0 to 2^53, found "-2"',
            'e.csv:4: left_larger: must be a whole number from 0 to 2^53, found "0.5"',
        ],
    ),
    "an expert without a name": (
        "comparison",
        EXPERTS + "plan,check,bits,1,2,ann\nplan,check,bits,1,2,\n",
        ['e.csv:3: expert: must be a name, found ""'],
    ),
    "left and right under other names": (
        "comparison",
        "first,second,quantity,left_larger,trials\nplan,check,bits,1,2\n",
        [
            "e.csv:1: first: must be one of the columns left, right, quantity, left_larger, "
            "trials, expert, "
            "found an unknown column",
            "e.csv:1: left: must be a column, found none",
            "e.csv:1: right: must be a column, found none",
            "e.csv:1: second: must be one of the columns left, right, quantity, left_larger, "
            "trials, expert, "
            "found an unknown column",
        ],
    ),
    "counts beyond what a double holds": (
        "winrate",
        WINRATE + "2,1,9007199254740993\n",
        ['e.csv:2: games: must be a whole number from 0 to 2^53, found "9007199254740993"'],
    ),
    "more wins than games": (
        "winrate",
        WINRATE + "2,3,2\n4,1,0\n",
        [
            "e.csv:2: wins: must be at most games (2), found 3",
            "e.csv:3: wins: must be at most games (0), found 1",
        ],
    ),
    "ratios that are not positive": (
        "winrate",
        WINRATE + "0,1,2\n-2,1,2\n",
        [
            'e.csv:2: compute_ratio: must be greater than 0, found "0"',
            'e.csv:3: compute_ratio: must be greater than 0, found "-2"',
        ],
    ),
    "ratios that are not finite": (
        "winrate",
        WINRATE + "nan,1,2\ninf,1,2\n1e999,1,2\n",
        [
            'e.csv:2: compute_ratio: must be a finite number, found "nan"',
            'e.csv:3: compute_ratio: must be a finite number, found "inf"',
            'e.csv:4: compute_ratio: must be a finite number, found "1e999"',
        ],
    ),
    "a ratio as a fraction": (
        "winrate",
        WINRATE + "1/2,1,2\n",
        ['e.csv:2: compute_ratio: must be a finite number, found "1/2"'],
    ),
    "wins as a share": (
        "winrate",
        "compute_ratio,win_rate,games\n2,0.66,50\n",
        [
            "e.csv:1: win_rate: must be one of the columns compute_ratio, wins, games, "
            "found an unknown column",
            "e.csv:1: wins: must be a column, found none",
        ],
    ),
    "an exponent that is not positive": (
        "tradeoff",
        TRADEOFF + "Jones,0,0.5\nEpoch,-1.2,0.5\n",
        [
            'e.csv:2: exponent: must be greater than 0, found "0"',
            'e.csv:3: exponent: must be greater than 0, found "-1.2"',
        ],
    ),
    "certain to the last digit": (
        "tradeoff",
        TRADEOFF + "Jones,1.2,0\n",
        ['e.csv:2: log_sd: must be greater than 0, found "0"'],
    ),
    "no source": (
        "tradeoff",
        TRADEOFF + ",1.2,0.5\n",
        ['e.csv:2: source: must be a name, found ""'],
    ),
    "a source with a bell in it": (
        "tradeoff",
        TRADEOFF + "Jo\x07nes,1.2,0.5\n",
        ['e.csv:2: source: must be a name, found "Jo\\u0007nes"'],
    ),
    "a comma in a source without quotes": (
        "tradeoff",
        TRADEOFF + "Jones, 2021,1.2,0.5\n",
        ["e.csv:2: row: must have 3 fields, found 4"],
    ),
    "a source that is quoted in part": (
        "tradeoff",
        TRADEOFF + 'Epoch,1.2,0.5\n"Jones" 2021,1.2,0.5\n',
        ["e.csv:3: row: must be CSV, found: ',' expected after '\"'"],
    ),
    "no uncertainty": (
        "tradeoff",
        "source,exponent\nJones,1.2\n",
        ["e.csv:1: log_sd: must be a column, found none"],
    ),
    "semicolons": (
        "measurement",
        "component;quantity;value;log_sd\nplan;bits;3;1\n",
        [
            'e.csv:1: "component;quantity;value;log_sd": must be one of the columns component, '
            "quantity, value, log_sd, "
            "found an unknown column",
            "e.csv:1: component: must be a column, found none",
            "e.csv:1: log_sd: must be a column, found none",
            "e.csv:1: quantity: must be a column, found none",
            "e.csv:1: value: must be a column, found none",
        ],
    ),
    "a comma for the decimal point": (
        "measurement",
        MEASUREMENT + "plan,bits,3,5,1\n",
        ["e.csv:2: row: must have 4 fields, found 5"],
    ),
    "digits in groups": (
        "measurement",
        MEASUREMENT + 'plan,bits,"3,000",1\n',
        ['e.csv:2: value: must be a finite number, found "3,000"'],
    ),
    "a unit behind a number": (
        "measurement",
        MEASUREMENT + "plan,bits,3 kB,1\n",
        ['e.csv:2: value: must be a finite number, found "3 kB"'],
    ),
    "a comment": (
        "measurement",
        MEASUREMENT + "# measured in May\nplan,bits,3,1\n",
        ["e.csv:2: row: must have 4 fields, found 1"],
    ),
    "Latin-1": (
        "measurement",
        MEASUREMENT.encode() + b"pl\xe4n,bits,3,1\n",
        ["e.csv:2: file: must be UTF-8 text, found the byte 0xe4"],
    ),
    "UTF-16": (
        "measurement",
        b"\xff\xfe" + (MEASUREMENT + "plan,bits,3,1\n").encode("utf-16-le"),
        ["e.csv:1: file: must be UTF-8 text, found the byte 0xff"],
    ),
    "a header and blank lines": (
        "comparison",
        COMPARISON + "\n\n",
        ["e.csv:1: header: must have a header and at least one row, found none"],
    ),
    "no header": (
        "winrate",
        "2,1,2\n4,1,2\n",
        [
            "e.csv:1: 1: must be one of the columns compute_ratio, wins, games, "
            "found an unknown column",
            "e.csv:1: 2: must be one of the columns compute_ratio, wins, games, "
            "found an unknown column",
            "e.csv:1: compute_ratio: must be a column, found none",
            "e.csv:1: games: must be a column, found none",
            "e.csv:1: wins: must be a column, found none",
        ],
    ),
    "more rollouts than the budget pays": (
        "selection",
        "class,count,rollouts\nhonest,1,0\nhonest,1,1000000\n",
        [
            "e.csv:2: rollouts: must be from 1 to 1000, so that the budget pays for an episode, "
            "found 0",
            "e.csv:3: rollouts: must be from 1 to 1000, so that the budget pays for an episode, "
            "found 1000000",
        ],
    ),
}


@pytest.mark.parametrize(("kind", "content", "expected"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_files(lines_of, kind, content, expected):
    assert lines_of(table(kind), content) == expected


SOUND = {
    "winrate": WINRATE + "2,1,2\n",
    "tradeoff": TRADEOFF + "Jones,1.2,0.5\n",
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "winrate",
            "e.csv:1: compute_ratio: must go with a [regime], whose planning_exponent it informs, "
            "found none",
        ),
        (
            "tradeoff",
            "e.csv:1: exponent: must go with [exchange.power], whose exponent it informs, "
            "found none",
        ),
    ],
)
def test_what_the_model_lacks(lines_of, kind, expected):
    assert lines_of(table(kind), SOUND[kind], BARE) == [expected]


def test_sound_files_are_read(tmp_path):
    for kind, content in SOUND.items():
        (tmp_path / "e.csv").write_text(content)
        (tmp_path / "e.toml").write_text(table(kind))
        (found,) = load_evidence(tmp_path / "e.toml", WHOLE)
        assert (found.kind, len(found)) == (kind, 1)


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        (
            "comparison",
            COMPARISON + "who,what,bits,3,2\n",
            ["t.csv:2: left_larger: must be at most trials (2), found 3"],
        ),
        ("winrate", WINRATE + "2,3,2\n", ["t.csv:2: wins: must be at most games (2), found 3"]),
        (
            "tradeoff",
            TRADEOFF + "x,0,1\n",
            ['t.csv:2: exponent: must be greater than 0, found "0"'],
        ),
    ],
)
def test_without_a_model_only_the_file_itself_is_checked(tmp_path, kind, content, expected):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ModelFileError) as caught:
        read_evidence(tmp_path / "t.csv", "t.csv", "e", KINDS[kind], None)
    assert [str(fault) for fault in caught.value.faults] == expected


def test_of_very_many_faults_the_first_are_told(lines_of):
    found = lines_of(table("winrate"), WINRATE + "0,2,1\n" * 3000)
    assert len(found) == 1000
    assert found[0] == 'e.csv:2: compute_ratio: must be greater than 0, found "0"'


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        (
            '[evidence.e]\nkind = "tradeoff"\n',
            "e.toml:1: evidence.e.file: must be given, found nothing",
        ),
        (
            '[evidence.e]\nfile = "e.csv"\n',
            "e.toml:1: evidence.e.kind: must be given, found nothing",
        ),
        (
            '[evidence.e]\nkind = "tradeof"\nfile = "e.csv"\n',
            f"e.toml:2: evidence.e.kind: must be one of {listed(KINDS)}, "
            'found "tradeof"; did you mean tradeoff?',
        ),
        (
            '[evidence.e]\nkind = "tradeoff"\nfile = "f.csv"\n',
            'e.toml:3: evidence.e.file: must be the name of a file, found no such file: "f.csv"',
        ),
        (
            '[evidence.e]\nkind = "tradeoff"\nfile = "../e.csv"\n',
            'e.toml:3: evidence.e.file: must be beside or below this file, found "../e.csv"',
        ),
        (
            '[evidence.planning_exponent]\nkind = "tradeoff"\nfile = "e.csv"\n',
            "e.toml:1: evidence.planning_exponent: must be a name that no variable of the result "
            'has, found "planning_exponent"',
        ),
        (
            table("tradeoff") + '[evidence.e_sd]\nkind = "tradeoff"\nfile = "e.csv"\n',
            "e.toml:4: evidence.e_sd: must be a name that no variable of other evidence has, "
            'found "e_sd" beside "e"',
        ),
        (
            table("tradeoff") + "weight = 2\n",
            "e.toml:4: evidence.e.weight: must be one of the keys kind, file, found an unknown key",
        ),
    ],
)
def test_malformed_tables_of_evidence(lines_of, toml, expected):
    assert lines_of(toml, SOUND["tradeoff"]) == [expected]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"kind": "comparison", "left": ["plan"], "right": ["plan"], "quantity": ["bits"]}
            | {"left_larger": [1], "trials": [1]},
            ["evidence.e.right[0]: must be another component than left, found plan"],
        ),
        (
            {"kind": "winrate", "compute_ratio": [2, -1], "wins": [1, 1], "games": [1, 1.5]},
            [
                "evidence.e.compute_ratio[1]: must be greater than 0, found -1",
                "evidence.e.games[1]: must be a whole number from 0 to 2^53, found 1.5",
            ],
        ),
        (
            {"kind": "tradeoff", "source": [1], "exponent": ["1.2"], "log_sd": [float("nan")]},
            [
                "evidence.e.source[0]: must be a name, found 1",
                'evidence.e.exponent[0]: must be a finite number, found "1.2"',
                "evidence.e.log_sd[0]: must be a finite number, found nan",
            ],
        ),
    ],
)
def test_the_same_checks_of_evidence_from_python(given, expected):
    with pytest.raises(InputError) as caught:
        as_evidence({"e": given}, WHOLE)
    assert str(caught.value).splitlines() == expected


def test_a_header_is_faulty_at_its_own_line(lines_of):
    found = lines_of(table("winrate"), "\n\n\ncompute_ratio,wins,gamse\n2,1,3\n")
    assert [line[:9] for line in found] == ["e.csv:4: ", "e.csv:4: "]


def test_very_many_ragged_rows_are_not_all_told(lines_of):
    assert len(lines_of(table("winrate"), WINRATE + "2\n,\n" * 3000)) == 1000


def test_a_name_longer_than_any_file_has(lines_of):
    toml = table("winrate").replace("e.csv", "x" * 300) + "[evidence.f]\n"
    found = "\n".join(lines_of(toml, ""))
    assert "evidence.e.file: must be the name of a file, found no such file" in found
    assert "evidence.f.kind: must be given, found nothing" in found


def test_a_path_with_a_line_break_stays_on_one_line(tmp_path):
    path = tmp_path / "ev\nil\x1b.toml"
    path.write_text("[evidence.e]\nkind = 1\n")
    with pytest.raises(ModelFileError) as caught:
        load_evidence(path, WHOLE)
    assert all("ev\\nil\\u001b.toml:" in line for line in str(caught.value).splitlines())


@pytest.mark.parametrize("name", ["draw", "chain", "bits", "family", "deceptive_mass"])
def test_names_that_results_have_already(lines_of, name):
    toml = table("winrate").replace("evidence.e]", f"evidence.{name}]")
    (line,) = lines_of(toml, WINRATE + "2,1,3\n")
    assert "must be a name that no variable of the result has" in line


def test_the_tables_of_a_file_are_evidence_as_they_are(tmp_path):
    (tmp_path / "e.csv").write_text(WINRATE + "2,1,3\n")
    (tmp_path / "e.toml").write_text(table("winrate"))
    tables = load_evidence(tmp_path / "e.toml", WHOLE)
    (again,) = as_evidence(tables, WHOLE)
    assert (again.name, again.kind) == (tables[0].name, "winrate")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"kind": "winrate", "wins": [1]}, 'one table: write {"a_name"'),
        ("e.toml", "must be a mapping of names to tables"),
        ({"e": {"kind": "winrate", "compute_ratio": [10**400], "wins": [1], "games": [1]}},
         "must be a finite number"),
        ({"e": {"kind": "winrate", "compute_ratio": np.array([3], "m8[ns]"), "wins": [1],
                "games": [1]}}, "must be numbers or text, found times"),
        ({"e": {"kind": "winrate", "compute_ratio": np.ma.array([3.0], mask=[True]), "wins": [1],
                "games": [1]}}, "must have a value in every row, found masked ones"),
        ({"e": {"kind": "winrate", "compute_ratio": [object()], "wins": [1], "games": [1]}},
         "found a value of type object"),
        ({"e": {"kind": "winrate", "a\nb": [1], "compute_ratio": [1], "wins": [1], "games": [1]}},
         "evidence.e.a\\nb"),
    ],
)  # fmt: skip
def test_what_is_no_evidence_in_python(given, expected):
    with pytest.raises(InputError) as caught:
        as_evidence(given, WHOLE)
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
