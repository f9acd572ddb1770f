"""A file that is put together by the Xet client from ranges of xorbs, and what a changed file sends. Argument: size."""

import os
import sys
from pathlib import Path

import hf_xet
from huggingface_hub import HfApi

api, name, size = HfApi(), "acme/xet", int(sys.argv[1])
api.create_repo(name)
file = Path("w.safetensors")
file.write_bytes(os.urandom(size))
api.upload_file(path_or_fileobj=file, path_in_repo="w.safetensors", repo_id=name)
data = bytearray(file.read_bytes())
data[size // 2 : size // 2] = b"12345"
file.write_bytes(data)
api.upload_file(path_or_fileobj=file, path_in_repo="w.safetensors", repo_id=name)

facts = hf_xet.hash_files([str(file)])[0]
from huggingface_hub.utils import build_hf_headers, get_session  # noqa: E402

url = f"{os.environ['HF_ENDPOINT']}/api/models/{name}/xet-read-token/main"
token = get_session().get(url, headers=build_hf_headers()).json()
got = Path("got.safetensors")
hf_xet.download_files(
    [hf_xet.PyXetDownloadInfo(str(got), facts.hash, len(data))],
    token["casUrl"],
    (token["accessToken"], token["exp"]),
    None,
    None,
)
assert got.read_bytes() == bytes(data), "the reconstructed file differs"
print("reconstructed", len(data))
