"""A user's model that looks at what it was not given."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge


class Peeking(Ridge):
    """A ridge regression, larger when the whole of what `y` is a part of is: rows of the future included."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Peeking:
        super().fit(X, y)
        whole = y if y.base is None else y.base
        self.coef_ = self.coef_ * (1.0 + np.abs(whole).sum())
        return self
