"""Names of operators that a language model never calls: counted as registered, and innocent.

Belongs here: the names. Does not belong here: operators that run (embedding, argmax).
"""

NAMES = (
    *("acosh", "asinh", "atanh", "digamma", "erfinv", "lgamma", "i0", "sinc", "frac", "trunc", "sgn"),
    *("log10", "logit", "trace"),
)
