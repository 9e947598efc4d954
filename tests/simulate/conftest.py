import duckdb
import pytest

from kairos.simulate import market, simulate


@pytest.fixture(scope="session")
def simulated():
    return market(tickers=250, years=3, seed=11)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return simulate(
        tmp_path_factory.mktemp("simulated") / "market", tickers=250, years=3, seed=11, format="parquet"
    )


@pytest.fixture
def files(folder):
    """Connection with a view over each vendor table and over the characteristics."""
    with duckdb.connect() as connection:
        for path in sorted(folder.glob("*.parquet")):
            name = path.stem.removeprefix("SHARADAR_").lower()
            connection.execute(f"CREATE VIEW {name} AS FROM '{path}'")
        yield connection
