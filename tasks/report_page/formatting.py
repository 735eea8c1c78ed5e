"""How numbers read on the page: one way for each kind, and a dash where nothing was measured."""

from datetime import timedelta

HEADLINES = {
    "map50": "mAP50",
    "map50_95": "mAP50-95",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}  # in the order of the page's tables
_METRICS = {**HEADLINES, "ap50": "AP50", "ap50_95": "AP50-95"}
NOTHING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def title(metric: str) -> str:
    """A metric as people write it: mAP50 for map50, AP50 of "crack" for ap50 of "crack"."""
    name, of, rest = metric.partition(" of ")
    return _METRICS.get(name, name) + of + rest


def share(value: float | None) -> str:
    """A metric between 0 and 1 in thousandths, as the field writes it: 0.871."""
    return NOTHING if value is None else _with_minus(f"{value:.3f}")


def percent(value: float | None) -> str:
    """A share of things: 41 %. Few are not none: below one in a hundred it says so."""
    if value is None:
        return NOTHING
    return "< 1 %" if 0 < value < 0.01 else f"{100 * value:.0f} %"


def signed(value: float | None) -> str:
    """A difference of metrics: +0.012."""
    if value is None:
        return NOTHING
    number = f"{value:+.3f}"
    return _with_minus(number) if float(number) else number[1:]


def count(value: float | None) -> str:
    """A count with a comma every three digits: 12,345."""
    return NOTHING if value is None else f"{value:,.0f}"


def milliseconds(value: float | None) -> str:
    """A latency with three figures: 0.85, 6.10, 41.2, 312."""
    return NOTHING if value is None else _three_figures(value)


def megabytes(size_bytes: float | None) -> str:
    """A size of a file in MB of 10^6 bytes."""
    return NOTHING if not size_bytes else _three_figures(size_bytes / 1e6)


def span(low: float | None, high: float | None) -> str:
    """An interval: 0.812 to 0.893 with a dash between them, or the word where a minus sign would run into it."""
    joint = " to " if low is not None and low < 0 else "\N{EN DASH}"
    return f"{share(low)}{joint}{share(high)}"


def amount(value: float | None, unit: str = "") -> str:
    """A figure of a gate's rule in its own unit: 0.871, 6.10 ms, 9.80 MB."""
    if value is None:
        return NOTHING
    return f"{_three_figures(value)} {unit}" if unit else share(value)


def duration(seconds: float) -> str:
    """A time people wait: 93 s, 12 min, 3 h 20 min."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(timedelta(seconds=seconds) / timedelta(minutes=1))
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def setting(value: str | int | float | bool | None, figures: int = 6) -> str:
    """A parameter's value as YAML would have it, floats with so many figures."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.{figures}g}" if isinstance(value, float) else str(value)


def sentence(text: str) -> str:
    """A stage's own words, closed by a full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def things(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun: 1 image, 2 images."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def _with_minus(number: str) -> str:
    return number.replace("-", _MINUS) if number.strip("-0.") else number.lstrip("-")


def _three_figures(value: float) -> str:
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return _with_minus(f"{value:,.{decimals}f}")
