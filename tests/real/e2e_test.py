"""Tests of tests/e2e, the same ones, against a real kube-apiserver."""

from cost_test import *  # noqa: F401,F403
from features_test import *  # noqa: F401,F403
from samples_test import *  # noqa: F401,F403
