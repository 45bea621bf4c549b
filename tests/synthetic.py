"""A small result tree made by hand, in the shape that `fit` returns, for tests of what reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

STRUCTURES = ("fast_honest", "slow_deceptive", "fast_deceptive")
CLASS_OF = ("honest", "deceptive", "deceptive")
CLASSES = ("honest", "deceptive", "misaligned")
PARAMETERS = {
    "linear": ("linear_rate",),
    "levin": ("levin_kappa",),
    "power": ("power_rate", "power_exponent"),
}
SAMPLED = ("bits", "steps", "pressure", *(p for names in PARAMETERS.values() for p in names))


def family_dataset(
    favored: np.ndarray,
    *,
    family: str = "linear",
    mass: np.ndarray | None = None,
    seed: int = 0,
    facts: int = 0,
    path: tuple[float, float] | None = None,
) -> xr.Dataset:
    """One family's group from the index of the favored structure, int (chain, draw); -1: none fits.

    ``mass`` is (chain, draw, structure); by default the favored structure holds everything.
    """
    rng = np.random.default_rng(seed)
    shape = favored.shape
    if mass is None:
        mass = np.eye(4)[favored][..., :3]
        mass[favored < 0] = np.nan
    chosen = favored[..., None] == np.arange(3)
    classes = np.stack(
        [mass[..., [c == name for c in CLASS_OF]].sum(axis=-1) for name in CLASSES], axis=-1
    )
    bits = rng.lognormal(6.0, 2.0, size=(*shape, 2))
    steps = rng.lognormal(9.0, 3.0, size=(*shape, 2))
    margin = np.where(np.isin(favored, (1, 2)), 1.0, -1.0) * rng.lognormal(5.0, 3.0, size=shape)
    d = ("chain", "draw")
    variables = {
        "bits": ((*d, "component"), bits),
        "steps": ((*d, "component"), steps),
        "pressure": (d, rng.lognormal(0.0, 0.5, size=shape)),
        "structure_bits": (
            (*d, "structure"),
            np.stack([bits.sum(-1), bits[..., 0], bits.sum(-1) * 3], axis=-1),
        ),
        "structure_steps": (
            (*d, "structure"),
            np.stack([steps[..., 0], steps.sum(-1) * 5, steps[..., 1]], axis=-1),
        ),
        "structure_mass": ((*d, "structure"), mass),
        "structure_favored": ((*d, "structure"), chosen),
        "class_mass": ((*d, "class"), classes),
        "deceptive_mass": (d, classes[..., 1]),
        "deceptive_favored": (d, np.isin(favored, (1, 2))),
        "margin_bits": (d, margin),
        "critical_rate": (d, rng.lognormal(5.0, 3.0, size=shape)),
        "critical_kappa": (d, rng.lognormal(0.0, 1.0, size=shape)),
        "rate_crossings": (d, np.ones(shape, dtype=np.int64)),
        "kappa_crossings": (d, np.ones(shape, dtype=np.int64)),
    }
    for name in PARAMETERS[family]:
        variables[name] = (d, rng.lognormal(0.0, 1.0, size=shape))
    if facts:
        variables["fact_bits"] = ((*d, "fact"), rng.lognormal(2.0, 1.0, size=(*shape, facts)))
    if path is not None:
        variables["path_lock_in"] = (d, np.full(shape, path[0]))
        variables["path_deceptive"] = (d, np.full(shape, path[1]))
    coords = {
        "chain": np.arange(shape[0]),
        "draw": np.arange(shape[1]),
        "component": ["get_base_obj", "combine"],
        "structure": list(STRUCTURES),
        "class": list(CLASSES),
    }
    if facts:
        coords["fact"] = [f"fact_{j}" for j in range(facts)]
    return xr.Dataset(variables, coords=coords)


def posterior_tree(
    groups: Mapping[str, xr.Dataset],
    *,
    probability: Sequence[float] | None = None,
    covariance: np.ndarray | None = None,
    divergences: Mapping[str, int] | None = None,
    **attributes: object,
) -> xr.DataTree:
    """A result tree of the given families; ``probability`` is pi_F, equal by default."""
    count = len(groups)
    pi = np.full(count, 1 / count) if probability is None else np.asarray(probability, dtype=float)
    cov = np.zeros((count, count)) if covariance is None else np.asarray(covariance)
    families = {
        name: {
            "weight": 1 / count,
            "probability": float(p),
            "probability_error": float(e),
            "log_marginal_likelihood": None,
            "log_marginal_likelihood_error": None,
        }
        for name, p, e in zip(groups, pi, np.sqrt(np.diag(cov)), strict=True)
    }
    first = next(iter(groups.values()))
    num_chains, num_samples = first.sizes["chain"], first.sizes["draw"]
    root = {
        "model": "speed_simplicity",
        "title": "The post's model",
        "source": "the post",
        "note": "",
        "model_text": "[model]\nname = 'speed_simplicity'\n",
        "model_sha256": "0" * 64,
        "seed": 1,
        "num_warmup": 0,
        "num_samples": num_samples,
        "num_chains": num_chains,
        "versions": json.dumps({"bayes_mesa": "0.1.0", "numpy": "2.0"}),
        "families": json.dumps(families),
        "probability_covariance": json.dumps(cov.tolist()),
        "dominance": json.dumps(
            [
                {
                    "winner": "fast_honest",
                    "loser": "fast_deceptive",
                    "needs": [],
                    "text": "fast_honest costs no more than fast_deceptive on either axis",
                }
            ]
        ),
        "never_favored": json.dumps(["fast_deceptive"]),
        "all_known": 0,
        "beliefs": json.dumps(
            [
                {
                    "quantity": "bits.get_base_obj",
                    "belief": "LogNormal(loc=8, scale=2)",
                    "kind": "opinion",
                    "note": "a guess",
                    "q05": 1e2,
                    "median": 3e3,
                    "q95": 1e5,
                }
            ]
        ),
        "base_objective": "base",
        "warnings": json.dumps([]),
    }
    tree: dict[str, xr.Dataset] = {"/": xr.Dataset(attrs=root | attributes)}
    tree["/posterior"] = _averaged(groups, pi)
    for name, dataset in groups.items():
        tree[f"/posterior_{name}"] = dataset
        if divergences is not None:
            diverging = np.zeros((num_chains, num_samples), dtype=bool)
            diverging.flat[: divergences.get(name, 0)] = True
            tree[f"/sample_stats_{name}"] = xr.Dataset(
                {"diverging": (("chain", "draw"), diverging)}
            )
    tree["/constant_data"] = xr.Dataset(
        {
            "structure_class": ("structure", np.array(CLASS_OF)),
            "structure_symbol": ("structure", np.array(["Hfh", "Hsd", "Hfd"])),
            "multiplicity": ("structure", np.ones(3)),
            "uses": ("structure", np.ones(3)),
        },
        coords={"structure": list(STRUCTURES)},
    )
    return xr.DataTree.from_dict(tree)


def _averaged(groups: Mapping[str, xr.Dataset], pi: np.ndarray) -> xr.Dataset:
    names = list(groups)
    shared = [v for v in groups[names[0]] if all(v in g for g in groups.values())]
    first = groups[names[0]]
    label = np.random.default_rng(9).choice(len(names), size=first["pressure"].shape, p=pi)
    where = xr.DataArray(label, dims=("chain", "draw"))
    mixed = first[shared].copy(deep=True)
    for index, name in enumerate(names[1:], start=1):
        for variable in shared:
            mixed[variable] = xr.where(
                where == index, groups[name][variable], mixed[variable], keep_attrs=True
            ).transpose(*first[variable].dims)
    return mixed.assign_coords(family=(("chain", "draw"), np.array(names)[label]))


def shipped_like(
    num_chains: int = 4, num_samples: int = 250, seed: int = 0, **kwargs
) -> xr.DataTree:
    """Three families in which deception is favored in about 30, 60 and 90 % of the draws."""
    rng = np.random.default_rng(seed)
    groups = {}
    for index, (name, share) in enumerate({"linear": 0.3, "levin": 0.9, "power": 0.6}.items()):
        favored = (rng.random((num_chains, num_samples)) < share).astype(int)
        noise = rng.beta(0.3, 0.3, size=favored.shape)
        mass = np.stack([1 - noise, 0.9 * noise, 0.1 * noise], axis=-1)
        groups[name] = family_dataset(favored, family=name, mass=mass, seed=seed + index)
    return posterior_tree(groups, **kwargs)
