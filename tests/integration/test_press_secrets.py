"""What the press does with secrets: the kernel gets them, and nothing that is written or told shows them."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from presses import Executed, execute, made, succeeded
from pressroom.press import Press, Reason, Result
from pressroom.press.environment import kernel_environment
from pressroom.press.events import to_json

SECRET = 'the "canary" & its\ncage'
DIGEST = "import hashlib; print(hashlib.sha256(token.encode()).hexdigest())"


@pytest.fixture
def press() -> Press:
    """One that uses the fork servers of this process, as others do."""
    return Press(kernel_environment(os.environ), grace_seconds=1.0)


async def run(press: Press, folder: Path, *cells: str, **options: object) -> Executed:
    secrets = options.pop("secrets", {"token": SECRET})
    return await execute(press, folder, *cells, secrets=secrets, **options)


def everything(executed: Executed) -> str:
    return json.dumps(executed.notebook) + json.dumps([to_json(event) for event in executed.events])


def assert_hidden(executed: Executed, *words: str) -> None:
    said = everything(executed)
    assert not [word for word in words or ("canary", "cage") if word in said]


async def test_the_kernel_gets_a_secret_that_the_notebook_does_not_show(press: Press, tmp_path: Path) -> None:
    done = succeeded(await run(press, tmp_path, DIGEST, "print(region, len(In))", parameters={"region": "EMEA"}))
    injected, digest, history = done.notebook.cells
    assert digest.outputs[0].text.strip() == hashlib.sha256(SECRET.encode()).hexdigest()
    assert injected.source.splitlines() == [
        "# Parameters; ******** stands for a secret",
        'region = "EMEA"',
        'token = "********"',
    ]
    assert done.notebook.metadata.papermill.parameters == {"region": "EMEA", "token": "********"}
    assert history.outputs[0].text == "EMEA 3\n"
    assert_hidden(done)


async def test_what_the_notebook_puts_out_itself_is_masked(press: Press, tmp_path: Path) -> None:
    done = await run(
        press,
        tmp_path,
        "print(token); print(token.splitlines()[1])",
        "import sys; sys.stderr.write(f'<{token}>'); token",
        "from IPython.display import HTML; import html; HTML(f'<b>{html.escape(token)}</b>')",
        "from IPython.display import JSON; JSON({'one': [token, 1]})",
        "raise ValueError(token)",
    )
    assert done.finished.reason is Reason.CELL_ERROR
    assert done.finished.message == "Cell 6 raised ValueError: ********."
    assert done.text() == "********\n********\n"
    assert done.text("stderr") == "<********>"
    assert [o.data["text/html"] for o in done.outputs(3)] == ["<b>********</b>"]
    assert_hidden(done)


async def test_a_secret_that_is_recorded_as_a_result_is_masked(press: Press, tmp_path: Path) -> None:
    record = """
from IPython.display import display
RESULT = "application/vnd.pressroom.result+json"
display({RESULT: {"name": "text", "value": token}}, raw=True)
display({RESULT: {"name": "json", "value": [token]}}, raw=True)
"""
    done = succeeded(await run(press, tmp_path, record))
    found = {event.name: event.value or event.data for event in done.events if isinstance(event, Result)}
    assert found == {"text": "********", "json": b'["********"]'}
    assert_hidden(done)


async def test_a_secret_in_pieces_is_masked_and_nothing_else_is_lost(press: Press, tmp_path: Path) -> None:
    pieces = ["a cana", "sta: ", "can", "ary-", "1234", "5 and the can"]
    spelt = f"import sys\nfor piece in {pieces}: print(piece, end='', flush=True)"
    done = succeeded(await run(press, tmp_path, spelt, "print('end')", secrets={"token": "canary-12345"}))
    assert done.outputs(1)[0].text == "a canasta: ******** and the can"
    assert done.text() == "a canasta: ******** and the canend\n"
    assert_hidden(done, "canary")


async def test_secrets_of_every_type_arrive(press: Press, tmp_path: Path) -> None:
    secrets = {"pin": 987654, "flag": True, "key": {"user": "ann", "keys": ["canary-1", 0.123456]}}
    shown = "print(repr(pin + 1), flag, key['keys'][1] * 2); print(pin, key)"
    done = succeeded(await run(press, tmp_path, shown, secrets=secrets))
    assert done.text() == "987655 True 0.246912\n******** {'user': 'ann', 'keys': ['********', ********]}\n"
    assert_hidden(done, "canary", "987654", "0.123456")


async def test_an_injected_cell_that_fails_shows_nothing_of_the_secret(press: Press, tmp_path: Path) -> None:
    trap = "get_ipython().input_transformers_post.append(lambda lines: [*lines, '1/0'])"
    notebook = made((trap, ["parameters"]), "print('not reached')")
    done = await execute(press, tmp_path, notebook, secrets={"token": "abc"})
    assert done.finished.reason is Reason.CELL_ERROR
    assert done.finished.ename == "ZeroDivisionError"
    assert done.failed() == [1]
    assert '"abc"' not in everything(done).replace("\\", "")
    assert "not shown" in done.finished.message


async def test_another_language_gets_its_secret_too_and_its_shell_writes_no_history(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    press = Press(kernel_environment(os.environ) | {"HOME": str(home)})
    notebook = made('printf %s "$token" | sha256sum', "echo $token", kernel="bash", language="bash")
    done = succeeded(await execute(press, tmp_path, notebook, secrets={"token": "canary 'n' cage"}))
    assert done.outputs(1)[0].text.split()[0] == hashlib.sha256(b"canary 'n' cage").hexdigest()
    assert done.outputs(2)[0].text.strip() == "********"
    assert_hidden(done)
    assert not [path for path in home.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]


async def test_a_kernel_that_is_not_forked_hides_them_as_well(tmp_path: Path) -> None:
    press = Press(kernel_environment(os.environ), fork=False)
    done = succeeded(await run(press, tmp_path, DIGEST, "print(token)"))
    assert done.text() == hashlib.sha256(SECRET.encode()).hexdigest() + "\n********\n"
    assert_hidden(done)
