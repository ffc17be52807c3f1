"""What a hostile user tries with paths and requests, beside a victim, on real accounts."""

import os
from pathlib import Path

import pytest

from accounts import IS_ROOT, WHY, uid_of
from besieged import SECRET, Siege, until

pytestmark = pytest.mark.skipif(not IS_ROOT, reason=WHY)


@pytest.mark.parametrize("field", ["input_path", "output_path"])
@pytest.mark.parametrize("how", ["plainly", "by a link", "by a folder's link", "with dots"])
def test_no_path_leads_to_the_victim(siege: Siege, field: str, how: str) -> None:
    home, theirs = siege.home(siege.mallory), Path(siege.target["notebook"])
    folder = home / f"{field}-{how.replace(' ', '-')}"
    mine = siege.plant(f"{folder.name}/mine.ipynb", "1")
    path = {
        "plainly": theirs,
        "by a link": folder / "link.ipynb",
        "by a folder's link": folder / "folder" / theirs.name,
        "with dots": folder / ".." / ".." / siege.victim / theirs.name,
    }[how]
    (folder / "link.ipynb").symlink_to(theirs)
    (folder / "folder").symlink_to(theirs.parent)
    before = theirs.read_bytes()
    body = {"input_path": str(mine), "output_path": str(folder / "out.ipynb"), "params": {}, field: str(path)}
    answer = siege.hostile.post("/execute-notebook", json=body)
    assert answer.status_code in (403, 404), answer.text
    assert SECRET not in answer.text
    assert theirs.read_bytes() == before
    # What is refused is whose it is: the same is done for a path of one's own.
    body = {"input_path": str(mine), "output_path": str(folder / "out.ipynb"), "params": {}}
    assert siege.hostile.post("/execute-notebook", json=body).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/list-notebooks/{victim}", None),
        ("GET", "/download-notebook?path={notebook}", None),
        ("GET", "/download-notebook?path={output}&username={victim}", None),
        ("GET", "/db/executions/{execution}/log", None),
        ("GET", "/db/executions/{execution}/notebook", None),
        ("GET", "/db/executions/{execution}", None),
        ("POST", "/db/executions/{execution}/cancel", None),
        ("POST", "/db/notebooks", {"name": "x", "file_path": "{notebook}", "username": "{victim}"}),
        ("POST", "/db/notebooks", {"name": "x", "file_path": "{notebook}", "username": "{mallory}"}),
    ],
)
def test_no_request_gets_what_is_the_victims(siege: Siege, method: str, path: str, body: dict[str, str] | None) -> None:
    names = {**siege.target, "victim": siege.victim, "mallory": siege.mallory, "execution": siege.executions[0]}
    sent = {key: value.format(**names) for key, value in body.items()} if body is not None else None
    answer = siege.hostile.request(method, path.format(**names), json=sent)
    assert answer.status_code in (403, 404), answer.text
    assert SECRET not in answer.text
    assert siege.row(siege.executions[0])["status"] == "running"


@pytest.mark.parametrize("what", ["/etc/shadow", "a pipe", "a folder", "a device"])
def test_what_is_no_file_of_its_user_is_no_notebook(siege: Siege, what: str) -> None:
    path = siege.plant("odd/mine.ipynb", "1").with_name(f"{what.strip('/').replace('/', '-').replace(' ', '-')}.ipynb")
    match what:
        case "a pipe":
            os.mkfifo(path)
            os.chown(path, uid_of(siege.mallory), -1)
        case "a folder":
            path.mkdir()
        case "a device":
            path.symlink_to("/dev/zero")
        case _:
            path.symlink_to(what)
    answer = siege.hostile.post("/execute", json={"input_path": str(path), "parameters": {}})
    assert answer.status_code in (403, 422), answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize("where", ["home", "system"])
def test_a_folder_that_is_swapped_for_a_link_leads_nowhere(siege: Siege, where: str, open_directory: Path) -> None:
    # The other one is root's, and everybody may look there.
    elsewhere = Path(siege.target["home"]) if where == "home" else open_directory
    before = sorted(elsewhere.iterdir())
    swap = f"import os\nos.rename('executions', 'away')\nos.symlink({str(elsewhere)!r}, 'executions')\nprint(1)"
    row = siege.execute(siege.plant(f"swap-{where}/swap.ipynb", swap))
    assert (row["status"], row["failure"]["reason"]) == ("failed", "output_not_written")
    assert sorted(elsewhere.iterdir()) == before
    assert siege.hostile.get(f"/db/executions/{row['id']}/notebook").status_code in (403, 404)


def test_a_folder_that_is_swapped_all_the_time_never_gives_the_victims_file(siege: Siege) -> None:
    theirs = Path(siege.target["output"])
    own = siege.plant(f"race/real/{theirs.name}", "print('mine')")
    swaps = f"""
import os
os.symlink({str(theirs.parent)!r}, "link")
open("up", "w").close()
while not os.path.exists("stop"):
    os.rename("real", "aside"); os.rename("link", "real")
    os.rename("real", "link"); os.rename("aside", "real")
"""
    race = siege.plant("race/swaps.ipynb", swaps)
    body = {"input_path": str(race), "parameters": {}}
    made = siege.hostile.post("/execute", json=body, headers={"Prefer": "respond-async"})
    until(lambda: (race.parent / "up").exists() or None, "the race")
    answers = [siege.hostile.get("/download-notebook", params={"path": str(own)}) for _ in range(100)]
    (race.parent / "stop").touch()
    assert siege.ended(made.json()["id"])["status"] == "success"
    assert not [answer.text for answer in answers if SECRET in answer.text]
    assert {answer.status_code for answer in answers} <= {200, 403, 404}
    assert 200 in {answer.status_code for answer in answers}


def test_an_output_that_becomes_a_link_is_not_followed(siege: Siege) -> None:
    theirs = Path(siege.target["notebook"])
    before = theirs.read_bytes()
    source = f"import os\nout = f\"{{os.getcwd()}}/out.ipynb\"\nos.symlink({str(theirs)!r}, out)\nprint('mine')"
    path = siege.plant("link/link.ipynb", source)
    body = {"input_path": str(path), "output_path": str(path.with_name("out.ipynb")), "params": {}}
    answer = siege.hostile.post("/execute-notebook", json=body)
    assert answer.json()["reason"] == "output_not_written", answer.text
    assert theirs.read_bytes() == before


def test_what_an_output_became_is_read_as_its_user(siege: Siege) -> None:
    row = siege.execute(siege.plant("became/became.ipynb", "print(1)"))
    output = Path(row["output_path"])
    output.unlink()
    output.symlink_to(siege.target["output"])
    for page in ("notebook", "html"):
        answer = siege.hostile.get(f"/db/executions/{row['id']}/{page}")
        assert answer.status_code in (403, 404), answer.text
        assert SECRET not in answer.text
