"""Typed configuration: annotations are the schema; what is wrong is told with path, value and what is allowed."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest
from msgspec import Meta

from foldlog.engine.config.checking import Context, check_section
from foldlog.engine.config.place import Place
from foldlog.engine.definitions.typed_config import Config, Secret, config_document, make_config, schema_of
from foldlog.engine.errors import UsageError

HIDDEN = "s3cr3t-never-shown"
ENVIRONMENT = {"LIMIT": "7", "FAST": "true", "RATIO": "0.5", "WORD": "hello", "PASSWORD": HIDDEN, "prod": "wrong"}


class Table(Config):
    name: str
    columns: list[str] = []


class Load(Config):
    table: Table
    limit: Annotated[int, Meta(ge=1, le=100)] = 10
    ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.25
    mode: Literal["fast", "safe"] = "safe"
    dry: bool = False
    note: str = ""
    code: Annotated[str, Meta(min_length=2, max_length=4, pattern="^[a-z]+$")] = "abc"
    where: Path = Path("data")
    tags: dict[str, str] = {}
    parts: tuple[int, ...] = (1, 2)
    more: list[Table] = []
    until: int | None = None
    size: int | str | None = 5
    key: Annotated[str, Secret] | None = None
    keys: list[Annotated[str, Secret]] = []
    extra: Any = None
    KIND: ClassVar[str] = "load"


def made(cls: type[Config], value: Any, **context: Any) -> Any:
    return make_config(cls, value, Place(("ops", "load", "config")), Context(lookup=ENVIRONMENT.get, **context))


def fault_of(cls: type[Config], value: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        made(cls, value)
    assert HIDDEN not in f"{caught.value} {caught.value.remedy} {caught.value.__cause__}"
    return caught.value


def test_defaults_are_as_the_class_has_them():
    config = made(Load, {"table": {"name": "orders"}})
    assert config == Load(table=Table(name="orders"))
    assert (config.where, config.parts, config.more, config.size) == (Path("data"), (1, 2), [], 5)


def test_values_become_what_their_annotation_says():
    config = made(
        Load,
        {
            "table": {"name": "orders", "columns": ["id"]},
            "ratio": 0.5,
            "where": "elsewhere",
            "tags": {"env": "prod"},
            "parts": [3, 4],
            "more": [{"name": "a"}, Table(name="b")],
            "until": None,
            "size": "many",
            "extra": {"any": [1, None]},
        },
    )
    assert config.table == Table(name="orders", columns=["id"])
    assert config.where == Path("elsewhere")
    assert config.tags == {"env": "prod"}  # a mapping is wanted: no variable of that name is looked up
    assert config.parts == (3, 4)
    assert config.more == [Table(name="a"), Table(name="b")]
    assert (config.until, config.size, config.extra) == (None, "many", {"any": [1, None]})


def test_a_whole_number_becomes_a_float_where_one_is_annotated():
    class Ratio(Config):
        x: float
        y: float = 2

    config = made(Ratio, {"x": 1})
    assert [type(one) for one in (config.x, config.y)] == [float, float]


def test_variables_of_the_environment():
    value = {
        "table": {"name": {"env": "WORD"}},
        "limit": {"env": "LIMIT"},
        "ratio": {"env": "RATIO"},
        "dry": {"env": "FAST"},
        "size": {"env": "WORD"},
        "more": [{"name": {"env": "WORD"}}],
        "extra": {"deep": [{"env": "WORD"}]},
    }
    config = made(Load, value)
    assert (config.limit, config.ratio, config.dry, config.size) == (7, 0.5, True, "hello")
    assert config.table.name == config.more[0].name == config.extra["deep"][0] == "hello"
    assert type(config.table.name) is str  # nothing of how it was looked up is left
    assert made(Load, {"table": {"name": "t"}, "size": {"env": "LIMIT"}}).size == 7  # read as the narrowest


def test_a_key_named_env_is_a_key():
    class Deployment(Config):
        env: str

    assert made(Deployment, {"env": "prod"}).env == "prod"
    assert made(Deployment, {"env": {"env": "WORD"}}).env == "hello"


def test_paths_are_meant_from_the_root(tmp_path):
    config = made(Load, {"table": {"name": "t"}, "where": "x"}, root=tmp_path)
    assert config.where == tmp_path / "x"
    assert made(Load, {"table": {"name": "t"}, "where": Path("x")}, root=tmp_path).where == Path("x")


def test_an_object_is_taken_as_it_is():
    class Bigger(Table):
        more: int = 1

    inner = Bigger(name="a")
    assert made(Table, inner) is inner
    assert made(Load, {"table": inner}).table is inner


def test_null():
    class Nulls(Config):
        maybe: int | None
        preset: int | None = 3
        plain: int = 4
        anything: Any = 5

    assert made(Nulls, {}) == Nulls(maybe=None)
    assert made(Nulls, {"preset": None, "plain": None, "anything": None}) == Nulls(
        maybe=None, preset=None, plain=4, anything=None
    )
    assert made(Nulls, None) == Nulls(maybe=None)


def test_a_subclass_is_frozen_and_keyword_only():
    class Inherited(Table):
        last: int

    config = Inherited(name="a", last=1)
    with pytest.raises(AttributeError):
        config.last = 2
    with pytest.raises(TypeError):
        Inherited("a", [], 1)
    with pytest.raises(UsageError, match="frozen and keyword-only"):

        class Loose(Config, frozen=False):
            x: int


def test_keys_may_have_other_names():
    class Renamed(Config, rename="kebab"):
        max_rows: int
        other: int = msgspec.field(name="@other", default=1)

    assert made(Renamed, {"max-rows": 3, "@other": 4}) == Renamed(max_rows=3, other=4)
    assert list(config_document(Renamed)) == ["max-rows", "@other"]


TABLE = {"table": {"name": "orders"}}

#: what is given -> the path behind `ops.load.config`, words of the message, words of the remedy
WRONG: dict[str, tuple[Any, str, str, str]] = {
    "no mapping": (7, "", "7 was given; wanted a mapping with the keys table, limit", ""),
    "a list": ([TABLE], "", "a list of 1 was given; wanted a mapping", ""),
    "a text": ("table", "", "'table' was given; wanted a mapping", ""),
    "another object": (Table(name="x"), "", "was given; wanted a mapping", ""),
    "wrong type": (TABLE | {"limit": "10"}, ".limit", "'10' was given; wanted a whole number from 1 to 100", "limit ("),
    "true for a number": (TABLE | {"limit": True}, ".limit", "true was given; wanted a whole number", ""),
    "a fraction": (TABLE | {"limit": 1.5}, ".limit", "1.5 was given; wanted a whole number", ""),
    "a number for a text": (TABLE | {"note": 1}, ".note", "1 was given; wanted text", ""),
    "a text for true": (TABLE | {"dry": "yes"}, ".dry", "'yes' was given; wanted true or false", ""),
    "out of range": (TABLE | {"limit": 101}, ".limit", "101 is out of range; wanted a whole number from 1 to 100", ""),
    "on an open bound": (TABLE | {"ratio": 1}, ".ratio", "1 is out of range; wanted a number above 0 below 1", ""),
    "beyond all floats": (TABLE | {"ratio": 10**400}, ".ratio", "was given; wanted a number", ""),
    "not a number": (TABLE | {"ratio": float("nan")}, ".ratio", "nan was given; wanted a number", ""),
    "none of the words": (
        TABLE | {"mode": "fats"},
        ".mode",
        "'fats' is not one of fast, safe; did you mean 'fast'?",
        "",
    ),
    "too short": (TABLE | {"code": "a"}, ".code", "has a length of 1; wanted text of 2 to 4 characters that fits", ""),
    "too long": (TABLE | {"code": "abcde"}, ".code", "has a length of 5; wanted text of 2 to 4 characters", ""),
    "no fit": (
        TABLE | {"code": "ab1"},
        ".code",
        "'ab1' does not fit; wanted text of 2 to 4 characters that fits ^[",
        "",
    ),
    "an empty path": (TABLE | {"where": ""}, ".where", "is empty; wanted a path", ""),
    "unknown key": (
        TABLE | {"limti": 1},
        ".limti",
        "no key 'limti' here; did you mean 'limit'?",
        "Allowed here: table, ",
    ),
    "missing key": (
        {},
        "",
        "the key 'table' is missing, which takes a mapping with the keys name, columns",
        "Load takes",
    ),
    "nothing at all": (None, "", "the key 'table' is missing", ""),
    "null for what is required": ({"table": None}, "", "the key 'table' is missing", ""),
    "null in a list": (TABLE | {"parts": [1, None]}, ".parts[1]", "nothing was given; wanted a whole number", ""),
    "nested": ({"table": {"name": 1}}, ".table.name", "1 was given; wanted text", ""),
    "nested, missing": ({"table": {}}, ".table", "the key 'name' is missing, which takes text", ""),
    "nested, unknown": ({"table": {"nam": "x"}}, ".table.nam", "did you mean 'name'?", "Allowed here: name, columns."),
    "an item": (TABLE | {"parts": [1, "2"]}, ".parts[1]", "'2' was given; wanted a whole number", ""),
    "in an item": (TABLE | {"more": [{"name": "a"}, {"name": []}]}, ".more[1].name", "a list of 0 was given", ""),
    "no list": (TABLE | {"parts": 1}, ".parts", "1 was given; wanted a list, each item a whole number", ""),
    "a value of a mapping": (TABLE | {"tags": {"a": 1}}, ".tags.a", "1 was given; wanted text", ""),
    "a key of a mapping": (TABLE | {"tags": {1: "a"}}, ".tags.1", "the key 1 is not text", "quotes"),
    "none of several": (TABLE | {"size": []}, ".size", "wanted a whole number, or text or null", ""),
    "env not set": (TABLE | {"limit": {"env": "NO"}}, ".limit", "the environment variable NO is not set", "Set NO"),
    "env no number": (
        TABLE | {"limit": {"env": "PASSWORD"}},
        ".limit",
        "the value of $PASSWORD was given; wanted a",
        "",
    ),
    "a secret of a wrong type": (TABLE | {"key": 12345}, ".key", "*** was given; wanted text", ""),
    "a secret of a wrong type in a list": (TABLE | {"keys": [12345]}, ".keys[0]", "*** was given; wanted text", ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_its_place(name):
    value, path, words, remedy = WRONG[name]
    error = fault_of(Load, value)
    assert str(error).startswith(f"ops.load.config{path}: "), error
    assert words in str(error)
    assert remedy in error.remedy
    assert "docs/config.md" not in error.remedy or name == "env not set"


class Login(Config):
    user: str
    password: str | None = None
    key: Annotated[str, Secret] = "none"
    host: str = "localhost"

    def __post_init__(self):
        if self.user != "me":
            raise ValueError(f"cannot use {self.user} {self.password} {self.key} at {self.host}")


class Job(Config):
    logins: list[Login]


@pytest.mark.parametrize(
    "given",
    [{"key": HIDDEN}, {"password": HIDDEN}, {"host": {"env": "PASSWORD"}}, {"key": {"env": "PASSWORD"}}],
    ids=str,
)
def test_what_a_class_refuses_is_told_at_its_place_without_secrets(given):
    error = fault_of(Job, {"logins": [{"user": "you", **given}]})
    assert str(error).startswith("ops.load.config.logins[0]: cannot use you")
    assert "***" in str(error)


def test_the_cause_is_kept_when_nothing_is_secret():
    class Even(Config):
        x: int

        def __post_init__(self):
            if self.x % 2:
                raise ValueError(f"{self.x} is odd")

    error = fault_of(Even, {"x": 1})
    assert str(error) == "ops.load.config: 1 is odd"
    assert isinstance(error.__cause__, ValueError)


def test_a_secret_is_not_in_the_text_of_an_object():
    shown = repr(Login(user="me", password=HIDDEN, key=HIDDEN))
    assert shown == "Login(user='me', password='***', key='***', host='localhost')"
    assert HIDDEN not in repr(Job(logins=[Login(user="me", key=HIDDEN)]))
    assert HIDDEN not in repr(Load(table=Table(name="a"), keys=[HIDDEN]))
    assert HIDDEN not in str(Login(user="me", key=HIDDEN).__rich_repr__())


def test_the_document_says_types_and_defaults_and_no_secret():
    class Told(Config):
        login: Login = Login(user="me", key=HIDDEN)
        key: Annotated[str, Secret] = HIDDEN
        rows: Annotated[int, Meta(ge=1)] | None = None
        items: list[Table] = []
        made: list[int] = msgspec.field(default_factory=lambda: [1])
        where: Path
        parts: tuple[int, ...] = (1,)

    document = config_document(Told)
    assert HIDDEN not in json.dumps(document)
    assert document["where"] == {"type": "a path", "required": True}
    assert document["rows"] == {"type": "a whole number, 1 or more or null", "required": False, "default": None}
    assert document["key"] == {"type": "text", "required": False, "default": "***"}
    assert document["made"] == {"type": "a list, each item a whole number", "required": False}
    assert document["parts"]["default"] == [1]
    assert document["items"]["fields"]["name"] == {"type": "text", "required": True}
    assert document["login"]["default"] == {"user": "me", "password": "***", "key": "***", "host": "localhost"}


class Colour(Enum):
    RED = "red"


class Itself(Config):
    inner: list[Itself]


class Other:
    pass


POSSIBLE = "Use int, float, str, bool"

#: annotation -> why it is refused
IMPOSSIBLE: dict[Any, str] = {
    Colour: "there is no Colour in a configuration",
    Other: "there is no Other in a configuration",
    bytes: "there is no bytes in a configuration",
    set[int]: "there is no set[int] in a configuration",
    None: "in a configuration",
    Literal[1, 2]: "a Literal is of texts",
    tuple[int, str]: "a tuple is of any length, as tuple[int, ...]",
    dict[int, str]: "the keys of a mapping are text",
    list[Colour]: "there is no Colour",
    int | Any: "Any already takes all",
    str | Path: "str and Path both take texts",
    dict[str, int] | Table: "dict[str, int] and Table both take mappings",
    Annotated[int | str, Meta(ge=1)]: "bounds stand at the one type they are for",
    Annotated[int, Meta(multiple_of=2)]: "multiple_of is no bound of a whole number",
    Annotated[str, Meta(ge=1)]: "ge is no bound of text",
    Annotated[int, Meta(min_length=1)]: "min_length is no bound of a whole number",
    Annotated[int, Secret]: "Secret marks text",
}


@pytest.mark.parametrize("annotation", IMPOSSIBLE, ids=str)
def test_an_annotation_that_cannot_be_expressed_is_refused(annotation):
    class Wrong(Config):
        x: annotation

    with pytest.raises(UsageError) as caught:
        schema_of(Wrong)
    assert str(caught.value).startswith("Wrong.x: the annotation ")
    assert IMPOSSIBLE[annotation] in str(caught.value)
    assert caught.value.remedy.startswith(POSSIBLE)


def test_a_class_that_holds_itself_is_refused():
    with pytest.raises(UsageError, match="Itself holds itself"):
        schema_of(Itself)


def test_an_unknown_name_is_refused():
    class Wrong(Config):
        x: NoSuchThing  # noqa: F821

    with pytest.raises(UsageError, match="Wrong: its annotations name 'NoSuchThing'"):
        schema_of(Wrong)


@pytest.mark.parametrize(("annotation", "default"), [(int, "a"), (Annotated[int, Meta(ge=1)], 0), (int, None)], ids=str)
def test_a_default_that_does_not_fit_is_refused(annotation, default):
    class Wrong(Config):
        x: annotation = default

    with pytest.raises(UsageError, match=r"Wrong\.x: its default does not fit: "):
        schema_of(Wrong)


def test_annotations_of_a_function_and_of_a_class_in_it():
    Word = Literal["a", "b"]

    class Outer(Config):
        class Inner(Config):
            word: Word

        inner: Inner
        word: Word | None = None

    class Derived(Outer):
        third: Outer | None = None

    assert made(Derived, {"inner": {"word": "b"}}).inner == Outer.Inner(word="b")
    assert "'c' is not one of a, b" in str(fault_of(Derived, {"inner": {"word": "c"}}))


def test_annotated_sizes_and_bounds():
    class Sizes(Config):
        some: Annotated[list[int], Meta(min_length=1)]
        whole: Annotated[int, Meta(gt=0, lt=10)] = 1
        maybe: Annotated[int | None, Meta(ge=0)] = None
        marked: Annotated[str, Secret(), Meta(max_length=3)] = ""
        described: Annotated[int, Meta(description="rows")] = 1

    assert made(Sizes, {"some": [1]}) == Sizes(some=[1])
    assert "is empty; wanted a list of 1 or more items, each item a whole number" in str(fault_of(Sizes, {"some": []}))
    assert "0 is out of range; wanted a whole number from 1 to 9" in str(fault_of(Sizes, {"some": [1], "whole": 0}))
    assert "wanted a whole number, 0 or more or null" in str(fault_of(Sizes, {"some": [1], "maybe": -1}))
    assert "has a length of 18; wanted" in str(fault_of(Sizes, {"some": [1], "marked": HIDDEN}))


def test_the_schema_alone_checks_and_makes():
    found = check_section(schema_of(Load), {"table": {"name": "x"}}, Place(), Context())
    assert Load(**found) == Load(table=Table(name="x"))


def test_a_default_that_a_function_makes_is_made_anew():
    class Fresh(Config):
        made: list[int] | None = msgspec.field(default_factory=lambda: [1])

    one, other = made(Fresh, {}), made(Fresh, {})
    assert one == other == Fresh(made=[1])
    assert one.made is not other.made
    assert made(Fresh, {"made": None}).made is None
