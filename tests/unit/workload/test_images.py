"""Names of container images, the registries that are allowed, and what an image's configuration gives to jobs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.base.errors import ConfigurationError, InvalidInput
from pearlstreet.base.text import Text
from pearlstreet.workload.environments.images import (
    FetchedImage,
    ImageSpec,
    image_spec,
    parse_image,
    parse_registries,
    read_config,
    registry_of,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12", "docker.io/library/debian:12"),
        ("acme/tool:v1", "docker.io/acme/tool:v1"),
        ("docker.io/debian", "docker.io/library/debian:latest"),
        ("localhost/a/b", "localhost/a/b:latest"),
        ("registry:5000/a", "registry:5000/a:latest"),
        ("ghcr.io/acme/deep/tool@" + DIGEST, "ghcr.io/acme/deep/tool@" + DIGEST),
        ("ghcr.io/acme/tool:v1@" + DIGEST, "ghcr.io/acme/tool@" + DIGEST),
    ],
)
def test_names_are_completed(written: str, full: str) -> None:
    assert str(parse_image(written)) == full


@pytest.mark.parametrize(
    "written",
    ["", "a b", "Upper/case", "a/../b", "/etc", "a//b", "a:", "a@sha256:12", "a:b:c", "http://a/b", "-x", "a/b;id", "a\n"],
)  # fmt: skip
def test_what_is_no_name_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_image(written)
    assert "docker.io/library/debian:12" in str(caught.value.hint)


@given(st.text(max_size=60))
def test_a_name_is_refused_or_has_no_character_that_a_shell_or_a_path_knows(written: str) -> None:
    try:
        full = str(parse_image(written))
    except InvalidInput:
        return
    assert not set(full) & set(" \t\n'\"`$&|;<>()*?[]{}\\!#~%") and ".." not in full.split("/")
    assert parse_image(full) == parse_image(written)


def test_registries_may_be_narrowed_to_a_part_and_nothing_beside_it_is_allowed() -> None:
    allowed = parse_registries(" docker.io, ghcr.io/acme ,http://10.0.0.5:5000/ ")
    assert [str(one) for one in allowed] == ["docker.io", "ghcr.io/acme", "http://10.0.0.5:5000"]
    assert registry_of(parse_image("debian"), allowed) is allowed[0]
    assert registry_of(parse_image("ghcr.io/acme/tool"), allowed) is allowed[1]
    found = registry_of(parse_image("10.0.0.5:5000/x"), allowed)
    assert found is not None and not found.is_encrypted
    for other in (
        "ghcr.io/acme2/tool",
        "ghcr.io/tool",
        "quay.io/acme/tool",
        "10.0.0.5/x",
        "docker.io.evil.example/x",
    ):
        assert registry_of(parse_image(other), allowed) is None, other
    assert registry_of(parse_image("debian"), parse_registries("")) is None


@pytest.mark.parametrize("written", ["docker io", "ghcr.io/Acme", "ftp://a", "a/../b"])
def test_a_setting_that_is_no_registry_is_named(written: str) -> None:
    with pytest.raises(ConfigurationError, match="image_registries"):
        parse_registries(f"docker.io,{written}")


def test_a_tag_is_looked_up_each_day_a_digest_once_and_a_login_is_the_projects_own() -> None:
    def digest(image: str, secret: str | None, project: str, day: str) -> str:
        return image_spec(image, secret, project, day).digest()

    first = digest("debian:12", None, "p1", "2026-01-01")
    assert first == digest("docker.io/library/debian:12", None, "p2", "2026-01-01")
    assert first != digest("debian:12", None, "p1", "2026-01-02")
    fixed = f"debian@{DIGEST}"
    assert digest(fixed, None, "p1", "2026-01-01") == digest(fixed, None, "p2", "2026-02-02")
    assert digest(fixed, "LOGIN", "p1", "") != digest(fixed, "LOGIN", "p2", "")
    assert digest(fixed, "LOGIN", "p1", "") != digest(fixed, None, "p1", "")
    spec = image_spec("debian:12", "LOGIN", "p1", "2026-01-01")
    assert ImageSpec.from_json(spec.to_json()) == spec


def test_an_images_variables_are_taken_but_for_those_that_the_sandbox_sets() -> None:
    given = ["PATH=/opt/bin", "HOME=/root", "EMPTY=", "A=b=c", "broken", "bad name=1", "NUL=\0"]
    made = read_config(json.dumps({"architecture": "amd64", "config": {"Env": given}}), "x@y", "x86_64")
    assert isinstance(made, FetchedImage)
    assert made.variables == {"PATH": "/opt/bin", "EMPTY": "", "A": "b=c"}
    assert FetchedImage.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    "config",
    ["", "[]", "{}", "null", '{"architecture": "arm64"}', '{"architecture": "amd64", "config": 3}'],
)
def test_an_image_that_cannot_run_here_says_why(config: str) -> None:
    found = read_config(config, "x@y", "x86_64")
    assert isinstance(found, Text)
    assert "arm64" not in config or "arm64" in str(found)


def test_an_image_without_variables_is_an_image() -> None:
    for config in ('{"architecture": "amd64"}', '{"architecture": "amd64", "config": {"Env": null}}'):
        assert read_config(config, "n", "x86_64") == FetchedImage({}, "n")
