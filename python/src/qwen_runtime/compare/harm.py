"""Harm that is noticed while a comparison runs, at any time, without the error that repeated looks would add."""

from __future__ import annotations

import math

from scipy import special

ERROR = 0.05
"""Rate at which a candidate that does no harm is stopped, however long it is looked at."""


def evidence(lost: int, won: int) -> float:
    """Evidence that the candidate loses more pairs than it wins.

    Pairs in which both do the same say nothing. Without harm a pair that differs is lost with a probability of at most
    a half. The evidence is the likelihood ratio against that, averaged over all larger probabilities. Without harm it
    does not grow on average, so that it ever reaches 1 / ERROR at a rate of at most ERROR (Ville 1939).
    """
    differing = lost + won
    log_beta = float(special.betaln(lost + 1, won + 1))
    upper_half = float(special.betaincc(lost + 1, won + 1, 0.5))
    if upper_half == 0.0:
        return 0.0
    return math.exp(math.log(2) + differing * math.log(2) + log_beta + math.log(upper_half))


def is_shown(lost: int, won: int) -> bool:
    return evidence(lost, won) >= 1 / ERROR
