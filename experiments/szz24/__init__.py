"""[SZZ24]: the last layer of a deep network by Gauss-Newton, in subquadratic time a step."""
