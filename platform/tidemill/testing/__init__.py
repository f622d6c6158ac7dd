"""Contract suites that a new engine, source, learner or partial must pass.

Import the module you need: each needs pytest and hypothesis, which the core does not.
"""

__all__: list[str] = []
