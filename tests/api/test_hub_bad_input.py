"""Bad input at every route of the hub that takes any: never a 5xx, and nothing half done."""

from __future__ import annotations

import base64
import concurrent.futures
import hashlib
import json
import struct
import time
from collections.abc import Iterator
from typing import Any

import lz4.frame
import pytest
import sqlalchemy as sa

from pearlstreet.base.units import GIB
from pearlstreet.hub.tables import commits, contents, pages, refs, repo_contents, repos, xorbs
from pearlstreet.hub.xet.hashes import file_hash, hash_text
from pearlstreet.hub.xet.shard import build_dedup_shard
from pearlstreet.hub.xet.xorb import CHUNK_BYTES_MAX, parse_xorb, read_chunk
from pearlstreet.hubapi import lfs
from tests.api.test_hub import HubCaller, small
from tests.api.world import a_world
from tests.security.yard import KEPT, REFUSED
from tests.unit.hub.test_xet import chunk

REPO = "acme/bad"
QUOTA_GIB = 0.01


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubCaller]:
    data = tmp_path_factory.mktemp("center")
    with a_world(data, rate_key_per_s=0, rate_address_per_s=0, org_storage_gib=QUOTA_GIB) as world:
        caller = HubCaller(world)
        assert caller.create(REPO).status_code == 200
        assert caller.commit(REPO, small("a.txt")).status_code == 200
        yield caller
        caller.browser.close()


def committed(hub: HubCaller) -> Any:
    """All rows that a commit writes."""
    tables = (repos, refs, commits, pages, repo_contents)
    return hub.world.center.store.read(lambda tx: [tx.rows(sa.select(table)) for table in tables])


def xet_token(hub: HubCaller, right: str = "write", repo: str = REPO) -> str:
    return str(hub.send("GET", f"/api/models/{repo}/xet-{right}-token/main").json()["accessToken"])


def lfs_link(hub: HubCaller, content: bytes, size: int | None = None, **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    objects = [{"oid": digest, "size": len(content) if size is None else size}]
    body = {"operation": "upload", "objects": objects, **more}
    answer = hub.send("POST", f"/{REPO}.git/info/lfs/objects/batch", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["objects"][0]
    return found


def below(url: str) -> str:
    return url.partition("/hf")[2]


def test_no_name_that_leaves_its_folder_is_committed(hub: HubCaller) -> None:
    assert len(REFUSED) >= 300
    before = committed(hub)
    digest = hashlib.sha256(b"hello").hexdigest()
    for name in REFUSED:
        # A file, a large file and an announcement of one; lone surrogates arrive as JSON escapes.
        for key, value in (
            ("file", {"path": name, "content": "aGVsbG8=", "encoding": "base64"}),
            ("lfsFile", {"path": name, "algo": "sha256", "oid": digest, "size": 5}),
        ):
            answer = hub.commit(REPO, (key, value))
            assert answer.status_code == 422, (name, key, answer.text)
        files = {"files": [{"path": name, "size": 1, "sample": ""}]}
        body = json.dumps(files).encode()
        assert hub.send("POST", f"/api/models/{REPO}/preupload/main", content=body).status_code == 422, name
    assert committed(hub) == before


def test_no_name_in_an_address_is_a_server_error(hub: HubCaller) -> None:
    from urllib.parse import quote

    for name in [*REFUSED, "%", "%zz", "%00", "%ff", "a" * 5000]:
        quoted = quote(name, safe="%", errors="surrogatepass")
        for path in (
            f"/{REPO}/resolve/main/{quoted}",
            f"/{REPO}/resolve/{quoted}/a.txt",
            f"/api/models/{REPO}/tree/main/{quoted}",
            f"/api/models/{quoted}/{quoted}",
        ):
            answer = hub.send("GET", path)
            assert 400 <= answer.status_code < 500 or answer.json() is not None, (name, path)
            assert answer.status_code < 500, (name, path, answer.text)


def test_honest_names_are_kept_as_they_are(hub: HubCaller) -> None:
    assert hub.create("acme/names").status_code == 200
    names = [name for name in KEPT if not name.startswith("./") and not name.endswith("/") and name != "."]
    names += ["数据/训练.jsonl", "é.txt", "e\u0301.txt", "zero", "A.txt", "a.TXT"]
    names = sorted(dict.fromkeys(names))
    fine = [name for name in names if hub.commit("acme/names", small(name, b"")).status_code == 200]
    assert len(fine) >= 0.8 * len(names), sorted(set(names) - set(fine))
    listed = hub.send("GET", "/api/models/acme/names").json()["siblings"]
    assert sorted(one["rfilename"] for one in listed) == sorted(fine)


@pytest.mark.parametrize(
    "lines",
    [
        [small("x"), small("x/y")],
        [small("a.txt/b")],
        [("deletedFile", {"path": "absent"})],
        [("deletedFolder", {"path": "absent"})],
        [small("fine"), ("deletedFile", {"path": "absent"})],
        [small("fine"), ("lfsFile", {"path": "w", "algo": "sha256", "oid": "0" * 64, "size": 3})],
        [small("fine"), ("lfsFile", {"path": "w", "algo": "sha256", "oid": "0" * 64})],
        [small("fine"), ("lfsFile", {"path": "w", "oid": "Z" * 64, "size": 3})],
        [small("fine"), ("lfsFile", {"path": "w", "oid": None, "size": 3})],
        [small("fine"), ("lfsFile", {"path": "w", "oid": hashlib.sha256(b"hello").hexdigest(), "size": 4})],
        [small("fine"), ("lfsFile", {"path": "w", "oid": hashlib.sha256(b"hello").hexdigest(), "size": -5})],
        [small("fine"), ("file", {"path": "w", "content": 5, "encoding": "base64"})],
        [small("fine"), ("file", {"path": "w", "content": "\ud800", "encoding": "utf-8"})],
        [small("fine"), ("file", {"path": ["w"], "content": "", "encoding": "base64"})],
        [small("fine"), ("file", {"content": "", "encoding": "base64"})],
        [small("fine"), ("file", None)],
        [small("fine"), ("", {})],
        [small("README.md", b"---\n" + b"a: &a [*a]\n" + b"---\n")],
        [small("README.md", b"---\n" + b"[" * 5000 + b"\n---\n")],
        [small("README.md", b"---\nlicense: {a: 1}\n---\n")],
        [small("README.md", b"\xff\xfe---\n")],
        [small("README.md", b"---\nno end\n")],
        [small("README.md", b"---\n!!python/object/apply:os.system ['true']\n---\n")],
    ],
    ids=range(23),
)
def test_one_wrong_line_refuses_the_whole_commit(hub: HubCaller, lines: list[Any]) -> None:
    before = committed(hub)
    answer = hub.commit(REPO, *lines)
    assert 400 <= answer.status_code < 500, answer.text
    assert committed(hub) == before


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "GET", "PATCH", "OPTIONS"])
def test_no_body_at_any_route_is_a_server_error(hub: HubCaller, method: str) -> None:
    from pearlstreet.hubapi.app import ROUTES

    values = {"kind": "models", "org": "acme", "name": "bad", "rev": "none", "ref": "refs", "right": "write",
              "state": "pending", "token": "x.y", "part": "1", "prefix": "default", "hash": "0" * 64, "version": "v1"}  # fmt: skip
    before = committed(hub)
    for body in (b"", b"{", b"[]", b"null", b"5", b"\xff\xfe", b'{"a":' * 2000, b"[" * 100_000, b'{"name":{}}',
                 b'{"files":5}', b'{"objects":[5]}', b'{"type":"space","name":"acme/x"}', b"a=b&paths=\xff"):  # fmt: skip
        for _, pattern, _ in ROUTES:
            path = "/" + pattern.format(**values).replace("*", "a.txt")
            answer = hub.send(method, path, content=body)
            assert answer.status_code < 500, (method, path, body[:40], answer.text)
    assert committed(hub) == before


def test_a_wrong_hash_or_length_stores_nothing(hub: HubCaller) -> None:
    content = b"a large file" * 10
    found = lfs_link(hub, content)
    link = below(found["actions"]["upload"]["href"])
    for sent in (b"", content[:-1], content + b"x", content[::-1]):
        assert 400 <= hub.send("PUT", link, "none", content=sent).status_code < 500
    verify = below(found["actions"]["verify"]["href"])
    assert hub.send("POST", verify, "none").status_code == 404
    digest = hashlib.sha256(content).hexdigest()
    line = ("lfsFile", {"path": "w.bin", "algo": "sha256", "oid": digest, "size": len(content)})
    assert hub.commit(REPO, line).status_code == 422
    assert hub.send("PUT", link, "none", content=content).status_code == 200
    assert hub.send("POST", verify, "none").status_code == 200
    assert hub.commit(REPO, line).status_code == 200


def test_truncated_and_missing_parts_complete_nothing(
    hub: HubCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lfs, "PART_BYTES", 1000)
    content = bytes(range(256)) * 10
    found = lfs_link(hub, content, transfers=["multipart"])
    upload = found["actions"]["upload"]
    parts = {name: below(url) for name, url in upload["header"].items() if name.isdigit()}
    assert upload["header"]["chunk_size"] == "1000" and len(parts) == 3
    first, second, third = (parts[name] for name in sorted(parts))
    done = {"oid": hashlib.sha256(content).hexdigest(), "parts": [{"partNumber": 1, "etag": "x"}]}
    complete = below(upload["href"])
    assert hub.send("PUT", first, "none", content=content[:999]).status_code == 422
    assert hub.send("PUT", first, "none", content=content[:1001]).status_code == 413
    assert hub.send("PUT", first, "none", content=content[:1000]).status_code == 200
    assert hub.send("POST", complete, "none", json=done).status_code == 422
    for number in ("0", "4", "99999", "x", "-1"):
        path = first.rpartition("/")[0] + f"/{number}"
        assert hub.send("PUT", path, "none", content=content[:1000]).status_code in (404, 422), number
    assert hub.send("PUT", third, "none", content=content[2000:]).status_code == 200
    assert hub.send("PUT", second, "none", content=bytes(1000)).status_code == 200
    assert hub.send("POST", complete, "none", json=done).status_code == 422, "a part has other bytes"
    for body in (b"", b"[]", b'{"parts": 5}'):
        assert hub.send("POST", complete, "none", content=body).status_code == 422
    assert hub.send("PUT", second, "none", content=content[1000:2000]).status_code == 200
    assert hub.send("POST", complete, "none", json=done).status_code == 200


def test_of_concurrent_commits_from_one_parent_one_wins(hub: HubCaller) -> None:
    assert hub.create("acme/race").status_code == 200
    parent = hub.send("GET", "/api/models/acme/race").json()["sha"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        stated = list(
            pool.map(lambda at: hub.commit("acme/race", small(f"{at}.txt"), parentCommit=parent), range(8))
        )
    codes = sorted(answer.status_code for answer in stated)
    assert codes == [200] + [412] * 7
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        free = list(pool.map(lambda at: hub.commit("acme/race", small(f"free-{at}.txt")), range(4)))
    assert all(answer.status_code in (200, 412) for answer in free)
    won = sum(answer.status_code == 200 for answer in free)
    history = hub.send("GET", "/api/models/acme/race/commits/main").json()
    assert len(history) == 2 + won and won >= 1
    files = hub.send("GET", "/api/models/acme/race").json()["siblings"]
    assert len(files) == 1 + won


def test_names_that_differ_only_in_case(hub: HubCaller) -> None:
    assert hub.create("acme/Case").status_code == 200
    assert hub.create("acme/cASE").status_code == 409
    assert hub.send("GET", "/api/models/acme/case").status_code == 200
    assert hub.create("acme/con").status_code in (200, 422)
    for name in ("..", ".git", "a.git", "a--b", "a..b", "-a", "a/b", "", "é", "a" * 97, "a b", "a\nb"):
        assert hub.create(f"acme/{name}").status_code in (404, 422), name


def test_a_zero_byte_file_is_a_file(hub: HubCaller) -> None:
    assert hub.commit(REPO, small("empty.txt", b"")).status_code == 200
    got = hub.send("GET", f"/{REPO}/resolve/main/empty.txt")
    assert (got.status_code, got.content, got.headers["content-length"]) == (200, b"", "0")
    ranged = hub.send("GET", f"/{REPO}/resolve/main/empty.txt", headers={"range": "bytes=0-"})
    assert ranged.status_code == 416
    nothing = lfs_link(hub, b"")
    if "actions" in nothing:
        link = below(nothing["actions"]["upload"]["href"])
        assert hub.send("PUT", link, "none", content=b"").status_code == 200


LYING = [
    b"",
    b"\0" * 7,
    b"\0" * 8,
    b"XETBLOB",
    chunk(b"data")[:-1],
    chunk(b"data", says=3),
    chunk(b"data", 9),
    chunk(b"data", 1, b"not LZ4 at all"),
    chunk(b"", 1, lz4.frame.compress(bytes(64 << 20)), says=CHUNK_BYTES_MAX),
    chunk(b"", 2, lz4.frame.compress(bytes(1 << 20)), says=(1 << 24) - 1),
    chunk(b"good") + chunk(b"data", 1, b"\x04\x22\x4d\x18broken"),
]


@pytest.mark.parametrize("body", LYING, ids=range(len(LYING)))
def test_a_lying_or_bursting_xorb_stores_nothing(hub: HubCaller, body: bytes) -> None:
    token = xet_token(hub)
    began = time.process_time()
    for claimed in ("0" * 64, hash_text(hashlib.sha256(body).digest())):
        answer = hub.send("POST", f"/xet/v1/xorbs/default/{claimed}", token, content=body)
        assert answer.status_code == 422, answer.text
    assert time.process_time() - began < 5, "a small body must not cost much"
    assert hub.world.center.store.read(lambda tx: tx.rows(sa.select(xorbs))) == []
    assert not list(hub.world.center.hub.work.iterdir()), "an unfinished file was left"


def _shard(*files: tuple[bytes, list[tuple[bytes, int, int, int]]]) -> bytes:
    said = build_dedup_shard(bytes(32), 0, [], 0)[:48]
    for raw, segments in files:
        said += raw + struct.pack("<IIQ", 0, len(segments), 0)
        said += b"".join(
            xorb + struct.pack("<IIII", 0, size, first, end) for xorb, size, first, end in segments
        )
    return said + b"\xff" * 32 + bytes(16)


def test_a_lying_shard_registers_nothing(hub: HubCaller) -> None:
    token = xet_token(hub)
    body = chunk(b"some weights") + chunk(b"more")
    xorb = parse_xorb(memoryview(body))
    name = hash_text(xorb.hash)
    assert hub.send("POST", f"/xet/v1/xorbs/default/{name}", token, content=body).status_code == 200
    pairs = [(one.hash, one.raw_bytes) for one in xorb.chunks]
    right = file_hash(pairs)
    before = hub.world.center.store.read(lambda tx: tx.rows(sa.select(contents)))
    many = [(xorb.hash, 16, 0, 2)] * 5_000
    for lie in (
        b"",
        b"\0" * 47,
        _shard()[:-1],
        _shard((right, [(xorb.hash, 16, 0, 3)])),
        _shard((right, [(xorb.hash, 16, 1, 1)])),
        _shard((right, [(xorb.hash, 17, 0, 2)])),
        _shard((right, [(xorb.hash, 0, 0, 2)])),
        _shard((right, [(bytes(32), 16, 0, 2)])),
        _shard((bytes(32), [(xorb.hash, 16, 0, 2)])),
        _shard((right, [(xorb.hash, 12, 0, 1)])),
        _shard((right, [(xorb.hash, 16, 0, 2)]))[:-40],
        _shard((right, [(xorb.hash, (1 << 32) - 1, 0, 2)] * 1000)),
        _shard((right, many)),
        _shard(*[(right, many)] * 21),
    ):
        answer = hub.send("POST", "/xet/v1/shards", token, content=lie)
        assert 400 <= answer.status_code < 500, (lie[:60], answer.text)
    assert hub.world.center.store.read(lambda tx: tx.rows(sa.select(contents))) == before
    reading = xet_token(hub, "read")
    assert hub.send("POST", "/xet/v1/shards", reading, content=_shard()).status_code == 403
    assert hub.send("POST", "/xet/v1/shards", token + "0", content=_shard()).status_code == 401
    good = _shard((right, [(xorb.hash, 16, 0, 2)]))
    assert hub.send("POST", "/xet/v1/shards", token, content=good).json() == {"result": 1}


def test_a_quota_that_is_hit_mid_upload_leaves_the_branch_as_it_was(hub: HubCaller) -> None:
    assert hub.create("acme/full").status_code == 200
    room = int(QUOTA_GIB * GIB)
    large = bytes(room // 2)
    digest = hashlib.sha256(large).hexdigest()
    body = {"operation": "upload", "objects": [{"oid": digest, "size": len(large)}]}
    found = hub.send("POST", "/acme/full.git/info/lfs/objects/batch", json=body).json()["objects"][0]
    link = below(found["actions"]["upload"]["href"])
    assert hub.send("PUT", link, "none", content=large).status_code == 200
    before = committed(hub)
    texts = [small(f"{at}.txt", bytes([at]) * (1 << 20)) for at in range(8)]
    answer = hub.commit("acme/full", *texts)
    assert answer.status_code == 409 and "at most 10.2 MiB" in answer.text, answer.text
    assert committed(hub) == before
    too_much = {"operation": "upload", "objects": [{"oid": "1" * 64, "size": room}]}
    assert hub.send("POST", "/acme/full.git/info/lfs/objects/batch", json=too_much).status_code == 409
    line = ("lfsFile", {"path": "w.bin", "algo": "sha256", "oid": digest, "size": len(large)})
    assert hub.commit("acme/full", line).status_code == 200
    assert hub.send("DELETE", "/api/repos/delete", json={"name": "acme/full"}).status_code == 200


def test_a_link_ends_with_the_right_that_made_it(hub: HubCaller) -> None:
    made = hub.world.post("/keys", "member", json={"label": "laptop"}).json()
    content = b"sent too late"
    digest = hashlib.sha256(content).hexdigest()
    body = {"operation": "upload", "objects": [{"oid": digest, "size": len(content)}]}
    found = hub.send("POST", f"/{REPO}.git/info/lfs/objects/batch", made["key"], json=body).json()
    link = below(found["objects"][0]["actions"]["upload"]["href"])
    token = hub.send("GET", f"/api/models/{REPO}/xet-write-token/main", made["key"]).json()["accessToken"]
    assert hub.send("GET", f"/xet/v1/chunks/default/{'0' * 64}", token).status_code == 404
    assert hub.world.send("DELETE", f"/keys/{made['id']}", "member").status_code < 300
    assert hub.send("PUT", link, "none", content=content).status_code == 401
    assert hub.send("GET", f"/xet/v1/chunks/default/{'0' * 64}", token).status_code == 401
    assert hub.send("POST", "/xet/v1/shards", token, content=b"").status_code == 401


def test_thousands_of_files_in_one_commit(hub: HubCaller) -> None:
    """One commit may hold 100,000 files; 5,000 of them already need several pages of the listing."""
    assert hub.create("acme/many").status_code == 200
    lines = [small(f"d{at % 50}/f{at}.txt", f"{at % 7}".encode()) for at in range(5000)]
    assert hub.commit("acme/many", *lines).status_code == 200
    got: list[Any] = []
    url: str | None = "/api/models/acme/many/tree/main?recursive=true"
    while url is not None:
        page = hub.send("GET", url)
        got += [one["path"] for one in page.json() if one["type"] == "file"]
        link = page.headers.get("link")
        url = below(link.split(">")[0]) if link else None
    assert sorted(got) == sorted(path["path"] for _, path in lines)


def test_base64_that_is_none_is_refused(hub: HubCaller) -> None:
    for content in ("%%%", "aGVsbG8", base64.b64encode(b"x").decode() + "=", "é"):
        value = {"path": "x", "content": content, "encoding": "base64"}
        assert hub.commit(REPO, ("file", value)).status_code == 422, content


def test_a_plan_of_a_file_gives_its_bytes_and_no_others(hub: HubCaller) -> None:
    """Half of an xorb belongs to a file of the repository: the other half is behind no link."""
    token = xet_token(hub)
    parts = [bytes([at]) * (1000 + at) for at in range(6)]
    body = b"".join(chunk(part) for part in parts)
    xorb = parse_xorb(memoryview(body))
    name = hash_text(xorb.hash)
    assert hub.send("POST", f"/xet/v1/xorbs/default/{name}", token, content=body).status_code == 200
    kept = [1, 2, 3]
    whole = file_hash([(xorb.chunks[at].hash, xorb.chunks[at].raw_bytes) for at in kept])
    content = b"".join(parts[at] for at in kept)
    shard = _shard((whole, [(xorb.hash, len(content), 1, 4)]))
    framed = hub.send("POST", "/xet/v2/shards", token, content=shard)
    assert [json.loads(line)["type"] for line in framed.text.splitlines()][-1] == "result"
    assert hub.send("POST", "/xet/v2/shards", token, content=shard[:-17]).status_code == 422
    file = hash_text(whole)
    reading = xet_token(hub, "read")
    assert hub.send("GET", f"/xet/v1/reconstructions/{file}", reading).status_code == 404, "no commit has it"
    oid = hashlib.sha256(content).hexdigest()
    line = ("lfsFile", {"path": "planned.bin", "oid": oid, "size": len(content)})
    assert hub.commit(REPO, line).status_code == 200

    def read(start: int, end: int) -> bytes:
        headers = {"range": f"bytes={start}-{end - 1}"}
        plan = hub.send("GET", f"/xet/v1/reconstructions/{file}", reading, headers=headers).json()
        got = b""
        for term in plan["terms"]:
            for fetch in plan["fetch_info"][term["hash"]]:
                place = fetch["url_range"]
                asked = {"range": f"bytes={place['start']}-{place['end']}"}
                data = hub.send("GET", below(fetch["url"]), "none", headers=asked)
                assert data.status_code == 206
                packed, at = memoryview(data.content), 0
                for number in range(fetch["range"]["start"], fetch["range"]["end"]):
                    at, raw = read_chunk(packed, at)
                    if term["range"]["start"] <= number < term["range"]["end"]:
                        got += raw
        return got[plan["offset_into_first_range"] :][: end - start]

    for start, end in (
        (0, len(content)),
        (0, 1),
        (999, 1003),
        (1001, 2500),
        (len(content) - 1, len(content)),
    ):
        assert read(start, end) == content[start:end], (start, end)
    newer = hub.send("GET", f"/xet/v2/reconstructions/{file}", reading).json()
    fetch = newer["xorbs"][name][0]
    assert fetch["ranges"][0]["chunks"] == {"start": 1, "end": 4}
    assert hub.send("GET", f"/xet/v3/reconstructions/{file}", reading).status_code == 404
    beyond = {"range": f"bytes={len(content)}-"}
    assert hub.send("GET", f"/xet/v1/reconstructions/{file}", reading, headers=beyond).status_code == 416
    link, place = below(fetch["url"]), fetch["ranges"][0]["bytes"]
    for first, last in ((0, 10), (place["start"] - 1, place["end"]), (place["end"] + 1, place["end"] + 9)):
        answer = hub.send("GET", link, "none", headers={"range": f"bytes={first}-{last}"})
        assert answer.status_code == 416, "a link opens only the range it was made for"
    longer = hub.send("GET", link, "none", headers={"range": f"bytes={place['start']}-999999"})
    assert longer.content == body[place["start"] : place["end"] + 1]
    assert hub.send("GET", link + "x", "none").status_code == 401
    upload = lfs_link(hub, b"another kind of link")["actions"]["upload"]["href"]
    assert hub.send("GET", f"/xet/v1/data/{upload.rpartition('/')[2]}", "none").status_code == 401


def test_lists_are_filtered_by_whole_tags_and_paged(hub: HubCaller) -> None:
    for number, card in enumerate(
        ("language: en\ntags: [open]", "language: [en, zh]\nlicense: mit", "tags: [opened]")
    ):
        assert hub.create(f"acme/list-{number}", type="dataset").status_code == 200
        value = small("README.md", f"---\n{card}\n---\n".encode())[1]
        lines = [{"key": "header", "value": {"summary": "x"}}, {"key": "file", "value": value}]
        body = "\n".join(json.dumps(line) for line in lines).encode()
        path = f"/api/datasets/acme/list-{number}/commit/main"
        assert hub.send("POST", path, content=body).status_code == 200

    def listed(query: str) -> list[str]:
        found, url = [], f"/api/datasets?author=acme&search=list-&{query}"
        while url:
            answer = hub.send("GET", url)
            assert answer.status_code == 200
            found += [one["id"][-1] for one in answer.json()]
            link = answer.headers.get("link", "")
            assert len(found) < 10 and (not link or answer.json())
            url = below(link.split(">")[0]) if link else ""
        return sorted(found)

    assert listed("filter=en") == ["0", "1"] and listed("filter=open") == ["0"]
    assert listed("filter=en&filter=license:mit") == ["1"] and listed("filter=language,en") == []
    assert listed("limit=1") == ["0", "1", "2"] and listed("limit=2&sort=createdAt") == ["0", "1", "2"]
    assert listed("gated=true") == [] and listed("gated=false") == ["0", "1", "2"]
    for query in ("limit=-1", "limit=x", "cursor=-5", "cursor=9e9", "limit=0", "sort=%00", "filter=%25_"):
        assert hub.send("GET", f"/api/datasets?{query}").status_code < 500
