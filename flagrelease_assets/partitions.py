"""The two dimensions of every release result: vendor (from the catalog) and model (dynamic).

Belongs here: partition definitions, and reading and writing their keys.
Does not belong here: what makes a valid model key (`contracts/keys.py`), or which models and workers a
deployment has (`deployment.py`).
"""

from __future__ import annotations

import dagster as dg

from flagrelease_assets.catalog import vendor_names

MODEL_DIMENSION = "model"
VENDOR_DIMENSION = "vendor"

model_partitions = dg.DynamicPartitionsDefinition(name=MODEL_DIMENSION)
vendor_partitions = dg.StaticPartitionsDefinition(vendor_names())
release_partitions = dg.MultiPartitionsDefinition(
    {VENDOR_DIMENSION: vendor_partitions, MODEL_DIMENSION: model_partitions}
)


def release_key(vendor: str, model: str) -> dg.MultiPartitionKey:
    """Return the partition key of one release: a canonical vendor name and a model key."""
    return dg.MultiPartitionKey({VENDOR_DIMENSION: vendor, MODEL_DIMENSION: model})


def split_release_key(key: str) -> tuple[str, str]:
    """Return (vendor, model key) of a release partition key, however it was transported.

    Raises ValueError if the key is not one of the two dimensions' form.
    """
    if isinstance(key, dg.MultiPartitionKey):
        dimensions = key.keys_by_dimension
        return dimensions[VENDOR_DIMENSION], dimensions[MODEL_DIMENSION]
    # Dagster sorts dimensions by name: the string form is "<model>|<vendor>".
    model, separator, vendor = key.rpartition("|")
    if not separator:
        raise ValueError(f"{key!r} is not a release partition key")
    return vendor, model
