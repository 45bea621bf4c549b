"""Model files with a grammar: read in full, and every fault answered on its line."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_mesa.domain.beliefs import Known, Prior
from bayes_mesa.domain.critical_pressure import critical_pressure
from bayes_mesa.domain.grammar import Rule
from bayes_mesa.domain.model import Column, Structure
from bayes_mesa.errors import ModelFileError
from bayes_mesa.model_file import load_model

SMALL = """\
[model]
name = "small"
[components.search]
bits = 6
[components.plan]
steps = 40
shared = false
[grammar]
start = "Policy"
[[grammar.rules]]
symbol = "Policy"
name = "optimize"
args = ["Objective"]
stores = ["search", "search"]
runs = { plan = 3 }
weight = 4
[[grammar.rules]]
symbol = "Policy"
name = "switch"
args = ["Policy", "Policy"]
stores = ["plan"]
runs = ["plan"]
executes = [0]
train = 0
deploy = 1
[[grammar.rules]]
symbol = "Objective"
name = "base"
train = "base"
deploy = "base"
[[grammar.rules]]
symbol = "Objective"
name = "own"
train = "own"
deploy = "own"
[structures.honest]
symbol = "Hh"
program = "optimize(base)"
[structures.turncoat]
program = "switch(optimize(base), switch(optimize(own), optimize(own)))"
[exchange.linear]
rate = 1
[exchange.levin]
kappa = 1
"""


@pytest.fixture
def lines_of(tmp_path, monkeypatch):
    """The lines that a malformed file is answered with."""
    monkeypatch.chdir(tmp_path)

    def lines(text):
        Path("x.toml").write_text(text)
        with pytest.raises(ModelFileError) as caught:
            load_model("x.toml")
        return str(caught.value).splitlines()

    return lines


@pytest.fixture
def loaded(tmp_path):
    def load(text):
        (tmp_path / "x.toml").write_text(text)
        return load_model(tmp_path / "x.toml")

    return load


def test_the_grammar_is_read(loaded):
    model = loaded(SMALL)
    assert model.grammar.start == "Policy"
    assert model.grammar.unshared == {"plan"}
    optimize, switch, base, own = model.grammar.rules
    assert optimize == Rule(
        "Policy", "optimize", ("Objective",), {"search": 2}, {"plan": 3}, (0,), 0, 0, 4.0
    )
    assert switch == Rule(
        "Policy", "switch", ("Policy", "Policy"), {"plan": 1}, {"plan": 1}, (0,), 0, 1, 1.0
    )
    assert base == Rule("Objective", "base", (), {}, {}, (), "base", "base", 1.0)
    assert own.deploy == "own"


def test_labelled_programs_become_structures(loaded):
    model = loaded(SMALL)
    bits = math.log2(5 / 4) + 1
    assert model.structures == (
        Structure(
            "honest", {"search": 2}, {"plan": 3}, "base", "base", "Hh", rule_bits=bits, code=(0, 2)
        ),
        Structure(
            "turncoat",
            {"search": 2, "plan": 2},
            {"plan": 4},
            "base",
            "own",
            rule_bits=pytest.approx(3 * bits + 2 * math.log2(5), rel=1e-14),
            code=(1, 0, 2, 1, 0, 3, 0, 3),
        ),
    )
    assert model.classes == ("honest", "deceptive")
    assert model.columns == (
        Column("honest", "Hh", "honest"),
        Column("turncoat", "", "deceptive"),
        Column("other_honest", "", "honest"),
        Column("other_deceptive", "", "deceptive"),
        Column("other_misaligned", "", "misaligned"),
    )


def test_a_grammar_needs_no_structures(loaded):
    start, end = SMALL.index("[structures.honest]"), SMALL.index("[exchange.linear]")
    model = loaded(SMALL[:start] + SMALL[end:])
    assert model.structures == ()
    assert len(model.columns) == 3


def test_a_prior_of_the_pressure_is_cut_off_where_the_sum_diverges(loaded):
    prior = '{ dist = "LogNormal", loc = 0, scale = 0.5 }'
    model = loaded(f"{SMALL}[selection]\npressure = {prior}\nepisodes = 3\n")
    critical = critical_pressure(model.grammar)
    assert 0.5 < critical < 1.0
    arguments = (("loc", 0.0), ("scale", 0.5))
    assert model.selection.pressure == Prior("LogNormal", arguments, low=critical)
    # Φ(ln β_c / 0.5)
    by_hand = 0.5 * math.erfc(-math.log(critical) / 0.5 / math.sqrt(2))
    assert model.selection.pressure.share_cut == pytest.approx(by_hand, rel=1e-9)
    assert model.selection.episodes == 3.0


def test_a_prior_above_the_critical_pressure_is_left_alone(loaded):
    model = loaded(f'{SMALL}[selection]\npressure = {{ dist = "Uniform", low = 1, high = 2 }}\n')
    assert model.selection.pressure.low == -math.inf
    assert loaded(SMALL).selection.pressure == Known(1.0)


MALFORMED = [
    # (what replaces what, the answer)
    (
        'start = "Policy"',
        'start = "Polcy"',
        [
            "x.toml:9: grammar.start: must be a symbol with rules (Policy, Objective), "
            'found "Polcy"; did you mean Policy?'
        ],
    ),
    (
        'start = "Policy"',
        'start = "a b"\nstarts = 3',
        [
            "x.toml:9: grammar.start: must be a name of at most 100 letters, digits and _, "
            'found "a b"',
            "x.toml:10: grammar.starts: must be one of the keys start, rules, "
            "found an unknown key; did you mean start?",
        ],
    ),
    (
        'args = ["Objective"]\nstores = ["search", "search"]\nruns = { plan = 3 }',
        'args = ["Objectve",\n"Objective", 3]\nstores = ["serch"]\nruns = { plan = -3 }',
        [
            "x.toml:14: grammar.rules[0].args[2]: must be text in quotes, found 3",
            'x.toml:15: grammar.rules[0].stores[0]: must be one of search, plan, found "serch"; '
            "did you mean search?",
            "x.toml:16: grammar.rules[0].runs.plan: must be at least 0, found -3",
        ],
    ),
    (
        'args = ["Objective"]',
        'args = ["Objectve"]',
        [
            "x.toml:13: grammar.rules[0].args[0]: must be a symbol with rules (Policy, Objective), "
            'found "Objectve"; did you mean Objective?'
        ],
    ),
    (
        "executes = [0]",
        "executes = [1, 2, 1]",
        [
            "x.toml:23: grammar.rules[1].executes[1]: must be the position of an argument "
            "(from 0 to 1), found 2",
            "x.toml:23: grammar.rules[1].executes[2]: must be given once, found 1 again",
        ],
    ),
    (
        "train = 0\ndeploy = 1",
        "train = 2",
        [
            "x.toml:17: grammar.rules[1].deploy: must be the position of an argument (from 0 to 1) "
            "or an objective's name, where there are several, found nothing",
            "x.toml:24: grammar.rules[1].train: must be the position of an argument (from 0 to 1) "
            "or an objective's name, found 2",
        ],
    ),
    (
        "train = 0\ndeploy = 1",
        "train = 0.5\ndeploy = true",
        [
            "x.toml:24: grammar.rules[1].train: must be an objective's name or the position of an "
            "argument, found 0.5",
            "x.toml:25: grammar.rules[1].deploy: must be an objective's name or the position of an "
            "argument, found true",
        ],
    ),
    (
        'train = "base"\ndeploy = "base"',
        "train = 0\nexecutes = [0]",
        [
            "x.toml:26: grammar.rules[2].deploy: must name an objective in a rule without "
            "arguments, found nothing",
            "x.toml:29: grammar.rules[2].train: must name an objective in a rule without "
            "arguments, found 0",
            "x.toml:30: grammar.rules[2].executes[0]: must be left out of a rule without "
            "arguments, found 0",
        ],
    ),
    (
        "weight = 4",
        "weight = 0",
        ["x.toml:16: grammar.rules[0].weight: must be greater than 0, found 0"],
    ),
    (
        "weight = 4",
        "weight = 1e-300",
        ["x.toml:16: grammar.rules[0].weight: must be between 1e-100 and 1e+100, found 1e-300"],
    ),
    (
        'name = "own"',
        'name = "base"',
        [
            "x.toml:33: grammar.rules[3].name: must differ from the other rules of Objective, "
            'found "base" again'
        ],
    ),
    (
        'symbol = "Objective"\nname = "own"',
        'symbol = "Objectives"\nname = "own"',
        [
            "x.toml:32: grammar.rules[3].symbol: must be reachable from the start symbol Policy, "
            'found "Objectives", which is not'
        ],
    ),
    (
        'args = ["Objective"]',
        'args = ["Policy"]',
        [
            "x.toml:13: grammar.rules[0].args[0]: must be a symbol with a finite program, found "
            '"Policy" in optimize: none of its programs ever ends',
            "x.toml:20: grammar.rules[1].args[0]: must be a symbol with a finite program, found "
            '"Policy" in switch: none of its programs ever ends',
            "x.toml:27: grammar.rules[2].symbol: must be reachable from the start symbol Policy, "
            'found "Objective", which is not',
        ],
    ),
    (
        'name = "small"',
        'name = "small"\nbase_objective = "good"',
        [
            'x.toml:10: grammar.start: must have a program that pursues "good" or an objective '
            'with a declared loss in training, found "base", "own"'
        ],
    ),
    (
        "runs = { plan = 3 }",
        'runs = ["search"]',
        [
            "x.toml:15: grammar.rules[0].runs: must run something that takes steps, as the levin "
            "exchange needs t > 0, found t = 0 where only optimize, base executes"
        ],
    ),
    (
        "steps = 40",
        "steps = 0",
        [
            "x.toml:15: grammar.rules[0].runs: must run something that takes steps, as the levin "
            "exchange needs t > 0, found t = 0 where only optimize, base executes"
        ],
    ),
    (
        'program = "optimize(base)"',
        'stores = ["search"]\ntrain = "base"\ndeploy = "base"',
        [
            'x.toml:36: structures.honest: must be written as program = "..." where there is a '
            "[grammar], found stores, train, deploy"
        ],
    ),
    (
        'program = "optimize(base)"',
        'program = "optimize(base)"\ntrain = "base"\nmultiplicity = 2\nsymbl = 3',
        [
            "x.toml:39: structures.honest.train: must be left out where a program is given "
            "(its rules say it), found one",
            "x.toml:40: structures.honest.multiplicity: must be left out where a program is given "
            "(its rules say it), found one",
            "x.toml:41: structures.honest.symbl: must be one of the keys program, symbol, "
            "found an unknown key; did you mean symbol?",
        ],
    ),
    (
        'program = "optimize(base)"',
        'program = "optimise(base)"\n[structures.next]\nprogram = "optimize(base"\n'
        "[structures.last]\nprogram = 3",
        [
            "x.toml:38: structures.honest.program: a program of type Policy must begin with one of "
            'optimize, switch, found "optimise"; did you mean optimize?',
            "x.toml:40: structures.next.program: optimize must have 1 argument in ( ), parted by "
            'commas: expected ")", found the end',
            "x.toml:42: structures.last.program: must be text in quotes, found 3",
        ],
    ),
    (
        'program = "optimize(base)"',
        'program = "optimize(base)"\n[structures.again]\nprogram = " optimize( base )"\n'
        '[structures.other_honest]\nprogram = "optimize(own)"',
        [
            "x.toml:40: structures.again.program: must differ from that of honest, found it again",
            "x.toml:41: structures.other_honest: must be another name, as results of a grammar "
            'use this one for all others, found "other_honest"',
        ],
    ),
    (
        "[exchange.linear]",
        "[facts]\ncount = 2\nbits = 1\nsteps = 1\nuses = { honest = 2 }\n[exchange.linear]",
        [
            "x.toml:45: facts.uses: must be left out where there is a [grammar]: every program "
            "needs the facts once"
        ],
    ),
    (
        "[exchange.linear]",
        "[selection]\npressure = 0.5\n[exchange.linear]",
        [
            "x.toml:42: selection.pressure: must exceed 0.823304, the pressure at which the sum "
            "over programs diverges (rules that recurse: switch), found 0.5"
        ],
    ),
    (
        "[exchange.linear]",
        '[selection]\npressure = { dist = "Uniform", low = 0.1, high = 0.7 }\n[exchange.linear]',
        [
            "x.toml:42: selection.pressure: must exceed 0.823304, the pressure at which the sum "
            "over programs diverges (rules that recurse: switch), "
            "found Uniform(low=0.1, high=0.7)"
        ],
    ),
    (
        "[grammar]",
        "[grammars]",
        [
            "x.toml:8: grammars: must be one of the keys model, components, structures, "
            "objectives, constraints, correlations, overlaps, heuristics, facts, exchange, "
            "selection, regime, path, grammar, evidence, found an unknown key; "
            "did you mean grammar?",
            "x.toml:10: grammar.start: must be given, found nothing",
        ],
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), MALFORMED)
def test_malformed_grammars(lines_of, old, new, expected):
    assert SMALL.count(old) == 1
    assert lines_of(SMALL.replace(old, new)) == expected


@pytest.mark.parametrize(
    ("grammar", "expected"),
    [
        ("grammar = 3", ["x.toml:1: grammar: must be a table, found 3"]),
        ("grammar = { start = 'S', rules = {} }", ["grammar.rules: must be a list, found a table"]),
        (
            "grammar = { start = 'S', rules = [] }",
            ["grammar.rules: must be a list of at least 1, found a list of 0"],
        ),
        (
            "grammar = { start = 'S', rules = [3] }",
            [
                "grammar.rules[0]: must be a table, found 3",
                'grammar.start: must be a symbol with rules (nothing), found "S"',
            ],
        ),
        (
            "grammar = { start = 'S', rules = [{ name = 'a' }] }",
            [
                "grammar.rules[0].symbol: must be given, found nothing",
                'grammar.start: must be a symbol with rules (nothing), found "S"',
            ],
        ),
        (
            r"""grammar = { start = 'S', rules = [{ symbol = "\t", name = 'a' }] }""",
            [
                "grammar.rules[0].symbol: must be a name of at most 100 letters, digits and _, "
                r'found "\t"',
                r'grammar.start: must be a symbol with rules ("\t"), found "S"',
            ],
        ),
    ],
)
def test_what_is_hardly_a_grammar(lines_of, grammar, expected):
    text = f'{grammar}\n[model]\nname = "x"\n[exchange.linear]\nrate = 1\n'
    assert [line.removeprefix("x.toml:1: ") for line in lines_of(text)] == [
        line.removeprefix("x.toml:1: ") for line in expected
    ]


def test_too_many_rules_and_arguments(lines_of):
    rule = '[[grammar.rules]]\nsymbol = "Objective"\nname = "r{}"\ntrain = "x"\ndeploy = "x"\n'
    many = "".join(rule.format(k) for k in range(300))
    text = SMALL.replace("[structures.honest]", f"{many}[structures.honest]")
    found = "x.toml:10: grammar.rules: must be a list of at most 300, found a list of 304"
    assert lines_of(text) == [found]
    wide = SMALL.replace('args = ["Objective"]', f"args = {['Objective'] * 9}")
    assert lines_of(wide) == [
        "x.toml:13: grammar.rules[0].args: must be a list of at most 8, found a list of 9"
    ]


@pytest.mark.slow
def test_the_largest_grammar_is_read_in_time(loaded):
    """300 rules that all lead to one another."""
    rules = [
        f'[[grammar.rules]]\nsymbol = "S{k}"\nname = "r"\nargs = ["S{(k + 1) % 150}"]\n'
        f'[[grammar.rules]]\nsymbol = "S{k}"\nname = "p"\nargs = ["S{k}", "S{(7 * k) % 150}"]\n'
        f"train = 0\ndeploy = 0\nweight = 1e-3\n"
        for k in range(149)
    ]
    leaf = '[[grammar.rules]]\nsymbol = "S149"\nname = "l"\ntrain = "base"\ndeploy = "base"\n'
    text = (
        f'[model]\nname = "x"\n[exchange.linear]\nrate = 1\n[grammar]\nstart = "S0"\n'
        f"{''.join(rules)}{leaf}[selection]\npressure = 2\n"
    )
    assert len(loaded(text).grammar.rules) == 299


def test_time_inside_other_time_is_none(lines_of, loaded):
    """Levin: a component that is wholly inside others may take no time of its own."""
    overlap = '[[overlaps]]\ncomponent = "plan"\ninside = "search"\nfraction = {}\n'
    assert lines_of(SMALL + overlap.format(1)) == [
        "x.toml:15: grammar.rules[0].runs: must run something that takes steps, as the levin "
        "exchange needs t > 0, found t = 0 where only optimize, base executes"
    ]
    loaded(SMALL + overlap.format(0.9))
    loaded(SMALL + overlap.format('{ dist = "Uniform", low = 0, high = 1 }'))


def test_what_does_not_execute_takes_no_time(lines_of):
    text = SMALL.replace('runs = ["plan"]\nexecutes = [0]', "executes = []")
    assert lines_of(text) == [
        "x.toml:17: grammar.rules[1].runs: must run something that takes steps, as the levin "
        "exchange needs t > 0, found t = 0 where only switch executes"
    ]
    without = text.replace("[exchange.levin]\nkappa = 1\n", "")
    Path("y.toml").write_text(without)
    assert load_model("./y.toml").structures[1].runs == {}


def test_an_objective_with_a_declared_loss_makes_a_model(loaded):
    text = SMALL.replace('name = "small"', 'name = "small"\nbase_objective = "good"')
    model = loaded(f"{text}[objectives.own]\nloss = 0.1\n")
    assert model.classes == ("misaligned", "misaligned")
    assert model.eligible == (False, False)


def test_faults_of_the_grammar_come_with_all_others(lines_of):
    text = SMALL.replace("deploy = 1", "deploy = 2").replace("rate = 1", "rate = 0")
    text = text.replace("bits = 6", "bits = -6")
    assert [line.split(": ")[:2] for line in lines_of(text)] == [
        ["x.toml:4", "components.search.bits"],
        ["x.toml:25", "grammar.rules[1].deploy"],
        ["x.toml:42", "exchange.linear.rate"],
    ]


def test_a_missing_components_table(lines_of):
    start, end = SMALL.index("[components.search]"), SMALL.index("[grammar]")
    assert lines_of(SMALL[:start] + SMALL[end:]) == [
        "x.toml:1: components: must hold what rules store and run, found none"
    ]


def test_evidence_knows_the_labelled_programs(lines_of, tmp_path):
    table = '[evidence.e]\nkind = "selection"\nfile = "e.csv"\n'
    (tmp_path / "e.csv").write_text("structure,count\nhonest,3\n")
    (tmp_path / "x.toml").write_text(SMALL + table)
    assert load_model(tmp_path / "x.toml").evidence[0].columns["structure"].tolist() == ["honest"]
    (tmp_path / "e.csv").write_text("structure,count\nhonset,3\n")
    assert lines_of(SMALL + table) == [
        'e.csv:2: structure: must be one of honest, turncoat, found "honset"; did you mean honest?'
    ]


PIECES = st.sampled_from(
    [*"[]{}=,\"'#.\n\\()0129", "Policy", "-1", "true", "[[grammar.rules]]\n", "symbol = ", "\x00"]
)
EDITS = st.lists(
    st.tuples(st.integers(0, len(SMALL)), st.integers(0, 14), st.one_of(st.just(""), PIECES)),
    min_size=1,
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(EDITS)
def test_any_edit_is_valid_or_answered_line_by_line(tmp_path_factory, edits):
    text = SMALL
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    path = tmp_path_factory.getbasetemp() / "edited.toml"
    path.write_bytes(text.encode())
    try:
        model = load_model(path)
    except ModelFileError as error:
        for line in str(error).splitlines():
            assert line.startswith(f"{path}:")
            assert "pydantic" not in line
    else:
        assert model.grammar or not model.columns[-1].name.startswith("other_")
