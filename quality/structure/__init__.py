"""Measures the structure of the code and draws it, from the imports and the syntax trees alone.

`make structure` prints the figures. Nothing is imported or executed for them, so any revision can be measured and two
can be compared. `docs/decisions/0005-layers-and-packages.md` records what was measured and why.

Definitions:

* *Component* (a "room"): a top-level package, except `tests`. `generations` is the core and counts by its parts: each
  of its packages and each module at its root is a component. Migrations are not counted.
* *Dependency* (an "arrow"): one component imports another, wherever the import stands in the file.
* *Layer order*: the contracts of type "layers" in `[tool.importlinter]`, without their exemptions.
* *Upward dependency*: one that the layer order forbids: upwards, or between siblings that are independent.
* *Cycle*: a set of components that import each other, directly or through others.
* *Depth* ("floors"): the number of components on the longest chain of dependencies. Upward dependencies are left out,
  and a cycle counts as one component.
* *Single-use helper*: a function or method whose name begins with `_` and stands at exactly one other place of its
  module, where it is called or passed on.
* *Code lines*: lines that are not blank, not only a comment and not in a docstring. The shares of comments and of
  docstrings are lines divided by code lines.
* *Length of a function*: the lines from `def` to its end, with the docstring.
"""
