"""A gated repository between its owner and a stranger, with each version's calls. Argument: version."""

import json
import os
import sys
import tempfile
import urllib.request
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub import errors as hub_errors

owner = HfApi()
stranger = HfApi(token=os.environ["STRANGER_TOKEN"])
name = f"acme/gated-{sys.argv[1].replace('.', '-')}"
owner.create_repo(name, private=False)
owner.upload_file(path_or_fileobj=b"---\nlicense: mit\n---\n", path_in_repo="README.md", repo_id=name)
owner.upload_file(path_or_fileobj=b"gated text", path_in_repo="a.txt", repo_id=name)
owner.update_repo_settings(name, gated="manual")


def get() -> str | None:
    """The error with which the stranger does not get the file, or None."""
    try:
        path = hf_hub_download(name, "a.txt", token=stranger.token, local_dir=tempfile.mkdtemp())
    except hub_errors.GatedRepoError as error:
        return type(error).__name__
    assert Path(path).read_text() == "gated text"
    return None


def ask() -> str:
    """Request access, as the page of the repository does: the clients have no call for it."""
    request = urllib.request.Request(
        f"{os.environ['HF_ENDPOINT']}/api/models/{name}/user-access-request",
        json.dumps({"note": "a course"}).encode(),
        {"authorization": f"Bearer {stranger.token}"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["status"]


assert get() == "GatedRepoError"
assert stranger.model_info(name).gated == "manual", "a gated repository is seen"
assert ask() == "pending" and get() == "GatedRepoError"
pending = list(owner.list_pending_access_requests(name))
assert [one.username for one in pending] == ["stranger"] and pending[0].fields == {"note": "a course"}
owner.accept_access_request(name, "stranger")
assert get() is None and not list(owner.list_pending_access_requests(name))
assert [one.username for one in owner.list_accepted_access_requests(name)] == ["stranger"]
stranger.auth_check(name)
owner.cancel_access_request(name, "stranger")
assert get() == "GatedRepoError" and len(list(owner.list_pending_access_requests(name))) == 1
owner.reject_access_request(name, "stranger", rejection_reason="not now")
assert get() == "GatedRepoError" and len(list(owner.list_rejected_access_requests(name))) == 1
owner.grant_access(name, "stranger")
assert get() is None
try:
    list(stranger.list_pending_access_requests(name))
    raise AssertionError("a stranger saw the requests")
except hub_errors.HfHubHTTPError as error:
    assert error.response.status_code == 403
owner.delete_repo(name)
