"""Recorded traffic: each format, each mistake, and the shares of the workers."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlocust.errors import ConfigError
from agentlocust.shapes import trace_formats
from agentlocust.shapes.trace import Arrival, Trace, TracePart, load_trace

AZURE_2023 = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 23:59:59.9799600,4808,10
2023-11-17 00:00:00.0319601,3180,8
2023-11-17 00:00:01,110,27
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 01:00:00.509930+01:00,2399,6
2024-05-10 00:00:01.009930Z,76,15
"""
BURSTGPT = """Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
5,1001,3.2,ChatGPT,472,18,490,Conversation log
45.5,,1.0,GPT-4,1087,0,1087,API log
118.0,,2.0,ChatGPT,417,276,693,API log
"""
BURSTGPT_OLD = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
"""
MOONCAKE = """{"timestamp": 27, "input_length": 1100, "output_length": 500, "hash_ids": [0, 1, 2]}
{"timestamp": 3027, "input_length": 600, "output_length": 3, "hash_ids": [0, 9223372036854775807]}
{"timestamp": 3027.5, "input_length": 12, "output_length": 1}
"""
OWN = """{"t": 0.5, "input": 100, "output": 20}
{"t": 1, "prompt": "Where is order 42?", "class": "Support"}

{"t": 1.25, "input": 7, "output": 0, "prompt": "Grüß Gott \\ud83d", "class": "Claude"}
"""


def load(folder: Path, content: str | bytes, settings: str = "") -> Trace:
    """The trace of a file that holds this."""
    path = folder / "trace"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_trace(f"{path}{settings}")


def starts(trace: Trace) -> list[Arrival]:
    """All its arrivals, once."""
    return list(islice(TracePart.decode(trace.part(0, 1)).starts(), len(trace)))


def lines(*times: float) -> str:
    """A trace of ours with arrivals at these seconds, the nth of n tokens."""
    return "".join(json.dumps({"t": time, "input": size, "output": 1}) + "\n" for size, time in enumerate(times, 1))


@pytest.mark.parametrize(
    ("content", "times_ns", "inputs", "outputs"),
    [
        (AZURE_2023, [0, 52_000_100, 1_020_040_000], [4808, 3180, 110], [10, 8, 27]),
        (AZURE_2024, [0, 500_000_000, 1_000_000_000], [2162, 2399, 76], [5, 6, 15]),
        (BURSTGPT, [0, 40_500_000_000, 113_000_000_000], [472, 1087, 417], [18, -1, 276]),
        (BURSTGPT_OLD, [0], [472], [18]),
        (MOONCAKE, [0, 3_000_000_000, 3_000_500_000], [1100, 600, 12], [500, 3, 1]),
        (OWN, [0, 500_000_000, 750_000_000], [100, -1, 7], [20, -1, -1]),
    ],
)
def test_every_format_is_told_by_its_content(
    tmp_path: Path, content: str, times_ns: list[int], inputs: list[int], outputs: list[int]
) -> None:
    """Times count in nanoseconds from the first arrival; a failed request arrives, its output unknown."""
    for text in (content, "\ufeff" + content, content.replace("\n", "\r\n")):
        trace = load(tmp_path, text)
        assert (list(trace.times_ns), list(trace.inputs), list(trace.outputs)) == (times_ns, inputs, outputs)
        assert trace.notes == ()


def test_blocks_prompts_and_classes_come_with_their_rows(tmp_path: Path) -> None:
    """What only some formats know is there for those rows; half a character is no reason to fail."""
    assert [start.blocks for start in starts(load(tmp_path, MOONCAKE))] == [(0, 1, 2), (0, 2**63 - 1), ()]
    trace = load(tmp_path, OWN)
    assert starts(trace) == [
        Arrival(0, 100, 20),
        Arrival(500_000_000, None, None, (), "Where is order 42?", "Support"),
        Arrival(750_000_000, 7, None, (), "Grüß Gott ?", "Claude"),
    ]
    assert trace.classes == ("", "Support", "Claude")


def test_class_takes_the_rows_without_one(tmp_path: Path) -> None:
    """`class=` fills in, it does not replace; each class is a trace of its own with the whole's length."""
    trace = load(tmp_path, OWN, ":class=Claude")
    assert trace.classes == ("Claude", "Support")
    of_claude = trace.of_class("Claude")
    assert [start.input for start in starts(of_claude)] == [100, 7]
    assert of_claude.length_ns == trace.length_ns
    assert len(trace.of_class("Nobody")) == 0
    assert list(TracePart.decode(trace.of_class("Nobody").part(0, 1)).starts()) == []


def test_unsorted_rows_are_sorted_and_counted(tmp_path: Path) -> None:
    """Rows out of order play in order, with their own sizes, and the person is told how many."""
    trace = load(tmp_path, lines(3, 1, 2, 5))
    assert [(start.at_ns, start.input) for start in starts(trace)] == [
        (0, 2), (1_000_000_000, 3), (2_000_000_000, 1), (4_000_000_000, 4),
    ]  # fmt: skip
    assert "2 of 4 rows were out of order" in trace.notes[0]


def test_from_and_cut_are_in_the_recordings_time_and_speed_comes_after(tmp_path: Path) -> None:
    """From 1 s for 2 s keeps what lies there; twice the speed halves its times and its length."""
    trace = load(tmp_path, lines(10, 11, 12, 12.5, 13, 20), ":from=1s,cut=2s,speed=2")
    assert list(trace.inputs) == [2, 3, 4]
    assert list(trace.times_ns) == [0, 500_000_000, 750_000_000]
    assert trace.length_ns == 1_000_000_000
    later = load(tmp_path, lines(10, 12), ":from=1500ms")
    assert list(later.times_ns) == [500_000_000]


def test_a_loop_begins_again_after_the_last_arrival_and_a_mean_gap(tmp_path: Path) -> None:
    """Arrivals at 0, 1 and 4 s come again from 6 s on; a cut within the recording is the length itself."""
    part = TracePart.decode(load(tmp_path, lines(0, 1, 4), ":loop=yes").part(0, 1))
    assert [start.at_ns // 10**9 for start in islice(part.starts(), 7)] == [0, 1, 4, 6, 7, 10, 12]
    assert [start.at_ns // 10**9 for start in islice(part.starts(6_500_000_000), 3)] == [7, 10, 12]
    assert [start.at_ns // 10**9 for start in islice(part.starts(11 * 10**9), 2)] == [12, 13]
    assert load(tmp_path, lines(0, 1, 4), ":loop=yes,cut=3s").length_ns == 3 * 10**9
    assert load(tmp_path, lines(0, 1, 4), ":loop=yes,cut=60s").length_ns == 6 * 10**9


def test_without_a_loop_it_ends(tmp_path: Path) -> None:
    """Arrivals after a moment are those due then or later, once."""
    part = TracePart.decode(load(tmp_path, lines(0, 1, 4), ":loop=no").part(0, 1))
    assert [start.at_ns // 10**9 for start in part.starts(10**9)] == [1, 4]
    assert list(part.starts(4 * 10**9 + 1)) == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**6), st.integers(0, 10**6), st.lists(st.integers(0, 2**63 - 1), max_size=3), st.text()
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 6),
)
def test_the_workers_parts_are_the_whole(rows: list[tuple[int, int, list[int], str]], count: int) -> None:
    """However many workers, each arrival is some worker's, in order, through msgpack."""
    arrivals = trace_formats.Arrivals()
    for time, size, blocks, prompt in sorted(rows):
        arrivals.add(time, size, size // 2, blocks, prompt, f"c{size % 3}" if size % 4 else "")
    trace = Trace("x", arrivals, max(rows)[0] + 1)
    parts = [
        list(TracePart.decode(msgpack.loads(msgpack.dumps(trace.part(index, count)), raw=False)).starts())
        for index in range(count)
    ]
    assert [parts[row % count][row // count] for row in range(len(trace))] == starts(trace)
    assert sum(map(len, parts)) == len(trace)


HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURST_HEAD = "Timestamp,Model,Request tokens,Response tokens\n"


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        ("", "", "an empty file"),
        ("\n \n", "", "an empty file"),
        (",,\n", ":1", "no known format"),
        ("a,b\n1,2\n", ":1", "no known format"),
        (HEAD, "", "no arrivals"),
        (HEAD + "2023-11-16 18:17:03,1,1\nyesterday,1,1\n", ":3:TIMESTAMP", "'yesterday' is not a date"),
        (HEAD + "2023-02-30 18:17:03,1,1\n", ":2:TIMESTAMP", "is not a date"),
        (HEAD + "2023-11-16 18:17:03,-1,1\n", ":2:ContextTokens", "'-1' is not one"),
        (HEAD + "2023-11-16 18:17:03,1,many\n", ":2:GeneratedTokens", "'many' is not one"),
        (HEAD + "2023-11-16 18:17:03,1000001,1\n", ":2:ContextTokens", "from 0 to 1000000"),
        (HEAD + "2023-11-16 18:17:03,1\n", ":2:GeneratedTokens", "2 columns where the header has 3"),
        (HEAD + "2023-11-16 18:17:03,1,1\n2025-11-16 18:17:03,1,1\n", ":3:time", "more than a year"),
        (HEAD + '2023-11-16 18:17:03,"1,1\n', ":2", "not valid CSV"),
        (HEAD.encode() + b"2023-11-16 18:17:03,\xff,1\n", ":2", "not UTF-8"),
        (BURST_HEAD + "soon,GPT-4,1,1\n", ":2:Timestamp", "not a number of seconds"),
        (BURST_HEAD + "1,GPT-4,,1\n", ":2:Request tokens", "'' is not one"),
        ("[1]\n", ":1", "no known format"),
        ('{"a": 1}\n', ":1", "no known format"),
        ('{"t": 1, "input": 1}\n{"t": 2\n', ":2", "not JSON"),
        ('{"t": 1, "input": 1}\n[2]\n', ":2", "not a JSON object"),
        ('{"t": 1, "input": 1}\n{"input": 1}\n', ":2:t", "it is not there"),
        ('{"t": "1", "input": 1}\n', ":1:t", "not a usable number"),
        ('{"t": NaN, "input": 1}\n', ":1:t", "not a usable number"),
        ('{"t": 1e300, "input": 1}\n', ":1:t", "not a usable number"),
        (f'{{"t": 1{"0" * 400}, "input": 1}}\n', ":1:t", "not a usable number"),
        (f'{{"t": 1{"0" * 5000}, "input": 1}}\n', ":1", "too long a number"),
        (f'{{"t": {"[" * 100_000}\n', ":1", "too deep"),
        ('{"t": 1}\n', ":1:input", "it is not there"),
        ('{"t": 1, "input": true}\n', ":1:input", "a whole number"),
        ('{"t": 1, "input": 1, "ouput": 2}\n', ":1:keys", "'ouput' is not a key"),
        ('{"t": 1, "prompt": 5}\n', ":1:prompt", "int is not text"),
        ('{"t": 1, "prompt": " "}\n', ":1:prompt", "an empty prompt"),
        ('{"t": 1, "input": 1, "class": "my class"}\n', ":1:class", "not the name of a class"),
        ('{"timestamp": 1, "input_length": 1}\n', ":1:output_length", "it is not there"),
        ('{"timestamp": 1, "input_length": 1, "output_length": 1, "hash_ids": 7}\n', ":1:hash_ids", "not a list"),
        ('{"timestamp": 1, "input_length": 1, "output_length": 1, "hash_ids": [-1]}\n', ":1:hash_ids", "from 0"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, content: str | bytes, where: str, what: str) -> None:
    """Whatever is wrong is told with file, line and column."""
    with pytest.raises(ConfigError) as error:
        load(tmp_path, content)
    assert error.value.where == f"{tmp_path / 'trace'}{where}"
    assert what in error.value.what


@pytest.mark.parametrize(
    ("settings", "where", "what"),
    [
        (":speed=0", "--trace:speed", "not a speed"),
        (":speed=fast", "--trace:speed", "not a number"),
        (":sped=2", "--trace", "no setting 'sped'"),
        (":speed=2,speed=3", "--trace:speed", "given twice"),
        (":from=10", "--trace:from", "no unit"),
        (":cut=0s", "--trace:cut", "no length"),
        (":loop=true", "--trace:loop", "not a choice"),
        (":class=no way", "--trace:class", "not the name of a class"),
        (":from=9s", "{path}", "no arrivals between 9.00 s and its end"),
        (":from=3s,cut=1s", "{path}", "no arrivals between 3.00 s and 4.00 s"),
        (":loop=yes,from=5s", "--trace:loop", "no gap"),
    ],
)
def test_a_bad_setting_is_refused(tmp_path: Path, settings: str, where: str, what: str) -> None:
    """A setting that makes no sense, or leaves nothing to play, is refused by name."""
    with pytest.raises(ConfigError) as error:
        load(tmp_path, lines(0, 1, 5), settings)
    assert error.value.where == where.format(path=tmp_path / "trace")
    assert what in error.value.what


@pytest.mark.parametrize("text", ["", ":speed=2", "/no/such/file", "a\0b", "x" * 5000, "."])
def test_a_file_that_is_none_is_refused(text: str) -> None:
    """No name, no file, no proper name."""
    with pytest.raises(ConfigError):
        load_trace(text)


def test_colons_in_a_name_belong_to_it(tmp_path: Path) -> None:
    """Settings begin at the first colon that a key follows."""
    path = tmp_path / "10:30"
    path.write_text(lines(0, 1))
    assert len(load_trace(f"{path}:speed=2")) == 2


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a prompt too large, too many rows or classes: refused, not read to the end."""
    with monkeypatch.context() as patch:
        patch.setattr(trace_formats, "MAX_ROWS", 2)
        with pytest.raises(ConfigError, match="more than 2 rows"):
            load(tmp_path, lines(0, 1, 2))
    with monkeypatch.context() as patch:
        patch.setattr(trace_formats, "MAX_BYTES", 40)
        with pytest.raises(ConfigError, match="larger than"):
            load(tmp_path, lines(0, 1, 2))
    with monkeypatch.context() as patch:
        patch.setattr(trace_formats, "MAX_TEXT", 4)
        with pytest.raises(ConfigError, match="larger than"):
            load(tmp_path, '{"t": 0, "prompt": "ééé"}\n')
    many = "".join(json.dumps({"t": 0, "input": 1, "class": f"C{n}"}) + "\n" for n in range(300))
    with pytest.raises(ConfigError, match="more than 200 classes"):
        load(tmp_path, many)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(lambda head, rest: head.encode() + rest, st.sampled_from([HEAD, BURST_HEAD]), st.binary(max_size=80)),
        st.builds(
            lambda rows: "\n".join(json.dumps(row) for row in rows).encode(),
            st.lists(
                st.dictionaries(
                    st.sampled_from(
                        "t input output prompt class timestamp input_length output_length hash_ids".split()
                    ),
                    st.recursive(
                        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
                        lambda inner: st.lists(inner, max_size=3),
                        max_leaves=4,
                    ),
                ),
                min_size=1,
                max_size=4,
            ),
        ),
    )
)
def test_no_bytes_bring_anything_but_a_config_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Any file is either a trace that plays or refused with a message."""
    path = tmp_path_factory.getbasetemp() / "hostile-trace"
    path.write_bytes(content)
    try:
        trace = load_trace(str(path))
    except ConfigError:
        return
    found = [start.at_ns for start in starts(trace)]
    assert found == sorted(found)
    assert found[0] == 0
