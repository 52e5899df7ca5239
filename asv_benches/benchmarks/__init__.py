"""Benchmarks of subquad and of the implementations that it competes with.

    kernels     the compiled kernels, each against the dense form of numpy and torch
    training    a whole Gauss-Newton step and a whole fit of a last layer, and its memory
    hadamard    Walsh-Hadamard transforms          gaussian    weights generated in the product
    ntk         tangent kernels, of infinite width and of networks
    scaling     seconds per step as a power of the width, and as threads are added
    imports     processor time of importing a module
    instructions    what each kernel executes, counted by valgrind: the same on a busy machine

`implementation` is a parameter everywhere; the smallest sizes come first, and the tests of the
package run every benchmark at those. `n_threads` and `level`, the instruction set, are parameters
of the compiled kernels: `suite` sets them, and skips combinations that tell nothing new.
"""
