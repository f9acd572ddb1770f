"""Container images from a real registry: `pearl run --image` by tag and digest, with a login, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.center import Center, Pearl, a_center, a_tenant
from tests.engines_present import has_bubblewrap, need
from tests.registry import LOGIN, Registry, a_registry, make_root

SMALL = ("--cpus", "0.5", "--memory-gib", "0.25", "-t", "2m")
PULL = ("--pull-secret", "REGISTRY_LOGIN")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    need(has_bubblewrap(), "bubblewrap")
    with a_registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture(scope="module")
def image(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = make_root(tmp_path_factory.mktemp("image") / "root")
    (root / "etc" / "hosts").symlink_to("/outside/hosts")
    return registry.push(root, "acme/tool:v1", "--config.env", "HOME=/root", "--config.env", "PATH=/bin:/opt")


@pytest.fixture(scope="module")
def here(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    folder = tmp_path_factory.mktemp("images")
    (folder / "data").mkdir()
    allowed = f'image_registries = "http://{registry.host}/acme"\n'
    (folder / "data" / "pearl.toml").write_text(allowed)
    with a_center(folder) as made:
        yield made


@pytest.fixture(scope="module")
def ann(here: Center) -> Pearl:
    tenant = a_tenant(here, "studio", "ann")
    tenant.right("secrets", "set", "REGISTRY_LOGIN", stdin=LOGIN)
    return tenant


def test_a_command_runs_in_the_image_with_its_variables_and_the_jobs_own_folders(
    ann: Pearl, image: str
) -> None:
    script = (
        'cat /opt/mark; echo "$WHO $PATH $HOME $PEARL_IMAGE"; id -u; echo kept > $PEARL_OUTPUTS/a.txt; ls /'
    )
    answer = ann.right("run", *SMALL, "--image", image, *PULL, "-F", "--", "sh", "-c", script)
    assert "of the image\nthe-image /bin:/opt /pearl/home " in answer.out, answer
    assert f"{image.removesuffix(':v1')}@sha256:" in answer.out
    assert "\n1000\n" in answer.out and "pearl\n" in answer.out
    job = ann.right("jobs", "--json").rows[0]["id"]
    assert "a.txt" in ann.right("job", job).out
    assert LOGIN not in answer.out


def test_the_image_is_read_only_and_nothing_of_the_host_is_seen(ann: Pearl, image: str) -> None:
    script = "touch /opt/x && exit 3; touch /etc/hosts && exit 4; ls /usr/bin/python3 /root && exit 5; touch /tmp/x /var/tmp/y"
    answer = ann("run", *SMALL, "--image", image, *PULL, "-F", "--", "sh", "-c", script)
    assert answer.code == 0, answer


def test_commands_run_inside_a_job_with_an_image(ann: Pearl, image: str) -> None:
    made = ann.right("run", *SMALL, "--image", image, *PULL, "--json", "--", "sh", "-c", "echo up; sleep 100")
    job = made.value["id"]
    while "up" not in ann("logs", job).out:
        pass
    assert ann.right("exec", job, "--", "cat", "/opt/mark").out == "of the image\n"
    ann.right("cancel", job, "--yes")


def test_without_the_login_the_fetch_fails_and_the_job_says_why(ann: Pearl, image: str) -> None:
    answer = ann("run", *SMALL, "--image", image, "-F", "--", "true")
    assert answer.code != 0
    job = ann.right("jobs", "--json").rows[0]
    assert "The image could not be fetched" in ann("why", job["id"]).out + ann("job", job["id"]).out
    assert "unauthorized" in ann("job", job["id"]).out + ann("why", job["id"]).out


def test_images_of_other_registries_are_refused_before_anything_runs(ann: Pearl, registry: Registry) -> None:
    for name in ("docker.io/library/debian:12", f"{registry.host}/other/tool:v1", f"{registry.host}/acme2/x"):
        answer = ann("run", *SMALL, "--image", name, "--", "true")
        assert answer.code == 1, answer
        assert "are not allowed here" in answer.err and f"http://{registry.host}/acme" in answer.err
    answer = ann("run", *SMALL, "--image", "UPPER CASE", "--", "true")
    assert answer.code != 0 and "is not an image such as" in answer.err


def test_an_image_for_other_machines_is_not_run(
    ann: Pearl, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = make_root(tmp_path_factory.mktemp("arm") / "root", ("sh",))
    foreign = registry.push(root, "acme/arm:v1", "--architecture", "riscv64")
    answer = ann("run", *SMALL, "--image", foreign, *PULL, "-F", "--", "true")
    assert answer.code != 0
    job = ann.right("jobs", "--json").rows[0]["id"]
    assert "riscv64" in ann("job", job).out + ann("why", job).out
