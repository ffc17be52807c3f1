"""What goes wrong and when: drawn from a seed, printed, and brought about."""

import random
import signal
import time
from dataclasses import dataclass

from chaos.plant import Plant, Started


@dataclass(frozen=True, slots=True)
class Blow:
    """Something that goes wrong ``at`` seconds from the beginning, and is mended ``lasting`` seconds later."""

    at: float
    what: str
    lasting: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:6.2f} s  {self.what}" + (f" for {self.lasting:.2f} s" if self.lasting else "")


def drawn(rng: random.Random, seconds: float, lost_seconds: float) -> list[Blow]:
    """The blows of ``seconds``, in order. Each kind comes at least once; outages of the database never overlap."""
    often = max(1, round(seconds / 25))
    blows = [Blow(rng.uniform(0, seconds), "kill a worker") for _ in range(3 * often)]
    blows += [Blow(rng.uniform(0, seconds), "terminate a worker") for _ in range(2 * often)]
    blows += [Blow(rng.uniform(0, seconds), "kill the API", rng.uniform(0, 1)) for _ in range(often)]
    held_up = lost_seconds * 2.5
    slots = seconds / often
    for n in range(often):
        blows.append(Blow(n * slots + rng.uniform(0, slots / 2), "hold up a worker", held_up))
        blows.append(Blow(n * slots + rng.uniform(0, slots / 2), "fill the disk", rng.uniform(1, 3)))
    outages = ["fast", "immediate", "kill"] * often
    rng.shuffle(outages)
    slot = seconds / len(outages)
    for n, how in enumerate(outages):
        lasting = rng.uniform(0.1, min(2.0, slot / 2))
        blows.append(Blow(n * slot + rng.uniform(0, slot / 3), f"stop the database: {how}", lasting))
    return sorted(blows, key=lambda blow: blow.at)


class Storm:
    """Brings a schedule about, and has what ended started again."""

    def __init__(self, plant: Plant, rng: random.Random, blows: list[Blow]) -> None:
        self._plant, self._rng = plant, rng
        self._coming = list(blows)
        self._mending: list[tuple[float, str, Started | None]] = []
        self._held_up: list[Started] = []
        self._api_down = False

    def rage(self) -> None:
        """From the first blow until the last is mended."""
        began = time.monotonic()
        while self._coming or self._mending:
            now = time.monotonic() - began
            for due in [due for due in self._mending if due[0] <= now]:
                self._mending.remove(due)
                self._mend(due[1], due[2])
            while self._coming and self._coming[0].at <= now:
                blow = self._coming.pop(0)
                struck = self._strike(blow.what)
                if blow.lasting:
                    self._mending.append((time.monotonic() - began + blow.lasting, blow.what, struck))
            self._plant.supervise(api=not self._api_down)
            time.sleep(0.05)  # the schedule's own tick

    def _strike(self, what: str) -> Started | None:
        plant = self._plant
        match what.split(": "):
            case ["kill a worker"]:
                if worker := self._one():
                    worker.send(signal.SIGKILL)
            case ["terminate a worker"]:
                if worker := self._one():
                    worker.send(signal.SIGTERM)
            case ["hold up a worker"]:
                if worker := self._one():
                    worker.send(signal.SIGSTOP)
                    self._held_up.append(worker)
                    return worker
            case ["kill the API"]:
                self._api_down = True
                plant.kill_api()
            case ["fill the disk"]:
                plant.fill_disk()
            case ["stop the database", how]:
                plant.stop_database(how)
        return None

    def _mend(self, what: str, struck: Started | None) -> None:
        match what.split(": "):
            case ["hold up a worker"] if struck is not None:
                struck.send(signal.SIGCONT)
                self._held_up.remove(struck)
            case ["kill the API"]:
                self._api_down = False
            case ["fill the disk"]:
                self._plant.empty_disk()
            case ["stop the database", *_]:
                self._plant.start_database()

    def _one(self) -> Started | None:
        """A worker at random, of those that are at work and not held up or stopping."""
        ending = {signal.SIGKILL, signal.SIGTERM}
        able = [w for w in self._plant.workers if w.at_work and w not in self._held_up and ending.isdisjoint(w.sent)]
        return self._rng.choice(able) if able else None
