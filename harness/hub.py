"""Whether the Hugging Face hub answers: asked once, briefly, before the libraries try for long.

huggingface_hub and datasets try each file six times, for 25 seconds, when there is no network.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
import threading
from functools import cache
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

PATIENCE = 3.0  # seconds; a slow network may ask for more by the hub's own variable
VARIABLE = "HF_HUB_ETAG_TIMEOUT"
# NAME or OWNER/NAME of words, dots and dashes, as the hub takes them.
_REPOSITORY = re.compile(r"(?!.*(--|\.\.|\.git$))(\w[\w.-]*\b/)?\w[\w.-]{0,95}(?<![.-])")


def may_be_repository(text: str) -> bool:
    """Tell whether a repository may be called so; what else people write is a path."""
    return _REPOSITORY.fullmatch(text) is not None


@cache
def trouble() -> str | None:
    """Return why the hub cannot be asked, None where it answers.

    Where it does not, this process and its children look into their caches only from then on, as
    with HF_HUB_OFFLINE=1: what was downloaded before is found.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    patience = constants.HF_HUB_ETAG_TIMEOUT if VARIABLE in os.environ else PATIENCE
    if _answers(constants.ENDPOINT, patience):
        return None
    os.environ["HF_HUB_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = True
    if "datasets" in sys.modules:
        import datasets

        datasets.config.HF_HUB_OFFLINE = True
    return f"{constants.ENDPOINT} does not answer within {patience:g} s ({VARIABLE})"


def _answers(endpoint: str, patience: float) -> bool:
    """Ask in a thread of its own: no timeout ends a name server's silence."""
    answered: list[bool] = []

    def ask() -> None:
        answered.append(_ask(endpoint, patience))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience)
    return answered == [True]


def _ask(endpoint: str, patience: float) -> bool:
    try:
        urlopen(Request(endpoint, method="HEAD"), timeout=patience).close()
    except HTTPError:
        return True  # an answer
    except URLError as error:
        # The libraries have certificates of their own; they shall tell.
        return isinstance(error.reason, ssl.SSLError)
    except OSError:
        return False
    return True
