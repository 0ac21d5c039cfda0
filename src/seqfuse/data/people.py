"""Who is trained on, validated on and tested on."""

from collections.abc import Iterable, Sequence

from seqfuse.runtime.errors import InputError, check_minimum


class People:
    """Splits by person: nobody stands on two sides.

    Args:
        test: people to test on, where there is no `fold`.
        validation: people to validate on, where there is no `fold`.
        fold: which fold of people to test on, instead; the next one is for validation. Of the
            people in order, the i-th (from 0 on) belongs to fold i mod `num_folds`, whatever
            the seed.
    """

    def __init__(
        self,
        test: Sequence[int | str] = (),
        validation: Sequence[int | str] = (),
        fold: int | None = None,
        num_folds: int = 5,
    ):
        check_minimum(3, test_folds=num_folds)
        if fold is not None and not 0 <= fold < num_folds:
            raise InputError(f"data.test_fold={fold} must be null, or from 0 to {num_folds - 1}")
        self.named = {"test": [*map(str, test)], "val": [*map(str, validation)]}
        twice = set(self.named["test"]) & set(self.named["val"])
        if twice:
            raise InputError(f"{min(twice)} is in data.test_people and data.validation_people")
        self.fold = fold
        self.num_folds = num_folds

    def of(self, split: str, people: Iterable[str]) -> set[str]:
        """People of a split."""
        everyone = sorted(set(people), key=lambda name: (len(name), name))
        parts = self._named(everyone) if self.fold is None else self._folds(everyone, self.fold)
        parts["train"] = set(everyone) - parts["test"] - parts["val"]
        if not parts[split]:
            raise InputError(f"nobody of {len(everyone)} people is left for split {split}")
        return parts[split]

    def _named(self, everyone: list[str]) -> dict[str, set[str]]:
        for option, split in (("test_people", "test"), ("validation_people", "val")):
            strangers = [name for name in self.named[split] if name not in everyone]
            if strangers:
                raise InputError(
                    f"data.{option} names {strangers[0]}, but there are: {', '.join(everyone)}"
                )
        return {split: set(names) for split, names in self.named.items()}

    def _folds(self, everyone: list[str], fold: int) -> dict[str, set[str]]:
        n = self.num_folds
        return {"test": set(everyone[fold::n]), "val": set(everyone[(fold + 1) % n :: n])}
