"""`datasets` and `transformers` with nothing set: push, load, stream; tokenizer, configuration and weights."""

import json
from pathlib import Path

import numpy as np
from datasets import Dataset, get_dataset_config_names, load_dataset
from huggingface_hub import HfApi, HfFileSystem
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoConfig, AutoTokenizer, BertConfig, PreTrainedTokenizerFast

rows = Dataset.from_dict({"text": [f"row {at}" for at in range(500)], "n": list(range(500))})
rows.push_to_hub("acme/rows", private=True)
rows.select(range(100)).push_to_hub("acme/rows", "small", split="test", private=True)
assert set(get_dataset_config_names("acme/rows")) == {"default", "small"}
loaded = load_dataset("acme/rows", split="train")
assert loaded["text"][499] == "row 499" and len(loaded) == 500
streamed = load_dataset("acme/rows", "small", split="test", streaming=True)
assert [row["n"] for row in streamed] == list(range(100))
files = HfFileSystem()
assert any(name.endswith(".parquet") for name in files.find("datasets/acme/rows"))
info = HfApi().dataset_info("acme/rows")
assert "config_name:" not in info.tags and info.card_data is not None

name = "acme/tiny-bert"
config = BertConfig(
    vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
)
HfApi().create_repo(name)
# With a card there already, transformers does not need Jinja2 to write one.
card = b"---\nlicense: mit\nlibrary_name: transformers\n---\n# Tiny\n"
HfApi().upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=name)
config.push_to_hub(name, private=True)
words = Tokenizer(WordLevel({"[UNK]": 0, "hello": 1, "world": 2}, unk_token="[UNK]"))
words.pre_tokenizer = Whitespace()
PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").push_to_hub(name)
weights = {"embeddings.weight": np.arange(64, dtype=np.float32).reshape(8, 8)}
save_file(weights, "model.safetensors")
HfApi().upload_file(path_or_fileobj="model.safetensors", path_in_repo="model.safetensors", repo_id=name)
assert AutoConfig.from_pretrained(name).hidden_size == 8
assert AutoTokenizer.from_pretrained(name)("hello world")["input_ids"] == [1, 2]
got = HfApi().hf_hub_download(name, "model.safetensors")
assert np.array_equal(load_file(got)["embeddings.weight"], weights["embeddings.weight"])
facts = HfApi().get_safetensors_metadata(name)
assert sum(facts.parameter_count.values()) == 64
assert json.loads(Path(HfApi().hf_hub_download(name, "config.json")).read_text())["model_type"] == "bert"
print("ecosystem ok")
