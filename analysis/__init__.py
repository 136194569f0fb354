"""The paper's analyses: fcn analysis NAME. docs/analyses.md says what each of them shows."""
