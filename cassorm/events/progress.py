"""Up to where everything is handled, when it is handled in another order than it was taken."""

import heapq


class Progress:
    """What is taken in rising order, and ends in any order."""

    def __init__(self, upto: int) -> None:
        self.taken_upto = upto
        """Up to where everything was taken."""
        self._outstanding: list[tuple[int, int]] = []
        """What is taken and not done, lowest first, each with the number of its taking."""
        self._done: set[int] = set()
        self._takings = 0

    def take(self, at: int) -> int:
        """Note that something was taken there; return the number under which it is `done`."""
        self._takings += 1
        heapq.heappush(self._outstanding, (at, self._takings))
        return self._takings

    def done(self, taking: int) -> None:
        """Note that it is handled."""
        self._done.add(taking)
        while self._outstanding and self._outstanding[0][1] in self._done:
            self._done.discard(heapq.heappop(self._outstanding)[1])

    @property
    def done_upto(self) -> int:
        """Up to where everything is handled."""
        if self._outstanding:
            return min(self._outstanding[0][0] - 1, self.taken_upto)
        return self.taken_upto
