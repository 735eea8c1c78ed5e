"""The page itself: its templates, filled in."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.report_page import formatting

FOLDER = Path(__file__).parent
FILTERS = (
    formatting.share,
    formatting.percent,
    formatting.signed,
    formatting.count,
    formatting.milliseconds,
    formatting.megabytes,
    formatting.amount,
    formatting.duration,
    formatting.setting,
    formatting.sentence,
)
FUNCTIONS = (formatting.span, formatting.things, formatting.title)


def render(**views: object) -> str:
    """Fill the templates beside this module; every text is escaped unless it is Markup."""
    style = Markup((FOLDER / "page.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
    return _environment().get_template("page.html.j2").render(style=style, **views)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update({function.__name__: function for function in FILTERS})
    environment.globals.update(
        things=formatting.things, title=formatting.title, headlines=formatting.HEADLINES, span=formatting.span
    )
    return environment
