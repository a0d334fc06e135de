"""What is wrong with a model's folder, before anything loads it: no torch, no transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.models.files import VOCABULARIES, check_files, local_folder, refuse_adapter
from harness.models.weights import entries_of, read_json
from harness.untrusted import WRONG, bytes_of, said

if TYPE_CHECKING:
    from harness.models.spec import ModelSpec

LFS = b"version https://git-lfs"
LFS_SIZE = 1024  # bytes, of a pointer at most
IMAGE_PROCESSOR = "preprocessor_config.json"
# How configs name their number of layers, or of layers in each stage.
LAYERS = {
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers",
    "num_encoder_layers", "num_decoder_layers", "depths", "num_hidden_groups", "inner_group_num",
    "block_sizes",
}  # fmt: skip
READ = ("*.json", "*.safetensors", "*.txt", "*.model")


def check_model(
    spec: ModelSpec, *, weights: bool, tokenizer: bool = False, image_processor: bool = False
) -> None:
    """Check folder or package of a model; what lies on the hub is checked as it is loaded.

    Args:
        spec: of the model.
        weights: they are wanted, and must be there; else they are looked at where they are.
        tokenizer: one is wanted, and must be there.
        image_processor: the same.

    Raises:
        UserError: files that are missing, cut off or Git LFS pointers; an adapter beside the
            weights; a padding id or a tokenizer's id outside of the vocabulary; more layers than
            the weights can have.
    """
    folder = local_folder(spec)
    if folder is None:
        return
    _refuse_pointers(folder)
    config = read_json(folder / "config.json")
    size = config.get("vocab_size")
    refuse_padding(f"{folder / 'config.json'}", config.get("pad_token_id"), size)
    refuse_adapter(folder)
    if weights:
        check_files(spec)
    if weights or any(folder.glob("*.safetensors")):
        refuse_depth(f"{folder / 'config.json'}", config, len(entries_of(folder)))
    if tokenizer and not any(file for name in VOCABULARIES for file in folder.glob(name)):
        raise UserError(
            f"model {spec.name}: no tokenizer files in {folder}, such as "
            f"{', '.join(VOCABULARIES)}; tokenizer.save_pretrained(FOLDER) writes them"
        )
    if image_processor and not (folder / IMAGE_PROCESSOR).is_file():
        raise UserError(
            f"model {spec.name}: no {IMAGE_PROCESSOR} in {folder}; "
            "image_processor.save_pretrained(FOLDER) writes it"
        )
    refuse_ids(spec.name, _largest_id(folder), size)


def refuse_padding(where: str, pad: Any, vocabulary: Any) -> None:
    """Refuse a padding id that is no row of the embedding.

    Raises:
        UserError: it is negative, or not below the vocabulary's size.
    """
    beyond = isinstance(pad, int) and isinstance(vocabulary, int) and pad >= vocabulary
    if isinstance(pad, int) and (pad < 0 or beyond):
        raise UserError(
            f"{where}: pad_token_id = {pad} is no token of a vocabulary of {vocabulary}; set it to "
            "the tokenizer's padding or end-of-text id, or to null"
        )


def refuse_depth(where: str, config: Mapping[str, Any], tensors: int) -> None:
    """Refuse a config of so many layers that building them, only to compare, would take for ever.

    Raises:
        UserError: there are more layers than tensors.
    """
    for key, value in config.items():
        sizes = value if isinstance(value, list) else [value]
        layers = sum(size for size in sizes if isinstance(size, int))
        if key in LAYERS and layers > tensors:
            raise UserError(
                f"{where}: {key} = {value}, and its weights are {tensors} tensors: they belong to "
                "different models"
            )


def refuse_ids(name: str, largest: int | None, vocabulary: Any) -> None:
    """Refuse a tokenizer that makes ids that the model has no embedding for.

    Raises:
        UserError: its largest id is not below the vocabulary's size.
    """
    if largest is not None and isinstance(vocabulary, int) and largest >= vocabulary:
        raise UserError(
            f"model {name}: its tokenizer has ids up to {largest}, its config a vocab_size of "
            f"{vocabulary}: they belong to different models, or tokens were added without "
            "resizing the embeddings"
        )


def _refuse_pointers(folder: Path) -> None:
    for file in sorted({file for pattern in READ for file in folder.glob(pattern)}):
        if file.is_file() and file.stat().st_size <= LFS_SIZE and _starts_with(file, LFS):
            raise UserError(
                f"{file}: a Git LFS pointer, not the file itself; git lfs pull fetches it"
            )


def _starts_with(file: Path, start: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(start)) == start


def _largest_id(folder: Path) -> int | None:
    """Return a tokenizer's largest id; None where its files need their library to be read."""
    file = folder / "tokenizer.json"
    if file.is_file():
        try:
            content = json.loads(bytes_of(file).decode())
            vocabulary = content.get("model", {}).get("vocab", {})
            ids = [token["id"] for token in content.get("added_tokens", [])]
            ids += vocabulary.values() if isinstance(vocabulary, dict) else [len(vocabulary) - 1]
            largest: int | None = max(ids, default=None)
        except WRONG as error:
            raise UserError(f"{file}: no readable tokenizer: {said(error)}") from None
        return largest
    if (folder / "vocab.txt").is_file():
        with (folder / "vocab.txt").open("rb") as stream:
            return sum(1 for _ in stream) - 1
    return None
