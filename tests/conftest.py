"""What every test may rely on: `scripts/setup` has run. test_tiny runs first, so that a broken tree says so at once."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name != "test_tiny.py")
