"""Several processes that train one net, or segment together: who starts them, who is which."""
