"""A network computed in integers: sums that are exact, a rule for each operation, the program of all steps."""
