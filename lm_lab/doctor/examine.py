"""All checks on one pair of strategy and backbone, as rows that print or dump to JSON."""

import traceback
from dataclasses import dataclass

from lm_lab.backbones import Backbone
from lm_lab.doctor.case import Case, CheckError
from lm_lab.doctor.checks import CHECKS
from lm_lab.errors import UsageError
from lm_lab.strategies import AdaptationStrategy

APPLIES = "applies"


@dataclass(frozen=True)
class Result:
    """What one check found."""

    strategy: str
    family: str
    check: str
    ok: bool
    detail: str

    @property
    def refused(self) -> bool:
        """True if the pair cannot be, and the strategy said so."""
        return self.check == APPLIES and self.detail.startswith("refused: ")


def examine(backbone: Backbone, name: str, strategy: AdaptationStrategy) -> list[Result]:
    """Run every check; a pair that is refused with a clear error gives that one row."""
    family = backbone.kind
    if not strategy.trains:
        return [Result(name, family, APPLIES, True, "refused: it trains nothing, so no check of training applies")]
    case = Case(backbone, strategy)
    try:
        case.adapted()
    except UsageError as error:
        return [Result(name, family, APPLIES, True, f"refused: {error}")]
    except Exception as error:
        return [Result(name, family, APPLIES, False, _short(error))]
    results = [Result(name, family, APPLIES, True, "")]
    for check, function in CHECKS.items():
        try:
            results.append(Result(name, family, check, True, function(case)))
        except CheckError as error:
            results.append(Result(name, family, check, False, str(error)))
        except Exception as error:
            results.append(Result(name, family, check, False, _short(error)))
    return results


def _short(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__} at {place.filename.rsplit('/', 1)[-1]}:{place.lineno}: {first}"
