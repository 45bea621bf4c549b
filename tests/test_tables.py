"""Tables from CSV and from Python: facts, and evidence."""

import numpy as np
import pytest

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Component, EvidenceTable, Family, Model, Structure
from bayes_mesa.errors import InputError, ModelFileError
from bayes_mesa.evidence import KINDS
from bayes_mesa.evidence.reading import as_evidence, read_evidence
from bayes_mesa.model_file import load_model
from bayes_mesa.reading.facts_file import read_facts
from bayes_mesa.reading.tables import Column, read_csv
from bayes_mesa.text.wording import listed

MODEL = Model(
    name="m",
    components=(Component("a", Known(1.0)), Component("b", Known(2.0), Known(3.0))),
    structures=(
        Structure("honest", {"a": 1}, {}, "base", "base"),
        Structure("sly", {"b": 1}, {"b": 1}, "base", "other"),
        Structure("lost", {}, {}, "other", "other"),
    ),
    families=(Family("linear", 1.0, {"rate": Known(1.0)}),),
)
NUMBERS = (Column("x", "number", low=0.0, above=True), Column("n", "count"))


@pytest.fixture
def csv_faults(tmp_path):
    """Faults that a reader finds in a CSV of this content."""

    def faults(content, read):
        path = tmp_path / "t.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ModelFileError) as caught:
            read(path)
        return [str(fault) for fault in caught.value.faults]

    return faults


def evidence_reader(kind, model=MODEL):
    return lambda path: read_evidence(path, "t.csv", "e", KINDS[kind], model)


def facts_reader(path):
    return read_facts(path, "t.csv", {})


CHOICE = "bits,steps,base_steps,stored,trials,group\n"


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        (
            "choice",
            "bits,steps,base_step,stored,trials\n1,2,3,4,5\n",
            [
                "t.csv:1: base_step: must be one of the columns bits, steps, base_steps, stored, "
                "trials, group, found an unknown column; did you mean base_steps?",
                "t.csv:1: base_steps: must be a column, found none",
            ],
        ),
        (
            "choice",
            CHOICE + '-1,nan,0,2,1,\n1e400,"",1,1.5,x,g\n\n1,2,3\n',
            [
                't.csv:2: base_steps: must be greater than 0, found "0"',
                't.csv:2: bits: must be at least 0, found "-1"',
                't.csv:2: group: must be a name, found ""',
                't.csv:2: steps: must be a finite number, found "nan"',
                "t.csv:2: stored: must be at most trials (1), found 2",
                't.csv:3: bits: must be a finite number, found "1e400"',
                't.csv:3: steps: must be a finite number, found ""',
                't.csv:3: stored: must be a whole number from 0 to 2^53, found "1.5"',
                't.csv:3: trials: must be a whole number from 0 to 2^53, found "x"',
                "t.csv:5: row: must have 6 fields, found 3",
            ],
        ),
        (
            "choice",
            CHOICE,
            ["t.csv:1: header: must have a header and at least one row, found none"],
        ),
        ("choice", "", ["t.csv:1: header: must have a header and at least one row, found none"]),
        (
            "choice",
            "bits,bits,steps,base_steps,stored,trials\n1,1,1,1,1,1\n",
            ["t.csv:1: bits: must be given once, found twice"],
        ),
        (
            "choice",
            CHOICE + '1,1,1,1,1,"open\n',
            ["t.csv:2: row: must be CSV, found: unexpected end of data"],
        ),
        ("choice", b"bits\n\xff\n", ["t.csv:2: file: must be UTF-8 text, found the byte 0xff"]),
        (
            "selection",
            "structure,class,count\nhonest,honest,1\n",
            ["t.csv:1: structure: must be given, or else class, found both"],
        ),
        (
            "selection",
            "count\n1\n",
            ["t.csv:1: structure: must be given, or else class, found neither"],
        ),
        (
            "selection",
            "structure,count,rollouts\nhonest,1,2\n",
            [
                "t.csv:1: rollouts: must be left out where the model has no [regime], "
                "found the column"
            ],
        ),
        (
            "selection",
            "structure,count\nhonst,1\nsly,1\nsly,2\nlost,3\n",
            [
                't.csv:2: structure: must be one of honest, sly, lost, found "honst"; '
                "did you mean honest?",
                "t.csv:4: structure: must name each structure once, found sly again",
                "t.csv:5: count: must be 0 where the model leaves no program (lost), found 3",
            ],
        ),
        (
            "selection",
            "class,count\nhonest,1\nmisaligned,1\nbad,1\n",
            [
                "t.csv:3: count: must be 0 where the model leaves no program (misaligned), found 1",
                't.csv:4: class: must be one of honest, deceptive, misaligned, found "bad"',
            ],
        ),
        (
            "measurement",
            "component,quantity,value,log_sd\nz,bits,1,1\na,time,1,1\na,steps,0,0\n",
            [
                't.csv:2: component: must be one of a, b, found "z"',
                't.csv:3: quantity: must be one of bits, steps, found "time"',
                't.csv:4: log_sd: must be greater than 0, found "0"',
                "t.csv:4: quantity: must be a cost that the model does not hold to be 0, "
                "found steps of a",
                't.csv:4: value: must be greater than 0, found "0"',
            ],
        ),
    ],
)
def test_faults_of_evidence_files(csv_faults, kind, content, expected):
    assert csv_faults(content, evidence_reader(kind)) == expected


def test_without_a_model_only_the_file_itself_is_checked(csv_faults, tmp_path):
    content = "structure,count\nwho,1\nwho,2\n"
    found = csv_faults(content, evidence_reader("selection", None))
    assert found == ["t.csv:3: structure: must name each structure once, found who again"]


def test_choice_columns_and_types(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(
        b"\xef\xbb\xbf" + CHOICE.encode() + b' 1 ,2e1,+3.5,0,0,"a, b"\r\n1,2,3,1,4,c\r\n'
    )
    table = evidence_reader("choice")(path)
    assert (table.name, table.kind, table.origin, len(table)) == ("e", "choice", "t.csv", 2)
    assert [table.columns[c].dtype.kind for c in table.columns] == ["f", "f", "f", "i", "i", "U"]
    assert table.columns["steps"].tolist() == [20.0, 2.0]
    assert table.columns["group"].tolist() == ["a, b", "c"]


def test_lines_count_through_quoted_line_ends(csv_faults):
    content = 'x,n\n"\n1",1\n0,2\n'
    faults = csv_faults(content, lambda path: _checked(path))
    assert faults == ['t.csv:4: x: must be greater than 0, found "0"']


def _checked(path):
    rows = read_csv(path, "t.csv", NUMBERS)
    from bayes_mesa.reading.tables import file_faults

    raise ModelFileError(file_faults("t.csv", rows, rows.faults))


def test_facts(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name,bits,steps,needs\nx,1,2,\ny,3,4,x\nz,5,6,x  y\n")
    facts = read_facts(path, "t.csv", {"s": 2.0})
    assert facts.names == ("x", "y", "z")
    assert facts.bits == (Known(1.0), Known(3.0), Known(5.0))
    assert facts.steps == (Known(2.0), Known(4.0), Known(6.0))
    assert facts.needs == ((), (0,), (0, 1))
    assert facts.depend
    path.write_text("name,bits,steps\nx,1,2\n")
    assert read_facts(path, "t.csv", {}).needs == ((),)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "name,bits,steps,needs\na,1,1,b\nb,1,1,c\nc,1,1,a\nd,1,1,a\n",
            [
                "t.csv:2: needs: must not lead back to the fact itself, "
                "found a needs b needs c needs a"
            ],
        ),
        (
            "name,bits,steps,needs\na,1,1,a\n",
            ["t.csv:2: needs: must not lead back to the fact itself, found a needs a"],
        ),
        (
            "name,bits,steps,needs\nfact,1,1,fcat\nfact,-1,inf,fact fact\n,1,1,\nx y,1,1,\n",
            [
                't.csv:2: needs: must be facts, found "fcat"; did you mean fact?',
                't.csv:3: bits: must be at least 0, found "-1"',
                't.csv:3: name: must differ from other facts, found "fact" again',
                't.csv:3: needs: must name "fact" once, found it again',
                't.csv:3: steps: must be a finite number, found "inf"',
                't.csv:4: name: must be a name, found ""',
                't.csv:5: name: must be one word, found "x y"',
            ],
        ),
        (
            "name,bits,cost\na,1,1\n",
            [
                "t.csv:1: cost: must be one of the columns name, bits, steps, needs, "
                "found an unknown column",
                "t.csv:1: steps: must be a column, found none",
            ],
        ),
    ],
)
def test_faults_of_fact_files(csv_faults, content, expected):
    assert csv_faults(content, facts_reader) == expected


def test_evidence_from_python():
    columns = {"bits": [1, 2], "steps": np.array([1.0, 2.0]), "base_steps": (5, 5)}
    counts = {"stored": np.array([1.0, 0.0]), "trials": [2, 2]}
    first, second = as_evidence(
        {
            "one": {"kind": "choice", **columns, **counts},
            "two": EvidenceTable("x", "selection", {"class": np.array(["honest"]), "count": [3]}),
        },
        MODEL,
    )
    assert (first.name, first.kind, first.columns["stored"].dtype) == ("one", "choice", np.int64)
    assert (second.name, second.columns["count"].tolist()) == ("two", [3])
    assert as_evidence({}, MODEL) == ()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"kind": "forecast"}, f"evidence.e.kind: must be one of {listed(KINDS)}, found"),
        ({"kind": "chioce"}, 'found "chioce"; did you mean choice?'),
        ({}, f"evidence.e.kind: must be one of {listed(KINDS)}, found nothing"),
        ([1], "evidence.e: must be an evidence table or a mapping of columns"),
        (
            {"kind": "selection", "class": ["honest"], "count": [1, 2]},
            "evidence.e: must have columns of one length, found class 1, count 2",
        ),
        (
            {"kind": "selection", "class": ["honest"], "count": [[1]]},
            "evidence.e.count: must be one value per row, found another shape",
        ),
        (
            {"kind": "selection", "class": ["honest"], "count": [[1], [2, 3]]},
            "evidence.e.count: must be one value per row, found another shape",
        ),
        (
            {"kind": "selection", "class": [], "count": []},
            "evidence.e: must have at least one row, found none",
        ),
        ({"kind": "selection"}, "evidence.e: must have at least one row, found none"),
        (
            {"kind": "selection", "class": ["honest", "deceptive"], "count": [1, 2.5]},
            "evidence.e.count[1]: must be a whole number from 0 to 2^53, found 2.5",
        ),
        (
            {"kind": "selection", "class": ["honest"], "count": [np.nan]},
            "evidence.e.count[0]: must be a whole number from 0 to 2^53, found nan",
        ),
        (
            {"kind": "selection", "class": ["honest"], "count": [True]},
            "evidence.e.count[0]: must be a whole number from 0 to 2^53, found true",
        ),
        (
            {"kind": "measurement", "component": ["a"], "quantity": ["bits"], "value": [np.inf]},
            "evidence.e.log_sd: must be a column, found none\n"
            "evidence.e.value[0]: must be a finite number, found inf",
        ),
    ],
)
def test_faults_of_evidence_from_python(given, expected):
    with pytest.raises(InputError) as caught:
        as_evidence({"e": given}, MODEL)
    assert expected in str(caught.value)


def test_faults_of_all_evidence_from_python_come_at_once():
    with pytest.raises(InputError) as caught:
        as_evidence({"a b": {}, "f": {"kind": 3}, "g": None}, MODEL)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("name", ["pressure", "levin_kappa", "correlations"])
def test_evidence_may_not_take_the_name_of_a_variable(name):
    table = {"kind": "selection", "class": ["honest"], "count": [3]}
    message = "must be a name that no variable of the result has"
    with pytest.raises(InputError, match=f"evidence.{name}: {message}"):
        as_evidence({name: table}, load_model("speed_simplicity"))
