"""A model's config: of the catalogue, or of its source's config.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.models.catalogue import CATALOGUE
from harness.models.files import local_folder, unreachable

if TYPE_CHECKING:
    from harness.models.spec import ModelSpec


def build_config(spec: ModelSpec) -> Any:
    """Return the transformers config of the model, without its weights.

    Decoder-only models find the last real token by the padding id. Those that have none pad with
    their end-of-text token, as is usual.

    Raises:
        UserError: the source cannot be reached, or its config.json is not of a known model type.
    """
    from transformers import AutoConfig

    if spec.config:
        entry = CATALOGUE[spec.config]
        config = AutoConfig.for_model(entry.model_type, **entry.config)
    else:
        folder = local_folder(spec)
        try:
            config = AutoConfig.from_pretrained(
                folder or spec.hub, revision=spec.revision or "main", trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            if spec.hub:
                raise unreachable(spec.hub, error) from None
            raise UserError(f"model {spec.name}: {str(error).splitlines()[0]}") from None
    if getattr(config, "pad_token_id", None) is None:
        end = getattr(config, "eos_token_id", None)
        config.pad_token_id = end[0] if isinstance(end, list) else end
    return config


def config_facts(spec: ModelSpec) -> str:
    """Return the config as canonical JSON, for keys of caches."""
    return json.dumps(build_config(spec).to_dict(), sort_keys=True, default=str)
