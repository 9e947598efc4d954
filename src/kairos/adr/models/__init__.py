"""Models of the residuals of an ordinary: one class each, chosen by one word of the settings.

* `kairos.adr.models.base`: what a model is, and how it is declared
* `kairos.adr.models.penalised`: `lasso`, `elasticnet`
* `kairos.adr.models.components`: `ridge`, `pcr`, `pls`
* `kairos.adr.models.imported`: any scikit-learn regressor by its import path
* `kairos.adr.models.homotopy`: the exact path of the LASSO
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# their declarations register the models
from kairos.adr.models import components, penalised  # noqa: F401
from kairos.adr.models.base import Model, register, registered
from kairos.adr.models.imported import check_parameters, import_model
from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Model", "folder", "make", "register", "registered"]


def make(name: str, parameters: Mapping[str, Any]) -> Model:
    """Make the model of the settings, not fitted.

    Parameters
    ----------
    name
        `adr.model.name`: a declared name, or an import path.
    parameters
        `adr.model.parameters`.

    Raises
    ------
    InputError
        There is no such model, or it has no such parameter.
    """
    if "." in name:
        return import_model(name, parameters)
    declared = registered()
    if name not in declared:
        raise InputError(
            f"adr.model.name = {name!r}: there is no such model. There are {', '.join(sorted(declared))} and "
            "every scikit-learn regressor by its import path, e.g. sklearn.linear_model.HuberRegressor."
        )
    check_parameters(name, declared[name], parameters)
    return declared[name](**parameters)


def folder(name: str) -> str:
    """Folder of a model's output: its name, or the end of its import path in lower case.

    >>> folder("lasso"), folder("sklearn.linear_model.HuberRegressor")
    ('lasso', 'huberregressor')
    """
    return name.rpartition(".")[2].lower()
