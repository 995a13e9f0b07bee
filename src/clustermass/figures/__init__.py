"""Figures of the report: one module a figure, each with one function that reads files and writes an SVG and a PNG."""
