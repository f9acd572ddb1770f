"""An unpacked container image as the root of the sandbox: what is shown, what may be mounted, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engines_present import has_bubblewrap, need
from tests.registry import make_root, unpacked
from tests.unit.engines_local.kit import Bench

from pearlstreet.base.outcome import Refused
from pearlstreet.compute.engines.local.images import is_mountable
from pearlstreet.compute.engines.protocol import Binding, Mount

NAME = "localhost/acme/tool:1"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need(has_bubblewrap(), "bubblewrap")
    made = unpacked(make_root(tmp_path_factory.mktemp("image") / "root"))
    (made / "latest").symlink_to("opt")
    return made


def test_the_image_is_shown_read_only_beside_the_jobs_own_folders(sealed: Bench, image: Path) -> None:
    report, log = sealed.run(
        "cat /latest/mark; touch /opt/x /new 2>/dev/null && exit 3; touch $TMPDIR/a /var/tmp/b $HOME/c && ls /",
        image=NAME,
        image_folder=str(image),
    )
    assert report.exit_code == 0, log
    assert log.startswith("of the image\n") and report.wall.startswith("bubblewrap")
    assert "root" not in log.split() and "home" not in log.split()


def test_ranks_of_a_gang_share_the_image(sealed: Bench, image: Path) -> None:
    attempt_id = sealed.start("cat /opt/mark; echo $RANK", tasks=2, image=NAME, image_folder=str(image))
    assert sealed.ended(attempt_id).exit_code == 0
    assert [sealed.log(attempt_id, rank) for rank in (0, 1)] == [f"of the image\n{rank}\n" for rank in (0, 1)]


def test_inputs_appear_at_new_folders_and_at_those_that_the_image_has(sealed: Bench, image: Path) -> None:
    report, log = sealed.run(
        "cat /data/mark /bin/of-work",
        image=NAME,
        image_folder=str(image),
        mounts=(Mount(str(image / "opt"), "/data"),),
    )
    assert report.exit_code == 1 and log.startswith("of the image\n"), log


@pytest.mark.parametrize("target", ["/opt/none/deep", "/latest/x", "/latest", "/opt/mark/x"])
def test_a_mount_point_that_the_image_lacks_or_has_as_a_link_is_refused(
    sealed: Bench, image: Path, target: str
) -> None:
    order = sealed.order("true", image=NAME, image_folder=str(image), bindings=(Binding(".", target),))
    answer = sealed.engine.start(order)
    assert isinstance(answer, Refused) and answer.code == "bad_image" and target in str(answer.reason)


def test_where_something_may_be_mounted(image: Path) -> None:
    assert all(
        is_mountable(image, path) for path in ("/new", "/new/deep/er", "/opt", "/pearl/x/y", "/opt/mark")
    )
    assert not any(is_mountable(image, path) for path in ("/", "/opt/new", "/latest", "/latest/mark"))


@pytest.mark.parametrize("name", ["etc/hosts", "var", "etc", "var/tmp"])
def test_an_image_that_is_not_what_a_fetch_leaves_is_refused(
    sealed: Bench, tmp_path: Path, name: str
) -> None:
    root = tmp_path / "root"
    for folder in ("etc", "var/tmp"):
        (root / folder).mkdir(parents=True)
    for file in ("hosts", "resolv.conf"):
        (root / "etc" / file).touch()
    (root / name).rename(root / "moved")
    (root / name).symlink_to("/moved")
    answer = sealed.engine.start(sealed.order("true", image=NAME, image_folder=str(root)))
    assert isinstance(answer, Refused) and answer.code == "bad_image"


@pytest.mark.parametrize("sandbox", ["landlock", "none"])
def test_without_bubblewrap_there_are_no_images(tmp_path: Path, image: Path, sandbox: str) -> None:
    bench = Bench(tmp_path, sandbox=sandbox)
    assert not bench.engine.capabilities().images
    answer = bench.engine.start(bench.order("true", image=NAME, image_folder=str(image)))
    assert isinstance(answer, Refused) and answer.code == "no_images"
    bench.clean_up()


def test_an_image_that_is_not_there_is_named(sealed: Bench, tmp_path: Path) -> None:
    for folder in ("", str(tmp_path / "gone")):
        answer = sealed.engine.start(sealed.order("true", image=NAME, image_folder=folder))
        assert isinstance(answer, Refused) and answer.code == "image_missing" and NAME in str(answer.reason)
