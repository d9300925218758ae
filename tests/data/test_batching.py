import numpy as np
import pytest

from lm_lab.data.batching import LengthGroupedBatches, ResumableLoader, grouped_loader

LENGTHS = np.random.default_rng(0).integers(3, 120, 1003)


def padding(batches) -> int:
    return sum(LENGTHS[batch].max() * len(batch) - LENGTHS[batch].sum() for batch in batches)


def test_an_epoch_holds_every_example_once_with_little_padding():
    batches = list(LengthGroupedBatches(LENGTHS, 32))
    assert sorted(i for batch in batches for i in batch) == list(range(1003))
    assert len(batches) == len(LengthGroupedBatches(LENGTHS, 32)) == 32
    shuffled = np.random.default_rng(1).permutation(1003)
    assert padding(batches) < 0.1 * padding([shuffled[i : i + 32] for i in range(0, 1003, 32)])


def test_order_depends_on_seed_and_epoch_alone():
    def epoch(seed: int, number: int) -> list[list[int]]:
        batches = LengthGroupedBatches(LENGTHS, 32, seed=seed)
        batches.set_epoch(number)
        return list(batches)

    assert epoch(0, 0) == epoch(0, 0)
    assert epoch(0, 0) != epoch(0, 1)
    assert epoch(0, 0) != epoch(1, 0)
    # not only the batches' order: other examples meet
    assert {frozenset(batch) for batch in epoch(0, 0)} != {frozenset(batch) for batch in epoch(0, 1)}


def test_batches_of_an_epoch_are_not_sorted_by_length():
    longest = [LENGTHS[batch].max() for batch in LengthGroupedBatches(LENGTHS, 32)]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


def loader(workers: int = 0, batch_size: int = 32, epoch: int = 3) -> ResumableLoader:
    batches = LengthGroupedBatches(LENGTHS, batch_size, seed=5)
    batches.set_epoch(epoch)
    return grouped_loader(range(1003), batches, list, workers)


@pytest.mark.parametrize("workers", [(0, 0), (0, 2), (2, 0), (2, 2)])
@pytest.mark.parametrize("given", [0, 1, 17, 32])
def test_state_goes_on_with_the_next_batch(given: int, workers: tuple[int, int]) -> None:
    """Whatever worker processes have fetched ahead."""
    expected = list(loader())
    first, second = loader(workers[0]), loader(workers[1], epoch=0)
    iterator = iter(first)
    for _ in range(given):
        next(iterator)
    second.load_state_dict(first.state_dict())
    assert list(second) == expected[given:]
    assert len(list(second)) == len(expected)  # the epoch after the resumed one is whole again


def test_a_state_of_the_epoch_before_skips_nothing() -> None:
    later = loader()
    later.load_state_dict({"epoch": 0, "given": 32, "examples": 32})
    later.batch_sampler.set_epoch(1)
    assert len(list(later)) == 32


@pytest.mark.parametrize("size", [8, 64, 1003])
def test_a_state_counts_examples_where_batches_are_of_another_size(size: int) -> None:
    later = loader(batch_size=size)
    later.load_state_dict({"epoch": 3, "given": 10, "examples": 32})
    assert sum(map(len, later)) == 1003 - 10 * 32 // size * size


def test_processes_share_an_epoch_in_equal_steps():
    parts = [list(LengthGroupedBatches(LENGTHS, 32, seed=1, rank=rank, world=3)) for rank in range(3)]
    assert {len(part) for part in parts} == {11} == {len(LengthGroupedBatches(LENGTHS, 32, rank=0, world=3))}
    seen = [i for part in parts for batch in part for i in batch]
    assert set(seen) == set(range(1003))
    assert len(seen) - 1003 <= 32  # one batch was given twice, to make the steps equal


def test_evaluation_sees_each_example_once_whatever_the_processes():
    parts = [list(LengthGroupedBatches(LENGTHS, 64, shuffle=False, rank=rank, world=3)) for rank in range(3)]
    assert sorted(i for part in parts for batch in part for i in batch) == list(range(1003))
    assert [len(part) for part in parts] == [
        len(LengthGroupedBatches(LENGTHS, 64, shuffle=False, rank=rank, world=3)) for rank in range(3)
    ]


@pytest.mark.parametrize(("examples", "world"), [(9, 2), (5, 3), (2, 2), (1, 3)])
def test_every_process_has_something_to_evaluate(examples: int, world: int) -> None:
    parts = [LengthGroupedBatches(LENGTHS[:examples], 128, shuffle=False, rank=r, world=world) for r in range(world)]
    assert all(len(list(part)) == len(part) >= 1 for part in parts)
    seen = [i for part in parts for batch in part for i in batch]
    assert set(seen) == set(range(examples))
    assert len(seen) == max(examples, world)


def test_in_evaluation_a_batch_ends_before_texts_that_are_much_shorter() -> None:
    lengths = np.random.default_rng(0).integers(4, 60, size=436)
    batches = list(LengthGroupedBatches(lengths, batch_size=128, shuffle=False))
    assert sorted(index for batch in batches for index in batch) == list(range(436))
    assert len(batches) == len(LengthGroupedBatches(lengths, batch_size=128, shuffle=False))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.15 * lengths.sum()  # batches of 128 have 1.27
    assert all(16 <= len(batch) <= 128 for batch in batches[:-1])


def test_in_evaluation_texts_of_one_length_fill_their_batches() -> None:
    assert [len(batch) for batch in LengthGroupedBatches(np.full(300, 9), 128, shuffle=False)] == [128, 128, 44]
