"""The paper's analyses: python -m analysis NAME. docs/analyses.md says what each of them shows."""
