"""Texts that were joined into one read as before."""

import sys
from types import ModuleType

from hypothesis import given
from hypothesis import strategies as st

from tests.builder.passes.texts import mangle, pool
from tools.builder.toolkit import CORE

RARE = "milliamp/blocks/diagnostics.py"


def execute(sources):
    """The namespaces of modules that were run, the core as `milliamp`."""
    module = ModuleType("milliamp")
    before = sys.modules.get("milliamp")
    sys.modules["milliamp"] = module
    try:
        spaces = {}
        for path, text in sources.items():
            spaces[path] = vars(module) if path == CORE else {}
            exec(text, spaces[path])
        return spaces
    finally:
        sys.modules.pop("milliamp")
        if before is not None:
            sys.modules["milliamp"] = before


def failure(function, *arguments):
    try:
        return function(*arguments)
    except ValueError as error:
        return repr(error)


def same(sources, function="fail", *arguments):
    """The joined sources, where a function of each module gives what it gave."""
    joined = pool(sources)
    old, new = execute(sources), execute(joined)
    for path in sources:
        if function in old[path]:
            expected = failure(old[path][function], *arguments)
            assert failure(new[path][function], *arguments) == expected
    return joined


FAIL = "def fail(a):\n    raise ValueError({!r})\n"


def test_what_an_error_says_is_joined():
    joined = same({CORE: FAIL.format("no such thing here")}, "fail", 1)
    assert joined[CORE].count("no such thing here") == 1
    assert joined[CORE].startswith("_TEXTS = 'no such thing here\\x00'\n")


def test_a_text_that_another_ends_with():
    sources = {CORE: FAIL.format("no such thing"), RARE: FAIL.format("such thing")}
    joined = same(sources, "fail", 1)
    assert "such thing" not in joined[RARE]
    assert joined[RARE].startswith("import milliamp\n")


def test_short_texts_of_rare_modules():
    source = "def fail(a):\n    return a in ('on', 'off-line', 'a name that is long')\n"
    joined = same({CORE: "", RARE: source}, "fail", "off-line")
    assert "'off-line'" not in joined[RARE]
    assert "'a name that is long'" in joined[RARE]
    assert same({CORE: source}, "fail", "off-line")[CORE].count("'on'") == 1


def test_what_the_log_is_told():
    source = "def fail(a):\n    said = []\n    class Log:\n        error = said.append\n    log = Log()\n"
    source += "    log.error('it is broken: ' + a)\n    said.append('it-is-broken,-too')\n    return said\n"
    joined = same({CORE: source}, "fail", "x")
    assert "log.error(text_at(0) + a)" in joined[CORE]
    assert "'it-is-broken,-too'" in joined[CORE]


def test_what_is_for_people_is_joined_where_it_would_stay_for_ever():
    source = "def fail(a):\n    return 'no more room' if a else 'no room'\n"
    joined = same({CORE: source, RARE: source}, "fail", 1)
    assert "'no more room'" in joined[RARE] and "'no more room'" not in joined[CORE]


def test_a_text_that_is_needed_often_stays():
    source = "def fail(a):\n    return str(a, 'utf-8'){}\n"
    for more, stays in (("", False), (" + str(a, 'utf-8')" * 2, True)):
        text = same({CORE: source.format(more)}, "fail", b"x")[CORE]
        assert ("str(a, 'utf-8')" in text) is stays


def test_pieces_of_formatted_texts_stay():
    source = "def fail(a):\n    raise ValueError(f'there is no {a:>5} here', 'not at all')\n"
    joined = same({CORE: source}, "fail", 1)
    assert "f'there is no {a:>5} here'" in joined[CORE]


def test_a_text_that_names_an_attribute_is_seen_by_what_renames_it():
    source = (
        "class Thing:\n    def __init__(self):\n        self.volume = 5\n    def fail(self):\n        return self.volume\n"
        "def fail(a):\n    raise ValueError('so loud: ', getattr(Thing(), 'volume'))\n"
    )
    joined = same({CORE: source}, "fail", 1)
    space = execute(mangle(joined)[0])[CORE]
    failures = [
        failure(f, 1)
        for name, f in space.items()
        if callable(f) and name != "Thing" and f.__class__.__name__ == "function"
    ]
    assert "ValueError('so loud: ', 5)" in failures


def test_keys_defaults_and_texts_of_other_languages_stay():
    source = "def fail(a, b='not given'):\n    raise ValueError({'the key': a}['the key'], b, 'größer als')\n"
    joined = same({CORE: source}, "fail", 1)
    for text in ("['the key']", "b='not given'", "größer als"):
        assert text in joined[CORE]


def test_without_a_core_nothing_is_joined():
    sources = {"board.py": FAIL.format("no such thing")}
    assert pool(sources) == sources


texts = st.text("ab <>%s.'\\\n", max_size=14) | st.sampled_from(
    ["Accepted", "no such thing", "such", "ä"]
)


@given(st.dictionaries(st.sampled_from([CORE, RARE, "board.py"]), st.lists(texts, max_size=6)))
def test_any_texts(modules):
    sources = {CORE: ""}
    for path, found in modules.items():
        lines = [
            f"    if a == {n}:\n        raise ValueError({text!r}, a)\n    if a == {text!r}:\n        return {text!r}, a\n"
            for n, text in enumerate(found)
        ]
        sources[path] = "def fail(a):\n" + "".join(lines) + "    return None\n"
    for a in [*range(6), *sum(modules.values(), [])]:
        same(sources, "fail", a)
