"""Control groups are made where they were delegated, on files that stand for the system's."""

import os
from pathlib import Path

import pytest

from pressroom.press.control_groups import control_group, settle
from pressroom.press.fork_server import ended_group


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    service = tmp_path / "system.slice" / "pressroom.service"
    (service / "main").mkdir(parents=True)
    (service / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (service / "main" / "cgroup.subtree_control").write_text("\n")
    (tmp_path / "own").write_text("0::/system.slice/pressroom.service/main\n")
    return tmp_path


def test_a_group_has_the_limits_and_lies_beside_the_services_own(mount: Path) -> None:
    made = control_group({"memory_mb": 256, "processes": 40}, mount, mount / "own")
    assert made is not None
    group = Path(made)
    assert group.parent == mount / "system.slice" / "pressroom.service"
    assert (group / "memory.max").read_text() == str(256 * 2**20)
    assert (group / "memory.swap.max").read_text() == "0"
    assert (group / "pids.max").read_text() == "40"


def test_whoever_was_given_a_group_leaves_it_for_one_below_and_has_limits_to_give(mount: Path) -> None:
    service = mount / "system.slice" / "pressroom.service"
    (mount / "own").write_text("0::/system.slice/pressroom.service\n")
    assert not settle(mount, mount / "own"), "it is delegated to nobody"
    os.setxattr(service, "user.delegate", b"1")
    assert settle(mount, mount / "own")
    assert (service / "main" / "cgroup.procs").read_text() == str(os.getpid())
    assert (service / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_none_is_made_where_there_is_nothing_to_limit(mount: Path) -> None:
    assert control_group({"cpu_seconds": 3}, mount, mount / "own") is None


@pytest.mark.parametrize("own", ["4:memory:/user.slice\n", "", "0::/elsewhere\n"])
def test_none_is_made_where_none_was_delegated(mount: Path, own: str) -> None:
    (mount / "own").write_text(own)
    assert control_group({"memory_mb": 256}, mount, mount / "own") is None


def test_a_group_that_ran_out_of_memory_is_known_by_it(tmp_path: Path) -> None:
    group = tmp_path / "g"
    group.mkdir()
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert ended_group(str(group))
    (group / "memory.events").write_text("low 0\noom 0\noom_kill 0\n")
    assert not ended_group(str(group))
