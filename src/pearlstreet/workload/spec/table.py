"""The table of all fields of a job specification, from which parser, JSON Schema and reference page are derived."""

from __future__ import annotations

import re
from functools import cache

from pearlstreet.base.text import text
from pearlstreet.workload.spec import parts
from pearlstreet.workload.spec.kinds import (
    BoolKind,
    ChoiceKind,
    DurationKind,
    NumberKind,
    TextKind,
    TimeKind,
)
from pearlstreet.workload.spec.model import JobSpec
from pearlstreet.workload.spec.rules import CommandKind, check_job
from pearlstreet.workload.spec.shapes import Field, ListKind, MapKind, Section, ShortKind

SLUG = TextKind(
    40,
    re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"),
    text("1 to 40 lower-case letters, digits and inner hyphens"),
)
LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
LABEL_WORDS = text("a label of 1 to 63 letters, digits and inner . _ / -")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
VARIABLE_WORDS = text("an environment variable of 1 to 128 letters, digits and _, not beginning with a digit")
INPUT = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
INPUT_WORDS = text("an input's name: 1 to 63 capital letters, digits and _, beginning with a letter")
SECRET = TextKind(
    63,
    re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    text("the name of a stored secret: 1 to 63 letters, digits and . _ -"),
)
LINE = TextKind(200)
PRIORITIES = (("low", -50), ("normal", 0), ("high", 50))

JOB = Section(
    JobSpec,
    (
        Field(
            "name", TextKind(100), "Name", "名称",
            "Display name of the job; need not be unique.", "供人识别的名称，可以重复。",
            example="digits",
        ),
        Field(
            "project", SLUG, "Project", "项目",
            "Slug of the project that is billed. Left out: the submitter's default project.",
            "承担费用的项目的短名；不填则用提交者的默认项目。",
            example="vision",
        ),
        Field(
            "queue", SLUG, "Queue", "队列",
            "A queue the operator has set up; `pearl queues list` shows those you may use. Left out: the default one.",
            "运营方设置的队列，可用 pearl queues list 查看；不填则用默认队列。",
            example="urgent",
        ),
        Field(
            "labels", MapKind(LABEL, LABEL_WORDS, TextKind(200, empty=True, numbers=True), 32), "Labels", "标签",
            "Up to 32 names with values, to find and group jobs by.", "最多 32 个标签，用于查找和归类作业。",
            example={"team": "vision"},
        ),
        Field(
            "notes", TextKind(10_000, lines=True, empty=True), "Notes", "备注",
            "Anything worth remembering; shown with the job.", "值得记录的说明，随作业显示。",
        ),
        Field(
            "command", CommandKind(TextKind(128 << 10, wanted=text("text"), lines=True, empty=True, numbers=True)),
            "Command", "命令",
            "What runs in the work folder: a list of words executed as they are, or one text run by /bin/sh -c.",
            "在工作目录中运行的命令：逐词执行的列表，或由 /bin/sh -c 运行的一段文本。",
            required=True, example="python train.py",
        ),
        Field(
            "files", ListKind(ShortKind(parts.FILE, parts.expand_origin, {"type": "string"}), 1000, single=True),
            "Files", "文件",
            "Uploaded files and archives put into the work folder. With `pearl run`, a path such as ./folder, which "
            "is uploaded.",
            "放入工作目录的上传文件和归档。使用 pearl run 时可写本地路径（如 ./folder），由其上传。",
            example=["./train"],
        ),
        Field(
            "git", parts.GIT, "Git source", "Git 源",
            "A folder of a git repository that becomes the work folder; instead of files.",
            "以 git 仓库中的一个目录作为工作目录，代替 files。",
        ),
        Field(
            "environment", parts.ENVIRONMENT, "Environment", "运行环境",
            "Python and packages, resolved once, locked and cached; or a container image. Left out: what the node has.",
            "Python 与软件包（一次解析、锁定并缓存），或容器镜像；不填则用节点自带的环境。",
        ),
        Field(
            "tasks", NumberKind(1, 65_536, whole=True), "Tasks", "任务数",
            "How many tasks start together as a gang; each gets RANK, WORLD_SIZE and MASTER_ADDR.",
            "同时启动的任务数（成组调度）；每个任务得到 RANK、WORLD_SIZE 和 MASTER_ADDR。",
            example=1,
        ),
        Field(
            "elastic", parts.ELASTIC, "Elastic", "弹性",
            "The center may run the job with fewer or more tasks: it then stops the attempt with its grace and starts the next one "
            "with another WORLD_SIZE. The job must save checkpoints. The scheduling policy decides whether jobs are resized.",
            "允许中心以更少或更多任务运行：先按宽限时间停止当前尝试，下一次尝试以新的 WORLD_SIZE 启动；作业须自行保存检查点。是否调整由调度策略决定。",
            example={"min_tasks": 1, "max_tasks": 8},
        ),
        Field(
            "per_task", parts.PER_TASK, "Per task", "每个任务",
            "Accelerators, CPU cores and memory of each task.", "每个任务的加速器、CPU 核数和内存。",
        ),
        Field(
            "inputs",
            MapKind(INPUT, INPUT_WORDS, ShortKind(parts.INPUT, parts.expand_origin, {"type": "string"}), 100),
            "Inputs", "输入",
            "Data by name. The command finds the path of input NAME in $PEARL_INPUT_NAME.",
            "按名称给出的数据；命令从 $PEARL_INPUT_名称 得到其路径。",
            example={"DIGITS": "./digits.csv"},
        ),
        Field(
            "outputs",
            ListKind(parts.OutputKind(parts.OUTPUT, parts.expand_output, parts.PATTERN.schema()), 200, single=True),
            "Outputs", "输出",
            "Patterns of files under $PEARL_OUTPUTS to keep as artefacts; * within a folder, ** across folders. "
            "Left out: everything there. With model or dataset, the files become a revision of that repository.",
            "$PEARL_OUTPUTS 下作为产物保留的文件模式：* 匹配一级，** 跨目录；不填则全部保留。",
            example=["model/**", "metrics.json"],
        ),
        Field(
            "outputs_kept_days", NumberKind(0, 36_500, whole=True), "Days outputs are kept", "输出保留天数",
            "Days after which the outputs are deleted; 0: never. At most the days of the project, which also apply if left out.",
            "保留输出的天数，到期删除；0 表示永久保留；不得超过项目的保留天数，不填则与项目相同。",
            example=30,
        ),
        Field(
            "variables",
            MapKind(VARIABLE, VARIABLE_WORDS, TextKind(32 << 10, lines=True, empty=True, numbers=True), 1000),
            "Environment variables", "环境变量",
            "Set for the command. Names beginning with PEARL_ (but for PEARL_LAYOUT_) and those the center sets itself "
            "are refused.",
            "为命令设置的环境变量；PEARL_ 开头（PEARL_LAYOUT_ 除外）及由中心设置的名称不可用。",
            example={"EPOCHS": "3"},
        ),
        Field(
            "secrets", MapKind(VARIABLE, VARIABLE_WORDS, SECRET, 100, listed=True), "Secrets", "机密变量",
            "Environment variable → name of a secret stored with `pearl secrets`. Values never reach logs.",
            "环境变量 → 已保存机密变量的名称；其值不会出现在日志中。",
            example={"HF_TOKEN": "hf-token"},
        ),
        Field(
            "time_limit", DurationKind(1, 30 * 86_400), "Time limit", "时限",
            "Longest run time, from 1 second to 30 days; then the job is ended. Jobs with shorter limits may start sooner.",
            "最长运行时间，1 秒至 30 天，到时结束；时限越短越容易尽早开始。",
            attribute="time_limit_s", unit="s", example="2h",
        ),
        Field(
            "retries",
            ShortKind(parts.RETRIES, parts.expand_retries, {"type": "integer", "minimum": 0, "maximum": 20}),
            "Retries", "重试",
            "Number of retries after a failed command, and the causes for which it runs again. A number alone is max.",
            "命令失败后的重试次数及适用情形；只写一个数即为 max。",
            example=2,
        ),
        Field(
            "priority", NumberKind(-100, 100, whole=True, names=PRIORITIES), "Priority", "优先级",
            "Among your own jobs: higher goes first; low, normal and high stand for -50, 0 and 50.",
            "在自己的作业之间：数值大者优先；low、normal、high 分别为 -50、0、50。",
            example="high",
        ),
        Field(
            "preemptible", BoolKind(), "Preemptible", "可抢占",
            "It may be stopped and queued again for a more urgent job; it should keep checkpoints.",
            "可被更紧急的作业中止并重新排队；应自行保存检查点。",
        ),
        Field(
            "service", parts.SERVICE, "Service", "服务",
            "The job runs until it is cancelled: with ports, checks, restarts and drain. Its time_limit still ends it.",
            "作业持续运行直到被取消，可设端口、探测、重启和排空；到达 time_limit 时仍会结束。",
            example={"ports": {"web": 8080}},
        ),
        Field(
            "array", parts.ARRAY, "Array", "作业数组",
            "Many jobs from one specification; each gets PEARL_ARRAY_INDEX and with values PEARL_ARRAY_VALUE.",
            "由一份说明生成多个作业；各自得到 PEARL_ARRAY_INDEX，给出 values 时还有 PEARL_ARRAY_VALUE。",
            example={"size": 100, "max_running": 10},
        ),
        Field(
            "depends_on",
            ListKind(ShortKind(parts.DEPENDENCY, parts.expand_dependency, {"type": "string"}), 1000, single=True),
            "Depends on", "依赖",
            "Jobs that must have ended before this one starts. An id alone means that it must have succeeded.",
            "须先结束的作业；只写编号表示须成功结束。",
        ),
        Field(
            "network", ChoiceKind(("none", "internet")), "Network", "网络",
            "none: only the tasks of the job reach each other. internet: where the operator allows it.",
            "none：仅作业内任务互通；internet：在运营方允许时可访问外网。",
            example="none",
        ),
        Field(
            "limits", parts.LIMITS, "Limits", "限额",
            "Limits of each attempt beyond its resources.", "每次尝试在资源之外的用量上限。",
        ),
        Field(
            "not_before", TimeKind(), "Not before", "最早开始",
            "It waits at least until then (RFC 3339 with a time zone).", "至少等到该时刻（RFC 3339，含时区）。",
            attribute="not_before_us", example="2026-01-31T22:00:00+08:00",
        ),
        Field(
            "deadline", TimeKind(), "Deadline", "截止时间",
            "Time at which the result is needed. It orders the jobs of a project; you are notified if it will be missed.",
            "需要结果的时刻：决定同一项目内作业的先后；若无法按时完成会通知您。",
            attribute="deadline_us", example="2026-02-01T08:00:00+08:00",
        ),
        Field(
            "simulate", DurationKind(0.001, 30 * 86_400), "Simulated run time", "模拟运行时间",
            "Run time on a simulated engine; real engines ignore it.",
            "在模拟引擎上的运行时长；真实引擎忽略此项。",
            attribute="simulate_s", unit="s", example="30m",
        ),
    ),
    check_job,
)  # fmt: skip


@cache
def full_names() -> dict[str, str]:
    """Return the full name of every field by its name, such as `per_task.cpus` for `cpus`, for hints."""
    found: dict[str, str] = {}
    for section, prefix in reversed(sections()):
        for one in section.fields:
            found[one.name] = f"{prefix}{one.name}"
    return found


def sections() -> list[tuple[Section, str]]:
    """Return all sections with the prefix of their fields' full names, in the order of the reference page."""
    return [
        (JOB, ""),
        (parts.PER_TASK, "per_task."),
        (parts.FRACTION, "per_task.fraction."),
        (parts.ENVIRONMENT, "environment."),
        (parts.FILE, "files[]."),
        (parts.GIT, "git."),
        (parts.INPUT, "inputs.NAME."),
        (parts.OUTPUT, "outputs[]."),
        (parts.RETRIES, "retries."),
        (parts.ARRAY, "array."),
        (parts.ELASTIC, "elastic."),
        (parts.SERVICE, "service."),
        (parts.PROBE, "service.readiness."),
        (parts.RESTARTS, "service.restarts."),
        (parts.DEPENDENCY, "depends_on[]."),
        (parts.LIMITS, "limits."),
    ]
