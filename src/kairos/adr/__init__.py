"""The ADR desk: what an ADR should be worth while the market of its ordinary share is closed.

Each step is a function of a :class:`Desk`, a data directory with its settings:

* `convert`: futures in USD and mids of the ADRs, from raw minutes
* `align`: US stocks at each exchange's close, from minute bars
* `betas`: betas of the ordinaries on their indices
* `features`: residual returns of the ordinaries and of the US stocks
* `train`: a model for every ADR and month
* `evaluate`: the models against the index alone
* `notebook`, `signal_notebook`: the analyses, executed
* `baseline`: the signal of every ADR and minute from the index future alone
* `signal`: the same with the US stocks, where they have improved on the index
* `evaluate_signal`: what the signal knows about the returns that follow
* `live`: the signal of a moment; `LiveDesk` takes one bar at a time
* `read_model`: a model's file

A row dated t is known at the ordinary's close of t; a model of a month knows nothing of that month.
"""

from kairos.adr.align import align
from kairos.adr.baseline import baseline
from kairos.adr.betas import betas
from kairos.adr.convert import convert
from kairos.adr.desk import Desk
from kairos.adr.evaluate import evaluate
from kairos.adr.evaluate_signal import evaluate_signal
from kairos.adr.features import features
from kairos.adr.live import FutureBar, LiveDesk, LiveSignal, Quote, UsBar
from kairos.adr.modelfile import read_model
from kairos.adr.notebook import notebook, signal_notebook
from kairos.adr.replay import live
from kairos.adr.signal import signal
from kairos.adr.train import train

__all__ = [
    "Desk",
    "FutureBar",
    "LiveDesk",
    "LiveSignal",
    "Quote",
    "UsBar",
    "align",
    "baseline",
    "betas",
    "convert",
    "evaluate",
    "evaluate_signal",
    "features",
    "live",
    "notebook",
    "read_model",
    "signal",
    "signal_notebook",
    "train",
]
