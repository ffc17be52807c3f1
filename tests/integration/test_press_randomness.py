"""Two executions never draw the same random numbers, whatever was loaded before them, unless they seed."""

import asyncio
import json
import random
from pathlib import Path

import numpy as np
import pytest

from presses import execute, opened, succeeded

EXECUTIONS = 20
AT_ONCE = 4
PRELOAD = (
    "numpy",
    "pandas",
    "scipy.stats",
    "sklearn.utils",
    "matplotlib.pyplot",
    "multiprocessing",
    "tempfile",
    "uuid",
)
DRAWN = """
import json, multiprocessing, os, random, secrets, tempfile, uuid
import numpy, pandas, scipy.stats
from sklearn.utils import check_random_state
print(json.dumps({
    "random": random.random(),
    "a generator of random's": random.Random().random(),
    "numpy's global state": float(numpy.random.random()),
    "numpy's default_rng": float(numpy.random.default_rng().random()),
    "numpy's RandomState": float(numpy.random.RandomState().random()),
    "scipy": float(scipy.stats.norm.rvs()),
    "scikit-learn": float(check_random_state(None).random_sample()),
    "pandas": pandas.Series(range(10**6)).sample(3).tolist(),
    "uuid1": str(uuid.uuid1()),
    "uuid4": str(uuid.uuid4()),
    "secrets": secrets.token_hex(),
    "urandom": os.urandom(16).hex(),
    "a temporary file's name": next(tempfile._get_candidate_names()),
    "the key of multiprocessing": bytes(multiprocessing.current_process().authkey).hex(),
    "the session of the kernel": get_ipython().kernel.session.session,
}))
"""
SEEDED = """
import json, random, numpy
random.seed(7)
numpy.random.seed(7)
print(json.dumps([random.random(), float(numpy.random.random()), float(numpy.random.default_rng(7).random())]))
"""


@pytest.mark.parametrize("preload", [(), PRELOAD], ids=["nothing preloaded", "libraries preloaded"])
async def test_no_two_executions_draw_the_same(tmp_path: Path, preload: tuple[str, ...]) -> None:
    rows: list[dict[str, object]] = []
    async with opened(preload=preload) as press:

        async def draw(folder: Path) -> None:
            folder.mkdir()
            for _ in range(EXECUTIONS // AT_ONCE):
                executed = succeeded(await execute(press, folder, DRAWN))
                drawn = json.loads(executed.text())
                rows.append(drawn)

        await asyncio.gather(*(draw(tmp_path / str(number)) for number in range(AT_ONCE)))
    assert len(rows) == EXECUTIONS
    distinct = {name: len({json.dumps(row[name]) for row in rows}) for name in rows[0]}
    assert distinct == dict.fromkeys(distinct, EXECUTIONS)


async def test_executions_that_seed_draw_the_same(tmp_path: Path) -> None:
    expected = [
        random.Random(7).random(),
        float(np.random.RandomState(7).random()),
        float(np.random.default_rng(7).random()),
    ]
    async with opened(preload=PRELOAD) as press:
        for _ in range(3):
            assert json.loads(succeeded(await execute(press, tmp_path, SEEDED)).text()) == expected


async def test_a_child_of_a_notebook_draws_numbers_of_its_own(tmp_path: Path) -> None:
    source = """
import json, os, random
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, str(random.random()).encode())
    os._exit(0)
os.wait()
print(json.dumps([random.random(), float(os.read(read, 100))]))
"""
    async with opened(preload=PRELOAD) as press:
        mine, childs = json.loads(succeeded(await execute(press, tmp_path, source)).text())
    assert mine != childs, "CPython seeds random anew after a fork, in a forked kernel too"
