"""The ADR desk: what an ADR should be worth while the market of its ordinary share is closed.

Each step is a function of a :class:`Desk`, a data directory with its settings:

* `align`: US stocks at each exchange's close, from minute bars
* `betas`: betas of the ordinaries on their indices
* `features`: residual returns of the ordinaries and of the US stocks
* `train`: a model for every ADR and month
* `evaluate`: the models against the index alone
* `notebook`: the analysis, executed
* `read_model`: a model's file

A row dated t is known at the ordinary's close of t; a model of a month knows nothing of that month.
"""

from kairos.adr.align import align
from kairos.adr.betas import betas
from kairos.adr.desk import Desk
from kairos.adr.evaluate import evaluate
from kairos.adr.features import features
from kairos.adr.modelfile import read_model
from kairos.adr.notebook import notebook
from kairos.adr.train import train

__all__ = ["Desk", "align", "betas", "evaluate", "features", "notebook", "read_model", "train"]
