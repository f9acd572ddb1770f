"""Fields of the sections within a job specification. `table.py` has the fields of the job itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pearlstreet.base.ids import is_id
from pearlstreet.base.text import text
from pearlstreet.workload.environments.requirements import REQUIREMENTS_MAX
from pearlstreet.workload.spec.context import Context
from pearlstreet.workload.spec.kinds import BoolKind, ChoiceKind, DurationKind, NumberKind, TextKind
from pearlstreet.workload.spec.model import (
    Array,
    Dependency,
    DeviceFraction,
    Elastic,
    Environment,
    FileItem,
    GitSource,
    InputItem,
    JobLimits,
    OutputItem,
    PerTask,
    Restarts,
    Retries,
    Service,
    ServiceProbe,
)
from pearlstreet.workload.spec.rules import (
    CommandKind,
    IdKind,
    PackageKind,
    PathKind,
    check_array,
    check_elastic,
    check_environment,
    check_environment_named,
    check_fraction,
    check_git,
    check_input,
    check_origin,
    check_output,
    check_per_task,
    check_probe,
    check_service,
)
from pearlstreet.workload.spec.shapes import Field, ListKind, MapKind, Section, ShortKind

ARRAY_MAX = 100_000
ARCHIVE = ChoiceKind(("file", "archive"))
UPLOAD = IdKind("upl")
LOCAL = TextKind(4096, wanted=text("a path"))
PATTERN = TextKind(
    500,
    re.compile(r"(?![/~])(?!(?:.*/)?\.\.(?:/|$))[^\\]+"),
    text("a pattern of paths under $PEARL_OUTPUTS such as model/**"),
)


def expand_origin(value: object, context: Context) -> object:
    """Expand a plain text to an upload, if it is an upload id, or to a local path."""
    if not isinstance(value, str):
        return value
    return {"upload": value} if is_id(value, "upl") else {"source": value}


def expand_dependency(value: object, context: Context) -> object:
    """Expand a plain job id to a dependency."""
    return {"job": value} if isinstance(value, str) else value


def expand_retries(value: object, context: Context) -> object:
    """Expand a plain number to retries."""
    return value if isinstance(value, list | bool) else {"max": value}


FRACTION = Section(
    DeviceFraction,
    (
        Field(
            "memory_gib", NumberKind(0, 1024, gib=True), "Device memory", "显存",
            "Part of the accelerator's memory. Left out: in proportion to compute.",
            "加速器的部分显存；不填则按算力比例。",
            unit="GiB", example=8,
        ),
        Field(
            "compute_percent", NumberKind(0, 100), "Device compute", "算力占比",
            "Part of the accelerator's compute. Left out: in proportion to memory.",
            "加速器的部分算力；不填则按显存比例。",
            unit="%", example=25,
        ),
    ),
    presence=check_fraction,
)  # fmt: skip

PER_TASK = Section(
    PerTask,
    (
        Field(
            "accelerator",
            ListKind(TextKind(60, wanted=text("a model of accelerator such as H100")), 20, low=1, single=True, unique=True),
            "Accelerator", "加速器型号",
            "A model such as H100 or Ascend 910B, a list of acceptable models, or any. "
            "Without count or fraction the task gets one accelerator.",
            "型号（如 H100、昇腾 910B），可任选其一的型号列表，或 any；单独填写即申请一个。",
            example="H100",
        ),
        Field(
            "count", NumberKind(0, 1024, whole=True), "Whole accelerators", "整卡数",
            "How many whole accelerators each task gets, all in one node.", "每个任务获得的整卡数，位于同一节点。",
            example=1,
        ),
        Field(
            "fraction", FRACTION, "Part of an accelerator", "部分加速器",
            "A part of one accelerator instead of whole ones.", "申请一个加速器的一部分，代替整卡。",
            example={"memory_gib": 8},
        ),
        Field(
            "cpus", NumberKind(0.01, 4096), "CPU cores", "CPU 核数",
            "Cores of each task; parts of a core are allowed.", "每个任务的 CPU 核数，可为小数。",
            example=2,
        ),
        Field(
            "memory_gib", NumberKind(0.03125, 65_536, gib=True), "Memory", "内存",
            "Memory of each task; using more ends it.", "每个任务的内存，超出即被终止。",
            unit="GiB", example=4,
        ),
    ),
    check_per_task,
)  # fmt: skip

ENVIRONMENT = Section(
    Environment,
    (
        Field(
            "python", TextKind(8, re.compile(r"3\.(?:[89]|[1-9]\d)"), text("a Python version such as 3.11"), numbers=True),
            "Python version", "Python 版本",
            "Python version. Left out: that of the center itself.", "Python 版本；不填则与中心自身的版本相同。",
            example="3.11",
        ),
        Field(
            "packages", ListKind(PackageKind(), 500, single=True), "Packages", "软件包",
            "Packages with optional versions (PEP 508). Options, paths and addresses are refused.",
            "软件包及可选版本（PEP 508）；不接受选项、路径和网址。",
            example=["scikit-learn==1.7.2"],
        ),
        Field(
            "requirements", TextKind(REQUIREMENTS_MAX, lines=True, empty=True), "Requirements", "依赖清单",
            "The text of a requirements file, one package a line; used together with packages.",
            "requirements 文件的文本，每行一个软件包；与 packages 合并使用。",
        ),
        Field(
            "wheels_only", BoolKind(), "Wheels only", "仅用预编译包",
            "Only ready-made packages are installed. false: packages may be built, which runs their code in the sandbox.",
            "只安装预编译包；设为 false 时允许编译，编译代码在沙箱内运行。",
        ),
        Field(
            "image", TextKind(512, re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]*"), text("an image such as docker.io/pytorch/pytorch:2.9")),
            "Container image", "容器镜像",
            "Container image instead of Python and packages, from a registry that the center allows.", "容器镜像，代替 Python 与软件包；须来自中心允许的镜像仓库。",
            example="docker.io/pytorch/pytorch:2.9",
        ),
        Field(
            "pull_secret", TextKind(64, re.compile(r"[A-Za-z_][A-Za-z0-9_]*"), text("the name of a secret")),
            "Login for the registry", "镜像仓库登录信息",
            "Name of a secret that holds user:password of the image's registry; left out for public images.",
            "保存镜像仓库 user:password 的机密变量名；公开镜像不需要。",
            example="REGISTRY_LOGIN",
        ),
    ),
    check_environment,
    check_environment_named,
)  # fmt: skip

_KIND = Field(
    "kind", ARCHIVE, "Kind", "类型",
    "file: put as it is; archive: a tar file, unpacked there.", "file：原样放置；archive：tar 归档，在该处解开。",
)  # fmt: skip
_UPLOAD = Field(
    "upload", UPLOAD, "Upload", "上传文件",
    "Id of an uploaded file.", "已上传文件的编号。",
    example="upl_01k8m3v5q2e7r9t0w4y6z8a1b3",
)  # fmt: skip
_SOURCE = Field(
    "source", LOCAL, "Local path", "本地路径",
    "A path on the submitter's machine; `pearl run` uploads it. Not accepted by the API.",
    "提交者机器上的路径，由 pearl run 上传；API 不接受。",
    example="./train",
)  # fmt: skip

FILE = Section(
    FileItem,
    (
        _UPLOAD,
        _SOURCE,
        Field(
            "path", PathKind(into=True), "Path", "路径",
            "Where it goes in the work folder; ending in / : under its own name in that folder.",
            "在工作目录中的位置；以 / 结尾表示放入该目录并保留原名。",
            example="data/",
        ),
        _KIND,
    ),
    presence=check_origin,
)  # fmt: skip

REPOSITORY = TextKind(
    260, re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9][A-Za-z0-9._-]*"), text("organisation/name")
)
REVISION = TextKind(
    400,
    re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._/-]*)?"),
    text("organisation/name, and @ with a branch, tag or commit"),
)


@dataclass(frozen=True, slots=True)
class OutputKind(ShortKind):
    """An output, whose pattern alone is written as plain text."""

    def dump(self, value: object) -> object:
        """Return the pattern alone where there is no repository."""
        made: Any = self.section.dump(value)
        return made["path"] if set(made) == {"path"} else made


def expand_output(value: object, context: Context) -> object:
    """Expand a plain pattern to an output."""
    return {"path": value} if isinstance(value, str) else value


OUTPUT = Section(
    OutputItem,
    (
        Field(
            "path", PATTERN, "Pattern", "模式",
            "Pattern of files under $PEARL_OUTPUTS.", "$PEARL_OUTPUTS 下的文件模式。",
            required=True, example="model/**",
        ),
        Field(
            "model", REPOSITORY, "Model", "模型",
            "Model of the hub whose next revision the files become when the job succeeds; created if it does not exist.",
            "作业成功后这些文件成为该模型的新版本；不存在时自动创建。",
            example="acme/tiny-model",
        ),
        Field(
            "dataset", REPOSITORY, "Data set", "数据集",
            "The same for a data set.", "同上，用于数据集。",
            example="acme/cleaned",
        ),
    ),
    presence=check_output,
)  # fmt: skip

INPUT = Section(
    InputItem,
    (
        _UPLOAD,
        _SOURCE,
        Field(
            "dataset", REVISION, "Data set", "数据集",
            "Data set of the hub at a branch, tag or commit; the commit is fixed when the job is submitted.",
            "数据集在某分支、标签或提交的内容；提交作业时即固定版本。",
            example="acme/corpus@v1",
        ),
        Field(
            "model", REVISION, "Model", "模型",
            "Model of the hub, likewise.", "模型，方式同上。",
            example="acme/tiny-model@main",
        ),
        Field(
            "mount", PathKind(mount=True), "Mount", "挂载路径",
            "An absolute path at which it also appears, read-only, where the sandbox can provide it.",
            "在沙箱支持时同时以只读方式出现的绝对路径。",
            example="/data/train",
        ),
        _KIND,
    ),
    presence=check_input,
)  # fmt: skip

GIT = Section(
    GitSource,
    (
        Field(
            "url", TextKind(2048), "Repository", "仓库",
            "An https address without credentials.", "不含凭据的 https 地址。",
            required=True, example="https://git.example.org/team/train.git",
        ),
        Field(
            "ref", TextKind(200, re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*"), text("a branch, tag or commit")),
            "Revision", "版本",
            "A branch, tag or commit.", "分支、标签或提交。",
            example="main",
        ),
        Field(
            "path", PathKind(), "Folder", "目录",
            "The folder inside the repository.", "仓库内的目录。",
            example="train",
        ),
    ),
    check_git,
)  # fmt: skip

RETRIES = Section(
    Retries,
    (
        Field(
            "max", NumberKind(0, 20, whole=True), "At most", "最多",
            "Largest number of retries after the command failed.", "命令失败后最多重试的次数。",
            example=2,
        ),
        Field(
            "on", ListKind(ChoiceKind(("failure", "engine_lost", "preemption")), 3, single=True, unique=True),
            "After", "情形",
            "failure: the command ended non-zero. engine_lost, preemption: not caused by the job and not counted; "
            "without them the job fails instead of being queued again.",
            "failure：命令以非零结束；engine_lost、preemption：非用户原因且不计次数，去掉则作业失败而不再排队。",
        ),
    ),
)  # fmt: skip


def expand_restarts(value: object, context: Context) -> object:
    """Expand a plain word to when a service is restarted."""
    return {"on": value} if isinstance(value, str) else value


PORT = re.compile(r"[a-z][a-z0-9]{0,14}")
PORT_WORDS = text("a port's name: 1 to 15 small letters and digits, beginning with a letter")

PROBE = Section(
    ServiceProbe,
    (
        Field(
            "port", TextKind(15, PORT, PORT_WORDS), "Port", "端口",
            "Name of the port that it connects to.", "探测所连接端口的名称。",
            example="web",
        ),
        Field(
            "path", TextKind(500, re.compile(r"/[!-~]*"), text("a path such as /health")), "Path", "路径",
            "Path of a GET request; an answer below 400 is a success. Left out: a connection is enough.",
            "GET 请求的路径，状态码低于 400 即为成功；不填则能建立连接即可。",
            example="/health",
        ),
        Field(
            "command", CommandKind(TextKind(4096, wanted=text("text"), lines=True, empty=True, numbers=True)), "Command", "命令",
            "A command run inside the task instead of a connection; exit code 0 is a success.",
            "在任务内运行的命令，代替连接端口；退出码为 0 即为成功。",
            example="test -e ready",
        ),
        Field(
            "period", DurationKind(0.1, 3600), "Period", "间隔",
            "Time between two checks.", "两次探测之间的时间。",
            attribute="period_s", unit="s", example="10s",
        ),
        Field(
            "timeout", DurationKind(0.1, 600), "Timeout", "超时",
            "Time after which a check that has no answer has failed.", "超过此时间仍无结果即为失败。",
            attribute="timeout_s", unit="s", example="2s",
        ),
        Field(
            "successes", NumberKind(1, 100, whole=True), "Successes", "成功次数",
            "Number of successes in a row after which it holds.", "连续成功多少次后视为通过。",
            example=1,
        ),
        Field(
            "failures", NumberKind(1, 100, whole=True), "Failures", "失败次数",
            "Number of failures in a row after which it no longer holds.", "连续失败多少次后视为不通过。",
            example=3,
        ),
    ),
    presence=check_probe,
)  # fmt: skip

RESTARTS = Section(
    Restarts,
    (
        Field(
            "on", ChoiceKind(("never", "failure", "always")), "After", "情形",
            "Ends after which a task is started again in the same attempt, on the same devices.",
            "任务结束后在同一次尝试、同样的设备上重新启动的情形。",
            example="failure",
        ),
        Field(
            "max", NumberKind(0, 1000, whole=True), "At most", "最多",
            "Largest number of restarts of a task; after one more end the attempt ends.",
            "每个任务最多重启的次数；再次结束则本次尝试结束。",
            example=5,
        ),
    ),
)  # fmt: skip

SERVICE = Section(
    Service,
    (
        Field(
            "ports", MapKind(PORT, PORT_WORDS, NumberKind(1024, 60_000, whole=True), 16), "Ports", "端口",
            "Ports by name on which each task listens on 127.0.0.1; it reads its number from $PEARL_PORT_NAME. "
            "They are reached by pearl port-forward only.",
            "任务在 127.0.0.1 上监听的端口（按名称），实际端口号见 $PEARL_PORT_名称；只能经 pearl port-forward 访问。",
            example={"web": 8080},
        ),
        Field(
            "readiness", PROBE, "Readiness", "就绪探测",
            "Check whether a task can take requests. Left out: it can as soon as it runs.",
            "探测任务能否接收请求；不填则启动后即视为就绪。",
            example={"port": "web", "path": "/health"},
        ),
        Field(
            "liveness", PROBE, "Liveness", "存活探测",
            "Check whether a task still works; one that fails it is killed and started again as restarts says.",
            "探测任务是否仍正常；不通过则终止任务，并按 restarts 重新启动。",
            example={"port": "web"},
        ),
        Field(
            "startup_grace", DurationKind(0, 86_400), "Startup grace", "启动宽限",
            "Time from a task's start in which failures of the liveness check do not count.",
            "任务启动后的这段时间内，存活探测失败不计。",
            attribute="startup_grace_s", unit="s", example="60s",
        ),
        Field(
            "restarts", ShortKind(RESTARTS, expand_restarts, {"type": "string", "enum": ["never", "failure", "always"]}),
            "Restarts", "重启",
            "When a task that ended is started again. A word alone is on.", "任务结束后何时重新启动；只写一个词即为 on。",
            example="failure",
        ),
        Field(
            "drain", DurationKind(0, 3600), "Drain", "排空",
            "Time for which a stop waits until open connections are closed; new ones are not accepted.",
            "停止时等待已有连接结束的最长时间，期间不再接受新连接。",
            attribute="drain_s", unit="s", example="30s",
        ),
    ),
    presence=check_service,
)  # fmt: skip

TASKS_MAX = 65_536
ELASTIC = Section(
    Elastic,
    (
        Field(
            "min_tasks", NumberKind(1, TASKS_MAX, whole=True), "Fewest", "最少",
            "Smallest number of tasks with which the job works.", "作业能够运行的最少任务数。",
            example=1,
        ),
        Field(
            "max_tasks", NumberKind(1, TASKS_MAX, whole=True), "Most", "最多",
            "Largest number of tasks that the job can use.", "作业能够利用的最多任务数。",
            required=True, example=8,
        ),
    ),
    presence=check_elastic,
)  # fmt: skip
ARRAY = Section(
    Array,
    (
        Field(
            "size", NumberKind(0, ARRAY_MAX, whole=True), "Size", "数量",
            "Number of elements, numbered from 0.", "子作业个数，从 0 编号。",
            example=100,
        ),
        Field(
            "values", ListKind(TextKind(1000, empty=True, numbers=True), ARRAY_MAX), "Values", "取值",
            "One element for each value.", "每个取值一个子作业。",
            example=["0.1", "0.01"],
        ),
        Field(
            "max_running", NumberKind(1, ARRAY_MAX, whole=True), "At most at once", "最多同时运行",
            "How many elements may run at the same time.", "同时运行的子作业上限。",
            example=10,
        ),
    ),
    presence=check_array,
)  # fmt: skip

DEPENDENCY = Section(
    Dependency,
    (
        Field(
            "job", IdKind("job"), "Job", "作业",
            "Id of the job.", "作业编号。",
            required=True, example="job_01k8m3v5q2e7r9t0w4y6z8a1b3",
        ),
        Field(
            "condition", ChoiceKind(("succeeded", "ended")), "Condition", "条件",
            "succeeded, or ended in whatever way.", "succeeded：须成功；ended：结束即可。",
            example="ended",
        ),
    ),
)  # fmt: skip

LIMITS = Section(
    JobLimits,
    (
        Field(
            "disk_gib", NumberKind(0.01, 65_536, gib=True), "Disk", "磁盘",
            "Space for the files of an attempt; outputs count with their apparent size.", "每次尝试的文件可占用的空间，输出按表观大小计算。",
            unit="GiB", example=20,
        ),
        Field(
            "log_mib", NumberKind(1, 4096), "Log", "日志",
            "Size of the stored log of each task; beyond it the middle is dropped.", "每个任务保留的日志大小，超出则丢弃中间部分。",
            unit="MiB", example=64,
        ),
        Field(
            "pids", NumberKind(8, 1_000_000, whole=True), "Processes", "进程数",
            "Largest number of processes and threads at the same time.", "同时存在的进程与线程数上限。",
            example=4096,
        ),
        Field(
            "grace", DurationKind(0, 600), "Grace", "宽限时间",
            "Time between the request to end (SIGTERM) and the forced end (SIGKILL).", "从请求结束（SIGTERM）到强制结束（SIGKILL）的时间。",
            attribute="grace_s", unit="s", example="30s",
        ),
    ),
)  # fmt: skip
