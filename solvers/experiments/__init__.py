"""What is trained: the table of experiments, people's own folders, options beside the paper's."""
