"""Events to bytes and back: names, versions, upcasts. Facts users register join the built-in ones.

Not here: what facts mean (engine/events/), where bytes are kept (backends/).
"""

from __future__ import annotations

from .codec import Codec
from .kinds import register, upcast

__all__ = ["Codec", "register", "upcast"]
