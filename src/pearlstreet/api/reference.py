"""Generator of the reference pages of the REST API and of its errors, from the routes and the error classes. Pure.

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
    "users": ("Accounts", "账号"),
    "members": ("Members and invitations", "成员与邀请"),
    "organisations": ("Organisations, projects, secrets", "组织、项目、机密变量"),
    "jobs": ("Jobs", "作业"),
    "files": ("Uploads and artefacts", "上传与产物"),
    "hub": ("Models and data sets", "模型与数据集"),
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
    "invalid_input": "The request is invalid; `problems` names each field, with line and column.",
    "unauthenticated": "The credential is missing, unknown, expired or revoked. Sign in or create a key.",
    "forbidden": "The caller lacks the scope; the hint says what the scope allows.",
    "not_found": "Absent, or another tenant's; the two cannot be told apart, on purpose.",
    "conflict": "The current state does not allow it. Read the resource again.",
    "idempotency_mismatch": "This Idempotency-Key was used before with another request. Use a new one.",
    "payment_required": "The balance does not cover the first hour; `detail` says how much is missing.",
    "too_large": "The body exceeds its limit. Send large files as uploads.",
    "too_many": "A rate limit or a maximum count was reached. If `Retry-After` is present, wait that many seconds.",
    "unavailable": "A dependency is down or the disk is full; nothing was changed. Repeat after `Retry-After` seconds.",
    "bug": "An internal error; nothing was changed. Give the operator the request number in `instance`.",
    "method_not_allowed": "The path exists, but not with this method; `Allow` lists its methods.",
}
_API_HEAD = f"""\
# REST API 接口

Generated from the routes by `python -m pearlstreet.api.reference api`; a test fails when it is out of date. Every center
serves its OpenAPI 3.1 document, with every request and response body, at `{PREFIX}/openapi.json`.

- **Authentication**: `Authorization: Bearer KEY`, with an API key (`pearl_…`, see `pearl keys`) or a session (`POST
  {PREFIX}/sign-in`). A key can be restricted to scopes, and tied to one organisation or to one of its projects. Resources
  of another tenant answer 404, as if they did not exist.
- **Errors** are problem documents (RFC 9457) in English or Simplified Chinese, chosen by `Accept-Language`:
  [errors](errors.md).
- **Idempotency**: POST, PUT, PATCH and DELETE honour `Idempotency-Key` (1–255 visible ASCII characters, kept for 24
  hours, at most the newest 100,000 per account). A repeated request gets the first response again, with
  `Idempotent-Replayed: true`.
- **Rate limits** per address and per key: a refused request answers 429 with `Retry-After`; every response has the headers
  `RateLimit` and `RateLimit-Policy`.
- **Pagination**: a page ends with `next_cursor`; pass it as `cursor` to get the next page. `limit` is at most {LIMIT_MAX}.
- **Values**: times are RFC 3339 in UTC; amounts of money are text in yuan, exact to the micro-yuan; unknown fields are
  refused. A body has at most {BODY_LIMIT_BYTES >> 20} MiB, except that of an upload.
- **Organisation**: where the path does not contain it, `?org=SLUG`; by default the caller's default organisation.
- **Created resources**: every 201 has a `Location` header with the path of the created resource. Top-ups, corrections,
  benchmarks, backups, price lists, versions of energy facts and linked identities have no path of their own: there it is
  the path of their list. A session, an invitation, a window and a webhook have a path to delete them; they are read in a
  list.

## Generated clients 生成的客户端

Pearlstreet comes with a [Python client](client.md). For other languages, generate one from the OpenAPI document; operation
ids are written like `listJobs`, and names of schemas are unique. A test generates a client with openapi-python-client, which skips no
operation, and calls an operation of every section with it. It still warns about:

| warning | reason |
|---|---|
| `POST {PREFIX}/jobs`: content type `application/yaml` | The generator writes JSON bodies only; jobs are submitted as JSON, which says the same. |
| `POST {PREFIX}/prices`: content type `application/toml` | The same; price lists are published as JSON. |
| `GET {PREFIX}/orgs/{{org}}/export`: content type `application/gzip` | The generator knows `application/octet-stream` only; the archive is in `content` of the detailed response. |

The column "access" names the required scope; † means that it must be held at the center, by an operator. Routes with ‡ accept
keys tied to a project, for their project only; all routes except those with § accept keys tied to an organisation.
"""
_ERRORS_HEAD = """\
# Errors 错误

Generated from the error classes by `python -m pearlstreet.api.reference errors`; a test fails when it is out of date.

Every error of the REST API is a problem document (RFC 9457, `application/problem+json`) in English or Simplified
Chinese, chosen by `Accept-Language`. Programs should compare `code`, which never changes; the other texts are for people.

```json
{
  "type": "urn:pearlstreet:error:invalid_input",
  "title": "The request is invalid",
  "status": 422,
  "code": "invalid_input",
  "detail": "The request does not fit the schema",
  "instance": "urn:pearlstreet:request:req_01m7y475h3e94r3s0bszrpb52j",
  "problems": [
    {"field": "lable", "message": "There is no such field", "hint": "Did you mean label?"}
  ]
}
```

| field | meaning |
|---|---|
| `type`, `code` | Kind of error, one of the table below |
| `title` | Kind of error as text |
| `status` | HTTP status |
| `detail` | Cause of this error |
| `hint` | Suggested correction, if known |
| `problems` | One entry for each invalid input: `field`, `message` and, if known, `file`, `line`, `column`, `hint` |
| `retry_after_s` | Seconds after which a repetition may succeed; also in the header `Retry-After` |
| `instance` | Request number, also in the header `X-Request-Id` and in the server's log |

| status | code | title | 中文 | meaning |
|---|---|---|---|---|
"""


def api_page() -> str:
    """Return docs/reference/api.md."""
    return "\n".join([_API_HEAD, *_nouns(), *_scopes()]) + "\n"


def _nouns() -> Iterator[str]:
    by_tag: dict[str, list[RouteFacts]] = {tag: [] for tag in _NOUNS}
    for router, prefix in [(router, PREFIX) for router in ROUTERS] + [(system.root_router, "")]:
        by_tag[_tag(router)] += [replace(fact, path=prefix + fact.path) for fact in router.registry]
    for tag, routes in by_tag.items():
        yield f"## {' '.join(_NOUNS[tag])}\n"
        yield "| method | path | operation | access | summary |\n|---|---|---|---|---|"
        for route in sorted(routes, key=lambda item: item.path):
            yield f"| {route.method} | `{route.path}` | `{route.operation}` | {_access(route)} | {route.summary} |"
        yield ""


def _tag(router: SecuredRouter) -> str:
    return str(router.api_router.tags[0])


def _access(route: RouteFacts) -> str:
    if route.public:
        return "public"
    access = "signed in" if route.scope is None else f"`{route.scope}`"
    return f"{access}{' †' if route.at_center else ''}{_TIES[route.tie]}"


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
    """Return docs/reference/errors.md."""
    kinds = [kind for kind in _kinds() if kind.code in TITLES]
    rows = []
    for kind in sorted(kinds, key=lambda item: (item.status, item.code)):
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
