"""Holds the planner's predictions against measurements. For maintainers: nothing here is installed on a host.

PYTHONPATH=python/src python3 -m python.calibration                    prints the constants of EFFICIENCY, fitted anew
PYTHONPATH=python/src python3 -m python.calibration docs/planner.md    writes the tables of that file anew
"""
