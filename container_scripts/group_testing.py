"""Finding the few guilty among many by testing groups: which names make the whole fail?

Belongs here: the search, as pure logic over an answer to "does it fail with exactly these names on?".
Does not belong here: starting engines (search_operators), judging what they answer (failure_likeness).

A group that passes clears all its names. A group that fails is halved (with several engines at once: cut
into one part more than there are engines), so one guilty name among n takes about log2(n) tests. Names that
fail only together are found by leaving parts out instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple

PASS, SAME, OTHER = "PASS", "SAME", "OTHER"
"""What a test says: works, fails as the whole does, or fails in another way (which proves nothing)."""

Group = FrozenSet[str]
Ask = Callable[[Sequence[Group]], List[str]]


class OutOfTests(Exception):
    """No further test may be made: their number or the time is used up."""


@dataclass
class Findings:
    """What a search has found so far, and whether it came to its end.

    ``units`` are the smallest sets found guilty (mostly of one name); ``among`` is the set in which the
    next guilty name lies, where the search had to stop; ``verified`` says that the whole works without the
    guilty and that each unit alone fails.
    """

    units: List[Group] = field(default_factory=list)
    among: Optional[Group] = None
    verified: bool = False
    reason: str = ""

    @property
    def guilty(self) -> Group:
        """Return all names found guilty."""
        return frozenset().union(*self.units)


def most_tests(names: int, guilty: int = 1) -> int:
    """Return the most tests that finding ``guilty`` independent ones among ``names`` takes, one at a time.

    One control with nothing on; for each a halving, a test alone and a test of the whole without it.
    """
    halvings = math.ceil(math.log2(names)) if names > 1 else 0
    return 1 + guilty * (halvings + 2)


def search(names: Sequence[str], ask: Ask, at_once: int = 1, suspects: Sequence[str] = ()) -> Findings:
    """Return which of ``names`` make the whole fail, which is known to fail.

    Args:
        names: everything that can be switched on and off, the likeliest first.
        ask: tests groups and returns PASS, SAME or OTHER for each; raises OutOfTests.
        at_once: how many groups may be asked in one call.
        suspects: names found guilty before, here or elsewhere: they are tried first.
    """
    return _Search(tuple(dict.fromkeys(names)), ask, max(1, at_once)).run(suspects)


class _Search:
    """One search: what was asked, what is cleared."""

    def __init__(self, names: Tuple[str, ...], ask: Ask, at_once: int) -> None:
        self.names = names
        self.at_once = at_once
        self.known: Dict[Group, str] = {frozenset(names): SAME}
        self.cleared: Group = frozenset()
        self.found = Findings()
        self._ask = ask

    def run(self, suspects: Sequence[str]) -> Findings:
        """Search until the whole works without what was found, or nothing more can be said."""
        try:
            if self._control_passes(frozenset(suspects) & frozenset(self.names)):
                while not self._works_without_the_guilty() and self._find_one():
                    pass
        except OutOfTests as stop:
            self.found.reason = str(stop)
        return self.found

    def ask(self, groups: Sequence[Group]) -> List[str]:
        """Return the answers to groups, those known already without a test."""
        new = [group for group in dict.fromkeys(groups) if group not in self.known]
        for first in range(0, len(new), self.at_once):
            batch = new[first : first + self.at_once]
            for group, answer in zip(batch, self._ask(batch)):
                self.known[group] = answer
                if answer == PASS:
                    self.cleared |= group
        return [self.known[group] for group in groups]

    def _control_passes(self, suspects: Group) -> bool:
        """Test with nothing on, and what was guilty before: alone, and the whole without it."""
        groups: List[Group] = [frozenset()]
        if suspects:
            groups += [suspects, self._without(suspects)]
        answers = self.ask(groups)
        if answers[0] != PASS:
            how = "in the same way" if answers[0] == SAME else "in another way"
            self.found.reason = f"with none of them on it fails {how}: they are not what makes it fail"
            return False
        if answers[1:] and answers[1] == SAME:
            self.found.units = [suspects]
            if len(suspects) > 1:
                single = [frozenset((one,)) for one in sorted(suspects)]
                alone = [unit for unit, answer in zip(single, self.ask(single)) if answer == SAME]
                self.found.units = alone or [suspects]
        return True

    def _works_without_the_guilty(self) -> bool:
        """Test the whole without what was found; the search is over when that passes or says nothing."""
        if not self.found.units:
            return False
        [answer] = self.ask([self._without(self.found.guilty)])
        if answer == SAME:
            return False
        self.found.among = None
        self.found.verified = answer == PASS
        together = any(len(unit) > 1 for unit in self.found.units)
        fails = "they make it fail, some only together" if together else "each alone makes it fail"
        self.found.reason = (
            f"the whole works without them, and {fails}"
            if answer == PASS
            else "without them the whole fails in another way"
        )
        return True

    def _find_one(self) -> bool:
        """Add one guilty unit from what still fails; say whether one was found."""
        whole = self._without(self.found.guilty)
        one = self._narrow([name for name in self.names if name in whole - self.cleared])
        unit = frozenset((one,)) if one else None
        if unit is None or self.ask([unit]) != [SAME]:
            unit = self._fail_together(whole)
        if unit is None:
            self.found.reason = "no part of them fails as the whole does: no statement about single ones"
            return False
        self.found.units.append(unit)
        return True

    def _narrow(self, failing: List[str]) -> Optional[str]:
        """Return one name of a failing list by testing its parts, or None if no part tells."""
        while len(failing) > 1:
            self.found.among = frozenset(failing)
            parts = split(failing, self.at_once + 1)
            answers = self.ask([frozenset(part) for part in parts[:-1]])
            guilty = [part for part, answer in zip(parts, answers) if answer == SAME]
            if guilty:
                failing = guilty[0]
            elif all(answer == PASS for answer in answers) or self.ask([frozenset(parts[-1])]) == [SAME]:
                failing = parts[-1]
            else:
                return None
        return failing[0] if failing else None

    def _fail_together(self, failing: Group) -> Optional[Group]:
        """Return a smallest failing part, found by leaving parts out (ddmin), or None."""
        names = [name for name in self.names if name in failing]
        parts_wanted = 2
        while len(names) > 1:
            self.found.among = frozenset(names)
            parts = split(names, parts_wanted)
            left = [[name for name in names if name not in part] for part in parts]
            tried = [*parts, *left] if parts_wanted > 2 else parts
            answers = self.ask([frozenset(one) for one in tried])
            smaller = [one for one, answer in zip(tried, answers) if answer == SAME]
            if smaller:
                parts_wanted = 2 if smaller[0] in parts else max(2, parts_wanted - 1)
                names = smaller[0]
            elif parts_wanted >= len(names):
                break
            else:
                parts_wanted = min(len(names), 2 * parts_wanted)
        smallest = frozenset(names)
        return smallest if smallest != failing or len(failing) <= 2 else None

    def _without(self, group: Group) -> Group:
        return frozenset(self.names) - group


def split(names: Sequence[str], parts: int) -> List[List[str]]:
    """Return ``names`` cut into at most ``parts`` runs of nearly equal length, none of them empty."""
    count = min(parts, len(names))
    bounds = [round(index * len(names) / count) for index in range(count + 1)]
    return [list(names[start:end]) for start, end in zip(bounds, bounds[1:])]
