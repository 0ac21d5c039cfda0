"""Numbers as people write them: one cell, a column of cells, an array in memory."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError

MISSING_WORDS = frozenset(
    (
        *("", "?", ".", "-", "--", "\u2013", "\u2014"),
        *("na", "n/a", "nan", "<na>", "null", "none"),
        *("#n/a", "#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!"),
    )
)
TRUTH_VALUES = {"true": 1.0, "false": 0.0}
WHOLE_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)
LARGEST_WHOLE = 2**64
LARGEST = float(np.finfo(np.float32).max)
"""The largest number in 32 bits, with which nets compute."""


def number(cell: Any) -> float:
    """A cell as a number; NaN where it is missing.

    Raises:
        ValueError: it is none; the message goes on behind the name of the column.
        OverflowError: it is infinite, or larger than can be computed with; in the same way.
    """
    if isinstance(cell, str):
        value = _parsed(cell)
    elif cell is None:
        return np.nan
    else:
        value = _converted(cell)
    if abs(value) > LARGEST:
        raise OverflowError(too_large(value))
    return value


def _parsed(cell: str) -> float:
    text = cell.strip()
    try:
        if "_" in text or not text.isascii():  # Python's own way to write 1_000, and other digits
            raise ValueError
        value = float(text)
    except ValueError:
        word = text.lower()
        if word in MISSING_WORDS:
            return np.nan
        if word in TRUTH_VALUES:
            return TRUTH_VALUES[word]
        raise ValueError(f": '{cell[:20]}' is no number") from None
    if len(text) > 18 and WHOLE_NUMBER.fullmatch(text):
        _check_whole(int(text))
    return value


def _converted(cell: Any) -> float:
    if isinstance(cell, int):
        _check_whole(cell)
    try:
        if isinstance(cell, (bytes, complex, np.complexfloating)):
            raise TypeError
        return float(cell)
    except (TypeError, ValueError):
        raise ValueError(f": '{str(cell)[:20]}' is no number") from None


def _check_whole(value: int) -> None:
    if not -(LARGEST_WHOLE // 2) <= value < LARGEST_WHOLE:
        raise OverflowError(f": a whole number of {len(str(abs(value)))} digits is more than 64 "
                            "bits hold: if it is a name, leave the column out")  # fmt: skip


def too_large(value: float) -> str:
    """Why a number cannot be computed with; goes on behind the name of its column."""
    if np.isinf(value):
        return " is infinite: correct it"
    return f": {value:g} is beyond what 32 bits hold (3.4e38): correct or rescale it"


def numbers_in(
    cells: Sequence[Any] | NDArray[Any], where: Callable[[int], str], fix: str = ""
) -> NDArray[np.float64]:
    """(n) a column of cells; NaN where one is missing.

    `where` names row and column of a cell, and `fix` ends the message about a word.
    """
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf":
        values = cells.astype(np.float64)
        for i in np.flatnonzero(np.abs(values) > LARGEST)[:1]:
            raise InputError(f"{where(int(i))}{too_large(float(values[i]))}")
        return values
    if (values := _all_at_once(cells)) is not None:
        return values
    values = np.empty(len(cells))
    for i, cell in enumerate(cells):
        try:
            values[i] = number(cell)
        except ValueError as error:
            raise InputError(f"{where(i)}{error}{fix}") from None
        except OverflowError as error:
            raise InputError(f"{where(i)}{error}") from None
    return values


DIGIT_GROUPS = re.compile(r"(?<=\d)[ '\u00a0\u2019\u202f](?=\d{3}(?!\d))")
"""Spaces and apostrophes between thousands."""
UNIT = re.compile(r"[$\u20ac\u00a3\u00a5\u20b9%]")
"""Sign of a currency, or per cent."""
BRACKETED = re.compile(r"^\( *([^()]*\d[^()]*?) *\)$")
NOT_ZERO = re.compile("[1-9]")
MARKED = re.compile(r"[,'\u00a0\u2019\u202f$\u20ac\u00a3\u00a5\u20b9%]|\d \d|\.\d{3}\.")
"""Signs of numbers that are not written in the plain way."""
EITHER = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
"""A number whose sign may be the decimal one, or one of thousands."""
EXPONENT = r"(?:[eE][+-]?\d+)?"
WITH_COMMA = re.compile(
    rf"(?=.*\d)[+-]?(?:\d*|[1-9]\d{{0,2}}(?:\.\d{{3}})+),\d*{EXPONENT}", re.ASCII
)
"""A number with a decimal comma, perhaps with points between thousands."""
WITH_POINT = re.compile(
    rf"(?=.*\d)[+-]?(?:\d*\.\d*{EXPONENT}|[1-9]\d{{0,2}}(?:,\d{{3}})+(?:\.\d*{EXPONENT})?)",
    re.ASCII,
)
"""A number with a decimal point, or with commas between thousands."""
POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3}){2,}", re.ASCII)
"""A whole number with points between thousands."""


def with_points(
    cells: Sequence[Any], where: Callable[[int], str], comma: bool = False
) -> Sequence[Any]:
    """A column of cells with the point as decimal sign, nothing between thousands, and no unit.

    `3,14`, `1.234,5` and `1,234.5` each say which sign is the decimal one, and that holds for the
    column; where a column has only such as `1,234`, `comma` decides. Where cells disagree, all are
    left as they are, so that the first of them is refused. `where` names row and column of a cell.
    """
    if not any(isinstance(cell, str) and MARKED.search(cell) for cell in cells):
        return cells
    cells = _without_unit(cells)
    texts = {i: DIGIT_GROUPS.sub("", c.strip()) for i, c in enumerate(cells) if isinstance(c, str)}
    clear = [text for text in texts.values() if not EITHER.fullmatch(text)]
    is_comma = any(WITH_COMMA.fullmatch(text) or POINTS.fullmatch(text) for text in clear)
    is_point = any(WITH_POINT.fullmatch(text) for text in clear)
    if is_comma and is_point:
        return cells
    if not is_comma and not is_point and not comma:
        for i, text in texts.items():
            if "," in text and EITHER.fullmatch(text):
                raise InputError(
                    f"{where(i)}: '{text}' may be {text.replace(',', '')} or "
                    f"{text.replace(',', '.')}: write it with a point, or without the comma"
                )
        is_point = True
    form, drop = (WITH_POINT, ",") if is_point else (WITH_COMMA, ".")
    for i, text in texts.items():
        if form.fullmatch(text) or EITHER.fullmatch(text) or POINTS.fullmatch(text):
            texts[i] = text.replace(drop, "").replace(",", ".")
    return [texts.get(i, cell) for i, cell in enumerate(cells)]


def _without_unit(cells: Sequence[Any]) -> Sequence[Any]:
    """Cells without the sign of a currency or per cent, where there is only one such sign.

    In brackets, as accountants write it, an amount is below zero. Where only some of the numbers
    are per cent, cells are left as they are.
    """
    units = {unit for cell in cells if isinstance(cell, str) for unit in UNIT.findall(cell)}
    if len(units) != 1:
        return cells
    unit = units.pop()
    if unit == "%" and any(unit not in str(cell) and NOT_ZERO.search(str(cell)) for cell in cells):
        return cells
    before = re.compile(rf"([+-]?) *{re.escape(unit)} *(?=[+-]?[\d.,])")
    behind = re.compile(rf"(?<=[\d.,])\s*{re.escape(unit)}$")

    def plain(cell: Any) -> Any:
        if not isinstance(cell, str) or not (unit in cell or BRACKETED.fullmatch(cell.strip())):
            return cell
        text = BRACKETED.sub(r"-\1", cell.strip())
        amount = before.match(text)
        return amount[1] + text[amount.end() :] if amount else behind.sub("", text)

    return [plain(cell) for cell in cells]


def _all_at_once(cells: Sequence[Any] | NDArray[Any]) -> NDArray[np.float64] | None:
    """A column of plain numbers, four times faster than cell by cell; None of any other."""
    try:
        text = "".join(cells)
        values = np.fromiter(map(float, cells), np.float64, len(cells))
    except (TypeError, ValueError):
        return None
    plain = text.isascii() and "_" not in text and not (np.abs(values) >= LARGEST_WHOLE / 2).any()
    return values if plain else None


def as_float32(values: Any, place: Callable[[tuple[int, ...]], str]) -> NDArray[np.float32]:
    """An array of numbers with 32 bits, as a net takes them, of an array or lists.

    `place` names a value by its index. Raises ValueError where rows are of unequal lengths, or all
    values are of another kind.
    """
    array = np.asarray(values)
    if array.dtype.kind in "OUS":
        cells = [cell.decode() if isinstance(cell, bytes) else cell for cell in array.flat]
        numbers = numbers_in(
            cells, lambda i: place(tuple(map(int, np.unravel_index(i, array.shape))))
        )
        return numbers.reshape(array.shape).astype(np.float32)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"it is {array.dtype}, expected numbers")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32, copy=False)
    if array.dtype.itemsize > numbers.itemsize:
        for index in np.argwhere(np.isinf(numbers) & ~np.isinf(array))[:1]:
            at = tuple(index.tolist())
            raise InputError(f"{place(at)}{too_large(float(array[at]))}")
    return numbers


def as_numbers(x: Any, name: str, wanted: str, axes: Sequence[int]) -> NDArray[Any]:
    """An array in memory; raises InputError unless it is numbers with so many axes."""
    try:
        values = np.asarray(x)
    except ValueError:  # lists of unequal lengths
        raise InputError(f"{name} holds rows of unequal lengths, expected {wanted}") from None
    if values.dtype.kind not in "biuf" or values.ndim not in axes:
        raise InputError(f"{name} is {values.dtype} of shape {values.shape}, expected {wanted}")
    return values


def check_finite(values: NDArray[Any], columns: Sequence[str], where: str, first: int = 0) -> None:
    """Raises InputError where a cell of (t c) is infinite or too large; rows begin at `first`."""
    for t, c in np.argwhere(np.abs(values) > LARGEST)[:1]:
        place = f"{where}: row {first + t}, column '{columns[c]}'"
        raise InputError(f"{place}{too_large(float(values[t, c]))}")
