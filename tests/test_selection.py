"""Selections: each form of the syntax, errors that point at the place, and any expression against a naive reading."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from foldlog.engine.definitions.selection import Selectable, select
from foldlog.engine.definitions.selection_syntax import DEPTH, parse
from foldlog.engine.errors import UsageError

#: raw/orders -> clean -> report/daily -> report/weekly; raw/users -> clean; raw/users -> mail; raw/orders_old alone
UPSTREAM = {
    "clean": ["raw/orders", "raw/users", "not/here"],
    "report/daily": {"clean"},
    "report/weekly": ("report/daily",),
    "mail": ["raw/users"],
}
KEYS = [
    "report/weekly",
    "report/daily",
    "clean",
    "mail",
    "raw/users",
    "raw/orders",
    "raw/orders_old",
    "etl.load",
    "and",
]
TAGS = {"clean": {"team": "growth", "slow": ""}, "mail": {"team": "mail=all", "a b": "c d"}}
GROUPS = {"raw/users": "raw", "raw/orders": "raw", "clean": "core data"}
ITEMS = {
    key: Selectable(key=key, group=GROUPS.get(key), tags=TAGS.get(key, {}), kinds=["sql"] if key == "clean" else [])
    for key in KEYS
}


def selected(*expressions: str) -> set[str]:
    found = select(expressions, ITEMS, UPSTREAM, what="asset")
    assert found == [key for key in ITEMS if key in found]  # in the order of the items
    return set(found)


RAW = "raw/users raw/orders raw/orders_old"
SELECTS = {
    "*": " ".join(KEYS),
    "clean": "clean",
    "etl.load": "etl.load",
    # patterns
    "raw/*": RAW,
    "*/orders": "raw/orders",
    "*.load": "etl.load",
    "r*/d*y": "report/daily",
    "r*s": "raw/users raw/orders",
    "key:raw/o*": "raw/orders raw/orders_old",
    "key:*l": "mail",
    "key:clean": "clean",
    # walks
    "*clean": "clean raw/users raw/orders",
    "clean*": "clean report/daily report/weekly",
    "*clean*": "clean raw/users raw/orders report/daily report/weekly",
    "+report/daily": "report/daily clean",
    "++report/daily": "report/daily clean raw/users raw/orders",
    "2+report/daily": "report/daily clean raw/users raw/orders",
    "0+report/daily": "report/daily",
    "clean+": "clean report/daily",
    "clean++": "clean report/daily report/weekly",
    "clean+2": "clean report/daily report/weekly",
    "+clean+": "clean raw/users raw/orders report/daily",
    "raw/users*": "raw/users clean mail report/daily report/weekly",
    "raw/*+": f"{RAW} clean mail",
    "raw/**": f"{RAW} clean mail report/daily report/weekly",
    "*report/*": "report/daily report/weekly clean raw/users raw/orders",
    "group:raw+": "raw/users raw/orders clean mail",
    "+(mail or clean)": "mail clean raw/users raw/orders",
    "*(report/daily)+": "report/daily clean raw/users raw/orders report/weekly",
    "(mail)*": "mail",
    # attributes
    "group:raw": "raw/users raw/orders",
    'group:"core data"': "clean",
    "group:*a*": "raw/users raw/orders clean",
    "kind:sql": "clean",
    "tag:team": "clean mail",
    "tag:team=growth": "clean",
    "tag:team=mail=all": "mail",
    'tag:"a b"="c d"': "mail",
    "tag:team=g*": "clean",
    "tag:slow=": "clean",
    # combinations
    "clean or mail": "clean mail",
    "clean, mail": "clean mail",
    "raw/* and not group:raw": "raw/orders_old",
    "not not mail": "mail",
    "not raw/* and *clean": "clean",
    "mail or raw/* and group:raw": "mail raw/users raw/orders",
    "(mail or raw/*) and group:raw": "raw/users raw/orders",
    "(mail, clean) AND NOT clean": "mail",
    "sinks(*)": "report/weekly mail raw/orders_old etl.load and",
    "roots(*)": f"{RAW} etl.load and",
    "sinks(*clean or mail)": "clean mail",
    "roots(clean*)": "clean",
    "+sinks(clean*)": "report/weekly report/daily",
    '"and"': "and",
    'mail\n or\t"and"': "mail and",
}


@pytest.mark.parametrize("expression", SELECTS)
def test_what_an_expression_selects(expression):
    assert selected(expression) == set(SELECTS[expression].split())


def test_a_list_is_or():
    assert selected("mail", "clean or raw/users") == {"mail", "clean", "raw/users"}


#: what is wrong -> where the caret stands, words of the message
UNREADABLE = {
    "": (0, "not the end"),
    "   ": (0, "not the end"),
    "a and": (5, "not the end"),
    "a b": (2, "here `and`, `or`, a comma or the end was expected"),
    "a or ) b": (5, "not )"),
    "(a or b": (0, "this parenthesis is not closed"),
    "(a b)": (3, "here `)` was expected"),
    "a)": (1, "a comma or the end was expected"),
    'a or "b': (5, "this quote has no end"),
    "a+b": (1, "`+` stands before or behind a key only"),
    "a or +": (5, "+ stands before or behind a key"),
    "gruop:raw": (0, "there is no attribute 'gruop'; did you mean 'group'?"),
    "a or tag:": (9, "tag: has nothing behind it"),
    "sink(a)": (0, "there is no function 'sink'; did you mean 'sinks'?"),
    "sinks a": (6, "a comma or the end was expected"),
    "a,": (2, "not the end"),
    "a\nor b c": (7, "a comma or the end was expected"),
    "(" * (DEPTH + 1) + "a": (DEPTH, f"more than {DEPTH} parentheses are open"),
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_cannot_be_read_is_pointed_at(text):
    caret, words = UNREADABLE[text]
    with pytest.raises(UsageError) as caught:
        parse(text)
    problem, line, pointer = str(caught.value).split("\n")
    assert words in problem
    assert line == f"    {text}".replace("\n", " ")
    assert pointer == " " * (4 + caret) + "^"
    assert 'in "quotes"' in caught.value.remedy


SELECTS_NOTHING = {
    "raw/ordes": "there is no asset 'raw/ordes'; did you mean 'raw/orders'?",
    "mail or cleam+": "there is no asset 'cleam', which 'mail or cleam+' names; did you mean 'clean'?",
    "rep*": "there is no asset 'rep', which 'rep*' names; `rep*` is rep and all downstream, `key:rep*` all that begin",
    "raw/x*y": "the selection 'raw/x*y' selects no asset; nothing has the key 'raw/x*y'",
    "group:rwa": "the selection 'group:rwa' selects no asset; nothing has the group 'rwa'; did you mean 'raw'?",
    "tag:teem=growth": "nothing has the tag 'teem=growth'; did you mean 'team'?",
    "clean and mail": "the selection 'clean and mail' selects no asset",
    "mail, clean and raw/*": "the selection 'clean and raw/*' selects no asset",
    "not *": "the selection 'not *' selects no asset",
}


@pytest.mark.parametrize("text", SELECTS_NOTHING)
def test_what_selects_nothing_is_an_error(text):
    with pytest.raises(UsageError) as caught:
        select(["clean", text], ITEMS, UPSTREAM, what="asset", listing="`foldlog assets` lists them.")
    assert SELECTS_NOTHING[text] in str(caught.value)
    assert caught.value.remedy.startswith("There are report/weekly, report/daily, clean, ")
    assert caught.value.remedy.endswith("`*` selects all. `foldlog assets` lists them.")


def test_the_remedy_does_not_list_thousands():
    items = {str(number): Selectable(key=str(number)) for number in range(1000)}
    with pytest.raises(UsageError) as caught:
        select("x", items, {}, what="op")
    assert caught.value.remedy == "There are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 988 more; `*` selects all."


def test_nothing_to_select_from():
    with pytest.raises(UsageError, match="selects no asset") as caught:
        select("*", {}, {}, what="asset")
    assert caught.value.remedy == "There is no asset at all."
    with pytest.raises(UsageError, match="an empty list"):
        select([], ITEMS, UPSTREAM, what="asset")


def test_a_long_chain_and_a_long_expression_are_fast():
    keys = [f"n/{number}" for number in range(10_000)]
    items = {key: Selectable(key=key, tags={"even": str(number % 2)}) for number, key in enumerate(keys)}
    upstream = {key: [before] for before, key in pairwise(keys)}
    start = time.perf_counter()
    assert select("*n/9999", items, upstream, what="op") == keys
    assert select("n/0* and not (tag:even=1 or sinks(*))", items, upstream, what="op") == keys[::2]
    assert select(" or ".join(keys), items, upstream, what="op") == keys
    assert select(", ".join(keys), items, upstream, what="op") == keys
    assert select("not " * 10_001 + "n/0", items, upstream, what="op") == keys[1:]
    assert time.perf_counter() - start < 5  # some tenths of a second; a graph walked anew for each key takes minutes


# An oracle: expressions as nested tuples, written out as text, and read by the slowest code that can be right.

NODES = ["a/x", "a/y", "b/x", "b/y", "c", "d.e", "f"]


def text_of(tree) -> str:
    match tree:
        case ("key", key):
            return key
        case ("under", name):
            return f"{name}/*"
        case ("group", name):
            return f"group:{name}"
        case ("up", inner, levels, spelt):
            return f"{'*' if levels is None else '+' * levels if spelt and levels else f'{levels}+'}({text_of(inner)})"
        case ("down", inner, levels, spelt):
            return f"({text_of(inner)}){'*' if levels is None else '+' * levels if spelt and levels else f'+{levels}'}"
        case ("not", inner):
            return f"not ({text_of(inner)})"
        case ("sinks" | "roots" as name, inner):
            return f"{name}({text_of(inner)})"
        case (sign, one, other):
            return f"({text_of(one)}) {sign} ({text_of(other)})"


def naive(tree, edges: set[tuple[str, str]]) -> set[str]:
    """`edges`: (upstream, downstream)."""
    match tree:
        case ("key", key):
            return {key}
        case ("under", name):
            return {key for key in NODES if key.startswith(f"{name}/")}
        case ("group", name):
            return {key for key in NODES if key[0] == name}
        case ("up" | "down" as way, inner, levels, _):
            found = naive(inner, edges)
            for _ in range(len(NODES) if levels is None else levels):
                found = found | {a if way == "up" else b for a, b in edges if (b if way == "up" else a) in found}
            return found
        case ("not", inner):
            return set(NODES) - naive(inner, edges)
        case ("sinks", inner):
            found = naive(inner, edges)
            return {key for key in found if not any((key, other) in edges for other in found)}
        case ("roots", inner):
            found = naive(inner, edges)
            return {key for key in found if not any((other, key) in edges for other in found)}
        case ("and", one, other):
            return naive(one, edges) & naive(other, edges)
        case (_, one, other):
            return naive(one, edges) | naive(other, edges)


leaves = st.one_of(
    st.tuples(st.just("key"), st.sampled_from(NODES)),
    st.tuples(st.just("under"), st.sampled_from("ab")),
    st.tuples(st.just("group"), st.sampled_from("abcdf")),
)
levels = st.one_of(st.none(), st.integers(0, 4))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["up", "down"]), inner, levels, st.booleans()),
        st.tuples(st.sampled_from(["not", "sinks", "roots"]), inner),
        st.tuples(st.sampled_from(["and", "or", ","]), inner, inner),
    ),
    max_leaves=8,
)
dags = st.sets(st.tuples(st.sampled_from(range(7)), st.sampled_from(range(7))).filter(lambda edge: edge[0] < edge[1]))


@given(tree=trees, dag=dags)
def test_agrees_with_a_naive_reading(tree, dag):
    edges = {(NODES[one], NODES[other]) for one, other in dag}
    items = {key: Selectable(key=key, group=key[0]) for key in NODES}
    upstream = {key: [one for one, other in edges if other == key] for key in NODES}
    expected = naive(("or", ("key", "f"), tree), edges)
    assert select(f"f or ({text_of(tree)})", items, upstream, what="op") == [key for key in NODES if key in expected]
    if not naive(tree, edges):
        with pytest.raises(UsageError, match="selects no op"):
            select(f"({text_of(tree)})", items, upstream, what="op")


@given(st.text(alphabet='ab/.*+2()," :=-notrd', max_size=20))
def test_any_text_is_read_or_refused(text):
    try:
        found = select(text, ITEMS, UPSTREAM, what="asset")
    except UsageError:
        return
    assert found
    assert found == [key for key in ITEMS if key in found]
