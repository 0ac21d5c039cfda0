"""Public holidays, known ahead: of a country, or listed in a file."""

from collections.abc import Iterator, Sequence

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import find
from seqfuse.runtime.read.table.cells import TABLE_ENDINGS, read_table
from seqfuse.runtime.read.table.stamps import stamps_of

YEARS = range(1970, 2051)
"""Years whose holidays a country's calendar is asked for."""
COLUMN = "date"
"""Column of a file of holidays."""


class Holidays:
    """Dates of holidays as YYYY-MM-DD, in order; looked up when they are asked for.

    Args:
        given: a code of ISO 3166 such as DE, with a part of the country DE-BY, or that of a stock
            exchange such as XNYS, which the library `holidays` knows; a table with a column
            `date`; or the dates themselves. None: no dates.
        root: folder that a relative name of a file starts from.
    """

    def __init__(self, given: str | Sequence[str] | None, root: str = "."):
        self.given, self.root = given or (), root

    def __bool__(self) -> bool:
        return bool(self.given)

    def __iter__(self) -> Iterator[str]:
        if not isinstance(self.given, str):
            return map(str, self.given)
        if not self.given.lower().endswith(TABLE_ENDINGS):
            return iter(_of_country(self.given))
        path = find(self.given, self.root, "its name in data.holidays and paths.data")
        days = stamps_of(read_table(path, [COLUMN]), [COLUMN]).astype("datetime64[D]")
        return iter(sorted({str(day) for day in days}))


def _of_country(code: str) -> list[str]:
    try:
        import holidays  # pyright: ignore[reportMissingImports]  # it holds python-dateutil back
    except ImportError:
        raise InputError(
            f"data.holidays={code} asks the library holidays, which is not installed: type pip "
            "install 'seqfuse[holidays]', or name a table of dates, data.holidays=days.csv"
        ) from None
    country, _, part = code.partition("-")
    exchanges = holidays.list_supported_financial()
    countries = holidays.list_supported_countries()
    if code in exchanges:
        return sorted(map(str, holidays.financial_holidays(code, years=YEARS)))
    if country not in countries:
        raise InputError(
            f"data.holidays={code}: there is no country {country}: give its code of ISO 3166, such "
            f"as DE, or an exchange, such as XNYS, or a table of dates"
        )
    if part and part not in countries[country]:
        parts = ", ".join(countries[country]) or "none"
        raise InputError(
            f"data.holidays={code}: parts of {country} with days of their own: {parts}"
        )
    return sorted(map(str, holidays.country_holidays(country, subdiv=part or None, years=YEARS)))
