"""Constitutional AI and RLAIF as a pipeline: critique, revision, AI labels, reward model, exports."""

__version__ = "0.1.0"
