"""What users of orchestrators expect of an instance, a row each, by its number in the inventory of such features."""

from __future__ import annotations

from foldlog import Instance


def test_row_077_add_dynamic_partitions() -> None:
    with Instance.ephemeral() as instance:
        instance.add_dynamic_partitions("customers", ["acme", "zeta"])
        instance.add_dynamic_partitions("customers", ["zeta", "acme", "new"])  # idempotent: each keeps its place
        assert instance.get_dynamic_partitions("customers") == ["acme", "zeta", "new"]


def test_row_078_delete_dynamic_partition() -> None:
    with Instance.ephemeral() as instance:
        instance.add_dynamic_partitions("customers", ["acme", "zeta"])
        instance.delete_dynamic_partition("customers", "acme")
        instance.delete_dynamic_partition("customers", "acme")  # silent
        instance.delete_dynamic_partition("unknown", "acme")
        assert instance.get_dynamic_partitions("customers") == ["zeta"]


def test_row_079_get_dynamic_partitions() -> None:
    with Instance.ephemeral() as instance:
        instance.add_dynamic_partitions("customers", ["zeta", "acme", "new"])
        page = instance.get_paginated_dynamic_partitions("customers", limit=2)
        assert (page.keys, page.has_more) == (("zeta", "acme"), True)  # in the order in which they were added
        page = instance.get_paginated_dynamic_partitions("customers", limit=1, cursor=page.cursor)
        assert (page.keys, page.has_more) == (("new",), False)


def test_row_080_has_dynamic_partition() -> None:
    with Instance.ephemeral() as instance:
        instance.add_dynamic_partitions("customers", ["acme"])
        assert instance.has_dynamic_partition("customers", "acme")
        assert not instance.has_dynamic_partition("customers", "zeta")
        assert not instance.has_dynamic_partition("unknown", "acme")
