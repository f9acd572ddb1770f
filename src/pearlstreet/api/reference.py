"""The reference pages of the REST API and of its errors, made from the routes and the errors. Pure.

`python -m pearlstreet.api.reference api` prints docs/reference/api.md, `… errors` docs/reference/errors.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pearlstreet.api.app import PREFIX, ROUTERS
from pearlstreet.api.paging import LIMIT_MAX
from pearlstreet.api.problem import TITLES, MethodNotAllowed
from pearlstreet.api.request_inputs import BODY_LIMIT_BYTES
from pearlstreet.api.routes import system
from pearlstreet.api.routing import RouteFacts, SecuredRouter, Tied
from pearlstreet.base import errors
from pearlstreet.base.errors import PearlError
from pearlstreet.tenancy.scopes import OPERATOR_ROLES, ORG_ROLES, PROJECT_SCOPES, SCOPES

_NOUNS = {
    "center": ("The center", "中心"),
    "session": ("Signing in", "登录"),
    "keys": ("API keys", "API 密钥"),
    "users": ("Accounts", "账户"),
    "members": ("Members and invitations", "成员与邀请"),
    "organisations": ("Organisations, projects, secrets", "组织、项目、密钥变量"),
    "jobs": ("Jobs", "作业"),
    "files": ("Uploads and artefacts", "上传与产物"),
    "nodes": ("Nodes and accelerators", "节点与加速器"),
    "quotas": ("Quotas and fair share", "配额与公平份额"),
    "storage": ("Storage", "存储"),
    "scheduling": ("Scheduling", "调度"),
    "quotes": ("Quotes and calibration", "报价与校准"),
    "energy": ("Energy and carbon", "能耗与碳排放"),
    "credit": ("Credit", "额度"),
    "invoices": ("Invoices and billing", "账单"),
    "prices": ("Prices", "价格"),
    "audit": ("Audit log and proof of the books", "审计与账目核对"),
    "backups": ("Backups", "备份"),
    "notices": ("Notices", "通知"),
    "webhooks": ("Webhooks", "Webhook"),
}
"""Tag → heading."""
_MEANS = {
    "invalid_input": "Something in the request cannot be right; `problems` names each field, with line and column.",
    "unauthenticated": "No credential, or one that is unknown, expired or revoked. Sign in or create a key.",
    "forbidden": "Known, but the scope is missing; the hint says what the scope allows.",
    "not_found": "Absent, or another tenant's: the two read alike on purpose.",
    "conflict": "The present state does not allow it; look again.",
    "idempotency_mismatch": "This Idempotency-Key was used before with another request. Use a fresh one.",
    "payment_required": "The balance does not cover the first hour; `detail` says how much is missing.",
    "too_large": "The body is larger than it may be. Send large files as uploads.",
    "too_many": "A limit of rate or count. Wait for `Retry-After` seconds when it is there.",
    "unavailable": "A dependency is down or the disk is full. Repeat after `Retry-After` seconds; nothing was changed.",
    "bug": "The program's own mistake; nothing was changed. Give the operator the number in `instance`.",
    "method_not_allowed": "The address exists; `Allow` lists its methods.",
}
_API_HEAD = f"""\
# REST API 接口

Made by `python -m pearlstreet.api.reference api` from the routes themselves; a test keeps the two alike. Every center
serves its OpenAPI 3.1 document, with every body and answer, at `{PREFIX}/openapi.json`.

- **Who asks**: `Authorization: Bearer KEY`, with an API key (`pearl_…`, see `pearl keys`) or a session (`POST
  {PREFIX}/sign-in`). A key can be narrowed to scopes, and tied to one organisation or to one project of it. What belongs to
  another tenant answers 404, as if it were not there.
- **Errors** are problem documents (RFC 9457) in English or Simplified Chinese, as `Accept-Language` asks:
  [errors](errors.md).
- **Doing it once**: POST, PUT, PATCH and DELETE honour `Idempotency-Key` (1–255 visible ASCII characters, kept for 24
  hours, at most the newest 100,000 of one account). A repetition gets the first answer again with `Idempotent-Replayed: true`.
- **Lists** end with `next_cursor`; give it back as `cursor` for the next page. `limit` is at most {LIMIT_MAX}.
- **Values**: times are RFC 3339 in UTC; money is text in yuan, exact to the micro-yuan; unknown fields are refused. A
  body has at most {BODY_LIMIT_BYTES >> 20} MiB, except an upload's.
- **Organisation**: where it is not in the address, `?org=SLUG`; left out, it is the caller's default one.
- **What was created**: every 201 has a `Location` header, the path of what was created. A few things have no address of
  their own (top-ups, corrections, benchmarks, backups, price lists, versions of energy facts, linked identities): there it is the
  path of the list they are in. A session, an invitation, a window and a webhook can be deleted at their address; they are
  read in a list.

## Generated clients 生成的客户端

Pearlstreet comes with a [Python client](client.md). For other languages, generate one from the OpenAPI document; operation
ids are written like `listJobs`, and names of schemas are unique. A test generates a client with openapi-python-client, which skips no
operation, and calls every noun with it. What it still warns about:

| warning | reason |
|---|---|
| `POST {PREFIX}/jobs`: content type `application/yaml` | The generator writes JSON bodies only; jobs are submitted as JSON, which says the same. |
| `POST {PREFIX}/prices`: content type `application/toml` | The same; price lists are published as JSON. |
| `GET {PREFIX}/orgs/{{org}}/export`: content type `application/gzip` | The generator knows `application/octet-stream` only; the archive is in `content` of the detailed response. |

"Who" names the scope that is needed; with † it must be held at the center as a whole, by an operator. Keys tied to a project
are answered where ‡ stands, about their project only; keys tied to an organisation everywhere but where § stands.
"""
_ERRORS_HEAD = """\
# Errors 错误

Made by `python -m pearlstreet.api.reference errors` from the errors themselves; a test keeps the two alike.

Every error of the REST API is a problem document (RFC 9457, `application/problem+json`) in English or Simplified
Chinese, as `Accept-Language` asks. Programs look at `code`, which never changes; people read the rest.

```json
{
  "type": "urn:pearlstreet:error:invalid_input",
  "title": "The request is not right",
  "status": 422,
  "code": "invalid_input",
  "detail": "The request does not fit the schema",
  "instance": "urn:pearlstreet:request:req_01m7y475h3e94r3s0bszrpb52j",
  "problems": [
    {"field": "lable", "message": "There is no such field", "hint": "Did you mean label?"}
  ]
}
```

| field | what it is |
|---|---|
| `type`, `code` | The kind of error, one of the table below |
| `title` | The kind in words |
| `status` | The HTTP status |
| `detail` | What is wrong this time |
| `hint` | What would be right, where that is known |
| `problems` | For each thing wrong with an input: `field`, `message`, and where known `file`, `line`, `column`, `hint` |
| `retry_after_s` | When repeating may work; also in the header `Retry-After` |
| `instance` | The number of the request, also in the header `X-Request-Id` and in the server's log |

| status | code | title | 中文 | what it means |
|---|---|---|---|---|
"""


def api_page() -> str:
    """docs/reference/api.md."""
    return "\n".join([_API_HEAD, *_nouns(), *_scopes()]) + "\n"


def _nouns() -> Iterator[str]:
    by_tag: dict[str, list[RouteFacts]] = {tag: [] for tag in _NOUNS}
    for router, prefix in [(router, PREFIX) for router in ROUTERS] + [(system.root_router, "")]:
        by_tag[_tag(router)] += [replace(fact, path=prefix + fact.path) for fact in router.registry]
    for tag, routes in by_tag.items():
        yield f"## {' '.join(_NOUNS[tag])}\n"
        yield "| method | path | operation | who | what |\n|---|---|---|---|---|"
        for route in sorted(routes, key=lambda item: item.path):
            yield f"| {route.method} | `{route.path}` | `{route.operation}` | {_who(route)} | {route.what} |"
        yield ""


def _tag(router: SecuredRouter) -> str:
    return str(router.api_router.tags[0])


def _who(route: RouteFacts) -> str:
    if route.public:
        return "anybody"
    who = "signed in" if route.scope is None else f"`{route.scope}`"
    return f"{who}{' †' if route.at_center else ''}{_TIES[route.tie]}"


_TIES = {Tied.PROJECT: " ‡", Tied.ORG: "", Tied.NONE: " §"}


def _scopes() -> Iterator[str]:
    yield "## Scopes and roles 权限与角色\n"
    yield "| scope | allows | in an organisation | in a project's key | at the center |\n|---|---|---|---|---|"
    for scope, allows in SCOPES.items():
        inside = ", ".join(role.value for role, given in ORG_ROLES.items() if scope in given)
        center = ", ".join(role.value for role, given in OPERATOR_ROLES.items() if scope in given)
        tied = "yes" if scope in PROJECT_SCOPES else ""
        yield f"| `{scope}` | {allows} | {inside} | {tied} | {center} |"


def errors_page() -> str:
    """docs/reference/errors.md."""
    found = [kind for kind in _kinds() if kind.code in TITLES]
    rows = []
    for kind in sorted(found, key=lambda item: (item.status, item.code)):
        title = TITLES[kind.code]
        rows.append(
            f"| {kind.status} | `{kind.code}` | {title} | {title.render('zh-CN')} | {_MEANS[kind.code]} |"
        )
    return _ERRORS_HEAD + "\n".join(rows) + "\n"


def _kinds() -> list[type[PearlError]]:
    ours = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PearlError)]
    return [*ours, MethodNotAllowed]


if __name__ == "__main__":
    import sys

    sys.stdout.write(errors_page() if sys.argv[1:] == ["errors"] else api_page())
