"""The bound of a process's memory is found wherever a container or a service manager has written it."""

from pathlib import Path

from gateway.server.memory import memory_limit


def written(folder: Path, membership: str, **files: str) -> tuple[Path, Path]:
    for name, text in files.items():
        *groups, version = name.split("__")
        path = folder.joinpath("cgroup", *groups, "memory.max" if version == "max" else "memory.limit_in_bytes")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "membership").write_text(membership)
    return folder / "membership", folder / "cgroup"


def test_the_tightest_of_a_group_and_those_above_it_holds(tmp_path: Path) -> None:
    above = {"app__max": "268435456\n", "max": "536870912\n"}
    places = written(tmp_path, "0::/app/gateway\n", app__gateway__max="max\n", **above)
    assert memory_limit(*places) == 268435456


def test_in_a_container_the_root_is_its_own(tmp_path: Path) -> None:
    places = written(tmp_path, "0::/../kubepods/pod1\n", max="536870912\n")
    assert memory_limit(*places) == 536870912


def test_the_first_version_of_cgroups_is_read_too(tmp_path: Path) -> None:
    lines = "5:devices:/\n4:memory,hugetlb:/docker/1f\n0::/\n"
    places = written(tmp_path, lines, memory__docker__1f__v1="268435456\n", memory__v1="9223372036854771712\n")
    assert memory_limit(*places) == 268435456


def test_where_nothing_is_bounded_there_is_no_limit(tmp_path: Path) -> None:
    places = written(tmp_path, "4:memory:/\n0::/\n", memory__v1="9223372036854771712\n", max="max\n")
    assert memory_limit(*places) is None
    assert memory_limit(tmp_path / "nothing", tmp_path) is None
