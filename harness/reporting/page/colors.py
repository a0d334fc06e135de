"""The page's colours: those of the figures, as CSS variables."""

from __future__ import annotations

from harness.reporting.figures.theme import DARK, LIGHT, Theme
from harness.reporting.page.memory import REST, parts


def style() -> str:
    """Return CSS that sets the colours of both modes: the reader's choice before the system's."""
    light = _variables(LIGHT) + "--in-light:block;--in-dark:none;"
    dark = _variables(DARK) + "--in-light:none;--in-dark:block;"
    return (
        f":root{{color-scheme:light;{light}}}\n"
        "@media (prefers-color-scheme:dark)"
        f"{{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}\n"
    )


def _variables(theme: Theme) -> str:
    named = {
        "background": theme.background,
        "text": theme.text,
        "muted": theme.muted,
        "grid": theme.grid,
        "good": theme.good,
        "bad": theme.bad,
        **{f"part-{name}": theme.category(name) for name in parts() if name != REST},
        f"part-{REST.replace(' ', '-')}": theme.grid,
        "part-temporary": theme.category("temporary"),
        **{f"method-{number}": color for number, color in enumerate(theme.methods)},
    }
    return "".join(f"--{name}:{value};" for name, value in named.items())
