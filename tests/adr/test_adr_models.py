"""Models against scikit-learn, closed forms and the conditions of optimality."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, HuberRegressor, Lasso, LinearRegression, Ridge, lars_path
from sklearn.pipeline import make_pipeline

from kairos.adr.models import Model, folder, make, register
from kairos.adr.models.homotopy import lasso_path
from kairos.errors import InputError, WorkError

GRID = np.logspace(-4, 1, 50)[::-1]


def data(seed: int, n: int = 120, p: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features with common factors, and a target of daily size with three true features."""
    r = np.random.default_rng(seed)
    X = r.standard_normal((n, 3)) @ r.standard_normal((3, p)) + 2.0 * r.standard_normal((n, p))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return X, 0.006 * X[:, 0] - 0.004 * X[:, 1] + 0.003 * X[:, 2] + 0.01 * r.standard_normal(n)


def hostile(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What real residuals hold: the same feature twice, with its sign turned, nearly twice; late listings."""
    r = np.random.default_rng(seed)
    X, y = data(seed, n=80, p=120)
    X[:, 100], X[:, 101] = X[:, 0], -X[:, 1]
    X[:, 102] = X[:, 2] + 1e-7 * r.standard_normal(80)
    X[:, 103] = X[:, 0] + X[:, 1]
    X[:, 104:110] = 0.0
    X[70:73, 104:110] = r.standard_normal((3, 6))  # six columns that vary on the same three days
    X[79, 110:113] = [1.0, -2.0, 0.5]  # and three on one day
    X[:, 100:] -= X[:, 100:].mean(axis=0)
    X[:, 100:113] /= X[:, 100:113].std(axis=0)
    return X, y


def objective(X: np.ndarray, y: np.ndarray, w: np.ndarray, alpha: float) -> float:
    return float(((y - X @ w) ** 2).sum() / (2 * len(y)) + alpha * np.abs(w).sum())


@pytest.mark.parametrize("shape", [(120, 60), (60, 120), (30, 8), (25, 1)])
def test_the_path_is_that_of_scikit_learn(shape: tuple[int, int]) -> None:
    X, y = data(1, n=shape[0], p=max(shape[1], 3))
    X = X[:, : shape[1]]
    found, reached = lasso_path(X, y, GRID)
    assert reached == len(GRID)
    knots, _, coefficients = lars_path(X, y, method="lasso", alpha_min=5e-5)
    for alpha, w in zip(GRID, found, strict=True):
        expected = [np.interp(alpha, knots[::-1], c[::-1]) for c in coefficients]
        np.testing.assert_allclose(w, expected, atol=1e-12)
    assert (np.count_nonzero(found, axis=1)[knots[0] <= GRID] == 0).all()


def test_the_path_is_that_of_tight_coordinate_descent() -> None:
    X, y = data(2)
    found, _ = lasso_path(X, y, GRID)
    for alpha, w in zip(GRID, found, strict=True):
        tight = Lasso(alpha=alpha, fit_intercept=False, tol=1e-12, max_iter=1_000_000).fit(X, y).coef_
        np.testing.assert_allclose(w, tight, atol=1e-8)


@pytest.mark.parametrize("seed", range(20))
def test_the_path_is_optimal_where_features_are_nearly_dependent(seed: int) -> None:
    """The path that models take: where rounding, which depends on the processor, misleads, it is mended."""
    X, y = hostile(seed)
    _, reached = lasso_path(X, y, GRID)
    assert reached == len(GRID)
    for alpha, fit in zip(GRID, make("lasso", {}).path(X, y, GRID), strict=True):
        w = fit.coef
        g = X.T @ (y - X @ w) / len(y)
        assert np.abs(g).max() <= alpha * (1 + 1e-6)
        np.testing.assert_allclose(g[w != 0], alpha * np.sign(w[w != 0]), rtol=1e-6)


def test_scikit_learns_own_path_is_lost_there() -> None:
    """Why there is a path of our own: if this fails one day, scikit-learn's may do."""
    worse = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for seed in range(20):
            X, y = hostile(seed)
            knots, _, coefficients = lars_path(X, y, method="lasso", alpha_min=5e-5)
            theirs = [np.interp(GRID[-1], knots[::-1], c[::-1]) for c in coefficients]
            ours = lasso_path(X, y, GRID)[0][-1]
            worse += objective(X, y, np.array(theirs), GRID[-1]) > 1.001 * objective(X, y, ours, GRID[-1])
    assert worse > 0


@pytest.mark.parametrize("y", [np.zeros(10), np.r_[1.0, np.zeros(9)]])
def test_the_path_of_a_degenerate_target(y: np.ndarray) -> None:
    X = np.random.default_rng(0).standard_normal((10, 4))
    found, reached = lasso_path(X, y, GRID)
    assert reached == len(GRID)
    for alpha, w in zip(GRID, found, strict=True):
        assert np.abs(X.T @ (y - X @ w)).max() / 10 <= alpha * (1 + 1e-9)


def test_lasso_is_zero_from_alpha_max_on_and_refits_what_the_path_says() -> None:
    X, y = data(3)
    model = make("lasso", {})
    strengths = model.grid(GRID[::-1])
    assert (np.diff(strengths) < 0).all()
    path = model.path(X, y, strengths)
    zero = np.array([not fit.coef.any() for fit in path])
    assert np.array_equal(zero, strengths >= np.abs(X.T @ y).max() / len(y))
    assert model.alpha_max(X, y) == pytest.approx(np.abs(X.T @ y).max() / len(y), rel=1e-14)
    for fit in path[25::6]:
        again = model.at(fit.strength).fit_counted(X, y)
        assert again.converged
        np.testing.assert_allclose(again.coef, fit.coef, atol=1e-9)


def test_lasso_repairs_a_path_that_is_not_optimal(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = data(4)
    monkeypatch.setattr(
        "kairos.adr.models.penalised.lasso_path",
        lambda X, y, alphas: (np.zeros((len(alphas), X.shape[1])), 0),
    )
    for fit in make("lasso", {}).path(X, y, GRID)[30:]:
        g = X.T @ (y - X @ fit.coef) / len(y)
        assert np.abs(g).max() <= fit.strength * 1.01
        assert fit.coef.any() == (fit.strength < np.abs(X.T @ y).max() / len(y))


def test_planted_features_are_found() -> None:
    X, y = data(5, n=400)
    sparse = make("lasso", {}).at(0.0018).fit(X, y)
    assert set(np.flatnonzero(sparse.coef)) == {0, 1, 2}
    assert np.sign(sparse.coef[:3]).tolist() == [1.0, -1.0, 1.0]


def test_elastic_net_is_scikit_learns() -> None:
    X, y = data(6)
    model = make("elasticnet", {"l1_ratio": 0.3})
    for fit in model.path(X, y, GRID[20::5]):
        exact = ElasticNet(fit.strength, l1_ratio=0.3, fit_intercept=False, tol=1e-13, max_iter=1_000_000)
        np.testing.assert_allclose(fit.coef, exact.fit(X, y).coef_, atol=2e-7)
        assert fit.coef.any() == (fit.strength < model.alpha_max(X, y))


def test_ridge_is_scikit_learns_with_a_penalty_by_feature_and_row() -> None:
    X, y = data(7, n=40, p=60)
    for fit in make("ridge", {}).path(X, y, GRID):
        exact = Ridge(alpha=fit.strength * X.size, fit_intercept=False, solver="svd").fit(X, y)
        np.testing.assert_allclose(fit.coef, exact.coef_, atol=1e-12)


def test_principal_components_are_scikit_learns() -> None:
    X, y = data(8)
    model = make("pcr", {"components": 4})
    assert model.grid(GRID).tolist() == [1, 2, 3, 4]
    for fit in model.path(X, y, model.grid(GRID)):
        pipeline = make_pipeline(
            PCA(int(fit.strength), svd_solver="full"), LinearRegression(fit_intercept=False)
        )
        np.testing.assert_allclose(fit.predict(X), pipeline.fit(X, y).predict(X), atol=1e-12)


def test_principal_components_without_variance_are_left_out() -> None:
    X, y = data(8, n=30, p=5)
    X[:, 3:] = X[:, :2]
    fits = make("pcr", {"components": 5}).path(X, y, np.arange(1.0, 6.0))
    np.testing.assert_allclose(fits[4].predict(X), fits[2].predict(X), atol=1e-12)
    np.testing.assert_allclose(fits[2].predict(X), X @ np.linalg.lstsq(X, y)[0], atol=1e-12)


def test_partial_least_squares_is_scikit_learns_without_its_constant() -> None:
    X, y = data(9)
    for fit in make("pls", {"components": 3}).path(X, y, np.arange(1.0, 4.0)):
        exact = PLSRegression(int(fit.strength), scale=False).fit(X, y)
        np.testing.assert_allclose(fit.predict(X), exact.predict(X).ravel() - y.mean(), atol=1e-12)


def test_a_regressor_by_its_import_path() -> None:
    X, y = data(10, p=8)
    model = make("sklearn.linear_model.HuberRegressor", {"alpha": 0.5})
    assert np.isnan(model.grid(GRID)).tolist() == [True]
    fit = model.at(np.nan).fit_counted(X, y)
    exact = HuberRegressor(alpha=0.5, fit_intercept=False).fit(X, y)
    np.testing.assert_array_equal(fit.coef, exact.coef_)


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("sklearn.ensemble.RandomForestRegressor", {"n_estimators": 5}),
        ("sklearn.svm.SVR", {"kernel": "rbf", "epsilon": 1e-4}),
        ("sklearn.linear_model.TweedieRegressor", {"power": 0, "link": "log"}),
    ],
)
def test_a_regressor_that_is_not_linear_has_no_coefficients(path: str, parameters: dict[str, object]) -> None:
    X, y = data(11, p=8)
    fit = make(path, parameters).fit_counted(X, y)
    assert fit.coef is None
    assert np.array_equal(fit.predict(X), make(path, parameters).fit_counted(X, y).predict(X))
    assert fit.predict(X).std() > 0


def test_a_regressor_that_insists_on_an_intercept_keeps_its_coefficients() -> None:
    X, y = data(12, p=8)
    fit = make("sklearn.linear_model.TheilSenRegressor", {"fit_intercept": True}).fit_counted(X, y + 1.0)
    assert fit.coef is not None
    np.testing.assert_allclose(fit.predict(X) - fit.predict(np.zeros((1, 8))), X @ fit.coef, atol=1e-9)


def test_fits_that_do_not_converge_are_known_and_other_warnings_pass() -> None:
    class Slow(Model):
        def fit(self, X: np.ndarray, y: np.ndarray) -> Slow:
            warnings.warn("too few iterations", ConvergenceWarning, stacklevel=1)
            warnings.warn("look here", RuntimeWarning, stacklevel=1)
            return self

    with pytest.warns(RuntimeWarning, match="look here") as caught:
        fit = Slow().fit_counted(*data(13))
    assert not fit.converged
    assert len(caught) == 1
    with pytest.raises(WorkError, match="no coefficients"):
        fit.predict(np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("laso", {}, "There are elasticnet, lasso, pcr, pls, ridge"),
        (
            "lasso",
            {"l1_ratio": 0.5},
            "adr.model.parameters.l1_ratio: lasso has no such parameter; it has: none",
        ),
        ("elasticnet", {"l1_ratio": 0.0}, "l1_ratio = 0.0"),
        ("pls", {"components": 0}, "components = 0"),
        ("sklearn.linear_model.Hubert", {}, "'sklearn.linear_model.Hubert': can't be imported"),
        ("sklearn.nothing.Regressor", {}, "can't be imported"),
        ("numpy.linalg.lstsq", {}, "no class with fit and predict"),
        ("sklearn.linear_model.HuberRegressor", {"alfa": 1}, "adr.model.parameters.alfa"),
        (".Lasso", {}, "'.Lasso': can't be imported"),
        ("kairos.adr.models.Model", {}, "this class is abstract"),
        ("sklearn.cluster.KMeans", {}, "name a regressor"),
        ("sklearn.linear_model.LogisticRegression", {}, "name a regressor"),
    ],
)
def test_a_wrong_model_is_refused(name: str, parameters: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        make(name, parameters)
    assert said in str(caught.value)


def test_a_name_is_declared_once() -> None:
    with pytest.raises(InputError, match="'lasso' is declared twice"):
        register("lasso")(type("Other", (Model,), {"fit": lambda self, X, y: self}))


def test_folders() -> None:
    assert folder("sklearn.linear_model.HuberRegressor") == "huberregressor"
