"""The steps `notebook` and `signal-notebook`: the analyses as executed Jupyter notebooks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from kairos.adr.desk import NOTEBOOK, SIGNAL_NOTEBOOK, Desk
from kairos.adr.evaluate import MONTHLY
from kairos.adr.evaluate_signal import ICS, evaluation_folder
from kairos.adr.sources import quoted
from kairos.adr.train import evaluation_output, output
from kairos.errors import WorkError

TIMEOUT = 600
"""Seconds that one cell may take."""


@dataclass(frozen=True)
class NotebookReport:
    """Outcome of either step.

    Attributes
    ----------
    path
        The executed notebook.
    cells
        Its cells of code; 0 when there was nothing to do.
    """

    path: Path
    cells: int

    def remarks(self) -> list[str]:
        """Plain sentences."""
        if not self.cells:
            return ["There is no minute signal to analyse."]
        return [f"{self.cells} cells were executed; open {self.path} in Jupyter."]

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and one row."""
        return ["Notebook", "Cells"], [[str(self.path), self.cells]]


def notebook(desk: Desk) -> NotebookReport:
    """Execute the analysis of the models on the desk's data and write it to ``notebooks/`` beside them.

    The notebook runs in the Python that runs this step, whatever kernels are installed on the machine. Its
    figures carry what draws them, so that they show without a network.

    Raises
    ------
    InputError
        The evaluation is missing, or a notebook would be replaced that the desk did not make.
    WorkError
        A cell fails; the message has its error.
    """
    desk.existing(f"{evaluation_output(desk)}/{MONTHLY}", "the evaluation; run `evaluate` first")
    return _execute(desk, NOTEBOOK, template())


def signal_notebook(desk: Desk) -> NotebookReport:
    """Execute the analysis of the minute signal; as :func:`notebook`. Without quotes there is nothing to do.

    Raises
    ------
    InputError
        The signal's evaluation is missing, or a notebook would be replaced that the desk did not make.
    WorkError
        A cell fails; the message has its error.
    """
    if not quoted(desk):
        return NotebookReport(desk.path(SIGNAL_NOTEBOOK), 0)
    desk.existing(
        f"{evaluation_folder(desk)}/{ICS}", "the evaluation of the signal; run `evaluate-signal` first"
    )
    return _execute(desk, SIGNAL_NOTEBOOK, template(SIGNAL_NOTEBOOK))


def _execute(desk: Desk, name: str, source: Path) -> NotebookReport:
    analysis = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]
    with TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "IPYTHONDIR": folder,
            "KAIROS_ADR_DATA": str(desk.root),
            "KAIROS_ADR_MODEL": Path(output(desk)).name,
            "KAIROS_ADR_GATE": desk.settings.adr.gate.mode,
        }
        # no folder of kernels: a kernel called python3 may belong to another Python
        kernel = AsyncKernelManager(
            kernel_name=NATIVE_KERNEL_NAME,
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            transport="ipc",
            ip=f"{folder}/kernel",
        )
        client = NotebookClient(
            analysis,
            km=kernel,
            timeout=TIMEOUT,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute(env=environment, cleanup_kc=True)
        except CellExecutionError as error:
            raise WorkError(f"{name}: a cell failed, {error.ename}: {error.evalue}") from error
        except (CellTimeoutError, DeadKernelError) as error:
            raise WorkError(f"{name}: {error}") from error
    desk.save([(name, partial(nbformat.write, analysis))])
    return NotebookReport(desk.path(name), sum(cell.cell_type == "code" for cell in analysis.cells))


def template(name: str = NOTEBOOK) -> Path:
    """A notebook without outputs: in an installed package inside it, in a checkout beside ``src``.

    Raises
    ------
    WorkError
        It is in neither place: the installation is incomplete.
    """
    package = Path(str(files("kairos.adr")))
    places = [package / name, package.parents[2] / name]
    for place in places:
        if place.is_file():
            return place
    raise WorkError(f"{places[0]}: the notebook is not part of this installation; install kairos again")
