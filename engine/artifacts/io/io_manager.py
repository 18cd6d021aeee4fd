"""What an IO manager does: it keeps what steps return, and gives it to the steps that want it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .contexts import InputContext, OutputContext


class IOManager(ABC):
    """Keeps values between steps. A resource: `io_manager`, unless an output or an asset names another key.

    Derive from it, write the two methods, and give an object of it as a resource. Steps that run side by side use one
    object from several threads; in another process there is another object, made anew. What should be seen there has
    to be kept outside the process.

        class Shelf(IOManager):
            def handle_output(self, context, value):
                with shelve.open("values") as shelf:
                    shelf["/".join(context.identifier)] = value

            def load_input(self, context):
                (wanted,) = context.value_ids  # `load_each` does it for several partitions, too
                with shelve.open("values") as shelf:
                    return shelf["/".join(wanted.path)]
    """

    @abstractmethod
    def handle_output(self, context: OutputContext, value: Any) -> None:
        """Keep `value` under `context.value_id`, in place of what is kept there. Kept for good on return.

        Called once for each value that a step gives, after the step has given it; again if the step is tried again.
        Whoever reads meanwhile should see the former value or this one, never a part of it. What it raises fails the
        step. `context.add_output_metadata({...})` records where it lies and what it is.
        """

    @abstractmethod
    def load_input(self, context: InputContext) -> Any:
        """The value that `context.value_ids` names. Called before the step that wants it, which fails if this raises.

        With `context.partition_keys` of one partition: its value. Of several, or none: a dict from partition key to
        value, in the order in which they are asked for. What is not there must be an error, not None.
        """
