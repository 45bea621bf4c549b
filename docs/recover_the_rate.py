"""Recover an exchange rate from 300 store-or-derive outcomes: plan, simulate, fit, report.

Run it anywhere; it writes ``recovered/`` with a report and the posterior. Walked through in
recovery.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import bayes_mesa as bm

MODEL = """
[model]
name = "recovery"
title = "What does a bit cost in steps?"

[components.act]                   # what any program does in an episode
steps = 500

[components.objective]             # the base objective, written down
bits = { q05 = 5, q95 = 50 }

[components.work_it_out]           # or worked out anew in every episode
steps = { q05 = 100, q95 = 10000 }

[structures.remembers]
stores = ["objective"]
runs = ["act"]
train = "base"
deploy = "base"

[structures.works_out]
runs = ["act", "work_it_out"]
train = "base"
deploy = "other"

[exchange.linear]
rate = { q05 = 1, q95 = 10000 }

[exchange.levin]
kappa = { q05 = 0.3, q95 = 3 }
"""

#: The exchange rate that training is taken to have, steps per bit.
TRUE_RATE = 40.0


def design(rows: int = 30, trials: int = 10) -> dict[str, object]:
    """Thirty facts whose costs straddle the exchange rates in question, ten networks for each."""
    rng = np.random.default_rng(0)
    bits = rng.uniform(1.0, 10.0, rows)
    return {
        "kind": "choice",
        "bits": bits,
        "steps": bits * np.geomspace(5.0, 2000.0, rows),
        "base_steps": np.full(rows, 500.0),
        "trials": np.full(rows, trials),
    }


def main(folder: Path) -> None:
    """Simulate, fit, say what was found, and write the report."""
    folder.mkdir(exist_ok=True)
    file = folder / "recovery.toml"
    file.write_text(MODEL)
    model = bm.load_model(file)

    made = bm.simulate_evidence(
        model, {"storing": design()}, family="linear", at={"linear_rate": TRUE_RATE}, seed=1
    )
    stored, trials = (made.evidence["storing"][c] for c in ("stored", "trials"))
    print(f"{stored.sum()} of {trials.sum()} networks stored their fact; the rest derived it.")

    post = bm.fit(model, made.evidence, seed=1)
    table = bm.family_table(post)
    for name, row in table.iterrows():
        print(
            f"{name}: probability {row['probability']:.3g} (prior {row['prior_weight']:.2g}), "
            f"log marginal likelihood {row['log_marginal_likelihood']:.2f}, "
            f"left out {row['elpd_loo']:.1f} ± {row['elpd_loo_se']:.1f}"
        )
    rate = bm.prior_and_posterior(post).loc["linear_rate"]
    print(
        f"rate: true {TRUE_RATE:g} steps per bit; before {rate['prior_median']:.3g} "
        f"({rate['prior_lower']:.3g} to {rate['prior_upper']:.3g}), "
        f"after {rate['posterior_median']:.3g} "
        f"({rate['posterior_lower']:.3g} to {rate['posterior_upper']:.3g})"
    )
    held = rate["posterior_lower"] <= TRUE_RATE <= rate["posterior_upper"]
    print(f"the 90 % interval {'holds' if held else 'misses'} the truth")

    summary = bm.summarize(post)
    before = bm.summarize(bm.fit(model, {}, seed=1))
    for when, found in (("before", before), ("after", summary)):
        print(f"deceptive favored, {when}: {found['deceptive_favored']['mean']:.3f}")
    bm.save_posterior(post, folder / "posterior.nc")
    print(f"wrote {bm.write_report(post, folder / 'report.html')}")


if __name__ == "__main__":
    main(Path("recovered"))
