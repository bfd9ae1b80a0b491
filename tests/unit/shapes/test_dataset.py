"""Prompts from files: each format, each mistake, the workers' parts and their orders."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.shapes import dataset as dataset_module
from agentlocust.shapes import trace_formats
from agentlocust.shapes.dataset import Dataset, Prompts, Row, load_dataset, repeat_warning

JSONL = """{"prompt": "Where is order 42?", "output_tokens": 60}
{"question": "Why?", "max_tokens": 7.0}

{"input": "What\\nnow?"}
{"text": "Say héllo \\ud800"}
{"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}
{"messages": [{"role": "user", "content": "Only this"}], "max_tokens": 5}
"""
CSV = '''Id,Prompt,max_tokens
1,"Two
lines, and ""quotes""",20
2,Plain,
'''
SHAREGPT = """[
  {"id": "a", "conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "12345678"}]},
  {"id": "b", "conversations": [{"from": "gpt", "value": "I begin"}, {"from": "human", "value": "No"},
    {"from": "human", "value": "Yes"}]},
  {"id": "c", "conversations": []},
  {"id": "d", "conversations": [{"from": "human", "value": " "}, {"from": "gpt", "value": "What?"}]}
]
"""


def load(folder: Path, content: str | bytes, settings: str = "") -> Dataset:
    """The dataset of a file that holds this."""
    path = folder / "prompts"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_dataset(f"{path}{settings}")


def texts(prompts: Prompts, number: int, seed: int = 0) -> list[str]:
    """The next so many."""
    rng = random.Random(seed)
    return [prompts.next(rng).text for _ in range(number)]


def numbered(count: int, order: str = "in-order") -> Dataset:
    """As many prompts, each its own number."""
    return Dataset("x", [Row(str(number)) for number in range(count)], order)


def test_json_lines_know_their_prompts_by_several_names(tmp_path: Path) -> None:
    """A prompt under each name, with its output where told; a conversation's text is its last turn."""
    whole = '[{"role":"system","content":"Be kind."},{"role":"user","content":"Hi"}]'
    assert load(tmp_path, JSONL).rows == [
        Row("Where is order 42?", 60), Row("Why?", 7), Row("What\nnow?"), Row("Say héllo ?"), Row("Hi", 0, whole),
        Row("Only this", 5),
    ]  # fmt: skip


def test_csv_has_a_column_of_prompts(tmp_path: Path) -> None:
    """Quoted cells keep their lines; a blank output is unknown; a BOM and CRLF do no harm."""
    wanted = [Row('Two\nlines, and "quotes"', 20), Row("Plain")]
    assert load(tmp_path, CSV).rows == wanted
    assert load(tmp_path, "\ufeff" + CSV).rows == wanted
    long = "word " * 60_000  # more than the csv module reads by itself
    assert load(tmp_path, f"text\n{long}\n").rows == [Row(long)]


def test_sharegpt_gives_the_first_human_turn_and_the_length_of_its_reply(tmp_path: Path) -> None:
    """A conversation in which no human speaks is left out, and the person is told."""
    found = load(tmp_path, SHAREGPT)
    assert found.rows == [Row("Hello?", 2), Row("No")]
    assert "2 conversations without a human turn" in found.notes[0]
    path = tmp_path / "prompts"
    assert load_dataset(str(path), len).rows[0] == Row("Hello?", 8)
    assert load(tmp_path, '[{"prompt": "a"}, {"prompt": "b"}]').rows == [Row("a"), Row("b")]


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        ("", ":1", "no column of prompts"),
        ("a,b\n1,2\n", ":1", "no column of prompts"),
        ("prompt,id\n", "", "holds no prompts"),
        ("prompt,id\nx\n", ":2", "1 columns where the header has 2"),
        ("prompt,max_tokens\nx,1\ny,lots\n", ":3:max_tokens", "'lots' is not one"),
        ("prompt,id\n,2\n", ":2:prompt", "an empty prompt"),
        ('prompt\n"x\n', ":2", "not valid CSV"),
        (b"prompt\nok\n\xff\n", ":3", "not UTF-8"),
        ('{"prompt": "a"}\n{"prompt": 5}\n', ":2:prompt", "int is not text"),
        ('{"prompt": "a"}\n{"promt": "b"}\n', ":2:prompt", "no prompt"),
        ('{"prompt": "a"}\n"b"\n', ":2", "not a JSON object"),
        ('{"prompt": "a"\n', ":1", "not JSON"),
        ('{"prompt": "a", "output_tokens": 0}\n', ":1:output_tokens", "from 1 to 1000000"),
        ('{"input": ["a"]}\n', ":1:input", "list is not text"),
        ('{"messages": []}\n', ":1:messages", "not a list of messages"),
        ('{"messages": ["a"]}\n', ":1:messages", "without a role"),
        ('{"messages": [{"role": ["user"], "content": "x"}]}\n', ":1:messages", "not a role"),
        ('{"messages": [{"role": "tool", "content": "x"}]}\n', ":1:messages", "'tool' is not a role"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}\n', ":1:messages", "not the user's"),
        ('{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}\n', ":1:messages", "not text"),
        ("[]", "", "holds no prompts"),
        ("[", ":1", "not JSON"),
        ('[\n{"prompt": "a"},\n{"prompt": 5}\n]', ":3:prompt", "int is not text"),
        ('[\n{"prompt": "a"},\n7\n]', ":3", "not a JSON object"),
        ('[\n{"prompt": "a"}\n{"prompt": "b"}]', ":3", "expecting ','"),
        ('[{"prompt": "a"}] and more', ":1", "not JSON"),
        ('\n[{"prompt": "a",\n}]', ":3", "not JSON"),
        ("[" * 100_000, ":1", "too deep"),
        ('[{"conversations": 5}]', ":1:conversations", "not a list of turns"),
        ('[{"conversations": [{"from": "human", "value": 5}]}]', ":1:conversations", "int is not text"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, content: str | bytes, where: str, what: str) -> None:
    """Whatever is wrong is told with file, line and key."""
    with pytest.raises(ConfigError) as error:
        load(tmp_path, content)
    assert error.value.where == f"{tmp_path / 'prompts'}{where}"
    assert what in error.value.what


def test_bad_settings_are_refused(tmp_path: Path) -> None:
    """An unknown order or setting, and a file that is not there."""
    with pytest.raises(ConfigError, match="--dataset:order: 'random' is not a choice"):
        load(tmp_path, JSONL, ":order=random")
    with pytest.raises(ConfigError, match="did you mean order"):
        load(tmp_path, JSONL, ":ordr=shuffle")
    with pytest.raises(ConfigError, match="--dataset: no such file"):
        load_dataset("/no/such/file")


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many prompts, a prompt or a cell too large, too large a file."""
    with monkeypatch.context() as patch:
        patch.setattr(dataset_module, "MAX_ROWS", 2)
        with pytest.raises(ConfigError, match="more than 2 prompts"):
            load(tmp_path, JSONL)
    with monkeypatch.context() as patch:
        patch.setattr(trace_formats, "MAX_TEXT", 8)
        for content in (JSONL, "prompt\n" + "x" * 9, '{"messages": [{"role": "user", "content": "short"}]}'):
            with pytest.raises(ConfigError):
                load(tmp_path, content)
    with monkeypatch.context() as patch:
        patch.setattr(trace_formats, "MAX_BYTES", 100)
        with pytest.raises(ConfigError, match="larger than"):
            load(tmp_path, SHAREGPT)


@given(st.integers(1, 60), st.integers(1, 8), st.sampled_from(["in-order", "shuffle"]), st.integers(0, 9))
def test_the_workers_parts_are_the_whole(total: int, count: int, order: str, seed: int) -> None:
    """In one pass of all workers each prompt comes once, through msgpack; in order, they interleave to the file."""
    total = max(total, count)
    whole = numbered(total, order)
    parts = []
    for index in range(count):
        payload = msgpack.loads(msgpack.dumps(whole.part(index, count)), raw=False)
        parts.append(texts(Prompts.decode(payload, seed), len(range(index, total, count))))
    every = [text for part in parts for text in part]
    assert sorted(every, key=int) == [row.text for row in whole.rows]
    if order == "in-order":
        assert [parts[row % count][row // count] for row in range(total)] == [row.text for row in whole.rows]


def test_more_workers_than_prompts_share_them() -> None:
    """No worker is without a prompt."""
    assert [texts(Prompts.decode(numbered(2).part(index, 5)), 1)[0] for index in range(5)] == list("01010")


def test_in_order_wraps_around_and_says_so() -> None:
    """After the last comes the first again, which is counted as a repeat."""
    prompts = Prompts.decode(numbered(3).part(0, 1))
    assert texts(prompts, 3) == ["0", "1", "2"]
    assert prompts.repeats == 0
    assert texts(prompts, 2) == ["0", "1"]
    assert (prompts.given, prompts.repeats) == (5, 2)
    assert repeat_warning(5, 2).startswith("40.0% of the 5 prompts sent")
    assert repeat_warning(3, 0) == ""


def test_a_shuffle_is_seeded_and_anew_each_pass() -> None:
    """The same seed gives the same order, whichever user's generator asks; the next pass has another."""
    payload = numbered(30, "shuffle").part(0, 1)
    first = texts(Prompts.decode(payload, seed=7), 60, seed=1)
    assert first == texts(Prompts.decode(payload, seed=7), 60, seed=2)
    assert first != texts(Prompts.decode(payload, seed=8), 60)
    assert sorted(first[:30]) == sorted(first[30:])
    assert first[:30] != first[30:]


def test_a_sample_is_drawn_with_replacement_by_the_users_generator() -> None:
    """Its draws follow the generator, miss none of the prompts for long, and count their repeats."""
    payload = numbered(5, "sample").part(0, 1)
    prompts = Prompts.decode(payload)
    drawn = texts(prompts, 200, seed=1)
    assert drawn == texts(Prompts.decode(payload), 200, seed=1)
    assert set(drawn) == set("01234")
    assert prompts.repeats == 195


def test_prompts_that_make_caches_lie_bring_a_warning() -> None:
    """Many duplicates, or few distinct prompts; a conversation is what all its turns are."""
    assert numbered(40).warning() == ""
    assert "only 3 distinct prompts" in numbered(3).warning()
    assert "only 1 distinct prompt:" in numbered(1).warning()
    assert "50.0% of the 100 prompts are duplicates" in Dataset("x", [*numbered(50).rows] * 2, "in-order").warning()
    turns = [Row("Go on", 0, str(number)) for number in range(40)]
    assert Dataset("x", turns, "in-order").warning() == ""


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=80).map(lambda rest: b"prompt,max_tokens\n" + rest),
        st.lists(
            st.dictionaries(
                st.sampled_from(
                    "prompt input text messages conversations output_tokens from value role content".split()
                ),
                st.recursive(
                    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
                    lambda inner: st.one_of(
                        st.lists(inner, max_size=3),
                        st.dictionaries(st.sampled_from("role content from value text".split()), inner),
                    ),
                    max_leaves=5,
                ),
            ),
            max_size=4,
        ).flatmap(
            lambda rows: st.sampled_from(
                [json.dumps(rows).encode(), "\n".join(json.dumps(row) for row in rows).encode()]
            )
        ),
    )
)
def test_no_bytes_bring_anything_but_a_config_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Any file is either prompts that can be sent or refused with a message."""
    path = tmp_path_factory.getbasetemp() / "hostile-dataset"
    path.write_bytes(content)
    try:
        found = load_dataset(str(path))
    except ConfigError:
        return
    assert msgpack.dumps(found.part(0, 1))
    assert all(row.text.strip() for row in found.rows)
