"""How many cases Hypothesis tries: the same ones each time, and many more, others each time, with `make faults`."""

from hypothesis import HealthCheck, settings

SLOW_MACHINES = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("suite", max_examples=25, derandomize=True, database=None, **SLOW_MACHINES)
settings.register_profile("faults", max_examples=1000, database=None, print_blob=True, **SLOW_MACHINES)
settings.load_profile("suite")  # before --hypothesis-profile is looked at
