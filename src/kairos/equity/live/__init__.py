"""The live output of a day: the cross-section of a signal, and the trades towards a strategy's book."""

from kairos.equity.live.picks import Picks, picks
from kairos.equity.live.scores import Scores, scores

__all__ = ["Picks", "Scores", "picks", "scores"]
