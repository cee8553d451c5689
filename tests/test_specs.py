"Options of specs: text stays text where text is wanted, and what is written reads back the same."
import random

import pytest

from upgradeability.core import Spec, folded_name, nearest_name, parse_spec, read_list, read_options, read_value, unknown

SOURCES = ("csv", "hub", "folder")
WORDS = ["no", "yes", "on", "off", "No", "TRUE", "null", "Null", "~", "1", "0", "-1", "007", "010", "1e3", "1e-4", "1_000", "0x10", "12:30", "2024-01-01", ".5", ".inf", ".nan", "nan", "inf", "", " ", " a ",
         "a+b", "C++", "C#", "Q&A", "a=b", "b&c=d", "100%", "%41", "50%25", "what?", "x?y=z", "[a", "[a]", "{a}", "{", "a: b", "- a", "a, b", "'", '"', "'a'", '"a"', "it's", "a'b\"c", "\\", "\\n", "a\nb", "\t", "caf\u00e9",
         "cafe\u0301", "\u00a0x", "\ufeff", "\u200b", "\x00", "\x85", "\ud800", "\U0001f937", "\U000e0001", "\uff11", "#", "a #b", "*", "&a", "!x", "|", ">", "@", "`", "<<", "=", "a:", ":a", ", ", "]", "}"]

def round_trip(options):
    spec = Spec("hub", "/some/folder:entry", options)
    again = parse_spec(str(spec), SOURCES)
    assert again == spec, str(spec)
    assert repr(again.options) == repr(options), str(spec)  # True is not 1

@pytest.mark.parametrize("word", WORDS, ids=ascii)
def test_text_reads_back_as_the_same_text(word):
    round_trip({"label": word})
    round_trip({"grades": [word, "b"], "more": {word: [word]}, "last": word})

@pytest.mark.parametrize("seed", range(5))
def test_random_values_read_back(seed):
    rng = random.Random(seed)
    def text(): return "".join(rng.choice(["a", "B", "1", "0", ".", "-", "+", "e", "'", '"', "[", "]", "{", "}", ",", ":", " ", "#", "&", "=", "?", "%", "\\", "\n", "\u00e9", "no", "null"]) for _ in range(rng.randint(0, 6)))
    def value(depth=0):
        kind = rng.choice(["text"] * 4 + ["int", "float", "bool", "none"] + ["list", "dict"] * (depth < 2))
        if kind == "list": return [value(depth + 1) for _ in range(rng.randint(0, 3))]
        if kind == "dict": return {text(): value(depth + 1) for _ in range(rng.randint(0, 3))}
        return {"text": text(), "int": rng.randint(-10**6, 10**6), "float": rng.choice([rng.random(), 1e-5, 1e300, -2.0, float("inf")]), "bool": rng.random() < .5, "none": None}[kind]
    for _ in range(200): round_trip({f"k{i}": value() for i in range(rng.randint(1, 3))})

def loader(name, *, label:str|None=None, text:str=None, grades:bool|list=False, epochs:int=1, lrs=None, encoding="utf-8", tag:int|str=-1, class_map:dict|None=None): "Takes options of all kinds."

def options_of(query): return read_options(parse_spec(f"csv:a.csv?{query}", SOURCES), loader)

@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "1", "0", "null", "1e3", "007", "true", "NULL", "~", "C++", "a+b", "12:30", "nan", "2024-01-01", "Q&A", "[x"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_what_wants_text_gets_it_quoted_or_not(word, quote):
    assert options_of(f"label={quote}{word}{quote}&epochs=3") == {"label": word, "epochs": 3}
    assert options_of(f"class_map={{{quote}{word.replace('[', '')}{quote}: [1, b]}}")["class_map"] == {word.replace("[", ""): ["1", "b"]}

def test_lists_of_words_and_truth_values():
    assert options_of("grades=[no, partly, yes]") == options_of("grades=['no', \"partly\", 'yes']") == {"grades": ["no", "partly", "yes"]}
    assert options_of("grades=true") == options_of("grades=yes") == {"grades": True}
    assert options_of("grades=[1, 2, 007]") == {"grades": ["1", "2", "007"]}

def test_numbers_stay_numbers_where_text_is_not_asked_for():
    assert options_of("epochs=1e1&lrs=[1e-4, 1e-3]&tag=-1") == {"epochs": 10., "lrs": [1e-4, 1e-3], "tag": -1}
    assert options_of("tag=ner&encoding=1252") == {"tag": "ner", "encoding": "1252"}

@pytest.mark.parametrize("given, wanted", [("a+b", "a+b"), ("a%2Bb", "a+b"), ("C++", "C++"), ("a%20b", "a b"), ("query:%20", "query: "), ("query: ", "query: "), ("Q&A", "Q&A"), ("100%", "100%")])
def test_signs_in_values(given, wanted): assert options_of(f"label={given}")["label"] == wanted

def test_options_begin_at_the_first_question_mark_that_a_key_follows():
    assert parse_spec("csv:what?.csv?text=why?&label=b?c", SOURCES).options == {"text": "why?", "label": "b?c"}
    with pytest.raises(ValueError, match="gives the option 'text' twice"): parse_spec("csv:a.csv?text=a&text=b", SOURCES)

def test_lists_keep_words_and_blanks_of_specs():
    assert read_list("[2024-01-01, 12:30, 010, 1e3]") == ["2024-01-01", "12:30", 10, 1000.]
    assert read_list("st:a?prefix=query: , st:b?prefix=no ") == ["st:a?prefix=query: ", "st:b?prefix=no "]
    assert [read_value(t) for t in ("12:30", "010", "1_000")] == ["12:30", 10, 1000]

@pytest.mark.parametrize("word, known", [("no", ["no", "yes"]), ("a", ["a"]), ("column", ["column", "columns"])])
def test_no_message_suggests_the_word_that_was_given(word, known):
    assert f"Did you mean {word!r}" not in str(unknown("label", word, known)) and nearest_name(word, known) != word

@pytest.mark.parametrize("given, meant", [("caf\u00e9", "cafe\u0301"), ("label", "label "), ("a b", "a\u00a0b"), ("id", "\ufeffid")])
def test_names_that_look_alike_are_shown_with_their_difference(given, meant):
    message = str(unknown("column", given, [meant, "other"]))
    assert ascii(meant) in message and ascii(given) in message and "differ in blanks, case or Unicode form" in message

def test_fold():
    assert folded_name("Stra\u00dfe") == folded_name("STRASSE") and folded_name("\uff21 b") == folded_name("ab") and folded_name("a-b") != folded_name("ab") and folded_name(1) == "1"
