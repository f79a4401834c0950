"""One pixel: who a candidate's parents are."""

import torch

from striate.adversarial.one_pixel import different


def test_parents_are_three_others_evenly_drawn() -> None:
    drawn = torch.rand(4000, 5, 3, generator=torch.Generator().manual_seed(0))
    found = different(drawn)
    own = torch.arange(5)[None, :, None].expand(4000, -1, -1)
    together = torch.cat((own, found), 2).sort(2).values
    assert (together.diff(dim=2) > 0).all()
    assert found.min() == 0
    assert found.max() == 4
    shares = torch.nn.functional.one_hot(found, 5).double().mean(0)  # (candidate, parent, who)
    others = ~torch.eye(5, dtype=torch.bool)[:, None].expand(-1, 3, -1)
    assert (shares[others] - 0.25).abs().max() < 0.03  # four standard deviations of 4,000 draws


def test_draws_at_the_ends_stay_inside() -> None:
    for end in (0.0, 1 - 2**-24):
        found = different(torch.full((1, 4, 3), end))
        assert all(sorted([row, *found[0, row].tolist()]) == [0, 1, 2, 3] for row in range(4))
