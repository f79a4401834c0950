"""What all attacks share: `Attack.run` takes a model and pictures, and gives what the model itself confirmed."""

from __future__ import annotations

import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..core.checks import ModelError, UsageError
from ..core.images import Source, encode_image, load_image, to_image, to_tensor
from .criteria import Criterion, Misclassified, Targeted
from .distances import Distance
from .eight_bits import STRETCHES, on_the_grid
from .goals import ClassGoal
from .inputs import Inputs, budgets_of, check_epsilon, make_inputs
from .problem import Problem, Step
from .results import Result, Results
from .victims import GIVES, Victim, log_scores, victim


class Solved(NamedTuple):
    """Pictures on the grid of 8 bits, (N, 3, H, W), for their problem; seconds for each."""

    problem: Problem
    pictures: Tensor
    seconds: float


class Attack(ABC):
    """One way to change pictures. Settings are keywords of the constructor; `repr` shows them.

    Attributes:
        needs: What the victim has to give, one of `victims.GIVES`.
        minimal: It looks for the smallest change; a budget then only decides what counts. Others use the budget up.
        stretches: Of a perturbation that does not fool once it is rounded to 8 bits, tried in turn until it does.
            (1.0,) takes what came: for chance, a single step, one perturbation for all, a number of queries, of which
            more tries make something else (one draw of noise of 96/255 fools lenet5-mnist on 57 of 200 digits, on 149
            where it is stretched).
        distance: The norm of the budget, or that which is made small.
        epsilon: The budget where `run` is given none; None for no budget.
    """

    needs: ClassVar[str] = "gradients"
    minimal: ClassVar[bool] = False
    stretches: ClassVar[tuple[float, ...]] = STRETCHES
    distance: Distance
    epsilon: float | None = None

    @property
    def name(self) -> str:
        """The class's name in lower case."""
        return type(self).__name__.lower()

    @abstractmethod
    def perturb(self, problem: Problem) -> Tensor:
        """Return changed pictures, float (N, 3, H, W), inside the problem's ball, box and mask."""

    def config(self) -> dict[str, Any]:
        """Return the constructor's keywords with their values."""
        values = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return {name: value.name if isinstance(value, Distance) else value for name, value in values.items()}

    def __repr__(self) -> str:
        return self.described(self.epsilon)

    def described(self, epsilon: float | None) -> str:
        """Return the attack as it would be typed, with the budget that it was given."""
        values = self.config()
        if "epsilon" in values:
            values["epsilon"] = epsilon
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"

    def run(
        self,
        model: Any,
        images: Source | list[Any],
        labels: Any = None,
        *,
        target: Any = None,
        epsilons: float | Iterable[float] | None = None,
        mask: Any = None,
        criterion: Criterion | None = None,
        seed: int = 0,
        on_step: Callable[[Step], None] | None = None,
    ) -> Any:
        """Attack pictures.

        Args:
            model: A `Classifier`, anything with `names` and `predict_proba` or `predict`, or what
                `victims.Attackable` and `victims.BlackBox` make.
            images: A picture or a list, of any sizes; see `core.images.load_image`.
            labels: True classes by name or number, one or a list; None believes the model. Pictures that the model
                gets wrong already are not attacked, and are no successes.
            target: The class to be named, or a list with one for each picture; None for any other class.
            epsilons: Budget in the attack's distance, for pictures in [0, 1]; None takes the attack's own. With several
                (a list, an array) the attack runs once for each, or once in all where it looks for the smallest change.
                In linf the search keeps to the whole levels of 1/255 that are in it.
            mask: Where pictures may change: bool (H, W), or a box (x0, y0, x1, y1); None everywhere.
            criterion: None for `Targeted` with a target, `Misclassified` without; one that asks for no class is joined
                to that.
            seed: Of random numbers; each picture has its own stream, so alone it is attacked as it is in a list.
            on_step: Called with a `Step` as the attack goes on.

        Returns:
            A `Result` for one picture, `Results` for a list; with several epsilons, a list of those.

        Raises:
            UsageError: Unknown or impossible labels, targets, budgets or masks.
            ModelError: A model that does not give what the attack needs, or whose wrapper disagrees with it.
            ImageError: A picture that cannot be read.
        """
        asked = victim(model)
        if GIVES.index(asked.gives) < GIVES.index(self.needs):
            fix = "choose an attack that needs less, such as hopskipjump, or a network"
            raise ModelError(f"a model that gives {self.needs}, for {self.name}", f"one that gives {asked.gives}", fix)
        criterion = _decided(criterion, Misclassified() if target is None else Targeted())
        several = budgets_of(epsilons)
        own: list[Any] = [self.epsilon if epsilons is None else epsilons]
        budgets = [check_epsilon(one, self.distance, self.minimal) for one in several or own]
        inputs = make_inputs(asked, images, labels, target, criterion, mask)
        asked.check(inputs.images, inputs.before)
        found = self._all(asked, inputs, criterion, budgets, seed, on_step)
        shaped = found if isinstance(images, list) else [results[0] for results in found]
        return shaped[0] if several is None else shaped

    def _all(
        self, asked: Victim, inputs: Inputs, criterion: Criterion, budgets: list[float | None], seed: int,
        on_step: Callable[[Step], None] | None,
    ) -> list[Results]:  # fmt: skip
        """Attack the pictures of each size together, for each budget, and let the model judge the PNGs."""
        made: list[dict[int, Result]] = [{} for _ in budgets]
        for rows in inputs.batches():
            originals = to_tensor([inputs.images[row] for row in rows]).to(asked.device)
            goal = ClassGoal(criterion, *(inputs.ids(rows, asked.device)))
            mask = _where(asked, originals, inputs.mask_of(rows, asked.device))
            free = Problem.of(asked, originals, goal, self.distance, mask=mask, seed=seed, on_step=on_step)
            shared = self._solve(free) if self.minimal else None
            for budget, results in zip(budgets, made, strict=True):
                solved = (
                    self._solve(self._within(free, budget, seed)) if shared is None else self._inside(shared, budget)
                )
                results.update(zip(rows, self._judge(inputs, rows, solved, budget, seed), strict=True))
        for budget, results in zip(budgets, made, strict=True):
            left = [row for row in range(len(inputs.images)) if row not in results]
            results.update((row, self._untouched(inputs, row, budget, seed)) for row in left)
        return [Results([results[row] for row in range(len(inputs.images))]) for results in made]

    def _within(self, free: Problem, budget: float | None, seed: int) -> Problem:
        return free.within(None if budget is None else self.distance.levels(budget), seed)

    def _solve(self, problem: Problem) -> Solved:
        """Return pictures on the grid of 8 bits."""
        started = time.perf_counter()
        pictures, _ = on_the_grid(problem, self.perturb(problem).detach(), self.stretches)
        return Solved(problem, pictures, (time.perf_counter() - started) / len(problem))

    def _inside(self, solved: Solved, epsilon: float | None) -> Solved:
        """Bring what was found without a budget into the ball."""
        if epsilon is None:
            return solved
        problem = solved.problem.within(epsilon)
        return Solved(problem, on_the_grid(problem, solved.pictures, self.stretches)[0], solved.seconds)

    def _judge(self, inputs: Inputs, rows: list[int], solved: Solved, epsilon: float | None, seed: int) -> list[Result]:
        """Ask the model itself about the PNGs, encoded and decoded."""
        problem, cost = solved.problem, solved.problem.cost
        queries, gradients = cost.queries.tolist(), cost.gradients.tolist()
        decoded = [load_image(encode_image(to_image(one), "png")) for one in solved.pictures]
        after = problem.victim.probabilities(decoded)
        met = problem.goal.met(log_scores(after).to(problem.originals.device)).tolist()
        told = self.described(epsilon)  # of all: asking for a signature takes 0.1 ms, as long as reading a small PNG
        return [
            self._result(
                inputs, row, decoded[place], after[place], told, epsilon, seed, met[place],
                (queries[place], gradients[place]), solved.seconds,
            )
            for place, row in enumerate(rows)
        ]  # fmt: skip

    def _untouched(self, inputs: Inputs, row: int, epsilon: float | None, seed: int) -> Result:
        """A picture that the model got wrong before any attack."""
        same, told = (inputs.images[row], inputs.before[row]), self.described(epsilon)
        return self._result(inputs, row, *same, told, epsilon, seed, False, (0, 0), 0.0)

    def _result(
        self, inputs: Inputs, row: int, image: NDArray[np.uint8], after: NDArray[np.float32], told: str,
        epsilon: float | None, seed: int, success: bool, cost: tuple[int, int], seconds: float,
    ) -> Result:  # fmt: skip
        names, before = inputs.names, inputs.before[row]
        target = None if inputs.targets is None else names[inputs.targets[row]]
        return Result(
            image, inputs.images[row], names[inputs.labels[row]], names[int(before.argmax())],
            names[int(after.argmax())], target, success, before, after, names, told,
            self.distance.name, epsilon, *cost, seconds, seed,
        )  # fmt: skip


def _decided(criterion: Criterion | None, plain: Criterion) -> Criterion:
    """Return a criterion that asks for a class: a picture may be sure of its own without any change."""
    if criterion is None:
        return plain
    return criterion if criterion.decides else plain & criterion


def _where(asked: Victim, originals: Tensor, mask: Tensor | None) -> Tensor | None:
    """Return which pixels may change, bool (N, 1, H, W): those in the mask that the network sees; None for all."""
    seen = asked.seen(originals.shape[2], originals.shape[3])
    if seen is None or mask is None:
        return mask if seen is None else seen.expand(len(originals), -1, -1, -1)
    found = seen & mask
    if not found.any():
        rows, columns = (one.nonzero()[:, 0].tolist() for one in (seen[0, 0].any(1), seen[0, 0].any(0)))
        box = f"({columns[0]}, {rows[0]}, {columns[-1] + 1}, {rows[-1] + 1})"
        raise UsageError("a mask with pixels that the model sees", "none of them", f"choose some inside {box}")
    return found
