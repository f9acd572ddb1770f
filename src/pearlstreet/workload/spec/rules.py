"""PURE: rules across fields of a specification, and kinds of values that need more than a pattern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.ids import is_id
from pearlstreet.base.paths import mount_problem, path_problem
from pearlstreet.base.text import Text, text
from pearlstreet.base.urls import parse_outgoing
from pearlstreet.workload.environments.images import parse_image
from pearlstreet.workload.environments.requirements import package_problem, requirements_problems
from pearlstreet.workload.spec.context import BAD, Attributes, Context, Where
from pearlstreet.workload.spec.kinds import JsonSchema, TextKind, shown, wrong_type
from pearlstreet.workload.spec.model import FileItem, InputItem

COMMAND_BYTES_MAX = 512 << 10
"""Maximum length of the whole command, well below Linux's limit of arguments (2 MiB with the default 8 MiB stack)."""
VARIABLES_BYTES_MAX = 512 << 10
SHELL = ("/bin/sh", "-c")

RESERVED_VARIABLES = frozenset(
    {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
)
"""Environment variables that the center sets for every task of a gang."""
LAYOUT = "PEARL_LAYOUT_"
"""Prefix of the variables with a job's parallel layout, set by accepted quotes; submitters may set them too."""
DEVICE_VARIABLES = frozenset(
    {
        "ASCEND_RT_VISIBLE_DEVICES",
        "ASCEND_VISIBLE_DEVICES",
        "CUDA_VISIBLE_DEVICES",
        "GPU_DEVICE_ORDINAL",
        "HIP_VISIBLE_DEVICES",
        "MLU_VISIBLE_DEVICES",
        "MUSA_VISIBLE_DEVICES",
        "NPU_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "XPU_VISIBLE_DEVICES",
        "ZE_AFFINITY_MASK",
    }
)
"""Environment variables that select devices; a job that set them could reach another job's devices."""
LOADER_VARIABLES = frozenset({"LD_AUDIT", "LD_PRELOAD", "BASH_ENV", "ENV"})
"""Environment variables that would affect the launcher before the sandbox is set up."""


@dataclass(frozen=True, slots=True)
class CommandKind:
    """A command: a list of words, or one text for /bin/sh; stored as words."""

    words: TextKind
    high: int = 1000

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return a tuple of words."""
        if isinstance(value, str):
            if not value.strip():
                return context.add(where, text("It is empty"))
            script = self.words.parse(value, where, context)
            return BAD if script is BAD else (*SHELL, script)
        if not isinstance(value, list | tuple):
            return wrong_type(
                value, where, context, text("a command"), text("Write python train.py or [python, train.py]")
            )
        if not 0 < len(value) <= self.high:
            return context.add(where, text("A command has from 1 to {limit} words", limit=self.high))
        parsed = [self.words.parse(word, (*where, index), context) for index, word in enumerate(value)]
        words = tuple(word for word in parsed if isinstance(word, str))
        if len(words) < len(parsed):
            return BAD
        if not words[0].strip():
            return context.add((*where, 0), text("It is empty"))
        if sum(map(len, words)) > COMMAND_BYTES_MAX:
            return context.add(
                where, text("The whole command is longer than {limit} characters", limit=COMMAND_BYTES_MAX)
            )
        return words

    def dump(self, value: Any) -> Any:
        """Return the text of a /bin/sh command, else the list of words."""
        if len(value) == 3 and value[:2] == SHELL and value[2].strip():
            return value[2]
        return list(value)

    def schema(self) -> JsonSchema:
        """Return the schema of both forms."""
        words = {"type": "array", "items": self.words.schema(), "minItems": 1, "maxItems": self.high}
        return {"anyOf": [{"type": "string", "minLength": 1, "maxLength": self.words.limit}, words]}


@dataclass(frozen=True, slots=True)
class PathKind:
    """A relative path within a folder, or with `mount` an absolute path in the sandbox."""

    mount: bool = False
    into: bool = False
    """Whether a `/` at the end is significant: the file keeps its own name in this folder."""

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return the path without a leading `./`."""
        if not isinstance(value, str):
            return wrong_type(value, where, context, text("a path"))
        problem = mount_problem(value) if self.mount else path_problem(value)
        if problem is not None:
            return context.add(where, problem)
        if self.mount:
            return value
        if value in (".", "./"):
            return "./" if self.into else "."
        return value.removeprefix("./") if self.into else value.removeprefix("./").removesuffix("/")

    def dump(self, value: object) -> object:
        """Return the path unchanged."""
        return value

    def schema(self) -> JsonSchema:
        """Return a string schema; a pattern cannot express the rules of safe paths."""
        return {"type": "string", "minLength": 1, "maxLength": 1024}


@dataclass(frozen=True, slots=True)
class IdKind:
    """An id of the center with a given prefix."""

    prefix: str

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return the id."""
        if isinstance(value, str) and is_id(value, self.prefix):
            return value
        wanted = text("an id such as {example}", example=f"{self.prefix}_01k8m3v5q2e7r9t0w4y6z8a1b3")
        return wrong_type(value, where, context, wanted)

    def dump(self, value: object) -> object:
        """Return the id unchanged."""
        return value

    def schema(self) -> JsonSchema:
        """Return a string schema with the pattern of an id."""
        return {"type": "string", "pattern": f"^{self.prefix}_[0-9a-hjkmnp-tv-z]{{26}}$"}


@dataclass(frozen=True, slots=True)
class PackageKind:
    """One package with an optional version range (PEP 508)."""

    def parse(self, value: object, where: Where, context: Context) -> object:
        """Return the text without surrounding spaces."""
        if not isinstance(value, str):
            return wrong_type(value, where, context, text("a package such as numpy or torch==2.9"))
        problem = package_problem(value)
        return context.add(where, problem) if problem is not None else value.strip()

    def dump(self, value: object) -> object:
        """Return the text unchanged."""
        return value

    def schema(self) -> JsonSchema:
        """Return a string schema."""
        return {"type": "string", "minLength": 1, "maxLength": 500}


def check_environment(made: Attributes, where: Where, context: Context) -> None:
    """Check that an environment has packages or an image, not both, and that its requirements are packages."""
    if "image" in made:
        for name in ("python", "packages", "requirements", "wheels_only"):
            if name in made:
                context.add(
                    (*where, name),
                    text("An environment is either an image or Python with packages, not both"),
                    text("Leave out image or {name}", name=name),
                )
        try:
            parse_image(made["image"])
        except InvalidInput as error:
            context.add((*where, "image"), error.message, error.hint)
    elif "pull_secret" in made:
        context.add(
            (*where, "pull_secret"),
            text("It is for the registry of a container image, and no image is named"),
            text("Name an image, or leave it out"),
        )
    for number, problem in requirements_problems(made.get("requirements", "")):
        context.add(
            (*where, "requirements"), text("Line {number}: {problem}", number=number, problem=problem)
        )


def check_environment_named(made: Attributes, where: Where, context: Context) -> None:
    """Check that an environment is not empty."""
    if not made:
        context.add(where, text("It is empty"), text("Name python, packages, requirements or image"))


def check_per_task(made: Attributes, where: Where, context: Context) -> None:
    """Check that a task requests whole accelerators or a part of one, not both."""
    if made.get("fraction") is not None and made.get("count", 0) > 0:
        context.add(
            (*where, "fraction"),
            text("Ask for whole accelerators (count) or for a part of one (fraction), not for both"),
            text("Leave out count or fraction"),
        )
    if made.get("accelerator") and made.get("count", 1) == 0 and made.get("fraction") is None:
        context.add(
            (*where, "count"),
            text("An accelerator is named but none is asked for"),
            text("Leave out accelerator, or ask for at least one"),
        )


def check_fraction(made: Attributes, where: Where, context: Context) -> None:
    """Check that a fraction has at least one of memory and compute."""
    if not made.get("memory_gib") and not made.get("compute_percent"):
        context.add(where, text("It is empty"), text("Name memory_gib, compute_percent or both"))


def check_origin(made: Attributes, where: Where, context: Context) -> None:
    """Check that a file is either an upload or, if the caller uploads it, a path on the submitter's machine."""
    if "source" in made and not context.local:
        context.add(
            (*where, "source"),
            text(
                "The path {path} is on the submitter's machine, which the center cannot read",
                path=shown(made["source"]),
            ),
            text("Submit with pearl run, which uploads it, or upload it and name its id as upload"),
        )
    elif ("source" in made) == ("upload" in made):
        context.add(where, text("Name one upload"), text("Add {name}", name="upload"))


def check_input(made: Attributes, where: Where, context: Context) -> None:
    """Check that an input comes from one place: an upload, a path of the submitter's machine, a data set or a model."""
    given = [name for name in ("dataset", "model") if name in made]
    if not given:
        check_origin(made, where, context)
    elif len(given) > 1 or "upload" in made or "source" in made:
        context.add(
            where,
            text("An input is an upload, a data set or a model, not several of them"),
            text("Leave out all but one"),
        )
    elif made.get("kind", "file") != "file":
        context.add((*where, "kind"), text("Only uploads are archives"), text("Leave it out"))


def check_output(made: Attributes, where: Where, context: Context) -> None:
    """Check that an output becomes a revision of one repository at most."""
    if "model" in made and "dataset" in made:
        context.add(
            where,
            text("Files become a revision of a model or of a data set, not of both"),
            text("Leave out model or dataset"),
        )


def check_array(made: Attributes, where: Where, context: Context) -> None:
    """Check that an array has either a size or values."""
    if bool(made.get("size")) == bool(made.get("values")):
        context.add(
            where, text("An array has either a size or values"), text("Write size: 100, or values: [a, b]")
        )


def check_elastic(made: Attributes, where: Where, context: Context) -> None:
    """Check that an elastic job's minimum of tasks is not above its maximum."""
    fewest, most = made.get("min_tasks", 1), made.get("max_tasks")
    if most is not None and fewest > most:
        context.add(
            (*where, "min_tasks"),
            text("{fewest} tasks at least are more than {most} at most", fewest=fewest, most=most),
        )


def check_probe(made: Attributes, where: Where, context: Context) -> None:
    """Check that a probe of a service has either a port or a command."""
    if bool(made.get("port")) == bool(made.get("command")):
        context.add(
            where,
            text("A check connects to a port or runs a command, one of both"),
            text("Write port: web, or command: test -e ready"),
        )
    elif made.get("path") is not None and not made.get("port"):
        context.add((*where, "path"), text("A path belongs to a port"), text("Name the port, too"))


def check_service(made: Attributes, where: Where, context: Context) -> None:
    """Check that the probes of a service name its ports, and that no number is given to two ports."""
    ports = made.get("ports", {})
    numbers = list(ports.values())
    for name, number in ports.items():
        if numbers.count(number) > 1 and numbers.index(number) != list(ports).index(name):
            context.add((*where, "ports", name), text("Two ports have the number {number}", number=number))
    for kind in ("readiness", "liveness"):
        probe = made.get(kind)
        if probe is not None and probe.port is not None and probe.port not in ports:
            context.add(
                (*where, kind, "port"),
                text("The service has no port {name}", name=shown(probe.port)),
                text("Its ports are: {names}", names=", ".join(ports) or "-"),
            )


def check_git(made: Attributes, where: Where, context: Context) -> None:
    """Check that a git source has an https URL without credentials and a ref that git cannot take for an option."""
    url, ref = made.get("url"), made.get("ref", "HEAD")
    if url is not None:
        schemes = ("https", "http") if context.private_git else ("https",)
        try:
            parse_outgoing(url, field="url", schemes=schemes, allow_private=context.private_git)
        except InvalidInput as refused:
            problem = refused.problems[0]
            context.add((*where, "url"), problem.message, problem.hint)
    if ".." in ref or ref.endswith((".", "/", ".lock")) or "//" in ref or "@{" in ref:
        context.add((*where, "ref"), text("{value} is not a branch, tag or commit", value=shown(ref)))


def check_job(made: Attributes, where: Where, context: Context) -> None:
    """Check the rules across fields of the whole job."""
    if made.get("files") and made.get("git") is not None:
        context.add(
            (*where, "git"),
            text("The work folder comes from files or from git, not from both"),
            text("Leave out files or git"),
        )
    if made.get("service") is not None and made.get("array") is not None:
        context.add(
            (*where, "service"),
            text("An array cannot be a service: nothing would end its elements"),
            text("Leave out array or service; tasks runs several of a service"),
        )
    _check_variables(made, where, context)
    _check_mounts(made.get("inputs", {}), where, context)
    _check_targets(made.get("files", ()), where, context)
    elastic, tasks = made.get("elastic"), made.get("tasks")
    if elastic is not None and tasks is not None and not elastic.min_tasks <= tasks <= elastic.max_tasks:
        context.add(
            (*where, "tasks"),
            text(
                "{value} is out of range; it must be from {low} to {high}",
                value=tasks,
                low=elastic.min_tasks,
                high=elastic.max_tasks,
            ),
            text("An elastic job starts with a number of tasks between its fewest and its most"),
        )
    begin, end = made.get("not_before_us"), made.get("deadline_us")
    if begin is not None and end is not None and end <= begin:
        context.add((*where, "deadline"), text("The deadline is not after not_before"))
    seen: set[str] = set()
    for index, one in enumerate(made.get("depends_on", ())):
        if one.job in seen:
            context.add((*where, "depends_on", index), text("{value} is listed twice", value=one.job))
        seen.add(one.job)


def variable_problem(name: str) -> tuple[Text, Text] | None:
    """Return why a job may not set an environment variable, and a hint; None if it may."""
    if (name.startswith("PEARL_") and not name.startswith(LAYOUT)) or name in RESERVED_VARIABLES:
        return text("{name} is set by the center", name=name), text("Choose another name")
    if name in DEVICE_VARIABLES:
        return (
            text("{name} is set by the center", name=name),
            text("Ask for accelerators with per_task instead"),
        )
    if name in LOADER_VARIABLES:
        return (
            text("{name} would act before the sandbox stands", name=name),
            text("Set it in the command: env {name}=... python train.py", name=name),
        )
    return None


def _check_variables(made: Attributes, where: Where, context: Context) -> None:
    variables, secrets = made.get("variables", {}), made.get("secrets", {})
    for group, names in (("variables", variables), ("secrets", secrets)):
        for name in names:
            problem = variable_problem(name)
            if problem is not None:
                context.add((*where, group, name), *problem)
    for name in variables:
        if name in secrets:
            context.add((*where, "secrets", name), text("{name} is in variables too", name=name))
    if sum(len(name) + len(value) for name, value in variables.items()) > VARIABLES_BYTES_MAX:
        context.add(
            (*where, "variables"),
            text("All variables together are longer than {limit} characters", limit=VARIABLES_BYTES_MAX),
            text("Put long values in a file"),
        )


def _check_mounts(inputs: Mapping[str, InputItem], where: Where, context: Context) -> None:
    # sorted by parts of the path; sorted as text, /data-old would come between /data and /data/train
    taken = sorted((one.mount.split("/"), name) for name, one in inputs.items() if one.mount is not None)
    for (outer_parts, first), (inner_parts, second) in pairwise(taken):
        outer, inner = "/".join(outer_parts), "/".join(inner_parts)
        if inner_parts[: len(outer_parts)] == outer_parts:
            context.add(
                (*where, "inputs", second, "mount"),
                text(
                    "{inner} lies in {outer}, where {name} is mounted", inner=inner, outer=outer, name=first
                ),
            )


def _check_targets(files: Sequence[FileItem], where: Where, context: Context) -> None:
    taken: set[str] = set()
    for index, one in enumerate(files):
        if one.kind == "file" and not one.path.endswith("/") and one.path in taken:
            context.add(
                (*where, "files", index, "path"), text("{value} is listed twice", value=shown(one.path))
            )
        taken.add(one.path if one.kind == "file" else "")
