"""A mistake is told in one line, whatever is in the value that it names."""

from lm_lab.errors import UsageError


def test_a_message_is_one_line() -> None:
    assert str(UsageError("a\nb\r\nc\u2028d")) == "a b c d"
    assert str(UsageError("fine  as it is")) == "fine  as it is"


def test_a_message_keeps_its_ends() -> None:
    found = str(UsageError("no column 'x'; it has " + ", ".join(f"c{i}" for i in range(5000)) + " (--data.columns)"))
    assert found.startswith("no column 'x'; it has c0, ")
    assert found.endswith(" (--data.columns)")
    assert len(found) < 2000
