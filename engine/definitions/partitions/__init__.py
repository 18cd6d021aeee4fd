"""Partitions: the keys that an asset or a job is cut into, and which keys of one asset another is made from.

Pure: nothing here knows a log or an instance. By example: docs/partitions.md.
"""

from .base import DynamicKeys, PartitionKeyRange, PartitionsDefinition, check_partitions
from .cadences import (
    DailyPartitionsDefinition,
    HourlyPartitionsDefinition,
    MonthlyPartitionsDefinition,
    WeeklyPartitionsDefinition,
)
from .default_mapping import default_mapping
from .listed import DynamicPartitionsDefinition, StaticPartitionsDefinition
from .mapping import (
    AllPartitionMapping,
    IdentityPartitionMapping,
    LastPartitionMapping,
    MappingQuestion,
    PartitionMapping,
    SpecificPartitionsPartitionMapping,
    StaticPartitionMapping,
    TimeWindowPartitionMapping,
)
from .multi import MultiPartitionKey, MultiPartitionsDefinition
from .multi_mapping import MultiToSingleDimensionPartitionMapping
from .windows import TimeWindow, TimeWindowPartitionsDefinition

__all__ = [
    "AllPartitionMapping",
    "DailyPartitionsDefinition",
    "DynamicKeys",
    "DynamicPartitionsDefinition",
    "HourlyPartitionsDefinition",
    "IdentityPartitionMapping",
    "LastPartitionMapping",
    "MappingQuestion",
    "MonthlyPartitionsDefinition",
    "MultiPartitionKey",
    "MultiPartitionsDefinition",
    "MultiToSingleDimensionPartitionMapping",
    "PartitionKeyRange",
    "PartitionMapping",
    "PartitionsDefinition",
    "SpecificPartitionsPartitionMapping",
    "StaticPartitionMapping",
    "StaticPartitionsDefinition",
    "TimeWindow",
    "TimeWindowPartitionMapping",
    "TimeWindowPartitionsDefinition",
    "WeeklyPartitionsDefinition",
    "check_partitions",
    "default_mapping",
]
