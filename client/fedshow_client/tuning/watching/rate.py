"""How fast a run goes and how long it will still take."""

from fedshow_client.tuning.checkpoint import Progress


class Rate:
    """Steps per second since this process began to step, looks included."""

    def __init__(self) -> None:
        self.steps_per_second: float | None = None
        """None until two steps are done."""

        self._first: tuple[int, float] | None = None

    def hear(self, now: Progress) -> None:
        """Takes in that a step is done."""
        if self._first is None:
            self._first = now.step, now.seconds
            return
        step, seconds = self._first
        if now.seconds > seconds:
            self.steps_per_second = (now.step - step) / (now.seconds - seconds)

    def seconds_left(self, now: Progress, steps: int) -> float | None:
        """Until the last of `steps`; None when that cannot be told yet."""
        if self.steps_per_second is None:
            return None
        return (steps - now.step) / self.steps_per_second
