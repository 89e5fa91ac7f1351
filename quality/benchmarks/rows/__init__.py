"""The benchmarks, one module for each row of the table. Each `measure` returns the lines of its row."""
