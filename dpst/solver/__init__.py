"""Solving for a look: the field of affine maps, the colours it may take, and what keeps the result a photograph."""
