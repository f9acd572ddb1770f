"""What a person does with huggingface_hub; run by each version. Prints the id of the last commit."""

import hashlib
import os
import sys
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub import errors as hub_errors

api = HfApi()
name = f"acme/story-{sys.argv[1].replace('.', '-')}"
size = int(sys.argv[2])
assert any(org["name"] == "acme" for org in api.whoami()["orgs"])

api.create_repo(name, private=True)
api.create_repo(name, private=True, exist_ok=True)
folder = Path("model")
(folder / "sub").mkdir(parents=True, exist_ok=True)
(folder / "README.md").write_text("---\nlicense: apache-2.0\ntags: [tiny]\n---\n# A model\n")
(folder / "config.json").write_text('{"model_type": "bert"}')
(folder / "sub" / "ü 1.txt").write_text("text with a name that must be quoted")
(folder / "model.safetensors").write_bytes(os.urandom(size))
(folder / "empty.bin").write_bytes(b"")
api.upload_folder(repo_id=name, folder_path=folder)

info = api.model_info(name, files_metadata=True)
weights = next(one for one in info.siblings if one.rfilename == "model.safetensors")
digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
assert weights.lfs.sha256 == digest and weights.size == size, weights
assert info.card_data.license == "apache-2.0" and "tiny" in info.tags

got = Path(snapshot_download(name))
for file in (one for one in folder.rglob("*") if one.is_file()):
    assert (got / file.relative_to(folder)).read_bytes() == file.read_bytes(), file
assert api.file_exists(name, "config.json") and not api.file_exists(name, "absent.json")
try:
    hf_hub_download(name, "absent.json")
    raise AssertionError("an absent file was found")
except hub_errors.EntryNotFoundError:
    pass
for revision, error in (("absent", hub_errors.RevisionNotFoundError),):
    try:
        api.model_info(name, revision=revision)
        raise AssertionError(revision)
    except error:
        pass
try:
    api.model_info("beta/hidden")
    raise AssertionError("another organisation's repository was found")
except hub_errors.RepositoryNotFoundError:
    pass

first = info.sha
api.create_branch(name, branch="dev/one")
api.create_tag(name, tag="v1", tag_message="the first")
changed = api.upload_file(
    path_or_fileobj=b"changed",
    path_in_repo="notes.txt",
    repo_id=name,
    revision="dev/one",
    parent_commit=first,
)
assert changed.oid != first
try:
    api.upload_file(
        path_or_fileobj=b"late",
        path_in_repo="late.txt",
        repo_id=name,
        revision="dev/one",
        parent_commit=first,
    )
    raise AssertionError("a stale parent was accepted")
except hub_errors.HfHubHTTPError as error:
    assert error.response.status_code == 412, error
refs = api.list_repo_refs(name)
assert {one.name for one in refs.branches} == {"main", "dev/one"} and refs.tags[0].name == "v1"
tree = list(api.list_repo_tree(name, revision="dev/one", recursive=True, expand=True))
assert "notes.txt" in {one.path for one in tree}
assert {one.path for one in api.list_repo_tree(name)} >= {"sub", "config.json"}
paths = api.get_paths_info(name, ["config.json", "sub", "absent"])
assert {one.path for one in paths} == {"config.json", "sub"}
assert Path(hf_hub_download(name, "notes.txt", revision="dev/one")).read_bytes() == b"changed"
commits = api.list_repo_commits(name, revision="dev/one")
assert commits[0].commit_id == changed.oid

data = bytearray((folder / "model.safetensors").read_bytes())
data[size // 2 : size // 2] = b"12345"
(folder / "model.safetensors").write_bytes(data)
api.upload_file(path_or_fileobj=folder / "model.safetensors", path_in_repo="model.safetensors", repo_id=name)
again = Path(hf_hub_download(name, "model.safetensors", force_download=True))
assert again.read_bytes() == bytes(data)

api.delete_file("config.json", repo_id=name)
assert "config.json" not in api.list_repo_files(name)
api.delete_tag(name, tag="v1")
api.delete_branch(name, branch="dev/one")
api.super_squash_history(name)
assert len(api.list_repo_commits(name)) == 1
assert name in {one.id for one in api.list_models(author="acme")}
api.move_repo(name, name + "-moved")
assert api.repo_exists(name + "-moved") and not api.repo_exists(name)
last = api.model_info(name + "-moved").sha
api.delete_repo(name + "-moved")
assert not api.repo_exists(name + "-moved")
print(last)
