"""Almost sound models and tables, written from nothing: each choice is a wrong one now and then."""

from __future__ import annotations

from random import Random

from fuzzing.case import EVIDENCE, FACTS, MODEL, Case
from fuzzing.mutation import NUMBERS, VALUES
from fuzzing.seeds import FACTS_MODEL, MODELS, evidence_toml

FORMS = {
    "LogNormal": ("loc", "scale"),
    "Gamma": ("concentration", "rate"),
    "InverseGamma": ("concentration", "rate"),
    "Exponential": ("rate",),
    "HalfNormal": ("scale",),
    "Uniform": ("low", "high"),
    "LogUniform": ("low", "high"),
    "Weibull": ("scale", "concentration"),
    "Beta": ("concentration1", "concentration0"),
}
_OBJECTIVES = ("base", "base", "x", "simplest")


class Invention:
    """One writer of model files and tables.

    ``wrong`` is the probability that any one choice is a wrong one. The numbers reach over all of
    double precision where ``wide``.
    """

    def __init__(self, rng: Random):
        self.rng = rng
        self.wrong = rng.choice((0.0, 0.0, 0.003, 0.02, 0.1))
        self.wide = rng.random() < 0.4
        self.components = [f"c{k}" for k in range(rng.choice((1, 2, 3, 3, 6)))]

    # Values ---------------------------------------------------------------------------------------

    def errs(self) -> bool:
        return self.rng.random() < self.wrong

    def number(self, low: float = 0.0) -> str:
        if self.errs():
            return self.rng.choice(NUMBERS)
        if self.wide and self.rng.random() < 0.3:
            ends = (
                "1e-300",
                "1e-30",
                "1e-9",
                "1e9",
                "1e15",
                "1e30",
                "1e300",
                "1e308",
                "2147483648",
            )
            return self.rng.choice(ends if low > 0.0 else (*ends, "0"))
        value = max(low, 10 ** self.rng.uniform(-3, 6))
        return self.rng.choice((f"{value:.3g}", f"{value:.0f}" if value > low + 1 else f"{value}"))

    def share(self) -> str:
        return self.rng.choice(NUMBERS) if self.errs() else f"{self.rng.random():.3g}"

    def rising(self, count: int) -> list[str]:
        values = [self.number(1e-9) for _ in range(count)]
        try:
            return values if self.errs() else sorted(values, key=float)
        except ValueError:  # one of them is a wrong number
            return values

    def belief(self, *, share: bool = False) -> str:
        kind = self.rng.random()
        if self.errs():
            return self.rng.choice(VALUES)
        if share:
            beta = f'{{ dist = "Beta", concentration1 = {self.number(1e-9)}, concentration0 = 2 }}'
            return beta if kind < 0.3 else self.share()
        if kind < 0.3:
            return self.number()
        if kind < 0.6:
            low, high = self.rising(2)
            return f"{{ q05 = {low}, q95 = {high} }}"
        name = self.rng.choice(list(FORMS))
        given = dict.fromkeys(FORMS[name], "")
        for argument in given:
            given[argument] = self.number(1e-9)
        if "high" in given:
            given["low"], given["high"] = self.rising(2)
        if self.errs():
            given.popitem()
        text = ", ".join(f"{key} = {value}" for key, value in given.items())
        return f'{{ dist = "{name}", {text} }}'

    def component(self) -> str:
        return "nowhere" if self.errs() else self.rng.choice(self.components)

    def cost(self, axis: str) -> str:
        return f"{self.rng.choice(('bits', 'steps')) if self.errs() else axis}.{self.component()}"

    def counts(self) -> str:
        names = [self.component() for _ in range(self.rng.randrange(4))]
        if self.rng.random() < 0.7:
            return f"[{', '.join(map(_quoted, names))}]"
        whole = self.rng.choice(("1", "2", "7", "1000000000") if self.wide else ("1", "2"))
        return f"{{ {', '.join(f'{name} = {whole}' for name in sorted(set(names)))} }}"

    # Tables ---------------------------------------------------------------------------------------

    def model(self) -> Case:
        rng = self.rng
        files: dict[str, bytes] = {}
        pieces = ['[model]\nname = "invented"', *map(self._component, self.components)]
        grammar = rng.random() < 0.35
        names = [] if grammar else [f"s{k}" for k in range(rng.choice((1, 2, 3, 5)))]
        pieces += [self._grammar()] if grammar else [self._structure(name) for name in names]
        pieces += [self._family(name) for name in self._families()]
        if rng.random() < 0.5:
            pieces.append(f"[objectives.x]\nloss = {self.belief()}")
        if rng.random() < 0.6:
            pieces.append(f"[selection]\npressure = {self.belief()}\n{self._selection()}")
        for make in (self._constraint, self._correlation, self._overlap, self._heuristics):
            if rng.random() < 0.25:
                pieces.append(make())
        if rng.random() < 0.2:
            pieces.append(
                f"[path]\nlock_in = {self.share()}\ndeceptive = {self.belief(share=True)}"
            )
        if rng.random() < 0.4:
            by_count = (
                f"count = {rng.choice('01234')}\nbits = {self.belief()}\nsteps = {self.belief()}"
            )
            in_file = rng.random() < 0.4
            pieces.append("[facts]\n" + ('file = "facts.csv"' if in_file else by_count))
            if in_file:
                files["facts.csv"] = self._fact_rows()
        if rng.random() < 0.15:
            kind = rng.choice(("choice", "measurement", "comparison", "elicitation", "selection"))
            pieces.append(evidence_toml({"seen": kind}))
            files["seen.csv"] = self.rows(kind, self.components, names or ["honest"])
        if self.errs():
            rng.shuffle(pieces)
        return Case(MODEL, {"m.toml": "\n".join(pieces).encode(), **files}, "m.toml")

    def evidence(self) -> Case:
        kinds = ("choice", "measurement", "comparison", "selection", "winrate", "tradeoff")
        kind = self.rng.choice((*kinds, "elicitation"))
        rows = self.rows(kind, ["first", "second", "third"], ["slow", "fast"])
        files = {"e.toml": evidence_toml({"e": kind}).encode(), "e.csv": rows}
        return Case(EVIDENCE, files, "e.toml", self.rng.choice(list(MODELS)))

    def facts(self) -> Case:
        files = {"m.toml": FACTS_MODEL.encode(), "facts.csv": self._fact_rows()}
        return Case(FACTS, files, "m.toml")

    def rows(self, kind: str, components: list[str], structures: list[str]) -> bytes:
        """A table of this kind, by what its columns say of themselves."""
        from bayes_mesa.evidence import KINDS

        columns = [c for c in KINDS[kind].columns if c.required or self.rng.random() < 0.4]
        if kind == "selection" and not self.errs():
            one = self.rng.choice(("structure", "class"))
            columns = [c for c in KINDS[kind].columns if c.name in (one, "count")]
        axis = self.rng.choice(("bits", "steps"))
        known = {
            "component": components,
            "left": components[:1],
            "right": components[1:] or components,
            "quantity": [axis],
            "structure": structures,
            "class": ["honest", "deceptive"],
        }
        lines = [",".join(c.name for c in columns)]
        for _ in range(self.rng.choice((1, 2, 3, 8))):
            few, most = sorted((self.rng.randrange(50), self.rng.randrange(50)))
            rising = iter(self.rising(3))
            fields = []
            for c in columns:
                if c.name in ("trials", "games"):
                    field = str(most)
                elif c.kind == "count":
                    field = self.rng.choice(NUMBERS) if self.errs() else str(few)
                elif c.name in ("q05", "q50", "q95"):
                    field = next(rising)
                elif c.kind == "number":
                    field = self.number(1e-9)
                else:
                    field = self.rng.choice(known.get(c.name, ["a", "b", '"a, b"']))
                fields.append(field)
            if self.errs():
                self.rng.shuffle(fields)
            lines.append(",".join(fields))
        return "\n".join(lines).encode()

    def _component(self, name: str) -> str:
        given = [
            f"{axis} = {self.belief()}" for axis in ("bits", "steps") if self.rng.random() < 0.8
        ]
        shared = ["shared = false"] if self.rng.random() < 0.2 else []
        return "\n".join([f"[components.{name}]", *given, *shared])

    def _structure(self, name: str) -> str:
        train, deploy = self.rng.choice(_OBJECTIVES), self.rng.choice(_OBJECTIVES)
        text = f"[structures.{name}]\nstores = {self.counts()}\nruns = {self.counts()}\n"
        more = f"\nmultiplicity = {self.number(1e-9)}" if self.rng.random() < 0.2 else ""
        return f'{text}train = "{train}"\ndeploy = "{deploy}"{more}'

    def _grammar(self) -> str:
        symbols = [f"S{k}" for k in range(self.rng.choice((1, 2, 3)))]
        rules = []
        for k, symbol in enumerate(symbols):
            # The last of a symbol's rules goes on to the next symbol only: some program ends.
            for name in range(self.rng.choice((1, 2, 3))):
                below = symbols[k + 1 : k + 2]
                args = below if name == 0 else self.rng.choices(symbols, k=self.rng.randrange(3))
                rules.append(self._rule(symbol, f"r{name}", args))
        return '[grammar]\nstart = "S0"\n' + "\n".join(rules)

    def _rule(self, symbol: str, name: str, args: list[str]) -> str:
        if self.errs():
            args = [*args, self.rng.choice(("S0", "S9"))]
        means = [
            f"{key} = {self.rng.randrange(len(args))}" if args else f'{key} = "base"'
            for key in ("train", "deploy")
        ]
        if not args and self.rng.random() < 0.3:
            means[1] = 'deploy = "x"'
        given = ", ".join(map(_quoted, args))
        weight = self.number(1e-9) if self.wide else self.rng.choice(("1", "5", "0.2"))
        return "\n".join(
            [
                f'[[grammar.rules]]\nsymbol = "{symbol}"\nname = "{name}"\nargs = [{given}]',
                f"stores = {self.counts()}\nruns = {self.counts()}",
                *means,
                f"weight = {weight}",
            ]
        )

    def _families(self) -> list[str]:
        return self.rng.sample(("linear", "levin", "power"), self.rng.choice((1, 1, 2, 3)))

    def _family(self, name: str) -> str:
        given = {"linear": ("rate",), "levin": ("kappa",), "power": ("rate", "exponent")}[name]
        lines = [f"{key} = {self.belief()}" for key in given if key != "exponent"]
        if "exponent" in given:
            lines.append(f"exponent = {self.rng.choice(('1', '1.3', '50', self.belief()))}")
        return "\n".join([f"[exchange.{name}]", *lines])

    def _selection(self) -> str:
        some = [f"{key} = {self.number(1e-9)}" for key in ("episodes", "cap", "max_bits")]
        return "\n".join(line for line in some if self.rng.random() < 0.25)

    def _constraint(self) -> str:
        axis = self.rng.choice(("bits", "steps"))
        return f'[[constraints]]\nat_least = ["{self.cost(axis)}", ["{self.cost(axis)}"]]'

    def _correlation(self) -> str:
        pair = f'"{self.cost("bits")}", "{self.cost("steps")}"'
        return f"[[correlations]]\nbetween = [{pair}]\nrho = {self.rng.uniform(-1, 1):.3f}"

    def _overlap(self) -> str:
        pair = f'component = "{self.component()}"\ninside = "{self.component()}"'
        return f"[[overlaps]]\n{pair}\nfraction = {self.belief(share=True)}"

    def _heuristics(self) -> str:
        return f'[heuristics]\nof = ["{self.component()}"]\nbits = {self.belief()}'

    def _fact_rows(self) -> bytes:
        count = self.rng.choice((1, 2, 4, 9))
        cyclic = self.errs()
        lines = ["name,bits,steps,needs"]
        for k in range(count):
            others = range(count) if cyclic else range(k)
            needs = self.rng.sample(others, min(len(others), self.rng.choice((0, 0, 0, 1, 2))))
            needed = " ".join(f"f{j}" for j in needs)
            lines.append(f"f{k},{self.number()},{self.number()},{needed}")
        return "\n".join(lines).encode()


def _quoted(name: str) -> str:
    return f'"{name}"'
