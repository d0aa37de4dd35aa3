"""Tests of bringing lists in."""
