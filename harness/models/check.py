"""What is wrong with a model's folder, before anything loads it: no torch, no transformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.models.files import check_files, local_folder
from harness.models.weights import read_json, shapes_of

if TYPE_CHECKING:
    from harness.models.spec import ModelSpec

LFS = b"version https://git-lfs"
LFS_SIZE = 1024  # bytes, of a pointer at most
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.tiktoken")
IMAGE_PROCESSOR = "preprocessor_config.json"
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
        UserError: files that are missing, cut off or Git LFS pointers; a padding id or a
            tokenizer's id outside of the vocabulary.
    """
    folder = local_folder(spec)
    if folder is None:
        return
    _refuse_pointers(folder)
    config = read_json(folder / "config.json")
    size = config.get("vocab_size")
    refuse_padding(f"{folder / 'config.json'}", config.get("pad_token_id"), size)
    if weights:
        check_files(spec)
    if weights or any(folder.glob("*.safetensors")):
        shapes_of(folder)
    if tokenizer and not any(file for name in TOKENIZERS for file in folder.glob(name)):
        raise UserError(
            f"model {spec.name}: no tokenizer files in {folder}, such as {', '.join(TOKENIZERS)}; "
            "tokenizer.save_pretrained(FOLDER) writes them"
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
    if (folder / "tokenizer.json").is_file():
        content = read_json(folder / "tokenizer.json")
        vocabulary = content.get("model", {}).get("vocab", {})
        ids = [token["id"] for token in content.get("added_tokens", [])]
        ids += vocabulary.values() if isinstance(vocabulary, dict) else [len(vocabulary) - 1]
        return max(ids, default=None)
    if (folder / "vocab.txt").is_file():
        with (folder / "vocab.txt").open("rb") as stream:
            return sum(1 for _ in stream) - 1
    return None
