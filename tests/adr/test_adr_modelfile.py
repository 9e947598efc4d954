"""Model files: plain, the same bytes for the same model, and read without running anything."""

from __future__ import annotations

import builtins
import os
import pickle
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from kairos.adr.modelfile import ModelFile, read_model
from kairos.errors import InputError


def model() -> ModelFile:
    return ModelFile(
        ticker="BP",
        exchange="XLON",
        index="UKX",
        month="2025-01",
        model="lasso",
        parameters={"l1_ratio": 0.5},
        selection="mse_1se",
        alpha=0.002,
        alphas=np.array([0.002]),
        weights=np.array([1.0]),
        features=["AAPL", "XOM"],
        coef=np.array([0.001, -0.0005]),
        scale=np.array([0.02, 0.01]),
        mean=np.array([1e-4, -2e-4]),
        n_features=1000,
        train=["2024-01-03", "2024-11-29"],
        validation=["2024-12-02", "2024-12-30"],
        n_train=230,
        n_validation=20,
        validation_metrics={"ic": 0.1, "r2": 0.01, "mse": 1e-4, "hit_rate": 0.5, "mse_zero": 1.1e-4},
        versions={"numpy": np.__version__},
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    model().write(tmp_path / "m.pkl")
    found = read_model(tmp_path / "m.pkl")
    for field in fields(ModelFile):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(model(), field.name), strict=True)
    np.testing.assert_allclose(found.linear(tmp_path), [0.05, -0.05])


def test_equal_models_are_equal_bytes(tmp_path: Path) -> None:
    """Whether strings and arrays are one object or several, views or copies, of one process or another."""
    one = model()
    shared = "".join(["X", "OM"])
    wide = np.array([[0.001, 9.0], [-0.0005, 9.0]])
    other = replace(
        pickle.loads(pickle.dumps(one)),
        features=["".join(["AA", "PL"]), shared],
        coef=wide[:, 0],
        index="UKX",
    )
    one.write(tmp_path / "a.pkl")
    other.write(tmp_path / "b.pkl")
    replace(one, index=one.exchange, exchange=one.exchange).write(tmp_path / "c.pkl")
    replace(one, index="".join(["XL", "ON"])).write(tmp_path / "d.pkl")
    a, b, c, d = ((tmp_path / f"{name}.pkl").read_bytes() for name in "abcd")
    assert a == b
    assert c == d
    assert a != c


def test_numpy_alone_can_load_it(tmp_path: Path) -> None:
    model().write(tmp_path / "m.pkl")
    code = (
        "import pickle, sys\n"
        f"content = pickle.load(open({str(tmp_path / 'm.pkl')!r}, 'rb'))\n"
        "assert 'kairos' not in sys.modules and 'sklearn' not in sys.modules\n"
        "assert type(content) is dict\n"
        "kinds = {type(each).__module__ for each in content.values()}\n"
        "assert kinds <= {'builtins', 'numpy'}, kinds\n"
        "print(content['features'], (content['coef'] / content['scale']).tolist())"
    )
    numpy_only = tmp_path / "site"
    numpy_only.mkdir()
    site = Path(np.__file__).parents[1]
    for package in (*site.glob("numpy"), *site.glob("numpy.libs")):
        (numpy_only / package.name).symlink_to(package)
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(numpy_only), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['AAPL', 'XOM'] [0.05, -0.05]"


class Malicious:
    def __init__(self, call: object, *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.call, self.arguments


@pytest.mark.parametrize("call", [os.system, builtins.eval, builtins.getattr, np.load, subprocess.run])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_runs_code_is_refused(call: object, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"coef": Malicious(call, f"touch {tmp_path}/ran")}, protocol=protocol))
    with pytest.raises(InputError, match=r"evil\.pkl: not a model file") as caught:
        read_model(path)
    assert call.__name__ in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"text",
            b"\x80\x04.",
            pickle.dumps([1]),
            pickle.dumps({"coef": 1.0}),
            pickle.dumps(model().features),
        ),
        pickle.dumps({field.name: None for field in fields(ModelFile)}),
        pickle.dumps(
            {field.name: getattr(model(), field.name) for field in fields(ModelFile)} | {"coef": np.ones(3)}
        ),
    ],
)
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.pkl: not a model file"):
        read_model(path)


def test_every_truncation_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.pkl"
    model().write(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.pkl"):
            read_model(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.pkl: the file is missing"):
        read_model(tmp_path / "none.pkl")


def test_a_model_without_coefficients_can_not_be_run(tmp_path: Path) -> None:
    replace(model(), coef=None, model="sklearn.svm.SVR").write(tmp_path / "m.pkl")
    found = read_model(tmp_path / "m.pkl")
    with pytest.raises(InputError, match=r"m\.pkl: the model sklearn\.svm\.SVR is not linear"):
        found.linear(tmp_path / "m.pkl")
