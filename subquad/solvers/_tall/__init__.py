"""Tall matrices A (N, k): their products and sketches, and conjugate gradients on A^T A."""
