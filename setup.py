"""Metadata lives in setup.cfg; this file lets every installer find the build."""
from setuptools import setup

setup()
