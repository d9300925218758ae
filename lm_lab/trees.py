"""Binary trees over texts that come without one."""

from collections.abc import Iterator

NONE = -1  # in the place of a child: there is none


def nodes(count: int, balanced: bool) -> Iterator[tuple[tuple[int, int], int, int]]:
    """Span, left and right child of each node of a tree over so many words, children before parents.

    Args:
        count: of words.
        balanced: two halves at every node, the first one longer; else a word and the rest.
    """
    made = list[tuple[tuple[int, int], int, int]]()

    def build(begin: int, end: int) -> int:
        if end - begin == 1:
            made.append(((begin, end), NONE, NONE))
        else:
            middle = begin + (end - begin + 1) // 2
            left = build(begin, middle)
            right = build(middle, end)
            made.append(((begin, end), left, right))
        return len(made) - 1

    if balanced:
        build(0, count)
    else:  # as deep as the text is long: no recursion
        made += [((place, place + 1), NONE, NONE) for place in range(count)]
        last = count - 1
        for begin in range(count - 2, -1, -1):
            made.append(((begin, count), begin, last))
            last = len(made) - 1
    yield from made
