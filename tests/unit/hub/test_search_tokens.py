"""The tokenizer of the search: words, bigrams of Chinese, facts of front matter."""

from __future__ import annotations

from pearlstreet.hub.search.tokens import QueryTerm, index_tokens, query_terms, repo_terms


def test_words_are_split_and_chinese_becomes_bigrams() -> None:
    assert list(index_tokens("BERT-base_中文文本分类 v2")) == [
        "bert",
        "base",
        "中文",
        "文文",
        "文本",
        "本分",
        "分类",
        "类",
        "v2",
    ]
    assert list(index_tokens("ＱＷＥＮ２．５")) == ["qwen2", "5"]


def test_a_query_asks_for_beginnings_of_words_and_pairs_of_chinese() -> None:
    assert query_terms("Bert 文本分类 图") == [
        QueryTerm("bert", True),
        QueryTerm("文本", False),
        QueryTerm("本分", False),
        QueryTerm("分类", False),
        QueryTerm("图", True),
    ]
    assert query_terms(" - %_ '\"") == [] and len(query_terms(" ".join(f"w{n}" for n in range(99)))) == 20


def test_names_weigh_more_than_tags_and_text() -> None:
    card = {
        "license": "MIT",
        "tags": ["手写数字"],
        "pipeline_tag": "image-classification",
        "language": ["zh", "en"],
    }
    terms = repo_terms("digits", card, "Digits and 手写数字 of a text. " * 3)
    assert (terms["digits"], terms["手写"], terms["text"]) == (8, 4, 1)
    for fact in (
        "=licence:mit",
        "=tag:license:mit",
        "=task:image-classification",
        "=language:zh",
        "=tag:language:en",
        "=tag:zh",
    ):
        assert terms[fact] == 0, fact
    assert len(repo_terms("x", {}, " ".join(f"word{n}" for n in range(9000)))) == 3000
