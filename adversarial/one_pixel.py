"""One pixel: differential evolution over the place and colour of a few pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core.checks import positive, whole
from .attack import Attack
from .distances import DISTANCES, Distance
from .parts import at_once
from .problem import Problem


class OnePixel(Attack):
    """Change a few pixels to any colour: x_i(g+1) = x_r1(g) + F (x_r2(g) - x_r3(g)), kept where it is fitter.

    Su, Vargas and Sakurai 2019, One pixel attack for fooling deep neural networks, equation 3 and section III.C: a
    candidate is (x, y, r, g, b) of each pixel; places begin uniform, colours as N(128, 127); F = 0.5 and no crossover.
    Fitness is the probability of the true class, or minus that of the target. The candidates of a generation are asked
    about together, for all pictures, as many as may be held at once. A budget, a number of pixels, is used up.

    Args:
        pixels: How many may change where `run` is given no budget.
        population: Candidates.
        generations: Most of them.
        factor: F.
    """

    needs = "scores"
    stretches = (1.0,)

    def __init__(self, *, pixels: int = 1, population: int = 400, generations: int = 100, factor: float = 0.5) -> None:
        self.distance: Distance = DISTANCES["l0"]
        for name, value, least in (
            ("pixels", pixels, 1),
            ("population", population, 4),
            ("generations", generations, 1),
        ):
            whole(name, value, least)
        positive("factor", factor)
        self.pixels, self.population, self.generations, self.factor = pixels, population, generations, factor

    @property
    def epsilon(self) -> float:  # type: ignore[override]
        """The number of pixels."""
        return float(self.pixels)

    def described(self, epsilon: float | None) -> str:
        """Return the attack as it would be typed: with as many pixels as the budget that it was given."""
        pixels = self.pixels if epsilon is None else _pixels(epsilon)
        return Attack.described(type(self)(**{**self.config(), "pixels": pixels}), epsilon)

    def perturb(self, problem: Problem) -> Tensor:
        """Evolve until a picture is fooled; the fittest candidate is kept."""
        rows, part = torch.arange(len(problem), device=problem.originals.device), problem
        genes = self._first(problem)
        fitness, best, met = self._fitness(part, genes)
        found = best.clone()
        for generation in range(self.generations):
            found[rows] = best
            rows, part, genes, fitness = rows[~met], part[~met], genes[~met], fitness[~met]
            problem.tell(self.name, generation, self.generations, len(problem) - len(rows))
            if not len(rows):
                return found
            children = self._children(part, genes)
            new, best, met = self._fitness(part, children)
            fitter = new < fitness
            genes = torch.where(fitter[..., None, None], children, genes)
            held = torch.where(fitter, new, fitness)
            place = held.argmin(1)
            pictures = self._painted(part, genes[torch.arange(len(rows)), place][:, None])[:, 0]
            best = torch.where(met[:, None, None, None], best, pictures)
            fitness = held
        found[rows] = best
        return found

    def _first(self, problem: Problem) -> Tensor:
        """Return places and colours in [0, 1], (N, population, pixels, 5)."""
        shape = (self.population, self._count(problem))
        places = problem.draws.uniform(*shape, 2)
        colours = (problem.draws.normal(*shape, 3) * 127 + 128) / 255
        return torch.cat((places, colours.clamp(0, 1)), 3).to(problem.originals.device)

    def _count(self, problem: Problem) -> int:
        radius = float(problem.epsilon[0])
        height, width = problem.originals.shape[2:]
        return min(self.pixels if math.isinf(radius) else _pixels(radius), height * width)

    def _children(self, problem: Problem, genes: Tensor) -> Tensor:
        """Return one child of each candidate: three others, all different, joined."""
        others = different(problem.draws.uniform(self.population, 3)).to(genes.device)
        each = torch.arange(len(genes), device=genes.device)[:, None]
        a, b, c = (genes[each, others[:, :, k]] for k in range(3))
        return (a + self.factor * (b - c)).clamp(0, 1)

    def _painted(self, problem: Problem, genes: Tensor) -> Tensor:
        """Return the pictures of candidates, (N, K, 3, H, W); a place outside the mask stays as it was."""
        count, candidates, pixels = genes.shape[:3]
        height, width = problem.originals.shape[2:]
        x = (genes[..., 0] * width).long().clamp(max=width - 1)
        y = (genes[..., 1] * height).long().clamp(max=height - 1)
        pictures = problem.originals[:, None].repeat(1, candidates, 1, 1, 1)
        n = torch.arange(count, device=genes.device)[:, None].expand(count, candidates)
        k = torch.arange(candidates, device=genes.device)[None].expand(count, candidates)
        colours = (genes[..., 2:] * 255).round() / 255
        for pixel in range(pixels):
            pictures[n, k, :, y[..., pixel], x[..., pixel]] = colours[:, :, pixel]
        if problem.mask is None:
            return pictures
        return torch.where(problem.mask[:, None], pictures, problem.originals[:, None])

    def _fitness(self, problem: Problem, genes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return fitness (N, population), for each picture the best candidate's picture, and whether one fools."""
        goal, many = problem.class_goal, at_once(problem.originals.shape[1:], len(problem))
        asked = [problem.met_by_each(self._painted(problem, part)) for part in genes.split(many, 1)]
        scores, fools = (torch.cat(parts, 1) for parts in zip(*asked, strict=True))
        wanted = goal.labels if goal.targets is None else goal.targets
        fitness = scores.softmax(2).gather(2, wanted[:, None, None].expand(-1, scores.shape[1], 1))[..., 0]
        fitness = fitness if goal.targets is None else -fitness
        met = fools.any(1)
        place = torch.where(met, fools.float().argmax(1), fitness.argmin(1))
        chosen = genes[torch.arange(len(problem), device=genes.device), place][:, None]
        return fitness, self._painted(problem, chosen)[:, 0], met


def different(uniform: Tensor) -> Tensor:
    """Return, for each of P candidates, K others, all different, int64 (N, P, K), from numbers in [0, 1) (N, P, K).

    The k-th is drawn among the P - k that are left, and counted past those that are taken.
    """
    count, population, wanted = uniform.shape
    taken = torch.arange(population)[None, :, None].expand(count, -1, -1)
    for k in range(wanted):
        one = (uniform[..., k] * (population - 1 - k)).long()
        for lower in taken.sort(2).values.unbind(2):
            one = one + (one >= lower)
        taken = torch.cat((taken, one[..., None]), 2)
    return taken[..., 1:]


def _pixels(budget: float) -> int:
    return max(1, int(budget))
