"""Whether the Hugging Face hub answers: asked once, briefly, before the libraries try for long.

huggingface_hub and datasets try each file six times, for 25 seconds, when there is no network.
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
from functools import cache
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

PATIENCE = 2.0  # seconds


@cache
def trouble() -> str | None:
    """Return why the hub cannot be asked, None where it answers.

    Where it does not, this process and its children look into their caches only from then on, as
    with HF_HUB_OFFLINE=1: what was downloaded before is found.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    if _answers(constants.ENDPOINT):
        return None
    os.environ["HF_HUB_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = True
    if "datasets" in sys.modules:
        import datasets

        datasets.config.HF_HUB_OFFLINE = True
    return f"{constants.ENDPOINT} does not answer"


def _answers(endpoint: str) -> bool:
    """Ask in a thread of its own: no timeout ends a name server's silence."""
    answered: list[bool] = []
    asking = threading.Thread(target=lambda: answered.append(_ask(endpoint)), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return answered == [True]


def _ask(endpoint: str) -> bool:
    try:
        urlopen(Request(endpoint, method="HEAD"), timeout=PATIENCE).close()
    except HTTPError:
        return True  # an answer
    except URLError as error:
        # The libraries have certificates of their own; they shall tell.
        return isinstance(error.reason, ssl.SSLError)
    except OSError:
        return False
    return True
