"""Projects that several tests of a file use."""

from functools import cache

import pytest
from tiny_projects import tiny_project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """(optimizer, quantized, options) -> compiled model and its project, each made once."""

    @cache
    def made(optimizer, quantized=False, **options):
        directory = tmp_path_factory.mktemp("project")
        return tiny_project(directory, optimizer, quantized, **options)

    return made
