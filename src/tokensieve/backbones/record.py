"""The record of a source checkpoint's config.json, checked before transformers makes a config of it.

The checks are those of our own config; the errors name the fields as the family does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tokensieve.backbones.family import Family
from tokensieve.backbones.registry import ALL_BACKBONES
from tokensieve.checks import Check, check_value, check_values, one_of
from tokensieve.errors import ConfigError
from tokensieve.model.config_fields import BASE_FIELDS, FIELDS, check_base_fields
from tokensieve.model.configuration import TokensieveConfig

_BEFORE_ALL: dict[str, Check] = {
    "model_type": BASE_FIELDS["model_type"],
    # transformers would read another file in place of this one
    "configuration_files": Check(lambda _: False, "leave it out, and keep the config in config.json alone"),
    "attn_implementation": BASE_FIELDS["attn_implementation"],  # transformers 5.0 drops it, and no config sees it
}
_OF_SOURCES: dict[str, Check] = {
    "position_embedding_type": one_of(("absolute",)).or_none(),  # no other one is computed
}


def check_record(record: Mapping[str, object]) -> None:
    """Check a config.json's fields: their types, their ranges, and what they say together.

    Our own config passes: it is checked when it is built. So do models of other families, which the caller refuses.

    Args:
        record: as JSON has it.

    Raises:
        ConfigError: names the field, its value and the remedy.
    """
    check_values(record, _BEFORE_ALL)
    kind = str(record.get("model_type"))
    if "model_type" in record and kind not in CONFIG_MAPPING:
        known = ", ".join((TokensieveConfig.model_type, *ALL_BACKBONES))
        code = ", and the Python code that comes with it (auto_map) is never run" if "auto_map" in record else ""
        raise ConfigError(f"model_type={kind!r}: nothing here reads such a model{code}; give one of {known}")
    if kind not in ALL_BACKBONES:
        return
    own = ALL_BACKBONES[kind].own_fields
    check_values(record, {**_OF_SOURCES, **own})
    check_base_fields({name: value for name, value in record.items() if name not in own}, PreTrainedConfig)
    aliases = CONFIG_MAPPING[kind].attribute_map  # other names that transformers takes for the family's
    for ours, theirs in ALL_BACKBONES[kind].fields.items():
        check = FIELDS.get(ours) or BASE_FIELDS[ours]
        for name in (theirs, *(alias for alias, field in aliases.items() if field == theirs)):
            if name in record:
                check_value(name, record[name], check)


def in_their_names(message: str, family: Family) -> str:
    """An error's message with the family's names in the place of our fields."""
    names = dict(family.fields)
    return re.sub(r"\b([a-z_]+)(?==)", lambda found: names.get(found[1], found[1]), message)
