"""The reference page of the job specification, made from the table of fields. Pure."""

from __future__ import annotations

import json
from typing import Any

from pearlstreet.compute.jobs.spec.shapes import Field, Section
from pearlstreet.compute.jobs.spec.table import sections

_TITLES = {
    "": ("The job", "作业"),
    "per_task.": ("What each task gets", "每个任务的资源"),
    "per_task.fraction.": ("A part of an accelerator", "部分加速器"),
    "environment.": ("Environment", "运行环境"),
    "files[].": ("Files", "文件"),
    "git.": ("Git source", "Git 源"),
    "inputs.NAME.": ("Inputs", "输入"),
    "retries.": ("Retries", "重试"),
    "array.": ("Arrays", "作业数组"),
    "elastic.": ("Elastic jobs", "弹性作业"),
    "depends_on[].": ("Dependencies", "依赖"),
    "limits.": ("Limits", "限额"),
}

_HEAD = """\
# Job specification 作业说明

Made by `python -m pearlstreet.compute.jobs.spec.reference` from the table of fields that reads every specification;
a test keeps the two alike. The commented example beside this page, [job.example.yaml](job.example.yaml), is
normative. The JSON Schema (draft 2020-12) is served by every center at `/api/v1/jobs/schema`.

Unknown fields are refused with a suggestion. All problems of a file are told at once, each with field, line and
column. `null` means "left out". A plain number stands wherever a text is wanted that may be one (`variables`,
`python`), as it was written. YAML is version 1.2: `yes` and `on` are text, tags are refused, aliases are allowed
within 250,000 values.
"""


def reference_page() -> str:
    """The page in Markdown, both languages side by side."""
    parts = [_HEAD]
    for section, prefix in sections():
        title, title_zh = _TITLES[prefix]
        parts.append(f"\n## {title} {title_zh}\n\n")
        parts.append("| field | takes | left out | meaning | 含义 |\n|---|---|---|---|---|\n")
        parts.extend(_row(section, one, prefix) for one in section.fields)
    return "".join(parts)


def _row(section: Section, one: Field, prefix: str) -> str:
    default = section.default_json(one)
    left_out = "required" if one.required else "" if default is None else f"`{_plain(default)}`"
    about = one.about + (f" Example: `{_plain(one.example)}`." if one.example is not None else "")
    cells = (f"`{prefix}{one.name}`", takes(one.kind.schema(), one.unit), left_out, about, one.about_zh)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def takes(schema: dict[str, Any], unit: str = "") -> str:
    """What a field takes, in few words, from its schema."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(takes(one, unit) for one in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    kind = schema["type"]
    if kind in ("integer", "number"):
        words = f"{'whole number' if kind == 'integer' else 'number'} {schema['minimum']:,g} to "
        return words + f"{_high(schema['maximum'])}" + (f" {unit}" if unit else "")
    if kind == "array":
        return f"list of at most {schema['maxItems']:,}" if "maxItems" in schema else "list of names"
    if kind == "object":
        return f"at most {schema['maxProperties']:,} names" if "maxProperties" in schema else "fields below"
    if kind == "boolean":
        return "`true`, `false`"
    return _text(schema)


def _high(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,g}"


def _text(schema: dict[str, Any]) -> str:
    if schema.get("format") == "date-time":
        return "time"
    pattern = str(schema.get("pattern", ""))
    if pattern.startswith("^upl_"):
        return "upload id"
    if pattern.startswith("^job_"):
        return "job id"
    if "(ms|s|m|min|h|d|w)" in pattern:
        return "duration such as `1h30m`"
    return f"text of at most {schema['maxLength']:,}" if "maxLength" in schema else "text"


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference_page())
