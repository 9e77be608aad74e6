"""Names of operators that a language model never calls: counted as registered, and innocent.

Belongs here: the names. Does not belong here: operators that run (embedding, argmax).
"""

NAMES = (
    *("acosh", "asinh", "atanh", "digamma", "erfinv", "lgamma", "i0", "sinc", "frac", "trunc", "sgn", "exp2"),
    *("log10", "log1p", "log2", "logit", "nan_to_num", "rad2deg", "deg2rad", "signbit", "trace", "triu"),
    *("cosh", "sinh", "tan", "expm1", "erfc", "hardswish", "mish", "selu"),
)
