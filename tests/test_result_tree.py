"""Every public function of a result says so where it is given something else."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import xarray as xr
from small_models import two_sided

import bayes_mesa as bm
from bayes_mesa.errors import InputError

OTHERS = {"model": two_sided(), "path": "x", "family": "linear"}


def of_results():
    """Public functions that take a tree, and the name of the argument, by their signatures."""
    for name in bm.__all__:
        function = getattr(bm, name)
        if not inspect.isfunction(function):
            continue
        for parameter in inspect.signature(function).parameters.values():
            if str(parameter.annotation).startswith("xr.DataTree"):
                yield name, parameter.name


TAKERS = dict(of_results())


def asked(name, given):
    """Call it with that in place of the tree, and with something for what else it must have."""
    function, arguments = getattr(bm, name), {TAKERS[name]: given}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is parameter.empty and parameter.name not in arguments:
            arguments[parameter.name] = OTHERS.get(parameter.name, 1.0)
    return function(**arguments)


def test_they_are_found():
    assert {"summarize", "cruxes", "plot_costs", "reweigh", "regime", "show"} <= TAKERS.keys()
    assert len(TAKERS) > 20


@pytest.mark.parametrize("name", TAKERS)
@pytest.mark.parametrize("given", ["out/mine", Path("posterior.nc")])
def test_the_name_of_a_file_is_not_its_result(name, given):
    with pytest.raises(InputError) as caught:
        asked(name, given)
    assert f'found the text "{given}": open it with open_posterior("{given}")' in str(caught.value)
    assert str(caught.value).startswith(f"{TAKERS[name]} must be a result tree")


@pytest.mark.parametrize("name", TAKERS)
@pytest.mark.parametrize("given", [{}, xr.Dataset(), 1])
def test_nothing_else_is(name, given):
    wanted = f"found a value of type {type(given).__name__}$"
    with pytest.raises(InputError, match=wanted):
        asked(name, given)


def test_compare_opens_files_and_refuses_the_rest():
    with pytest.raises(InputError, match="every source must be a result tree.*of type dict"):
        bm.compare(two_sided(), {})
