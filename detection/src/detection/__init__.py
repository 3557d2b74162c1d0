"""Pure detection: baselines, scorer, rules and the 28 features, over columns."""
